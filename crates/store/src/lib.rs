//! Where responses live: a memory tier over a disk tier.
//!
//! The store does not know HTTP: keys, metadata and trailers are opaque bytes. A body is a stream
//! that can be read while it is written, by readers on any thread and runtime:
//! [`Store::begin`] gives the right to write one, [`Entry::reader`] follows it.
//!
//! What it never does: fail a request because a tier is full or broken, hold a lock while it waits,
//! wait for a disk on the thread of a caller once it is open (what the system has in memory is read
//! there), serve a byte from disk that was not verified, or remove a file that it did not write. It needs a tokio runtime with time enabled
//! wherever it waits.

mod body;
mod counted;
mod disk;
mod doorkeeper;
mod entry;
mod events;
mod fill;
mod followers;
mod kept;
mod key;
mod labels;
mod lent;
mod matcher;
mod memory;
mod memory_file;
mod meta;
mod options;
mod part;
mod reader;
mod readings;
mod reason;
mod standing;
mod stats;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod window;

pub use disk::is_in_use;
pub use entry::{Entry, Variants};
pub use fill::Fill;
pub use key::Key;
pub use labels::{Label, Labels, Moment};
pub use matcher::{Fate, Matcher};
pub use memory::allocated;
pub use memory_file::MemoryFile;
pub use meta::Meta;
pub use options::{Clock, DiskOptions, Options};
pub use part::Part;
pub use reader::Reader;
pub use reason::{Committed, Damage, NotStored, OpenError, ReadError, Refused, WriteError};
pub use stats::{Cleared, Stats};
pub use store::{PartOf, Store};
