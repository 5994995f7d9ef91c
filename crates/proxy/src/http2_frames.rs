//! The frames of HTTP/2 (RFC 9113 §4), found in bytes that the codec reads or writes.

use smallvec::SmallVec;

// Types of frames (RFC 9113 §6, RFC 9218 §7.1).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const PRIORITY_UPDATE: u8 = 16;

// Flags of frames.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const HAS_PRIORITY: u8 = 32;

/// Bytes of the head of a frame.
pub(crate) const HEAD: usize = 9;
/// Bytes of a frame's payload that are looked at: a stream, and a priority.
const LOOKED_AT: usize = 64;

/// The first four bytes as a number, without the reserved bit.
pub(crate) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & (u32::MAX >> 1))
}

/// Finds the frames in a stream of bytes, however it is cut.
#[derive(Default)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// How many bytes of the head are there.
    known: usize,
    /// Bytes of the payload that are still to come.
    left: u32,
    /// How the payload begins.
    pub(crate) payload: SmallVec<[u8; LOOKED_AT]>,
}

/// What some bytes brought.
#[derive(Default)]
pub(crate) struct Step<'b> {
    pub(crate) taken: usize,
    /// Those of a payload.
    pub(crate) payload: &'b [u8],
    /// The head of a frame is whole.
    pub(crate) begins: bool,
    /// A whole frame is.
    pub(crate) ends: bool,
}

impl Frames {
    /// Takes what belongs to one head or one payload. A head is taken together with none of its
    /// payload; one without a payload ends at once.
    pub(crate) fn step<'b>(&mut self, bytes: &'b [u8]) -> Step<'b> {
        if self.known == HEAD && self.left == 0 {
            self.known = 0;
            self.payload.clear();
        }
        if self.known < HEAD {
            let taken = self.take_head(bytes);
            let begins = self.known == HEAD;
            if begins {
                self.left = self.head().2;
            }
            return Step { taken, begins, ends: begins && self.left == 0, payload: &[] };
        }
        let taken = bytes.len().min(self.left as usize);
        let (payload, _) = bytes.split_at(taken);
        let looked_at = taken.min(LOOKED_AT - self.payload.len());
        if self.head().0 != DATA {
            self.payload.extend_from_slice(payload.get(..looked_at).unwrap_or_default());
        }
        self.left -= taken as u32;
        Step { taken, begins: false, ends: self.left == 0, payload }
    }

    /// Takes what belongs to the head, which is there as a whole most of the time.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        if let (0, Some(head)) = (self.known, bytes.first_chunk()) {
            self.head = *head;
            self.known = HEAD;
            return HEAD;
        }
        let room = self.head.iter_mut().skip(self.known);
        let taken = room.zip(bytes).map(|(to, from)| *to = *from).count();
        self.known += taken;
        taken
    }

    /// Type, flags and length.
    pub(crate) const fn head(&self) -> (u8, u8, u32) {
        let [a, b, c, kind, flags, ..] = self.head;
        (kind, flags, u32::from_be_bytes([0, a, b, c]))
    }

    /// The head as it came.
    pub(crate) const fn raw_head(&self) -> &[u8; HEAD] {
        &self.head
    }

    /// How many bytes there are of a head that is not whole.
    pub(crate) const fn begun(&self) -> usize {
        if self.known < HEAD { self.known } else { 0 }
    }

    pub(crate) fn stream(&self) -> u32 {
        number(self.head.get(5..).unwrap_or_default())
    }

    /// Whether this is a HEADERS frame whose priority names its own stream. The codec resets the stream
    /// and leaves out the field block; what later blocks refer to is then something else for it than
    /// for the peer.
    pub(crate) fn depends_on_itself(&self) -> bool {
        let (kind, flags, _) = self.head();
        if kind != HEADERS || flags & HAS_PRIORITY == 0 {
            return false;
        }
        let padding = usize::from(flags & PADDED != 0);
        let stream = self.stream();
        stream != 0 && stream == number(self.payload.get(padding..).unwrap_or_default())
    }
}
