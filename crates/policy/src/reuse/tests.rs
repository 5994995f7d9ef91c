use super::*;
use crate::admit::{Admit, Exchanged, admit};
use crate::classify::{Plan, classify};
use crate::fields::Fields;
use crate::fixture::fields;
use crate::method::Method;

const THEN: Timestamp = Timestamp::from_secs(1_795_392_000);

fn asked(control: &str, rules: &Rules) -> Asked {
    let head = fields(&format!("cache-control: {control}"));
    match classify(&Method::Get, &head, false, rules) {
        Plan::LookUp(asked) => asked,
        other => panic!("{other:?}"),
    }
}

fn terms(control: &str, rules: &Rules) -> Terms {
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &Asked::default(),
        request: &Fields::new(),
        status: 200,
        response: &fields(&format!("etag: \"a\"\ncache-control: {control}")),
        request_time: THEN,
        response_time: THEN,
    };
    match admit(&exchanged, rules) {
        Admit::Store(terms) => terms,
        Admit::DoNotStore(why) => panic!("{why:?}"),
    }
}

fn after(secs: u64) -> Timestamp {
    THEN.plus(Duration::from_secs(secs))
}

/// What a request with this Cache-Control gets, that many seconds after the response with that one.
fn verdict(response: &str, secs: u64, request: &str) -> Result<Hit, Option<Refetch>> {
    let rules = Rules::default();
    said(reuse(&asked(request, &rules), &terms(response, &rules), &rules, None, after(secs)), secs)
}

fn said(verdict: Verdict, secs: u64) -> Result<Hit, Option<Refetch>> {
    match verdict {
        Verdict::Fresh { why, ttl, age } => {
            assert!(ttl >= 0 && age == Age::from_secs(secs));
            Ok(why)
        }
        Verdict::Stale { why, ttl, age, refresh } => {
            assert!(ttl <= 0 && age == Age::from_secs(secs));
            assert_eq!(refresh, why == Hit::StaleWhileRevalidate);
            Ok(why)
        }
        Verdict::Revalidate(why) => Err(Some(why)),
        Verdict::Unsatisfiable => Err(None),
    }
}

#[test]
fn a_response_is_served_until_its_lifetime_ends() {
    assert_eq!(verdict("max-age=60", 0, ""), Ok(Hit::Fresh));
    assert_eq!(verdict("max-age=60", 59, ""), Ok(Hit::Fresh));
    assert_eq!(verdict("max-age=60", 60, ""), Err(Some(Refetch::Stale)));
    assert_eq!(verdict("", 0, ""), Err(Some(Refetch::NoLifetime)));
}

#[test]
fn no_cache_of_the_origin_asks_for_validation_however_fresh_the_response_is() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.4
    //= type=test
    //# The no-cache response directive, in its unqualified form (without an argument), indicates
    //# that the response MUST NOT be used to satisfy any other request without forwarding it for
    //# validation and receiving a successful response
    let no_cache = Err(Some(Refetch::NoCache));
    assert_eq!(verdict("max-age=60, no-cache", 1, ""), no_cache);
    assert_eq!(verdict("max-age=60, no-cache", 1, "max-stale"), no_cache);
    assert_eq!(verdict("max-age=1, no-cache, stale-while-revalidate=9", 2, ""), no_cache);
    assert_eq!(verdict("max-age=60, no-cache=\"a\"", 1, ""), Ok(Hit::Fresh));
}

#[test]
fn a_client_can_ask_for_validation() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.4
    //= type=test
    //# The no-cache request directive indicates that the client prefers a stored response not be
    //# used to satisfy the request without successful validation on the origin server.
    assert_eq!(verdict("max-age=60", 1, "no-cache"), Err(Some(Refetch::RequestNoCache)));
    assert_eq!(verdict("max-age=60, immutable", 1, "no-cache"), Err(Some(Refetch::RequestNoCache)));
}

#[test]
fn a_client_can_ask_for_a_younger_response() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.1
    //= type=test
    //# The max-age request directive indicates that the client prefers a response whose age is less
    //# than or equal to the specified number of seconds.
    let too_old = Err(Some(Refetch::RequestMaxAge));
    assert_eq!(verdict("max-age=60", 5, "max-age=5"), Ok(Hit::Fresh));
    assert_eq!(verdict("max-age=60", 6, "max-age=5"), too_old);
    assert_eq!(verdict("max-age=60", 0, "max-age=0"), too_old);
}

#[test]
fn a_reload_does_not_validate_what_is_immutable_while_it_is_fresh() {
    //= https://www.rfc-editor.org/rfc/rfc8246#section-2.1
    //= type=test
    //# proxies SHOULD skip conditionally revalidating fresh responses containing the immutable
    //# extension unless there is a signal from the client that a validation is necessary (e.g., a
    //# no-cache Cache-Control request directive
    assert_eq!(verdict("max-age=60, immutable", 6, "max-age=0"), Ok(Hit::Immutable));
    assert_eq!(verdict("max-age=5, immutable", 6, "max-age=0"), Err(Some(Refetch::Stale)));
}

#[test]
fn a_client_can_ask_for_a_response_that_stays_fresh() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.3
    //= type=test
    //# the client wants a response that will still be fresh for at least the specified number of
    //# seconds.
    assert_eq!(verdict("max-age=60", 10, "min-fresh=50"), Ok(Hit::Fresh));
    let too_short = Err(Some(Refetch::RequestMinFresh));
    assert_eq!(verdict("max-age=60", 10, "min-fresh=51"), too_short);
    assert_eq!(verdict("max-age=5", 6, "min-fresh=0, max-stale"), Err(Some(Refetch::Stale)));
}

#[test]
fn a_client_can_accept_a_stale_response() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.2
    //= type=test
    //# If a value is present, then the client is willing to accept a response that has exceeded its
    //# freshness lifetime by no more than the specified number of seconds.
    assert_eq!(verdict("max-age=60", 70, "max-stale=10"), Ok(Hit::MaxStale));
    assert_eq!(verdict("max-age=60", 71, "max-stale=10"), Err(Some(Refetch::Stale)));
    assert_eq!(verdict("max-age=60", 1 << 40, "max-stale"), Ok(Hit::MaxStale));
    assert_eq!(verdict("max-age=60", 59, "max-stale"), Ok(Hit::Fresh));
}

#[test]
fn what_must_be_revalidated_is_never_served_stale_to_please_a_client() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.2
    //= type=test
    //# once the response has become stale, a cache MUST NOT reuse that response to satisfy another
    //# request until it has been successfully validated by the origin
    for control in ["max-age=2, must-revalidate", "max-age=2, proxy-revalidate", "s-maxage=2"] {
        assert_eq!(verdict(control, 1, "max-stale"), Ok(Hit::Fresh), "{control}");
        assert_eq!(verdict(control, 3, "max-stale"), Err(Some(Refetch::Stale)), "{control}");
        let rules =
            Rules { stale_while_revalidate: Some(Duration::from_secs(99)), ..Rules::default() };
        let got = reuse(&Asked::default(), &terms(control, &rules), &rules, None, after(3));
        assert_eq!(got, Verdict::Revalidate(Refetch::Stale), "{control}");
    }
    let control = "max-age=2, must-revalidate, stale-while-revalidate=99";
    assert_eq!(verdict(control, 3, ""), Err(Some(Refetch::Stale)));
}

#[test]
fn only_if_cached_never_goes_to_the_origin() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.7
    //= type=test
    //# Caches that honor this request directive SHOULD, upon receiving it, respond with either a
    //# stored response consistent with the other constraints of the request or a 504 (Gateway
    //# Timeout) status code.
    assert_eq!(verdict("max-age=60", 1, "only-if-cached"), Ok(Hit::Fresh));
    assert_eq!(verdict("max-age=60", 61, "only-if-cached"), Err(None));
    assert_eq!(verdict("max-age=60", 61, "only-if-cached, max-stale"), Ok(Hit::MaxStale));
    let rules = Rules::default();
    assert_eq!(absent(&asked("only-if-cached", &rules)), Some(Refused::OnlyIfCached));
    assert_eq!(absent(&asked("no-cache", &rules)), None);
}

#[test]
fn stale_while_revalidate_serves_and_refreshes_within_its_window() {
    //= https://www.rfc-editor.org/rfc/rfc5861#section-3
    //= type=test
    //# When present in an HTTP response, the stale-while-revalidate Cache-Control extension indicates
    //# that caches MAY serve the response it appears in after it becomes stale, up to the indicated
    //# number of seconds.
    let rows =
        ["max-age=600, stale-while-revalidate=30", "s-maxage=600, stale-while-revalidate=30"];
    for control in rows {
        assert_eq!(verdict(control, 599, ""), Ok(Hit::Fresh));
        assert_eq!(verdict(control, 600, ""), Ok(Hit::StaleWhileRevalidate));
        assert_eq!(verdict(control, 630, ""), Ok(Hit::StaleWhileRevalidate));
        assert_eq!(verdict(control, 631, ""), Err(Some(Refetch::Stale)));
    }
    assert_eq!(verdict("max-age=1, stale-while-revalidate=x", 2, ""), Err(Some(Refetch::Stale)));
    assert_eq!(verdict("max-age=1, stale-while-revalidate=0", 1, ""), Err(Some(Refetch::Stale)));
}

#[test]
fn a_client_that_bounds_the_age_does_not_get_a_stale_response() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.1
    //= type=test
    //# Unless the max-stale request directive is also present, the client does not wish to receive a
    //# stale response.
    let control = "max-age=600, stale-while-revalidate=30";
    assert_eq!(verdict(control, 610, "max-age=9999"), Err(Some(Refetch::Stale)));
    assert_eq!(verdict(control, 610, "max-age=9999, max-stale=10"), Ok(Hit::MaxStale));
}

#[test]
fn a_route_gives_a_window_where_the_origin_gives_none() {
    let rules = Rules { stale_while_revalidate: Some(Duration::from_secs(5)), ..Rules::default() };
    let at = |control: &str, secs| {
        said(reuse(&Asked::default(), &terms(control, &rules), &rules, None, after(secs)), secs)
    };
    assert_eq!(at("max-age=1", 6), Ok(Hit::StaleWhileRevalidate));
    assert_eq!(at("max-age=1", 7), Err(Some(Refetch::Stale)));
    assert_eq!(at("max-age=1, stale-while-revalidate=1", 3), Err(Some(Refetch::Stale)));
}

#[test]
fn in_the_safe_profile_the_authorised_get_only_what_was_marked_as_shareable() {
    let authorised = Asked { authorization: true, ..Asked::default() };
    let safe = Rules::default();
    let rfc9111 = Rules { profile: Profile::Rfc9111, ..Rules::default() };
    let at =
        |control, rules| said(reuse(&authorised, &terms(control, rules), rules, None, after(1)), 1);
    assert_eq!(at("max-age=60", &safe), Err(Some(Refetch::Authorization)));
    assert_eq!(at("max-age=60", &rfc9111), Ok(Hit::Fresh));
    assert_eq!(at("max-age=60, public", &safe), Ok(Hit::Fresh));
}

/// What stands in for a failed answer.
fn fallback(response: &str, secs: u64, request: &str, failure: OriginFailure) -> Option<Hit> {
    let rules = Rules::default();
    let terms = terms(response, &rules);
    let got = stale_on_error(&asked(request, &rules), &terms, &rules, failure, None, after(secs));
    got.map(|(age, ttl, why)| {
        assert_eq!((age, ttl), (Age::from_secs(secs), terms.ttl(after(secs))));
        why
    })
}

const DOWN: OriginFailure = OriginFailure::Unreachable;

#[test]
fn stale_if_error_hides_errors_within_its_window() {
    //= https://www.rfc-editor.org/rfc/rfc5861#section-4
    //= type=test
    //# Its value indicates the upper limit to staleness; when the cached response is more stale than
    //# the indicated amount, the cached response SHOULD NOT be used to satisfy the request, absent
    //# other information.
    let control = "max-age=600, stale-if-error=1200";
    let error = OriginFailure::Status(500);
    assert_eq!(fallback(control, 900, "", error), Some(Hit::StaleIfError));
    assert_eq!(fallback(control, 1800, "", error), Some(Hit::StaleIfError));
    assert_eq!(fallback(control, 1801, "", error), None);
    assert_eq!(fallback("max-age=600", 900, "", error), None);
    assert_eq!(fallback("max-age=600", 900, "stale-if-error=300", error), Some(Hit::StaleIfError));
    assert_eq!(fallback("s-maxage=600", 900, "stale-if-error=300", error), None);
    let both = "s-maxage=600, stale-if-error=1200";
    assert_eq!(fallback(both, 900, "", error), Some(Hit::StaleIfError));
}

#[test]
fn stale_if_error_applies_regardless_of_other_freshness_information() {
    //= https://www.rfc-editor.org/rfc/rfc5861#section-4
    //= type=test
    //# The stale-if-error Cache-Control extension indicates that when an error is encountered, a
    //# cached stale response MAY be used to satisfy the request, regardless of other freshness
    //# information.
    let error = OriginFailure::Status(503);
    let control = "max-age=1, stale-if-error=60";
    assert_eq!(fallback(control, 9, "max-age=0", error), Some(Hit::StaleIfError));
    assert_eq!(fallback(control, 9, "no-cache", error), None);
}

#[test]
fn four_statuses_and_no_answer_are_errors() {
    //= https://www.rfc-editor.org/rfc/rfc5861#section-4
    //= type=test
    //# In this context, an error is any situation which would result in a 500, 502, 503 or 504 HTTP
    //# response status code being returned.
    let control = "max-age=1, stale-if-error=60";
    for status in [500, 502, 503, 504] {
        let got = fallback(control, 9, "", OriginFailure::Status(status));
        assert_eq!(got, Some(Hit::StaleIfError), "{status}");
    }
    for status in [200, 404, 501, 505, 599] {
        assert_eq!(fallback(control, 9, "", OriginFailure::Status(status)), None, "{status}");
    }
    assert_eq!(fallback(control, 9, "", DOWN), Some(Hit::StaleIfError));
}

#[test]
fn a_disconnected_cache_serves_stale_for_an_hour() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4
    //= type=test
    //# A cache MUST NOT generate a stale response unless it is disconnected or doing so is explicitly
    //# permitted by the client or origin server
    assert_eq!(fallback("max-age=10", 3610, "", DOWN), Some(Hit::StaleOriginUnreachable));
    assert_eq!(fallback("max-age=10", 3611, "", DOWN), None);
    assert_eq!(fallback("max-age=10", 20, "", OriginFailure::Status(503)), None);
}

#[test]
fn a_prohibition_holds_even_when_the_origin_is_down() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4
    //= type=test
    //# A cache MUST NOT generate a stale response if it is prohibited by an explicit in-protocol
    //# directive (e.g., by a no-cache response directive, a must-revalidate response directive, or an
    //# applicable s-maxage or proxy-revalidate response directive; see Section 5.2.2).
    for control in ["must-revalidate", "proxy-revalidate", "s-maxage=2", "no-cache"] {
        assert_eq!(fallback(&format!("max-age=2, {control}"), 3, "", DOWN), None, "{control}");
    }
    let control = "max-age=2, must-revalidate, stale-if-error=60";
    assert_eq!(fallback(control, 3, "", DOWN), None);
}

#[test]
fn a_fresh_response_stands_in_when_a_validation_that_the_client_wanted_fails() {
    let control = "max-age=60, must-revalidate";
    assert_eq!(fallback(control, 5, "max-age=1", DOWN), Some(Hit::FreshOriginFailed));
    let error = OriginFailure::Status(502);
    assert_eq!(fallback("max-age=60", 5, "max-age=1", error), Some(Hit::FreshOriginFailed));
    assert_eq!(fallback("max-age=60", 5, "no-cache", error), None);
}

#[test]
fn what_the_client_wishes_is_told_only_of_a_fresh_response() {
    //= https://www.rfc-editor.org/rfc/rfc9211#section-2.2
    //= type=test
    //# The cache was able to select a fresh response for the request, but the request's semantics
    //# (e.g., Cache-Control request directives) did not allow its use.
    for (age, why) in [(59, Refetch::RequestNoCache), (60, Refetch::Stale)] {
        assert_eq!(verdict("max-age=60", age, "no-cache"), Err(Some(why)), "{age}");
    }
    assert_eq!(verdict("no-cache, max-age=60", 61, "no-cache"), Err(Some(Refetch::NoCache)));
}

/// Served stale with this ttl, or not.
type Purged = Result<(Hit, i64), Refetch>;

/// What a response that was purged after so many seconds is good for.
fn purged(response: &str, at: u64, secs: u64, request: &str) -> Purged {
    let rules = Rules::default();
    let (asked, terms) = (asked(request, &rules), terms(response, &rules));
    match reuse(&asked, &terms, &rules, Some(after(at)), after(secs)) {
        Verdict::Stale { why, ttl, .. } => Ok((why, ttl)),
        Verdict::Revalidate(why) => Err(why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_purged_softly_is_stale_from_that_moment() {
    let swr = (Hit::StaleWhileRevalidate, -5);
    let rows: &[(&str, u64, u64, &str, Purged)] = &[
        ("max-age=60", 10, 10, "", Err(Refetch::PurgedSoft)),
        ("max-age=60", 10, 15, "", Err(Refetch::PurgedSoft)),
        ("max-age=60, immutable", 10, 15, "max-age=5", Err(Refetch::PurgedSoft)),
        ("max-age=60", 10, 15, "no-cache", Err(Refetch::PurgedSoft)),
        ("no-cache, max-age=60", 10, 15, "", Err(Refetch::NoCache)),
        // The windows begin with the purge, or where the lifetime ended.
        ("max-age=60, stale-while-revalidate=5", 10, 15, "", Ok(swr)),
        ("max-age=60, stale-while-revalidate=5", 10, 16, "", Err(Refetch::PurgedSoft)),
        ("max-age=10, stale-while-revalidate=5", 12, 15, "", Ok(swr)),
        ("max-age=10, stale-while-revalidate=5", 12, 16, "", Err(Refetch::Stale)),
        ("max-age=60", 10, 15, "max-stale=5", Ok((Hit::MaxStale, -5))),
        ("max-age=60", 10, 16, "max-stale=5", Err(Refetch::PurgedSoft)),
        ("max-age=60, must-revalidate", 10, 15, "max-stale", Err(Refetch::PurgedSoft)),
        ("max-age=60, stale-while-revalidate=5", 10, 12, "min-fresh=1", Err(Refetch::PurgedSoft)),
        // A clock that went back makes nothing fresh.
        ("max-age=60", 20, 15, "", Err(Refetch::PurgedSoft)),
    ];
    for (response, at, secs, request, expected) in rows {
        assert_eq!(purged(response, *at, *secs, request), *expected, "{response} {secs} {request}");
    }
    let rules = Rules::default();
    let only = asked("only-if-cached", &rules);
    let verdict = reuse(&only, &terms("max-age=60", &rules), &rules, Some(THEN), after(1));
    assert_eq!(verdict, Verdict::Unsatisfiable);
}

#[test]
fn what_was_purged_softly_stands_in_for_a_failing_origin_where_a_stale_one_may() {
    let rules = Rules::default();
    let stands_in = |response, failure, secs| {
        let purged = Some(after(10));
        let terms = terms(response, &rules);
        stale_on_error(&Asked::default(), &terms, &rules, failure, purged, after(secs))
            .map(|(_, ttl, why)| (why, ttl))
    };
    let (error, sie) = (OriginFailure::Status(503), "max-age=60, stale-if-error=5");
    assert_eq!(stands_in(sie, error, 15), Some((Hit::StaleIfError, -5)));
    assert_eq!(stands_in(sie, error, 16), None);
    assert_eq!(stands_in("max-age=60", error, 15), None);
    assert_eq!(stands_in("max-age=60", DOWN, 15), Some((Hit::StaleOriginUnreachable, -5)));
    assert_eq!(stands_in("max-age=60, must-revalidate", DOWN, 15), None);
    let terms = terms("max-age=60, must-revalidate", &rules);
    assert_eq!(unvalidated_status(&terms, Some(after(10)), after(15)), Some(504));
    assert_eq!(unvalidated_status(&terms, None, after(15)), None);
}
