//! A store that goes over to another process while this one still serves.

use std::fs::File;

use super::Store;
use crate::meta::Meta;

impl<M: Meta> Store<M> {
    /// Leaves the directory as for a clean stop, and changes nothing there any more: what is stored from
    /// now on is in memory alone. What is on disk is still found. False if the disk takes too long;
    /// then all is as before. Nothing that is removed from now on is removed on disk: whoever freezes
    /// it has to see to that.
    pub async fn freeze(&self) -> bool {
        match &self.0.disk {
            Some(disk) => disk.freeze().await,
            None => true,
        }
    }

    /// Goes on with a frozen directory. No other process may use it any more, nor may one have stored
    /// anything there; what was removed meanwhile is removed.
    pub fn thaw(&self) {
        if let Some(disk) = &self.0.disk {
            disk.thaw();
        }
    }

    /// The lock of the frozen directory, for the process that goes on with it. The lock lasts as long
    /// as either has it.
    pub fn lock(&self) -> Option<File> {
        self.0.disk.as_ref()?.lock_of_directory()
    }

    /// Leaves a frozen directory to the other process for good.
    pub fn leave(&self) {
        if let Some(disk) = &self.0.disk {
            disk.abandon();
        }
    }
}
