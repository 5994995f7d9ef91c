//! Hands the directory to another process, or takes it back.
//!
//! Frozen, the directory is as a clean stop leaves it, and stays so: nothing is written or removed.
//! What is in it can still be read: segments are open, files are opened by name and their pieces
//! verified, and one that the other process has removed is a miss.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Disk, lock};
use crate::meta::Meta;

/// How often a disk may take as long as it may for one answer until all is written.
const PATIENCE: u32 = 5;
/// How often a snapshot is tried. Without one the other process looks for the records.
const SNAPSHOTS: usize = 3;

impl<M: Meta> Disk<M> {
    /// Writes what is queued, leaves a snapshot, and writes nothing more. False if the disk does not
    /// get that done in time; then it goes on as before.
    pub(crate) async fn freeze(&self) -> bool {
        let frozen = timeout(PATIENCE * self.io.patience.max(Duration::from_millis(1)), async {
            // Bodies under way: they go on without the disk.
            self.io.seal(true);
            self.io.flush().await;
            self.finish_and_pause().await;
            // Last, so that what was removed since the snapshot is in the log of events.
            self.journal.freeze().await.is_ok()
        });
        let frozen = frozen.await.unwrap_or(false);
        if !frozen {
            self.thaw();
        }
        frozen
    }

    async fn finish_and_pause(&self) {
        let Some(disk) = self.me.upgrade() else { return };
        let (done, finished) = oneshot::channel();
        self.io.writer.submit(move || {
            // What is removed just then spoils a snapshot.
            let _ = (0..SNAPSHOTS).any(|_| disk.finish());
            disk.io.writer.pause_if(|| disk.io.is_sealed());
            let _ = done.send(());
        });
        let _ = finished.await;
    }

    /// Goes on where [`Disk::freeze`] stopped.
    pub(crate) fn thaw(&self) {
        self.io.seal(false);
        self.journal.thaw();
        if let Some(disk) = self.me.upgrade() {
            self.io.writer.submit(move || disk.look_again());
        }
        self.io.writer.resume();
    }

    /// Never writes again, and has no right to the directory any more. What waits to be written is
    /// told so.
    pub(crate) fn abandon(&self) {
        lock(&self.held).let_go();
        self.journal.abandon();
        self.io.writer.abandon();
    }
}
