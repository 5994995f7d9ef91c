//! May the response to a POST be stored, to answer later GETs for its target? (RFC 9110 §9.3.3)

use crate::admit::{Admit, Exchanged, admit};
use crate::fields::Fields;
use crate::lifetime::Source;
use crate::method::Method;
use crate::reason::NotStored;
use crate::rules::Rules;
use crate::seen::Seen;
use crate::syntax::trim;

/// Decides whether the response to a POST may be stored under the key of its target.
pub fn admit_post(exchanged: &Exchanged<'_>, target: &Seen<'_>, rules: &Rules) -> Admit {
    let is_representation = *exchanged.method == Method::Post
        && exchanged.status == 200
        && names_target(exchanged.response, target);
    if !is_representation {
        return Admit::DoNotStore(NotStored::Method);
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3
    //# A cached POST response can be reused to satisfy a later GET or HEAD request.
    let as_get = Exchanged { method: &Method::Get, ..*exchanged };
    match admit(&as_get, rules) {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3
        //# Responses to POST requests are only cacheable when they include explicit freshness
        //# information (see Section 4.2.1 of [CACHING]) and a Content-Location header field that has
        //# the same value as the POST's target URI (Section 8.7).
        Admit::Store(terms) if !matches!(terms.source(), Source::Explicit(_)) => {
            Admit::DoNotStore(NotStored::Method)
        }
        admitted => admitted,
    }
}

/// Is there one `Content-Location`, and does it name the target of the request?
fn names_target(response: &Fields, target: &Seen<'_>) -> bool {
    let mut locations = response.all("content-location").map(trim);
    match (locations.next(), locations.next()) {
        (Some(location), None) if !location.is_empty() => {
            target.named(location) == Some(target.key())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Asked;
    use crate::fixture::fields;
    use crate::seen::OriginName;
    use crate::units::Timestamp;

    fn stored(method: &Method, asked: Asked, status: u16, head: &str) -> Result<(), NotStored> {
        let response = fields(head);
        let request = fields("content-type: text/plain");
        let exchanged = Exchanged {
            method,
            asked: &asked,
            request: &request,
            status,
            response: &response,
            request_time: Timestamp::from_secs(1_000),
            response_time: Timestamp::from_secs(1_000),
        };
        let origin = OriginName { scheme: b"http", authority: b"origin:8000", prefix: b"" };
        let target =
            Seen { scheme: b"http", authority: b"www.example", path_and_query: b"/a?q", origin };
        match admit_post(&exchanged, &target, &Rules::default()) {
            Admit::Store(_) => Ok(()),
            Admit::DoNotStore(why) => Err(why),
        }
    }

    #[test]
    fn only_a_fresh_representation_of_the_target_is_stored() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3
        //= type=test
        //# Responses to POST requests are only cacheable when they include explicit freshness
        //# information (see Section 4.2.1 of [CACHING]) and a Content-Location header field that has
        //# the same value as the POST's target URI (Section 8.7).
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3
        //= type=test
        //# A cached POST response can be reused to satisfy a later GET or HEAD request.
        let no = Err(NotStored::Method);
        let rows = [
            ("/a?q", "cache-control: max-age=60", Ok(())),
            ("http://www.example/a?q", "cache-control: max-age=60", Ok(())),
            ("http://origin:8000/a?q", "cache-control: s-maxage=60", Ok(())),
            ("a?q", "expires: Thu, 01 Jan 2037 00:00:00 GMT", Ok(())),
            ("/a", "cache-control: max-age=60", no),
            ("/b?q", "cache-control: max-age=60", no),
            ("http://other.example/a?q", "cache-control: max-age=60", no),
            ("", "cache-control: max-age=60", no),
            ("/a?q", "last-modified: Thu, 01 Jan 1970 00:00:00 GMT", no),
            ("/a?q", "etag: \"a\"\ncache-control: public", no),
            ("/a?q", "cache-control: max-age=60\ncontent-location: /a?q", no),
            ("/a?q", "cache-control: max-age=60, private", Err(NotStored::Private)),
            ("/a?q", "cache-control: max-age=60, no-store", Err(NotStored::NoStore)),
            ("/a?q", "cache-control: max-age=60\nset-cookie: a=b", Err(NotStored::SetCookie)),
            ("/a?q", "cache-control: max-age=60\nvary: *", Err(NotStored::VaryStar)),
        ];
        for (location, rest, expected) in rows {
            let head = format!("content-location: {location}\n{rest}");
            assert_eq!(stored(&Method::Post, Asked::default(), 200, &head), expected, "{head}");
        }
        assert_eq!(stored(&Method::Post, Asked::default(), 200, "cache-control: max-age=6"), no);
    }

    #[test]
    fn other_methods_and_statuses_and_users_are_none_of_it() {
        let head = "content-location: /a?q\ncache-control: max-age=60";
        let no = Err(NotStored::Method);
        for status in [201, 202, 204, 206, 301, 303, 404, 410, 500] {
            assert_eq!(stored(&Method::Post, Asked::default(), status, head), no, "{status}");
        }
        for method in [Method::Put, Method::Patch, Method::Delete, Method::Query] {
            assert_eq!(stored(&method, Asked::default(), 200, head), no, "{method:?}");
        }
        let authorized = Asked { authorization: true, ..Asked::default() };
        let got = stored(&Method::Post, authorized, 200, head);
        assert_eq!(got, Err(NotStored::Authorization));
        let certified = Asked { certificate: true, ..Asked::default() };
        let got = stored(&Method::Post, certified, 200, head);
        assert_eq!(got, Err(NotStored::ClientCertificate));
        let no_store = Asked { no_store: true, ..Asked::default() };
        let got = stored(&Method::Post, no_store, 200, head);
        assert_eq!(got, Err(NotStored::RequestNoStore));
    }
}
