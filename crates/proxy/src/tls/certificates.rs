//! The certificates of one listener: read at the start, and again when their files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use policy::Timestamp;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::names::Names;
use super::pair::{self, Pair, PairError};
use super::provider;
use super::settings::{ClientAuth, TlsSettings};
use super::stamp::Stamp;

/// A certificate that is being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The file it was read from.
    pub file: PathBuf,
    /// The names it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: Timestamp,
}

/// What a look at the files has come to.
#[derive(Debug)]
pub(super) enum Change {
    /// A certificate was read anew.
    Renewed(CertificateInfo),
    /// The list of authorities was read anew.
    Authorities(PathBuf),
    /// What was there before is kept.
    Kept(PairError),
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
        let authorities = settings.clients.authorities().map(|path| roots(path)).transpose()?;
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

    /// What is being served, in the order of the settings.
    pub(crate) fn infos(&self) -> Vec<CertificateInfo> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let files = self.settings.pairs.iter();
        files.zip(&served.pairs).map(|(files, pair)| pair.info(&files.certificate)).collect()
    }

    pub(super) const fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    /// The stamps of all files as they are now.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        stamps(&self.settings)
    }

    /// The stamps of all files as they were at the start.
    pub(super) fn first_stamps(&self) -> Vec<Option<Stamp>> {
        self.first_stamps.clone()
    }

    /// Reads all files again. What is good is served from now on; in place of what is not, the old
    /// stays. Connections that are there stay as they are.
    pub(super) fn reload(&self) -> Vec<Change> {
        let mut served = self.served.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut changes = Vec::new();
        for (files, pair) in self.settings.pairs.iter().zip(&mut served.pairs) {
            match Pair::load(files) {
                Ok(new) if new.certified.cert == pair.certified.cert => {}
                Ok(new) => {
                    changes.push(Change::Renewed(new.info(&files.certificate)));
                    *pair = Arc::new(new);
                }
                Err(error) => changes.push(Change::Kept(error)),
            }
        }
        if let Some(path) = self.settings.clients.authorities() {
            match roots(path) {
                Ok(new)
                    if Some(&new.roots) == served.authorities.as_ref().map(|old| &old.roots) => {}
                Ok(new) => {
                    changes.push(Change::Authorities(path.clone()));
                    served.authorities = Some(new);
                }
                Err(error) => changes.push(Change::Kept(error)),
            }
        }
        if changes.iter().all(|change| matches!(change, Change::Kept(_))) {
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
}

fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    let files = settings.pairs.iter().flat_map(|files| [&files.certificate, &files.key]);
    files.chain(settings.clients.authorities()).map(|path| Stamp::of(path)).collect()
}

/// The authorities in a file.
fn roots(path: &Path) -> Result<Arc<RootCertStore>, PairError> {
    pair::roots(path).map(Arc::new)
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
