//! Why there is no seat, and what is said of that.

use std::fmt;

use crate::failure::Denial;

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    Connections,
    /// The file descriptors are used up, but for those that are reserved.
    Descriptors,
    /// This client has as many as it may.
    Client {
        /// [`ConnectionLimits::client`].
        limit: usize,
    },
}

impl Full {
    /// What it is in the table of failures.
    pub(crate) const fn denial(self) -> Denial {
        match self {
            Self::Connections => Denial::ConnectionsFull,
            Self::Descriptors => Denial::DescriptorsFull,
            Self::Client { .. } => Denial::ClientFull,
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections => out.write_str("all connections that are permitted are in use"),
            Self::Descriptors => out.write_str("no file descriptor is left for another connection"),
            Self::Client { limit } => {
                write!(out, "this client has {limit} connections, which is all that it may have")
            }
        }
    }
}
