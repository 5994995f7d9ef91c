//! Bytes that count as long as somebody has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Bytes that count as long as they are held, by whomever.
pub(crate) struct Counted {
    pub(crate) bytes: u64,
    pub(crate) sum: Arc<AtomicU64>,
}

impl Counted {
    /// Counts so many bytes, whatever there are.
    pub(crate) fn new(bytes: u64, sum: &Arc<AtomicU64>) -> Self {
        sum.fetch_add(bytes, Ordering::Relaxed);
        Self { bytes, sum: Arc::clone(sum) }
    }

    /// Counts so many bytes, if they are no more than `most` with all that count already.
    pub(crate) fn within(most: u64, bytes: u64, sum: &Arc<AtomicU64>) -> Option<Self> {
        let add = |held: u64| held.checked_add(bytes).filter(|held| *held <= most);
        let added = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.ok().map(|_| Self { bytes, sum: Arc::clone(sum) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes on the heap, and what goes with them when their last reader has done with them.
pub(crate) struct With<B, C> {
    bytes: B,
    _counted: C,
}

impl<B: AsRef<[u8]> + Send + 'static, C: Send + 'static> With<B, C> {
    pub(crate) fn bytes(bytes: B, counted: C) -> Bytes {
        Bytes::from_owner(Self { bytes, _counted: counted })
    }
}

impl<B: AsRef<[u8]>, C> AsRef<[u8]> for With<B, C> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}
