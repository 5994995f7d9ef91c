//! Step 1 for HTTP/2: a request head out of a header list, or why it is none.
//!
//! The codec has checked the order of the pseudo-fields, that each stands there once, that names are in
//! lower case, and that no field is about the connection. The rest is checked here.

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http1::{BadHead, BadRequest};
use policy::Method;

use super::malformed::Malformed;
use crate::error::Refusal;
use crate::head::{RequestHead, Scheme, Version};
use crate::http2_fields::content_length;
use crate::settings::Limits;

/// What a head says beside what the steps need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Announced {
    /// The length of the content.
    pub(super) length: Option<u64>,
    /// The client waits for a 100 before it sends content.
    pub(super) expects_continue: bool,
}

/// Why a request goes no further.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It is no request: its stream is reset.
    Malformed(Malformed),
    /// It is one, and answered with an error.
    Refused(Refusal),
}

impl From<Malformed> for Unfit {
    fn from(bad: Malformed) -> Self {
        Self::Malformed(bad)
    }
}

impl From<BadRequest> for Unfit {
    fn from(bad: BadRequest) -> Self {
        Self::Refused(Refusal::Malformed(bad))
    }
}

/// Takes over what the codec decoded, reusing the buffers of `head`. What stands in it when this fails
/// is what was understood. `scheme` is that of the client; a proxy in front that is trusted to say so
/// may name that of its own connection, `carrier`, all the same.
pub(super) fn adopt(
    head: &mut RequestHead,
    parts: &Parts,
    scheme: Scheme,
    carrier: Scheme,
    limits: &Limits,
) -> Result<Announced, Unfit> {
    head.method = Method::parse(parts.method.as_str().as_bytes());
    head.version = Version::Http2;
    head.scheme = scheme;
    head.query = None;
    head.fields.clear();
    take_target(head, parts, limits)?;
    take_authority(head, parts)?;
    count(&parts.headers, limits)?;
    take_fields(head, &parts.headers)?;
    let length = content_length(&parts.headers).map_err(|_| Malformed::Length)?;
    let mut expectations = parts.headers.get_all(header::EXPECT).iter();
    let expects_continue =
        expectations.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    // After the checks that the scheme has no part in, so that what is malformed is called so.
    let is_known = |named: &str| {
        [scheme, carrier].iter().any(|known| named.eq_ignore_ascii_case(known.as_str()))
    };
    if parts.uri.scheme_str().is_some_and(|named| !is_known(named)) {
        return Err(Unfit::Refused(Refusal::Misdirected { scheme: scheme.as_str() }));
    }
    Ok(Announced { length, expects_continue })
}

fn take_target(head: &mut RequestHead, parts: &Parts, limits: &Limits) -> Result<(), Unfit> {
    head.target.clear();
    if head.method == Method::Connect {
        return Ok(());
    }
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str()).as_bytes();
    // A name for a path that long would be a line of HTTP/1.1 that is refused.
    if target.len() > limits.http1.request_line {
        return Err(BadRequest::LineTooLong.into());
    }
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1
    //# This pseudo-header field MUST NOT be empty for "http" or "https" URIs; "http" or "https" URIs
    //# that do not contain a path component MUST include a value of '/'.
    let is_asterisk = target == b"*" && head.method == Method::Options;
    if !is_asterisk && !http1::is_path(target) {
        return Err(Malformed::Path.into());
    }
    head.target.extend_from_slice(target);
    Ok(())
}

fn take_authority(head: &mut RequestHead, parts: &Parts) -> Result<(), Unfit> {
    head.authority.clear();
    let mut hosts = parts.headers.get_all(header::HOST).iter().map(http::HeaderValue::as_bytes);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Malformed::HostRepeated.into());
    }
    let named = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1
    //# The recipient of an HTTP/2 request MUST NOT use the Host header field to determine the target
    //# URI if ":authority" is present.
    let authority = named.or(host).ok_or(Malformed::NoAuthority)?;
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1
    //# ":authority" MUST NOT include the deprecated userinfo subcomponent for "http" or "https" schemed
    //# URIs.
    if !http1::is_authority(authority) {
        return Err(Malformed::Authority.into());
    }
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1
    //# A server SHOULD treat a request as malformed if it contains a Host header field that identifies
    //# an entity that differs from the entity in the ":authority" pseudo-header field.
    if let Some(host) = host.filter(|host| *host != authority)
        && normal(head.scheme, host) != normal(head.scheme, authority)
    {
        return Err(Malformed::HostDiffers.into());
    }
    head.authority.extend_from_slice(authority);
    Ok(())
}

/// RFC 3986 §6.2.3: the scheme's own port says nothing, and the case of a host neither.
fn normal(scheme: Scheme, authority: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(authority.len());
    policy::key::authority(&mut out, scheme.as_str().as_bytes(), authority);
    out
}

/// The bounds of HTTP/1.1 hold here too; only a cookie may come in crumbs.
fn count(fields: &HeaderMap, limits: &Limits) -> Result<(), Unfit> {
    let crumbs = fields.get_all(header::COOKIE).iter().count();
    if crumbs > limits.http2.cookie_crumbs || fields.len() - crumbs > limits.http2.fields {
        return Err(BadRequest::Head(BadHead::TooManyFields).into());
    }
    let too_large = |(name, value): (&HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() > limits.http1.field
    };
    if fields.iter().any(too_large) {
        return Err(BadRequest::Head(BadHead::FieldTooLarge).into());
    }
    Ok(())
}

fn take_fields(head: &mut RequestHead, fields: &HeaderMap) -> Result<(), Unfit> {
    let mut cookie = Vec::new();
    for (name, value) in fields {
        let value = value.as_bytes();
        //= https://www.rfc-editor.org/rfc/rfc9113#section-8.2.1
        //# A field value MUST NOT start or end with an ASCII whitespace character (ASCII SP or HTAB,
        //# 0x20 or 0x09).
        if value.trim_ascii().len() < value.len() {
            return Err(Malformed::Whitespace.into());
        }
        if name == header::COOKIE {
            if !cookie.is_empty() {
                cookie.extend_from_slice(b"; ");
            }
            cookie.extend_from_slice(value);
        } else {
            head.fields.push(name.as_str().as_bytes(), value);
        }
    }
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3
    //# If there are multiple Cookie header fields after decompression, these MUST be concatenated into
    //# a single octet string using the two-octet delimiter of 0x3b, 0x20 (the ASCII string "; ") before
    //# being passed into a non-HTTP/2 context
    if !cookie.is_empty() {
        head.fields.push(b"cookie", &cookie);
    }
    Ok(())
}
