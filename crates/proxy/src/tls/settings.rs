//! What a listener with TLS is started with.

use std::path::PathBuf;
use std::time::Duration;

use super::pair::PairFiles;

/// Certificates, and what is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates and their keys. The first is also for clients that ask for no name, or for one
    /// that none of them has.
    pub pairs: Vec<PairFiles>,
    /// Whether clients show a certificate too.
    pub clients: ClientAuth,
    /// The origin is told of the certificates that lead to the authority of a client's too.
    pub tells_chain: bool,
    /// How often the files are looked at for changes.
    pub look: Duration,
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked to.
    Off,
    /// They may; it must be one of these authorities'.
    Optional {
        /// A file with the authorities' certificates.
        authorities: PathBuf,
    },
    /// They must.
    Required {
        /// A file with the authorities' certificates.
        authorities: PathBuf,
    },
}

impl TlsSettings {
    /// With these certificates, and nothing asked of clients.
    pub const fn new(pairs: Vec<PairFiles>) -> Self {
        Self { pairs, clients: ClientAuth::Off, tells_chain: false, look: Duration::from_secs(2) }
    }
}

impl ClientAuth {
    /// The file with the authorities' certificates.
    pub(super) const fn authorities(&self) -> Option<&PathBuf> {
        match self {
            Self::Off => None,
            Self::Optional { authorities } | Self::Required { authorities } => Some(authorities),
        }
    }
}
