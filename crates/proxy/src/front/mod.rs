//! Where clients come in: listeners, and one connection's life for each protocol.

mod content;
pub(crate) mod deliver;
pub(crate) mod http1;
pub(crate) mod listener;
mod socket;
mod waits;
