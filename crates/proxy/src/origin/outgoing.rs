//! The head of a request as the origin gets it.

use bytes::Bytes;
use http1::encode;
use policy::forwarded::Way;
use policy::loops::{self, Reach};
use policy::{Fields, Offer};

use super::Shared;
use crate::error::FetchError;
use crate::head::{self, PSEUDONYM, RequestHead};
use crate::settings::Told;

/// Who asked, and by what name the request is known in logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) way: &'a Way,
    pub(crate) told: Told,
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

/// Writes the head of `request` with `fields` in place of its own, and what is offered to the origin.
pub(crate) fn head(
    origin: &Shared,
    request: &RequestHead,
    fields: &Fields,
    framing: OutgoingFraming,
    offer: Option<&Offer>,
    sender: Sender<'_>,
) -> Result<Bytes, FetchError> {
    refuse_loops(fields, origin.limits.hops)?;
    let reach = loops::reach(&request.method, fields);
    let mut out = Vec::with_capacity(512);
    encode::request_line(&mut out, request.method.as_bytes(), &target(origin, &request.target));
    encode::field(&mut out, b"Host", origin.authority.as_bytes());
    for (name, value) in fields.iter() {
        // Where it counts, it is written anew below.
        if reach == Reach::Anywhere || !name.eq_ignore_ascii_case(b"Max-Forwards") {
            encode::field(&mut out, name, value);
        }
    }
    if let Reach::Forward(left) = reach {
        encode::field_u64(&mut out, b"Max-Forwards", left);
    }
    encode::field(&mut out, b"Via", head::via(request.version));
    //= https://www.rfc-editor.org/rfc/rfc8586#section-2
    //# Conforming Content Delivery Networks SHOULD add a cdn-info to this header field in all
    //# requests they generate or forward (creating the header field if necessary).
    encode::field(&mut out, b"CDN-Loop", PSEUDONYM.as_bytes());
    tell(&mut out, request, sender);
    encode::field(&mut out, b"X-Request-Id", sender.request_id.as_bytes());
    match framing {
        OutgoingFraming::None => {}
        OutgoingFraming::Length(length) => encode::field_u64(&mut out, b"Content-Length", length),
        OutgoingFraming::Chunked => encode::field(&mut out, b"Transfer-Encoding", b"chunked"),
    }
    if let Some(offer) = offer {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
        //# A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header
        //# field (Section 7.6.1) to inform intermediaries not to forward this field.
        encode::field(&mut out, b"Connection", b"upgrade");
        encode::field(&mut out, b"Upgrade", offer.as_bytes());
    }
    encode::end_of_head(&mut out);
    Ok(out.into())
}

/// Who asked, and for what.
fn tell(out: &mut Vec<u8>, request: &RequestHead, Sender { way, told, .. }: Sender<'_>) {
    let scheme = request.scheme.as_str();
    // As it stands in the key: who spells the host in another way must not have that stored.
    let mut host = Vec::with_capacity(request.authority.len());
    policy::key::authority(&mut host, scheme.as_bytes(), &request.authority);
    if matches!(told, Told::XForwarded | Told::Both) {
        encode::field(out, b"X-Forwarded-For", way.x_forwarded_for().as_bytes());
        encode::field(out, b"X-Forwarded-Host", &host);
        encode::field(out, b"X-Forwarded-Proto", scheme.as_bytes());
    }
    if matches!(told, Told::Forwarded | Told::Both) {
        encode::field(out, b"Forwarded", &way.forwarded(&host, scheme));
    }
}

/// Path prefix of the origin and the client's path and query, byte for byte.
fn target(origin: &Shared, target: &[u8]) -> Vec<u8> {
    // The asterisk of `OPTIONS *` has no path that a prefix could stand before.
    if target == b"*" {
        return target.to_vec();
    }
    [origin.url.prefix().as_bytes(), target].concat()
}

/// RFC 9110 §7.6.3 and RFC 8586 let a recipient find loops by its own name.
fn refuse_loops(fields: &Fields, limit: usize) -> Result<(), FetchError> {
    let hops = loops::hops(fields);
    if hops > limit { Err(FetchError::Loop { hops, limit }) } else { Ok(()) }
}
