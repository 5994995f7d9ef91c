//! Which stored responses an unsafe request makes untrue (RFC 9111 §4.4).

use crate::fields::Fields;
use crate::method::Method;
use crate::seen::Seen;
use crate::syntax::trim;

/// A resource of an origin whose scheme is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host and port.
    pub authority: Vec<u8>,
    /// Path and query; the path is absolute.
    pub path_and_query: Vec<u8>,
}

/// The primary keys whose stored responses must not be used again without validation, after a
/// request of this method was answered with this status and these fields. None for a safe method.
pub fn invalidated(
    method: &Method,
    status: u16,
    target: &Seen<'_>,
    response: &Fields,
) -> Vec<Vec<u8>> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
    //# A "non-error response" is one with a 2xx (Successful) or 3xx (Redirection) status code.
    let is_error = !(200..400).contains(&status);
    // CONNECT has no target resource.
    if is_error || method.is_safe() || *method == Method::Connect {
        return Vec::new();
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
    //# A cache MUST invalidate the target URI (Section 7.1 of [HTTP]) when it receives a non-error
    //# status code in response to an unsafe request method (including methods whose safety is
    //# unknown).
    let mut keys = vec![target.key()];
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
    //# In particular, the URI(s) in the Location and Content-Location response header fields (if
    //# present) are candidates for invalidation
    for reference in response.all("location").chain(response.all("content-location")).map(trim) {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
        //# However, a cache MUST NOT trigger an invalidation under these conditions if the origin
        //# (Section 4.3.1 of [HTTP]) of the URI to be invalidated differs from that of the target URI
        //# (Section 7.1 of [HTTP]).
        // It names its resources as it sees them or, if it knows its public name, as clients do.
        let named = [target.named(reference), target.named_to_client(reference)];
        for key in named.into_iter().flatten() {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

impl Target {
    /// Resolves a URI reference against this target (RFC 3986 §5.2); `None` when it leads to
    /// another scheme.
    pub fn resolve(&self, scheme: &[u8], reference: &[u8]) -> Option<Target> {
        let reference = before(reference, b"#");
        let relative = match scheme_end(reference) {
            Some(end) if !reference[..end].eq_ignore_ascii_case(scheme) => return None,
            // A reference with a scheme has an authority, or is none of ours.
            Some(end) => reference[end + 1..].strip_prefix(b"//").map(Some)?,
            None => reference.strip_prefix(b"//"),
        };
        if let Some(rest) = relative {
            let authority = before(rest, b"/?");
            let path_and_query = folded(&rest[authority.len()..]);
            return Some(Target { authority: authority.to_vec(), path_and_query });
        }
        Some(Target { authority: self.authority.clone(), path_and_query: self.merge(reference) })
    }

    /// The path and query that a reference without authority leads to.
    fn merge(&self, reference: &[u8]) -> Vec<u8> {
        let base = before(&self.path_and_query, b"?");
        match reference.first() {
            None => self.path_and_query.clone(),
            Some(b'/') => folded(reference),
            Some(b'?') => [base, reference].concat(),
            Some(_) => {
                let directory = base.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
                folded(&[&base[..directory], reference].concat())
            }
        }
    }
}

/// What stands before the first of these bytes.
fn before<'a>(text: &'a [u8], ends: &[u8]) -> &'a [u8] {
    let end = text.iter().position(|b| ends.contains(b)).unwrap_or(text.len());
    &text[..end]
}

/// Where the colon of a scheme stands, if the reference begins with a scheme.
fn scheme_end(reference: &[u8]) -> Option<usize> {
    let end = reference.iter().position(|b| b":/?".contains(b))?;
    let is_scheme = reference[end] == b':'
        && reference[0].is_ascii_alphabetic()
        && reference[..end].iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
    is_scheme.then_some(end)
}

/// Path and query without dot segments in the path (RFC 3986 §5.2.4).
fn folded(path_and_query: &[u8]) -> Vec<u8> {
    let path = before(path_and_query, b"?");
    let query = &path_and_query[path.len()..];
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.strip_prefix(b"/").unwrap_or(path).split(|&b| b == b'/') {
        ends_in_directory = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    if ends_in_directory {
        segments.push(b"");
    }
    [b"/", segments.join(&b'/').as_slice(), query].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;
    use crate::seen::OriginName;

    fn keys(method: &str, status: u16, head: &str) -> Vec<String> {
        let method = Method::parse(method.as_bytes());
        let origin = OriginName { scheme: b"http", authority: b"origin:8000", prefix: b"" };
        let authority = b"Example.com:80";
        let target = Seen { scheme: b"http", authority, path_and_query: b"/a/b?q", origin };
        invalidated(&method, status, &target, &fields(head))
            .into_iter()
            .map(|key| String::from_utf8(key).unwrap())
            .collect()
    }

    const TARGET: &str = "GET|http://example.com/a/b?q";

    #[test]
    fn a_non_error_answer_to_an_unsafe_method_invalidates_its_target() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
        //= type=test
        //# A cache MUST invalidate the target URI (Section 7.1 of [HTTP]) when it receives a
        //# non-error status code in response to an unsafe request method (including methods whose
        //# safety is unknown).
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "get"] {
            assert_eq!(keys(method, 200, ""), [TARGET], "{method}");
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "CONNECT"] {
            assert!(keys(method, 200, "location: /x").is_empty(), "{method}");
        }
    }

    #[test]
    fn only_2xx_and_3xx_invalidate() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
        //= type=test
        //# A "non-error response" is one with a 2xx (Successful) or 3xx (Redirection) status code.
        for (status, expected) in [(199, 0), (200, 1), (204, 1), (399, 1), (400, 0), (503, 0)] {
            assert_eq!(keys("POST", status, "").len(), expected, "{status}");
        }
    }

    #[test]
    fn location_and_content_location_are_resolved_against_the_target() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
        //= type=test
        //# In particular, the URI(s) in the Location and Content-Location response header fields (if
        //# present) are candidates for invalidation
        let rows = [
            ("/x", "/x"),
            ("/x?y=/z#f", "/x?y=/z"),
            ("x", "/a/x"),
            ("./x", "/a/x"),
            ("../x", "/x"),
            ("../../../x/.", "/x/"),
            ("x/..", "/a/"),
            ("x//y", "/a/x//y"),
            ("?z", "/a/b?z"),
            ("x:y/z", ""),
            ("./x:y", "/a/x:y"),
            ("//EXAMPLE.com/x", "/x"),
            ("//example.com", "/"),
            ("http://example.com:80/x/../y", "/y"),
            ("HTTP://example.com?r", "/?r"),
            ("http:x", ""),
            // The origin does not know the name by which the client knows it.
            ("http://origin:8000/x", "/x"),
            ("//origin:8000/x/", "/x/"),
        ];
        for (reference, path) in rows {
            let got = keys("POST", 201, &format!("content-location: {reference}"));
            let expected = format!("GET|http://example.com{path}");
            let expected = if path.is_empty() { vec![TARGET] } else { vec![TARGET, &expected] };
            assert_eq!(got, expected, "{reference}");
        }
        assert_eq!(keys("POST", 201, "location: /x\ncontent-location: /y").len(), 3);
        assert_eq!(keys("POST", 201, "location: b?q\ncontent-location: #f"), [TARGET]);
    }

    #[test]
    fn another_origin_cannot_be_invalidated() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
        //= type=test
        //# However, a cache MUST NOT trigger an invalidation under these conditions if the origin
        //# (Section 4.3.1 of [HTTP]) of the URI to be invalidated differs from that of the target URI
        //# (Section 7.1 of [HTTP]).
        for reference in [
            "http://other.com/x",
            "//other.com/x",
            "http://example.com:81/x",
            "https://example.com/x",
            "http://u@example.com/x",
            "http://example.com.evil/x",
            "http://origin/x",
            "https://origin:8000/x",
        ] {
            assert_eq!(
                keys("PUT", 200, &format!("location: {reference}")),
                [TARGET],
                "{reference}"
            );
        }
    }
}
