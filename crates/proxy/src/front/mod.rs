//! Where clients come in: listeners, what is spoken on each, and one connection's life for each
//! protocol.

mod content;
pub(crate) mod deliver;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod listener;
mod socket;
pub(crate) mod tls;
mod transport;
mod waits;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::head::Scheme;
use crate::tls::Certificates;
use crate::worker::Worker;

/// Who is at the other end of a connection, and by what way.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// The scheme of what it asks for.
    pub(crate) scheme: Scheme,
    /// The certificate it has shown, as the value of `Client-Cert`.
    pub(crate) certificate: Option<Vec<u8>>,
    /// It is only sent on to HTTPS, at this port.
    pub(crate) sent_to: Option<u16>,
}

impl Peer {
    /// A client that is served.
    pub(crate) const fn new(address: IpAddr, scheme: Scheme) -> Self {
        Self { address, scheme, certificate: None, sent_to: None }
    }
}

/// What is spoken on a listener.
#[derive(Clone)]
pub(crate) enum Front {
    /// HTTP.
    Plain,
    /// HTTP inside TLS.
    Tls(Arc<Certificates>),
    /// HTTP, to be told to come to this port by TLS.
    Redirect(u16),
}

/// Serves a connection in a task of its own, which drops `alive` at its end. Each front has its own
/// task, as large as it needs.
pub(crate) fn admit(
    worker: Arc<Worker>,
    front: &Front,
    mut stream: TcpStream,
    client: SocketAddr,
    alive: mpsc::Sender<()>,
) {
    let sent_to = match front {
        Front::Redirect(port) => Some(*port),
        Front::Plain | Front::Tls(_) => None,
    };
    match front {
        Front::Plain | Front::Redirect(_) => drop(tokio::spawn(async move {
            let peer = Peer { sent_to, ..Peer::new(client.ip(), Scheme::Http) };
            if let Some(ahead) = http1::serve(&worker, stream.split(), peer.clone()).await {
                // Boxed, so that connections that never speak it stay small.
                Box::pin(http2::serve(&worker, stream, peer, ahead)).await;
            }
            drop(alive);
        })),
        Front::Tls(certificates) => {
            let certificates = Arc::clone(certificates);
            drop(tokio::spawn(async move {
                tls::serve(&worker, &certificates, stream, client).await;
                drop(alive);
            }));
        }
    }
}
