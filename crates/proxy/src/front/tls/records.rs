//! Where the records of a client end.

/// Bytes before the content of a record.
const HEAD: usize = 5;
/// A record whose content is longer takes the library a buffer that it does not need for others.
const LONG: usize = 4 << 10;
/// The longest: 16 KiB of content, and what encryption may add to them (RFC 5246 §6.2.3).
const LONGEST: usize = (16 << 10) + 2048;

/// Follows the bytes that a client sends from record to record.
#[derive(Debug, Default)]
pub(super) struct Records {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    known: usize,
    /// Bytes of the record at hand that have not come yet.
    left: usize,
    /// There was a long one.
    long: bool,
    /// What came is no beginning of a record: they began before this was there.
    lost: bool,
}

impl Records {
    /// Bytes that end the record at hand; `None` if its end is not known, or between two.
    pub(super) fn left(&self) -> Option<usize> {
        (self.left > 0).then_some(self.left)
    }

    /// Whether a long record has ended, and nothing has come of the next: once for each.
    pub(super) fn take_long(&mut self) -> bool {
        let is_between = self.left == 0 && self.known == 0 && !self.lost;
        is_between && std::mem::take(&mut self.long)
    }

    /// These bytes have come.
    pub(super) fn passed(&mut self, mut bytes: &[u8]) {
        while !self.lost && !bytes.is_empty() {
            let room = if self.left > 0 { self.left } else { HEAD - self.known };
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            bytes = rest;
            if self.left > 0 {
                self.left -= now.len();
                continue;
            }
            for byte in now {
                if let Some(place) = self.head.get_mut(self.known) {
                    *place = *byte;
                }
                self.known += 1;
            }
            if self.known == HEAD {
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        let [kind, major, _, high, low] = self.head;
        self.known = 0;
        self.left = usize::from(u16::from_be_bytes([high, low]));
        self.long |= self.left > LONG;
        // What may be wrong with it is for the library to say.
        self.lost = !(20..=24).contains(&kind) || major != 3 || self.left > LONGEST;
        if self.lost {
            self.left = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(length: usize) -> Vec<u8> {
        let mut record = vec![23, 3, 3];
        record.extend((length as u16).to_be_bytes());
        record.resize(HEAD + length, b'x');
        record
    }

    #[test]
    fn records_are_followed_however_they_are_cut() {
        let sent = [record(100), record(16 << 10), record(LONG), record(1)].concat();
        for cut in [1, 2, 3, 5, 7, 100, 4096, sent.len()] {
            let mut records = Records::default();
            let mut long = Vec::new();
            let mut passed = 0;
            for bytes in sent.chunks(cut) {
                records.passed(bytes);
                passed += bytes.len();
                if records.take_long() {
                    long.push(passed);
                }
                assert!(!records.lost);
            }
            assert_eq!((records.left(), records.known), (None, 0));
            // Where one ends together with a chunk, it is told.
            assert!(cut != 1 || long == [105 + 5 + (16 << 10)], "{long:?}");
        }
    }

    #[test]
    fn what_is_left_ends_the_record() {
        let mut records = Records::default();
        let sent = record(16 << 10);
        records.passed(&sent[..4096]);
        assert_eq!(records.left(), Some(sent.len() - 4096));
        assert!(!records.take_long());
        records.passed(&sent[4096..]);
        assert_eq!(records.left(), None);
        assert!(records.take_long() && !records.take_long());
        records.passed(&sent[..3]);
        assert_eq!(records.left(), None, "nobody knows yet");
    }

    #[test]
    fn what_is_no_record_is_not_followed() {
        for head in [[22, 2, 0, 0, 1], [71, 69, 84, 32, 47], [23, 3, 3, 0xff, 0xff]] {
            let mut records = Records::default();
            records.passed(&head);
            records.passed(&record(100)[..50]);
            assert_eq!((records.left(), records.take_long()), (None, false));
        }
    }
}
