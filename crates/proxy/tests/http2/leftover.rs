//! What still comes of a request that has been answered.

use std::time::Instant;

use super::*;

/// How long the proxy takes what still comes. On a machine that is busy with other things it may be over
/// before anything else is.
const PATIENCE: Duration = Duration::from_secs(2);

/// RFC 9113 §6.9.2: what may be sent before anything was said of it.
const WINDOW: usize = 65_535;

/// What became of an upload.
#[derive(Debug)]
struct Uploaded {
    /// Bytes that were sent before the client was told to stop.
    sent: usize,
    /// What it was told, if it was.
    reset: Option<u32>,
    /// The response was whole by then.
    answered: bool,
    began: Instant,
}

impl Uploaded {
    /// The proxy may have lost its patience by now.
    fn is_late(&self) -> bool {
        self.began.elapsed() >= PATIENCE
    }
}

/// Sends so much content as the windows of its stream and of the connection allow, and its end.
fn upload(frames: &mut Frames, announced: bool, total: usize) -> Uploaded {
    let length = total.to_string();
    let mut fields = [&[(":method", "POST")], &GET[1..]].concat();
    fields.extend(announced.then_some(("content-length", &*length)));
    frames.send(&Frame::headers(1, false, &fields));
    let (mut window, mut common) = (WINDOW, WINDOW);
    #[expect(clippy::disallowed_methods, reason = "patience is real time")]
    let began = Instant::now();
    let mut done = Uploaded { sent: 0, reset: None, answered: false, began };
    while done.sent < total && done.reset.is_none() {
        let piece = window.min(common).min(16 << 10).min(total - done.sent);
        if piece > 0 {
            frames.send(&Frame::new(kind::DATA, 0, 1).with(vec![b'x'; piece]));
            done.sent += piece;
            window -= piece;
            common -= piece;
            continue;
        }
        let frame = frames.frame().unwrap();
        match frame.kind {
            kind::WINDOW_UPDATE if frame.stream == 0 => common += frame.number_at(0) as usize,
            kind::WINDOW_UPDATE => window += frame.number_at(0) as usize,
            kind::RST_STREAM => done.reset = Some(frame.number_at(0)),
            kind::DATA => done.answered |= frame.flags & flag::END_STREAM != 0,
            _ => {}
        }
    }
    if done.reset.is_none() {
        frames.send(&Frame::new(kind::DATA, flag::END_STREAM, 1));
    }
    done
}

/// A proxy that takes little content.
fn narrow() -> (Origin, Site) {
    let origin = Origin::at_heads(|_, conn| {
        if conn.read_body().is_some() {
            conn.send(ok("x"));
        }
    });
    let site = Site::with(&origin, |limits| limits.request_content = Some(100));
    (origin, site)
}

#[test]
fn a_client_that_sends_on_for_a_while_is_not_told_to_stop() {
    let (_origin, site) = narrow();
    for announced in [true, false] {
        let mut frames = site.frames();
        // More than the windows take by themselves.
        let done = upload(&mut frames, announced, 900_000);
        let is_whole = done.sent == 900_000 && done.reset.is_none();
        assert!(done.answered && (is_whole || done.is_late()), "{done:?}");
        assert!(done.sent > WINDOW, "{done:?}");
        assert!(frames.send(&Frame::new(kind::PING, 0, 0).with(*b"testping")));
        let first = frames.until(|frame| matches!(frame.kind, kind::PING | kind::RST_STREAM));
        assert!(first.unwrap().kind == kind::PING || done.is_late(), "{done:?}");
    }
}

#[test]
fn a_client_that_sends_too_much_after_its_response_is_told_that_it_is_not_needed() {
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1
    //= type=test
    //# a server MAY request that the client abort transmission of a request without error by sending a
    //# RST_STREAM with an error code of NO_ERROR after sending a complete response (i.e., a frame with
    //# the END_STREAM flag set).
    let (_origin, site) = narrow();
    for announced in [true, false] {
        let mut frames = site.frames();
        let done = upload(&mut frames, announced, 8 << 20);
        assert!(done.answered && done.reset == Some(0), "{done:?}");
        assert!(done.sent >= 1 << 20 || done.is_late(), "{done:?}");
        assert!(done.sent > WINDOW, "{done:?}");
        assert!(done.sent < (1 << 20) + (128 << 10), "{done:?}");
        assert!(frames.ping());
    }
}

/// Sends so many bytes on stream 1, and then small pieces that its window takes still.
fn send_on(frames: &mut Frames, large: usize) {
    let (mut sent, mut window) = (0, WINDOW);
    while sent < large {
        let piece = window.min(16 << 10).min(large - sent);
        if piece > 0 {
            frames.send(&Frame::new(kind::DATA, 0, 1).with(vec![b'x'; piece]));
            (sent, window) = (sent + piece, window - piece);
            continue;
        }
        let update = |frame: &Frame| frame.kind == kind::WINDOW_UPDATE && frame.stream == 1;
        window += frames.until(update).unwrap().number_at(0) as usize;
    }
    for _ in 0..20 {
        for _ in 0..25 {
            frames.send(&Frame::new(kind::DATA, 0, 1).with([b'x'; 20]));
        }
        assert!(frames.ping(), "{large}");
    }
}

#[test]
fn small_pieces_beside_a_response_do_not_end_the_connection() {
    let (_origin, site) = narrow();
    let length = ("content-length", "8000000");
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    // Known for too much when it comes, and at its head.
    for head in [&post[..], &[&post[..], &[length]].concat()] {
        // As much as is taken, and as little of what is too much as the window lets come.
        for large in [101, 1 << 20] {
            let mut frames = Frames::connect(site.address(), &[(4, 0)]);
            frames.send(&Frame::headers(1, false, head));
            send_on(&mut frames, large);
            // The response could not be delivered before.
            frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 1).with([0, 0, 16, 0]));
            let end = frames.until(|frame| {
                frame.flags & flag::END_STREAM != 0 && frame.stream == 1
                    || matches!(frame.kind, kind::GOAWAY | kind::RST_STREAM)
            });
            assert_eq!(end.map(|frame| frame.kind), Some(kind::DATA), "{large}");
            if large < 1 << 20 {
                continue;
            }
            // It has had all that it gets, before the end of the response or after it.
            frames.send(&Frame::new(kind::DATA, 0, 1).with([b'x'; 15_000]));
            frames.send(&Frame::new(kind::DATA, 0, 1).with([b'x'; 15_000]));
            let told = frames.until(|frame| frame.stream == 1).unwrap();
            assert_eq!((told.kind, told.number_at(0)), (kind::RST_STREAM, 0));
        }
    }
}
