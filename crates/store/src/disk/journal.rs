//! The log of events in the directory of a store, so that what an event ended stays ended.
//!
//! ```text
//! header    8 bytes magic, u32 version, u32 zero, u64 floor: entries with labels that began before
//!           it are dead; u64 xxh3-64 of the header so far
//! records   u64 label, u64 number of its event, u64 xxh3-64 of the two, seeded with the checksum
//!           before it: none can be lost from the middle, doubled or moved
//! ```
//!
//! All numbers are little-endian. Records are only appended; a new log is written aside and moved
//! into place when too many records are out of date. Every doubt ends more rather than less: a log
//! that is missing, cut in the middle of a record or damaged ends everything labelled that was
//! stored before. So a log that cannot be written is taken away until it can be written again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::files::{Files, Handle};
use super::lane::{Lane, lock};
use crate::events::{Events, MOST, Table};
use crate::labels::Label;
use crate::stats::Counters;

const NAME: &str = "events";
const MAGIC: &[u8; 8] = b"cp-event";
const VERSION: u32 = 1;
const HEADER: usize = 32;
const RECORD: usize = 24;
/// Records beyond twice the labels remembered, above which the log is written anew.
const OUT_OF_DATE: u64 = 4096;
/// Bytes above which a log is not one of ours.
const LONGEST: u64 = (HEADER + 4 * MOST * RECORD) as u64;
/// Events that wait for a disk that hangs, above which those whose callers gave up are let go.
const CROWD: usize = 1024;

/// Writes events to the log, on a thread of its own.
pub(crate) struct Journal {
    lane: Arc<Lane>,
    shared: Arc<Shared>,
}

struct Shared {
    files: Files,
    directory: PathBuf,
    counters: Arc<Counters>,
    events: Arc<Events>,
    pending: Mutex<Pending>,
    /// Only the thread has it; `None` if the log has to be written anew.
    log: Mutex<Option<Log>>,
}

/// What the thread has to do next.
#[derive(Default)]
struct Pending {
    queued: bool,
    rewrite: bool,
    records: Vec<(Label, u64)>,
    /// Dropped when the records are on disk, or cannot be.
    answers: Vec<oneshot::Sender<()>>,
}

/// The log as it stands.
struct Log {
    handle: Handle,
    length: u64,
    /// The checksum of the last record, or of the header.
    chain: u64,
}

/// What a log says.
#[derive(Debug, PartialEq, Eq)]
struct Replayed {
    table: Table,
    length: u64,
    chain: u64,
}

impl Journal {
    /// Reads the log of a directory in which all files have numbers below `next`, none at all if
    /// that is `None`, and goes on with it.
    pub(crate) fn open<T: Send + Sync + 'static>(
        files: Files,
        directory: &Path,
        counters: &Arc<Counters>,
        next: Option<u64>,
        held: &Arc<T>,
    ) -> io::Result<(Self, Arc<Events>)> {
        let read = replay(&directory.join(NAME));
        let (table, log) = match (read, next) {
            (Some((read, file)), Some(_)) => {
                let Replayed { table, length, chain } = read;
                (table, Some(Log { handle: files.take(file), length, chain }))
            }
            // Events about entries of which none is left.
            (Some((read, _)), None) => (Table::ends_all_before(read.table.last()), None),
            (None, Some(next)) => {
                counters.event_logs_lost.add(1);
                (Table::ends_all_before(next), None)
            }
            (None, None) => (Table::default(), None),
        };
        let events = Arc::new(Events::after(table, next.unwrap_or(1)));
        let shared = Shared {
            directory: directory.to_owned(),
            counters: Arc::clone(counters),
            events: Arc::clone(&events),
            pending: Mutex::default(),
            log: Mutex::new(log),
            files,
        };
        // Before anything is stored: without a log nothing that is stored now would outlive a crash.
        shared.work();
        let journal =
            Self { lane: Lane::start("store-events", 1, held)?, shared: Arc::new(shared) };
        Ok((journal, events))
    }

    /// Queues an event for the log. The answer comes, as an error, when that is done with.
    pub(crate) fn append(&self, labels: &[Label], number: u64) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        let mut pending = lock(&self.shared.pending);
        pending.records.extend(labels.iter().map(|label| (*label, number)));
        if pending.records.len() > MOST {
            // They are in the table too.
            pending.records = Vec::new();
            pending.rewrite = true;
        }
        if pending.answers.len() > CROWD {
            pending.answers.retain(|answer| !answer.is_closed());
        }
        pending.answers.push(done);
        self.queue(&mut pending);
        answer
    }

    /// Queues a new log.
    pub(crate) fn rewrite(&self) {
        let mut pending = lock(&self.shared.pending);
        pending.rewrite = true;
        self.queue(&mut pending);
    }

    /// Waits until everything queued so far is on disk, or cannot be.
    pub(crate) async fn flush(&self) {
        let done = self.append(&[], 0);
        let _ = done.await;
    }

    /// Finishes what is queued, then ends the thread.
    pub(crate) fn close(&self, patience: Duration) {
        drop(self.append(&[], 0));
        self.lane.close();
        self.lane.join(patience);
    }

    fn queue(&self, pending: &mut Pending) {
        if !pending.queued {
            let shared = Arc::clone(&self.shared);
            pending.queued = self.lane.submit(move || shared.work());
        }
        if !pending.queued {
            // Closed: nothing will ever be written.
            pending.answers.clear();
        }
    }
}

impl Shared {
    fn work(&self) {
        let pending = std::mem::take(&mut *lock(&self.pending));
        let mut log = lock(&self.log);
        if self.keep(&mut log, &pending).is_err() {
            *log = None;
            self.counters.event_write_failures.add(1);
            // If not even that can be done, there is nothing left to do.
            drop(self.files.unlink(&self.directory.join(NAME)));
        }
    }

    fn keep(&self, log: &mut Option<Log>, pending: &Pending) -> io::Result<()> {
        let due = |log: &Log| log.records() > 2 * self.events.len() + OUT_OF_DATE;
        match log {
            Some(log) if !pending.rewrite && !due(log) => log.append(&pending.records),
            _ => {
                *log = Some(self.write_anew()?);
                Ok(())
            }
        }
    }

    /// Written aside and moved, so that it is whole or not there.
    fn write_anew(&self) -> io::Result<Log> {
        let (aside, path) = (self.directory.join("events.new"), self.directory.join(NAME));
        self.files.unlink(&aside)?;
        let handle = self.files.create(&aside)?;
        let (bytes, chain) = encode(&self.events.table());
        handle.write(0, &bytes)?;
        handle.sync()?;
        self.files.publish(&aside, &path)?;
        // Or the old one, without what is appended to this one, could come back.
        self.files.sync_directory(&self.directory)?;
        Ok(Log { handle, length: bytes.len() as u64, chain })
    }
}

impl Log {
    fn records(&self) -> u64 {
        self.length / RECORD as u64
    }

    fn append(&mut self, records: &[(Label, u64)]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(records.len() * RECORD);
        let mut chain = self.chain;
        for (label, number) in records {
            chain = put_record(&mut bytes, label.0, *number, chain);
        }
        self.handle.write(self.length, &bytes)?;
        self.handle.sync()?;
        self.length += bytes.len() as u64;
        self.chain = chain;
        Ok(())
    }
}

/// What the log says, and the log; `None` if there is any doubt.
fn replay(path: &Path) -> Option<(Replayed, File)> {
    let writable = OpenOptions::new().read(true).write(true).open(path);
    // That it cannot be written shows when it has to be.
    let file = writable.or_else(|_| File::open(path)).ok()?;
    let mut bytes = Vec::new();
    (&file).take(LONGEST + 1).read_to_end(&mut bytes).ok()?;
    let read = if bytes.len() as u64 > LONGEST { None } else { decode(&bytes) };
    Some((read?, file))
}

fn encode(table: &Table) -> (Vec<u8>, u64) {
    let mut bytes = Vec::with_capacity(HEADER + table.by_label.len() * RECORD);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&table.floor.to_le_bytes());
    let mut chain = xxh3_64(&bytes);
    bytes.extend_from_slice(&chain.to_le_bytes());
    for (label, number) in &table.by_label {
        chain = put_record(&mut bytes, *label, *number, chain);
    }
    (bytes, chain)
}

/// Appends a record and returns its checksum.
fn put_record(out: &mut Vec<u8>, label: u64, number: u64, chain: u64) -> u64 {
    let start = out.len();
    out.extend_from_slice(&label.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    let checksum = xxh3_64_with_seed(&out[start..], chain);
    out.extend_from_slice(&checksum.to_le_bytes());
    checksum
}

fn decode(bytes: &[u8]) -> Option<Replayed> {
    let (header, mut rest) = bytes.split_at_checked(HEADER)?;
    let (head, mut sum) = header.split_at(HEADER - 8);
    let mut floor = head.strip_prefix(MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?.get(4..)?;
    let mut table = Table { floor: number(&mut floor)?, ..Table::default() };
    let mut chain = number(&mut sum)?;
    if chain != xxh3_64(head) {
        return None;
    }
    while !rest.is_empty() {
        let (record, _) = rest.split_at_checked(RECORD - 8)?;
        let (label, event, sum) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
        if sum != xxh3_64_with_seed(record, chain) {
            return None;
        }
        chain = sum;
        let last = table.by_label.entry(label).or_default();
        *last = event.max(*last);
    }
    Some(Replayed { table, length: bytes.len() as u64, chain })
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(floor: u64, events: &[(u64, u64)]) -> Table {
        Table { floor, by_label: events.iter().copied().collect() }
    }

    /// A log of two events that was appended to.
    fn log() -> Vec<u8> {
        let (mut bytes, chain) = encode(&table(3, &[(7, 4)]));
        let chain = put_record(&mut bytes, 8, 6, chain);
        put_record(&mut bytes, 7, 5, chain);
        bytes
    }

    #[test]
    fn a_log_is_read_back_with_the_last_event_of_each_label() {
        let read = decode(&log()).unwrap();
        assert_eq!(read.table, table(3, &[(7, 5), (8, 6)]));
        assert_eq!(read.length, (HEADER + 3 * RECORD) as u64);
        let (empty, _) = encode(&Table::default());
        assert_eq!(decode(&empty).unwrap().table, Table::default());
    }

    #[test]
    fn every_flipped_bit_and_every_torn_record_is_noticed() {
        let log = log();
        for bit in 0..8 * log.len() {
            let mut damaged = log.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
        for length in 0..log.len() {
            let is_whole = length >= HEADER && (length - HEADER).is_multiple_of(RECORD);
            assert_eq!(decode(&log[..length]).is_some(), is_whole, "{length} bytes");
        }
        // Zeros, as a power cut may leave them.
        assert_eq!(decode(&[&log[..], &[0; RECORD]].concat()), None);
    }

    #[test]
    fn a_record_that_is_lost_doubled_or_moved_is_noticed() {
        let log = log();
        let (header, records) = log.split_at(HEADER);
        let (a, rest) = records.split_at(RECORD);
        let (b, c) = rest.split_at(RECORD);
        for parts in [vec![b, c], vec![a, c], vec![a, b, b, c], vec![b, a, c]] {
            assert_eq!(decode(&[header, &parts.concat()].concat()), None);
        }
    }
}
