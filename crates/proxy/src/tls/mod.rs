//! What both sides need of TLS: the one provider of cryptography, and certificates out of files.

mod certificates;
mod names;
mod pair;
mod settings;
mod stamp;
mod validity;
pub(crate) mod watch;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use self::certificates::CertificateInfo;
pub(crate) use self::certificates::Certificates;
pub(crate) use self::pair::{Pair, Time, roots};
pub use self::pair::{PairError, PairFiles};
pub use self::settings::{ClientAuth, TlsSettings};
pub(crate) use self::stamp::Stamp;

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
