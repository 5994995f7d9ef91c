//! Content that has come before it is wanted, no more than the client's window lets it send.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// What is shorter is put together, so that each piece does not hold much beside its bytes.
const SHORT: usize = 1 << 10;
/// The longest piece that is put together.
const PIECE: usize = 16 << 10;

/// In the order in which it came.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pieces: VecDeque<Bytes>,
    /// Behind those.
    short: BytesMut,
}

impl Ahead {
    pub(super) fn put(&mut self, data: Bytes) {
        let is_short = data.len() < SHORT;
        if !is_short || self.short.len() + data.len() > PIECE {
            let before = std::mem::take(&mut self.short);
            self.pieces.extend((!before.is_empty()).then(|| before.freeze()));
        }
        if is_short {
            self.short.extend_from_slice(&data);
        } else {
            self.pieces.push_back(data);
        }
    }

    pub(super) fn take(&mut self) -> Option<Bytes> {
        let short = &mut self.short;
        let rest = || (!short.is_empty()).then(|| std::mem::take(short).freeze());
        self.pieces.pop_front().or_else(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lengths: &[usize]) -> Vec<usize> {
        let mut ahead = Ahead::default();
        let (mut all, mut out) = (Vec::new(), Vec::new());
        for (at, length) in lengths.iter().enumerate() {
            all.extend(vec![at as u8; *length]);
            ahead.put(vec![at as u8; *length].into());
        }
        let pieces: Vec<_> = std::iter::from_fn(|| ahead.take()).collect();
        out.extend(pieces.iter().map(Bytes::len));
        assert_eq!(pieces.concat(), all, "{lengths:?}");
        out
    }

    #[test]
    fn short_pieces_are_put_together_and_others_stay_as_they_are() {
        assert_eq!(taken(&[]), [0_usize; 0]);
        assert_eq!(taken(&[0, 0]), [0_usize; 0]);
        assert_eq!(taken(&[1, 2, 3]), [6]);
        assert_eq!(taken(&[1, 2, SHORT, 3, 4, PIECE, SHORT - 1]), [3, SHORT, 7, PIECE, SHORT - 1]);
        assert_eq!(taken(&[1000; 40]), [16_000, 16_000, 8000]);
    }

    #[test]
    fn what_comes_later_is_behind() {
        let mut ahead = Ahead::default();
        ahead.put(Bytes::from_static(b"a"));
        assert_eq!(ahead.take().as_deref(), Some(&b"a"[..]));
        assert_eq!(ahead.take(), None);
        ahead.put(Bytes::from_static(b"b"));
        ahead.put(Bytes::from_static(b"c"));
        assert_eq!(ahead.take().as_deref(), Some(&b"bc"[..]));
    }
}
