//! Parts and the whole: what is missing is asked for, and in the end all is there.

use super::*;

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
