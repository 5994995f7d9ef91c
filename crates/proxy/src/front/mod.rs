//! Where clients come in: listeners, what is spoken on each, and one connection's life for each
//! protocol.

mod announced;
mod content;
pub(crate) mod deliver;
pub(crate) mod http1;
pub(crate) mod http2;
mod lifetime;
pub(crate) mod listener;
pub(crate) mod pace;
mod proxy_protocol;
mod socket;
pub(crate) mod tls;
mod transport;
pub(crate) mod tunnel;
mod unsent;
mod waits;

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use policy::Fields;
use policy::forwarded::Way;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::error::Refusal;
use crate::head::Scheme;
use crate::request::{self, Request, Started, redirect};
use crate::seats::{Full, Guest, Seat};
use crate::tls::Certificates;
use crate::worker::Worker;

/// How long what a client still sends is taken after its last response: closed at once, the connection
/// would be reset before the client has read that.
const LINGER: Duration = Duration::from_secs(2);
/// How much is taken.
const LINGER_BYTES: usize = 1 << 20;

/// Who is at the other end of a connection, and by what way.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: IpAddr,
    /// The scheme of what it asks for, unless it is a proxy that says otherwise.
    scheme: Scheme,
    /// The way of what it sends, if that is all its own.
    way: Arc<Way>,
    /// It is a proxy whose word counts.
    trusted: bool,
    /// The certificate it has shown.
    pub(crate) shown: Option<tls::Shown>,
    /// It is only sent on to HTTPS, at this port.
    pub(crate) sent_to: Option<u16>,
    /// It is one too many, and only told so.
    pub(crate) refused: Option<Full>,
    /// Its connection, as others see it.
    pub(crate) guest: Arc<Guest>,
}

/// A connection that has come in, with the right to be there.
pub(crate) struct Visitor {
    /// Who has made it, or for whom.
    pub(crate) client: SocketAddr,
    /// What comes is that client's own.
    is_own: bool,
    seat: Seat,
}

impl Peer {
    /// A client that is served.
    pub(crate) fn new(worker: &Worker, visitor: &Visitor, scheme: Scheme) -> Self {
        let address = visitor.client.ip();
        Self {
            address,
            scheme,
            way: Arc::new(Way::direct(address)),
            trusted: visitor.is_own && worker.shared.clients.trust.includes(address),
            shown: None,
            sent_to: None,
            refused: visitor.seat.refused,
            guest: Arc::clone(&visitor.seat.guest),
        }
    }

    /// Takes a request through the steps that never wait, if this peer's requests are served at all.
    /// `key` is scratch space.
    fn start(
        &self,
        worker: &Arc<Worker>,
        request: &Request,
        length: Option<u64>,
        has_content: bool,
        key: &mut Vec<u8>,
    ) -> Result<Started, Refusal> {
        if let Some(full) = self.refused {
            return Err(Refusal::Full(full));
        }
        if let Some(port) = self.sent_to {
            return redirect::answer(worker, request, has_content, port).map(Started::Answered);
        }
        request::screen_length(worker, length)?;
        request::start(worker, request, has_content, key)
    }

    /// The way of what is the peer's own.
    pub(crate) fn alone(&self) -> Arc<Way> {
        Arc::clone(&self.way)
    }

    /// The way of a request with these fields, and its scheme.
    pub(crate) fn way(&self, worker: &Worker, fields: &Fields) -> (Arc<Way>, Scheme) {
        if !self.trusted {
            return (Arc::clone(&self.way), self.scheme);
        }
        let way = Way::of(self.address, fields, &worker.shared.clients.trust);
        let scheme = match way.secure {
            Some(true) => Scheme::Https,
            Some(false) => Scheme::Http,
            None => self.scheme,
        };
        (Arc::new(way), scheme)
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
    seat: Seat,
    alive: mpsc::Sender<()>,
) {
    let sent_to = match front {
        Front::Redirect(port) => Some(*port),
        Front::Plain | Front::Tls(_) => None,
    };
    match front {
        Front::Plain | Front::Redirect(_) => drop(tokio::spawn(async move {
            if let Some(visitor) = visitor(&worker, &mut stream, client, seat).await {
                let peer = Peer { sent_to, ..Peer::new(&worker, &visitor, Scheme::Http) };
                // Boxed, each: a connection takes what it needs for what it speaks.
                let ahead = Box::pin(http1::serve(&worker, stream.split(), peer.clone())).await;
                if let Some(ahead) = ahead {
                    Box::pin(http2::serve(&worker, stream, peer, ahead)).await;
                }
            }
            drop(alive);
        })),
        Front::Tls(certificates) => {
            let certificates = Arc::clone(certificates);
            drop(tokio::spawn(async move {
                if let Some(visitor) = visitor(&worker, &mut stream, client, seat).await {
                    tls::serve(&worker, &certificates, stream, &visitor).await;
                }
                drop(alive);
            }));
        }
    }
}

/// Finds out whose connection it is. `None` if nothing more is to be heard from it.
async fn visitor(
    worker: &Worker,
    stream: &mut TcpStream,
    client: SocketAddr,
    mut seat: Seat,
) -> Option<Visitor> {
    poll_fn(|cx| {
        seat.guest.is_served_by(cx.waker());
        Poll::Ready(())
    })
    .await;
    let patience = seat.patience(worker.shared.limits.head_timeout);
    // Whoever has said nothing yet may make way.
    seat.guest.rest();
    let announced::Announced { client, is_own } =
        announced::client(worker, stream, client, &seat.guest, patience).await?;
    seat.guest.work();
    // A proxy in front has the connections of all its clients.
    let is_one = !worker.shared.clients.trust.includes(client.ip());
    let stays = !is_one || seat.belongs_to(client.ip());
    stays.then_some(Visitor { client, is_own, seat })
}
