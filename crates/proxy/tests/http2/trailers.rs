//! Pseudo-fields in the trailers of requests, which the codec drops without a word.

use std::sync::mpsc::{Receiver, channel};

use testkit::PATIENCE;

use super::*;

const PADDED: u8 = 8;
/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;

/// The block of a POST that adds three fields to the table: the newest is `a: b`, then comes `:path`.
const HEAD: &[u8] = b"\x83\x86\x41\x0csite.example\x44\x04/dyn\x40\x01a\x01b";

/// Trailers behind [`HEAD`] that have a pseudo-field, in every form that a field may have.
const MALFORMED: [(&str, &[u8]); 10] = [
    ("RFC 7541 §6.1 by the static table", b"\x84"),
    ("RFC 7541 §6.1 by the dynamic table", b"\xbf"),
    ("RFC 7541 §6.2.1 named by the static table", b"\x44\x01/"),
    ("RFC 7541 §6.2.2 named by the static table", b"\x04\x01/"),
    ("RFC 7541 §6.2.2 named by the dynamic table", b"\x0f\x30\x01/"),
    ("RFC 7541 §6.2.2 a text", b"\x00\x05:path\x01/"),
    ("RFC 7541 §6.2.3 a coded text", b"\x10\x84\xb9\x58\xd3\x3f\x81\x63"),
    ("RFC 9113 §8.3 of a response", b"\x88"),
    ("RFC 9113 §8.3 in front of others", b"\x84\xbe\x00\x01c\x01d"),
    // This one the codec finds.
    ("RFC 9113 §8.3 behind others", b"\xbe\x84"),
];

/// A block, and the trailers that it is.
type Sound = (&'static [u8], &'static [(&'static str, &'static str)]);

/// The same without one.
const SOUND: [Sound; 5] = [
    (b"", &[]),
    (b"\xbe", &[("a", "b")]),
    (b"\x00\x01c\x05:path", &[("c", ":path")]),
    (b"\x40\x01c\x84\xb9\x58\xd3\x3f", &[("c", ":path")]),
    (b"\x3f\x11\x7e\x01c\xbe", &[("a", "c"), ("a", "c")]),
];

/// In one frame, in one with padding, and in as many as may be.
fn cuts(block: &[u8]) -> Vec<Vec<Frame>> {
    let ends = flag::END_HEADERS | flag::END_STREAM;
    let padded = [&[4], block, &[0x84; 4]].concat();
    let size = block.len().div_ceil(5).max(1);
    let mut pieces: Vec<_> =
        block.chunks(size).map(|piece| Frame::new(kind::CONTINUATION, 0, 1).with(piece)).collect();
    pieces.insert(0, Frame::new(kind::HEADERS, flag::END_STREAM, 1));
    pieces.last_mut().unwrap().flags |= flag::END_HEADERS;
    vec![
        vec![Frame::new(kind::HEADERS, ends, 1).with(block)],
        vec![Frame::new(kind::HEADERS, ends | PADDED, 1).with(padded)],
        pieces,
    ]
}

/// An origin that says when a byte of content has come, and then whether nothing comes any more: not
/// even an end of the content.
fn origin(early: &'static str) -> (Origin, Receiver<bool>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let origin = Origin::at_heads(move |_, conn| {
        assert_eq!(conn.bytes(6).unwrap(), b"1\r\nx\r\n");
        conn.send(early);
        tell.lock().unwrap().send(true).unwrap();
        let is_cut = conn.peer_closes_within(PATIENCE);
        tell.lock().unwrap().send(is_cut).unwrap();
        conn.close();
    });
    (origin, told)
}

/// Begins a request whose content is on its way to the origin.
fn begin(frames: &mut Frames, told: &Receiver<bool>) {
    frames.send(&Frame::new(kind::HEADERS, flag::END_HEADERS, 1).with(HEAD));
    frames.send(&Frame::new(kind::DATA, 0, 1).with("x"));
    assert!(told.recv_timeout(PATIENCE).unwrap());
}

#[test]
fn a_pseudo_field_in_trailers_makes_the_request_malformed() {
    let (origin, told) = origin("");
    let site = Site::before(&origin);
    let mut expected = Vec::new();
    for (section, block) in MALFORMED {
        for trailers in cuts(block) {
            let mut frames = site.frames();
            begin(&mut frames, &told);
            for frame in &trailers {
                frames.send(frame);
            }
            //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1
            //= type=test
            //# Trailers MUST NOT include pseudo-header fields (Section 8.3). An endpoint that receives
            //# pseudo-header fields in trailers MUST treat the request or response as malformed
            //# (Section 8.1.1).
            let about = |frame: &Frame| matches!(frame.kind, kind::RST_STREAM | kind::HEADERS);
            let reset = frames.until(about).unwrap();
            assert_eq!((reset.kind, reset.stream), (kind::RST_STREAM, 1), "{section}");
            assert_eq!(reset.number_at(0), PROTOCOL_ERROR, "{section}");
            assert!(told.recv_timeout(PATIENCE).unwrap(), "{section}: the origin has all of it");
            // Others do not notice.
            frames.send(&Frame::headers(3, true, &[&GET[..3], &[(":path", "*")]].concat()));
            let next = frames.until(|frame| frame.stream == 3).unwrap();
            assert_eq!(next.kind, kind::RST_STREAM, "{section}");
            expected.extend(["400 http2-pseudo-trailer cut", "400 http2-path cut"]);
        }
    }
    assert_eq!(site.served(), expected);
    assert_eq!(site.running.handle().counts().refused, expected.len() as u64);
}

/// The end of content whose length is known is its last byte.
#[test]
fn an_origin_has_never_all_of_a_request_that_is_none() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let origin = Origin::at_heads(move |_, conn| {
        tell.lock().unwrap().send(vec![]).unwrap();
        tell.lock().unwrap().send(conn.rest().unwrap_or_default()).unwrap();
        conn.close();
    });
    let site = Site::before(&origin);
    let ends = flag::END_HEADERS | flag::END_STREAM;
    let block = [HEAD, b"\x0f\x0d\x012"].concat();
    let data = |content: &str| Frame::new(kind::DATA, 0, 1).with(content);
    for last in [
        Frame::new(kind::HEADERS, ends, 1).with(b"\x84"),
        // The codec finds that this is more than was announced.
        data("z"),
    ] {
        let mut frames = site.frames();
        frames.send(&Frame::new(kind::HEADERS, flag::END_HEADERS, 1).with(&block[..]));
        frames.send(&data("x"));
        frames.send(&data("y"));
        told.recv_timeout(PATIENCE).unwrap();
        assert!(frames.ping());
        frames.send(&last);
        //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1
        //= type=test
        //# Intermediaries that process HTTP requests or responses (i.e., any intermediary not acting as
        //# a tunnel) MUST NOT forward a malformed request or response.
        let reset = frames.next_of(kind::RST_STREAM).unwrap();
        assert_eq!((reset.stream, reset.number_at(0)), (1, PROTOCOL_ERROR), "{last:?}");
        let content = told.recv_timeout(PATIENCE).unwrap();
        assert!(b"x".starts_with(&content[..]), "{last:?}: {}", content.escape_ascii());
    }
}

#[test]
fn a_request_that_ends_behind_its_content_is_whole() {
    let origin = Origin::answering(ok(""));
    let site = Site::before(&origin);
    let ends = flag::END_HEADERS | flag::END_STREAM;
    let block = [HEAD, b"\x0f\x0d\x012"].concat();
    for last in [
        Frame::new(kind::DATA, flag::END_STREAM, 1),
        Frame::new(kind::HEADERS, ends, 1).with(b"\xbe"),
    ] {
        let mut frames = site.frames();
        frames.send(&Frame::new(kind::HEADERS, flag::END_HEADERS, 1).with(&block[..]));
        frames.send(&Frame::new(kind::DATA, 0, 1).with("x"));
        frames.send(&Frame::new(kind::DATA, 0, 1).with("y"));
        assert!(frames.ping());
        frames.send(&last);
        assert_eq!(frames.next_of(kind::HEADERS).unwrap().payload[0], 0x88);
    }
    assert!(origin.requests().iter().all(|request| request.body == b"xy"));
}

#[test]
fn a_response_that_is_on_its_way_to_what_was_none_is_cut() {
    let (origin, told) = origin(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nearly\r\n",
    );
    let site = Site::before(&origin);
    let mut frames = site.frames();
    begin(&mut frames, &told);
    let early = frames.next_of(kind::DATA).unwrap();
    assert_eq!(early.payload, b"early");
    frames.send(&Frame::headers(1, true, &[(":path", "/")]));
    let reset = frames.next_of(kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number_at(0)), (1, PROTOCOL_ERROR));
    assert!(told.recv_timeout(PATIENCE).unwrap());
    assert!(frames.ping());
    assert_eq!(site.served(), ["400 http2-pseudo-trailer cut"]);
}

#[test]
fn trailers_without_one_pass_whatever_they_look_like() {
    let origin = Origin::answering(ok(""));
    let site = Site::before(&origin);
    for (block, expected) in SOUND {
        for trailers in cuts(block) {
            let mut frames = site.frames();
            frames.send(&Frame::new(kind::HEADERS, flag::END_HEADERS, 1).with(HEAD));
            frames.send(&Frame::new(kind::DATA, 0, 1).with("x"));
            for frame in &trailers {
                frames.send(frame);
            }
            let answer = frames.next_of(kind::HEADERS).unwrap();
            assert_eq!(answer.payload[0], 0x88, "{}", block.escape_ascii());
            let requests = origin.requests();
            let got = requests[requests.len() - 1].trailers.iter();
            let got: Vec<_> = got.map(|(name, value)| (&name[..], &value[..])).collect();
            assert_eq!(got, expected, "{}", block.escape_ascii());
        }
    }
}

/// What is known of the fields in the table is right for a table of the size that every client may take
/// for granted.
#[test]
fn no_other_size_of_the_table_is_told() {
    let origin = Origin::answering(ok(""));
    let site = Site::before(&origin);
    let settings = site.frames().next_of(kind::SETTINGS).unwrap();
    let mut numbers = settings.payload.chunks_exact(6).map(|setting| setting[1]);
    assert!(numbers.len() > 0 && numbers.all(|number| number != 1), "{settings:?}");
}

/// The table is full soon: each request pushes others out of it.
#[test]
fn a_table_that_turns_over_is_followed() {
    let origin = Origin::answering(ok(""));
    let site = Site::before(&origin);
    let mut frames = site.frames();
    let request = |frames: &mut Frames, number: u32, trailers: &[u8]| {
        let value = "v".repeat(number as usize % 100);
        let added = format!("/{number}");
        let block = [
            &b"\x83\x86\x01\x0csite.example\x44"[..],
            &[added.len() as u8],
            added.as_bytes(),
            b"\x40\x05x-sum",
            &[value.len() as u8],
            value.as_bytes(),
        ]
        .concat();
        let stream = 2 * number + 1;
        frames.send(&Frame::new(kind::HEADERS, flag::END_HEADERS, stream).with(block));
        frames.send(&Frame::new(kind::DATA, 0, stream).with("x"));
        let flags = flag::END_HEADERS | flag::END_STREAM;
        frames.send(&Frame::new(kind::HEADERS, flags, stream).with(trailers));
        frames.until(|frame| matches!(frame.kind, kind::HEADERS | kind::RST_STREAM)).unwrap().kind
    };
    for number in 0..300 {
        // The newest is no pseudo-field, the one before it is.
        assert_eq!(request(&mut frames, number, b"\xbe"), kind::HEADERS, "{number}");
    }
    for number in 300..320 {
        assert_eq!(request(&mut frames, number, b"\xbf"), kind::RST_STREAM, "{number}");
    }
    let requests = origin.requests();
    let whole = requests.iter().filter(|request| !request.trailers.is_empty());
    assert_eq!(whole.count(), 300);
    for (number, request) in requests.iter().enumerate().take(300) {
        let sum = ("x-sum".to_owned(), "v".repeat(number % 100));
        assert_eq!(request.trailers, [sum]);
    }
}
