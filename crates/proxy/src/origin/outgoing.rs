//! The head of a request as the origin gets it.

use std::net::IpAddr;

use bytes::Bytes;
use http1::encode;
use policy::Fields;

use super::Shared;
use crate::error::FetchError;
use crate::head::{self, PSEUDONYM, RequestHead};

/// A request may come by proxies of this name so often; more is taken for a loop.
const MOST_HOPS: usize = 16;

/// Who asked, and by what name the request is known in logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) client: IpAddr,
    pub(crate) request_id: &'a str,
}

/// The framing of the content that will follow the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutgoingFraming {
    /// No content.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Writes the head of `request` with `fields` in place of its own.
pub(crate) fn head(
    origin: &Shared,
    request: &RequestHead,
    fields: &Fields,
    framing: OutgoingFraming,
    sender: Sender<'_>,
) -> Result<Bytes, FetchError> {
    refuse_loops(fields)?;
    let mut out = Vec::with_capacity(512);
    encode::request_line(&mut out, request.method.as_bytes(), &target(origin, &request.target));
    encode::field(&mut out, b"Host", origin.authority.as_bytes());
    for (name, value) in fields.iter() {
        encode::field(&mut out, name, value);
    }
    encode::field(&mut out, b"Via", head::via(request.version));
    encode::field(&mut out, b"X-Forwarded-For", sender.client.to_string().as_bytes());
    let scheme = request.scheme.as_str().as_bytes();
    // As it stands in the key: who spells the host in another way must not have that stored.
    let mut host = Vec::with_capacity(request.authority.len());
    policy::key::authority(&mut host, scheme, &request.authority);
    encode::field(&mut out, b"X-Forwarded-Host", &host);
    encode::field(&mut out, b"X-Forwarded-Proto", scheme);
    encode::field(&mut out, b"X-Request-Id", sender.request_id.as_bytes());
    match framing {
        OutgoingFraming::None => {}
        OutgoingFraming::Length(length) => encode::field_u64(&mut out, b"Content-Length", length),
        OutgoingFraming::Chunked => encode::field(&mut out, b"Transfer-Encoding", b"chunked"),
    }
    encode::end_of_head(&mut out);
    Ok(out.into())
}

/// Path prefix of the origin and the client's path and query, byte for byte.
fn target(origin: &Shared, target: &[u8]) -> Vec<u8> {
    // The asterisk of `OPTIONS *` has no path that a prefix could stand before.
    if target == b"*" {
        return target.to_vec();
    }
    [origin.url.prefix().as_bytes(), target].concat()
}

/// RFC 9110 §7.6.3 lets a recipient find loops by the names in `Via`.
fn refuse_loops(fields: &Fields) -> Result<(), FetchError> {
    let names_us = |member: &&[u8]| {
        let mut words = member.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        words.nth(1) == Some(PSEUDONYM.as_bytes())
    };
    let times = fields
        .all("Via")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .filter(names_us)
        .count();
    if times > MOST_HOPS { Err(FetchError::Loop { times }) } else { Ok(()) }
}
