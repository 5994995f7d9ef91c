//! Segments: large files to which small records are appended, in the order of their numbers.

mod format;
mod freshened;
mod list;
mod log;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use format::RecordHead;
pub(crate) use format::{About, HEAD, Kind, Listed, Parts, Record, record_size, short};
pub(crate) use freshened::{Reference, with_body};
pub(crate) use list::Listing;
pub(crate) use log::Log;

use super::files::{Files, Handle, create_directory};
use super::health::is_shortage;
use super::lane::lock;
use super::load::Trouble;
use super::place::Place;
use super::record_body::InRecord;
use crate::reason::Damage;

/// Segments that are kept open for reading.
const OPEN: usize = 256;
/// Bytes of a segment whatever the capacity, as far as a quarter of it allows.
const SMALLEST: u64 = 64 << 10;
const USUAL: u64 = 64 << 20;
const LARGEST: u64 = 1 << 30;
/// Segments in a disk that is large enough.
const PARTS: u64 = 16;
/// More segments than that make large disks slow to start.
const MOST: u64 = 1024;
/// Bytes of the largest record.
const SMALL: u64 = 256 << 10;
/// Records of the largest kind that a segment has to take.
const RECORDS: u64 = 8;

/// Bytes of a segment on a disk of this capacity.
pub(crate) fn segment_size(capacity: u64) -> u64 {
    let size = (capacity / PARTS).clamp(SMALLEST, USUAL).max(capacity / MOST).min(LARGEST);
    size.min(capacity / 4) / 8 * 8
}

/// Bytes of the largest record that goes into a segment.
pub(crate) fn largest_record(capacity: u64) -> u64 {
    SMALL.min(segment_size(capacity) / RECORDS)
}

/// The segments of a store.
pub(crate) struct Segments {
    files: Files,
    directory: PathBuf,
    /// The newest segment that another process may still read.
    shared: u32,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    all: BTreeMap<u32, Segment>,
    open: usize,
}

/// A record that was read and verified.
pub(crate) struct Found {
    pub(crate) listed: Listed,
    pub(crate) record: Record,
    /// Where the body is, and its segment, open.
    pub(crate) place: Place,
    pub(crate) segment: Arc<Handle>,
}

struct Segment {
    /// What is wrong if nothing is known about it.
    about: Result<About, Damage>,
    size: u64,
    handle: Option<Arc<Handle>>,
    /// Bodies in it that readers read from there.
    lent: Vec<Weak<InRecord>>,
}

impl Segments {
    /// Finds the segments below `root`, and reads their headers. Unless this process is `alone`, the one
    /// before it may still read them.
    pub(crate) fn open(files: Files, root: &Path, alone: bool) -> io::Result<Self> {
        let directory = root.join("segments");
        create_directory(&directory)?;
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(parse_name) else { continue };
            let about = about(&files, &entry.path(), number)?;
            let size = entry.metadata()?.len();
            all.insert(number, Segment { about, size, handle: None, lent: Vec::new() });
        }
        let newest = all.keys().next_back().copied().unwrap_or(0);
        let shared = if alone { 0 } else { newest };
        Ok(Self { files, directory, shared, known: Mutex::new(Known { all, open: 0 }) })
    }

    /// All numbers, oldest first.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        lock(&self.known).all.keys().copied().collect()
    }

    /// Number, salt and length of each: tells one state of the segments from every other.
    pub(crate) fn state(&self) -> Vec<(u32, u64, u64)> {
        let known = lock(&self.known);
        let salt = |segment: &Segment| segment.about.map_or(0, |about| about.salt);
        known.all.iter().map(|(number, one)| (*number, salt(one), one.size)).collect()
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.known).all.values().map(|segment| segment.size).sum()
    }

    /// The salt of a segment that is there.
    pub(crate) fn salt(&self, number: u32) -> Option<u64> {
        Some(lock(&self.known).all.get(&number)?.about.ok()?.salt)
    }

    pub(crate) fn size(&self, number: u32) -> u64 {
        lock(&self.known).all.get(&number).map_or(0, |segment| segment.size)
    }

    /// The highest sequence number that the headers tell of.
    pub(crate) fn born(&self) -> Option<u64> {
        let known = lock(&self.known);
        known.all.values().map(|segment| segment.about.map_or(0, |about| about.born)).max()
    }

    /// The oldest segment before `end`, and when it was begun.
    pub(crate) fn oldest(&self, end: u32) -> Option<(u32, u64)> {
        let known = lock(&self.known);
        let (number, segment) = known.all.range(..end).next()?;
        Some((*number, segment.about.map_or(0, |about| about.born)))
    }

    /// Creates a segment: an empty file with its header, of which `first` bytes are sure to be there.
    pub(crate) fn begin(
        &self,
        number: u32,
        born: u64,
        first: u64,
        size: u64,
    ) -> io::Result<(About, Arc<Handle>)> {
        let about = About { number, salt: RandomState::new().hash_one(number), born };
        let path = self.path(number);
        let handle = self.files.create(&path)?;
        let begun = handle.allocate(0, first).and_then(|()| handle.write(0, &about.header()));
        if let Err(error) = begun {
            // One that stays is a doubt at the next start, no more.
            let _ = self.files.unlink(&path);
            return Err(error);
        }
        let handle = Arc::new(handle);
        let segment =
            Segment { about: Ok(about), size, handle: Some(Arc::clone(&handle)), lent: Vec::new() };
        let mut known = lock(&self.known);
        known.all.insert(number, segment);
        known.open += 1;
        Ok((about, handle))
    }

    /// True if the file of a segment has its name.
    pub(crate) fn has_name(&self, number: u32) -> bool {
        self.path(number).exists()
    }

    pub(crate) fn set_size(&self, number: u32, size: u64) {
        if let Some(segment) = lock(&self.known).all.get_mut(&number) {
            segment.size = size;
        }
    }

    /// Removes the file of a segment, and says how many bytes it had. It stays known if that fails.
    pub(crate) fn remove(&self, number: u32) -> io::Result<u64> {
        let lent = self.opened_to_give_back(number);
        self.files.unlink(&self.path(number))?;
        let removed = {
            let mut known = lock(&self.known);
            let Some(removed) = known.all.remove(&number) else { return Ok(0) };
            known.open -= usize::from(removed.handle.is_some());
            removed
        };
        if let Some(segment) = lent {
            keep_only(&segment, &removed.lent, removed.size);
        }
        Ok(removed.size)
    }

    /// A segment in which bodies are lent, if nobody else can read it.
    fn opened_to_give_back(&self, number: u32) -> Option<Handle> {
        let is_lent = |segment: &Segment| segment.lent.iter().any(|body| body.strong_count() > 0);
        let is_ours =
            number > self.shared && lock(&self.known).all.get(&number).is_some_and(is_lent);
        is_ours.then(|| self.files.open_to_change(&self.path(number)).ok()).flatten()
    }

    /// Notes that readers read a body from its segment. False if that is going.
    pub(crate) fn lend(&self, number: u32, body: &Arc<InRecord>) -> bool {
        let mut known = lock(&self.known);
        let Some(segment) = known.all.get_mut(&number) else { return false };
        segment.lent.retain(|body| body.strong_count() > 0);
        segment.lent.push(Arc::downgrade(body));
        true
    }

    /// Reads and verifies the record at a place.
    pub(crate) fn read(&self, place: Place) -> Result<Found, Trouble> {
        let (about, handle) = self.handle(place.segment)?;
        let bytes = handle.read(u64::from(place.offset), place.length as usize)?;
        Ok(verified(&about, place, &bytes.into(), handle)?)
    }

    /// The same, if the segment is open and the system has the record in memory. Whatever else there
    /// is to say is said by a read that may wait.
    pub(crate) fn read_now(&self, place: Place) -> Option<Found> {
        let (about, handle) = {
            let known = lock(&self.known);
            let segment = known.all.get(&place.segment)?;
            (segment.about.ok()?, segment.handle.clone()?)
        };
        let mut bytes = vec![0; place.length as usize];
        let all = handle.read_now(u64::from(place.offset), &mut bytes);
        all.then(|| verified(&about, place, &bytes.into(), handle).ok()).flatten()
    }

    /// Lists the records of a segment.
    pub(crate) fn list(&self, number: u32) -> Result<Listing, Trouble> {
        let (about, handle) = self.handle(number)?;
        Ok(list::records(&handle, &about)?)
    }

    fn handle(&self, number: u32) -> Result<(About, Arc<Handle>), Trouble> {
        let found = {
            let known = lock(&self.known);
            let segment = known.all.get(&number).ok_or(Damage::Missing)?;
            (segment.about?, segment.handle.clone())
        };
        if let (about, Some(handle)) = found {
            return Ok((about, handle));
        }
        let handle = Arc::new(self.files.open(&self.path(number))?);
        lock(&self.known).keep(number, &handle);
        Ok((found.0, handle))
    }

    /// `segments/<number>`, in hex.
    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{number:08x}"))
    }
}

fn verified(
    about: &About,
    place: Place,
    bytes: &Bytes,
    segment: Arc<Handle>,
) -> Result<Found, Damage> {
    let head = RecordHead::decode(bytes, about.salt, place.offset)?;
    if head.listed.length != place.length {
        return Err(Damage::Size);
    }
    Ok(Found { listed: head.listed, record: head.record(bytes)?, place, segment })
}

/// A segment that has gone takes no room on the disk but for these bodies.
fn keep_only(segment: &Handle, lent: &[Weak<InRecord>], size: u64) {
    let mut lent: Vec<_> = lent.iter().filter_map(Weak::upgrade).collect();
    lent.sort_by_key(|body| body.range().start);
    let mut end = 0;
    for range in lent.iter().map(|body| body.range()).chain(std::iter::once(size..size)) {
        // What cannot be given back stays until nobody reads.
        let _ = segment.give_back(end..range.start.max(end));
        end = range.end.max(end);
    }
}

impl Known {
    fn keep(&mut self, number: u32, handle: &Arc<Handle>) {
        if self.open >= OPEN {
            self.all.values_mut().for_each(|segment| segment.handle = None);
            self.open = 0;
        }
        if let Some(segment) = self.all.get_mut(&number)
            && segment.handle.is_none()
        {
            segment.handle = Some(Arc::clone(handle));
            self.open += 1;
        }
    }
}

/// From the header, or from the trailer if that is damaged. Fails if the system has run out of
/// something, which is no damage.
fn about(files: &Files, path: &Path, number: u32) -> io::Result<Result<About, Damage>> {
    let read = || -> Result<About, Trouble> {
        let handle = files.open(path)?;
        let header = handle.read(0, HEAD as usize)?;
        match About::of_header(&header) {
            Ok(about) => Ok(about),
            Err(why) => match list::trailer(&handle, handle.len()?)? {
                Ok(trailer) => Ok(trailer.about),
                Err(_) => Err(why.into()),
            },
        }
    };
    Ok(match read() {
        Ok(about) if about.number == number => Ok(about),
        Ok(_) => Err(Damage::Identity),
        Err(Trouble::Damaged(why)) => Err(why),
        Err(Trouble::Io(error)) if is_shortage(&error) => return Err(error),
        Err(Trouble::Io(_)) => Err(Damage::Unreadable),
    })
}

fn parse_name(name: &str) -> Option<u32> {
    let number = u32::from_str_radix(name, 16).ok()?;
    // Only the one spelling that we write is ours.
    (format!("{number:08x}") == name).then_some(number)
}
