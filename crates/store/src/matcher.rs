//! What an event is about, and what becomes of the entries that it is about.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::labels::Label;

/// Which entries an event is about. The store does not know what keys mean: only their bytes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matcher<'a> {
    /// All that have this label.
    Label(Label),
    /// All variants of this key.
    Key(&'a [u8]),
    /// All whose keys begin with these bytes.
    Prefix(&'a [u8]),
    /// All.
    Everything,
}

/// What becomes of an entry by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No look-up finds it any more.
    Dead,
    /// It is found, and says since when it is stale, by the clock of whoever made the event.
    Stale {
        /// What that clock said, in milliseconds. Entries say it in whole seconds.
        since: i64,
    },
}

/// A matcher as it is remembered. Of a key or a prefix that is a hash with the store's own seed, so
/// that nobody can prepare keys that collide; a collision ends more, never less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Label(u64),
    Key(u64),
    Prefix {
        length: u32,
        hash: u64,
    },
    Everything,
    /// The files that a key had when it was removed, by the start of the key id. Their numbers count,
    /// not when their fetches began, and only at the next start: until then the index knows.
    Files(u64),
}

impl Subject {
    pub(crate) fn key(key: &[u8], seed: u64) -> Self {
        Self::Key(xxh3_64_with_seed(key, seed))
    }

    /// `None` if the bytes are fewer than that.
    pub(crate) fn prefix(bytes: &[u8], length: u32, seed: u64) -> Option<Self> {
        let bytes = bytes.get(..length as usize)?;
        Some(Self::Prefix { length, hash: xxh3_64_with_seed(bytes, seed) })
    }

    pub(crate) fn files(key_id: &[u8; 32]) -> Self {
        let start = key_id.first_chunk().copied().unwrap_or_default();
        Self::Files(u64::from_le_bytes(start))
    }

    /// The number of its kind, length and hash, as the log has them.
    pub(crate) const fn parts(self) -> (u32, u32, u64) {
        match self {
            Self::Label(hash) => (0, 0, hash),
            Self::Key(hash) => (1, 0, hash),
            Self::Prefix { length, hash } => (2, length, hash),
            Self::Everything => (3, 0, 0),
            Self::Files(hash) => (4, 0, hash),
        }
    }

    pub(crate) const fn of_parts(kind: u32, length: u32, hash: u64) -> Option<Self> {
        Some(match kind {
            0 => Self::Label(hash),
            1 => Self::Key(hash),
            2 => Self::Prefix { length, hash },
            3 => Self::Everything,
            4 => Self::Files(hash),
            _ => return None,
        })
    }
}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.parts().2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_comes_back_from_its_parts() {
        let prefix = Subject::prefix(b"abc", 2, 7).unwrap();
        let all = [
            Subject::Label(1),
            Subject::key(b"abc", 7),
            prefix,
            Subject::Everything,
            Subject::files(&[3; 32]),
        ];
        for subject in all {
            let (kind, length, hash) = subject.parts();
            assert_eq!(Subject::of_parts(kind, length, hash), Some(subject));
        }
        assert_eq!(Subject::of_parts(5, 0, 0), None);
        assert_eq!(Subject::prefix(b"ab", 3, 7), None);
        assert_eq!(Subject::prefix(b"abx", 2, 7), Some(prefix));
        assert_ne!(Subject::key(b"abc", 7), Subject::key(b"abc", 8));
    }
}
