use super::HeadEffect::{Freshen, Nothing, Outdated};
use super::*;
use crate::fixture::fields;
use crate::{Admit, DeltaSeconds, Exchanged, Method, admit};

/// A validator says so, or only nothing speaks against it.
const VALIDATED: HeadEffect = Freshen { validated: true };
const UPDATED: HeadEffect = Freshen { validated: false };

const MODIFIED: &str = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT\n";
const LATER: &str = "last-modified: Sun, 06 Nov 1994 08:49:38 GMT\n";

fn terms(response: &Fields) -> Terms {
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &Asked::default(),
        request: &Fields::new(),
        status: 200,
        response,
        request_time: Timestamp::from_secs(1_000),
        response_time: Timestamp::from_secs(1_000),
    };
    match admit(&exchanged, &Rules::default()) {
        Admit::Store(terms) => terms,
        Admit::DoNotStore(why) => panic!("{why:?}"),
    }
}

/// A stored response of five bytes and what a HEAD that was sent then says about it.
fn effect(
    asked: &Asked,
    (before, stored): (u16, &str),
    (status, head): (u16, &str),
    sent: i64,
    profile: Profile,
) -> HeadEffect {
    let stored = fields(&format!("cache-control: max-age=60\n{stored}"));
    let terms = terms(&stored);
    let entry = StoredForHead { status: before, fields: &stored, length: Some(5), terms: &terms };
    let rules = Rules { profile, ..Rules::default() };
    head_effect(asked, &entry, status, &fields(head), Timestamp::from_secs(sent), &rules)
}

fn told(stored: (u16, &str), head: (u16, &str)) -> HeadEffect {
    effect(&Asked::default(), stored, head, 1_000, Profile::Safe)
}

#[test]
fn a_head_that_shows_the_same_validators_and_length_freshens_and_another_one_outdates() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5
    //= type=test
    //# When a cache makes an inbound HEAD request for a target URI and receives a 200 (OK) response,
    //# the cache SHOULD update or invalidate each of its stored GET responses that could have been
    //# chosen for that request (see Section 4.1).
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5
    //= type=test
    //# if the stored response and HEAD response have matching values for any received validator
    //# fields (ETag and Last-Modified) and, if the HEAD response has a Content-Length header field,
    //# the value of Content-Length matches that of the stored response, the cache SHOULD update the
    //# stored response as described below; otherwise, the cache SHOULD consider the stored response
    //# to be stale.
    let both = format!("etag: \"a\"\n{MODIFIED}");
    let other_date = format!("etag: \"a\"\n{LATER}");
    let rows = [
        ("etag: \"a\"", "etag: \"a\"", VALIDATED),
        ("etag: \"a\"", "etag: \"b\"", Outdated),
        ("etag: W/\"a\"", "etag: \"a\"", Outdated),
        ("etag: \"a\"", "etag: \"a\"\ncontent-length: 5", VALIDATED),
        ("etag: \"a\"", "etag: \"a\"\ncontent-length: 6", Outdated),
        ("etag: \"a\"", "etag: \"a\"\ncontent-length: five", Outdated),
        // No length, whatever it could be taken for.
        ("etag: \"a\"", "etag: \"a\"\ncontent-length: +5", Outdated),
        ("etag: \"a\"", "etag: \"a\"\ncontent-length: 05", VALIDATED),
        (&both, &both, VALIDATED),
        (&both, MODIFIED, VALIDATED),
        (&both, "etag: \"a\"", VALIDATED),
        (&both, &other_date, Outdated),
        (MODIFIED, MODIFIED, VALIDATED),
        (MODIFIED, LATER, Outdated),
        ("", "etag: \"a\"\ncontent-length: 5", Outdated),
        ("", "content-length: 5", UPDATED),
        ("", "content-length: 4", Outdated),
        // What does not tell the content apart from another does not validate it.
        ("", "x: y", UPDATED),
        ("etag: \"a\"", "content-length: 5", UPDATED),
        ("etag: \"a\"", "content-length: 4", Outdated),
        ("etag: \"a\"", "", UPDATED),
    ];
    for (stored, head, expected) in rows {
        assert_eq!(told((200, stored), (200, head)), expected, "{stored} | {head}");
    }
}

#[test]
fn a_head_without_the_representation_outdates_only_if_it_speaks_for_all() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5
    //= type=test
    //# A response to the HEAD method is identical to what an equivalent request made with a GET would
    //# have been, without sending the content.
    let tag = "etag: \"a\"";
    let rows = [
        (200, 404, Outdated),
        (200, 410, Outdated),
        (404, 410, Outdated),
        (404, 200, Outdated),
        (301, 200, Outdated),
        (410, 410, Nothing),
        (404, 404, Nothing),
    ];
    for (before, status, expected) in rows {
        assert_eq!(told((before, tag), (status, tag)), expected, "{before} {status}");
    }
    for status in [204, 206, 301, 304, 400, 401, 403, 405, 406, 412, 416, 429, 500, 501, 503] {
        assert_eq!(told((200, tag), (status, "etag: \"b\"")), Nothing, "{status}");
    }
    // A part has the whole's validators, but not its length.
    assert_eq!(told((206, tag), (200, "etag: \"a\"\ncontent-length: 9")), Nothing);
    assert_eq!(told((206, tag), (200, "etag: \"b\"\ncontent-length: 9")), Outdated);
}

#[test]
fn only_an_answer_that_others_could_have_got_counts() {
    let none = Asked::default();
    let authorized = Asked { authorization: true, ..none };
    let max_age = Asked { max_age: Some(DeltaSeconds::new(0)), no_cache: true, ..none };
    let (private, shared) = ("etag: \"a\"", "etag: \"a\"\ncache-control: public");
    let rows = [
        (none, private, 1_000, Profile::Safe, Outdated),
        (max_age, private, 1_000, Profile::Safe, Outdated),
        (authorized, private, 1_000, Profile::Safe, Nothing),
        (authorized, shared, 1_000, Profile::Safe, Outdated),
        (authorized, private, 1_000, Profile::Rfc9111, Outdated),
        (Asked { no_store: true, ..none }, private, 1_000, Profile::Safe, Nothing),
        // It was stored while the HEAD was on its way.
        (none, private, 999, Profile::Safe, Nothing),
    ];
    for (asked, stored, sent, profile, expected) in rows {
        let got = effect(&asked, (200, stored), (200, "etag: \"b\""), sent, profile);
        assert_eq!(got, expected, "{asked:?} {stored} {sent}");
    }
}

#[test]
fn what_is_outdated_is_stale_from_that_moment_and_no_longer_fresh_than_it_was() {
    let at = Timestamp::from_secs;
    let fresh = terms(&fields("cache-control: max-age=60"));
    for (when, ttl) in [(1_000, 0), (1_010, -10), (1_059, -59)] {
        let outdated = fresh.clone().outdated(at(1_000));
        assert!(!outdated.is_fresh(at(when)));
        assert_eq!(outdated.ttl(at(when)), ttl);
    }
    // What was stale already has been so for as long as before.
    let stale = fresh.clone().outdated(at(1_100));
    assert_eq!((stale.ttl(at(1_100)), fresh.ttl(at(1_100))), (-40, -40));
}

#[test]
fn the_age_of_what_was_not_validated_runs_on() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
    //= type=test
    //# The Age field value is the cache's estimate of the number of seconds since the origin server
    //# generated or validated the response.
    let at = Timestamp::from_secs;
    let old = terms(&fields("cache-control: max-age=10\nage: 5"));
    let new = Terms { response_time: at(2_000), ..terms(&fields("cache-control: max-age=60")) };
    assert_eq!((old.ttl(at(1_010)), new.ttl(at(2_000))), (-5, 60));
    let updated = new.aged_as(&old);
    assert_eq!((updated.ttl(at(1_010)), updated.ttl(at(1_060))), (45, -5));
}
