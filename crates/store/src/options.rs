//! How large a store may be and where it lives.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Time since any fixed point, never going back.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// With less, a few slow readers would have all others read more than once.
const LEAST_LENT: u64 = 8 * MIB;

/// Where the disk tier lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// Created if missing, with mode 0700; refused if it holds anything that is not a store.
    pub directory: PathBuf,
    /// Bytes of files it may hold, those under way included.
    pub capacity: u64,
}

/// How large a store may be and where it lives.
#[derive(Clone)]
pub struct Options {
    /// Bytes of memory for what is stored and for bodies under way together, everything counted that
    /// either takes: heads, keys, index, the rounding of the allocator. An eighth is set aside for
    /// bodies under way, see [`Stats::in_flight_bytes`](crate::Stats::in_flight_bytes); the memory
    /// tier has the rest, of which up to a third of all can go to pieces of large bodies on disk, see
    /// [`Store::divide_memory`](crate::Store::divide_memory). Once that eighth is taken, a body goes
    /// to disk or is only passed along, and takes no more than what is between its origin and the disk
    /// or its readers: up to 256 KiB, less where many go to disk, which 128 bodies at most do then.
    /// Outside of it are the index of the disk tier, what waits to be written
    /// ([`Stats::queued_bytes`](crate::Stats::queued_bytes), at most 32 MiB), and what has been read for
    /// readers of bodies on disk and not been taken by them (8 MiB, or a sixteenth of this if that is more,
    /// and beyond that 16 KiB for each). For what memory gives up while it is read, memory keeps as much
    /// less, down to a quarter, so that both together take up to a quarter more; beyond three quarters no
    /// body longer than 16 KiB goes there. See
    /// [`Stats::lent_bytes`](crate::Stats::lent_bytes).
    pub memory: u64,
    /// `None`: memory only, nothing survives a restart.
    pub disk: Option<DiskOptions>,
    /// Bytes of the largest body held in memory; default 1 MiB, or a sixteenth of `memory` if that is
    /// less. Never more than half of `memory`.
    pub largest_in_memory: Option<u64>,
    /// Bytes of the largest body on disk; default 1 GiB, or half of the capacity if that is more,
    /// and never more than the capacity.
    pub largest_on_disk: Option<u64>,
    /// Variants kept of one key; the least recently stored goes.
    pub variants_per_key: usize,
    /// How long the disk may take for one answer before a look-up is a miss and a fill goes on
    /// without it.
    pub disk_patience: Duration,
    /// Measures how long the disk rests after it failed.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory: 64 * MIB,
            disk: None,
            largest_in_memory: None,
            largest_on_disk: None,
            variants_per_key: 32,
            disk_patience: Duration::from_secs(1),
            clock: Arc::new(monotonic),
        }
    }
}

impl Options {
    /// Bytes for bodies under way.
    pub(crate) fn in_flight(&self) -> u64 {
        self.memory / 8
    }

    /// Bytes for the memory tier.
    pub(crate) fn memory_tier(&self) -> u64 {
        self.memory - self.in_flight()
    }

    /// Bytes that pieces of bodies on disk may take of the memory tier.
    pub(crate) fn kept(&self) -> u64 {
        if self.disk.is_some() { self.memory / 3 } else { 0 }
    }

    /// Bytes that readers of bodies on disk may hold together, but for a little each.
    pub(crate) fn lent(&self) -> u64 {
        LEAST_LENT.max(self.memory / 16)
    }

    pub(crate) fn largest_in_memory(&self) -> u64 {
        // A memory tier of one body would keep nothing else, so even a wish has its bound.
        self.largest_in_memory.unwrap_or(MIB.min(self.memory / 16)).min(self.memory / 2)
    }

    pub(crate) fn largest_on_disk(&self) -> u64 {
        let Some(disk) = &self.disk else { return 0 };
        self.largest_on_disk.unwrap_or_else(|| GIB.max(disk.capacity / 2)).min(disk.capacity)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("memory", &self.memory)
            .field("disk", &self.disk)
            .field("largest_in_memory", &self.largest_in_memory())
            .field("largest_on_disk", &self.largest_on_disk())
            .field("variants_per_key", &self.variants_per_key)
            .field("disk_patience", &self.disk_patience)
            .finish_non_exhaustive()
    }
}

fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_disk(capacity: u64) -> Options {
        let disk = Some(DiskOptions { directory: PathBuf::from("unused"), capacity });
        Options { disk, ..Options::default() }
    }

    #[test]
    fn two_gib_can_be_stored_on_eight() {
        assert!(with_disk(8 * GIB).largest_on_disk() >= 2 * GIB);
    }

    #[test]
    fn no_object_is_larger_than_the_tier_it_goes_to() {
        assert_eq!(with_disk(100 * MIB).largest_on_disk(), 100 * MIB);
        assert_eq!(Options { memory: MIB, ..Options::default() }.largest_in_memory(), MIB / 16);
    }

    #[test]
    fn the_default_clock_never_goes_back() {
        let clock = Options::default().clock;
        let first = clock();
        assert!(clock() >= first);
    }
}
