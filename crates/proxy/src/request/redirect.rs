//! What a listener answers that only sends clients on to HTTPS.

use super::answer::{Answer, AnswerHead, Report, Source};
use super::{Request, respond, screen};
use crate::error::Refusal;
use crate::failure::Denial;
use crate::head::{RequestHead, Scheme};
use crate::proxy_status::ProxyError;
use crate::worker::Worker;

/// The answer that sends a client on to this port. 308 is for every method alike:
///
//= https://www.rfc-editor.org/rfc/rfc9110#section-15.4.9
//# Note: This status code is similar to 301 (Moved Permanently) (Section 15.4.2), except that it does
//# not allow changing the request method from POST to GET.
pub(crate) fn answer(
    worker: &Worker,
    request: &Request,
    has_content: bool,
    port: u16,
) -> Result<Answer, Refusal> {
    screen::screen(&request.head, has_content)?;
    let location = location(&request.head, port).ok_or(Refusal::Nowhere)?;
    let why = Denial::Redirected;
    let (code, status) = (why.code(), why.status());
    let proxy_error = Some(ProxyError::own(why.error_type(), code));
    let report = Report { code, source: Source::Proxy, proxy_error };
    let text = "this is served by HTTPS alone\n";
    let mut answer = respond::text(worker, &request.head.method, status, text, report);
    if let AnswerHead::Own(head) = &mut answer.head {
        head.fields.push(b"Location", &location);
    }
    Ok(answer)
}

/// Where a request is sent on to, at this port. `None` if it does not say where it wants to go, or
/// wants nothing that has a URL.
///
/// The host is the client's own, which the codec has found to be one; nothing else of what it sent
/// can reach the authority of the URL.
fn location(head: &RequestHead, port: u16) -> Option<Vec<u8>> {
    let host = host(&head.authority);
    if host.is_empty() || !head.target.starts_with(b"/") {
        return None;
    }
    let mut location = b"https://".to_vec();
    location.extend(host.iter().map(u8::to_ascii_lowercase));
    if port != Scheme::Https.default_port() {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    location.extend_from_slice(&head.target);
    Some(location)
}

/// An authority without its port; the colons within an IPv6 address in brackets do not count.
fn host(authority: &[u8]) -> &[u8] {
    let after_address = authority.iter().rposition(|&byte| byte == b']').map_or(0, |at| at + 1);
    let tail = authority.get(after_address..).unwrap_or_default();
    let colon = tail.iter().position(|&byte| byte == b':').unwrap_or(tail.len());
    authority.get(..after_address + colon).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_stays_and_the_port_is_that_of_tls() {
        for (authority, target, port, expected) in [
            ("a.example", "/", 443, Some("https://a.example/")),
            ("A.Example:80", "/x?y=//b", 443, Some("https://a.example/x?y=//b")),
            (
                "a.example:8080",
                "//evil.example/",
                3443,
                Some("https://a.example:3443//evil.example/"),
            ),
            ("[::1]", "/", 443, Some("https://[::1]/")),
            ("[::1]:80", "/@b", 8443, Some("https://[::1]:8443/@b")),
            ("a.example:", "/", 443, Some("https://a.example/")),
            ("", "/", 443, None),
            (":80", "/", 443, None),
            ("a.example", "*", 443, None),
        ] {
            let head = RequestHead {
                authority: authority.into(),
                target: target.into(),
                ..RequestHead::default()
            };
            let found = location(&head, port).map(|found| String::from_utf8(found).unwrap());
            assert_eq!(found.as_deref(), expected, "{authority} {target}");
        }
    }
}
