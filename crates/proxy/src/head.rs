//! Message heads as the steps see them, whatever the protocol they came by.

use std::sync::Arc;

use bytes::Bytes;
use http1::FieldSpan;
use policy::{Fields, Method, Offer};

use crate::untrusted;

/// The protocol version by which a message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1 or a later minor version.
    Http11,
    /// HTTP/2.
    Http2,
}

impl From<http1::Version> for Version {
    fn from(version: http1::Version) -> Self {
        match version {
            http1::Version::Http10 => Self::Http10,
            http1::Version::Http11 => Self::Http11,
        }
    }
}

/// The scheme of a request's target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Cleartext.
    #[default]
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme means when it names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A request without its content.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    /// The method.
    pub(crate) method: Method,
    /// The version the client spoke.
    pub(crate) version: Version,
    /// The scheme the client used.
    pub(crate) scheme: Scheme,
    /// `host[:port]` of the target; empty when an HTTP/1.0 client named none.
    pub(crate) authority: Vec<u8>,
    /// Path and query, byte for byte; or `*` for `OPTIONS *`.
    pub(crate) target: Vec<u8>,
    /// The field lines.
    pub(crate) fields: Fields,
    /// The client takes trailers (`TE: trailers`); the field itself is for one hop.
    pub(crate) takes_trailers: bool,
    /// The protocols that the client would go on in; the field itself is for one hop. Only of a
    /// request by HTTP/1.1 without content.
    pub(crate) offer: Option<Offer>,
    /// What a QUERY asks, once its content has been read; that is done on a copy of the head.
    pub(crate) query: Option<Arc<Query>>,
}

/// The content of a QUERY, and what tells it from others for the same URL.
#[derive(Debug)]
pub(crate) struct Query {
    /// Sent to the origin as often as it is asked.
    pub(crate) content: Bytes,
    /// SHA-256 of [`policy::query::identity`].
    pub(crate) digest: [u8; 32],
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::Get,
            version: Version::Http11,
            scheme: Scheme::Http,
            authority: Vec::new(),
            target: Vec::new(),
            fields: Fields::new(),
            takes_trailers: false,
            offer: None,
            query: None,
        }
    }
}

impl RequestHead {
    /// What tells a QUERY from others for the same URL.
    pub(crate) fn query_digest(&self) -> Option<&[u8; 32]> {
        self.query.as_ref().map(|query| &query.digest)
    }

    /// Takes over what the codec found in `buf`, reusing this head's buffers. The scheme is left as it
    /// was: the codec does not know it.
    pub(crate) fn adopt(&mut self, buf: &[u8], head: &http1::RequestHead, spans: &[FieldSpan]) {
        self.method = Method::parse(head.method.of(buf));
        self.version = head.version.into();
        self.authority.clear();
        self.authority.extend_from_slice(head.authority.of(buf));
        self.target.clear();
        match head.path.of(buf) {
            // RFC 9112 §3.2.1: an empty path is sent as "/".
            [] if head.form == http1::TargetForm::Asterisk => self.target.push(b'*'),
            //= https://www.rfc-editor.org/rfc/rfc9112#section-3.2.4
            //# If a proxy receives an OPTIONS request with an absolute-form of request-target in which
            //# the URI has an empty path and no query component, then the last proxy on the request
            //# chain MUST send a request-target of "*" when it forwards the request to the indicated
            //# origin server.
            [] if self.method == Method::Options => self.target.push(b'*'),
            [] => self.target.push(b'/'),
            // An absolute-form target with a query but no path, as in "http://host?query".
            path @ [b'?', ..] => {
                self.target.push(b'/');
                self.target.extend_from_slice(path);
            }
            path => self.target.extend_from_slice(path),
        }
        load(&mut self.fields, buf.get(..head.len).unwrap_or(buf), spans);
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
        //# A client cannot begin using an upgraded protocol on the connection until it has completely
        //# sent the request message (i.e., the client can't change the protocol it is sending in the
        //# middle of a message).
        // Where a request with content ends, and the other protocol begins, is known too late for
        // those who may refuse it: its offer is not taken up, which a server MAY do.
        let offers = head.upgrade && !head.framing.has_content();
        self.offer = offers.then(|| Offer::of(&self.fields)).flatten();
    }

    /// Removes what only concerned this hop and what the proxy writes itself. Done once, before
    /// anything is decided, so that the cache compares the same fields that the origin gets.
    pub(crate) fn normalise(&mut self) {
        let codings = self.fields.all("TE").flat_map(|value| value.split(|&byte| byte == b','));
        self.takes_trailers =
            codings.into_iter().any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"));
        policy::strip::strip_hop_by_hop(&mut self.fields);
        untrusted::strip(&mut self.fields);
    }
}

/// A final response without its content.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    /// The version the origin spoke.
    pub(crate) version: Version,
    /// The status code, 200 to 599.
    pub(crate) status: u16,
    /// The reason phrase as the origin sent it; may be empty.
    pub(crate) reason: Vec<u8>,
    /// The field lines.
    pub(crate) fields: Fields,
}

impl ResponseHead {
    /// Takes over what the codec found in `buf`.
    pub(crate) fn adopt(buf: &[u8], head: &http1::ResponseHead, spans: &[FieldSpan]) -> Self {
        let mut fields = Fields::new();
        load(&mut fields, buf.get(..head.len).unwrap_or(buf), spans);
        let reason = head.reason.of(buf).to_vec();
        Self { version: head.version.into(), status: head.status, reason, fields }
    }

    /// A head of the proxy's own, with the registered reason phrase.
    pub(crate) fn with_status(status: u16) -> Self {
        let reason = http1::encode::reason_phrase(status).as_bytes().to_vec();
        Self { version: Version::Http11, status, reason, fields: Fields::new() }
    }
}

/// Copies a decoded head into a field list.
pub(crate) fn load(fields: &mut Fields, block: &[u8], spans: &[FieldSpan]) {
    let lines = spans
        .iter()
        .map(|line| ((line.name.start, line.name.end), (line.value.start, line.value.end)));
    fields.load(block, lines);
}

/// The name by which this proxy calls itself in `Via`, `Cache-Status` and `Proxy-Status`.
pub(crate) const PSEUDONYM: &str = policy::explain::CACHE_NAME;

/// The `Via` member for a message that was received in this version (RFC 9110 §7.6.3).
pub(crate) const fn via(received: Version) -> &'static [u8] {
    match received {
        Version::Http10 => b"1.0 caching-proxy",
        Version::Http11 => b"1.1 caching-proxy",
        Version::Http2 => b"2.0 caching-proxy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn via_names_us() {
        for version in [Version::Http10, Version::Http11, Version::Http2] {
            let member = std::str::from_utf8(via(version)).unwrap();
            assert_eq!(member.split_once(' ').unwrap().1, PSEUDONYM);
        }
    }
}
