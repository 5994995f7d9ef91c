//! Request ids: the client's own if it is well formed, else one of ours.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

/// The longest id of a client's that is kept.
const LONGEST: usize = 128;

/// The value of `X-Request-Id`: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(SmallVec<[u8; 24]>);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Makes ids that do not repeat within a process and hardly between processes.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u64,
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self { seed: RandomState::new().hash_one(0), next: AtomicU64::new(0) }
    }

    /// The id that the client gave, if it can stand in a log line as it is; else a new one.
    pub(crate) fn adopt(&self, given: Option<&[u8]>) -> RequestId {
        let sound = |id: &&[u8]| {
            (1..=LONGEST).contains(&id.len())
                && id
                    .iter()
                    .all(|&byte| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(&byte))
        };
        given.filter(sound).map_or_else(|| self.make(), |id| RequestId(SmallVec::from_slice(id)))
    }

    fn make(&self) -> RequestId {
        let mixed = self.chance();
        let digit = |shift: u32| b"0123456789abcdef"[(mixed >> shift) as usize & 15];
        RequestId((0..16).map(|place| digit(60 - 4 * place)).collect())
    }

    /// A number that is mixed so that neighbours look nothing alike (the finaliser of `SplitMix64`).
    pub(crate) fn chance(&self) -> u64 {
        // Only the worker's own thread makes them.
        let count = self.next.load(Ordering::Relaxed);
        self.next.store(count.wrapping_add(1), Ordering::Relaxed);
        let mut mixed = self.seed.wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_sound_id_is_kept_and_any_other_replaced() {
        let ids = Ids::new();
        assert_eq!(ids.adopt(Some(b"abc-123/x=")).as_str(), "abc-123/x=");
        for odd in [&b""[..], b"a b", b"a\"b", b"a\x80", &[b'x'; 129]] {
            assert_ne!(ids.adopt(Some(odd)).as_bytes(), odd);
        }
    }

    #[test]
    fn made_ids_differ() {
        let ids = Ids::new();
        let made: HashSet<_> = (0..10_000).map(|_| ids.adopt(None).to_string()).collect();
        assert_eq!(made.len(), 10_000);
        assert!(made.iter().all(|id| id.len() == 16));
    }
}
