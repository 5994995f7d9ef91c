//! Stored parts: when they answer, what the origin is asked for, and when they are given up.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rig::Site;
use testkit::{Client, Origin, Response};

const DIGITS: &str = "0123456789";

/// With room for bodies of a few MiB.
fn site(origin: &Origin) -> Site {
    Site::with(origin, |settings| settings.store.largest_in_memory = Some(8 << 20))
}

/// With room for bodies under way, but for none with a large head afterwards.
fn with_small_memory(origin: &Origin) -> Site {
    Site::with(origin, |settings| {
        (settings.store.memory, settings.store.largest_in_memory) = (96 << 10, Some(64));
    })
}

impl Site {
    fn ask(&self, fields: &[(&str, &str)]) -> Response {
        self.request("GET", "/", fields)
    }

    fn get(&self) -> Response {
        self.ask(&[])
    }

    fn range(&self, range: &str) -> Response {
        self.ask(&[("Range", range)])
    }
}

/// Status, where it came from, Content-Range and content.
fn told(response: &Response) -> (u16, String, String, String) {
    let field = |name| response.field(name).unwrap_or_default().to_owned();
    (response.status, field("X-Cache"), field("Content-Range"), response.text())
}

#[track_caller]
fn expect(response: &Response, status: u16, cache: &str, range: &str, text: &str) {
    assert!(response.complete);
    let expected = (status, cache.to_owned(), range.to_owned(), text.to_owned());
    assert_eq!(told(response), expected, "{:?}", response.field("Cache-Status"));
}

/// What the origin was asked: Range, If-Range and If-None-Match of each request.
fn asked(origin: &Origin) -> Vec<[String; 3]> {
    let field = |request: &testkit::Received, name: &str| {
        request.field(name).unwrap_or_default().to_owned()
    };
    let fields = ["Range", "If-Range", "If-None-Match"];
    origin.requests().iter().map(|request| fields.map(|name| field(request, name))).collect()
}

fn was_asked(origin: &Origin, expected: &[[&str; 3]]) {
    assert_eq!(asked(origin), expected);
}

/// A representation, as origins that support ranges have it.
#[derive(Clone)]
struct Resource {
    body: &'static str,
    /// `ETag` and `Last-Modified` lines.
    validators: &'static str,
    fields: &'static str,
}

const TAGGED: Resource = Resource {
    body: DIGITS,
    validators: "ETag: \"a\"\r\n",
    fields: "Cache-Control: max-age=10\r\nContent-Type: text/plain\r\n",
};

/// Answers single ranges and conditions as RFC 9110 has it.
fn supporting(resource: &Arc<Mutex<Resource>>) -> Origin {
    let resource = Arc::clone(resource);
    Origin::start(move |request, conn| {
        let Resource { body, validators, fields } = resource.lock().unwrap().clone();
        let is_current = |name: &str| {
            request.field(name).is_some_and(|value| validators.contains(&format!(": {value}\r\n")))
        };
        if is_current("If-None-Match") {
            conn.send(format!("HTTP/1.1 304 Not Modified\r\n{validators}{fields}\r\n"));
            return;
        }
        let applies = request.field("If-Range").is_none() || is_current("If-Range");
        let whole = body.len();
        let Some(range) = request.field("Range").filter(|_| applies) else {
            let head = format!("HTTP/1.1 200 OK\r\n{validators}{fields}Content-Length: {whole}");
            conn.send(format!("{head}\r\n\r\n{body}"));
            return;
        };
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let (first, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => (first, whole.min(last + 1)),
            (Ok(first), Err(_)) => (first, whole),
            (Err(_), suffix) => (whole - suffix.unwrap(), whole),
        };
        if first >= whole {
            conn.send(format!(
                "HTTP/1.1 416 No\r\nContent-Range: bytes */{whole}\r\nContent-Length: 0\r\n\r\n"
            ));
            return;
        }
        conn.send(format!(
            "HTTP/1.1 206 Partial Content\r\n{validators}{fields}\
             Content-Range: bytes {first}-{}/{whole}\r\nContent-Length: {}\r\n\r\n{}",
            end - 1,
            end - first,
            &body[first..end]
        ));
    })
}

fn resource(resource: Resource) -> (Arc<Mutex<Resource>>, Origin) {
    let shared = Arc::new(Mutex::new(resource));
    let origin = supporting(&shared);
    (shared, origin)
}

#[test]
fn an_origin_that_sends_other_parts_than_asked_for_is_asked_once() {
    // It sends whole blocks of four bytes.
    let origin = Origin::start(|request, conn| {
        let range = request.field("Range").unwrap().trim_start_matches("bytes=").to_owned();
        let first: usize = range.split('-').next().unwrap().parse().unwrap();
        let (first, end) = (first / 4 * 4, (first / 4 * 4 + 4).min(DIGITS.len()));
        let (last, length) = (end - 1, end - first);
        conn.send(format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\nCache-Control: max-age=10\r\n\
             Content-Range: bytes {first}-{last}/{}\r\nContent-Length: {length}\r\n\r\n{}",
            DIGITS.len(),
            &DIGITS[first..end]
        ));
    });
    let site = site(&origin);
    expect(&site.range("bytes=0-1"), 206, "MISS", "bytes 0-3/10", "0123");
    expect(&site.range("bytes=5-6"), 206, "MISS", "bytes 4-7/10", "4567");
    expect(&site.range("bytes=2-6"), 206, "HIT", "bytes 2-6/10", "23456");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_head_finds_no_whole_where_only_parts_are_stored() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    expect(&site.range("bytes=2-7"), 206, "MISS", "bytes 2-7/10", "234567");
    let head = Client::connect(site.running.local_addr()).request("HEAD", "/", &[]);
    let status = head.field("Cache-Status").unwrap();
    assert!(head.status == 200 && status.contains("fwd=partial"), "{status}");
}

#[test]
fn a_stored_part_answers_ranges_within_it_and_nothing_else() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    let first = site.range("bytes=2-7");
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
    //= type=test
    //# A cache MUST NOT send a partial response to a client without explicitly marking it using the
    //# 206 (Partial Content) status code.
    expect(&first, 206, "MISS", "bytes 2-7/10", "234567");
    let status = first.field("Cache-Status").unwrap();
    assert!(
        status.contains("fwd=uri-miss; fwd-status=206") && status.contains("stored"),
        "{status}"
    );
    expect(&site.range("bytes=2-7"), 206, "HIT", "bytes 2-7/10", "234567");
    expect(&site.range("bytes=3-4"), 206, "HIT", "bytes 3-4/10", "34");
    let inside = site.after(4).range("bytes=7-7");
    expect(&inside, 206, "HIT", "bytes 7-7/10", "7");
    assert_eq!(inside.field("Age"), Some("4"));
    assert_eq!(inside.field("Content-Type"), Some("text/plain"));
    assert!(inside.field("Cache-Status").unwrap().ends_with("detail=partial"));
    expect(&site.range("bytes=50-"), 416, "MISS", "bytes */10", "");
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=2-5");
    let before = site.range("bytes=0-3");
    expect(&before, 206, "MISS", "bytes 0-3/10", "0123");
    let status = before.field("Cache-Status").unwrap();
    assert!(
        status.contains("fwd=partial; fwd-status=206; stored; detail=range-missing"),
        "{status}"
    );
    expect(&site.range("bytes=4-8"), 206, "MISS", "bytes 4-8/10", "45678");
    expect(&site.range("bytes=-9"), 206, "MISS", "bytes 1-9/10", "123456789");
    expect(&site.range("bytes=0-"), 206, "HIT", "bytes 0-9/10", DIGITS);
    // All parts are there: they make a whole.
    expect(&site.get(), 200, "HIT", "", DIGITS);
    let several = site.range("bytes=0-0,-1");
    assert_eq!((several.status, several.field("X-Cache")), (206, Some("HIT")));
    let text = several.text();
    assert!(text.contains("Content-Range: bytes 0-0/10\r\n\r\n0\r\n--"), "{text}");
    assert!(text.contains("Content-Range: bytes 9-9/10\r\n\r\n9\r\n--"), "{text}");
    was_asked(
        &origin,
        &[
            ["bytes=2-5", "", ""],
            ["bytes=0-1", "\"a\"", ""],
            ["bytes=6-8", "\"a\"", ""],
            ["bytes=9-", "\"a\"", ""],
        ],
    );
}

#[test]
fn a_gap_in_the_middle_is_filled_between_stored_bytes() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=0-2");
    site.range("bytes=7-9");
    expect(&site.range("bytes=1-8"), 206, "MISS", "bytes 1-8/10", "12345678");
    assert_eq!(asked(&origin)[2], ["bytes=3-6", "\"a\"", ""]);
    expect(&site.get(), 200, "HIT", "", DIGITS);
}

#[test]
fn a_whole_is_completed_and_stored() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=3-");
    let whole = site.get();
    expect(&whole, 200, "MISS", "", DIGITS);
    assert_eq!(whole.all("Content-Length"), ["10"]);
    assert_eq!(whole.field("Content-Type"), Some("text/plain"));
    assert!(whole.field("Cache-Status").unwrap().contains("fwd=partial; fwd-status=206"));
    let hit = site.get();
    expect(&hit, 200, "HIT", "", DIGITS);
    assert!(hit.field("Cache-Status").unwrap().ends_with("detail=fresh"));
    was_asked(&origin, &[["bytes=3-", "", ""], ["bytes=0-2", "\"a\"", ""]]);
    // The whole has replaced its parts.
    assert_eq!(site.running.handle().clear().entries, 1);
}

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
fn a_stale_whole_is_validated_by_a_range_request() {
    let (resource, origin) = resource(TAGGED);
    let site = site(&origin);
    site.get();
    expect(&site.after(11).range("bytes=2-3"), 206, "HIT", "bytes 2-3/10", "23");
    assert_eq!(asked(&origin)[1], ["bytes=2-3", "", "\"a\""]);
    expect(&site.get(), 200, "HIT", "", DIGITS);
    // A part of the next representation tells that the whole of the last one is out of date.
    *resource.lock().unwrap() =
        Resource { body: "abcdef", validators: "ETag: \"b\"\r\n", ..TAGGED };
    expect(&site.after(11).range("bytes=2-3"), 206, "MISS", "bytes 2-3/6", "cd");
    expect(&site.range("bytes=3-3"), 206, "HIT", "bytes 3-3/6", "d");
    expect(&site.get(), 200, "MISS", "", "abcdef");
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
fn what_does_not_say_which_part_it_is_passes_through() {
    for (fields, length) in [
        ("", 5),
        ("Content-Range: bytes 0-4/*\r\n", 5),
        ("Content-Range: bytes 0-4/5\r\nContent-Range: bytes 0-4/5\r\n", 5),
        ("Content-Range: items 0-4/5\r\n", 5),
        ("Content-Range: bytes 0-5/10\r\n", 5),
        ("Content-Range: bytes 0-3/10\r\n", 5),
        ("Content-Type: multipart/byteranges; boundary=x\r\n", 5),
    ] {
        let origin = Origin::answering(format!(
            "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=10\r\n{fields}\
             Content-Length: {length}\r\n\r\nhello"
        ));
        let site = site(&origin);
        for _ in 0..2 {
            let response = site.range("bytes=0-4");
            assert_eq!((response.status, response.text()), (206, "hello".to_owned()), "{fields}");
            assert_eq!(response.field("X-Cache"), Some("MISS"));
            assert!(response.field("Cache-Status").unwrap().ends_with("detail=partial-content"));
            assert!(fields.contains(response.field("Content-Range").unwrap_or_default()));
        }
        assert_eq!(origin.count(), 2);
    }
}

#[test]
fn where_the_content_ends_early_so_does_the_representation() {
    let origin = Origin::answering(
        "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=10\r\n\
         Content-Range: bytes 4-9/10\r\nContent-Length: 5\r\n\r\n01234",
    );
    let site = site(&origin);
    // As it came.
    expect(&site.range("bytes=-5"), 206, "MISS", "bytes 4-9/10", "01234");
    expect(&site.range("bytes=-5"), 206, "HIT", "bytes 4-8/9", "01234");
    expect(&site.range("bytes=6-8"), 206, "HIT", "bytes 6-8/9", "234");
    expect(&site.range("bytes=6-"), 206, "HIT", "bytes 6-8/9", "234");
    expect(&site.range("bytes=-1"), 206, "HIT", "bytes 8-8/9", "4");
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_is_missing_at_the_end_is_asked_for_and_a_whole_is_welcome() {
    let origin = Origin::start(|request, conn| match request.field("Range") {
        Some("bytes=-5") => {
            conn.send(
                "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=3600\r\n\
                 Content-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\n01234",
            );
        }
        _ => {
            conn.send(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 3\r\n\r\nnew",
            );
        }
    });
    let site = site(&origin);
    site.range("bytes=-5");
    expect(&site.get(), 200, "MISS", "", "new");
    was_asked(&origin, &[["bytes=-5", "", ""], ["bytes=5-", "", ""]]);
    expect(&site.get(), 200, "HIT", "", "new");
}

#[test]
fn a_part_that_breaks_off_is_seen_and_not_stored() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        conn.send(
            "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=10\r\nETag: \"a\"\r\n\
             Content-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\n012",
        );
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            conn.close();
        } else {
            conn.send("34");
        }
    });
    let site = site(&origin);
    let broken = site.range("bytes=0-4");
    assert!(!broken.complete && broken.status == 206);
    expect(&site.range("bytes=0-1"), 206, "MISS", "bytes 0-4/10", "01234");
    expect(&site.range("bytes=0-1"), 206, "HIT", "bytes 0-1/10", "01");
}

#[test]
fn variants_have_parts_of_their_own() {
    let origin = Origin::start(|request, conn| {
        let language = request.field("Accept-Language").unwrap_or("none").to_owned();
        conn.send(format!(
            "HTTP/1.1 206 P\r\nCache-Control: max-age=10\r\nETag: \"{language}\"\r\n\
             Vary: Accept-Language\r\nContent-Range: bytes 0-1/10\r\nContent-Length: 2\r\n\r\n{language}"
        ));
    });
    let site = site(&origin);
    let ask = |language| site.ask(&[("Range", "bytes=0-1"), ("Accept-Language", language)]);
    expect(&ask("de"), 206, "MISS", "bytes 0-1/10", "de");
    expect(&ask("en"), 206, "MISS", "bytes 0-1/10", "en");
    expect(&ask("de"), 206, "HIT", "bytes 0-1/10", "de");
    expect(&ask("en"), 206, "HIT", "bytes 0-1/10", "en");
}

#[test]
fn private_parts_are_not_shared() {
    for fields in ["Cache-Control: private, max-age=9\r\n", "Cache-Control: no-store\r\n"] {
        let (_, origin) = resource(Resource { fields, ..TAGGED });
        let site = site(&origin);
        expect(&site.range("bytes=0-4"), 206, "MISS", "bytes 0-4/10", "01234");
        expect(&site.range("bytes=0-4"), 206, "MISS", "bytes 0-4/10", "01234");
    }
    let (resource, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=0-4");
    // The same representation has become private: it is still sent, and no longer kept.
    resource.lock().unwrap().fields = "Cache-Control: private\r\n";
    expect(&site.range("bytes=3-6"), 206, "MISS", "bytes 3-6/10", "3456");
    expect(&site.range("bytes=0-1"), 206, "MISS", "bytes 0-1/10", "01");
    assert_eq!(asked(&origin)[2], ["bytes=0-1", "", ""]);
}

#[test]
fn unsafe_requests_and_clearing_take_parts_along() {
    let (_, origin) = resource(TAGGED);
    let site = site(&origin);
    site.range("bytes=0-4");
    expect(&site.range("bytes=0-4"), 206, "HIT", "bytes 0-4/10", "01234");
    let mut client = Client::connect(site.running.local_addr());
    assert_eq!(client.request("DELETE", "/", &[]).status, 200);
    expect(&site.range("bytes=0-4"), 206, "MISS", "bytes 0-4/10", "01234");
    assert_eq!(site.running.handle().clear().entries, 1);
    expect(&site.range("bytes=0-4"), 206, "MISS", "bytes 0-4/10", "01234");
}

#[test]
fn no_more_than_eight_parts_of_a_representation_are_kept() {
    for validators in [TAGGED.validators, ""] {
        let (_, origin) = resource(Resource { body: long_body(), validators, ..TAGGED });
        let site = site(&origin);
        for first in 0..12 {
            site.range(&format!("bytes={}-{}", first * 8, first * 8 + 1));
            site.clock.advance(Duration::from_millis(1));
        }
        assert_eq!(site.running.handle().clear().entries, 8);
    }
}

#[test]
fn a_flood_of_parts_takes_no_more_memory_than_a_few() {
    let (_, origin) = resource(Resource { body: "x".repeat(2_000).leak(), ..TAGGED });
    let site = site(&origin);
    let mut client = Client::connect(site.running.local_addr());
    let mut flooded = |firsts: std::ops::Range<usize>| {
        for first in firsts {
            let range = format!("bytes={}-{}", 1_000 + 2 * first, 1_001 + 2 * first);
            let part = client.request("GET", "/", &[("Range", &range)]);
            assert_eq!((part.status, part.text()), (206, "xx".to_owned()));
            site.clock.advance(Duration::from_millis(1));
        }
        site.running.handle().store_stats().memory_bytes
    };
    assert_eq!(flooded(0..20), flooded(20..400));
}

/// A hundred bytes of which no ten are the same.
fn long_body() -> &'static str {
    let numbers: Vec<_> = (0..50).map(|number| format!("{number:02}")).collect();
    Box::leak(numbers.concat().into_boxed_str())
}

/// Ranges that look like chance and are the same in every run.
fn some_range(step: &mut u64, length: u64) -> (String, Option<(usize, usize)>) {
    let mut next = |below: u64| {
        *step =
            step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*step >> 33) % below
    };
    let (first, more) = (next(length), next(40));
    let last = (first + more).min(length - 1);
    let all = |first: u64, last: u64| Some((first as usize, last as usize + 1));
    match next(8) {
        0 => (format!("bytes={first}-"), all(first, length - 1)),
        1 => (format!("bytes=-{}", more + 1), all(length - 1 - more.min(length - 1), length - 1)),
        2 => (String::new(), None),
        _ => (format!("bytes={first}-{}", first + more), all(first, last)),
    }
}

#[test]
fn whatever_is_asked_for_in_whatever_order_the_bytes_are_right() {
    for (seed, validators) in [(1, TAGGED.validators), (2, ""), (3, TAGGED.validators)] {
        let body = long_body();
        let (resource, origin) = resource(Resource { body, validators, ..TAGGED });
        let site = site(&origin);
        let mut step = seed;
        for number in 0..150 {
            let (range, bytes) = some_range(&mut step, body.len() as u64);
            let response = if range.is_empty() { site.get() } else { site.range(&range) };
            // A stale whole or a new one may be all there is to say.
            let expected = match (response.status, bytes) {
                (206, Some((first, end))) => &body[first..end],
                (status, _) => {
                    assert_eq!(status, 200, "{range}");
                    body
                }
            };
            assert_eq!(response.text(), expected, "{range} {:?}", response.field("Cache-Status"));
            if number % 10 == 9 {
                // So that parts and wholes come and go.
                if range.is_empty() || number % 50 == 49 {
                    site.running.handle().clear();
                }
                site.clock.advance(Duration::from_secs(4));
            }
        }
        assert_eq!(resource.lock().unwrap().body, body);
        assert!(origin.count() < 130, "{} of 150 reached the origin", origin.count());
    }
}

#[test]
fn a_fill_under_way_serves_ranges_that_it_reaches_soon() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let length = 4 << 20;
    let origin = Origin::start(move |request, conn| {
        if let Some(range) = request.field("Range") {
            let range = range.replace('=', " ");
            conn.send(format!(
                "HTTP/1.1 206 P\r\nContent-Range: {range}/{length}\r\nContent-Length: 2\r\n\r\nxy"
            ));
            return;
        }
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: {length}\r\n\r\n"
        ));
        conn.send(vec![b'a'; 1 << 20]);
        wait.lock().unwrap().recv().unwrap();
        conn.send(vec![b'b'; length - (1 << 20)]);
    });
    let site = site(&origin);
    let mut client = Client::connect(site.running.local_addr());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head_to("GET").unwrap();
    assert_eq!(head.status, 200);
    let range = |range: &str| {
        let mut client = Client::connect(site.running.local_addr());
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n"));
        client
    };
    assert_eq!(range("10-19").response().text(), "aaaaaaaaaa");
    assert_eq!(origin.count(), 1);
    // Too far behind what has arrived: the origin has it at once.
    assert_eq!(range("4194302-4194303").response().text(), "xy");
    assert_eq!(origin.count(), 2);
    // Soon enough: it waits.
    let mut near = range("1048574-1048577");
    let head = near.head_to("GET").unwrap();
    assert_eq!(head.field("Content-Range"), Some("bytes 1048574-1048577/4194304"));
    go.send(()).unwrap();
    let (mut head, mut body) = (head, Vec::new());
    near.body_into(&mut head, &mut |part| body.extend_from_slice(part)).unwrap();
    assert_eq!(body, b"aabb");
    assert_eq!(origin.count(), 2);
}

#[test]
fn one_part_that_many_want_in_different_words_is_stored_once() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |_, conn| {
        conn.send(
            "HTTP/1.1 206 P\r\nCache-Control: max-age=9\r\nContent-Range: bytes 5-8/9\r\n\
             Content-Length: 4\r\n\r\nab",
        );
        wait.lock().unwrap().recv().unwrap();
        conn.send("cd");
    });
    let site = site(&origin);
    let ask = |range: &str| {
        let mut client = Client::connect(site.running.local_addr());
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n"));
        let head = client.head_to("GET").unwrap();
        (client, head)
    };
    let both = [ask("5-8"), ask("-4")];
    go.send(()).unwrap();
    go.send(()).unwrap();
    let told = both.map(|(mut client, mut head)| {
        let mut body = Vec::new();
        client.body_into(&mut head, &mut |part| body.extend_from_slice(part)).unwrap();
        assert_eq!((head.status, body), (206, b"abcd".to_vec()));
        head.field("Cache-Status").unwrap().to_owned()
    });
    assert!(told[0].contains("stored"), "{told:?}");
    assert!(told[1].ends_with("detail=part-under-way"), "{told:?}");
    assert!(testkit::eventually(|| ask("5-8").1.field("X-Cache") == Some("HIT")));
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

#[test]
fn a_part_that_the_store_does_not_keep_is_not_said_to_be_stored() {
    let fields = format!("Cache-Control: max-age=10\r\nX-Large: {}\r\n", "x".repeat(8_000));
    let (_, origin) = resource(Resource { fields: fields.leak(), ..TAGGED });
    let site = with_small_memory(&origin);
    for range in ["bytes=0-4", "bytes=3-6"] {
        let answer = site.range(range);
        assert_eq!((answer.status, answer.field("X-Cache")), (206, Some("MISS")));
        let status = answer.field("Cache-Status").unwrap();
        assert!(!status.contains("stored") && status.ends_with("detail=no-room"), "{status}");
    }
    assert_eq!(origin.count(), 2);
}

/// Answers each range when it is told to go on: the head and two bytes, and when it is told again the
/// rest.
fn stepwise(fields: &'static str, steps: std::sync::mpsc::Receiver<()>) -> Origin {
    let (steps, count) = (Mutex::new(steps), AtomicUsize::new(0));
    Origin::start(move |request, conn| {
        if request.method == "POST" {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        let wait = || steps.lock().unwrap().recv().unwrap();
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let (first, last) =
            request.field("Range").unwrap().trim_start_matches("bytes=").split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        wait();
        conn.send(format!(
            "HTTP/1.1 206 Partial Content\r\n{fields}X-Number: {number}\r\n\
             Content-Range: bytes {first}-{last}/10\r\nContent-Length: {}\r\n\r\n{}",
            last + 1 - first,
            &DIGITS[first..first + 2]
        ));
        wait();
        conn.send(&DIGITS[first + 2..=last]);
    })
}

/// Sends requests for a range and waits until so many have reached the proxy.
fn send_all(site: &Site, range: &str, count: usize) -> Vec<Client> {
    let send = |_| {
        let mut client = Client::connect(site.running.local_addr());
        let host = site.running.local_addr();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nRange: bytes={range}\r\n\r\n"));
        client
    };
    (0..count).map(send).collect()
}

/// Waits for the proxy, which has one thread: who sent something before has been heard.
fn heard(site: &Site) {
    let mut client = Client::connect(site.running.local_addr());
    assert_eq!(client.request("OPTIONS", "/", &[("Max-Forwards", "0")]).status, 200);
}

const SHARED: &str = "ETag: \"a\"\r\nCache-Control: max-age=10\r\n";

#[test]
fn requests_for_one_missing_range_are_one_for_the_origin() {
    let (go, steps) = std::sync::mpsc::channel();
    let origin = stepwise(SHARED, steps);
    let site = site(&origin);
    (0..2).for_each(|_| go.send(()).unwrap());
    expect(&site.range("bytes=0-3"), 206, "MISS", "bytes 0-3/10", "0123");
    // Nobody has the head yet, some have it, and the last ones come when half of it is there.
    let mut waiting = send_all(&site, "2-8", 3);
    assert!(testkit::eventually(|| origin.count() == 2));
    heard(&site);
    go.send(()).unwrap();
    let heads: Vec<_> = waiting.iter_mut().map(|client| client.head_to("GET").unwrap()).collect();
    let mut late = send_all(&site, "2-8", 1);
    let late_head = late[0].head_to("GET").unwrap();
    go.send(()).unwrap();
    let mut told = Vec::new();
    for (client, mut head) in
        waiting.iter_mut().chain(&mut late).zip(heads.into_iter().chain([late_head]))
    {
        let mut body = Vec::new();
        client.body_into(&mut head, &mut |part| body.extend_from_slice(part)).unwrap();
        assert_eq!((head.status, &body[..]), (206, &b"2345678"[..]));
        assert_eq!(head.field("Content-Range"), Some("bytes 2-8/10"));
        let status = head.field("Cache-Status").unwrap();
        assert!(status.contains("fwd=partial") && status.contains("stored"), "{status}");
        told.push(status.contains("collapsed"));
    }
    assert_eq!(told.iter().filter(|collapsed| **collapsed).count(), 3, "{told:?}");
    assert_eq!(asked(&origin)[1..], [["bytes=4-8", "\"a\"", ""]]);
    expect(&site.range("bytes=2-8"), 206, "HIT", "bytes 2-8/10", "2345678");
}

#[test]
fn a_range_for_one_client_alone_is_not_shared() {
    let (go, steps) = std::sync::mpsc::channel();
    let origin = stepwise("Cache-Control: private\r\n", steps);
    let site = site(&origin);
    let mut waiting = send_all(&site, "2-8", 3);
    assert!(testkit::eventually(|| origin.count() == 1));
    heard(&site);
    (0..6).for_each(|_| go.send(()).unwrap());
    let mut numbers: Vec<_> = waiting
        .iter_mut()
        .map(|client| {
            let response = client.response();
            assert_eq!((response.status, response.text()), (206, "2345678".to_owned()));
            response.field("X-Number").unwrap().to_owned()
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["1", "2", "3"]);
}

#[test]
fn nobody_waits_for_a_range_from_before_an_invalidation() {
    let (go, steps) = std::sync::mpsc::channel();
    let origin = stepwise(SHARED, steps);
    let site = site(&origin);
    let mut early = send_all(&site, "2-8", 1);
    assert!(testkit::eventually(|| origin.count() == 1));
    let posted = Client::connect(site.running.local_addr()).request("POST", "/", &[]);
    assert_eq!(posted.status, 200);
    let mut late = send_all(&site, "2-8", 1);
    assert!(testkit::eventually(|| origin.count() == 3));
    (0..4).for_each(|_| go.send(()).unwrap());
    assert_eq!(early[0].response().text(), "2345678");
    let late = late[0].response();
    assert_eq!((late.field("X-Number"), late.text()), (Some("2"), "2345678".to_owned()));
}

#[test]
fn who_asks_for_another_variant_of_a_range_is_not_answered_with_this_one() {
    let (go, steps) = std::sync::mpsc::channel();
    let origin = stepwise("Cache-Control: max-age=10\r\nVary: X-V\r\n", steps);
    let site = site(&origin);
    let send = |variant: &str| {
        let mut client = Client::connect(site.running.local_addr());
        let head =
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-V: {variant}\r\nRange: bytes=2-8\r\n\r\n");
        client.send(head);
        client
    };
    let mut one = send("1");
    assert!(testkit::eventually(|| origin.count() == 1));
    let mut other = send("2");
    heard(&site);
    (0..4).for_each(|_| go.send(()).unwrap());
    assert_eq!(one.response().field("X-Number"), Some("1"));
    let other = other.response();
    assert_eq!(other.field("X-Number"), Some("2"));
    assert!(other.field("Cache-Status").unwrap().contains("collapsed=?0"));
}
