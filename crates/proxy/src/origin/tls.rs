//! TLS towards the origin.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use policy::Timestamp;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
pub(crate) use tokio_rustls::client::TlsStream;

use super::named::Named;
use super::unchecked::Unchecked;
use super::url::Protocol;
use crate::failure::Failure;
use crate::tls::watch::{Change, Renewable, Side};
use crate::tls::{self, CertificateInfo, Pair, PairError, PairFiles, Stamp, Time};

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

/// How often the files are looked at for changes.
const LOOK: Duration = Duration::from_secs(2);

/// Makes TLS connections.
pub(crate) struct Connector {
    settings: OriginTls,
    protocol: Protocol,
    name: ServerName<'static>,
    /// The files as they were before they were read.
    first_stamps: Vec<Option<Stamp>>,
    /// Replaced as a whole; connections that are there stay as they are.
    used: RwLock<Arc<Used>>,
}

/// What new connections go by.
struct Used {
    files: Files,
    /// Offers HTTP/1.1 alone.
    http1: TlsConnector,
    /// Offers what the settings say.
    usual: TlsConnector,
}

/// What is in the operator's files.
#[derive(Clone)]
struct Files {
    authorities: Option<Arc<RootCertStore>>,
    identity: Option<Arc<Pair>>,
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
    ) -> Result<Arc<Self>, TlsSetupError> {
        let first_stamps = stamps(settings);
        let name = settings.name.clone().or_else(|| TlsName::parse(host));
        let TlsName(name) = name.ok_or_else(|| TlsSetupError::Name { host: host.to_owned() })?;
        let authorities = settings.authorities.as_ref();
        let authorities = authorities.map(|path| tls::roots(path, Time::First)).transpose()?;
        let identity = settings.identity.as_ref().map(Pair::load).transpose()?;
        let files =
            Files { authorities: authorities.map(Arc::new), identity: identity.map(Arc::new) };
        let used = RwLock::new(Arc::new(Used::new(settings, protocol, files)?));
        Ok(Arc::new(Self { settings: settings.clone(), protocol, name, first_stamps, used }))
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
        let used = self.used();
        let connector = if protocol == Protocol::Http1 { &used.http1 } else { &used.usual };
        connector.connect(self.name.clone(), stream).await
    }

    fn used(&self) -> Arc<Used> {
        Arc::clone(&self.used.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Used {
    fn new(settings: &OriginTls, protocol: Protocol, files: Files) -> Result<Self, TlsSetupError> {
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?;
        let builder = match &files.authorities {
            _ if settings.unchecked => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked(tls::provider()))),
            Some(authorities) => {
                let named = Named::new(Arc::clone(authorities), tls::provider());
                let named = named.map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(named))
            }
            None => builder.with_root_certificates(system_roots()?),
        };
        let mut config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let pair = SingleCertAndKey::from(Arc::clone(&pair.certified));
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
        Ok(Self { files, http1: TlsConnector::from(Arc::new(config)), usual })
    }
}

impl Renewable for Connector {
    fn side(&self) -> Side {
        Side::Origin
    }

    fn look(&self) -> Duration {
        LOOK
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        stamps(&self.settings)
    }

    fn first_stamps(&self) -> Vec<Option<Stamp>> {
        self.first_stamps.clone()
    }

    fn reload(&self, now: Timestamp) -> Vec<Change> {
        let mut files = self.used().files.clone();
        let mut changes = Vec::new();
        if let (Some(path), Some(roots)) = (&self.settings.authorities, &mut files.authorities) {
            changes.extend(Change::of_authorities(roots, path));
        }
        if let (Some(identity), Some(pair)) = (&self.settings.identity, &mut files.identity) {
            changes.extend(Change::of_pair(pair, identity, now));
        }
        if !changes.iter().any(Change::is_effective) {
            return changes;
        }
        // A configuration of its own: no session goes on that was begun under the old one.
        match Used::new(&self.settings, self.protocol, files) {
            Ok(used) => *self.used.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(used),
            Err(TlsSetupError::File(error)) => return vec![Change::Kept(error)],
            Err(TlsSetupError::Settings(error)) => return vec![Change::Kept(error.into())],
            // Neither is looked for again.
            Err(TlsSetupError::NoRoots { .. } | TlsSetupError::Name { .. }) => return Vec::new(),
        }
        changes
    }

    fn infos(&self) -> Vec<CertificateInfo> {
        let used = self.used();
        let pair = self.settings.identity.as_ref().zip(used.files.identity.as_ref());
        pair.map(|(files, pair)| pair.info(&files.certificate)).into_iter().collect()
    }
}

fn stamps(settings: &OriginTls) -> Vec<Option<Stamp>> {
    let pair = settings.identity.iter().flat_map(|files| [&files.certificate, &files.key]);
    pair.chain(&settings.authorities).map(|path| Stamp::of(path)).collect()
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
