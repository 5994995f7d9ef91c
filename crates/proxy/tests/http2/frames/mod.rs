//! Frames that are wrong, or look so: each with the section that says what becomes of it.

mod states;
mod types;

use super::*;

/// RFC 9113 §7.
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

const PUSH_PROMISE: u8 = 5;
const UNKNOWN: u8 = 0xbe;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
/// RFC 9113 §6.9.1: the largest window.
const MOST: u32 = (1 << 31) - 1;
/// A target whose answer never comes.
const NEVER: &str = "/never";

/// What has been before, on stream 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Idle,
    /// A request whose content may follow.
    Open,
    /// A whole request without an answer.
    HalfClosed,
    /// One that the client took back.
    Reset,
    /// One that was answered.
    Closed,
}

use Before::{Closed, HalfClosed, Idle, Open, Reset};

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The connection is closed with this error.
    Connection(u32),
    /// The stream is reset with this error.
    Stream(u32),
    /// Nothing: the connection goes on.
    Nothing,
}

use Fate::{Connection, Nothing, Stream};

/// The section, what was before, what is sent, and what may come of it.
struct Case(&'static str, Before, Vec<Frame>, &'static [Fate]);

/// RFC 9113 §5.4.1: whoever finds a stream error may treat it as one of the connection.
const STREAM_PROTOCOL: &[Fate] = &[Stream(PROTOCOL), Connection(PROTOCOL)];
const STREAM_FLOW: &[Fate] = &[Stream(FLOW_CONTROL), Connection(FLOW_CONTROL)];
const STREAM_SIZE: &[Fate] = &[Stream(FRAME_SIZE), Connection(FRAME_SIZE)];
/// The last is what the codec says of streams that it still knows.
const CLOSED: &[Fate] = &[Stream(STREAM_CLOSED), Connection(STREAM_CLOSED), Connection(PROTOCOL)];

fn frame(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(kind, flags, stream).with(payload)
}

fn get(stream: u32) -> Frame {
    Frame::headers(stream, true, &GET)
}

fn setting(number: u16, value: u32) -> Frame {
    let payload = [&number.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, payload)
}

fn window(stream: u32, by: u32) -> Frame {
    frame(kind::WINDOW_UPDATE, 0, stream, by.to_be_bytes())
}

/// A whole head with this at the end of its block.
fn block(end: &[u8]) -> Frame {
    let payload = [&testkit::frames::block(&GET)[..], end].concat();
    frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, payload)
}

/// A head whose block goes on.
fn begun(stream: u32) -> Frame {
    let block = testkit::frames::block(&GET);
    frame(kind::HEADERS, flag::END_STREAM, stream, &block[..20])
}

fn continued(flags: u8, stream: u32) -> Frame {
    frame(kind::CONTINUATION, flags, stream, &testkit::frames::block(&GET)[20..])
}

/// RFC 7541: header blocks.
fn blocks() -> Vec<Case> {
    // The codec has one code for all that is wrong with a block.
    let bad: &[Fate] = &[Connection(COMPRESSION), Connection(PROTOCOL)];
    vec![
        Case(
            "RFC 7541 §2.3.3 index beyond the tables",
            Idle,
            vec![block(&[0xff, 0x80, 0x01])],
            bad,
        ),
        Case(
            "RFC 7541 §2.3.3 name beyond the tables",
            Idle,
            vec![block(&[0x7f, 0xff, 0x01, 1, b'a'])],
            bad,
        ),
        Case("RFC 7541 §6.1 index 0", Idle, vec![block(&[0x80])], bad),
        Case("RFC 7541 §4.2 size at the end", Idle, vec![block(&[0x20])], bad),
        Case(
            "RFC 7541 §6.3 size beyond the limit",
            Idle,
            vec![frame(
                kind::HEADERS,
                flag::END_HEADERS | flag::END_STREAM,
                1,
                [&[0x3f, 0xe2, 0x1f], &testkit::frames::block(&GET)[..]].concat(),
            )],
            bad,
        ),
        Case(
            "RFC 7541 §6.3 size at the limit",
            Idle,
            vec![frame(
                kind::HEADERS,
                flag::END_HEADERS | flag::END_STREAM,
                1,
                [&[0x3f, 0xe1, 0x1f], &testkit::frames::block(&GET)[..]].concat(),
            )],
            &[Nothing],
        ),
        Case(
            "RFC 7541 §5.1 a number without an end",
            Idle,
            vec![block(&[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])],
            bad,
        ),
        Case("RFC 7541 §5.2 a text without an end", Idle, vec![block(&[0x00, 0x05, b'a'])], bad),
        Case(
            "RFC 7541 §5.2 EOS",
            Idle,
            vec![block(&[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, b'a'])],
            bad,
        ),
        Case(
            "RFC 7541 §5.2 padding of zeros",
            Idle,
            vec![block(&[0x00, 0x81, 0x18, 0x01, b'a'])],
            bad,
        ),
        Case(
            "RFC 7541 §5.2 padding of a byte",
            Idle,
            vec![block(&[0x00, 0x82, 0x1f, 0xff, 0x01, b'a'])],
            bad,
        ),
    ]
}

/// A connection to which that has happened.
fn after(site: &Site, before: Before) -> Frames {
    let mut frames = site.frames();
    let never = [GET[0], GET[1], GET[2], (":path", NEVER)];
    let post = [&[(":method", "POST")], &never[1..]].concat();
    match before {
        Idle => {}
        Open => {
            frames.send(&Frame::headers(1, false, &post));
        }
        HalfClosed => {
            frames.send(&Frame::headers(1, true, &never));
        }
        Reset => {
            frames.send(&Frame::headers(1, false, &post));
            frames.send(&frame(kind::RST_STREAM, 0, 1, [0, 0, 0, 8]));
        }
        Closed => {
            frames.send(&get(1));
            let end = |frame: &Frame| frame.stream == 1 && frame.flags & flag::END_STREAM != 0;
            assert!(frames.until(end).is_some());
        }
    }
    assert!(frames.ping(), "{before:?}");
    frames
}

fn fate(frames: &mut Frames, sent: &[Frame]) -> Fate {
    for frame in sent {
        frames.send(frame);
    }
    // A reset that was caused before the first answer is there before the second.
    for text in [b"1st ping", b"2nd ping"] {
        frames.send(&frame(kind::PING, 0, 0, *text));
        loop {
            let Some(frame) = frames.frame() else { panic!("closed without a word: {sent:?}") };
            match frame.kind {
                kind::GOAWAY => return Connection(frame.number_at(4)),
                kind::RST_STREAM => return Stream(frame.number_at(0)),
                kind::PING if frame.payload == text => break,
                _ => {}
            }
        }
    }
    Nothing
}

#[test]
fn what_is_wrong_ends_the_stream_or_the_connection_as_the_standard_has_it() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::at_heads(move |request, conn| {
        if request.target == NEVER {
            let _ = wait.lock().unwrap().recv();
            conn.close();
        } else {
            conn.send(ok("x"));
        }
    });
    let site = Site::before(&origin);
    let cases = [
        states::format(),
        states::streams(),
        types::about_streams(),
        types::about_connections(),
        blocks(),
    ];
    let mut wrong = Vec::new();
    for Case(section, before, sent, expected) in cases.iter().flatten() {
        let mut frames = after(&site, *before);
        let got = fate(&mut frames, sent);
        if !expected.contains(&got) {
            wrong.push(format!("{section} ({before:?}): {got:?}, not {expected:?}"));
        }
        if got == Nothing {
            frames.send(&get(99));
            let answer = frames.until(|frame| frame.stream == 99 && frame.kind == kind::HEADERS);
            assert_eq!(answer.map(|frame| frame.payload[0]), Some(0x88), "{section}");
        }
    }
    drop(go);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_block_is_left_out_of_the_table() {
    let origin = Origin::start(|request, conn| {
        conn.send(ok(&request.target));
    });
    let site = Site::before(&origin);
    let block = |path: &[u8]| [&b"\x82\x86\x01\x0csite.example"[..], path].concat();
    let ends = flag::END_HEADERS | flag::END_STREAM;
    for (flags, padding) in [(PRIORITY, &b""[..]), (PRIORITY | PADDED, b"\x00")] {
        let mut frames = site.frames();
        frames.send(&frame(kind::HEADERS, ends, 1, block(b"\x44\x02/a")));
        assert_eq!(frames.next_of(kind::DATA).unwrap().payload, b"/a");
        // The codec does not look at the block of a head that depends on itself...
        let own = [padding, &[0, 0, 0, 3, 1], &block(b"\x44\x02/b")].concat();
        frames.send(&frame(kind::HEADERS, ends | flags, 3, own));
        // ...and would take this for another request for `/a`.
        frames.send(&frame(kind::HEADERS, ends, 5, block(b"\xbe")));
        //= https://www.rfc-editor.org/rfc/rfc9113#section-4.3
        //= type=test
        //# A receiver MUST terminate the connection with a connection error (Section 5.4.1) of type
        //# COMPRESSION_ERROR if it does not decompress a field block.
        let about = |frame: &Frame| matches!(frame.kind, kind::HEADERS | kind::GOAWAY);
        let end = frames.until(about).unwrap();
        assert_eq!(end.kind, kind::GOAWAY, "{end:?}");
        assert_eq!(end.number_at(4), COMPRESSION);
    }
}

#[test]
fn settings_and_pings_are_confirmed() {
    let origin = Origin::answering(ok("x"));
    let site = Site::before(&origin);
    let mut frames = site.frames();
    //= https://www.rfc-editor.org/rfc/rfc9113#section-6.5.3
    //= type=test
    //# Once all values have been processed, the recipient MUST immediately emit a SETTINGS frame with
    //# the ACK flag set.
    let confirmed = |frame: &Frame| frame.kind == kind::SETTINGS && frame.flags == flag::ACK;
    assert_eq!(frames.until(confirmed).unwrap().payload, b"");
    frames.send(&setting(4, 1000));
    assert!(frames.until(confirmed).is_some());
    frames.send(&frame(kind::PING, 0, 0, *b"tell me."));
    let pong = frames.next_of(kind::PING).unwrap();
    //= https://www.rfc-editor.org/rfc/rfc9113#section-6.7
    //= type=test
    //# Receivers of a PING frame that does not include an ACK flag MUST send a PING frame with the ACK
    //# flag set in response, with an identical frame payload.
    assert_eq!((pong.flags, &pong.payload[..]), (flag::ACK, &b"tell me."[..]));
}

#[test]
fn a_preface_that_is_wrong_in_the_end_is_none() {
    //= https://www.rfc-editor.org/rfc/rfc9113#section-3.4
    //= type=test
    //# Clients and servers MUST treat an invalid connection preface as a connection error
    //# (Section 5.4.1) of type PROTOCOL_ERROR. A GOAWAY frame (Section 6.8) MAY be omitted in this case,
    //# since an invalid preface indicates that the peer is not using HTTP/2.
    let origin = Origin::answering(ok("x"));
    let site = Site::before(&origin);
    let mut preface = testkit::frames::PREFACE.to_vec();
    preface[20] = b'X';
    let mut frames = Frames::silent(site.address());
    frames.write(&preface);
    frames.send(&Frame::new(kind::SETTINGS, 0, 0));
    frames.send(&get(1));
    // Whatever is said, it is not the answer to a request.
    while let Some(frame) = frames.frame() {
        assert_ne!(frame.kind, kind::HEADERS, "{frame:?}");
    }
    assert_eq!(origin.count(), 0);
}
