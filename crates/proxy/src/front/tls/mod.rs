//! Clients that come by TLS: the handshake, and what is spoken after it.

mod client_cert;
mod failure;
mod records;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use self::stream::{Greeting, TlsStream};
use super::{Peer, Visitor, http1, http2};
use crate::error::Refusal;
use crate::head::Scheme;
use crate::tally::add;
use crate::tls::Certificates;
use crate::worker::Worker;

pub(crate) use self::client_cert::Shown;
pub use self::failure::HandshakeFailure;

/// The first byte of a TLS connection: a record with a handshake.
const HANDSHAKE: u8 = 22;

/// The name of HTTP/2 for those who negotiate (RFC 9113 §3.1).
const HTTP2: &[u8] = b"h2";

/// What a connection turns out to be.
enum Opened {
    Secure(Box<TlsStream>),
    /// The same, for HTTP/2.
    Http2(Box<TlsStream>),
    /// HTTP without TLS.
    Plain(TcpStream),
    /// Nothing that goes on.
    Over,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(
    worker: &Arc<Worker>,
    certificates: &Certificates,
    stream: TcpStream,
    visitor: &Visitor,
) {
    let limit = visitor.seat.patience(worker.shared.limits.handshake_timeout);
    // Boxed: what a handshake needs is not kept for the life of the connection.
    let opened = Box::pin(timeout(limit, open(worker, certificates, stream, visitor))).await;
    match opened {
        Ok(Opened::Secure(mut stream)) => {
            let shown = stream.shown(certificates.tells_chain());
            let peer = Peer { shown, ..Peer::new(worker, visitor, Scheme::Https) };
            // Boxed, as the other: a connection takes what it needs for what it speaks.
            let _ = Box::pin(http1::serve(worker, stream.split(), peer)).await;
        }
        Ok(Opened::Http2(stream)) => {
            let shown = stream.shown(certificates.tells_chain());
            let peer = Peer { shown, ..Peer::new(worker, visitor, Scheme::Https) };
            Box::pin(http2::serve(worker, stream, peer, Bytes::new())).await;
        }
        Ok(Opened::Plain(mut stream)) => {
            let peer = Peer::new(worker, visitor, Scheme::Http);
            Box::pin(http1::refuse(worker, stream.split(), peer, Refusal::PlainHttp)).await;
        }
        Ok(Opened::Over) => {}
        Err(_) => failed(worker, HandshakeFailure::Timeout, visitor, &late(limit)),
    }
}

fn late(limit: Duration) -> String {
    format!("it took longer than {limit:?}")
}

async fn open(
    worker: &Worker,
    certificates: &Certificates,
    stream: TcpStream,
    visitor: &Visitor,
) -> Opened {
    let mut first = [0];
    let guest = &visitor.seat.guest;
    guest.rest();
    let peeked = tokio::select! {
        biased;
        peeked = stream.peek(&mut first) => peeked,
        // Nobody who has said nothing yet is waited for...
        () = worker.drains() => return Opened::Over,
        // ...and each of them makes way.
        () = guest.sent_away() => return Opened::Over,
    };
    guest.work();
    match (peeked, first) {
        (Ok(1..), [HANDSHAKE]) => {}
        (Ok(1..), [b'A'..=b'Z' | b'\r' | b'\n']) => {
            failed(worker, HandshakeFailure::PlainHttp, visitor, "");
            return Opened::Plain(stream);
        }
        (Ok(1..), _) => {
            failed(worker, HandshakeFailure::Malformed, visitor, "what it sent is no TLS");
            return Opened::Over;
        }
        _ => {
            failed(worker, HandshakeFailure::Closed, visitor, "");
            return Opened::Over;
        }
    }
    match TlsAcceptor::from(certificates.config()).accept(Greeting::new(stream)).await {
        Ok(stream) => {
            add(&worker.counters.handshakes, 1);
            let (greeted, session) = stream.into_inner();
            let is_http2 = session.alpn_protocol() == Some(HTTP2);
            let stream = Box::new(TlsStream::new(greeted, session));
            if is_http2 { Opened::Http2(stream) } else { Opened::Secure(stream) }
        }
        Err(error) => {
            failed(worker, HandshakeFailure::of(&error), visitor, &error.to_string());
            Opened::Over
        }
    }
}

/// Counts a handshake that came to nothing, and tells of it now and then.
fn failed(worker: &Worker, why: HandshakeFailure, visitor: &Visitor, details: &str) {
    worker.counters.handshake_failures.add(why as usize);
    if why.is_told() {
        let message = format!("TLS handshake with {}: {details}", visitor.client.ip());
        worker.shared.troubles.tell_rarely(&*worker.shared.recorder, why.code(), &message);
    }
}
