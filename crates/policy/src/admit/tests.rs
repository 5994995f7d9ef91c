use std::time::Duration;

use super::*;
use crate::classify::{Plan, classify};
use crate::fixture::fields;
use crate::lifetime::Explicit;
use crate::units::{DeltaSeconds, Lifetime};

mod statuses;

/// Mon, 23 Nov 2026 00:00:00 GMT.
const NOW: Timestamp = Timestamp::from_secs(1_795_392_000);
const YESTERDAY: &str = "last-modified: Sun, 22 Nov 2026 00:00:00 GMT";

fn rfc9111() -> Rules {
    Rules { profile: Profile::Rfc9111, ..Rules::default() }
}

fn judge(method: &Method, request: &str, status: u16, response: &str, rules: &Rules) -> Admit {
    let (request, response) = (fields(request), fields(response));
    let asked = match classify(&Method::Get, &request, false, rules) {
        Plan::LookUp(asked) => asked,
        other => panic!("{other:?}"),
    };
    let exchanged = Exchanged {
        method,
        asked: &asked,
        request: &request,
        status,
        response: &response,
        request_time: NOW,
        response_time: NOW,
    };
    admit(&exchanged, rules)
}

fn store(status: u16, response: &str, rules: &Rules) -> Result<Terms, NotStored> {
    match judge(&Method::Get, "", status, response, rules) {
        Admit::Store(terms) => Ok(terms),
        Admit::DoNotStore(why) => Err(why),
    }
}

/// One row: what the default rules make of a response to a plain GET.
fn check(status: u16, response: &str, expected: Result<Source, NotStored>) {
    let got = store(status, response, &Rules::default()).map(|terms| terms.source);
    assert_eq!(got, expected, "{status} {response}");
}

const MAX_AGE: Result<Source, NotStored> = Ok(Source::Explicit(Explicit::MaxAge));

#[test]
fn only_a_final_answer_to_get_that_tells_what_it_brings_is_stored() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# the request method is understood by the cache;
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# the response status code is final (see Section 15 of [HTTP]);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
    //= type=test
    //# However, a cache MUST NOT store incomplete or partial-content responses if it does not
    //# support the Range and Content-Range header fields or if it does not understand the range
    //# units used in those fields.
    let head = "cache-control: max-age=60";
    for name in ["HEAD", "POST", "OPTIONS", "FOO"] {
        let got = judge(&Method::parse(name.as_bytes()), "", 200, head, &Rules::default());
        assert_eq!(got, Admit::DoNotStore(NotStored::Method), "{name}");
    }
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
    //= type=test
    //# The response to a QUERY method is cacheable; a cache MAY use it to satisfy subsequent QUERY
    //# requests
    let query = judge(&Method::Query, "", 200, head, &Rules::default());
    assert!(matches!(query, Admit::Store(_)), "{query:?}");
    check(103, head, Err(NotStored::StatusNotFinal));
    check(600, head, Err(NotStored::StatusNotFinal));
    for field in [
        "x: y",
        "content-range: bytes 0-1/*",
        "content-range: items 0-1/2",
        "content-range: bytes 0-1/2\ncontent-type: Multipart/byteranges; boundary=x",
        "content-type: multipart/byteranges; boundary=x",
    ] {
        check(206, &format!("{head}\n{field}"), Err(NotStored::PartialContent));
    }
    check(206, &format!("{head}\ncontent-range: bytes 0-1/2\ncontent-type: text/html"), MAX_AGE);
    for withheld in ["private=\"content-range\"", "no-cache=\"Content-Range\""] {
        let response = format!("{head}, {withheld}\ncontent-range: bytes 0-1/2");
        check(206, &response, Err(NotStored::PartialContent));
    }
    for status in [304, 412, 416] {
        check(status, head, Err(NotStored::ConditionalStatus));
    }
}

#[test]
fn any_final_status_is_stored_with_explicit_freshness() {
    for status in [200, 201, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 405, 410, 414] {
        check(status, "cache-control: max-age=60", MAX_AGE);
    }
    for status in [499, 500, 501, 502, 503, 504, 599] {
        check(status, "cache-control: max-age=60", MAX_AGE);
    }
}

#[test]
fn no_store_forbids_unless_must_understand_lifts_it() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.3
    //= type=test
    //# When a cache that implements the must-understand directive receives a response that includes
    //# it, the cache SHOULD ignore the no-store directive if it understands and implements the
    //# status code's caching requirements.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# if the response status code is 206 or 304, or the must-understand cache directive (see
    //# Section 5.2.2.3) is present: the cache understands the response status code;
    check(200, "cache-control: max-age=60, No-Store", Err(NotStored::NoStore));
    check(200, "cache-control: max-age=60, no-store, must-understand", MAX_AGE);
    let unknown = Err(NotStored::StatusNotUnderstood);
    check(599, "cache-control: max-age=60, no-store, must-understand", unknown);
    check(299, "cache-control: max-age=60, must-understand", unknown);
}

#[test]
fn a_client_can_forbid_storing_its_answer() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.5
    //= type=test
    //# The no-store request directive indicates that a cache MUST NOT store any part of either this
    //# request or any response to it.
    let head = "cache-control: max-age=60";
    let got = judge(&Method::Get, "cache-control: no-store", 200, head, &Rules::default());
    assert_eq!(got, Admit::DoNotStore(NotStored::RequestNoStore));
}

#[test]
fn what_is_private_is_not_stored_but_private_fields_are_left_out() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.7
    //= type=test
    //# The unqualified private response directive indicates that a shared cache MUST NOT store the
    //# response
    check(200, "cache-control: private, max-age=60", Err(NotStored::Private));
    check(200, "cache-control: public, private, s-maxage=60", Err(NotStored::Private));
    check(200, "cache-control: private=\"x\", max-age=60", MAX_AGE);
    let head = "cache-control: private=\"Set-Cookie\", max-age=60\nset-cookie: a=b";
    check(200, head, MAX_AGE);
}

#[test]
fn an_authorised_answer_is_stored_only_with_permission() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# if the cache is shared: the Authorization header field is not present in the request (see
    //# Section 11.6.2 of [HTTP]) or a response directive is present that explicitly allows shared
    //# caching (see Section 3.5); and
    let rows = [
        ("max-age=60", false),
        ("max-age=60, proxy-revalidate", false),
        ("max-age=60, public=1", false),
        ("max-age=60, public", true),
        ("max-age=60, must-revalidate", true),
        ("s-maxage=60", true),
    ];
    for rules in [Rules::default(), rfc9111()] {
        for (control, stored) in rows {
            let head = format!("cache-control: {control}");
            let got = judge(&Method::Get, "authorization: Basic eA==", 200, &head, &rules);
            match got {
                Admit::Store(terms) => {
                    assert!(stored && terms.is(Fact::PermitsAuthorized), "{control}");
                }
                Admit::DoNotStore(why) => {
                    assert_eq!((stored, why), (false, NotStored::Authorization), "{control}");
                }
            }
        }
    }
}

#[test]
fn vary_star_is_not_stored() {
    check(200, "cache-control: max-age=60\nvary: *", Err(NotStored::VaryStar));
}

#[test]
fn what_the_origin_sees_otherwise_than_it_is_compared_selects_nothing() {
    for name in ["X-Forwarded-For", "Forwarded", "TE", "X-Request-Id", "Accept, forwarded"] {
        let head = format!("cache-control: max-age=60\nvary: {name}");
        check(200, &head, Err(NotStored::VaryPerRequest));
    }
}

#[test]
fn a_cookie_being_set_is_a_matter_of_rules_and_profile() {
    let head = "cache-control: public, max-age=60\nset-cookie: a=b";
    check(200, head, Err(NotStored::SetCookie));
    for set_cookie in [SetCookie::Strip, SetCookie::Store] {
        assert!(store(200, head, &Rules { set_cookie, ..Rules::default() }).is_ok());
    }
    assert!(store(200, head, &rfc9111()).is_ok());
}

#[test]
fn a_response_that_could_never_be_reused_is_not_stored() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# Note that, in normal operation, some caches will not store a response that has neither a cache
    //# validator nor an explicit expiration time, as such responses are not usually useful to store.
    check(200, "", Err(NotStored::NoExplicitLifetime));
    check(200, "last-modified: yesterday", Err(NotStored::NoExplicitLifetime));
    check(200, "etag: \"a\"", Ok(Source::Absent));
    check(200, "cache-control: no-cache\netag: \"a\"", Ok(Source::Absent));
    check(200, "cache-control: no-cache, max-age=60", Err(NotStored::NoValidator));
    check(200, "cache-control: max-age=0", Err(NotStored::NoValidator));
    check(200, "cache-control: max-age=0\netag: \"a\"", MAX_AGE);
    check(200, "cache-control: max-age=0, stale-while-revalidate=5", MAX_AGE);
    check(200, "expires: 0", Err(NotStored::NoValidator));
}

#[test]
fn the_terms_hold_what_reuse_will_ask() {
    let head = "cache-control: s-maxage=60, must-revalidate, immutable, stale-if-error=7, \
                stale-while-revalidate=8, no-cache\nage: 5\netag: \"a\"\nvary: foo";
    let terms = store(200, head, &Rules::default()).unwrap();
    assert!(
        terms.is(Fact::NoCache)
            && terms.is(Fact::MustRevalidate)
            && terms.is(Fact::SMaxage)
            && terms.is(Fact::Immutable)
    );
    assert!(
        terms.is(Fact::PermitsAuthorized)
            && terms.is(Fact::HasValidator)
            && terms.vary.depends_on("foo")
    );
    assert_eq!(terms.stale_if_error.map(DeltaSeconds::get), Some(7));
    assert_eq!(terms.stale_while_revalidate.map(DeltaSeconds::get), Some(8));
    assert_eq!((terms.response_time, terms.lifetime), (NOW, Lifetime::from_secs(60)));
    assert_eq!(terms.initial_age.get(), Duration::from_secs(5));
    let proxy = store(200, "cache-control: max-age=1, proxy-revalidate", &Rules::default());
    assert!(proxy.unwrap().is(Fact::MustRevalidate));
}

#[test]
fn age_grows_from_the_moment_of_arrival() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
    //= type=test
    //# resident_time = now - response_time;
    //# current_age = corrected_initial_age + resident_time;
    let terms = store(200, "cache-control: max-age=60\nage: 5", &Rules::default()).unwrap();
    let later = |secs| NOW.plus(Duration::from_secs(secs));
    assert_eq!(terms.age(later(10)).as_field(), 15);
    assert_eq!((terms.ttl(later(10)), terms.is_fresh(later(54))), (45, true));
    assert_eq!((terms.ttl(later(56)), terms.is_fresh(later(55))), (-1, false));
}

#[test]
fn a_response_from_the_future_is_stale_beyond_a_minute() {
    let terms = store(200, "cache-control: max-age=90\nage: 5", &Rules::default()).unwrap();
    let before = |secs: i64| Timestamp::from_millis(NOW.as_millis() - 1000 * secs);
    assert_eq!((terms.age(before(60)).as_field(), terms.is_fresh(before(60))), (5, true));
    for long in [61, 3600, 86_400] {
        assert_eq!((terms.age(before(long)).as_field(), terms.is_fresh(before(long))), (90, false));
    }
    let mut bytes = Vec::new();
    terms.encode(&mut bytes);
    let (restarted, _) = Terms::decode(&bytes).unwrap();
    assert!(!restarted.is_fresh(before(3600)) && restarted.is_fresh(before(0)));
}

#[test]
fn damaged_terms_are_refused() {
    let terms = store(200, "cache-control: max-age=60\nvary: foo", &Rules::default()).unwrap();
    let mut bytes = Vec::new();
    terms.encode(&mut bytes);
    for length in 0..bytes.len() {
        assert_eq!(Terms::decode(&bytes[..length]), None, "{length}");
    }
    for (at, wrong) in [(0, 1), (1, 0x80), (2, 7)] {
        let mut damaged = bytes.clone();
        damaged[at] = wrong;
        assert_eq!(Terms::decode(&damaged), None, "{at}");
    }
}

#[test]
fn what_a_certificate_was_shown_for_needs_a_word_to_be_shared() {
    //= https://www.rfc-editor.org/rfc/rfc9440#section-2.4
    //= type=test
    //# When the value of the Client-Cert request header field is used to select a response (e.g.,
    //# the response content is access-controlled), the response MUST either be uncacheable (e.g.,
    //# by sending Cache-Control: no-store) or be designated for selective reuse only for subsequent
    //# requests with the same Client-Cert header field value by sending a "Vary: Client-Cert"
    //# response header.
    let refused = Some(NotStored::ClientCertificate);
    for (request, response, expected) in [
        ("", "cache-control: max-age=60", None),
        ("client-cert: :a:", "cache-control: max-age=60", refused),
        ("client-cert: :a:", "cache-control: max-age=60\nvary: accept", refused),
        // It is about a field that the origin never sees.
        ("client-cert: :a:", "cache-control: max-age=60\nvary: client-cert-chain", refused),
        ("client-cert: :a:", "cache-control: max-age=60\nvary: Client-Cert", None),
        ("client-cert: :a:", "cache-control: max-age=60, public", None),
        ("client-cert: :a:", "cache-control: s-maxage=60", None),
        (
            "client-cert: :a:\nauthorization: x",
            "cache-control: max-age=60\nvary: client-cert",
            Some(NotStored::Authorization),
        ),
    ] {
        for rules in [Rules::default(), rfc9111()] {
            let why = match judge(&Method::Get, request, 200, response, &rules) {
                Admit::Store(_) => None,
                Admit::DoNotStore(why) => Some(why),
            };
            assert_eq!(why, expected, "{request} {response}");
        }
    }
}

#[test]
fn what_is_made_while_it_is_sent_is_for_its_client_alone_whatever_its_lifetime() {
    let lifetimes =
        ["", "cache-control: max-age=60", "cache-control: public, s-maxage=60\netag: \"a\""];
    for lifetime in lifetimes {
        let live = [
            ("content-type: text/event-stream", NotStored::EventStream),
            ("x-accel-buffering: no", NotStored::Unbuffered),
        ];
        for (head, why) in live {
            let head = format!("{head}\n{lifetime}");
            for rules in [Rules::default(), rfc9111()] {
                let rules = Rules { default_ttl: Some(Duration::from_mins(1)), ..rules };
                assert_eq!(store(200, &head, &rules).map(drop), Err(why), "{head}");
            }
        }
    }
    check(200, "content-type: text/event-stream\ncache-control: no-store", Err(NotStored::NoStore));
}

#[test]
fn what_is_stored_with_a_cookie_may_be_used_where_it_would_be_stored_with_it() {
    let rules = |profile, set_cookie| Rules { set_cookie, profile, ..Rules::default() };
    let (safe, rfc9111) = (Profile::Safe, Profile::Rfc9111);
    let with = "cache-control: max-age=60\nset-cookie: a=b";
    let withheld = "cache-control: max-age=60, private=\"set-cookie\"\nset-cookie: a=b";
    for (stored_by, response, may_be_refused) in [
        (rules(safe, SetCookie::Store), with, true),
        (rules(rfc9111, SetCookie::Store), with, true),
        // As the fields are stored there is none.
        (rules(safe, SetCookie::Strip), with, false),
        (rules(safe, SetCookie::Store), withheld, false),
        (rules(safe, SetCookie::Refuse), "cache-control: max-age=60", false),
    ] {
        let terms = store(200, response, &stored_by).unwrap();
        for (used_by, stores_cookies) in [
            (rules(safe, SetCookie::Store), true),
            (rules(rfc9111, SetCookie::Refuse), true),
            (rules(safe, SetCookie::Refuse), false),
            (rules(safe, SetCookie::Strip), false),
            (rules(rfc9111, SetCookie::Strip), false),
        ] {
            let permitted = stores_cookies || !may_be_refused;
            assert_eq!(terms.is_permitted(&used_by), permitted, "{response} {used_by:?}");
        }
    }
}
