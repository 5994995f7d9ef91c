//! A client that writes HTTP/2 frames as it is told, right or wrong.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use crate::PATIENCE;

/// What is sent before the first frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type's number.
    pub kind: u8,
    /// The flags, whatever they mean for the type.
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
    /// What follows the head.
    pub payload: Vec<u8>,
}

/// The types of RFC 9113 §6 that tests speak of.
pub mod kind {
    #![allow(missing_docs, reason = "their names are those of the standard")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const PRIORITY_UPDATE: u8 = 16;
}

/// Flags, by the names of RFC 9113.
pub mod flag {
    #![allow(missing_docs, reason = "their names are those of the standard")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

impl Frame {
    /// A frame without payload.
    pub fn new(kind: u8, flags: u8, stream: u32) -> Self {
        Self { kind, flags, stream, payload: Vec::new() }
    }

    /// The same with this payload.
    #[must_use]
    pub fn with(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// A whole head, which ends the stream if it is `whole`.
    pub fn headers(stream: u32, whole: bool, fields: &[(&str, &str)]) -> Self {
        let flags = flag::END_HEADERS | if whole { flag::END_STREAM } else { 0 };
        Self::new(kind::HEADERS, flags, stream).with(block(fields))
    }

    /// The bytes of the frame.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a frame is not that long");
        let mut out = length.to_be_bytes()[1..].to_vec();
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
        out.extend(&self.payload);
        out
    }

    /// The number at the beginning (an error code, an increment) or at `at`.
    pub fn number_at(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4).expect("a number there");
        u32::from_be_bytes(bytes.try_into().expect("four bytes"))
    }
}

/// A header block: each field a literal that is not indexed, without Huffman coding.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let raw: Vec<_> =
        fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    raw_block(&raw)
}

/// The same of any bytes.
pub fn raw_block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            put_length(&mut out, text.len());
            out.extend_from_slice(text);
        }
    }
    out
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn put_length(out: &mut Vec<u8>, length: usize) {
    if length < 127 {
        out.push(length as u8);
        return;
    }
    out.push(127);
    let mut left = length - 127;
    while left >= 128 {
        out.push((left % 128) as u8 | 128);
        left /= 128;
    }
    out.push(left as u8);
}

/// What carries a connection.
pub trait Carrier: Read + Write + Send {}

impl<S: Read + Write + Send> Carrier for S {}

/// The connection.
pub struct Frames {
    stream: Box<dyn Carrier>,
    unused: Vec<u8>,
}

impl Frames {
    /// Connects and says nothing.
    pub fn silent(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout can be set");
        stream.set_nodelay(true).expect("Nagle can be turned off");
        Self::over(stream)
    }

    /// Says nothing on a connection that there is already.
    pub fn over(stream: impl Carrier + 'static) -> Self {
        Self { stream: Box::new(stream), unused: Vec::new() }
    }

    /// Connects and sends the preface with these settings (number and value).
    pub fn connect(address: impl ToSocketAddrs, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address);
        client.greet(settings);
        client
    }

    /// Sends the preface and these settings.
    pub fn greet(&mut self, settings: &[(u16, u32)]) {
        self.write(PREFACE);
        let mut payload = Vec::new();
        for (number, value) in settings {
            payload.extend(number.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.send(&Frame::new(kind::SETTINGS, 0, 0).with(payload));
    }

    /// Writes bytes; false when the peer no longer takes them.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Writes a frame; false when the peer no longer takes it.
    pub fn send(&mut self, frame: &Frame) -> bool {
        self.write(&frame.bytes())
    }

    /// The next frame; `None` once the connection is closed.
    pub fn frame(&mut self) -> Option<Frame> {
        while self.whole().is_none() {
            let mut scrap = [0; 16 << 10];
            match self.stream.read(&mut scrap) {
                Ok(0) => return None,
                Ok(count) => self.unused.extend_from_slice(&scrap[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no frame came: {error}"),
            }
        }
        let length = self.whole()?;
        let bytes: Vec<u8> = self.unused.drain(..length).collect();
        let stream = u32::from_be_bytes(bytes[5..9].try_into().expect("four bytes"));
        Some(Frame::new(bytes[3], bytes[4], stream).with(&bytes[9..]))
    }

    /// The length of the frame that has come whole.
    fn whole(&self) -> Option<usize> {
        let head = self.unused.get(..3)?;
        let length = 9 + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        (self.unused.len() >= length).then_some(length)
    }

    /// The next frame of this type.
    pub fn next_of(&mut self, kind: u8) -> Option<Frame> {
        self.until(|frame| frame.kind == kind)
    }

    /// The next frame for which this holds.
    pub fn until(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Asks whether the server still answers, and waits for that.
    pub fn ping(&mut self) -> bool {
        self.send(&Frame::new(kind::PING, 0, 0).with(*b"testping"));
        let answered = |frame: &Frame| frame.kind == kind::PING && frame.flags == flag::ACK;
        self.until(|frame| answered(frame) || frame.kind == kind::GOAWAY)
            .is_some_and(|frame| answered(&frame))
    }

    /// The error code of the GOAWAY that comes, behind whatever else.
    pub fn goaway(&mut self) -> Option<u32> {
        self.next_of(kind::GOAWAY).map(|frame| frame.number_at(4))
    }
}
