//! Counts what a connection does, by the heads of the frames that cross it in both directions.
//!
//! The codec bounds what is held at a moment. What it does not bound is how often: a client that opens
//! and resets streams, pings, or changes settings all day makes work without holding anything. A frame
//! is work whoever sent it, so resets that the codec sends for a client's faults count like its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use h2::Reason;
use tokio::io::ReadBuf;

use super::faults::Faults;
use super::outline::Outline;
use super::priority::Priority;
use super::turns::Turns;
use crate::clock::in_ticks;
use crate::http2_blocks::{Bounds, Fault, Joiner};
use crate::http2_frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY,
    PRIORITY_UPDATE, RST_STREAM, SETTINGS, Step, WINDOW_UPDATE, number,
};
use crate::settings::Http2Limits;

/// What a client sends before its first frame.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of content for which a client may open its windows once without being counted. Clients open
/// them after some kilobytes, for the stream and for the connection.
const WINDOW_UPDATE_WORTH: u64 = 256;
/// The most content for which they may do so later.
const WORTH_KEPT: u64 = 1 << 20;

/// The codec has a budget for DATA frames of less than 256 bytes, padding apart, as long as
/// nobody has taken them...
const SMALL: u32 = 512;
/// ...which is not used up by so many.
const SMALL_AT_ONCE: usize = 64;

/// The code of a reset that is no fault.
const NO_ERROR: u32 = 0;

/// The number of a setting.
const INITIAL_WINDOW_SIZE: u8 = 4;

/// What is borne of the header blocks of a client.
pub(super) fn bounds(limits: &Http2Limits) -> Bounds {
    Bounds::new(limits.header_list as usize, limits.continuations)
}

/// What a client does that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abuse {
    /// More resets than [`Http2Limits::resets`].
    Resets,
    /// More control frames than [`Http2Limits::control_frames`].
    ControlFrames,
    /// More frames for one header block than [`Http2Limits::continuations`].
    Continuations,
    /// A header block that does not come to its end in time.
    SlowHead,
    /// Responses that do not get on within [`Http2Limits::connection_stall`].
    Stalled,
    /// A frame that is wrong, with the error that the standard has for it. What else is wrong with
    /// frames the codec finds.
    Protocol(Reason),
}

impl Abuse {
    /// As the client is told.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Protocol(reason) => reason,
            _ => Reason::ENHANCE_YOUR_CALM,
        }
    }

    /// As the operator is told.
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Resets => "a client reset too many streams, or had them reset, by HTTP/2",
            Self::ControlFrames => "a client sent too many control frames by HTTP/2",
            Self::Continuations => "a client cut a header block into too many frames",
            Self::SlowHead => "a client did not finish a header block in time",
            Self::Stalled => "a client took none of its responses for too long by HTTP/2",
            Self::Protocol(_) => "a client does not speak HTTP/2 as it should",
        }
    }
}

impl From<Fault> for Abuse {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Continuations => Self::Continuations,
            Fault::Frame(reason) => Self::Protocol(reason),
        }
    }
}

/// The frames of one connection.
pub(super) struct Meter {
    resets: Rate,
    control: Rate,
    streams: usize,
    /// Bytes of the preface that are still to come.
    preface: usize,
    is_first: bool,
    inbound: Frames,
    joiner: Joiner,
    /// Small frames of content since others had their turn.
    small: usize,
    /// Bytes at the end of what came that have not been looked at.
    unread: usize,
    outbound: Frames,
    /// Content that was sent and for which the client has not opened its windows yet.
    worth: u64,
    /// Since when, in ticks, a header block is open.
    head_since: Option<u64>,
    outline: Outline,
    faults: Arc<Faults>,
    abuse: Option<Abuse>,
}

impl Meter {
    pub(super) fn new(limits: &Http2Limits) -> Self {
        Self {
            resets: Rate::new(limits.resets, limits.resets_per),
            control: Rate::new(limits.control_frames, limits.control_frames_per),
            streams: limits.streams as usize,
            preface: PREFACE.len(),
            is_first: true,
            inbound: Frames::default(),
            joiner: Joiner::new(bounds(limits)),
            small: 0,
            unread: 0,
            outbound: Frames::default(),
            worth: 0,
            head_since: None,
            outline: Outline::new(),
            faults: Arc::default(),
            abuse: None,
        }
    }

    /// What the client did, if it must go.
    pub(super) const fn abuse(&self) -> Option<Abuse> {
        self.abuse
    }

    /// Where it notes what is malformed and not found by the codec.
    pub(super) fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }

    /// Since when a header block is open.
    pub(super) const fn head_since(&self) -> Option<u64> {
        self.head_since
    }

    /// Whether those who take content need a turn before the codec gets more of it.
    pub(super) const fn is_full(&self) -> bool {
        self.small >= SMALL_AT_ONCE
    }

    /// They have had it.
    pub(super) const fn go_on(&mut self) {
        self.small = 0;
    }

    /// Bytes at the end of what came last that are to come once more, when it goes on.
    pub(super) const fn unread(&self) -> usize {
        self.unread
    }

    /// Gives the codec what does not go to it as it came; whether there was anything.
    pub(super) fn hand_over(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        self.joiner.hand_over(buf)
    }

    /// Looks at what the client sent; says how much of it the codec may see as it is. What comes behind
    /// a frame that is too much, it does not see at all; a header block that is cut, when it is whole.
    pub(super) fn received(&mut self, bytes: &[u8], now: u64, turns: &Turns) -> usize {
        self.unread = 0;
        if self.abuse.is_some() {
            return 0;
        }
        self.joiner.begin(&self.inbound);
        let mut at = self.preface.min(bytes.len());
        self.preface -= at;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty() && !self.is_full()) {
            let step = self.inbound.step(rest);
            if let Err(abuse) = self.look(at, &step, now, turns) {
                self.abuse = Some(abuse);
                break;
            }
            at += step.taken;
        }
        self.unread = if self.is_full() { bytes.len() - at } else { 0 };
        self.joiner.untouched(at, &self.inbound)
    }

    /// Looks at what begins at that place of it.
    fn look(&mut self, at: usize, step: &Step<'_>, now: u64, turns: &Turns) -> Result<(), Abuse> {
        if step.begins {
            let (kind, flags, length) = self.inbound.head();
            self.begin(kind, flags, length, now).map_or(Ok(()), Err)?;
        }
        if matches!(self.inbound.head().0, HEADERS | CONTINUATION) {
            self.outline.take(step.payload);
        }
        if step.ends {
            self.end(turns).map_or(Ok(()), Err)?;
        }
        Ok(self.joiner.take(at, &self.inbound, step)?)
    }

    /// Looks at what the client gets.
    pub(super) fn sent(&mut self, mut bytes: &[u8], now: u64, turns: &Turns) {
        while !bytes.is_empty() {
            let step = self.outbound.step(bytes);
            bytes = bytes.get(step.taken..).unwrap_or_default();
            let (kind, _, length) = self.outbound.head();
            if step.begins && kind == DATA {
                self.worth = (self.worth + u64::from(length)).min(WORTH_KEPT);
                turns.sent(length);
            }
            // Behind a whole response `NO_ERROR` only says that the rest of the request is not needed.
            let is_fault = kind == RST_STREAM && number(&self.outbound.payload) != NO_ERROR;
            if step.ends && is_fault && self.resets.note(now) {
                self.abuse = self.abuse.or(Some(Abuse::Resets));
            }
        }
    }

    /// A frame of the client's begins.
    fn begin(&mut self, kind: u8, flags: u8, length: u32, now: u64) -> Option<Abuse> {
        //= https://www.rfc-editor.org/rfc/rfc9113#section-3.4
        //# This sequence MUST be followed by a SETTINGS frame (Section 6.5), which MAY be empty.
        if std::mem::take(&mut self.is_first) && (kind != SETTINGS || flags & ACK != 0) {
            return Some(Abuse::Protocol(Reason::PROTOCOL_ERROR));
        }
        if !is_length(kind, flags, length) {
            return Some(Abuse::Protocol(Reason::FRAME_SIZE_ERROR));
        }
        match kind {
            HEADERS => {
                self.head_since = Some(now);
                self.outline.headers(self.inbound.stream(), flags, length);
                // Some clients open the window of each stream at once.
                self.worth = (self.worth + WINDOW_UPDATE_WORTH).min(WORTH_KEPT);
                None
            }
            CONTINUATION => {
                self.outline.continuation(self.inbound.stream(), length);
                self.control(now)
            }
            DATA if length > 0 || flags & END_STREAM != 0 => None,
            GOAWAY => None,
            WINDOW_UPDATE if self.worth >= WINDOW_UPDATE_WORTH => {
                self.worth -= WINDOW_UPDATE_WORTH;
                None
            }
            RST_STREAM => self.resets.note(now).then_some(Abuse::Resets),
            // An answer to what was sent to it.
            SETTINGS if flags & ACK != 0 => None,
            _ => self.control(now),
        }
    }

    fn control(&mut self, now: u64) -> Option<Abuse> {
        self.control.note(now).then_some(Abuse::ControlFrames)
    }

    /// A frame of the client's is whole.
    fn end(&mut self, turns: &Turns) -> Option<Abuse> {
        let (kind, flags, length) = self.inbound.head();
        let payload = &self.inbound.payload[..];
        match kind {
            DATA if (1..SMALL).contains(&length) => self.small += 1,
            //= https://www.rfc-editor.org/rfc/rfc9113#section-4.3
            //# A receiver MUST terminate the connection with a connection error (Section 5.4.1) of type
            //# COMPRESSION_ERROR if it does not decompress a field block.
            HEADERS if self.inbound.depends_on_itself() => {
                return Some(Abuse::Protocol(Reason::COMPRESSION_ERROR));
            }
            HEADERS | CONTINUATION if flags & END_HEADERS != 0 => {
                self.head_since = None;
                let is_malformed = self.outline.end();
                //= https://www.rfc-editor.org/rfc/rfc9113#section-5.4.1
                //# an endpoint MAY choose to treat a stream error as a connection error.
                if is_malformed && !self.faults.note(self.inbound.stream(), self.streams) {
                    return Some(Abuse::Protocol(Reason::PROTOCOL_ERROR));
                }
            }
            WINDOW_UPDATE if self.inbound.stream() == 0 => {
                turns.opened(number(payload));
            }
            //= https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2
            //# Values above the maximum flow-control window size of 2^31-1 MUST be treated as a
            //# connection error (Section 5.4.1) of type FLOW_CONTROL_ERROR.
            SETTINGS if payload.chunks_exact(6).any(is_window_too_large) => {
                return Some(Abuse::Protocol(Reason::FLOW_CONTROL_ERROR));
            }
            PRIORITY_UPDATE => {
                let stream = number(payload);
                //= https://www.rfc-editor.org/rfc/rfc9218#section-7.1
                //# If a PRIORITY_UPDATE frame is received with a prioritized stream ID of 0x0, the
                //# recipient MUST respond with a connection error of type PROTOCOL_ERROR.
                if stream == 0 || self.inbound.stream() != 0 {
                    return Some(Abuse::Protocol(Reason::PROTOCOL_ERROR));
                }
                let value = payload.get(4..).unwrap_or_default();
                turns.update(stream, Priority::parse(value), self.streams);
            }
            _ => {}
        }
        None
    }
}

/// Whether a frame of this type may be so long.
const fn is_length(kind: u8, flags: u8, length: u32) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9113#section-4.2
    //# An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame exceeds the size defined in
    //# SETTINGS_MAX_FRAME_SIZE, exceeds any limit defined for the frame type, or is too small to contain
    //# mandatory frame data.
    match kind {
        PRIORITY => length == 5,
        RST_STREAM | WINDOW_UPDATE => length == 4,
        PING => length == 8,
        SETTINGS if flags & ACK != 0 => length == 0,
        SETTINGS => length.is_multiple_of(6),
        _ => true,
    }
}

/// Whether a setting is that of the first window of streams, and too large.
fn is_window_too_large(setting: &[u8]) -> bool {
    matches!(setting, [0, INITIAL_WINDOW_SIZE, high, ..] if high & 0x80 != 0)
}

/// Counts what happens within a span of time.
struct Rate {
    times: VecDeque<u64>,
    most: usize,
    span: u64,
}

impl Rate {
    fn new(most: usize, span: Duration) -> Self {
        Self { times: VecDeque::new(), most, span: in_ticks(span) }
    }

    /// Notes one more; says whether that is too many.
    fn note(&mut self, now: u64) -> bool {
        while self.times.front().is_some_and(|then| now.saturating_sub(*then) >= self.span) {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.times.len() > self.most
    }
}

#[cfg(test)]
mod tests;
