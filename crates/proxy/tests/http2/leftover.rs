//! What still comes of a request that has been answered.

use std::time::Instant;

use super::*;

/// How long the proxy takes what still comes. On a machine that is busy with other things it may be over
/// before anything else is.
const PATIENCE: Duration = Duration::from_secs(2);

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
    // RFC 9113 §6.9.2: what may be sent before anything was said of it.
    let (mut window, mut common) = (65_535, 65_535);
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
        assert!(done.sent < (1 << 20) + (128 << 10), "{done:?}");
        assert!(frames.ping());
    }
}
