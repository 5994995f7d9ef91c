//! Which parts are stored, and what they answer.

use super::*;

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
