//! The same in several frames: what is malformed is so wherever it is cut, and what is not is served.

use testkit::Received;

use super::*;

/// A site that bears as many malformed requests on one connection as there are.
fn patient(origin: &Origin) -> Site {
    Site::with(origin, |limits| {
        limits.http2.resets = 100_000;
        limits.http2.control_frames = 100_000;
    })
}

fn origin() -> Origin {
    Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n");
    })
}

/// A request in these pieces, written at once.
fn send(frames: &mut Frames, stream: u32, pieces: &[&[u8]]) {
    let mut bytes = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let (kind, first) = match at {
            0 => (kind::HEADERS, flag::END_STREAM),
            _ => (kind::CONTINUATION, 0),
        };
        let last = if at + 1 == pieces.len() { flag::END_HEADERS } else { 0 };
        bytes.extend(Frame::new(kind, first | last, stream).with(*piece).bytes());
    }
    frames.write(&bytes);
}

/// In two pieces at every place, and in three.
fn cuts(block: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut cuts = Vec::new();
    for at in 0..=block.len() {
        let (first, second) = block.split_at(at);
        cuts.push(vec![first, second]);
        let (second, third) = second.split_at(second.len() / 2);
        cuts.push(vec![first, second, third]);
    }
    cuts
}

/// What an origin has been told, but for what names this one request.
fn told_to(received: &Received) -> Vec<(String, String)> {
    let own = |name: &str| name.eq_ignore_ascii_case("x-request-id");
    let fields = received.fields.iter().filter(|(name, _)| !own(name));
    let line = (received.method.clone(), received.target.clone());
    std::iter::once(line).chain(fields.cloned()).collect()
}

/// What has come since it was asked the last time, which is all the same.
fn last(origin: &Origin, before: &mut usize) -> Option<Vec<(String, String)>> {
    let all: Vec<_> = origin.requests()[*before..].iter().map(told_to).collect();
    *before += all.len();
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
    all.into_iter().next()
}

#[test]
fn a_request_is_malformed_wherever_its_head_is_cut() {
    let origin = origin();
    let site = patient(&origin);
    let mut before = 0;
    for (section, expected, block) in cases() {
        let name = block.escape_ascii();
        // Uncut, that is what the other test is about.
        assert_eq!(fate(&site, &block), expected);
        let whole = last(&origin, &mut before);
        let (mut frames, mut stream) = (site.frames(), 1);
        for cut in cuts(&block) {
            send(&mut frames, stream, &cut);
            //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1
            //= type=test
            //# Malformed requests or responses that are detected MUST be treated as a stream error
            //# (Section 5.4.2) of type PROTOCOL_ERROR.
            assert_eq!(told(&mut frames, stream), expected, "{section}: {name} {cut:?}");
            stream += 2;
            // Another status has a literal in the first answer of a connection, and not in others.
            if matches!(expected, Closed(_) | Status(_)) {
                (frames, stream) = (site.frames(), 1);
            }
        }
        assert_eq!(last(&origin, &mut before), whole, "{section}: {name}");
    }
}

/// A head that is larger than a frame, in frames of this size behind a first one.
fn large(block: &[u8], first: usize, size: usize) -> Vec<&[u8]> {
    let (first, rest) = block.split_at(first);
    std::iter::once(first).chain(rest.chunks(size)).collect()
}

#[test]
fn so_it_is_if_its_head_is_larger_than_a_frame() {
    let origin = origin();
    let site = patient(&origin);
    let long = "v".repeat(9000);
    let values = [("x", &*long), ("y", &*long), ("z", &*long)];
    let block = |more: (&'static str, &'static str), at: usize| {
        let mut fields = [&GET[..], &values].concat();
        fields.insert(at, more);
        testkit::frames::block(&fields)
    };
    let ask = |block: &[u8], first, size| {
        let mut frames = site.frames();
        send(&mut frames, 1, &large(block, first, size));
        told(&mut frames, 1)
    };
    let sizes = || (1..16 << 10).step_by(1311).flat_map(|first| [(first, 16 << 10), (first, 7000)]);
    let mut before = 0;
    for at in 4..=7 {
        let fine = block(("te", "trailers"), at);
        assert!(fine.len() > 16 << 10);
        for (first, size) in sizes() {
            assert_eq!(ask(&fine, first, size), Served, "{at} {first} {size}");
        }
        let served = last(&origin, &mut before).unwrap();
        assert!(
            ["x", "y", "z"].iter().all(|name| served.contains(&((*name).to_owned(), long.clone())))
        );
        for more in [("connection", "close"), ("te", "gzip"), (":path", "/b")] {
            let bad = block(more, at);
            for (first, size) in sizes() {
                //= https://www.rfc-editor.org/rfc/rfc9113#section-5.4.1
                //= type=test
                //# an endpoint MAY choose to treat a stream error as a connection error.
                let got = ask(&bad, first, size);
                assert!(matches!(got, Reset | Closed(1)), "{more:?} {at} {first} {size}: {got:?}");
            }
        }
        assert_eq!(last(&origin, &mut before), None);
    }
}

#[test]
fn trailers_are_malformed_wherever_they_are_cut() {
    let origin = Origin::at_heads(|_, conn| {
        if conn.read_body().is_some() {
            conn.send(ok(""));
        }
    });
    let site = patient(&origin);
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    let fine: &[(&str, &str)] = &[("a", "b"), ("te", "trailers"), ("c", "d")];
    let bad: [&[(&str, &str)]; 4] = [
        &[("connection", "a"), ("a", "b")],
        &[("a", "b"), ("te", "gzip"), ("c", "d")],
        &[("transfer-encoding", "chunked"), ("c", "d")],
        &[("a", "b"), (":path", "/"), ("c", "d")],
    ];
    let (mut frames, mut stream) = (site.frames(), 1);
    let mut ask = |cut: &[&[u8]]| {
        stream += 2;
        frames.send(&Frame::headers(stream, false, &post));
        frames.send(&Frame::new(kind::DATA, 0, stream).with("x"));
        send(&mut frames, stream, cut);
        let about = |frame: &Frame| frame.stream == stream && frame.kind != kind::WINDOW_UPDATE;
        let answer = frames.until(about).expect("an answer");
        (answer.kind, answer.payload[0])
    };
    for fields in bad {
        let block = testkit::frames::block(fields);
        for cut in cuts(&block) {
            // A 400 in the static table of HPACK, or a reset.
            let (kind, first) = ask(&cut);
            assert!(kind == kind::RST_STREAM || first == 0x8c, "{fields:?} {cut:?}");
        }
    }
    assert!(origin.requests().iter().all(|request| request.trailers.is_empty()));
    let block = testkit::frames::block(fine);
    let cuts = cuts(&block);
    for cut in &cuts {
        assert_eq!(ask(cut), (kind::HEADERS, 0x88), "{cut:?}");
    }
    let with = |request: &Received| testkit::field(&request.trailers, "c") == Some("d");
    assert_eq!(origin.requests().iter().filter(|request| with(request)).count(), cuts.len());
}
