//! What a client is going to get.

use std::sync::Arc;

use bytes::Bytes;
use policy::reason::Hit;
use policy::{Age, Collapsed, Fwd, Outcome};
use store::Reader;

use super::Entry;
use super::assembly::Assembly;
use super::upgrade::Tunnel;
use crate::entry::StoredHead;
use crate::head::ResponseHead;
use crate::origin::content::ResponseContent;
use crate::proxy_status::ProxyError;

/// A response on its way to a client.
pub(crate) struct Answer {
    pub(crate) head: AnswerHead,
    /// `Age` in whole seconds, if the response comes from the store.
    pub(crate) age: Option<Age>,
    pub(crate) content: AnswerContent,
    /// The length of the content, also of one that HEAD leaves out; `None` if unknown.
    pub(crate) length: Option<u64>,
    pub(crate) report: Report,
}

/// Status and fields.
pub(crate) enum AnswerHead {
    /// Those of a stored response, as they are.
    Stored(Arc<Entry>),
    /// Others.
    Own(ResponseHead),
}

/// Where the content comes from.
pub(crate) enum AnswerContent {
    /// There is none.
    None,
    /// A text of the proxy's own.
    Text(Bytes),
    /// The body of the stored head, which lies in memory, complete.
    Memory,
    /// A stored body that is read piece by piece, maybe from disk or while it is filled.
    Stored(Box<Reader<StoredHead>>),
    /// Bytes that are at hand, in order.
    Pieces(Vec<Bytes>),
    /// Several stored bodies, or parts of them.
    Assembled(Box<Assembly>),
    /// The origin, for this client alone.
    Origin(Box<ResponseContent>),
    /// None: behind the head the connection speaks another protocol. Only by HTTP/1.1.
    Switched(Box<Tunnel>),
}

/// Why the response is what it is: for `X-Cache`, `Cache-Status`, logs and counters alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// What decided, as a stable code.
    pub(crate) code: &'static str,
    /// Where the content came from.
    pub(crate) source: Source,
    /// What went wrong, if the response is not the one that the origin would have given.
    pub(crate) proxy_error: Option<ProxyError>,
}

/// Where a response came from, with what RFC 9211 wants to know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The store; fresh for so many seconds more, or stale since so many if negative.
    Store {
        /// Remaining freshness in seconds.
        ttl: i64,
        /// Why it could be used.
        why: Hit,
    },
    /// The origin was asked.
    Origin(Forwarded),
    /// The proxy itself, before store or origin were asked.
    Proxy,
}

/// How a request was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The reason to forward, in the words of RFC 9211 §2.2.
    pub(crate) fwd: Fwd,
    /// The origin's status, if it gave one.
    pub(crate) status: Option<u16>,
    /// The response was stored.
    pub(crate) stored: bool,
    /// Whether the origin was asked by another request.
    pub(crate) collapsed: Collapsed,
    /// The origin confirmed a stored response, whose content was used.
    pub(crate) validated: bool,
    /// The lifetime that the response has here, in seconds.
    pub(crate) ttl: Option<i64>,
}

impl Forwarded {
    /// A request that is going to be forwarded.
    pub(crate) const fn new(fwd: Fwd) -> Self {
        let collapsed = Collapsed::No;
        Self { fwd, status: None, stored: false, collapsed, validated: false, ttl: None }
    }
}

impl Answer {
    /// The answer without the tunnel behind it, and that, if there is one.
    pub(crate) fn split_tunnel(self) -> (Self, Option<Box<Tunnel>>) {
        let Self { head, age, content, length, report } = self;
        let (content, tunnel) = match content {
            AnswerContent::Switched(tunnel) => (AnswerContent::None, Some(tunnel)),
            content => (content, None),
        };
        (Self { head, age, content, length, report }, tunnel)
    }

    /// The protocols that a 426 requires, if it says so. No stored response is one.
    pub(crate) fn required(&self) -> Option<&[u8]> {
        match &self.head {
            AnswerHead::Own(head) if head.status == 426 => head.fields.get("Upgrade"),
            _ => None,
        }
    }

    /// Status code of the response.
    pub(crate) fn status(&self) -> u16 {
        match &self.head {
            AnswerHead::Stored(entry) => entry.meta().status(),
            AnswerHead::Own(head) => head.status,
        }
    }
}

impl Report {
    /// `X-Cache: HIT` is the promise that the content came from the cache.
    pub(crate) fn is_hit(&self) -> bool {
        match self.source {
            Source::Store { .. } => true,
            Source::Origin(forwarded) => forwarded.validated,
            Source::Proxy => false,
        }
    }

    /// Whether a cache key had a part in it.
    pub(crate) fn is_keyed(&self) -> bool {
        match self.source {
            Source::Store { .. } => true,
            Source::Origin(forwarded) => !matches!(forwarded.fwd, Fwd::Bypass | Fwd::Method),
            Source::Proxy => false,
        }
    }

    /// Says that it waited in vain for another request's fetch before it went forward itself, if no
    /// other fetch answered it in the end.
    pub(crate) fn waited_in_vain(&mut self) {
        if let Source::Origin(forwarded) = &mut self.source
            && matches!(forwarded.collapsed, Collapsed::No)
        {
            forwarded.collapsed = Collapsed::InVain;
        }
    }

    /// Says what the look-up found before the request went forward, if it did.
    pub(crate) fn looked_up(&mut self, fwd: Fwd) {
        if let Source::Origin(forwarded) = &mut self.source {
            forwarded.fwd = fwd;
        }
    }

    /// Writes the `Cache-Status` line (RFC 9211); `key` to those who debug.
    pub(crate) fn write_cache_status(&self, out: &mut Vec<u8>, key: Option<&[u8]>) {
        let detail = self.code;
        let outcome = match self.source {
            Source::Store { ttl, why } => Outcome::Hit { ttl, why },
            Source::Origin(Forwarded { fwd, status, stored, collapsed, ttl, .. }) => {
                Outcome::Forwarded { fwd, detail, status, stored, collapsed, ttl }
            }
            //= https://www.rfc-editor.org/rfc/rfc9211#section-2
            //# For example, a proxy generating a 400 response due to a malformed request will not
            //# add a Cache-Status value, because that response was generated by the proxy, not the
            //# origin server.
            Source::Proxy => return,
        };
        out.extend_from_slice(b"Cache-Status: ");
        policy::cache_status(out, &outcome);
        if let Some(key) = key {
            policy::explain::put_key(out, key);
        }
        out.extend_from_slice(b"\r\n");
    }
}
