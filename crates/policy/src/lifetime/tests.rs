use super::*;
use crate::fixture::fields;

/// Mon, 23 Nov 2026 00:00:00 GMT.
const NOW: Timestamp = Timestamp::from_secs(1_795_392_000);
const DATE: &str = "date: Mon, 23 Nov 2026 00:00:00 GMT";
const EARLIER: &str = "date: Sun, 22 Nov 2026 23:00:00 GMT";
const IN_A_MINUTE: &str = "expires: Mon, 23 Nov 2026 00:01:00 GMT";

fn freshness(status: u16, head: &str, rules: &Rules) -> Freshness {
    let response = fields(head);
    let directives = ResponseDirectives::of(&response, rules);
    let vary = Vary::of(&response, &Fields::new()).unwrap();
    of(&response, status, &directives, &vary, NOW, rules)
}

fn check(head: &str, secs: u64, source: Source) {
    let expected = Freshness { lifetime: Lifetime::from_secs(secs), source };
    assert_eq!(freshness(200, head, &Rules::default()), expected, "{head}");
}

const S_MAXAGE: Source = Source::Explicit(Explicit::SMaxage);
const MAX_AGE: Source = Source::Explicit(Explicit::MaxAge);
const EXPIRES: Source = Source::Explicit(Explicit::Expires);

#[test]
fn s_maxage_beats_max_age_beats_expires() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //= type=test
    //# If the cache is shared and the s-maxage response directive (Section 5.2.2.10) is present, use
    //# its value, or
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //= type=test
    //# If the max-age response directive (Section 5.2.2.1) is present, use its value, or
    check(&format!("cache-control: max-age=1, s-maxage=3600\n{IN_A_MINUTE}"), 3600, S_MAXAGE);
    check("cache-control: max-age=3600, s-maxage=1", 1, S_MAXAGE);
    check("cache-control: max-age=3600, s-maxage=x", 0, S_MAXAGE);
    check(&format!("cache-control: max-age=5\n{IN_A_MINUTE}"), 5, MAX_AGE);
    check(&format!("cache-control: max-age=0\n{IN_A_MINUTE}"), 0, MAX_AGE);
    check("cache-control: max-age=5\nexpires: 0", 5, MAX_AGE);
}

#[test]
fn expires_counts_from_the_date_of_the_response() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //= type=test
    //# If the Expires response header field (Section 5.3) is present, use its value minus the value
    //# of the Date response header field (using the time the message was received if it is not
    //# present, as per Section 6.6.1 of [HTTP]), or
    check(&format!("{IN_A_MINUTE}\n{DATE}"), 60, EXPIRES);
    check(&format!("{IN_A_MINUTE}\n{EARLIER}"), 3660, EXPIRES);
    check(IN_A_MINUTE, 60, EXPIRES);
    check(&format!("{IN_A_MINUTE}\ndate: now"), 60, EXPIRES);
    check("expires: Sun, 22 Nov 2026 00:00:00 GMT", 0, EXPIRES);
}

#[test]
fn an_expires_that_is_no_date_or_not_alone_has_expired() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.3
    //= type=test
    //# A cache recipient MUST interpret invalid date formats, especially the value "0", as
    //# representing a time in the past (i.e., "already expired").
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //= type=test
    //# When there is more than one value present for a given directive (e.g., two Expires header
    //# field lines or multiple Cache-Control: max-age directives), either the first occurrence should
    //# be used or the response should be considered stale.
    let expired = [
        "0",
        "",
        "Mon, 23 Nov 2026 1:00:00 GMT",
        "Mon, 23 Nov 2026 01:00:00 UTC",
        "Mon, 23 Nov 2026 01:00:00 AEST",
        "Mon, 23 Nov 26 01:00:00 GMT",
        "Mon 23 Nov 2026 01:00:00 GMT",
        "Mon, 23  Nov  2026 01:00:00 GMT",
        "Mon, 23-Nov-2026 01:00:00 GMT",
        "Mon, 23 Nov 2026 01.00.00 GMT",
        "Mon, 23 Nov 2026 01:00:00 GMT, Mon, 23 Nov 2026 01:00:00 GMT",
        "Mon, 23 Nov 2026 01:00:00 GMT\nexpires: Mon, 23 Nov 2026 01:00:00 GMT",
        "Mon, 23 Nov 2026 1:00:00 GMT\nexpires: Mon, 23 Nov 2026 1:00:01 GMT",
        "Mon, 23 Nov 2026 01:00:00 GMT\nexpires: 0",
    ];
    for value in expired {
        check(&format!("expires: {value}\n{DATE}"), 0, EXPIRES);
    }
    for value in ["MON, 23 Nov 2026 00:01:00 GMT", "Mon, 23 NOV 2026 00:01:00 gMT"] {
        check(&format!("expires: {value}\n{DATE}"), 60, EXPIRES);
    }
    check(&format!("expires: Thu Nov 23 00:01:00 2026\n{DATE}"), 60, EXPIRES);
    check("expires: Monday, 23-Nov-26 00:01:00 GMT", 60, EXPIRES);
    check("expires: Mon Nov 23 00:01:00 2026", 60, EXPIRES);
    check("expires: Sun, 21 Nov 2286 04:46:39 GMT", 8_204_647_599, EXPIRES);
}

#[test]
fn the_heuristic_is_a_tenth_of_the_time_since_the_last_modification() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2
    //= type=test
    //# If the response has a Last-Modified header field (Section 8.8.2 of [HTTP]), caches are
    //# encouraged to use a heuristic expiration value that is no more than some fraction of the
    //# interval since that time. A typical setting of this fraction might be 10%.
    let yesterday = "last-modified: Sun, 22 Nov 2026 00:00:00 GMT";
    check(yesterday, 8640, Source::Heuristic);
    check(&format!("{yesterday}\n{EARLIER}"), 8280, Source::Heuristic);
    check("last-modified: Sun, 22 Nov 1998 00:00:00 GMT", 86_400, Source::Heuristic);
    // The cap, and a second less and more.
    check("last-modified: Fri, 13 Nov 2026 00:00:10 GMT", 86_399, Source::Heuristic);
    check("last-modified: Fri, 13 Nov 2026 00:00:00 GMT", 86_400, Source::Heuristic);
    check("last-modified: Thu, 12 Nov 2026 23:59:50 GMT", 86_400, Source::Heuristic);
    check("last-modified: Tue, 24 Nov 2026 00:00:00 GMT", 0, Source::Absent);
    check("last-modified: yesterday", 0, Source::Absent);
    check("", 0, Source::Absent);
}

#[test]
fn the_heuristic_is_for_cacheable_statuses_and_for_what_is_public() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2
    //= type=test
    //# heuristics can only be used on responses without explicit freshness whose status codes are
    //# defined as heuristically cacheable (e.g., see Section 15.1 of [HTTP]) and on responses without
    //# explicit freshness that have been marked as explicitly cacheable (e.g., with a public response
    //# directive).
    let head = "last-modified: Sun, 22 Nov 2026 00:00:00 GMT";
    let source = |status, head: &str| freshness(status, head, &Rules::default()).source;
    assert_eq!(source(403, head), Source::Absent);
    assert_eq!(source(403, &format!("{head}\ncache-control: public")), Source::Heuristic);
    assert_eq!(source(404, &format!("{head}\ncache-control: max-age=0")), MAX_AGE);
}

#[test]
fn these_statuses_are_heuristically_cacheable_and_no_others() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.1
    //= type=test
    //# Responses with status codes that are defined as heuristically cacheable (e.g., 200, 203, 204,
    //# 206, 300, 301, 308, 404, 405, 410, 414, and 501 in this specification) can be reused by a
    //# cache with heuristic expiration unless otherwise indicated by the method definition or
    //# explicit cache controls [CACHING]; all other status codes are not heuristically cacheable.
    let all: Vec<u16> = (100..600).filter(|&s| is_heuristically_cacheable(s)).collect();
    assert_eq!(all, [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]);
}

#[test]
fn the_default_ttl_is_for_plain_answers_without_any_lifetime() {
    let rules = Rules { default_ttl: Some(Duration::from_mins(5)), ..Rules::default() };
    let source = |status, head: &str| freshness(status, head, &rules).source;
    for status in [200, 203, 300, 301, 308, 404, 410] {
        assert_eq!(source(status, "etag: \"a\""), Source::DefaultTtl, "{status}");
    }
    for status in [201, 204, 302, 400, 405, 414, 500, 501] {
        assert_eq!(source(status, ""), Source::Absent, "{status}");
    }
    assert_eq!(source(200, "set-cookie: a=b"), Source::Absent);
    assert_eq!(source(200, "vary: accept, Cookie"), Source::Absent);
    assert_eq!(source(200, "vary: accept"), Source::DefaultTtl);
    assert_eq!(source(200, "expires: 0"), EXPIRES);
    assert_eq!(source(200, "last-modified: Sun, 22 Nov 2026 00:00:00 GMT"), Source::Heuristic);
    assert_eq!(freshness(200, "", &rules).lifetime, Lifetime::from_secs(300));
}

#[test]
fn a_route_raises_caps_and_replaces_lifetimes() {
    let secs = |n| Some(Duration::from_secs(n));
    let none = Rules::default();
    let rows = [
        (Rules { min_ttl: secs(10), ..none.clone() }, "max-age=5", 10, MAX_AGE),
        (Rules { min_ttl: secs(10), ..none.clone() }, "max-age=15", 15, MAX_AGE),
        (Rules { min_ttl: secs(10), ..none.clone() }, "no-cache", 0, Source::Absent),
        (Rules { max_ttl: secs(10), ..none.clone() }, "max-age=15", 10, MAX_AGE),
        (Rules { max_ttl: secs(10), ..none.clone() }, "max-age=5", 5, MAX_AGE),
        (Rules { min_ttl: secs(20), max_ttl: secs(10), ..none.clone() }, "max-age=5", 10, MAX_AGE),
        (Rules { force_ttl: secs(10), ..none.clone() }, "max-age=5", 10, Source::Forced),
        (Rules { force_ttl: secs(10), ..none.clone() }, "no-cache", 10, Source::Forced),
        (Rules { force_ttl: secs(10), max_ttl: secs(1), ..none }, "max-age=5", 10, Source::Forced),
    ];
    for (rules, control, expected, source) in rows {
        let got = freshness(200, &format!("cache-control: {control}"), &rules);
        let expected = Freshness { lifetime: Lifetime::from_secs(expected), source };
        assert_eq!(got, expected, "{control} {rules:?}");
    }
    let forced = Rules { force_ttl: secs(10), ..Rules::default() };
    assert_eq!(freshness(500, "", &forced).source, Source::Absent);
    assert_eq!(freshness(500, "cache-control: max-age=1", &forced).source, Source::Forced);
}

#[test]
fn an_instant_in_a_field_for_us_counts_from_the_date_of_the_response() {
    let rules = Rules { targeted: vec!["X-Accel-Expires".to_owned()], ..Rules::default() };
    let rows = [
        (DATE, "@1795392060", 60),
        (EARLIER, "@1795392060", 3660),
        ("", "@1795392060", 60),
        (DATE, "@1795391999", 0),
        (DATE, "60", 60),
    ];
    for (date, value, secs) in rows {
        let head = format!("{date}\nx-accel-expires: {value}\nexpires: 0");
        assert_eq!(freshness(200, &head, &rules).lifetime, Lifetime::from_secs(secs), "{head}");
    }
}

#[test]
fn with_a_targeted_field_expires_does_not_count() {
    let head = format!("cdn-cache-control: max-age=7\ncache-control: max-age=1\n{IN_A_MINUTE}");
    check(&head, 7, MAX_AGE);
    check(&format!("cdn-cache-control: foo\n{IN_A_MINUTE}"), 0, Source::Absent);
}
