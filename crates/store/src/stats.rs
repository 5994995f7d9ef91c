//! What a store holds and what happened to it: gauges and counters for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::reason::Damage;

/// What a store holds and what happened to it since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that a look-up can find in memory, each with its variants.
    pub memory_entries: u64,
    /// Bytes of the memory tier in use: bodies, metadata, keys, and what index and allocator add.
    /// Together with `in_flight_bytes` never more than [`Options::memory`](crate::Options::memory).
    pub memory_bytes: u64,
    /// Of these, bytes of pieces of large bodies that are on disk.
    pub kept_bytes: u64,
    /// Bytes in memory, beside `memory_bytes`, that only readers hold: read from the disk for them, or
    /// given up, or never taken, by memory. What is no longer than 16 KiB is not counted.
    pub lent_bytes: u64,
    /// Entries of the disk tier, those still queued included.
    pub disk_entries: u64,
    /// Bytes of these records and files, and of files under way.
    pub disk_bytes: u64,
    /// Bytes of the segments in which small entries are, room that is set aside included.
    pub segment_bytes: u64,
    /// Bytes of memory that the index of the disk tier takes, marks and lists included.
    pub index_bytes: u64,
    /// Segments whose records are still to be found after a crash; what is in them is a miss.
    pub segments_to_recover: u64,
    /// Bytes of bodies under way held in memory, and what their fills take. Not part of
    /// `memory_bytes`.
    pub in_flight_bytes: u64,
    /// Bytes waiting to be written to disk in the background.
    pub queued_bytes: u64,
    /// Entries that the memory tier gave up to make room.
    pub memory_evictions: u64,
    /// Entries that the disk tier gave up to make room.
    pub disk_evictions: u64,
    /// Bytes of small entries that were given to the log.
    pub log_stored_bytes: u64,
    /// Bytes of entries in the log that were copied to its end because they were hit.
    pub log_copied_bytes: u64,
    /// Bytes written to the log: by how much this is more than what was stored is what the log costs.
    pub log_written_bytes: u64,
    /// Failed creations, writes and renames.
    pub disk_write_failures: u64,
    /// Failed opens and reads, damage not included.
    pub disk_read_errors: u64,
    /// Times the disk was left alone for a while because it failed five times in a row.
    pub disk_left_alone: u64,
    /// Reads that took longer than the disk may take.
    pub disk_timeouts: u64,
    /// Bodies not written to disk because its queue was full.
    pub queue_full_skips: u64,
    /// Bodies not written to disk, and entries not read from it, because it rests after a failure.
    pub resting_skips: u64,
    /// Bodies delivered but not kept because they had no room or grew too large.
    pub passed_along: u64,
    /// Subjects of invalidations that are remembered: labels, keys, prefixes, removals.
    pub events: u64,
    /// Failed attempts to write invalidations to disk. They count all the same, but after a crash
    /// everything on disk is dropped.
    pub event_write_failures: u64,
    /// Records of invalidations found damaged or missing at the start: everything that was stored
    /// before was dropped.
    pub event_logs_lost: u64,
    /// Records, files and parts of the log dropped as damaged, with the reason.
    pub damaged: [(Damage, u64); Damage::ALL.len()],
}

/// What [`clear`](crate::Store::clear) removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Entries of both tiers, each counted once.
    pub entries: u64,
    /// Bytes they took in memory and on disk.
    pub bytes: u64,
}

/// The live counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) memory_evictions: Counter,
    pub(crate) log_stored: Counter,
    pub(crate) log_copied: Counter,
    pub(crate) log_written: Counter,
    pub(crate) disk_write_failures: Counter,
    pub(crate) disk_read_errors: Counter,
    pub(crate) disk_left_alone: Counter,
    pub(crate) disk_timeouts: Counter,
    pub(crate) queue_full_skips: Counter,
    pub(crate) resting_skips: Counter,
    pub(crate) passed_along: Counter,
    pub(crate) event_write_failures: Counter,
    pub(crate) event_logs_lost: Counter,
    damaged: [Counter; Damage::ALL.len()],
}

impl Counters {
    pub(crate) fn damaged(&self, why: Damage) {
        self.damaged[why as usize].add(1);
    }

    /// Copies the counters; the gauges stay zero for the tiers to fill in.
    pub(crate) fn read(&self) -> Stats {
        Stats {
            memory_evictions: self.memory_evictions.get(),
            log_stored_bytes: self.log_stored.get(),
            log_copied_bytes: self.log_copied.get(),
            log_written_bytes: self.log_written.get(),
            disk_write_failures: self.disk_write_failures.get(),
            disk_read_errors: self.disk_read_errors.get(),
            disk_left_alone: self.disk_left_alone.get(),
            disk_timeouts: self.disk_timeouts.get(),
            queue_full_skips: self.queue_full_skips.get(),
            resting_skips: self.resting_skips.get(),
            passed_along: self.passed_along.get(),
            event_write_failures: self.event_write_failures.get(),
            event_logs_lost: self.event_logs_lost.get(),
            damaged: Damage::ALL.map(|why| (why, self.damaged[why as usize].get())),
            ..Stats::default()
        }
    }
}

/// A number that threads add to without agreeing on an order.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
