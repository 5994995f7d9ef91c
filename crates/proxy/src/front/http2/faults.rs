//! Streams whose trailers are malformed, from the meter, which sees that before the codec does, to the
//! task that takes the content.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Those of one connection.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<u32>>);

impl Faults {
    fn streams(&self) -> MutexGuard<'_, Vec<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trailers of this stream are. Whether it is one of no more than `most` that nobody has asked
    /// for: what was noted is never given up for something newer.
    pub(super) fn note(&self, stream: u32, most: usize) -> bool {
        let mut streams = self.streams();
        if streams.len() >= most {
            return false;
        }
        streams.push(stream);
        true
    }

    /// Whether those of this stream are. What is told is forgotten.
    pub(super) fn take(&self, stream: u32) -> bool {
        let mut streams = self.streams();
        let at = streams.iter().position(|known| *known == stream);
        at.map(|at| streams.swap_remove(at)).is_some()
    }
}
