//! What a client does on a connection by HTTP/2, as a list of frames, and what its origin may see of
//! it: an own, literal reading of RFC 9113. Header blocks are either right in every byte or so wrong
//! that no reader can make a request of them, so that nothing here need decode one.

use testkit::frames::{Frame, block, flag, kind};

use super::model::Request;

/// Requests at once that the proxy takes, and frames that carry none and no content.
pub(crate) const STREAMS: u32 = 60;
pub(crate) const CONTROL_FRAMES: usize = 150;
/// Requests of one script.
const MOST_STREAMS: usize = 70;
/// Content of one script: less than any window.
const MOST_CONTENT: usize = 50_000;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "HEAD", "BREW"];
const CONTROL: [u8; 4] = [kind::PING, kind::SETTINGS, kind::PRIORITY_UPDATE, kind::CONTINUATION];
const MAYBE_CONTROL: [u8; 2] = [kind::WINDOW_UPDATE, kind::DATA];
/// Types with a header block; 5 is that of a promise to push.
const BLOCKS: [u8; 3] = [kind::HEADERS, 5, kind::CONTINUATION];

/// What makes a request none: these fields in place of, or behind, those it should have.
const TRICKS: [&[(&str, &str)]; 14] = [
    &[("Upper", "case")],
    &[(":path", "/twice")],
    &[(":unknown", "x")],
    &[(":status", "200")],
    &[("connection", "close")],
    &[("transfer-encoding", "chunked")],
    &[("te", "gzip")],
    &[("upgrade", "h2c")],
    &[("host", "other.example")],
    &[("content-length", "five")],
    &[("content-length", "1"), ("content-length", "1")],
    &[("x", "a\r\nsmuggled: b")],
    &[("x", " surrounded ")],
    &[("", "nameless")],
];

/// One thing that a client does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A new request.
    Head {
        method: u8,
        announced: Option<u16>,
        ends: bool,
        cuts: u8,
        trick: Option<u8>,
    },
    /// Content of one of the requests, or its end.
    Data {
        of: u8,
        length: u16,
        padding: Option<u8>,
        ends: bool,
    },
    /// The end of one.
    Trailers {
        of: u8,
        trick: Option<u8>,
    },
    /// One is taken back.
    Reset {
        of: u8,
        code: u8,
    },
    /// A window is opened, that of the connection or of a request.
    Window {
        of: Option<u8>,
        by: u32,
    },
    Ping,
    Settings(u16, u32),
    Priority {
        of: u8,
        value: u8,
    },
    /// Whatever it is.
    Raw {
        kind: u8,
        flags: u8,
        stream: u32,
        payload: Vec<u8>,
    },
}

/// What a script comes to.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) frames: Vec<Frame>,
    streams: Vec<Stream>,
    /// Something is wrong, so that nobody knows how far the rest is read.
    pub(crate) odd: bool,
    content: usize,
    resets: usize,
    /// Frames that count as such in any case, and those that may.
    control: (usize, usize),
}

/// A request.
#[derive(Debug)]
struct Stream {
    number: u32,
    request: Request,
    announced: Option<usize>,
    sound: bool,
    ended: bool,
    reset: bool,
}

impl Script {
    /// The targets begin with this.
    pub(crate) fn of(ops: &[Op], prefix: &str) -> Self {
        let mut script = Self::default();
        for op in ops {
            script.add(op, prefix);
        }
        script
    }

    /// What the origin may see: each at most once, and of its content no more than this. Complete
    /// are those that are so here, and those that have all the content that was announced, whose
    /// length stands beside.
    pub(crate) fn meant(&self) -> impl Iterator<Item = (&Request, Option<usize>)> {
        let sound = self.streams.iter().filter(|stream| stream.sound);
        sound.map(|stream| (&stream.request, stream.announced))
    }

    /// The streams that must be answered, if nothing is odd.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (u32, &Request)> {
        let whole = |stream: &&Stream| stream.request.complete && stream.sound && !stream.reset;
        self.streams.iter().filter(whole).map(|stream| (stream.number, &stream.request))
    }

    fn add(&mut self, op: &Op, prefix: &str) {
        match *op {
            Op::Head { method, announced, ends, cuts, trick } => {
                self.head(prefix, method, announced, ends, cuts, trick);
            }
            Op::Data { of, length, padding, ends } => self.data(of, length, padding, ends),
            Op::Trailers { of, trick } => self.trailers(of, trick),
            Op::Reset { of, code } => {
                let Some(at) = self.pick(of) else { return };
                self.resets += 1;
                self.odd |= self.resets > 15;
                self.streams[at].reset = true;
                self.push(
                    kind::RST_STREAM,
                    0,
                    self.streams[at].number,
                    u32::from(code).to_be_bytes(),
                );
            }
            Op::Window { of, by } => {
                let stream = match of.map(|of| self.pick(of)) {
                    Some(None) => return,
                    Some(Some(at)) => self.streams[at].number,
                    None => 0,
                };
                // Large ones may be too large together.
                self.odd |= !(1..1 << 20).contains(&by);
                self.push(kind::WINDOW_UPDATE, 0, stream, by.to_be_bytes());
            }
            Op::Ping => self.push(kind::PING, 0, 0, *b"anything"),
            Op::Settings(number, value) => {
                let harmless = (number == 4 && (1000..1 << 20).contains(&value)) || number > 9;
                self.odd |= !harmless;
                self.push(
                    kind::SETTINGS,
                    0,
                    0,
                    [&number.to_be_bytes()[..], &value.to_be_bytes()].concat(),
                );
            }
            Op::Priority { of, value } => {
                let Some(at) = self.pick(of) else { return };
                let value = format!("u={}, i", value % 9);
                let payload = [&self.streams[at].number.to_be_bytes(), value.as_bytes()].concat();
                self.push(kind::PRIORITY_UPDATE, 0, 0, payload);
            }
            Op::Raw { kind, flags, stream, ref payload } => self.raw(kind, flags, stream, payload),
        }
    }

    /// Whether nobody can be served after it: there is more of something than may be.
    pub(crate) fn is_abuse(&self) -> bool {
        self.control.0 > CONTROL_FRAMES
    }

    fn push(&mut self, kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) {
        self.control.0 += usize::from(CONTROL.contains(&kind));
        self.control.1 += usize::from(CONTROL.contains(&kind) || MAYBE_CONTROL.contains(&kind));
        // A SETTINGS frame comes before the script, a PING after it.
        self.odd |= self.control.1 + 2 > CONTROL_FRAMES;
        self.frames.push(Frame::new(kind, flags, stream).with(payload));
    }

    /// One of the last eight requests; the last is 0.
    fn pick(&self, of: u8) -> Option<usize> {
        let last = self.streams.len().checked_sub(1)?;
        Some(last - usize::from(of) % self.streams.len().min(8))
    }

    fn head(
        &mut self,
        prefix: &str,
        method: u8,
        announced: Option<u16>,
        ends: bool,
        cuts: u8,
        trick: Option<u8>,
    ) {
        if self.streams.len() == MOST_STREAMS {
            return;
        }
        self.odd |= self.streams.len() >= STREAMS as usize;
        let number = self.streams.len() as u32 * 2 + 1;
        let method = METHODS[usize::from(method) % METHODS.len()];
        let target = format!("{prefix}{number}");
        let length = announced.map(|length| length.to_string());
        let mut fields = vec![
            (":method", method),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", target.as_str()),
        ];
        let trick = trick.map(|trick| TRICKS[usize::from(trick) % TRICKS.len()]);
        fields.extend(length.iter().map(|length| ("content-length", length.as_str())));
        fields.push(("x-of", prefix));
        fields.extend(trick.unwrap_or_default());
        // One that stays in the reader's table.
        let mut block = block(&fields);
        block.extend([0x40, 1, b'y', 1, b'z']);
        let cuts = usize::from(cuts % 8);
        self.odd |= cuts > 5;
        let size = block.len().div_ceil(cuts + 1);
        let mut parts: Vec<_> = block.chunks(size).collect();
        let last = parts.pop().unwrap_or_default();
        let end = if ends { flag::END_STREAM } else { 0 };
        for (at, part) in parts.iter().enumerate() {
            let (kind, flags) =
                if at == 0 { (kind::HEADERS, end) } else { (kind::CONTINUATION, 0) };
            self.push(kind, flags, number, *part);
        }
        let (kind, end) =
            if parts.is_empty() { (kind::HEADERS, end) } else { (kind::CONTINUATION, 0) };
        self.push(kind, end | flag::END_HEADERS, number, last);
        let announced = announced.map(usize::from);
        let complete = ends && announced.is_none_or(|length| length == 0);
        let sound = trick.is_none();
        // Some of these end the connection.
        self.odd |= !sound;
        let request = Request {
            method: method.into(),
            target: target.into_bytes(),
            content: Vec::new(),
            complete,
        };
        self.streams.push(Stream { number, request, announced, sound, ended: ends, reset: false });
    }

    fn data(&mut self, of: u8, length: u16, padding: Option<u8>, ends: bool) {
        let Some(at) = self.pick(of) else { return };
        let stream = &mut self.streams[at];
        let length = usize::from(length).min(MOST_CONTENT - self.content);
        self.content += length + 256;
        self.odd |= stream.ended || stream.reset || self.content >= MOST_CONTENT;
        self.content = self.content.min(MOST_CONTENT);
        // What is one's cannot be taken for another's.
        let from = stream.request.content.len();
        let byte = |at: usize| (stream.number as usize * 31 + at * 7) as u8;
        let piece: Vec<u8> = (from..from + length).map(byte).collect();
        if !stream.ended {
            stream.request.content.extend_from_slice(&piece);
            stream.end(ends);
            // The codec resets the stream then.
            let all = stream.request.content.len();
            self.odd |= stream.announced.is_some_and(|length| all > length);
        }
        let flags = if ends { flag::END_STREAM } else { 0 };
        let number = stream.number;
        match padding {
            None => self.push(kind::DATA, flags, number, piece),
            Some(padding) => {
                let payload = [&[padding], &piece[..], &vec![0; usize::from(padding)]].concat();
                self.push(kind::DATA, flags | PADDED, number, payload);
            }
        }
    }

    fn trailers(&mut self, of: u8, trick: Option<u8>) {
        let Some(at) = self.pick(of) else { return };
        let stream = &mut self.streams[at];
        self.odd |= stream.ended || stream.reset || trick.is_some();
        let trick = trick.map(|trick| TRICKS[usize::from(trick) % TRICKS.len()]);
        if !stream.ended {
            stream.end(true);
        }
        let fields = [&[("x-sum", "1")][..], trick.unwrap_or_default()].concat();
        self.frames.push(Frame::headers(stream.number, true, &fields));
    }

    fn raw(&mut self, kind: u8, mut flags: u8, stream: u32, payload: &[u8]) {
        self.odd = true;
        let mut payload = payload.to_vec();
        if BLOCKS.contains(&kind) {
            // No table has an entry 0; and there is a block, whatever the flags take away.
            flags &= !(PADDED | PRIORITY);
            payload.push(0x80);
            payload.fill(0x80);
        }
        if kind == kind::DATA {
            // It may end a request or add to its content.
            for known in
                self.streams.iter_mut().filter(|known| known.number == stream & (u32::MAX >> 1))
            {
                known.raw(flags, &payload);
            }
        }
        // Not counted: nobody knows whether it is read.
        self.frames.push(Frame::new(kind, flags, stream).with(payload));
    }
}

impl Stream {
    fn end(&mut self, ends: bool) {
        self.ended |= ends;
        let all = self.announced.is_none_or(|length| length == self.request.content.len());
        self.request.complete = self.ended && all;
    }

    /// A frame of DATA that somebody made up.
    fn raw(&mut self, flags: u8, payload: &[u8]) {
        if self.ended {
            return;
        }
        let content = match (flags & PADDED, payload) {
            (0, payload) => Some(payload),
            (_, [padding, rest @ ..]) => {
                rest.len().checked_sub(usize::from(*padding)).map(|length| &rest[..length])
            }
            (_, []) => None,
        };
        // Padding that is too long is an error of the connection.
        let Some(content) = content else { return };
        self.request.content.extend_from_slice(content);
        self.end(flags & flag::END_STREAM != 0);
    }
}

/// Reads a script out of any bytes.
pub(crate) fn parse(mut data: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    while ops.len() < 200
        && let Some((&what, rest)) = data.split_first()
    {
        data = rest;
        let mut byte = || {
            let (&first, rest) = data.split_first().unwrap_or((&0, b""));
            data = rest;
            first
        };
        // Most of what comes is right.
        let trick = |byte: u8| (byte >= 240).then_some(byte);
        let op = match what % 16 {
            0..=4 => {
                let (method, shape, cuts) = (byte(), byte(), byte());
                let announced = (shape & 2 != 0).then(|| u16::from(byte()));
                let cuts = cuts.checked_sub(224).map_or(0, |cuts| cuts % 8);
                Op::Head { method, announced, ends: shape & 1 != 0, cuts, trick: trick(shape) }
            }
            5..=8 => {
                let (of, shape, length) = (byte(), byte(), byte());
                let length = u16::from(length) << (shape & 4);
                let padding = (shape & 2 != 0).then(&mut byte);
                Op::Data { of, length, padding, ends: shape & 1 != 0 }
            }
            9 => Op::Trailers { of: byte(), trick: trick(byte()) },
            10 => Op::Reset { of: byte(), code: byte() % 16 },
            11 => {
                let of = byte();
                let by = u32::from_be_bytes([byte(), byte(), byte(), byte()]);
                let by = if by >> 24 < 240 { 1 + (by & 0xffff) } else { by };
                Op::Window { of: (of & 1 != 0).then_some(of >> 1), by }
            }
            12 => Op::Ping,
            13 => {
                let (number, value) =
                    (byte(), u32::from_be_bytes([byte(), byte(), byte(), byte()]));
                Op::Settings(u16::from(number % 12), value)
            }
            14 => Op::Priority { of: byte(), value: byte() },
            _ => {
                let (kind, flags, stream, length) = (byte(), byte(), byte(), byte());
                let payload = (0..length).map(|_| byte()).collect();
                let kind = if kind < 200 { kind % 18 } else { kind };
                Op::Raw { kind, flags, stream: u32::from(stream), payload }
            }
        };
        ops.push(op);
    }
    ops
}
