//! Starts the disk tier: what is in the directory, and how much of it is known.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};

use super::files::Files;
use super::hot::Hot;
use super::index::Index;
use super::io::{FileId, Io};
use super::journal::Journal;
use super::lane::{Closing, Lane};
use super::marker::{Found, Marker};
use super::open::Taken;
use super::recover::{Kills, ToFind};
use super::segment::{Kind, Listed, Log, Segments, largest_record, segment_size, short};
use super::snapshot::{self, Snapshot};
use super::work::{Item, Writer};
use super::{Disk, Held, open};
use crate::kept::Kept;
use crate::lent::Lent;
use crate::memory_file::MemoryFiles;
use crate::meta::Meta;
use crate::options::{DiskOptions, Options};
use crate::reason::OpenError;
use crate::stats::Counters;

/// Numbers that a killed process may have given out beyond what the disk tells: more than there can
/// be records in the segment that was open.
const JUMP: u64 = 1 << 32;

/// What the directory says.
struct Read {
    /// Oldest first.
    files: Vec<(FileId, u64)>,
    segments: Arc<Segments>,
    marker: Marker,
    newest: u32,
    /// The log may lack removals: nothing of what is there counts.
    untrusted: bool,
    snapshot: Option<Snapshot>,
    /// A number above all that were given out; `None` if nothing is there.
    next: Option<u64>,
}

impl<M: Meta> Disk<M> {
    /// Opens the directory and reads what is there. `lock` is that of the directory, if another process
    /// has given it away. The second value is the lock.
    pub(crate) fn open(
        options: &Options,
        disk: &DiskOptions,
        files: Files,
        memory_files: &Arc<MemoryFiles>,
        (kept, lent): (&Arc<Kept>, &Arc<Lent>),
        (counters, lock): (Arc<Counters>, Option<File>),
    ) -> Result<(Arc<Self>, Arc<Held>), OpenError> {
        let root = &disk.directory;
        let alone = lock.is_none();
        let Taken { lock, damage } = open::take(root, lock)?;
        if let Some(why) = damage {
            counters.damaged(why);
        }
        let held = Arc::new(Held::new(lock));
        let starting = |source| {
            let path = root.clone();
            OpenError::Io { doing: "starting threads for", path, source }
        };
        let read = read(&files, root, &counters, alone)?;
        let pieces = (Arc::clone(kept), Arc::clone(lent));
        let patience = options.disk_patience;
        let io = Io::start(files, root, patience, counters, pieces, &held).map_err(starting)?;
        let opened = Journal::open(io.files.clone(), root, &io.counters, read.next, &held);
        let (journal, events) = opened.map_err(starting)?;
        let finder = if read.is_known() {
            None
        } else {
            Some(Lane::start("store-finder", 1, &held).map_err(starting)?)
        };
        let size = segment_size(disk.capacity);
        let log = Log::new(&read.segments, size, read.newest);
        let below = events.number();
        let all = Listed { kind: Kind::AllGone, sequence: below, ..Listed::NOTHING };
        let owed = if read.untrusted { vec![all] } else { Vec::new() };
        let Read { files: found, segments, marker, newest, untrusted, snapshot, .. } = read;
        let tier = Arc::new_cyclic(|me| Self {
            io: Arc::new(io),
            index: Mutex::new(Index::new(disk.capacity, size, options.variants_per_key)),
            hot: Hot::new(),
            memory_files: Arc::clone(memory_files),
            queued: AtomicU64::new(0),
            queued_entries: AtomicU64::new(0),
            journal,
            events,
            health: Mutex::default(),
            clock: Arc::clone(&options.clock),
            largest: options.largest_on_disk(),
            whole: options.largest_in_memory(),
            largest_record: largest_record(disk.capacity),
            segment_size: size,
            root: root.clone(),
            writer: Mutex::new(Writer::new(log, marker, owed)),
            listed_bytes: AtomicU64::new(0),
            left: AtomicU64::new(0),
            finder,
            closing: Closing::default(),
            held: Mutex::new(Arc::clone(&held)),
            segments,
            me: Weak::clone(me),
        });
        tier.take_in(
            ToFind { segments: tier.segments.numbers(), newest, files: found },
            untrusted,
            snapshot,
        );
        Ok((tier, held))
    }

    /// Puts what is known into the index, and has the rest looked for.
    fn take_in(self: &Arc<Self>, find: ToFind, untrusted: bool, snapshot: Option<Snapshot>) {
        self.with_index(|index, hot| {
            index.segments = self.segments.bytes();
            index.unproven = find.files.iter().map(|(_, bytes)| bytes).sum();
            if untrusted {
                index.unproven = 0;
                let all = find.files.iter().map(|(id, _)| *id).collect();
                index.queue(Item::Leftovers(all));
                index.queue(Item::Clear(self.events.number()));
            } else if self.finder.is_none() {
                let mut records = snapshot.map(|snapshot| snapshot.records).unwrap_or_default();
                records.retain(|packed| !self.events.has_removed(packed.key, packed.sequence));
                index.load(&records, hot);
                self.take_files(index, &find.files);
                index.trim();
            } else {
                index.kills = Some(Kills::default());
            }
        });
        if let Some(finder) = &self.finder {
            self.left.store(find.segments.len() as u64 + 1, std::sync::atomic::Ordering::Release);
            let disk = Arc::clone(self);
            finder.submit(move || disk.recover(&find));
            // It has nothing else to do.
            finder.close();
        }
    }
}

impl<M: Meta> Disk<M> {
    /// Takes in the files, now that all records are known.
    pub(crate) fn take_files(&self, index: &mut Index<M>, files: &[(FileId, u64)]) {
        let mut leftovers = Vec::new();
        for (id, bytes) in files {
            let removed = self.events.has_removed(short(&id.key), id.sequence);
            if !index.found_file(id, *bytes, removed, &self.hot) {
                leftovers.push(*id);
            }
        }
        if !leftovers.is_empty() {
            index.queue(Item::Leftovers(leftovers));
        }
    }
}

impl Read {
    /// True if there are no records, or a snapshot tells them all.
    fn is_known(&self) -> bool {
        self.untrusted || self.snapshot.is_some() || self.segments.numbers().is_empty()
    }
}

fn read(files: &Files, root: &Path, counters: &Counters, alone: bool) -> Result<Read, OpenError> {
    let found = open::scan(root)?;
    let opened = Segments::open(files.clone(), root, alone);
    let segments = opened.map_err(open::doing("reading", &root.join("segments")))?;
    let opened = Marker::open(files, root);
    let (mut marker, said) = opened.map_err(open::doing("reading", &root.join("newest")))?;
    let is_empty = found.is_empty() && segments.numbers().is_empty();
    if is_empty {
        // Without it the next start trusts nothing; the next segment tries again.
        let _ = marker.put(0);
    }
    let untrusted = matches!(said, Found::Absent) && !is_empty;
    let newest = if let Found::There(Some(number)) = said { number } else { 0 };
    let snapshot = match snapshot::take(files, root, &segments) {
        Some(Ok(snapshot)) => Some(snapshot).filter(|_| !untrusted),
        Some(Err(why)) => {
            counters.damaged(why);
            None
        }
        None => None,
    };
    let told = [
        found.last().map(|(id, _)| id.sequence.saturating_add(1)),
        segments.born().map(|born| born.saturating_add(1)),
        snapshot.as_ref().map(|snapshot| snapshot.next),
    ];
    let next = told.into_iter().flatten().max();
    let jump = if snapshot.is_some() { 0 } else { JUMP };
    let next = next.map(|next| next.saturating_add(jump));
    Ok(Read {
        files: found,
        segments: Arc::new(segments),
        marker,
        newest,
        untrusted,
        snapshot,
        next,
    })
}
