//! The four forms of a request target, and the one grammar for `host[:port]`.
//!
//! Bytes: visible ASCII except `#` (a fragment is never sent, RFC 9112 §3.2), `<`, `>` and, before
//! the first `?`, backslash, which some servers read as `/`. The other bytes outside RFC 3986 are
//! taken because clients send them raw (`|`, `^`, `{`, `}`, backtick and backslash in queries,
//! `"` by scripts) and because they delimit nothing here.
//!
//! Host: letters, digits, `-`, `.`, `_`, `~`, or an IPv6 address in brackets. RFC 3986 §3.2.2 also
//! has percent-encoding and `!$&'()*+,;=`; no public name has them, and routers disagree on them.
//! A port is one to five digits up to 65535; the empty port of the grammar is refused, so that an
//! authority has one spelling less.

use crate::chars::{HOST, end_of};
use crate::{BadRequest, Span};
use std::net::Ipv6Addr;

/// The form of a request target. RFC 9112 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, for CONNECT alone.
    Authority,
    /// `*`, for OPTIONS alone.
    Asterisk,
}

/// A target taken apart.
pub(crate) struct Target {
    pub(crate) form: TargetForm,
    /// Empty for the forms that have none.
    pub(crate) authority: Span,
    /// Path and query; empty for the forms that have none.
    pub(crate) path: Span,
}

/// Takes apart the target at `span`, whose bytes have been checked.
#[inline]
pub(crate) fn parse(buf: &[u8], method: &[u8], span: Span) -> Result<Target, BadRequest> {
    let target = span.of(buf);
    let none = Span::default();
    if method == b"CONNECT" {
        return match authority(target) {
            Some(Authority::WithPort) => {
                Ok(Target { form: TargetForm::Authority, authority: span, path: none })
            }
            _ => Err(BadRequest::ConnectTarget),
        };
    }
    match target {
        [b'/', ..] => Ok(Target { form: TargetForm::Origin, authority: none, path: span }),
        b"*" if method == b"OPTIONS" => {
            Ok(Target { form: TargetForm::Asterisk, authority: none, path: none })
        }
        b"*" => Err(BadRequest::AsteriskTarget),
        _ => absolute(target, span.start as usize),
    }
}

fn absolute(target: &[u8], start: usize) -> Result<Target, BadRequest> {
    let scheme = scheme_length(target).ok_or(BadRequest::Target)?;
    let rest = target.get(scheme..).unwrap_or_default();
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if authority(rest.get(..length).unwrap_or_default()).is_none() {
        return Err(BadRequest::TargetAuthority);
    }
    let path = start + scheme + length;
    Ok(Target {
        form: TargetForm::Absolute,
        authority: Span::new(start + scheme, path),
        path: Span::new(path, start + target.len()),
    })
}

/// The length of `http://` or `https://`, in any case; another scheme is not ours to serve.
fn scheme_length(target: &[u8]) -> Option<usize> {
    let begins_with = |scheme: &[u8]| {
        target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    [&b"http://"[..], b"https://"].into_iter().find(|scheme| begins_with(scheme)).map(<[u8]>::len)
}

/// A valid `host[:port]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    HostAlone,
    WithPort,
}

/// `None` unless `bytes` is `host[:port]` with a host that is not empty (RFC 9110 §4.2.1) and no
/// user information (RFC 9110 §4.2.4).
#[inline]
pub(crate) fn authority(bytes: &[u8]) -> Option<Authority> {
    let host = match bytes {
        [b'[', ..] => bracketed(bytes)?,
        _ => end_of(HOST, bytes, 0),
    };
    match bytes.get(host..)? {
        _ if host == 0 => None,
        [] => Some(Authority::HostAlone),
        [b':', port @ ..] if is_port(port) => Some(Authority::WithPort),
        _ => None,
    }
}

/// Whether `bytes` is a valid `host[:port]`, as it stands in a target or in Host.
pub fn is_authority(bytes: &[u8]) -> bool {
    authority(bytes).is_some()
}

/// The length of `[IPv6 address]` at the start of `bytes`.
fn bracketed(bytes: &[u8]) -> Option<usize> {
    let close = bytes.iter().position(|&byte| byte == b']')?;
    let address = std::str::from_utf8(bytes.get(1..close)?).ok()?;
    address.parse::<Ipv6Addr>().ok().map(|_| close + 1)
}

fn is_port(port: &[u8]) -> bool {
    let digits = matches!(port.len(), 1..=5) && port.iter().all(u8::is_ascii_digit);
    digits && port.iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0')) <= 65_535
}
