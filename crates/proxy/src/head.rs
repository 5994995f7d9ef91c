//! Message heads as the steps see them, whatever the protocol they came by.

use http1::FieldSpan;
use policy::{Fields, Method};

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
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// The method.
    pub(crate) method: Method,
    /// The scheme the client used.
    pub(crate) scheme: Scheme,
    /// `host[:port]` of the target; empty when an HTTP/1.0 client named none.
    pub(crate) authority: Vec<u8>,
    /// Path and query, byte for byte; or `*` for `OPTIONS *`.
    pub(crate) target: Vec<u8>,
    /// The field lines.
    pub(crate) fields: Fields,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::Get,
            scheme: Scheme::Http,
            authority: Vec::new(),
            target: Vec::new(),
            fields: Fields::new(),
        }
    }
}

impl RequestHead {
    /// Takes over what the codec found in `buf`, reusing this head's buffers.
    pub(crate) fn adopt(&mut self, buf: &[u8], head: &http1::RequestHead, spans: &[FieldSpan]) {
        self.method = Method::parse(head.method.of(buf));
        self.authority.clear();
        self.authority.extend_from_slice(head.authority.of(buf));
        self.target.clear();
        match head.path.of(buf) {
            // RFC 9112 §3.2.1: an empty path is sent as "/".
            [] if head.form == http1::TargetForm::Asterisk => self.target.push(b'*'),
            [] => self.target.push(b'/'),
            // An absolute-form target with a query but no path, as in "http://host?query".
            path @ [b'?', ..] => {
                self.target.push(b'/');
                self.target.extend_from_slice(path);
            }
            path => self.target.extend_from_slice(path),
        }
        load(&mut self.fields, buf.get(..head.len).unwrap_or(buf), spans);
    }
}

/// A final response without its content.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseHead {
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
        Self { status: head.status, reason: head.reason.of(buf).to_vec(), fields }
    }

    /// A head of the proxy's own, with the registered reason phrase.
    pub(crate) fn with_status(status: u16) -> Self {
        let reason = http1::encode::reason_phrase(status).as_bytes().to_vec();
        Self { status, reason, fields: Fields::new() }
    }
}

/// Copies a decoded head into a field list.
pub(crate) fn load(fields: &mut Fields, block: &[u8], spans: &[FieldSpan]) {
    let lines = spans
        .iter()
        .map(|line| ((line.name.start, line.name.end), (line.value.start, line.value.end)));
    fields.load(block, lines);
}
