//! A file that has its name, and not its place in the index yet.

use std::sync::Arc;

use super::super::io::FileId;
use super::super::{Disk, FileBody};
use crate::meta::Meta;

/// A finished file in its final place, not yet in the index.
pub(crate) struct Published<M: Meta> {
    pub(crate) file: Arc<FileBody>,
    pub(super) size: u64,
    pub(super) announced: Announced<M>,
}

/// As long as it is there, whoever removes the key of a file tells the log: the file may have its name
/// already, and not its slot yet. One that gets none is removed: it would come to life at the next
/// start.
pub(super) struct Announced<M: Meta> {
    disk: Arc<Disk<M>>,
    id: FileId,
    /// It has its name.
    pub(super) published: bool,
    pub(super) claimed: bool,
}

impl<M: Meta> Announced<M> {
    pub(super) fn new(disk: &Arc<Disk<M>>, id: &FileId) -> Self {
        disk.index().announce(id);
        Self { disk: Arc::clone(disk), id: *id, published: false, claimed: false }
    }
}

impl<M: Meta> Drop for Announced<M> {
    fn drop(&mut self) {
        self.disk.with_index(|index, _| {
            index.withdraw(&self.id);
            if self.published && !self.claimed {
                index.leave(&self.id);
            }
        });
    }
}
