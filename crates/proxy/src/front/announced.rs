//! Who a connection is from, where a load balancer says so before its first byte.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::proxy_protocol::{self, BadHeader, Client, LONGEST};
use crate::seats::Guest;
use crate::worker::Worker;

/// Why nobody knows who a connection is from.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Header(#[from] BadHeader),
    #[error("it sent no whole PROXY protocol header: {0}")]
    Cut(#[from] io::Error),
    #[error("it sent no whole PROXY protocol header in time")]
    Late,
    #[error("it is none of the trusted proxies, and may not say who it speaks for")]
    NotTrusted,
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    /// The client, or where nobody knows it the load balancer.
    pub(super) client: SocketAddr,
    /// What comes is that client's own. What a load balancer passes on for somebody it does not know
    /// is not its own word.
    pub(super) is_own: bool,
}

/// The client of a connection that comes from `peer`. `None` if it does not say as it should: nothing
/// more is to be heard from it then.
pub(super) async fn client(
    worker: &Worker,
    stream: &mut TcpStream,
    peer: SocketAddr,
    guest: &Guest,
    limit: Duration,
) -> Option<Announced> {
    if !worker.shared.clients.proxy_protocol {
        return Some(Announced { client: peer, is_own: true });
    }
    // Boxed: it is not kept for the life of the connection.
    match Box::pin(announced(worker, stream, peer, guest, limit)).await {
        Ok(announced) => announced.map(|client| match client {
            Client::At(client) => Announced { client, is_own: true },
            Client::Itself => Announced { client: peer, is_own: true },
            Client::Unsaid => Announced { client: peer, is_own: false },
        }),
        Err(why) => {
            let message = format!("a connection from {} is closed: {why}", peer.ip());
            let shared = &worker.shared;
            shared.troubles.tell_rarely(&*shared.recorder, "proxy-protocol", &message);
            None
        }
    }
}

/// `None` if the peer has left, or is not waited for any more.
async fn announced(
    worker: &Worker,
    stream: &mut TcpStream,
    peer: SocketAddr,
    guest: &Guest,
    limit: Duration,
) -> Result<Option<Client>, Unknown> {
    let trust = &worker.shared.clients.trust;
    if !trust.proxies.is_empty() && !trust.includes(peer.ip()) {
        return Err(Unknown::NotTrusted);
    }
    tokio::select! {
        biased;
        read = timeout(limit, header(stream)) => read.map_err(|_| Unknown::Late)?,
        () = worker.drains() => Ok(None),
        () = guest.sent_away() => Ok(None),
    }
}

/// Takes the header off the connection, and not one byte more.
async fn header(stream: &mut TcpStream) -> Result<Option<Client>, Unknown> {
    let mut bytes = vec![0; LONGEST];
    let mut taken = 0;
    loop {
        let free = bytes.get_mut(taken..).unwrap_or_default();
        let more = stream.peek(free).await?;
        if more == 0 && taken == 0 {
            // It only looked whether somebody is there.
            return Ok(None);
        }
        if more == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let decoded = proxy_protocol::decode(bytes.get(..taken + more).unwrap_or_default())?;
        // What is not the whole of it is of it.
        let end = decoded.map_or(taken + more, |header| header.length);
        stream.read_exact(bytes.get_mut(taken..end).unwrap_or_default()).await?;
        taken = end;
        if let Some(header) = decoded {
            return Ok(Some(header.client));
        }
    }
}
