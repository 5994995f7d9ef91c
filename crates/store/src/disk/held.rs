//! The lock of the directory, which all threads of the disk tier share.

use std::fs::File;
use std::sync::Mutex;

use super::lock;

/// An open lock file. The lock ends with the last descriptor of it, in whatever process that is.
pub(crate) struct Held(Mutex<Option<File>>);

impl Held {
    pub(crate) fn new(file: File) -> Self {
        Self(Mutex::new(Some(file)))
    }

    /// Another descriptor of the same lock.
    pub(crate) fn copy(&self) -> Option<File> {
        lock(&self.0).as_ref()?.try_clone().ok()
    }

    /// Gives up this process's share in it.
    pub(crate) fn let_go(&self) {
        lock(&self.0).take();
    }
}
