//! The demands of RFC 9111 that no single module meets, and those that are met by leaving something
//! out: asked of the public interface.

#![expect(clippy::panic, reason = "a test ends where it fails")]

use std::time::Duration;

use policy::lifetime::{Explicit, Source};
use policy::reason::{NotStored, Pass, Refetch};
use policy::strip::{strip_for_storage, strip_hop_by_hop};
use policy::{
    Admit, Asked, Exchanged, Fields, Method, OriginFailure, Plan, Reply, Rules, Terms, Timestamp,
    Verdict,
};

/// Mon, 23 Nov 2026 12:00:00 GMT.
const NOON: Timestamp = Timestamp::from_secs(1_795_435_200);
const AT_NOON: &str = "Date: Mon, 23 Nov 2026 12:00:00 GMT";

fn fields(head: &str) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn asked(request: &str) -> Asked {
    match policy::classify(&Method::Get, &fields(request), false, &Rules::default()) {
        Plan::LookUp(asked) => asked,
        other => panic!("{other:?}"),
    }
}

/// What becomes of a 200 that arrived at noon.
fn admitted(request: &str, response: &str) -> Result<Terms, NotStored> {
    admitted_after(0, request, response)
}

/// The same, after so many seconds of waiting for it.
fn admitted_after(delay: i64, request: &str, response: &str) -> Result<Terms, NotStored> {
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &asked(request),
        request: &fields(request),
        status: 200,
        response: &fields(response),
        request_time: Timestamp::from_secs(NOON.as_secs() - delay),
        response_time: NOON,
    };
    match policy::admit(&exchanged, &Rules::default()) {
        Admit::Store(terms) => Ok(terms),
        Admit::DoNotStore(why) => Err(why),
    }
}

fn after(secs: u64) -> Timestamp {
    NOON.plus(Duration::from_secs(secs))
}

fn reused(terms: &Terms, request: &str, secs: u64) -> Verdict {
    policy::reuse(&asked(request), terms, &Rules::default(), None, after(secs))
}

#[test]
fn what_must_not_be_stored_is_not_stored() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# A cache MUST NOT store a response to a request unless:
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# the no-store cache directive is not present in the response (see Section 5.2.2.5);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# if the cache is shared: the private response directive is either not present or allows a
    //# shared cache to store a modified response; see Section 5.2.2.7);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5
    //= type=test
    //# The no-store response directive indicates that a cache MUST NOT store any part of either the
    //# immediate request or the response and MUST NOT use the response to satisfy any other request.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5
    //= type=test
    //# "MUST NOT store" in this context means that the cache MUST NOT intentionally store the
    //# information in non-volatile storage
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.5
    //= type=test
    //# "MUST NOT store" in this context means that the cache MUST NOT intentionally store the
    //# information in non-volatile storage
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.5
    //= type=test
    //# A shared cache MUST NOT use a cached response to a request with an Authorization header field
    //# (Section 11.6.2 of [HTTP]) to satisfy any subsequent request unless the response contains a
    //# Cache-Control field with a response directive (Section 5.2.2) that allows it to be stored by a
    //# shared cache
    let fresh = "Cache-Control: max-age=60";
    for (request, response, expected) in [
        ("", "Cache-Control: max-age=60, no-store", NotStored::NoStore),
        ("", "Cache-Control: max-age=60, private", NotStored::Private),
        ("Cache-Control: no-store", fresh, NotStored::RequestNoStore),
        ("Authorization: Basic eA==", fresh, NotStored::Authorization),
        ("", "X: y", NotStored::NoExplicitLifetime),
    ] {
        assert_eq!(admitted(request, response), Err(expected), "{request} / {response}");
    }
    assert!(admitted("", "Cache-Control: max-age=60, private=\"x\"").is_ok());
    assert!(admitted("Authorization: Basic eA==", "Cache-Control: s-maxage=60").is_ok());
}

#[test]
fn whatever_is_not_excepted_is_stored() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
    //= type=test
    //# Caches MUST include all received response header fields — including unrecognized ones — when
    //# storing a response; this assures that new HTTP header fields can be successfully deployed.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.7
    //= type=test
    //# If a qualified private response directive is present, with an argument that lists one or more
    //# field names, then only the listed header fields are limited to a single user: a shared cache
    //# MUST NOT store the listed header fields if they are present in the original response but MAY
    //# store the remainder of the response message without those header fields
    let kept = "Cache-Control: max-age=60, private=\"Mine\"\nX-New: 1\nx-new: 2\nETag: \"a\"\n\
                Trailer: x\nCache-Status: far; hit";
    let mut stored = fields(&format!("{kept}\nMine: 1\nConnection: Theirs\nTheirs: 2\nAge: 3"));
    strip_for_storage(&mut stored, &Rules::default());
    assert_eq!(stored, fields(kept));
}

#[test]
fn cache_directives_pass_through_whatever_connection_says() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2
    //= type=test
    //# A proxy, whether or not it implements a cache, MUST pass cache directives through in forwarded
    //# messages, regardless of their significance to that application
    let directives = "Cache-Control: no-transform, x-unknown=\"y\"\nCache-Control: only-if-cached";
    let mut passed = fields(&format!("Connection: Cache-Control\n{directives}"));
    strip_hop_by_hop(&mut passed);
    assert_eq!(passed, fields(directives));
}

#[test]
fn a_stored_response_is_reused_only_if_it_is_fresh_or_permitted_or_validated() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# When presented with a request, a cache MUST NOT reuse a stored response unless:
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# the stored response does not contain the no-cache directive (Section 5.2.2.4), unless it is
    //# successfully validated (Section 4.3), and
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# the stored response is one of the following:
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# fresh (see Section 4.2), or
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# allowed to be served stale (see Section 4.2.4), or
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# successfully validated (see Section 4.3).
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
    //= type=test
    //# A cache MUST obey the Cache-Control directives defined in this section.
    let terms = |control: &str| admitted("", &format!("ETag: \"a\"\nCache-Control: {control}"));
    let plain = terms("max-age=60").unwrap();
    assert!(matches!(reused(&plain, "", 59), Verdict::Fresh { .. }));
    assert_eq!(reused(&plain, "", 60), Verdict::Revalidate(Refetch::Stale));
    assert!(matches!(reused(&plain, "Cache-Control: max-stale", 60), Verdict::Stale { .. }));
    let unwilling = terms("max-age=60, no-cache").unwrap();
    assert_eq!(reused(&unwilling, "", 0), Verdict::Revalidate(Refetch::NoCache));
}

#[test]
fn uri_method_and_selecting_fields_must_match() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# the presented target URI (Section 7.1 of [HTTP]) and that of the stored response match, and
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# the request method associated with the stored response allows it to be used for the presented
    //# request, and
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# request header fields nominated by the stored response (if any) match those presented (see
    //# Section 4.1), and
    let key = |scheme: &str, authority: &str, target: &str| {
        let mut key = Vec::new();
        policy::primary_key(&mut key, scheme.as_bytes(), authority.as_bytes(), target.as_bytes());
        key
    };
    let one = key("http", "a", "/x?y");
    assert_eq!(key("HTTP", "A:80", "/x?y"), one);
    for other in [("https", "a", "/x?y"), ("http", "b", "/x?y"), ("http", "a", "/x?Y")] {
        assert_ne!(key(other.0, other.1, other.2), one, "{other:?}");
    }
    for method in [Method::Post, Method::Put, Method::Options] {
        let plan = policy::classify(&method, &Fields::new(), false, &Rules::default());
        assert!(matches!(plan, Plan::Pass(_)), "{method:?}");
    }
    let terms = admitted("A: 1", "Cache-Control: max-age=60\nVary: A").unwrap();
    assert!(terms.vary().matches(&fields("A: 1\nB: 2")));
    assert!(!terms.vary().matches(&fields("A: 2")) && !terms.vary().matches(&Fields::new()));
}

#[test]
fn preconditions_for_the_origin_are_left_to_the_origin() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
    //= type=test
    //# A cache MUST NOT evaluate conditional header fields that only apply to an origin server, occur
    //# in a request with semantics that cannot be satisfied with a cached response, or occur in a
    //# request with a target resource for which it has no stored responses
    let stored = fields("ETag: \"a\"");
    for line in ["If-Match: \"b\"", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"] {
        let request = fields(line);
        assert_eq!(policy::respond(&Method::Get, &request, 200, &stored), Reply::Full);
        let why = policy::unshared(&asked(line), &request);
        assert_eq!(why, Some(Pass::RequestPrecondition), "{line}");
    }
}

#[test]
fn an_explicit_lifetime_leaves_no_room_for_another() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2
    //= type=test
    //# A cache MUST NOT use heuristics to determine freshness when an explicit expiration time is
    //# present in the stored response.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.3
    //= type=test
    //# If a response includes a Cache-Control header field with the max-age directive (Section
    //# 5.2.2.1), a recipient MUST ignore the Expires header field.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.3
    //= type=test
    //# Likewise, if a response includes the s-maxage directive (Section 5.2.2.10), a shared cache
    //# recipient MUST ignore the Expires header field.
    let rest =
        "Expires: Mon, 23 Nov 2026 12:01:00 GMT\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
    for (control, secs, source) in [
        ("Cache-Control: max-age=5", 5, Explicit::MaxAge),
        ("Cache-Control: s-maxage=7, max-age=5", 7, Explicit::SMaxage),
        ("Cache-Control: public", 60, Explicit::Expires),
        ("Cache-Control: max-age=0", 0, Explicit::MaxAge),
    ] {
        let terms = admitted("", &format!("{AT_NOON}\n{control}\n{rest}")).unwrap();
        assert_eq!(terms.lifetime().get(), Duration::from_secs(secs), "{control}");
        assert_eq!(terms.source(), Source::Explicit(source), "{control}");
    }
}

#[test]
fn age_counts_from_when_the_request_was_sent() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
    //= type=test
    //# A cache MUST interpret this value relative to the time the request was initiated, not the time
    //# that the response was received.
    let terms = admitted_after(9, "", "Cache-Control: max-age=60\nAge: 20").unwrap();
    assert_eq!(terms.age(after(0)).get(), Duration::from_secs(29));
    assert_eq!(terms.ttl(after(1)), 30);
}

#[test]
fn no_time_zone_makes_a_date_later_or_earlier() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
    //= type=test
    //# A cache recipient MUST NOT allow local time zones to influence the calculation or comparison of
    //# an age or expiration time.
    for (zone, secs) in [("GMT", 60), ("CET", 0), ("+0200", 0), ("EST", 0)] {
        let expires = format!("ETag: \"a\"\n{AT_NOON}\nExpires: Mon, 23 Nov 2026 12:01:00 {zone}");
        let terms = admitted("", &expires).unwrap();
        assert_eq!(terms.lifetime().get(), Duration::from_secs(secs), "{zone}");
    }
}

#[test]
fn a_304_updates_the_fields_of_the_stored_response() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
    //= type=test
    //# For each stored response identified, the cache MUST update its header fields with the header
    //# fields provided in the 304 (Not Modified) response, as per Section 3.2.
    let mut stored = fields("ETag: \"a\"\nX: 1\nX: 2\nY: 3\nContent-Length: 5");
    let new = fields("X: 4\nZ: 5\nContent-Length: 0");
    policy::validate::freshen(&mut stored, &new, &Rules::default());
    assert_eq!(stored, fields("ETag: \"a\"\nY: 3\nContent-Length: 5\nX: 4\nZ: 5"));
}

#[test]
fn what_must_be_revalidated_is_never_served_stale() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.2
    //= type=test
    //# In all circumstances, a cache MUST NOT ignore the must-revalidate directive; in particular, if
    //# a cache is disconnected, the cache MUST generate an error response rather than reuse the stale
    //# response.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.8
    //= type=test
    //# The proxy-revalidate response directive indicates that once the response has become stale, a
    //# shared cache MUST NOT reuse that response to satisfy another request until it has been
    //# successfully validated by the origin
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.10
    //= type=test
    //# A shared cache MUST NOT reuse a stale response with s-maxage to satisfy another request until
    //# it has been successfully validated by the origin
    let rules = Rules {
        stale_while_revalidate: Some(Duration::from_mins(1)),
        stale_if_error: Some(Duration::from_mins(1)),
        ..Rules::default()
    };
    let wish = asked("Cache-Control: max-stale, stale-if-error=60");
    for (control, is_strict) in [
        ("max-age=60, must-revalidate", true),
        ("max-age=60, proxy-revalidate", true),
        ("s-maxage=60", true),
        ("max-age=60", false),
    ] {
        let terms = admitted("", &format!("Cache-Control: {control}")).unwrap();
        let strictly = policy::reuse(&wish, &terms, &rules, None, after(60));
        assert_eq!(strictly == Verdict::Revalidate(Refetch::Stale), is_strict, "{control}");
        for failure in [OriginFailure::Unreachable, OriginFailure::Status(503)] {
            let stale = policy::stale_on_error(&wish, &terms, &rules, failure, None, after(60));
            assert_eq!(stale.is_none(), is_strict, "{control} {failure:?}");
        }
    }
}
