//! TLS towards the origin.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
pub(crate) use tokio_rustls::client::TlsStream;

use super::unchecked::Unchecked;
use super::url::Protocol;
use crate::failure::Failure;
use crate::tls::{self, Pair, PairError, PairFiles};

/// How an origin is asked for its certificate, and what it is shown. For the usual origin nothing of
/// this is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginTls {
    /// A file with the certificates of the authorities that are trusted, in place of the system's.
    pub authorities: Option<PathBuf>,
    /// What the proxy shows of itself.
    pub identity: Option<PairFiles>,
    /// The name that is asked for and that the certificate must be for, in place of the URL's host.
    pub name: Option<TlsName>,
    /// Take any certificate.
    pub unchecked: bool,
}

/// A name or an address that a certificate can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsName(ServerName<'static>);

impl TlsName {
    /// Reads it; `None` if no certificate can carry it.
    pub fn parse(text: &str) -> Option<Self> {
        ServerName::try_from(text.to_owned()).ok().map(Self)
    }
}

/// Makes TLS connections.
#[derive(Clone)]
pub(crate) struct Connector {
    /// Offers HTTP/1.1 alone.
    http1: TlsConnector,
    /// Offers what the settings say.
    usual: TlsConnector,
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
    /// A certificate, a key or a list of authorities is no good.
    #[error("for the origin: {0}")]
    File(#[from] PairError),
    /// The TLS library refused its settings.
    #[error("the TLS library refused its settings: {0}")]
    Settings(#[from] rustls::Error),
}

impl Connector {
    pub(crate) fn new(
        host: &str,
        settings: &OriginTls,
        protocol: Protocol,
    ) -> Result<Self, TlsSetupError> {
        let name = settings.name.clone().or_else(|| TlsName::parse(host));
        let TlsName(name) = name.ok_or_else(|| TlsSetupError::Name { host: host.to_owned() })?;
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?;
        let builder = match &settings.authorities {
            _ if settings.unchecked => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked(tls::provider()))),
            Some(path) => builder.with_root_certificates(tls::roots(path)?),
            None => builder.with_root_certificates(system_roots()?),
        };
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let pair = SingleCertAndKey::from(Pair::load(files)?.certified);
                builder.with_client_cert_resolver(Arc::new(pair))
            }
        };
        config.alpn_protocols = match protocol {
            Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        let usual = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { http1: TlsConnector::from(Arc::new(config)), usual, name })
    }

    /// The name that the certificate is checked against.
    pub(crate) fn name(&self) -> String {
        self.name.to_str().into_owned()
    }

    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        protocol: Protocol,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connector = if protocol == Protocol::Http1 { &self.http1 } else { &self.usual };
        connector.connect(self.name.clone(), stream).await
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
