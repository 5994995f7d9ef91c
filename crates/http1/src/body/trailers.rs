//! The trailer section, without the fields that must not come that late.

use crate::{BadHead, FieldSpan, Limits, facts, scan};
use bytes::{Bytes, BytesMut};

/// A trailer section. RFC 9112 §7.1.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailers {
    /// The section as sent, its last CRLF included.
    pub block: Bytes,
    /// The fields that may be used, as spans into `block`.
    pub fields: Vec<FieldSpan>,
}

impl Trailers {
    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (field.name.of(&self.block), field.value.of(&self.block)))
    }
}

/// Takes the whole section from `buf`; `None` while it is arriving.
pub(super) fn take(buf: &mut BytesMut, limits: &Limits) -> Result<Option<Trailers>, BadHead> {
    let limits = Limits { head: limits.trailers, ..*limits };
    let Some(section) = scan::section(scan::window(buf, &limits), 0, &limits)? else {
        return Ok(None);
    };
    let mut fields = Vec::new();
    facts::read(buf, section, &mut fields)?;
    let block = buf.split_to(section.end).freeze();
    fields.retain(|field| may_be_trailer(field.name.of(&block)));
    Ok(Some(Trailers { block, fields }))
}

/// RFC 9110 §6.5.1: fields for framing, routing, authentication, request modification, response
/// control and content format mean something only before the content. Lower case.
const FORBIDDEN: &[&str] = &[
    "age",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "surrogate-control",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whether a field of this name may come behind the content, by whatever version of HTTP.
pub fn may_be_trailer(name: &[u8]) -> bool {
    !FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}
