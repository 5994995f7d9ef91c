//! Heads of responses in several frames: what is malformed is so wherever it is cut.

use super::*;

/// An origin that answers each request, on whatever connection, with the next of these heads in pieces.
fn origin(heads: Vec<Vec<Vec<u8>>>) -> OriginUrl {
    let heads = Arc::new(Mutex::new(heads.into_iter()));
    serving(move |stream| {
        let heads = Arc::clone(&heads);
        thread::spawn(move || {
            answer_by(stream, || heads.lock().unwrap().next());
        });
    })
}

fn answer_by(
    mut stream: std::net::TcpStream,
    mut next: impl FnMut() -> Option<Vec<Vec<u8>>>,
) -> Option<()> {
    stream.set_read_timeout(Some(testkit::PATIENCE)).ok()?;
    stream.read_exact(&mut [0; testkit::frames::PREFACE.len()]).ok()?;
    let mut frames = Frames::over(stream);
    frames.send(&Frame::new(kind::SETTINGS, 0, 0));
    loop {
        let stream = frames.next_of(kind::HEADERS)?.stream;
        let pieces = next()?;
        let mut bytes = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let (kind, first) = match at {
                0 => (kind::HEADERS, flag::END_STREAM),
                _ => (kind::CONTINUATION, 0),
            };
            let last = if at + 1 == pieces.len() { flag::END_HEADERS } else { 0 };
            bytes.extend(Frame::new(kind, first | last, stream).with(&piece[..]).bytes());
        }
        frames.write(&bytes);
    }
}

/// In two pieces at every place, and in three.
fn cuts(block: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let two = (0..=block.len()).map(|at| vec![block[..at].to_vec(), block[at..].to_vec()]);
    let three = |at: usize| {
        let middle = at + (block.len() - at) / 2;
        vec![block[..at].to_vec(), block[at..middle].to_vec(), block[middle..].to_vec()]
    };
    two.chain((0..=block.len()).map(three)).collect()
}

/// What clients get, one after the other, for a head with these fields wherever it is cut.
fn answers(cuts: Vec<Vec<Vec<u8>>>) -> Vec<testkit::Response> {
    let count = cuts.len();
    let site = Site::at(origin(cuts), |_| {});
    let mut client = testkit::Client::connect(site.address());
    (0..count).map(|number| client.request("POST", &format!("/{number}"), &[])).collect()
}

#[test]
fn a_response_is_malformed_wherever_its_head_is_cut() {
    for fields in [
        &[(":status", "200"), ("connection", "close"), ("a", "b")][..],
        &[(":status", "200"), ("transfer-encoding", "chunked"), ("a", "b")],
        &[(":status", "200"), ("a", "b"), ("keep-alive", "1"), ("c", "d")],
        &[(":status", "200"), (":status", "201"), ("a", "b")],
        &[("a", "b"), (":status", "200"), ("c", "d")],
    ] {
        for got in answers(cuts(&testkit::frames::block(fields))) {
            assert_eq!(got.status, 502, "{fields:?}");
        }
    }
}

#[test]
fn a_response_is_the_same_wherever_its_head_is_cut() {
    let block =
        testkit::frames::block(&[(":status", "201"), ("a", "b"), ("x-long-name", "a value")]);
    for got in answers(cuts(&block)) {
        assert_eq!((got.status, got.field("a")), (201, Some("b")));
        assert_eq!(got.field("x-long-name"), Some("a value"));
    }
}

#[test]
fn so_is_one_whose_head_is_larger_than_a_frame() {
    let long = "v".repeat(6000);
    let values = [("x", &*long), ("y", &*long), ("z", &*long)];
    let block =
        |first| testkit::frames::block(&[&[(":status", "200"), first], &values[..]].concat());
    let pieces = |block: &[u8]| {
        let pieces = |first: usize| {
            let rest = block[first..].chunks(7000).map(<[u8]>::to_vec);
            std::iter::once(block[..first].to_vec()).chain(rest).collect::<Vec<_>>()
        };
        (1..16 << 10).step_by(1311).map(pieces).collect::<Vec<_>>()
    };
    for got in answers(pieces(&block(("a", "b")))) {
        assert_eq!((got.status, got.field("a")), (200, Some("b")));
        assert!(["x", "y", "z"].iter().all(|name| got.field(name) == Some(&*long)));
    }
    for got in answers(pieces(&block(("connection", "close")))) {
        assert_eq!(got.status, 502);
    }
}

#[test]
fn empty_frames_between_others_are_no_answer_and_no_fault() {
    let empty = || std::iter::repeat_with(|| data(false, "")).take(300);
    let mut frames = vec![head(false, &[])];
    frames.extend(empty());
    frames.push(data(false, "hel"));
    frames.extend(empty());
    frames.push(data(true, "lo"));
    let site = Site::at(super::origin(frames), |_| {});
    let mut client = testkit::Client::connect(site.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let got = client.response();
    assert_eq!((got.status, &got.body[..]), (200, &b"hello"[..]));
}

#[test]
fn a_head_comes_in_so_many_frames() {
    let block = testkit::frames::block(&[(":status", "200"), ("a", "b")]);
    // 32 KiB are two frames, and there are six more.
    for (continuations, expected) in [(8, 200), (9, 502)] {
        let mut pieces = vec![block.clone()];
        pieces.resize(continuations + 1, Vec::new());
        assert_eq!(answers(vec![pieces])[0].status, expected, "{continuations}");
    }
}
