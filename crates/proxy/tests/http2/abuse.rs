//! What a client may do, and what is one too much: each limit at its edge and one past it.

use super::*;

/// RFC 9113 §7: `ENHANCE_YOUR_CALM`.
const CALM: u32 = 11;

fn site(change: impl FnOnce(&mut Limits)) -> (Origin, Site) {
    let origin = Origin::answering(ok("x"));
    let site = Site::with(&origin, change);
    (origin, site)
}

/// Sends a frame so often; says how the connection stands then.
fn repeated(site: &Site, count: usize, frame: impl Fn(u32) -> Vec<Frame>) -> Result<(), u32> {
    let mut frames = site.frames();
    for number in 0..count {
        for frame in frame(number as u32) {
            // A connection that is closed takes no more.
            if !frames.send(&frame) {
                break;
            }
        }
    }
    // What the client provoked is on its way when the first is answered, and counted by the second.
    for text in [b"1st ping", b"2nd ping"] {
        frames.send(&Frame::new(kind::PING, 0, 0).with(*text));
        let answer = |frame: &Frame| frame.kind == kind::PING && frame.payload == text;
        let last = frames.until(|frame| frame.kind == kind::GOAWAY || answer(frame));
        let last = last.expect("a word before the end");
        if last.kind == kind::GOAWAY {
            return Err(last.number_at(4));
        }
    }
    Ok(())
}

#[test]
fn the_control_frames_of_a_while_are_counted_whatever_they_are() {
    let (_origin, site) = site(|limits| limits.http2.control_frames = 50);
    let ping = |_| vec![Frame::new(kind::PING, 0, 0).with(*b"12345678")];
    let settings = |_| vec![Frame::new(kind::SETTINGS, 0, 0)];
    let priority = |_| vec![Frame::new(kind::PRIORITY, 0, 1).with([0, 0, 0, 0, 1])];
    let update = |_| vec![Frame::new(kind::PRIORITY_UPDATE, 0, 0).with(*b"\0\0\0\x01u=1")];
    let unknown = |_| vec![Frame::new(0xbe, 0, 0).with("grease")];
    let window = |_| vec![Frame::new(kind::WINDOW_UPDATE, 0, 0).with([0, 0, 0, 1])];
    for (name, frame) in [
        ("PING", ping as fn(u32) -> Vec<Frame>),
        ("SETTINGS", settings),
        ("PRIORITY", priority),
        ("PRIORITY_UPDATE", update),
        ("unknown", unknown),
        ("WINDOW_UPDATE", window),
    ] {
        // The first SETTINGS and the last two PINGs count too.
        assert_eq!(repeated(&site, 47, frame), Ok(()), "{name}");
        assert_eq!(repeated(&site, 48, frame), Err(CALM), "{name}");
    }
}

#[test]
fn empty_data_is_counted_and_an_empty_end_is_not() {
    let origin = Origin::at_heads(|_, conn| {
        conn.read_body();
        conn.send(ok("x"));
    });
    let site = Site::with(&origin, |limits| limits.http2.control_frames = 50);
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    for (count, expected) in [(47, Ok(())), (48, Err(CALM))] {
        let empty = |number| {
            let head = (number == 0).then(|| Frame::headers(1, false, &post));
            head.into_iter().chain([Frame::new(kind::DATA, 0, 1)]).collect()
        };
        assert_eq!(repeated(&site, count, empty), expected);
    }
    // As many streams end with an empty frame as their client likes.
    let mut frames = site.frames();
    for stream in (1..200).step_by(2) {
        frames.send(&Frame::headers(stream, false, &post));
        frames.send(&Frame::new(kind::DATA, flag::END_STREAM, stream));
        let end = |frame: &Frame| frame.stream == stream && frame.kind == kind::DATA;
        assert!(frames.until(end).is_some());
    }
}

#[test]
fn empty_data_may_come_as_long_as_the_connection_lasts() {
    let origin = Origin::at_heads(|_, conn| {
        assert_eq!(conn.read_body().as_deref(), Some(&b"ab"[..]));
        conn.send(ok("x"));
    });
    let site = Site::with(&origin, |_| {});
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    let mut frames = site.frames();
    for stream in (1..200).step_by(2) {
        frames.send(&Frame::headers(stream, false, &post));
        frames.send(&Frame::new(kind::DATA, 0, stream));
        frames.send(&Frame::new(kind::DATA, 0, stream).with("a"));
        frames.send(&Frame::new(kind::DATA, 0, stream));
        frames.send(&Frame::new(kind::DATA, flag::END_STREAM, stream).with("b"));
        let answer = frames.until(|frame| frame.stream == stream || frame.kind == kind::GOAWAY);
        assert_eq!(answer.unwrap().kind, kind::HEADERS, "{stream}");
    }
}

#[test]
fn small_pieces_that_nobody_takes_yet_do_not_end_the_connection() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::at_heads(move |_, conn| {
        if let Some(content) = conn.read_body().filter(|content| !content.is_empty()) {
            assert!(content.len() == 40_000 && content.iter().all(|byte| *byte == b'd'));
        } else {
            let _ = wait.lock().unwrap().recv();
        }
        conn.send(ok("x"));
    });
    // The only connection to the origin is in use.
    let site = Site::with(&origin, |limits| limits.origin_connections = 1);
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    let mut frames = site.frames();
    frames.send(&Frame::headers(3, true, &GET));
    assert!(testkit::eventually(|| origin.count() == 1));
    frames.send(&Frame::headers(5, false, &post));
    for _ in 0..40 {
        for _ in 0..20 {
            frames.send(&Frame::new(kind::DATA, 0, 5).with([b'd'; 50]));
        }
        assert!(frames.ping());
    }
    go.send(()).unwrap();
    frames.send(&Frame::new(kind::DATA, flag::END_STREAM, 5));
    let end = |frame: &Frame| frame.stream == 5 && frame.kind == kind::DATA;
    assert!(frames.until(end).is_some());
}

#[test]
fn many_small_pieces_at_once_are_taken_as_fast_as_they_come() {
    let (sent, wait) = std::sync::mpsc::channel();
    let origin = Origin::at_heads(move |_, conn| {
        sent.send(conn.read_body()).unwrap();
        conn.send(ok("x"));
    });
    let site = Site::with(&origin, |_| {});
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    for length in [1, 7, 50, 255] {
        let mut frames = site.frames();
        let mut content = Vec::new();
        frames.send(&Frame::headers(1, false, &post));
        for number in 0..60_000 / (length + 10) {
            let piece = vec![number as u8; length];
            frames.send(&Frame::new(kind::DATA, 0, 1).with(&piece[..]));
            content.extend(piece);
        }
        frames.send(&Frame::new(kind::DATA, flag::END_STREAM, 1));
        let end = |frame: &Frame| matches!(frame.kind, kind::DATA | kind::GOAWAY);
        assert_eq!(frames.until(end).map(|frame| frame.kind), Some(kind::DATA), "{length}");
        assert!(wait.recv().unwrap().unwrap() == content, "{length}");
    }
}

#[test]
fn resets_by_the_client_are_counted() {
    let (_origin, site) = site(|limits| limits.http2.resets = 10);
    let reset = |number| {
        let stream = number * 2 + 1;
        let reset = Frame::new(kind::RST_STREAM, 0, stream).with([0, 0, 0, 8]);
        vec![Frame::headers(stream, true, &GET), reset]
    };
    assert_eq!(repeated(&site, 10, reset), Ok(()));
    assert_eq!(repeated(&site, 11, reset), Err(CALM));
}

#[test]
fn resets_that_the_client_provokes_are_counted_the_same() {
    let (_origin, site) = site(|limits| limits.http2.resets = 10);
    let bad = [GET[0], GET[1], GET[2], (":path", "no-path")];
    let provoke = |number| vec![Frame::headers(number * 2 + 1, true, &bad)];
    assert_eq!(repeated(&site, 10, provoke), Ok(()));
    assert_eq!(repeated(&site, 11, provoke), Err(CALM));
    // And together.
    let both = |number: u32| {
        let stream = number * 4 + 1;
        let reset = Frame::new(kind::RST_STREAM, 0, stream).with([0, 0, 0, 8]);
        vec![Frame::headers(stream, true, &GET), reset, Frame::headers(stream + 2, true, &bad)]
    };
    assert_eq!(repeated(&site, 5, both), Ok(()));
    assert_eq!(repeated(&site, 6, both), Err(CALM));
}

#[test]
fn a_header_block_comes_in_a_few_frames_at_most() {
    let (_origin, site) = site(|_| {});
    let block = testkit::frames::block(&GET);
    for (continuations, expected) in [(5, Ok(())), (6, Err(CALM))] {
        let mut parts: Vec<_> =
            block.chunks(block.len().div_ceil(continuations + 1)).map(<[u8]>::to_vec).collect();
        parts.resize(continuations + 1, Vec::new());
        let pieces = |_| {
            let frames = parts.iter().enumerate().map(|(at, part)| {
                let kind = if at == 0 { kind::HEADERS } else { kind::CONTINUATION };
                let end = if at == continuations { flag::END_HEADERS } else { 0 };
                let end = end | if at == 0 { flag::END_STREAM } else { 0 };
                Frame::new(kind, end, 1).with(&part[..])
            });
            frames.collect()
        };
        assert_eq!(repeated(&site, 1, pieces), expected, "{continuations}");
    }
}

/// Asks with a block in as few frames as every server takes: the kind of the answer and how it begins.
fn ask(site: &Site, block: &[u8]) -> Option<(u8, u8)> {
    let mut frames = site.frames();
    let mut parts = block.chunks(16 << 10).peekable();
    let mut kind = kind::HEADERS;
    while let Some(part) = parts.next() {
        let end = if parts.peek().is_none() { flag::END_HEADERS } else { 0 };
        let end = end | if kind == kind::HEADERS { flag::END_STREAM } else { 0 };
        frames.send(&Frame::new(kind, end, 1).with(part));
        kind = kind::CONTINUATION;
    }
    let answer = |frame: &Frame| frame.stream == 1 || frame.kind == kind::GOAWAY;
    frames.until(answer).map(|frame| (frame.kind, frame.payload[0]))
}

#[test]
fn a_header_list_beyond_the_limit_is_refused_and_one_far_beyond_it_closes() {
    let (origin, site) = site(|limits| limits.http1.field = 1 << 20);
    let of = |length: usize| {
        let rest: usize = GET.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        let value = "v".repeat(length - rest - 32 - 1);
        testkit::frames::block(&[&GET[..], &[("x", &value)]].concat())
    };
    let ask = |block: &[u8]| ask(&site, block);
    assert_eq!(ask(&of(32 << 10)), Some((kind::HEADERS, 0x88)));
    assert_eq!(origin.count(), 1);
    // A 431 in a literal.
    assert_eq!(ask(&of((32 << 10) + 1)), Some((kind::HEADERS, 0x48)));
    // References to one field of the table: few bytes that become many.
    let mut bomb = testkit::frames::block(&GET);
    bomb.extend(testkit::frames::block(&[("x", &"y".repeat(3000))]));
    let at = bomb.len() - 3000 - 6;
    assert_eq!(bomb[at], 0);
    bomb[at] = 0x40;
    bomb.extend([0xbe; 4000]);
    assert!(matches!(ask(&bomb), Some((kind::GOAWAY, _))));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_header_list_is_taken_up_to_its_limit_however_large_its_fields_are() {
    for limit in [16 << 10, 48 << 10, 64 << 10, 80 << 10, 96 << 10, 256 << 10] {
        let (_origin, site) = site(|limits| limits.http2.header_list = limit as u32);
        // Of those of more than half a frame, each needs one of its own.
        for length in [4000, 8300, 12_000, 16_300] {
            let of = |limit: usize| {
                let rest: usize =
                    GET.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
                let room = limit - rest - 33;
                let (value, last) = ("v".repeat(length), "v".repeat(room % (length + 33)));
                let mut fields = GET.to_vec();
                fields.extend(std::iter::repeat_n(("x", &*value), room / (length + 33)));
                fields.push(("y", &last));
                testkit::frames::block(&fields)
            };
            let what = format!("{limit} {length}");
            assert_eq!(ask(&site, &of(limit)), Some((kind::HEADERS, 0x88)), "{what}");
            assert_eq!(ask(&site, &of(limit + 1)), Some((kind::HEADERS, 0x48)), "{what}");
        }
    }
}

#[test]
fn no_more_streams_than_agreed_are_open_at_once() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |_, conn| {
        let _ = wait.lock().unwrap().recv();
        conn.send(ok("x"));
    });
    let site = Site::with(&origin, |limits| limits.http2.streams = 4);
    let mut frames = site.frames();
    assert!(frames.ping());
    for stream in [1, 3, 5, 7, 9] {
        frames.send(&Frame::headers(stream, true, &GET));
    }
    let refused = frames.next_of(kind::RST_STREAM).unwrap();
    // REFUSED_STREAM: it may be asked again.
    assert_eq!((refused.stream, refused.number_at(0)), (9, 7));
    (0..5).for_each(|_| go.send(()).unwrap());
    let mut ended = Vec::new();
    while ended.len() < 4 {
        let end = |frame: &Frame| frame.kind == kind::DATA && frame.flags & flag::END_STREAM != 0;
        ended.push(frames.until(end).unwrap().stream);
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3, 5, 7]);
}

#[test]
fn a_connection_that_is_made_in_a_crowd_has_fewer_streams() {
    // In all, and where nearly all of ten seats are taken: more than eight.
    for (streams, crowded) in [(100, 20), (30, 20), (7, 7)] {
        let (_origin, site) = site(|limits| {
            limits.connections.total = 10;
            limits.http2.streams = streams;
        });
        let mut guests = Vec::new();
        for number in 1..=10 {
            let mut frames = site.frames();
            let told = frames.next_of(kind::SETTINGS).unwrap().payload;
            let told = told.chunks(6).find(|setting| setting[1] == 3).unwrap();
            let told = u32::from_be_bytes(told[2..].try_into().unwrap());
            assert_eq!(told, if number > 8 { crowded } else { streams }, "{number} of {streams}");
            guests.push(frames);
        }
    }
}

#[test]
fn a_stream_whose_window_stays_closed_is_reset_and_others_go_on() {
    let (_origin, site) = site(|limits| limits.http2.stream_stall = Duration::from_millis(100));
    let mut frames = Frames::connect(site.address(), &[(4, 0)]);
    frames.send(&Frame::headers(1, true, &GET));
    let reset = frames.next_of(kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number_at(0)), (1, CALM));
    // With a window the same response comes whole.
    frames.send(&Frame::headers(3, true, &GET));
    frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 3).with([0, 0, 0, 10]));
    let data = frames.until(|frame| frame.stream == 3 && frame.kind == kind::DATA).unwrap();
    assert_eq!(data.payload, b"x");
    assert_eq!(site.served()[0], "200 absent cut");
}

#[test]
fn a_connection_whose_window_stays_closed_is_closed() {
    let origin = Origin::answering(ok(&"x".repeat(200_000)));
    let site = Site::with(&origin, |limits| {
        limits.http2.connection_stall = Duration::from_millis(100);
    });
    // The streams' windows are wide open, that of the connection is not.
    let mut frames = Frames::connect(site.address(), &[(4, 1 << 30)]);
    frames.send(&Frame::headers(1, true, &GET));
    assert_eq!(frames.goaway(), Some(CALM));
}

#[test]
fn windows_that_open_in_time_are_waited_for_as_long_as_it_takes() {
    let origin = Origin::answering(ok(&"x".repeat(100_000)));
    let limit = Duration::from_millis(400);
    let site = Site::with(&origin, |limits| {
        (limits.http2.connection_stall, limits.http2.stream_stall) = (limit, limit);
    });
    let mut frames = Frames::connect(site.address(), &[(4, 0)]);
    frames.send(&Frame::headers(1, true, &GET));
    let mut got = 0;
    // All in all much longer than one stall may be.
    for _ in 0..6 {
        std::thread::sleep(limit / 3);
        frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 1).with([0, 0, 0, 100]));
        got += frames.next_of(kind::DATA).expect("some content").payload.len();
    }
    assert_eq!(got, 600);
    // Then it is not opened any more.
    let reset = frames.next_of(kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number_at(0)), (1, CALM));
}

#[test]
fn few_streams_may_be_reset_before_they_were_looked_at() {
    let (_origin, site) = site(|_| {});
    // In one piece, so that all of it is there at once.
    let burst = |count: u32| {
        let mut frames = site.frames();
        assert!(frames.ping());
        let mut bytes = Vec::new();
        for number in 0..count {
            let stream = number * 2 + 1;
            bytes.extend(Frame::headers(stream, true, &GET).bytes());
            bytes.extend(Frame::new(kind::RST_STREAM, 0, stream).with([0, 0, 0, 8]).bytes());
        }
        frames.write(&bytes);
        frames.send(&Frame::new(kind::PING, 0, 0).with(*b"after it"));
        let last = frames.until(|frame| matches!(frame.kind, kind::PING | kind::GOAWAY)).unwrap();
        (last.kind == kind::GOAWAY).then(|| last.number_at(4))
    };
    assert_eq!(burst(20), None);
    assert_eq!(burst(21), Some(CALM));
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let origin = Origin::answering(ok(&"x".repeat(4 << 20)));
    let site = Site::with(&origin, |limits| limits.write_timeout = Duration::from_millis(200));
    let mut frames = Frames::connect(site.address(), &[(4, (1 << 31) - 1)]);
    frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with((1_u32 << 30).to_be_bytes()));
    for stream in (1..20).step_by(2) {
        frames.send(&Frame::headers(stream, true, &GET));
    }
    assert!(testkit::eventually(|| site.served().len() == 10), "{:?}", site.served());
    assert!(site.served().iter().any(|line| line.ends_with(" cut")));
}

#[test]
fn a_head_or_a_handshake_that_does_not_end_in_time_ends_the_connection() {
    let (origin, site) = site(|limits| limits.head_timeout = Duration::from_millis(100));
    let mut frames = site.frames();
    let block = testkit::frames::block(&GET);
    frames.send(&Frame::new(kind::HEADERS, flag::END_STREAM, 1).with(&block[..10]));
    assert_eq!(frames.goaway(), Some(CALM));
    // Half a preface is a head that does not end.
    let mut frames = Frames::silent(site.address());
    frames.write(&testkit::frames::PREFACE[..20]);
    assert!(frames.frame().is_none() || origin.count() == 0);
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let (_origin, site) = site(|limits| limits.idle_timeout = Duration::from_millis(100));
    let mut frames = site.frames();
    assert!(frames.ping());
    assert_eq!(frames.goaway(), Some(0));
    // Pings do not keep it.
    let mut frames = site.frames();
    let mut gone = false;
    for _ in 0..200 {
        gone |= !frames.ping();
        if gone {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(gone);
}

#[test]
fn a_connection_that_is_used_is_not_idle_though_each_answer_is_there_at_once() {
    let origin = Origin::answering(ok("x"));
    let site = Site::with(&origin, |limits| limits.idle_timeout = Duration::from_secs(1));
    let mut frames = site.frames();
    for stream in (1..60).step_by(2) {
        frames.send(&Frame::headers(stream, true, &GET));
        let end = |frame: &Frame| {
            frame.kind == kind::GOAWAY
                || frame.flags & flag::END_STREAM != 0 && frame.stream == stream
        };
        assert_ne!(frames.until(end).map(|frame| frame.kind), Some(kind::GOAWAY), "{stream}");
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_connection_begins_with_settings() {
    let (_origin, site) = site(|_| {});
    for first in [Frame::headers(1, true, &GET), Frame::new(kind::SETTINGS, flag::ACK, 0)] {
        let mut frames = Frames::silent(site.address());
        frames.write(testkit::frames::PREFACE);
        frames.send(&first);
        assert_eq!(frames.goaway(), Some(1));
    }
}

#[test]
fn a_download_may_open_its_windows_as_often_as_it_takes_content() {
    let origin = Origin::answering(ok(&"x".repeat(1 << 20)));
    let site = Site::with(&origin, |limits| limits.http2.control_frames = 20);
    let mut frames = Frames::connect(site.address(), &[]);
    frames.send(&Frame::headers(1, true, &GET));
    let mut got = 0;
    while got < 1 << 20 {
        let data = frames.next_of(kind::DATA).expect("all of it");
        got += data.payload.len();
        let by = (data.payload.len() as u32).to_be_bytes();
        if !data.payload.is_empty() {
            frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with(by));
            frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 1).with(by));
        }
    }
}
