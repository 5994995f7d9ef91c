//! Step 2: may this request be served at all?

use policy::Method;

use crate::error::Refusal;
use crate::head::RequestHead;
use crate::worker::Worker;

/// Refuses what a reverse proxy does not do. Framing and `Host` were checked by the codec.
pub(crate) fn screen(head: &RequestHead, has_content: bool) -> Result<(), Refusal> {
    match head.method {
        // RFC 9110 §9.3.6: CONNECT asks a forward proxy for a tunnel.
        Method::Connect => Err(Refusal::Connect),
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.8
        //# A client MUST NOT send content in a TRACE request.
        Method::Trace if has_content => Err(Refusal::TraceContent),
        _ => Ok(()),
    }
}

/// Refuses content that is announced to be larger than is taken, before anything comes of it.
pub(crate) fn screen_length(worker: &Worker, length: Option<u64>) -> Result<(), Refusal> {
    let limit = worker.shared.limits.request_content;
    match limit.filter(|limit| length.is_some_and(|length| length > *limit)) {
        Some(limit) => Err(Refusal::ContentTooLarge { limit }),
        None => Ok(()),
    }
}

/// Refuses a path that leads out of that of the origin's URL: whoever names a part of a server has not
/// named its other parts. Without such a part there is nothing to lead out of, and the path goes to the
/// origin byte for byte whatever it is.
pub(crate) fn screen_path(worker: &Worker, head: &RequestHead) -> Result<(), Refusal> {
    let is_part = !worker.origin.shared.url.prefix().is_empty();
    if is_part && leads_out(&head.target) { Err(Refusal::Outside) } else { Ok(()) }
}

/// Whether some server may find this path above the place where it begins. Servers do not agree on what
/// they decode before they remove dot segments, whether `;` ends a segment, and whether an empty one is
/// one: what goes up counts as it does for any of them, and what goes down as it does for all.
fn leads_out(target: &[u8]) -> bool {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let mut depth = 0_usize;
    for segment in path.split(|&byte| byte == b'/') {
        let plain = decoded(segment);
        let names = plain.split(|byte| matches!(byte, b'/' | b'\\'));
        let names = names.map(|name| name.split(|&byte| byte == b';').next().unwrap_or_default());
        let ups = names.clone().filter(|name| *name == b"..").count();
        let is_down = ups == 0 && names.into_iter().any(|name| !matches!(name, b"" | b"."));
        match depth.checked_sub(ups) {
            Some(left) => depth = left + usize::from(is_down),
            None => return true,
        }
    }
    false
}

/// A segment of a path without its percent-encoding, as far as that is one.
fn decoded(segment: &[u8]) -> Vec<u8> {
    let digit = |at: usize| char::from(*segment.get(at)?).to_digit(16);
    let mut out = Vec::with_capacity(segment.len());
    let mut at = 0;
    while let Some(&byte) = segment.get(at) {
        let pair = digit(at + 1).zip(digit(at + 2)).filter(|_| byte == b'%');
        out.push(pair.and_then(|(high, low)| u8::try_from(high << 4 | low).ok()).unwrap_or(byte));
        at += if pair.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_some_server_may_find_above_its_beginning_leads_out() {
        for target in [
            "/..",
            "/../x",
            "/./../x",
            "/a/../../x",
            "/a//../../x",
            "//../x",
            "/%2e%2e/x",
            "/.%2E/x",
            "/..%2fx",
            "/a%2f..%2f..%2fx",
            "/a%2fb/../../x",
            "/..%5cx",
            "/..;/x",
            "/..;a=b/x",
            "/..%3bx/x",
            "/;/../x",
            "/..?x",
        ] {
            assert!(leads_out(target.as_bytes()), "{target}");
        }
    }

    #[test]
    fn all_other_paths_lead_nowhere_else() {
        for target in [
            "/",
            "*",
            "",
            "/a/../b",
            "/a/b/../..",
            "/a/%2e%2e/b",
            "/...",
            "/..a",
            "/a..",
            "/a/..b/..c",
            "/.",
            "/%",
            "/%2",
            "/%zz..",
            "/a?b=/../..",
            "/%252e%252e",
            "/a;b/../c",
        ] {
            assert!(!leads_out(target.as_bytes()), "{target}");
        }
    }
}
