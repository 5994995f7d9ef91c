//! Files that get more of their bodies, part by part.

use std::sync::Arc;

use super::files::Handle;
use super::work::{Item, Turn};
use super::{Disk, FileBody};
use crate::entry::Entry;
use crate::key::Key;
use crate::meta::Meta;

impl<M: Meta> Disk<M> {
    /// True if parts of a body of this length are kept in a file together: each by itself would be a
    /// record, and the whole is none.
    pub(crate) fn keeps_parts_of(&self, length: u64) -> bool {
        self.largest_record < length && length <= self.largest
    }

    /// A file has got more of its body: queues its new end. Until that is written the entry itself
    /// answers. False if the file has no slot any more.
    pub(crate) fn grow(
        &self,
        key: &Key,
        entry: &Arc<Entry<M>>,
        file: &Arc<FileBody>,
        reserved: u64,
    ) -> bool {
        {
            let mut index = self.index();
            index.release(reserved);
            index.enlarge(&file.id, reserved);
        }
        self.change_meta(key, entry, file)
    }

    /// The body of a file of parts is complete: the file becomes that of `entry`, whose body is `to`.
    /// False if it has no slot any more.
    pub(crate) fn complete(
        &self,
        key: &Key,
        from: &FileBody,
        entry: &Arc<Entry<M>>,
        to: &Arc<FileBody>,
        handle: Arc<Handle>,
        reserved: u64,
    ) -> bool {
        let (key, from, entry) = (key.clone(), from.id, Arc::clone(entry));
        let size = (key.as_bytes().len() + entry.meta().weight()) as u64;
        let has_room = self.admit(size);
        let turned = self.with_index(|index, hot| {
            index.release(reserved);
            index.enlarge(&from, reserved);
            if !has_room {
                // With the old metadata it must not stay.
                index.remove(&from);
                return false;
            }
            let turned = index.turn(&from, to, Arc::clone(&entry), hot);
            if turned {
                let to = Arc::clone(to);
                index.queue(Item::Turn(Box::new(Turn { key, from, entry, to, handle, size })));
            }
            turned
        });
        if has_room && !turned {
            self.unqueue(size);
        }
        turned
    }

    /// True if this variant of a key was stored at that number or later.
    pub(crate) fn has_since(&self, key: &[u8; 32], variant: u64, number: u64) -> bool {
        self.slots(key).iter().any(|slot| slot.variant == variant && slot.sequence >= number)
    }
}
