//! Request fields by which a client could speak in the name of a proxy, and what becomes of them.
//!
//! Many origins take the host, the scheme, the path, the method or the client's address from such
//! fields, and build links, redirects or whole pages from them. None of them is in the cache key, so
//! one client could choose what all others get. No client is trusted to send them: those that the
//! proxy writes itself are replaced, the others are dropped, before anything is decided.

use policy::Fields;

/// Removes these fields from the head of a request, or from its trailers: an origin may merge trailers
/// into the head.
pub(crate) fn strip(fields: &mut Fields) {
    fields.retain(|name, _| !is_untrusted(name));
}

/// Is this a field that no client may send to the origin?
fn is_untrusted(name: &[u8]) -> bool {
    // The first letter alone rules out nearly every field.
    let candidates: &[&str] = match name {
        [b'x' | b'X', rest @ ..] => return is_untrusted_extension(rest),
        [b'b' | b'B', ..] => &["base-url"],
        [b'c' | b'C', ..] => &[
            "cf-connecting-ip",
            "cf-connecting-ipv6",
            "cf-visitor",
            "client-cert",
            "client-cert-chain",
            "client-ip",
            "content-length",
        ],
        [b'e' | b'E', ..] => &["expect"],
        [b'f' | b'F', ..] => {
            &["fastly-client-ip", "fastly-ssl", "fly-client-ip", "forwarded", "front-end-https"]
        }
        [b'h' | b'H', ..] => &["host", "http-url"],
        [b'p' | b'P', ..] => &["proxy", "proxy-host", "proxy-url"],
        [b'r' | b'R', ..] => &["real-ip", "remote-addr", "request-uri"],
        [b's' | b'S', ..] => &["script-name", "surrogate-capability"],
        [b't' | b'T', ..] => &["transfer-encoding", "true-client-ip"],
        [b'w' | b'W', ..] => &["wl-proxy-client-ip", "wl-proxy-ssl"],
        _ => return false,
    };
    candidates.iter().any(|candidate| is_same(name, candidate))
}

/// As [`is_untrusted`], for what follows the `X` of a name.
fn is_untrusted_extension(rest: &[u8]) -> bool {
    /// Whoever invents one more of these means the same.
    const PREFIXES: [&str; 3] = ["-forwarded", "-original-", "-envoy-original-"];
    const NAMES: [&str; 35] = [
        "-appengine-user-ip",
        "-arr-ssl",
        "-azure-clientip",
        "-azure-socketip",
        "-backend-host",
        "-client-ip",
        "-cluster-client-ip",
        "-custom-ip-authorization",
        "-envoy-external-address",
        "-forward-for",
        "-host",
        "-host-override",
        "-http-destinationurl",
        "-http-host-override",
        "-http-method",
        "-http-method-override",
        "-https",
        "-method",
        "-method-override",
        "-originating-ip",
        "-originating-url",
        "-proxy-url",
        "-proxyuser-ip",
        "-real-ip",
        "-remote-addr",
        "-remote-ip",
        "-request-id",
        "-request-uri",
        "-rewrite-uri",
        "-rewrite-url",
        "-scheme",
        "-script-name",
        "-true-client-ip",
        "-true-ip",
        "-url-scheme",
    ];
    let starts =
        |prefix: &str| rest.get(..prefix.len()).is_some_and(|start| is_same(start, prefix));
    PREFIXES.iter().any(|prefix| starts(prefix)) || NAMES.iter().any(|name| is_same(rest, name))
}

/// Compares a name as origins do that see `X-Real-IP`, `x-real-ip` and `X_Real_IP` as one: it is
/// `HTTP_X_REAL_IP` to every program that gets its request in the manner of CGI.
fn is_same(name: &[u8], candidate: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == candidate.len() && name.iter().map(|&b| plain(b)).eq(candidate.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_for_a_proxy_is_not_taken_from_a_client() {
        for name in [
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-For",
            "X-Forwarded-Port",
            "X-Forwarded-Server",
            "X-Forwarded-Prefix",
            "X-Forwarded-Scheme",
            "X-Forwarded-SSL",
            "X-Forwarded",
            "X-Forwarded-Anything-New",
            "Forwarded",
            "X-Real-IP",
            "X-Original-URL",
            "X-Original-Host",
            "X-Original-Forwarded-For",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X-Host",
            "Front-End-Https",
            "X-Url-Scheme",
            "X-Scheme",
            "True-Client-IP",
            "CF-Connecting-IP",
            "Client-IP",
            "Client-Cert",
            "Client-Cert-Chain",
            "client_cert",
            "X-Client-IP",
            "X-ProxyUser-Ip",
            "X-Cluster-Client-IP",
            "Surrogate-Capability",
            "Proxy",
            "Host",
            "Expect",
            "Content-Length",
            "X-Request-Id",
            "x_forwarded_host",
            "X_FORWARDED-HOST",
            "True_Client_IP",
            "Content_Length",
            "Transfer_Encoding",
        ] {
            assert!(is_untrusted(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_clients_say_of_themselves_is_passed_on() {
        for name in [
            "",
            "X",
            "X-",
            "Accept",
            "Accept-Encoding",
            "Authorization",
            "Cache-Control",
            "CDN-Loop",
            "Content-Encoding",
            "Content-Type",
            "Cookie",
            "From",
            "Hosts",
            "If-None-Match",
            "Origin",
            "Proxy-Status",
            "Range",
            "Referer",
            "Sec-Fetch-Site",
            "Traceparent",
            "User-Agent",
            "Via",
            "X-API-Key",
            "X-CSRF-Token",
            "X-Hosted",
            "X-Original",
            "X-Requested-With",
        ] {
            assert!(!is_untrusted(name.as_bytes()), "{name}");
        }
    }
}
