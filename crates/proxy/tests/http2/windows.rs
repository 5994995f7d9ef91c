//! How much content may be on its way to origins that take none of it.

use super::*;

/// What a stream may send before it is taken.
const STREAM: u32 = 64 << 10;
/// RFC 9113 §6.9.2: the window of a new connection. One byte more is not worth a frame.
const FIRST: u32 = 65_535;

/// An origin that reads nothing of what it is sent.
fn deaf() -> Origin {
    Origin::at_heads(|_, conn| conn.pause(testkit::PATIENCE))
}

/// Begins an upload that goes on.
fn upload(frames: &mut Frames, stream: u32) {
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    frames.send(&Frame::headers(stream, false, &post));
}

/// By how much the window of the connection was widened.
fn widened(frames: &mut Frames) -> u32 {
    let mut by = 0;
    // What is told of what came before the first is told before the second is answered.
    for text in [b"1st ping", b"2nd ping"] {
        frames.send(&Frame::new(kind::PING, 0, 0).with(*text));
        let answer = |frame: &Frame| {
            if frame.kind == kind::WINDOW_UPDATE && frame.stream == 0 {
                by += frame.number_at(0);
            }
            frame.kind == kind::PING && frame.payload == text
        };
        frames.until(answer).expect("an answer");
    }
    by
}

#[test]
fn uploads_at_once_widen_a_connection_as_long_as_there_is_room_for_all() {
    let origin = deaf();
    let site = Site::with(&origin, |limits| limits.http2.common_window = 3 * STREAM as usize);
    let mut one = site.frames();
    let mut window = FIRST;
    for (stream, most) in [(1, FIRST), (3, 2 * STREAM), (5, 4 * STREAM), (7, 4 * STREAM)] {
        upload(&mut one, stream);
        window += widened(&mut one);
        assert_eq!(window, most, "{stream}");
    }
    // The others have what each has in any case.
    let mut other = site.frames();
    for stream in [1, 3] {
        upload(&mut other, stream);
        assert_eq!(widened(&mut other), 0, "{stream}");
    }
    drop(one);
    let mut stream = 5;
    let is_wider = || {
        upload(&mut other, stream);
        stream += 2;
        widened(&mut other) > 0
    };
    assert!(testkit::eventually(is_wider));
}

#[test]
fn a_connection_is_never_wider_than_its_limit() {
    let origin = deaf();
    let site = Site::with(&origin, |limits| limits.http2.connection_window = 2 * STREAM);
    let mut frames = site.frames();
    let mut window = FIRST;
    for (stream, most) in [(1, FIRST), (3, 2 * STREAM), (5, 2 * STREAM), (7, 2 * STREAM)] {
        upload(&mut frames, stream);
        window += widened(&mut frames);
        assert_eq!(window, most, "{stream}");
    }
}
