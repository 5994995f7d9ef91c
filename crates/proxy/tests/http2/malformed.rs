//! Requests that are none: each ends its own stream alone, and never reaches the origin.

mod cut;

use super::*;

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The stream is reset with `PROTOCOL_ERROR`.
    Reset,
    /// It is answered with an error of this status.
    Status(u16),
    /// It is served.
    Served,
    /// The connection is closed with this error.
    Closed(u32),
}

use Fate::{Closed, Reset, Served, Status};

type Field<'f> = (&'f [u8], &'f [u8]);

/// A GET whose pseudo-fields and fields are changed.
fn with(
    changes: &[(&'static str, Option<&'static str>)],
    more: &[(&'static str, &'static str)],
) -> Vec<u8> {
    let mut fields: Vec<(&str, &str)> = GET.to_vec();
    for (name, value) in changes {
        let at = fields.iter().position(|(known, _)| known == name);
        match (at, value) {
            (Some(at), Some(value)) => fields[at].1 = value,
            (Some(at), None) => drop(fields.remove(at)),
            (None, Some(value)) => fields.push((name, value)),
            (None, None) => {}
        }
    }
    fields.extend(more);
    testkit::frames::block(&fields)
}

fn more(name: &'static str, value: &'static str) -> Vec<u8> {
    with(&[], &[(name, value)])
}

fn raw(name: &[u8], value: &[u8]) -> Vec<u8> {
    let fields: Vec<Field<'_>> =
        GET.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).chain([(name, value)]).collect();
    testkit::frames::raw_block(&fields)
}

/// Each case with the section that decides it.
fn cases() -> Vec<(&'static str, Fate, Vec<u8>)> {
    let mut cases = pseudo_fields();
    cases.extend(fields());
    cases
}

fn pseudo_fields() -> Vec<(&'static str, Fate, Vec<u8>)> {
    let change = |name, value| with(&[(name, Some(value))], &[]);
    let without = |name| with(&[(name, None)], &[]);
    vec![
        ("RFC 9113 §8.3.1", Served, with(&[], &[])),
        ("RFC 9113 §8.3.1", Reset, without(":method")),
        ("RFC 9113 §8.3.1", Reset, without(":scheme")),
        ("RFC 9113 §8.3.1", Reset, without(":path")),
        ("RFC 9113 §8.3.1", Reset, without(":authority")),
        ("RFC 9113 §8.3.1", Served, with(&[(":authority", None)], &[("host", "a")])),
        ("RFC 9113 §8.3.1", Reset, change(":path", "")),
        ("RFC 9113 §8.3.1", Reset, change(":path", "a")),
        ("RFC 9113 §8.3.1", Reset, change(":path", "http://a/")),
        ("RFC 9113 §8.3.1", Reset, change(":path", "*")),
        ("RFC 9113 §8.3.1", Reset, change(":path", "/a b")),
        ("RFC 9113 §8.3.1", Reset, change(":path", "/a<b")),
        ("RFC 9113 §8.3.1", Reset, change(":path", "/a\\b")),
        ("RFC 9113 §8.3.1", Reset, change(":path", "/a\u{e4}")),
        ("RFC 9113 §8.3.1", Reset, change(":path", "?a")),
        ("RFC 9113 §8.3.1", Served, change(":path", "/?a=b|c")),
        ("RFC 9113 §8.3.1", Reset, change(":authority", "")),
        ("RFC 9113 §8.3.1", Reset, change(":authority", "user@a")),
        ("RFC 9113 §8.3.1", Reset, change(":authority", "user:pass@a")),
        ("RFC 9110 §4.2.1", Reset, change(":authority", ":80")),
        ("RFC 9110 §4.2.1", Reset, change(":authority", "a:b")),
        ("RFC 9110 §4.2.1", Reset, change(":authority", "a:65536")),
        ("RFC 9110 §4.2.1", Reset, change(":authority", "a/b")),
        ("RFC 9110 §4.2.1", Reset, change(":authority", "a b")),
        ("RFC 9110 §4.2.1", Served, change(":authority", "[::1]:80")),
        ("RFC 9110 §9.1", Served, change(":method", "PURR")),
        ("RFC 9110 §7.4", Status(421), change(":scheme", "https")),
        ("RFC 9110 §7.4", Status(421), change(":scheme", "ftp")),
        ("RFC 9113 §8.3", Reset, with(&[], &[(":method", "GET")])),
        ("RFC 9113 §8.3", Reset, with(&[], &[(":path", "/b")])),
        ("RFC 9113 §8.3", Reset, with(&[], &[(":authority", "b")])),
        ("RFC 9113 §8.3", Reset, with(&[(":path", None)], &[("a", "b"), (":path", "/")])),
        ("RFC 9113 §8.3", Reset, more(":status", "200")),
        ("RFC 8441 §4", Reset, more(":protocol", "websocket")),
        ("RFC 9113 §8.5", Reset, with(&[(":method", Some("CONNECT"))], &[])),
    ]
}

fn fields() -> Vec<(&'static str, Fate, Vec<u8>)> {
    vec![
        ("RFC 9113 §8.2.2", Reset, more("connection", "close")),
        ("RFC 9113 §8.2.2", Reset, more("keep-alive", "timeout=5")),
        ("RFC 9113 §8.2.2", Reset, more("proxy-connection", "close")),
        ("RFC 9113 §8.2.2", Reset, more("transfer-encoding", "chunked")),
        ("RFC 9113 §8.2.2", Reset, more("upgrade", "h2c")),
        ("RFC 9113 §8.2.2", Reset, more("te", "gzip")),
        ("RFC 9113 §8.2.2", Reset, more("te", "trailers, gzip")),
        ("RFC 9113 §8.2.2", Served, more("te", "trailers")),
        ("RFC 9113 §8.3.1", Reset, more("host", "other.example")),
        ("RFC 9113 §8.3.1", Served, more("host", "SITE.example:80")),
        ("RFC 9110 §7.2", Reset, with(&[], &[("host", "site.example"), ("host", "site.example")])),
        ("RFC 9113 §8.2.1", Reset, more("a", " b")),
        ("RFC 9113 §8.2.1", Reset, more("a", "b ")),
        ("RFC 9113 §8.2.1", Reset, more("a", "\tb")),
        ("RFC 9113 §8.2.1", Served, more("a", "b c")),
        ("RFC 9113 §8.2.1", Served, raw(b"a", b"\xe4")),
        ("RFC 9113 §8.1.1", Reset, with(&[], &[("content-length", "0"), ("content-length", "0")])),
        ("RFC 9113 §8.1.1", Reset, more("content-length", "1")),
        ("RFC 9113 §8.1.1", Reset, more("content-length", "+0")),
        ("RFC 9113 §8.1.1", Reset, more("content-length", "")),
        ("RFC 9113 §8.1.1", Reset, more("content-length", "0, 0")),
        ("RFC 9113 §8.1.1", Reset, more("content-length", "18446744073709551616")),
        ("RFC 9113 §8.1.1", Served, more("content-length", "0")),
        // What the codec cannot put into its types ends the connection: stricter than it must be.
        ("RFC 9110 §9.1", Closed(1), with(&[(":method", Some(""))], &[])),
        ("RFC 9110 §9.1", Closed(1), with(&[(":method", Some("G T"))], &[])),
        ("RFC 9113 §8.3", Closed(1), more(":unknown", "a")),
        ("RFC 9113 §8.2.1", Closed(1), more("Upper", "a")),
        ("RFC 9113 §8.2.1", Closed(1), more("sp ace", "a")),
        ("RFC 9113 §8.2.1", Closed(1), more("co:lon", "a")),
        ("RFC 9113 §8.2.1", Closed(1), raw(b"", b"a")),
        ("RFC 9113 §8.2.1", Closed(1), raw(b"\xe4", b"a")),
        ("RFC 9113 §8.2.1", Closed(1), raw(b"a", b"b\0")),
        ("RFC 9113 §8.2.1", Closed(1), raw(b"a", b"b\r\nc: d")),
        ("RFC 9113 §8.2.1", Closed(1), raw(b"a", b"b\nc: d")),
        ("RFC 9113 §8.2.1", Closed(1), raw(b"a", b"\x7f")),
    ]
}

/// What becomes of a request on a connection of its own.
fn fate(site: &Site, block: &[u8]) -> Fate {
    let mut frames = site.frames();
    let flags = flag::END_HEADERS | flag::END_STREAM;
    frames.send(&Frame::new(kind::HEADERS, flags, 1).with(block));
    let fate = told(&mut frames, 1);
    // Others do not notice.
    assert!(matches!(fate, Closed(_)) || frames.ping(), "the connection goes on");
    fate
}

/// What a client is told of a stream.
fn told(frames: &mut Frames, stream: u32) -> Fate {
    let about = |frame: &Frame| frame.stream == stream || frame.kind == kind::GOAWAY;
    let frame = frames.until(about).expect("an answer");
    match (frame.kind, &frame.payload[..]) {
        (kind::RST_STREAM, _) if frame.number_at(0) == 1 => Reset,
        (kind::HEADERS, [0x88, ..]) => Served,
        (kind::HEADERS, block) => Status(literal_status(block)),
        (kind::GOAWAY, _) => Closed(frame.number_at(4)),
        _ => panic!("{frame:?}"),
    }
}

/// A status that is not in the static table: a literal with the name of index 8, by Huffman's code,
/// whose digits have five bits (0 to 2) or six (3 to 9).
fn literal_status(block: &[u8]) -> u16 {
    assert!(matches!(block[0], 0x48 | 0x08) && block[1] & 0x80 != 0, "{block:?}");
    let mut bits = block[2..6].iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
    let mut status = 0;
    for _ in 0..3 {
        let (short, long) = (bits >> 27, bits >> 26);
        let (digit, length) = if short < 3 { (short, 5) } else { (long - 0x19 + 3, 6) };
        status = status * 10 + digit;
        bits <<= length;
    }
    u16::try_from(status).unwrap()
}

#[test]
fn malformed_requests_are_reset_and_never_forwarded() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n");
    });
    let site = Site::before(&origin);
    let mut served = 0;
    for (section, expected, block) in cases() {
        let got = fate(&site, &block);
        assert_eq!(got, expected, "{section}: {}", block.escape_ascii());
        served += usize::from(expected == Served);
        assert_eq!(origin.count(), served, "{section}: {}", block.escape_ascii());
    }
    assert!(cases().len() >= 60);
}

#[test]
fn trailers_without_an_end_are_malformed() {
    let origin = Origin::at_heads(|_, conn| {
        if conn.read_body().is_some() {
            conn.send(ok(""));
        }
    });
    let site = Site::before(&origin);
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    let mut frames = site.frames();
    frames.send(&Frame::headers(1, false, &post));
    frames.send(&Frame::headers(1, false, &[("a", "b")]));
    let reset = frames.next_of(kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number_at(0)), (1, 1));
}

#[test]
fn trailers_with_space_around_a_value_are_none() {
    let origin = Origin::at_heads(|_, conn| {
        if conn.read_body().is_some() {
            conn.send(ok(""));
        }
    });
    let site = Site::before(&origin);
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    let mut frames = site.frames();
    frames.send(&Frame::headers(1, false, &post));
    frames.send(&Frame::new(kind::DATA, 0, 1).with("x"));
    frames.send(&Frame::headers(1, true, &[("a", "b ")]));
    // A 400 in the static table of HPACK, or a reset.
    let about = |frame: &Frame| frame.stream == 1 && frame.kind != kind::WINDOW_UPDATE;
    let answer = frames.until(about).unwrap();
    assert!(answer.kind == kind::RST_STREAM || answer.payload[0] == 0x8c, "{answer:?}");
    assert!(origin.requests().iter().all(|request| request.trailers.is_empty()));
}

#[test]
fn what_is_malformed_has_its_reason_in_the_log() {
    let origin = Origin::answering(ok(""));
    let site = Site::before(&origin);
    assert_eq!(fate(&site, &with(&[(":path", Some("/a\\b"))], &[])), Reset);
    assert_eq!(fate(&site, &more("a", " b")), Reset);
    assert_eq!(fate(&site, &with(&[(":scheme", Some("https"))], &[])), Status(421));
    assert_eq!(
        site.served(),
        ["400 http2-path cut", "400 http2-whitespace cut", "421 misdirected"]
    );
    assert_eq!(site.running.handle().counts().refused, 3);
}

#[test]
fn crumbs_of_a_cookie_are_one_again() {
    let origin = Origin::answering(ok(""));
    let site = Site::before(&origin);
    let crumbs =
        with(&[], &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3"), ("cookie", "d=4")]);
    assert_eq!(fate(&site, &crumbs), Served);
    assert_eq!(origin.requests()[0].all("Cookie"), ["a=1; b=2; c=3; d=4"]);
}

#[test]
fn too_many_fields_or_too_much_of_one_is_a_431() {
    let origin = Origin::answering(ok(""));
    let site = Site::before(&origin);
    let large = vec![b'x'; (16 << 10) - 1];
    let numbered: Vec<String> = (0..130).map(|number| format!("x{number}")).collect();
    let many = |names: usize, crumbs: usize| {
        let names = numbered.iter().take(names).map(|name| (name.as_bytes(), &b"v"[..]));
        let crumbs = std::iter::repeat_n((&b"cookie"[..], &b"a=b"[..]), crumbs);
        let get = GET.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        testkit::frames::raw_block(&get.chain(names).chain(crumbs).collect::<Vec<_>>())
    };
    let head = |length: usize| with_path(length);
    for (block, expected) in [
        (many(128, 256), Served),
        (many(129, 0), Status(431)),
        (many(0, 257), Status(431)),
        (raw(b"x", &large[1..]), Served),
        (raw(b"xx", &large), Status(431)),
        (head(8 << 10), Served),
        (head((8 << 10) + 1), Status(414)),
    ] {
        // Larger than a frame may be.
        let got = if block.len() > 16 << 10 { in_two(&site, &block) } else { fate(&site, &block) };
        assert_eq!(got, expected, "{}", block.len());
    }
}

fn with_path(length: usize) -> Vec<u8> {
    let path = format!("/{}", "a".repeat(length - 1));
    let mut fields = GET;
    fields[3].1 = &path;
    testkit::frames::block(&fields)
}

/// [`fate`] of a block in two frames.
fn in_two(site: &Site, block: &[u8]) -> Fate {
    let mut frames = site.frames();
    let (first, second) = block.split_at(1000);
    frames.send(&Frame::new(kind::HEADERS, flag::END_STREAM, 1).with(first));
    frames.send(&Frame::new(kind::CONTINUATION, flag::END_HEADERS, 1).with(second));
    match frames.until(|frame| frame.stream == 1).unwrap() {
        Frame { kind: kind::HEADERS, payload, .. } if payload[0] == 0x88 => Served,
        Frame { kind: kind::HEADERS, payload, .. } => Status(literal_status(&payload)),
        frame => panic!("{frame:?}"),
    }
}
