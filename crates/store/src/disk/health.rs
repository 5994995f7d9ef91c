//! How the disk does, by what its last operations gave, and what is asked of it then.
//!
//! A write that fails for any other reason than a broken device (no room, no permission) has the disk
//! rest: nothing is written for a while. A device that fails to read or to write so many times in a
//! row is left alone, neither written nor read, each time for longer; after that one more failure is
//! enough. A single failure costs what it was about, and nothing more.

use std::io;

use rustix::io::Errno;

use super::{Disk, lock};
use crate::meta::Meta;

/// Milliseconds for which nothing is written after a write failed.
const REST: u64 = 10_000;
/// Failures of the device in a row after which it is left alone.
const FAILURES: u32 = 5;
/// Milliseconds for which it is left alone at first, and at most.
const ALONE: u64 = 60_000;
const LONGEST: u64 = 60 * ALONE;

/// What is known of the disk.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Failures of the device in a row.
    writes: u32,
    reads: u32,
    rest: Span,
    alone: Span,
    /// Its directory is another's now.
    lost: bool,
}

/// Some time. It is over as well when the clock goes back behind its start.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u64,
    length: u64,
}

impl Span {
    fn has(self, now: u64) -> bool {
        now.checked_sub(self.start).is_some_and(|passed| passed < self.length)
    }
}

impl Health {
    pub(crate) fn wrote(&mut self) {
        self.writes = 0;
        self.recover();
    }

    pub(crate) fn read(&mut self) {
        self.reads = 0;
        self.recover();
    }

    /// Forgets for how long the device was left alone, once it does well in every way.
    fn recover(&mut self) {
        if (self.writes, self.reads) == (0, 0) {
            self.alone = Span::default();
        }
    }

    /// A write failed. True if the device is left alone from now on.
    pub(crate) fn write_failed(&mut self, error: &io::Error, now: u64) -> bool {
        if error.kind() == io::ErrorKind::NotFound {
            // Removed behind our back, which says nothing against the disk.
            return false;
        }
        if !is_broken(error) {
            self.rest = Span { start: now, length: REST };
            return false;
        }
        self.writes += 1;
        self.judge(now)
    }

    /// A read failed. True if the device is left alone from now on.
    pub(crate) fn read_failed(&mut self, error: &io::Error, now: u64) -> bool {
        self.reads += u32::from(is_broken(error));
        is_broken(error) && self.judge(now)
    }

    fn judge(&mut self, now: u64) -> bool {
        let due = self.writes.max(self.reads) >= FAILURES && !self.alone.has(now);
        if due {
            let length = (2 * self.alone.length).clamp(ALONE, LONGEST);
            self.alone = Span { start: now, length };
        }
        due
    }

    /// True if the disk may be written to.
    pub(crate) fn may_write(&self, now: u64) -> bool {
        !self.rest.has(now) && self.may_read(now)
    }

    pub(crate) fn may_read(&self, now: u64) -> bool {
        !self.lost && !self.alone.has(now)
    }

    /// Another process has the directory: it is left alone for good.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    /// Ends all rest: there is no other time.
    pub(crate) fn wake(&mut self) {
        self.rest = Span::default();
    }
}

/// True if the device itself failed.
fn is_broken(error: &io::Error) -> bool {
    let broken = [Errno::IO, Errno::NXIO, Errno::NODEV];
    Errno::from_io_error(error).is_some_and(|errno| broken.contains(&errno))
}

/// True if the file system has no room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// True if the system ran out of something, which says nothing about the file.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

impl<M: Meta> Disk<M> {
    pub(crate) fn is_resting(&self) -> bool {
        !lock(&self.health).may_write(self.now())
    }

    /// True if nothing new is written, for whatever reason.
    pub(crate) fn takes_nothing(&self) -> bool {
        self.io.is_sealed() || self.is_resting()
    }

    /// True if the device is not even read.
    pub(crate) fn is_left_alone(&self) -> bool {
        !lock(&self.health).may_read(self.now())
    }

    pub(crate) fn wrote(&self) {
        lock(&self.health).wrote();
    }

    /// A write failed. If the file system is full before the cache is, the cache makes room for itself,
    /// so many bytes, once.
    pub(crate) fn failed(&self, error: &io::Error, bytes: u64) {
        self.io.counters.disk_write_failures.add(1);
        if lock(&self.health).write_failed(error, self.now()) {
            self.io.counters.disk_left_alone.add(1);
        }
        if is_full(error) && bytes > 0 {
            self.with_index(|index, _| index.want(bytes));
        }
    }

    /// A read failed.
    pub(crate) fn read_failed(&self, error: &io::Error) {
        if lock(&self.health).read_failed(error, self.now()) {
            self.io.counters.disk_left_alone.add(1);
        }
    }

    fn now(&self) -> u64 {
        (self.clock)().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: Errno) -> io::Error {
        errno.into()
    }

    #[test]
    fn a_write_that_finds_no_room_has_the_disk_rest() {
        let mut health = Health::default();
        assert!(health.may_write(0));
        assert!(!health.write_failed(&error(Errno::NOSPC), 5));
        assert!(!health.may_write(5) && !health.may_write(10_004) && health.may_read(5));
        assert!(health.may_write(10_005));
        assert!(health.may_write(4), "a clock that goes back does not make it longer");
    }

    #[test]
    fn a_device_that_fails_five_times_in_a_row_is_left_alone_each_time_for_longer() {
        let mut health = Health::default();
        for _ in 0..4 {
            assert!(!health.write_failed(&error(Errno::IO), 0));
            assert!(health.may_write(0));
        }
        health.wrote();
        for _ in 0..4 {
            assert!(!health.write_failed(&error(Errno::IO), 0));
        }
        assert!(health.write_failed(&error(Errno::IO), 0), "the fifth in a row");
        assert!(!health.may_write(59_999) && !health.may_read(59_999) && health.may_write(60_000));
        // What was under way does not count again.
        assert!(!health.write_failed(&error(Errno::IO), 1));
        assert!(health.write_failed(&error(Errno::IO), 60_000), "not any better");
        assert!(!health.may_read(179_999) && health.may_read(180_000));
        let mut now = 180_000;
        for _ in 0..20 {
            assert!(health.write_failed(&error(Errno::IO), now));
            now += LONGEST;
            assert!(health.may_write(now));
        }
        health.wrote();
        assert!(!health.write_failed(&error(Errno::IO), now), "well again");
    }

    #[test]
    fn reads_that_go_well_do_not_make_up_for_writes_that_fail() {
        let mut health = Health::default();
        for _ in 0..4 {
            assert!(!health.write_failed(&error(Errno::IO), 0));
            assert!(!health.read_failed(&error(Errno::IO), 0));
            health.read();
        }
        assert!(!health.read_failed(&error(Errno::MFILE), 0));
        assert!(health.write_failed(&error(Errno::IO), 0));
    }
}
