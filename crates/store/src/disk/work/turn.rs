//! Parts that have become complete: their file becomes that of the whole, and nothing is copied.

use std::io;
use std::sync::Arc;

use super::super::files::Handle;
use super::super::io::FileId;
use super::super::write::end_in_place;
use super::super::{Disk, FileBody};
use super::Writer;
use crate::entry::Entry;
use crate::key::Key;
use crate::meta::Meta;

/// The file of parts that are complete, and what it becomes.
pub(crate) struct Turn<M> {
    pub(crate) key: Key,
    pub(crate) from: FileId,
    /// The whole, which answers until the file has its name.
    pub(crate) entry: Arc<Entry<M>>,
    pub(crate) to: Arc<FileBody>,
    /// Until then its readers have no other way to it.
    pub(crate) handle: Arc<Handle>,
    /// Bytes that were queued.
    pub(crate) size: u64,
}

/// Until it is dropped the old name is one that nobody knows.
struct Turned<'d, M: Meta> {
    disk: &'d Disk<M>,
    from: &'d FileId,
}

impl<M: Meta> Drop for Turned<'_, M> {
    fn drop(&mut self) {
        self.disk.index().withdraw(self.from);
    }
}

impl<M: Meta> Disk<M> {
    /// A new end, then a new name. Between them the file has the end of another one than its name
    /// says, which is damage, as is an end that is cut: after a crash it is a miss.
    pub(super) fn turn(&self, writer: &mut Writer<M>, turn: &Turn<M>) {
        let Turn { from, entry, to, .. } = turn;
        self.io.kept.forget(from.sequence);
        let _turned = Turned { disk: self, from };
        if self.index().beside(&to.id).is_none() {
            // The whole has gone already, and nobody else knows the old name.
            return self.unlink(writer, *from);
        }
        match self.put_in_place(turn) {
            Ok(size) => {
                self.index().resize(&to.id, size);
                self.wrote();
                self.settle(&to.id, entry, true);
            }
            Err(error) => {
                // Taken away behind our back, which says nothing against the disk.
                if error.kind() != io::ErrorKind::NotFound {
                    self.failed(&error, turn.size);
                }
                self.unlink(writer, *from);
                self.settle(&to.id, entry, false);
            }
        }
    }

    fn put_in_place(&self, turn: &Turn<M>) -> io::Result<u64> {
        let Turn { key, from, entry, to, handle, .. } = turn;
        let mut meta = Vec::new();
        entry.meta().encode(&mut meta);
        let size = end_in_place(handle, key, &meta, &[], to)?;
        self.io.files.publish(&self.io.path(from), &self.io.path(&to.id))?;
        Ok(size)
    }
}
