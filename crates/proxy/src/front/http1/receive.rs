//! Step 1: a request head off the wire.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Buf;
use http1::{Framing, Progress, TargetForm, Version};
use policy::forwarded::Way;

use super::Client;
use crate::clock::{since, ticks};
use crate::error::Refusal;
use crate::front::http2;
use crate::front::transport::{Incoming, Outgoing};
use crate::head::Scheme;
use crate::ids::RequestId;

/// What a client sent.
pub(super) enum Receipt {
    Head(Received),
    /// The preface of HTTP/2, and maybe more.
    Http2,
    /// Nothing more, as the client has ended its side.
    End,
    /// Nothing more, though the client may not know yet.
    Rest,
}

/// A head, and what the codec said of it.
pub(super) struct Received {
    pub(super) version: Version,
    pub(super) persistent: bool,
    pub(super) expects_continue: bool,
    pub(super) framing: Framing,
    pub(super) id: RequestId,
    pub(super) way: Arc<Way>,
    /// When the head was there.
    pub(super) began: Option<Instant>,
}

impl Received {
    /// The length of the content, if it was announced.
    pub(super) const fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        }
    }
}

impl<R: Incoming, W: Outgoing> Client<'_, R, W> {
    /// Waits for a head, or for what else a connection may bring.
    pub(super) async fn receive(&mut self) -> Result<Receipt, Refusal> {
        let limits = &self.worker.shared.limits;
        let mut began = None;
        loop {
            let (idle_timeout, head_timeout) = self.patience();
            //= https://www.rfc-editor.org/rfc/rfc9113#section-3.3
            //# Servers can identify these connections by the presence of the connection preface. This
            //# only affects the establishment of HTTP/2 connections over cleartext TCP; HTTP/2
            //# connections over TLS MUST use protocol negotiation in TLS [TLS-ALPN].
            // A listener that sends everyone elsewhere does so in the words of HTTP/1.1.
            let is_plain = self.peer.scheme == Scheme::Http && self.peer.sent_to.is_none();
            let is_first = self.served == 0 && is_plain;
            match preface(&self.inbound.buf) {
                Some(Progress::Complete(())) if is_first => return Ok(Receipt::Http2),
                Some(Progress::Partial) if is_first => {}
                _ => {
                    let buf = &self.inbound.buf;
                    let decoded = http1::decode_request(buf, &limits.http1, &mut self.spans)?;
                    if let Progress::Complete(head) = decoded {
                        return self.received(&head).map(Receipt::Head);
                    }
                }
            }
            let idle = self.inbound.buf.is_empty();
            let draining = self.worker.is_draining();
            let limit = if idle {
                self.peer.guest.rest();
                idle_timeout
            } else {
                // From the first byte to the last, however they drip.
                let began = *began.get_or_insert_with(ticks);
                let spent = since(began);
                head_timeout.saturating_sub(spent)
            };
            // Once when draining begins, to wait less, and again when no more patience is left.
            let (worker, guest) = (self.worker, &self.peer.guest);
            let lets_go = || worker.lets_idle_go() || guest.is_sent_away();
            let interrupted = || idle && (lets_go() || (!draining && worker.is_draining()));
            match self.inbound.fill(limit, interrupted).await {
                Ok(Ok(count)) if count > 0 => guest.work(),
                Ok(Err(error)) if is_interrupted(&error) && !lets_go() => {}
                Err(_) if idle && worker.is_draining() && !lets_go() => {}
                Ok(Ok(_)) => return Ok(Receipt::End),
                Ok(Err(_)) => return Ok(Receipt::Rest),
                Err(_) if idle => return Ok(Receipt::Rest),
                Err(_) => return Err(Refusal::HeadTimeout { limit: head_timeout }),
            }
        }
    }

    /// How long a request is waited for, and for the end of its head once it has begun.
    fn patience(&self) -> (Duration, Duration) {
        let limits = &self.worker.shared.limits;
        if self.peer.refused.is_some() {
            let limit = limits.connections.refusal_timeout;
            return (limit, limit);
        }
        (self.worker.idle_patience(), limits.head_timeout)
    }

    fn received(&mut self, head: &http1::RequestHead) -> Result<Received, Refusal> {
        let (id, way) = self.adopt(head);
        check_scheme(head, &self.inbound.buf, self.head.scheme)?;
        self.inbound.buf.advance(head.len);
        Ok(Received {
            version: head.version,
            persistent: head.persistent,
            expects_continue: head.expects_continue,
            framing: head.framing,
            id,
            way,
            began: self.stopwatch(),
        })
    }

    /// Takes over a decoded head. The id of the request and its way are read before their fields are
    /// removed.
    fn adopt(&mut self, head: &http1::RequestHead) -> (RequestId, Arc<Way>) {
        if Arc::get_mut(&mut self.head).is_none() {
            self.head = Arc::default();
        }
        let (mut id, mut way) = (None, None);
        if let Some(own) = Arc::get_mut(&mut self.head) {
            own.adopt(&self.inbound.buf, head, &self.spans);
            id = own.fields.get("X-Request-Id").map(|id| self.worker.ids.adopt(Some(id)));
            let (told, scheme) = self.peer.way(self.worker, &own.fields);
            (own.scheme, way) = (scheme, Some(told));
            own.normalise();
            // After the client's own of that name are gone.
            if let Some(shown) = &self.peer.shown {
                shown.tell(&mut own.fields);
            }
        }
        let id = id.unwrap_or_else(|| self.worker.ids.adopt(None));
        (id, way.unwrap_or_else(|| self.peer.alone()))
    }
}

fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

/// A target in absolute form names its scheme itself.
fn check_scheme(head: &http1::RequestHead, buf: &[u8], scheme: Scheme) -> Result<(), Refusal> {
    if head.form != TargetForm::Absolute {
        return Ok(());
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.4
    //# In particular, a request for an "https" resource MUST be rejected unless it has been received
    //# over a connection that has been secured via a certificate valid for that target URI's origin,
    // One for an "http" resource inside TLS is refused too: there is one scheme to each connection,
    // and it stands in the cache key and in what the origin is told.
    let expected = [scheme.as_str().as_bytes(), b":"].concat();
    let named = head.target.of(buf).get(..expected.len());
    if named.is_some_and(|named| named.eq_ignore_ascii_case(&expected)) {
        return Ok(());
    }
    Err(Refusal::Misdirected { scheme: scheme.as_str() })
}

/// Whether a connection begins with the preface of HTTP/2, as far as it has come.
fn preface(buf: &[u8]) -> Option<Progress<()>> {
    match buf.get(..http2::PREFACE.len()) {
        Some(begin) => (begin == http2::PREFACE).then_some(Progress::Complete(())),
        None => (!buf.is_empty() && http2::PREFACE.starts_with(buf)).then_some(Progress::Partial),
    }
}
