//! The log of events in the directory of a store, so that what an event ended stays ended.
//!
//! How it is written is in [`format`]. Records are only appended; a new log is written aside and moved
//! into place at each start and when too many records are out of date. Every doubt ends more rather
//! than less: a log that is missing, cut in the middle of a record or damaged ends everything that
//! was stored before. So a log that cannot be written is taken away until it can be written again.

mod format;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use self::format::{LONGEST, RECORD, Replayed, decode, encode, put_record};
use super::files::{Files, Handle};
use super::health::is_shortage;
use super::lane::{Lane, lock};
use crate::events::{Event, Events, MOST, Table};
use crate::stats::Counters;

const NAME: &str = "events";
/// Records beyond twice the subjects remembered, above which the log is written anew.
const OUT_OF_DATE: u64 = 4096;
/// Events that wait for a disk that hangs, above which those whose callers gave up are let go.
const CROWD: usize = 1024;

/// Writes events to the log, on a thread of its own.
pub(crate) struct Journal {
    lane: Arc<Lane>,
    /// Another process has the log.
    frozen: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

struct Shared {
    files: Files,
    directory: PathBuf,
    counters: Arc<Counters>,
    events: Arc<Events>,
    pending: Mutex<Pending>,
    /// Events that are not in the log yet.
    unwritten: AtomicUsize,
    /// Only the thread has it; `None` if the log has to be written anew.
    log: Mutex<Option<Log>>,
}

/// What the thread has to do next.
#[derive(Default)]
struct Pending {
    queued: bool,
    rewrite: bool,
    records: Vec<Event>,
    /// How many these are, or were before a new log became due.
    events: usize,
    /// Not even a power cut may lose them.
    sync: bool,
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
        let taken = next.unwrap_or(1);
        let (table, taken) = match (replay(&files, &directory.join(NAME))?, next) {
            (Some(read), Some(_)) => (read.table, read.taken.max(taken)),
            // Events about entries of which none is left.
            (Some(read), None) => (Table::ends_all_before(read.table.last()), read.taken),
            (None, Some(next)) => {
                counters.event_logs_lost.add(1);
                (Table::ends_all_before(next), next)
            }
            (None, None) => (Table::new(), taken),
        };
        let events = Arc::new(Events::after(table, taken));
        let shared = Shared {
            directory: directory.to_owned(),
            counters: Arc::clone(counters),
            events: Arc::clone(&events),
            pending: Mutex::default(),
            unwritten: AtomicUsize::new(0),
            log: Mutex::default(),
            files,
        };
        // Before anything is stored: without a log nothing that is stored now would outlive a crash,
        // and the next start has to know which numbers this one may give.
        shared.work();
        let lane = Lane::start("store-events", 1, held)?;
        Ok((Self { lane, frozen: Arc::default(), shared: Arc::new(shared) }, events))
    }

    /// Queues events for the log. The answer comes, as an error, when that is done with, and with all
    /// that was queued before.
    pub(crate) fn append(&self, events: Vec<Event>) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        let mut pending = lock(&self.shared.pending);
        pending.sync |= !events.is_empty();
        self.add(&mut pending, events);
        if pending.answers.len() > CROWD {
            pending.answers.retain(|answer| !answer.is_closed());
        }
        pending.answers.push(done);
        self.queue(&mut pending);
        answer
    }

    /// Queues an event that a power cut may undo.
    pub(crate) fn note(&self, event: Event) {
        let mut pending = lock(&self.shared.pending);
        self.add(&mut pending, vec![event]);
        self.queue(&mut pending);
    }

    /// Whether all that was queued is in the log, or cannot be.
    pub(crate) fn is_written(&self) -> bool {
        self.shared.unwritten.load(Ordering::Acquire) == 0
    }

    fn add(&self, pending: &mut Pending, events: Vec<Event>) {
        self.shared.unwritten.fetch_add(events.len(), Ordering::AcqRel);
        pending.events += events.len();
        pending.records.extend(events);
        if pending.records.len() > MOST {
            // They are in the table too.
            pending.records = Vec::new();
            pending.rewrite = true;
        }
    }

    /// Queues a new log.
    pub(crate) fn rewrite(&self) {
        let mut pending = lock(&self.shared.pending);
        pending.rewrite = true;
        self.queue(&mut pending);
    }

    /// Waits until everything queued so far is on disk, or cannot be.
    pub(crate) async fn flush(&self) {
        let done = self.append(Vec::new());
        let _ = done.await;
    }

    /// Finishes what is queued, then ends the thread.
    pub(crate) fn close(&self, patience: Duration) {
        drop(self.append(Vec::new()));
        self.lane.close();
        self.lane.join(patience);
    }

    /// From the moment when what was queued before is written, nothing more is. What is returned waits
    /// for that moment.
    pub(crate) fn freeze(&self) -> oneshot::Receiver<()> {
        let (done, frozen) = oneshot::channel();
        self.frozen.store(true, Ordering::SeqCst);
        let (lane, wanted) = (Arc::clone(&self.lane), Arc::clone(&self.frozen));
        self.lane.submit(move || {
            lane.pause_if(|| wanted.load(Ordering::SeqCst));
            let _ = done.send(());
        });
        frozen
    }

    /// Goes on after [`Journal::freeze`], with a new log: the directory was another's meanwhile.
    pub(crate) fn thaw(&self) {
        self.rewrite();
        self.frozen.store(false, Ordering::SeqCst);
        self.lane.resume();
    }

    /// Writes nothing any more; who waits for that is told so.
    pub(crate) fn abandon(&self) {
        self.lane.abandon();
        let mut pending = lock(&self.shared.pending);
        pending.queued = false;
        pending.answers.clear();
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
        self.unwritten.fetch_sub(pending.events, Ordering::AcqRel);
    }

    fn keep(&self, log: &mut Option<Log>, pending: &Pending) -> io::Result<()> {
        let due = |log: &Log| log.records() > 2 * self.events.len() + OUT_OF_DATE;
        match log {
            Some(log) if !pending.rewrite && !due(log) => log.append(pending),
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
        let (bytes, chain) = encode(&self.events.table(), self.events.taken);
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

    fn append(&mut self, pending: &Pending) -> io::Result<()> {
        if pending.records.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(pending.records.len() * RECORD);
        let mut chain = self.chain;
        for event in &pending.records {
            chain = put_record(&mut bytes, event, chain);
        }
        self.handle.write(self.length, &bytes)?;
        if pending.sync {
            self.handle.sync()?;
        }
        self.length += bytes.len() as u64;
        self.chain = chain;
        Ok(())
    }
}

/// What the log says; `None` if there is any doubt. Fails if the system has run out of something,
/// which says nothing about the log.
fn replay(files: &Files, path: &Path) -> io::Result<Option<Replayed>> {
    let read = || {
        let handle = files.open(path)?;
        let length = handle.len()?;
        if length > LONGEST { Ok(Vec::new()) } else { handle.read(0, length as usize) }
    };
    match read() {
        Ok(bytes) => Ok(decode(&bytes)),
        Err(error) if is_shortage(&error) => Err(error),
        Err(_) => Ok(None),
    }
}
