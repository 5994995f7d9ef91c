//! The file that parts of one body are written into, by any number of fills at once.
//!
//! Each fill writes what the file is not known to have, at its own offset, and commits only what it
//! has written itself. What is committed is never written again; where two fills bring the same bytes
//! at the same time both write them, and whichever is read later is verified like everything else.
//! What a fill that broke off has left in the file nobody knows of: it is as if it were not there,
//! but for the room that it takes, which is measured.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::files::Handle;
use super::io::Io;
use super::lane::lock;
use super::{FileBody, Presence};

/// A file that fills write parts into.
pub(crate) struct PartFile {
    io: Arc<Io>,
    /// Bytes of the whole body.
    pub(crate) length: u64,
    /// Where it is until it has its name.
    temporary: PathBuf,
    /// Open for writing, once something is written.
    handle: Mutex<Option<Arc<Handle>>>,
    /// What it is in the store, once a part of it is.
    body: Mutex<Option<Arc<FileBody>>>,
    /// Held by the fill that gives the file its name and its place.
    pub(crate) naming: Arc<tokio::sync::Mutex<()>>,
    /// It may have a name. One that has no place then never gets one: what is written into it is lost.
    named: AtomicBool,
}

impl PartFile {
    /// A new file for a body of this length, or the one that a stored body is in.
    pub(crate) fn new(io: &Arc<Io>, length: u64, body: Option<Arc<FileBody>>) -> Arc<Self> {
        Arc::new(Self {
            io: Arc::clone(io),
            length,
            temporary: io.temporary_path(),
            handle: Mutex::default(),
            body: Mutex::new(body),
            naming: Arc::default(),
            named: AtomicBool::new(false),
        })
    }

    pub(crate) fn io(&self) -> &Arc<Io> {
        &self.io
    }

    pub(crate) fn body(&self) -> Option<Arc<FileBody>> {
        lock(&self.body).clone()
    }

    /// It has its place in the store, maybe under another name than before.
    pub(crate) fn placed(&self, body: &Arc<FileBody>) {
        *lock(&self.body) = Some(Arc::clone(body));
    }

    /// It gets its name.
    pub(crate) fn set_named(&self) {
        self.named.store(true, Ordering::Release);
    }

    /// True if nothing that is written into it can be found again. For who holds `naming`.
    pub(crate) fn has_failed(&self) -> bool {
        self.body().map_or_else(|| self.named.load(Ordering::Acquire), |body| body.is_gone())
    }

    /// The same for all others: one that is getting its name and place may still do so.
    pub(crate) fn is_lost(&self) -> bool {
        let is_settled = || self.naming.try_lock().is_ok();
        self.has_failed() && (self.body().is_some() || is_settled())
    }

    /// What of the body the store has.
    pub(crate) fn presence(&self) -> Arc<Presence> {
        self.body().map_or_else(|| Arc::new(Presence::none()), |body| body.presence())
    }

    /// The open file, if something has been written.
    pub(crate) fn open(&self) -> Option<Arc<Handle>> {
        lock(&self.handle).clone()
    }

    /// The file, created or opened if need be. Not for those who may not wait.
    pub(crate) fn handle(&self) -> io::Result<Arc<Handle>> {
        let mut open = lock(&self.handle);
        if let Some(handle) = &*open {
            return Ok(Arc::clone(handle));
        }
        let opened = match self.body() {
            Some(body) => self.io.files.open_to_change(&self.io.path(&body.id))?,
            None => self.io.files.create(&self.temporary)?,
        };
        Ok(Arc::clone(open.insert(Arc::new(opened))))
    }

    /// Moves the file to its place.
    pub(crate) fn name(&self, to: &std::path::Path) -> io::Result<()> {
        self.io.files.publish(&self.temporary, to)
    }

    /// Writes what of these bytes, which belong at `offset`, is not there.
    pub(crate) fn write(&self, handle: &Handle, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let range = offset..offset + bytes.len() as u64;
        for gap in self.presence().gaps(range, self.length) {
            let inside = (gap.start - offset) as usize..(gap.end - offset) as usize;
            handle.write(gap.start, &bytes[inside])?;
        }
        Ok(())
    }

    /// A fill has left something behind that nobody knows of: counts the room that it takes.
    pub(crate) fn left_behind(&self) {
        if let (Some(body), Some(handle)) = (self.body(), self.open()) {
            self.io.sometime(move || body.measure(&handle));
        }
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if self.body().is_none() && self.open().is_some() {
            self.io.discard(std::mem::take(&mut self.temporary));
        }
    }
}
