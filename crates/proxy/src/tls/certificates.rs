//! The certificates of one listener: read at the start, and again when their files change.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use policy::Timestamp;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::names::Names;
use super::pair::{self, Pair, PairError, Time};
use super::provider;
use super::settings::{ClientAuth, TlsSettings};
use super::stamp::Stamp;
use super::watch::{Change, Renewable, Side};

/// A certificate that is being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The file it was read from.
    pub file: PathBuf,
    /// The names it is for.
    pub names: Vec<String>,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// The certificates of one listener, shared by all workers.
pub(crate) struct Certificates {
    settings: TlsSettings,
    /// One for all workers and for all certificates that come one after the other: a client that
    /// was here before need not notice either.
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// The files as they were before they were read.
    first_stamps: Vec<Option<Stamp>>,
    /// Replaced as a whole; a handshake takes what is there when it begins.
    served: RwLock<Served>,
}

#[derive(Clone)]
struct Served {
    config: Arc<ServerConfig>,
    pairs: Vec<Arc<Pair>>,
    authorities: Option<Arc<RootCertStore>>,
}

impl Certificates {
    /// Reads all files; each must be good.
    pub(crate) fn load(settings: TlsSettings) -> Result<Arc<Self>, PairError> {
        let first_stamps = stamps(&settings);
        let pairs: Result<Vec<_>, _> =
            settings.pairs.iter().map(|files| Pair::load(files).map(Arc::new)).collect();
        let pairs = pairs?;
        let authorities = settings.clients.authorities();
        let authorities = authorities.map(|path| pair::roots(path, Time::First)).transpose()?;
        let authorities = authorities.map(Arc::new);
        // What a client has shown is not in a ticket, so each time it has to show it again.
        let tickets = match settings.clients {
            ClientAuth::Off => Some(rustls::crypto::aws_lc_rs::Ticketer::new()?),
            ClientAuth::Optional { .. } | ClientAuth::Required { .. } => None,
        };
        let config = config(&settings, &pairs, authorities.as_ref(), tickets.as_ref())?;
        let served = RwLock::new(Served { config, pairs, authorities });
        Ok(Arc::new(Self { settings, tickets, first_stamps, served }))
    }

    /// What a handshake that begins now goes by.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Whether the origin is told of more than the certificate that a client has shown.
    pub(crate) const fn tells_chain(&self) -> bool {
        self.settings.tells_chain
    }
}

impl Renewable for Certificates {
    fn side(&self) -> Side {
        Side::Clients
    }

    fn look(&self) -> Duration {
        self.settings.look
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        stamps(&self.settings)
    }

    fn first_stamps(&self) -> Vec<Option<Stamp>> {
        self.first_stamps.clone()
    }

    fn reload(&self, now: Timestamp) -> Vec<Change> {
        let mut served = self.served.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut changes = Vec::new();
        for (files, pair) in self.settings.pairs.iter().zip(&mut served.pairs) {
            changes.extend(Change::of_pair(pair, files, now));
        }
        let path = self.settings.clients.authorities();
        if let (Some(path), Some(roots)) = (path, &mut served.authorities) {
            changes.extend(Change::of_authorities(roots, path));
        }
        if !changes.iter().any(Change::is_effective) {
            return changes;
        }
        let authorities = served.authorities.as_ref();
        match config(&self.settings, &served.pairs, authorities, self.tickets.as_ref()) {
            Ok(config) => {
                served.config = config;
                *self.served.write().unwrap_or_else(PoisonError::into_inner) = served;
            }
            Err(error) => return vec![Change::Kept(error)],
        }
        changes
    }

    fn infos(&self) -> Vec<CertificateInfo> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let files = self.settings.pairs.iter();
        files.zip(&served.pairs).map(|(files, pair)| pair.info(&files.certificate)).collect()
    }
}

fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    let files = settings.pairs.iter().flat_map(|files| [&files.certificate, &files.key]);
    files.chain(settings.clients.authorities()).map(|path| Stamp::of(path)).collect()
}

fn config(
    settings: &TlsSettings,
    pairs: &[Arc<Pair>],
    authorities: Option<&Arc<RootCertStore>>,
    tickets: Option<&Arc<dyn ProducesTickets>>,
) -> Result<Arc<ServerConfig>, PairError> {
    let names = Arc::new(Names::new(pairs.iter().map(|pair| &**pair)));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier(&settings.clients, authorities)?)
        .with_cert_resolver(names);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets are the client's to keep; without them nothing is kept at all.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match tickets {
        Some(tickets) => config.ticketer = Arc::clone(tickets),
        None => config.send_tls13_tickets = 0,
    }
    Ok(Arc::new(config))
}

fn verifier(
    clients: &ClientAuth,
    authorities: Option<&Arc<RootCertStore>>,
) -> Result<Arc<dyn ClientCertVerifier>, PairError> {
    let Some((authorities, path)) = authorities.zip(clients.authorities()) else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), provider());
    let builder = match clients {
        ClientAuth::Optional { .. } => builder.allow_unauthenticated(),
        ClientAuth::Off | ClientAuth::Required { .. } => builder,
    };
    let details = |error| format!(": {error}");
    builder
        .build()
        .map_err(|error| PairError::Certificate { path: path.clone(), details: details(error) })
}
