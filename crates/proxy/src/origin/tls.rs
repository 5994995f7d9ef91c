//! TLS towards the origin. The only module that knows the TLS library.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
pub(crate) use tokio_rustls::client::TlsStream;

use crate::failure::Failure;

/// Makes TLS connections that are checked against the system's root certificates.
#[derive(Clone)]
pub(crate) struct Connector {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// Why no TLS connection to the origin can ever be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The system has no root certificates.
    #[error("no root certificates were found on this system: {details}")]
    NoRoots {
        /// What the search for them said.
        details: String,
    },
    /// The host is no name that a certificate can carry.
    #[error("{host:?} is no name that a certificate can carry")]
    Name {
        /// The origin's host.
        host: String,
    },
    /// The TLS library refused its settings.
    #[error("the TLS library refused its settings: {0}")]
    Settings(#[from] rustls::Error),
}

impl Connector {
    pub(crate) fn new(host: &str) -> Result<Self, TlsSetupError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsSetupError::Name { host: host.to_owned() })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(system_roots()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn system_roots() -> Result<RootCertStore, TlsSetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let details = found.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Err(TlsSetupError::NoRoots { details });
    }
    Ok(roots)
}

/// What went wrong if TLS did, before, in or after the handshake; `None` if the connection did.
pub(crate) fn failure(error: &io::Error) -> Option<Failure> {
    Some(match inner(error)? {
        rustls::Error::InvalidCertificate(_) => Failure::TlsCertificate,
        rustls::Error::AlertReceived(_) => Failure::TlsAlert,
        _ => Failure::Tls,
    })
}

/// The number of the alert that the origin sent, by the registry of TLS alerts.
pub(crate) fn alert(error: &io::Error) -> Option<u8> {
    match inner(error)? {
        rustls::Error::AlertReceived(alert) => Some((*alert).into()),
        _ => None,
    }
}

fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
