//! Tests of the whole store: one contract for every set-up, then what is special to the disk.

mod alike;
mod bits;
mod contract;
mod crash;
mod damage;
mod directory;
mod events;
mod faults;
mod following;
mod freshened;
mod frozen;
mod health;
mod kept;
mod lent;
mod model;
mod open_files;
mod part_models;
mod parts;
mod passing;
mod pressed;
mod purges;
mod rebuilt;
mod recovery;
mod room;
mod segments;
mod sharing;
mod short;
mod starting;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use crate::disk::Files;
use crate::{Committed, DiskOptions, Entry, Key, Labels, Meta, Options, ReadError, Reader, Store};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

/// Metadata of tests: a variant and some text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) variant: String,
    pub(crate) text: String,
    pub(crate) labels: Labels,
}

impl Meta for Label {
    fn encode(&self, out: &mut Vec<u8>) {
        self.labels.encode(out);
        out.extend_from_slice(format!("{}\n{}", self.variant, self.text).as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (labels, bytes) = Labels::decode(bytes)?;
        let (variant, text) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        Some(Label { labels, ..label(variant, text) })
    }

    fn weight(&self) -> usize {
        self.variant.len() + self.text.len()
    }

    fn variant(&self) -> &[u8] {
        self.variant.as_bytes()
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn is_partial(&self) -> bool {
        self.variant.starts_with(PARTS_OF)
    }

    fn completed(&self) -> Option<Self> {
        let variant = self.variant.strip_prefix(PARTS_OF)?.to_owned();
        Some(Label { variant, ..self.clone() })
    }
}

/// Begins the names of variants that are parts.
pub(crate) const PARTS_OF: &str = "parts of ";

pub(crate) fn label(variant: &str, text: &str) -> Label {
    Label { variant: variant.to_owned(), text: text.to_owned(), labels: Labels::NONE.clone() }
}

/// A store to be and the directory it may use.
pub(crate) struct Setup {
    pub(crate) options: Options,
    pub(crate) files: Files,
    pub(crate) millis: Arc<AtomicU64>,
    directory: TempDir,
}

impl Setup {
    /// A store of so many bytes of memory and of disk; no disk if that is 0.
    pub(crate) fn new(memory: u64, capacity: u64) -> Self {
        Self::within(&std::env::temp_dir(), memory, capacity)
    }

    /// The same where syncing takes no time, if there is such a place: for small stores that are
    /// opened thousands of times.
    pub(crate) fn quick(memory: u64, capacity: u64) -> Self {
        let shared = Path::new("/dev/shm");
        if shared.is_dir() {
            Self::within(shared, memory, capacity)
        } else {
            Self::new(memory, capacity)
        }
    }

    fn within(place: &Path, memory: u64, capacity: u64) -> Self {
        let directory = tempfile::tempdir_in(place).unwrap();
        let path = directory.path().join("store");
        let disk = (capacity > 0).then_some(DiskOptions { directory: path, capacity });
        let millis = Arc::new(AtomicU64::new(0));
        let now = Arc::clone(&millis);
        let clock = Arc::new(move || Duration::from_millis(now.load(Ordering::SeqCst)));
        let disk_patience = Duration::from_secs(30);
        let options = Options { memory, disk, disk_patience, clock, ..Options::default() };
        Self { options, files: Files::default(), millis, directory }
    }

    pub(crate) fn open(&self) -> Store<Label> {
        Store::open_with(&self.options, self.files.clone()).unwrap()
    }

    pub(crate) fn has_disk(&self) -> bool {
        self.options.disk.is_some()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// All stored files.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        files_below(&self.root().join("objects"))
    }

    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let mut found = files_below(&self.root().join("segments"));
        found.sort();
        found
    }

    /// The place that a stored file of another set-up has in this one.
    pub(crate) fn objects_of(&self, path: &Path) -> PathBuf {
        let mut parts = path.components().rev();
        let (name, directory) = (parts.next().unwrap(), parts.next().unwrap());
        self.root().join("objects").join(directory).join(name)
    }

    /// Bytes of all that is stored, as the file system says.
    pub(crate) fn on_disk(&self) -> u64 {
        let all = self.objects().into_iter().chain(self.segments()).chain(self.temporaries());
        all.map(|path| path.metadata().map_or(0, |about| about.len())).sum()
    }

    /// What a process finds that starts now, were this one killed.
    pub(crate) fn copy(&self) -> Self {
        let place = self.directory.path().parent().unwrap();
        let directory = tempfile::tempdir_in(place).unwrap();
        copy_all(&self.root(), &directory.path().join("store"));
        let mut options = self.options.clone();
        options.disk.as_mut().unwrap().directory = directory.path().join("store");
        Self { options, files: Files::default(), millis: Arc::clone(&self.millis), directory }
    }

    pub(crate) fn temporaries(&self) -> Vec<PathBuf> {
        files_below(&self.root().join("tmp"))
    }
}

pub(crate) fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_all(&path, &to);
        } else {
            std::fs::copy(path, to).unwrap();
        }
    }
}

/// Waits until a store knows all that a crash left.
pub(crate) fn recovered(store: Store<Label>) -> Store<Label> {
    while store.stats().segments_to_recover > 0 {
        std::thread::yield_now();
    }
    store
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn body(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while (bytes.len() as u64) < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&(state ^ (state >> 32)).to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name.as_bytes())
}

/// Stores a body in chunks, with the trailers `trailers of <text>`.
pub(crate) async fn put(
    store: &Store<Label>,
    key: &Key,
    label: Label,
    body: &[u8],
) -> Result<Committed, crate::Refused> {
    let tail = format!("trailers of {}", label.text);
    let mut fill = store.begin(key.clone(), label, None)?;
    for chunk in body.chunks(10_000) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    Ok(fill.commit(tail.as_bytes()).await)
}

pub(crate) async fn stored(store: &Store<Label>, key: &Key, label: Label, body: &[u8]) {
    assert_eq!(put(store, key, label, body).await, Ok(Committed::Stored));
}

pub(crate) async fn read(mut reader: Reader<Label>) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().await? {
        assert!(!chunk.is_empty() && chunk.len() as u64 <= 256 * KIB);
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

pub(crate) async fn find(
    store: &Store<Label>,
    key: &Key,
    variant: &str,
) -> Option<Arc<Entry<Label>>> {
    let found = store.look_up(key).await?;
    found.iter().find(|entry| entry.meta().variant == variant).cloned()
}

/// Text and body of what is stored, after checking that all parts belong together.
pub(crate) async fn get(
    store: &Store<Label>,
    key: &Key,
    variant: &str,
) -> Option<(String, Vec<u8>)> {
    let entry = find(store, key, variant).await?;
    let body = read(entry.reader()).await.unwrap();
    assert!(entry.is_complete());
    assert_eq!(entry.length(), Some(body.len() as u64));
    let in_memory = entry.in_memory().map(|pieces| pieces.collect::<Vec<_>>().concat());
    assert_eq!(in_memory.unwrap_or_else(|| body.clone()), body);
    Some((entry.meta().text.clone(), body))
}

/// A gate that operations wait at while it is shut.
#[derive(Default)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    moved: Condvar,
    arrived: AtomicBool,
}

impl Gate {
    pub(crate) fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.moved.notify_all();
    }

    pub(crate) fn pass(&self) {
        self.arrived.store(true, Ordering::SeqCst);
        drop(self.moved.wait_while(self.shut.lock().unwrap(), |shut| *shut).unwrap());
    }

    /// Waits until somebody stands before it.
    pub(crate) async fn reached(&self) {
        while !self.arrived.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }
}
