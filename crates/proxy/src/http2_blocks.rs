//! Header blocks in more than one frame, put together before the codec sees them.
//!
//! The codec decodes a block frame by frame. Where a frame ends within a field, it forgets that a field
//! in front of that was malformed: the field is dropped, and the message goes on without it. So it gets
//! no such frame: a block that fits into one comes in one, and a larger one is cut between its fields,
//! but for a field that is too large itself. Beside that it is spared what it bears little of and nobody
//! needs. Nothing else is touched.

mod fragment;
mod walk;

use bytes::{BufMut, BytesMut};
use h2::Reason;
use tokio::io::ReadBuf;

pub(crate) use self::fragment::Fragment;
pub(crate) use self::walk::Walk;

use crate::http2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEAD, HEADERS, PADDED, PUSH_PROMISE, Step,
};

/// What a frame may carry at least (RFC 9113 §4.2), and at most.
const LEAST_FRAME: usize = 16 << 10;
const MOST_FRAME: usize = (1 << 24) - 1;

/// DATA frames without anything, not even the end, that the codec gets. It closes a connection after a
/// hundred, however long that has been there.
const EMPTY: u32 = 50;

/// What is borne of the blocks on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// What a frame may carry: what the codec is told, and tells the peer.
    pub(crate) frame: usize,
    /// CONTINUATION frames of one block.
    pub(crate) continuations: u32,
}

impl Bounds {
    /// For header lists of this size. A peer need not make its frames larger than the least that may be
    /// the most, nor fill them.
    ///
    /// The codec bears five CONTINUATION frames in front of the last one, or a quarter more than the
    /// list has frames. Cut between fields, any two frames that follow each other have more than one
    /// could carry: eight frames, one more than it bears, are a block that is larger than four. So it
    /// bears all blocks of up to four, and the list has no more.
    pub(crate) fn new(header_list: usize, least_continuations: u32) -> Self {
        let full = header_list / LEAST_FRAME;
        let continuations = u32::try_from(full + full / 4).unwrap_or(u32::MAX);
        Self {
            frame: header_list.div_ceil(4).clamp(LEAST_FRAME, MOST_FRAME),
            continuations: continuations.max(least_continuations),
        }
    }
}

/// What cannot be followed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// What ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A block in too many frames.
    Continuations,
    /// A frame that is wrong.
    Frame(Reason),
}

/// The blocks that come on one connection.
pub(crate) struct Joiner {
    bounds: Bounds,
    block: Option<Block>,
    /// Empty frames, up to [`EMPTY`].
    empty: u32,
    /// From where on the bytes at hand do not go to the codec as they are.
    from: Option<usize>,
    /// What it gets in their place.
    ready: BytesMut,
}

impl Joiner {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, block: None, empty: 0, from: None, ready: BytesMut::new() }
    }

    /// Bytes have come, behind those that `frames` has seen.
    pub(crate) fn begin(&mut self, frames: &Frames) {
        let is_within = self.block.is_some() || frames.begun() > 0;
        self.from = is_within.then_some(0);
    }

    /// The next step of `frames`, which begins at that place in the bytes at hand.
    pub(crate) fn take(
        &mut self,
        at: usize,
        frames: &Frames,
        step: &Step<'_>,
    ) -> Result<(), Fault> {
        if step.begins {
            self.frame(at + step.taken, frames)?;
        }
        if self.from.is_none() {
            return Ok(());
        }
        match &mut self.block {
            Some(block) => block.take(step.payload, self.bounds.frame, &mut self.ready)?,
            None => self.ready.put_slice(step.payload),
        }
        if step.ends
            && frames.head().1 & END_HEADERS != 0
            && let Some(block) = self.block.take()
        {
            block.end(&mut self.ready);
        }
        Ok(())
    }

    /// How many of the bytes at hand, which have been taken up to there, the codec may have as they are.
    /// The head of a frame is kept until it is whole: nobody knows before what it is.
    pub(crate) fn untouched(&self, at: usize, frames: &Frames) -> usize {
        self.from.unwrap_or_else(|| at.saturating_sub(frames.begun()))
    }

    /// Gives the codec what is ready for it; whether there was anything.
    pub(crate) fn hand_over(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        let count = self.ready.len().min(buf.remaining());
        buf.put_slice(&self.ready.split_to(count));
        if self.ready.is_empty() {
            self.ready = BytesMut::new();
        }
        true
    }

    /// Whether it is one empty frame too many for the codec.
    fn is_left_out(&mut self, kind: u8, flags: u8, length: u32) -> bool {
        if kind != DATA || length > 0 || flags & (END_STREAM | PADDED) != 0 {
            return false;
        }
        let is_too_many = self.empty == EMPTY;
        self.empty += u32::from(!is_too_many);
        is_too_many
    }

    /// The head of a frame is whole, and ends there.
    fn frame(&mut self, end: usize, frames: &Frames) -> Result<(), Fault> {
        let (kind, flags, length) = frames.head();
        if let Some(block) = &mut self.block {
            return block.go_on(frames, self.bounds);
        }
        //= https://www.rfc-editor.org/rfc/rfc9113#section-8.4
        //# A client cannot push. Thus, servers MUST treat the receipt of a PUSH_PROMISE frame as a
        //# connection error (Section 5.4.1) of type PROTOCOL_ERROR.
        //= https://www.rfc-editor.org/rfc/rfc9113#section-6.6
        //# PUSH_PROMISE MUST NOT be sent if the SETTINGS_ENABLE_PUSH setting of the peer endpoint is set
        //# to 0. An endpoint that has set this setting and has received acknowledgment MUST treat the
        //# receipt of a PUSH_PROMISE frame as a connection error (Section 5.4.1) of type PROTOCOL_ERROR.
        // The codec takes one whose fields are malformed for a fault of its stream.
        if kind == PUSH_PROMISE {
            return Err(Fault::Frame(Reason::PROTOCOL_ERROR));
        }
        if self.is_left_out(kind, flags, length) {
            self.from.get_or_insert(end.saturating_sub(HEAD));
        } else if kind == HEADERS
            && flags & END_HEADERS == 0
            && length as usize <= self.bounds.frame
        {
            self.block = Some(Block::new(frames)?);
            self.from.get_or_insert(end.saturating_sub(HEAD));
        } else if self.from.is_some() {
            self.ready.put_slice(frames.raw_head());
        }
        Ok(())
    }
}

/// A block that has not come to its end.
struct Block {
    stream: u32,
    /// Of the next frame for the codec.
    kind: u8,
    flags: u8,
    fragment: Fragment,
    continuations: u32,
    /// What the codec has not got yet, no more than a frame.
    held: Vec<u8>,
    /// Where the fields end in front of that.
    walk: Walk,
}

impl Block {
    /// A HEADERS frame begins, with more to come behind it.
    fn new(frames: &Frames) -> Result<Self, Fault> {
        let (kind, flags, length) = frames.head();
        let fragment = Fragment::behind(flags, length).ok_or(Lost)?;
        Ok(Self {
            stream: frames.stream(),
            kind,
            flags: flags & END_STREAM,
            fragment,
            continuations: 0,
            held: Vec::new(),
            walk: Walk::new(),
        })
    }

    /// The next frame begins.
    fn go_on(&mut self, frames: &Frames, bounds: Bounds) -> Result<(), Fault> {
        let (kind, _, length) = frames.head();
        //= https://www.rfc-editor.org/rfc/rfc9113#section-6.10
        //# A receiver MUST treat the receipt of any other type of frame or a frame on a different stream
        //# as a connection error (Section 5.4.1) of type PROTOCOL_ERROR.
        if kind != CONTINUATION || frames.stream() != self.stream {
            return Err(Fault::Frame(Reason::PROTOCOL_ERROR));
        }
        if length as usize > bounds.frame {
            return Err(Fault::Frame(Reason::FRAME_SIZE_ERROR));
        }
        self.continuations += 1;
        self.fragment = Fragment::all(length);
        if self.continuations > bounds.continuations { Err(Fault::Continuations) } else { Ok(()) }
    }

    /// Some of the payload of a frame. What is held is no more than fits into one.
    fn take(&mut self, payload: &[u8], most: usize, ready: &mut BytesMut) -> Result<(), Fault> {
        let mut own = self.fragment.cut(payload)?;
        while self.held.len() + own.len() > most {
            let (fits, rest) = own.split_at(most - self.held.len());
            self.held.extend_from_slice(fits);
            self.make_room(ready)?;
            own = rest;
        }
        self.held.extend_from_slice(own);
        Ok(())
    }

    /// Gives the codec all fields that are whole, or a whole frame of one that is too large.
    fn make_room(&mut self, ready: &mut BytesMut) -> Result<(), Fault> {
        let whole = self.walk.follow(&self.held)?;
        let size = if whole > 0 { whole } else { self.held.len() };
        if whole > 0 {
            self.walk = Walk::new();
        }
        let rest = self.held.split_off(size);
        self.put(ready);
        self.held = rest;
        self.kind = CONTINUATION;
        self.flags = 0;
        Ok(())
    }

    /// The last frame is whole.
    fn end(mut self, ready: &mut BytesMut) {
        self.flags |= END_HEADERS;
        self.put(ready);
    }

    /// A frame of what is held.
    fn put(&self, ready: &mut BytesMut) {
        ready.reserve(HEAD + self.held.len());
        ready.put_uint(self.held.len() as u64, 3);
        ready.put_slice(&[self.kind, self.flags]);
        ready.put_u32(self.stream);
        ready.put_slice(&self.held);
    }
}

/// Padding that is longer than its frame, or fields of which nobody can tell where they end.
impl From<Lost> for Fault {
    fn from(_: Lost) -> Self {
        Self::Frame(Reason::PROTOCOL_ERROR)
    }
}

#[cfg(test)]
mod tests;
