//! Where clients come in: listeners, what is spoken on each, and one connection's life for each
//! protocol.

mod content;
pub(crate) mod deliver;
pub(crate) mod http1;
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
}

/// What is spoken on a listener.
#[derive(Clone)]
pub(crate) enum Front {
    /// HTTP.
    Plain,
    /// HTTP inside TLS.
    Tls(Arc<Certificates>),
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
    match front {
        Front::Plain => drop(tokio::spawn(async move {
            let peer = Peer { address: client.ip(), scheme: Scheme::Http };
            http1::serve(&worker, stream.split(), peer).await;
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
