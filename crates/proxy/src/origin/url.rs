//! The origin's address as a user writes it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::head::Scheme;

/// Where requests are forwarded to: scheme, host, port and an optional path prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginUrl {
    scheme: Scheme,
    host: String,
    port: u16,
    prefix: String,
    protocol: Protocol,
}

/// By which version of HTTP an origin is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 without TLS; with TLS, what the origin chooses of HTTP/2 and HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS, it is known to be spoken.
    Http2,
}

/// Why a text is not an origin's URL.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginUrlError {
    /// There is no `http://` or `https://` in front.
    #[error("it must start with http:// or https://")]
    Scheme,
    /// The host is missing or has characters that no host has.
    #[error("its host is missing or malformed")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("its port must be a number from 1 to 65535")]
    Port,
    /// User and password have no place there.
    #[error("it must not carry a user name or password")]
    UserInfo,
    /// A query or fragment: nothing can be joined behind it.
    #[error("it must end before any '?' or '#', since request paths are joined behind it")]
    CannotJoin,
    /// A path with characters that a request target cannot have.
    #[error("its path has characters that a URL path cannot have")]
    Path,
}

impl OriginUrl {
    /// Parses `http[s]://host[:port][/prefix]`.
    pub fn parse(text: &str) -> Result<Self, OriginUrlError> {
        let (scheme, rest) = split_scheme(text)?;
        if rest.contains(['?', '#']) {
            return Err(OriginUrlError::CannotJoin);
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(OriginUrlError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        if !is_host(host) {
            return Err(OriginUrlError::Host);
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte)) {
            return Err(OriginUrlError::Path);
        }
        let port = match port {
            None => scheme.default_port(),
            Some(digits) => parse_port(digits)?,
        };
        let prefix = path.trim_end_matches('/').to_owned();
        let (host, protocol) = (host.to_ascii_lowercase(), Protocol::Auto);
        Ok(Self { scheme, host, port, prefix, protocol })
    }

    /// The same, asked by this version of HTTP.
    #[must_use]
    pub fn by(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// By which version of HTTP it is asked.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the scheme's own if none was written.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What stands in the `Host` field: the port only if it is not the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            return self.host.clone();
        }
        format!("{}:{}", self.host, self.port)
    }

    /// What is put before every request path; empty or starting with a slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}{}", self.scheme.as_str(), self.authority(), self.prefix)
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), OriginUrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(OriginUrlError::Scheme)?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, rest)),
        "https" => Ok((Scheme::Https, rest)),
        _ => Err(OriginUrlError::Scheme),
    }
}

/// Splits `host:port`; the colons within an IPv6 address in brackets do not count.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), OriginUrlError> {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let tail = authority.get(after_address..).ok_or(OriginUrlError::Host)?;
    let Some(colon) = tail.find(':') else { return Ok((authority, None)) };
    let (host, port) = authority.split_at(after_address + colon);
    Ok((host, port.get(1..)))
}

fn parse_port(digits: &str) -> Result<u16, OriginUrlError> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|&port| all_digits && port > 0);
    port.ok_or(OriginUrlError::Port)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.len() <= 253 && host.trim_end_matches('.').split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_name_an_origin() {
        for (text, shown, authority, prefix) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "127.0.0.1:8000", ""),
            ("http://localhost/", "http://localhost", "localhost", ""),
            ("HTTPS://API.example.com:443", "https://api.example.com", "api.example.com", ""),
            (
                "https://api.example.com:80/v1/",
                "https://api.example.com:80/v1",
                "api.example.com:80",
                "/v1",
            ),
            ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b", "[::1]:8080", "/a/b"),
        ] {
            let url = OriginUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.authority(), authority);
            assert_eq!(url.prefix(), prefix);
        }
        assert_eq!(OriginUrl::parse("http://[::1]").unwrap().host(), "::1");
    }

    #[test]
    fn urls_that_do_not() {
        use OriginUrlError::{CannotJoin, Host, Path, Port, Scheme, UserInfo};
        for (text, error) in [
            ("", Scheme),
            ("example.com", Scheme),
            ("ftp://example.com", Scheme),
            ("http://", Host),
            ("http://:80", Host),
            ("http://a b", Host),
            ("http://a..b", Host),
            ("http://[::1", Host),
            ("http://a:0", Port),
            ("http://a:65536", Port),
            ("http://a:+80", Port),
            ("http://a:", Port),
            ("http://u:p@a", UserInfo),
            ("http://a/x?y", CannotJoin),
            ("http://a/#f", CannotJoin),
            ("http://a/x y", Path),
        ] {
            assert_eq!(OriginUrl::parse(text), Err(error), "{text}");
        }
    }
}
