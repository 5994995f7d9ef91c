//! Whether stored parts are still good: of which representation they are, how old, and for whom.

use super::*;

#[test]
fn parts_of_another_representation_are_given_up() {
    for (validators, fields) in [
        ("ETag: \"b\"\r\n", TAGGED.fields),
        ("", TAGGED.fields),
        ("ETag: W/\"a\"\r\n", TAGGED.fields),
    ] {
        let (resource, origin) = resource(TAGGED);
        let site = site(&origin);
        site.range("bytes=0-4");
        *resource.lock().unwrap() = Resource { body: "abcdefghij", validators, fields };
        // The If-Range does not hold: the origin sends all of it.
        let whole = site.range("bytes=3-6");
        expect(&whole, 206, "MISS", "bytes 3-6/10", "defg");
        assert_eq!(asked(&origin)[1], ["bytes=5-6", "\"a\"", ""]);
        expect(&site.range("bytes=0-4"), 206, "HIT", "bytes 0-4/10", "abcde");
        expect(&site.get(), 200, "HIT", "", "abcdefghij");
    }
}

#[test]
fn an_origin_that_ignores_if_range_cannot_mix_two_representations() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        let (tag, body) = if count.fetch_add(1, Ordering::SeqCst) == 0 {
            ("\"a\"", "0123456789")
        } else {
            ("\"b\"", "abcdefghij")
        };
        let range = request.field("Range").unwrap();
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let content = &body[first..=last];
        conn.send(format!(
            "HTTP/1.1 206 P\r\nETag: {tag}\r\nCache-Control: max-age=10\r\n\
             Content-Range: {}/10\r\nContent-Length: {}\r\n\r\n{content}",
            range.replace('=', " "),
            content.len()
        ));
    });
    let site = site(&origin);
    site.range("bytes=0-4");
    expect(&site.range("bytes=3-6"), 206, "MISS", "bytes 3-6/10", "defg");
    was_asked(&origin, &[["bytes=0-4", "", ""], ["bytes=5-6", "\"a\"", ""], ["bytes=3-6", "", ""]]);
    expect(&site.range("bytes=4-5"), 206, "HIT", "bytes 4-5/10", "ef");
}

#[test]
fn parts_without_a_strong_validator_are_never_combined() {
    for validators in ["", "ETag: W/\"a\"\r\n", "Last-Modified: Mon, 23 Nov 2026 12:00:00 GMT\r\n"]
    {
        let (_, origin) = resource(Resource { validators, ..TAGGED });
        let site = site(&origin);
        site.range("bytes=0-4");
        site.range("bytes=5-9");
        // Each by itself is good.
        expect(&site.range("bytes=1-2"), 206, "HIT", "bytes 1-2/10", "12");
        expect(&site.range("bytes=6-"), 206, "HIT", "bytes 6-9/10", "6789");
        expect(&site.range("bytes=3-6"), 206, "MISS", "bytes 3-6/10", "3456");
        // The rest is asked for in the hope for a whole, once; then the whole itself.
        expect(&site.get(), 200, "MISS", "", DIGITS);
        expect(&site.get(), 200, "HIT", "", DIGITS);
        let ranges: Vec<_> = asked(&origin).into_iter().map(|[range, ..]| range).collect();
        assert_eq!(ranges[..3], ["bytes=0-4", "bytes=5-9", "bytes=3-6"]);
        assert_eq!(ranges.last().unwrap(), "");
        assert!(ranges.len() <= 5, "{ranges:?}");
    }
}

#[test]
fn a_date_is_as_good_as_a_tag_if_it_is_strong() {
    let validators = "Last-Modified: Mon, 23 Nov 2026 11:58:00 GMT\r\n";
    let (_, origin) = resource(Resource { validators, ..TAGGED });
    let site = site(&origin);
    site.range("bytes=0-4");
    // The origin sends no Date: that of each arrival counts.
    expect(&site.range("bytes=3-6"), 206, "MISS", "bytes 3-6/10", "3456");
    assert_eq!(origin.count(), 2);
    assert_eq!(asked(&origin)[1], ["bytes=5-6", "Mon, 23 Nov 2026 11:58:00 GMT", ""]);
}

#[test]
fn stale_parts_are_validated_or_found_out() {
    let (resource, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=0-4");
    site.range("bytes=5-7");
    let validated = site.after(11).range("bytes=2-6");
    expect(&validated, 206, "HIT", "bytes 2-6/10", "23456");
    assert!(validated.field("Cache-Status").unwrap().contains("fwd=stale; fwd-status=304"));
    assert_eq!(asked(&origin)[2], ["bytes=2-6", "", "\"a\""]);
    // All parts of the set are fresh again.
    expect(&site.range("bytes=0-1"), 206, "HIT", "bytes 0-1/10", "01");
    expect(&site.range("bytes=5-7"), 206, "HIT", "bytes 5-7/10", "567");
    assert_eq!(origin.count(), 3);
    *resource.lock().unwrap() =
        Resource { body: "abcdef", validators: "ETag: \"b\"\r\n", ..TAGGED };
    expect(&site.after(11).range("bytes=0-3"), 206, "MISS", "bytes 0-3/6", "abcd");
    expect(&site.range("bytes=1-2"), 206, "HIT", "bytes 1-2/6", "bc");
}

#[test]
fn if_range_is_evaluated_against_stored_parts() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=0-4");
    let known = site.ask(&[("Range", "bytes=1-2"), ("If-Range", "\"a\"")]);
    expect(&known, 206, "HIT", "bytes 1-2/10", "12");
    assert_eq!(known.field("Content-Type"), None);
    let unknown = site.ask(&[("Range", "bytes=1-2"), ("If-Range", "\"b\"")]);
    expect(&unknown, 200, "MISS", "", DIGITS);
}

#[test]
fn the_answer_to_an_if_range_alone_is_not_stored() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    let fields = [("Range", "bytes=1-2"), ("If-Range", "\"a\"")];
    let first = site.ask(&fields);
    expect(&first, 206, "MISS", "bytes 1-2/10", "12");
    assert!(first.field("Cache-Status").unwrap().ends_with("detail=partial-content"));
    expect(&site.range("bytes=1-2"), 206, "MISS", "bytes 1-2/10", "12");
    expect(&site.range("bytes=1-2"), 206, "HIT", "bytes 1-2/10", "12");
}

#[test]
fn only_if_cached_is_content_with_parts() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=0-4");
    let ask = |range| site.ask(&[("Range", range), ("Cache-Control", "only-if-cached")]);
    expect(&ask("bytes=0-4"), 206, "HIT", "bytes 0-4/10", "01234");
    assert_eq!(ask("bytes=0-5").status, 504);
    assert_eq!(site.ask(&[("Cache-Control", "only-if-cached")]).status, 504);
    let mut client = Client::connect(site.running.local_addr());
    let head = client.request("HEAD", "/", &[("Cache-Control", "only-if-cached")]);
    assert_eq!(head.status, 504);
    assert_eq!(origin.count(), 1);
}

#[test]
fn stale_parts_stand_in_for_an_origin_that_fails() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            conn.send(
                "HTTP/1.1 206 P\r\nCache-Control: max-age=10, stale-if-error=60\r\nETag: \"a\"\r\n\
                 Content-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\n01234",
            );
        } else {
            conn.send("HTTP/1.1 503 Down\r\nContent-Length: 3\r\n\r\nbad");
        }
    });
    let site = site(&origin);
    site.range("bytes=0-4");
    let stale = site.after(11).range("bytes=1-2");
    expect(&stale, 206, "HIT", "bytes 1-2/10", "12");
    assert!(stale.field("Cache-Status").unwrap().ends_with("detail=stale-if-error"));
    assert_eq!(site.range("bytes=4-6").status, 503);
}

#[test]
fn conditions_of_the_client_come_before_its_range() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=0-4");
    let known = site.ask(&[("Range", "bytes=1-2"), ("If-None-Match", "\"a\"")]);
    assert_eq!((known.status, known.field("X-Cache")), (304, Some("HIT")));
    let other = site.ask(&[("Range", "bytes=1-2"), ("If-None-Match", "\"b\"")]);
    expect(&other, 206, "HIT", "bytes 1-2/10", "12");
    // What is not stored, the origin judges by itself, for this client alone.
    let beyond = site.ask(&[("Range", "bytes=7-8"), ("If-None-Match", "\"b\"")]);
    expect(&beyond, 206, "MISS", "bytes 7-8/10", "78");
    assert_eq!(asked(&origin)[1], ["bytes=7-8", "", "\"b\""]);
}

#[test]
fn parts_that_have_it_all_but_may_not_be_used_say_why() {
    let asking = |wish: &'static str| {
        move |site: &Site, range: &str| site.ask(&[("Range", range), ("Cache-Control", wish)])
    };
    let rows: [(&str, &str, &str); 5] = [
        ("max-age=5", "", "fwd=stale; fwd-status=206; ttl=5; stored; detail=stale"),
        (
            "max-age=5, must-revalidate",
            "",
            "fwd=stale; fwd-status=206; ttl=5; stored; detail=stale",
        ),
        (
            "max-age=60",
            "no-cache",
            "fwd=request; fwd-status=206; ttl=60; stored; detail=request-no-cache",
        ),
        (
            "max-age=60",
            "max-age=1",
            "fwd=request; fwd-status=206; ttl=60; stored; detail=request-max-age",
        ),
        (
            "max-age=5, stale-while-revalidate=60",
            "",
            "fwd=stale; fwd-status=206; ttl=5; stored; detail=stale",
        ),
    ];
    for (control, wish, expected) in rows {
        let control: &'static str = format!("Cache-Control: {control}\r\n").leak();
        // Without a validator: the origin is asked for the range as it is.
        let (_, origin) = resource(Resource { validators: "", fields: control, body: DIGITS });
        let site = site(&origin);
        site.range("bytes=0-4");
        let answer = asking(wish)(site.after(6), "bytes=1-2");
        expect(&answer, 206, "MISS", "bytes 1-2/10", "12");
        let status = answer.field("Cache-Status").unwrap();
        assert_eq!(status, format!("caching-proxy; {expected}"), "{control}");
        // What is not there at all is missing, however old the rest is.
        let missing = site.after(6).range("bytes=7-8");
        assert!(missing.field("Cache-Status").unwrap().ends_with("detail=range-missing"));
    }
    let status = |response: Response| response.field("Cache-Status").unwrap().to_owned();
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=0-");
    let confirmed = status(site.after(11).get());
    assert_eq!(
        confirmed,
        "caching-proxy; fwd=stale; fwd-status=304; ttl=10; stored; detail=validated"
    );
    let known = site.after(11).ask(&[("If-None-Match", "\"a\"")]);
    assert_eq!((known.status, known.field("X-Cache")), (304, Some("HIT")));
    assert_eq!(origin.count(), 3);
}
