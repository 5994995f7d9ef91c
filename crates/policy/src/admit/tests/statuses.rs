//! Which statuses are stored with what, one table for each profile.

use super::*;

/// What a row of a table says of a response with one of its statuses: with an explicit lifetime,
/// with Last-Modified, with `public` too, with an entity tag, with `public` too, and with
/// `default_ttl`.
type Row = (&'static [u16], [&'static str; 6]);

const HEADS: [&str; 6] = [
    "cache-control: max-age=60",
    YESTERDAY,
    "cache-control: public\nlast-modified: Sun, 22 Nov 2026 00:00:00 GMT",
    "etag: \"a\"",
    "cache-control: public\netag: \"a\"",
    "",
];

fn outcome(status: u16, head: &str, rules: &Rules) -> &'static str {
    match store(status, head, rules).map(|terms| terms.source) {
        Ok(Source::Explicit(_)) => "explicit",
        Ok(Source::Heuristic) => "heuristic",
        Ok(Source::DefaultTtl) => "default",
        Ok(Source::Absent) => "validated",
        Ok(Source::Forced) => "forced",
        Err(_) => "-",
    }
}

fn check_table(profile: Profile, table: &[Row]) {
    let usual = Rules { profile, ..Rules::default() };
    let with_default = Rules { default_ttl: Some(Duration::from_mins(5)), ..usual.clone() };
    for (statuses, expected) in table {
        for &status in *statuses {
            let rules = [&usual, &usual, &usual, &usual, &usual, &with_default];
            let got: Vec<_> =
                HEADS.iter().zip(rules).map(|(head, rules)| outcome(status, head, rules)).collect();
            assert_eq!(got, expected, "{profile:?} {status}");
        }
    }
}

#[test]
fn the_safe_profile_stores_odd_statuses_only_when_their_origin_says_so() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# the response contains at least one of the following:
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# a public response directive (see Section 5.2.2.9);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# a status code that is defined as heuristically cacheable (see Section 4.2.2).
    let (explicit, heuristic, validated) = ("explicit", "heuristic", "validated");
    let plain = [explicit, heuristic, heuristic, validated, validated, "default"];
    let no_default = [explicit, heuristic, heuristic, validated, validated, "-"];
    let not_by_status = [explicit, "-", heuristic, "-", validated, "-"];
    let only_dated = [explicit, heuristic, heuristic, "-", "-", "-"];
    let only_public = [explicit, "-", heuristic, "-", "-", "-"];
    let only_explicit = [explicit, "-", "-", "-", "-", "-"];
    check_table(
        Profile::Safe,
        &[
            (&[200, 203, 300, 301, 308, 404, 410], plain),
            (&[204], no_default),
            (&[201, 202, 205, 299, 302, 303, 307, 401, 403, 409, 418, 451, 499], not_by_status),
            (&[405, 414, 501], only_dated),
            (&[500, 502, 503, 504, 505, 599], only_public),
            (&[400], only_explicit),
        ],
    );
}

#[test]
fn the_other_profile_stores_every_status_that_the_standard_lets_it_store() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.9
    //= type=test
    //# If a response with the public directive has no explicit freshness information, it is
    //# heuristically cacheable (Section 4.2.2).
    let (explicit, heuristic, validated) = ("explicit", "heuristic", "validated");
    let plain = [explicit, heuristic, heuristic, validated, validated, "default"];
    let no_default = [explicit, heuristic, heuristic, validated, validated, "-"];
    let not_by_status = [explicit, "-", heuristic, "-", validated, "-"];
    check_table(
        Profile::Rfc9111,
        &[
            (&[200, 203, 300, 301, 308, 404, 410], plain),
            (&[204, 405, 414, 501], no_default),
            (&[201, 202, 205, 299, 302, 303, 307, 401, 403, 409, 418, 451, 499], not_by_status),
            (&[400, 500, 502, 503, 504, 505, 599], not_by_status),
        ],
    );
}

#[test]
fn a_status_that_is_not_stored_says_why() {
    let rows = [
        (302, YESTERDAY, NotStored::StatusNotCacheable, NotStored::StatusNotCacheable),
        (400, YESTERDAY, NotStored::StatusNotCacheable, NotStored::StatusNotCacheable),
        (599, YESTERDAY, NotStored::ServerError, NotStored::StatusNotCacheable),
        (405, "", NotStored::NoExplicitLifetime, NotStored::NoExplicitLifetime),
        (501, "", NotStored::ServerError, NotStored::NoExplicitLifetime),
        (426, "cache-control: max-age=60", NotStored::UpgradeRequired, NotStored::UpgradeRequired),
    ];
    for (status, head, safe, other) in rows {
        assert_eq!(store(status, head, &Rules::default()), Err(safe), "{status}");
        assert_eq!(store(status, head, &rfc9111()), Err(other), "{status}");
    }
}

#[test]
fn what_is_said_of_one_client_alone_is_not_stored_whatever_lifetime_it_has() {
    //= https://www.rfc-editor.org/rfc/rfc6585#section-4
    //= type=test
    //# Responses with the 429 status code MUST NOT be stored by a cache.
    let default_ttl = Some(Duration::from_mins(5));
    for profile in [Profile::Safe, Profile::Rfc9111] {
        let rules = Rules { default_ttl, profile, ..Rules::default() };
        for status in [428, 429, 431, 511] {
            for head in HEADS.into_iter().chain(["cache-control: public, s-maxage=60"]) {
                let got = store(status, head, &rules).map(drop);
                assert_eq!(got, Err(NotStored::StatusNeverStored), "{status} {head}");
            }
        }
    }
    assert!(NotStored::StatusNeverStored.is_about_request());
}

#[test]
fn must_understand_is_for_the_statuses_whose_rules_are_kept() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //= type=test
    //# if the response status code is 206 or 304, or the must-understand cache directive (see
    //# Section 5.2.2.3) is present: the cache understands the response status code;
    let head = "cache-control: max-age=60, no-store, must-understand";
    for rules in [Rules::default(), rfc9111()] {
        for status in [200, 201, 203, 204, 301, 302, 307, 308, 404, 410, 421, 500, 503, 505] {
            assert_eq!(outcome(status, head, &rules), "explicit", "{status}");
        }
        for status in [299, 306, 399, 412, 418, 426, 429, 431, 451, 499, 506, 511, 599] {
            assert_eq!(outcome(status, head, &rules), "-", "{status}");
        }
        // Where the status is not understood the response is not stored even without no-store.
        assert_eq!(outcome(599, "cache-control: max-age=60, must-understand", &rules), "-");
    }
}
