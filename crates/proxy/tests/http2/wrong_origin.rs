//! An origin whose answers by HTTP/2 are none: they are neither stored nor passed on as if they were.

mod cut;

use std::io::Read;
use std::net::TcpListener;
use std::thread;

use proxy::Protocol;

use super::*;

/// The flag of a head with a priority.
const PRIORITY: u8 = 32;

/// An origin that answers the first request on each connection with these frames.
fn origin(frames: Vec<Frame>) -> OriginUrl {
    let frames = Arc::new(frames);
    serving(move |stream| {
        let frames = Arc::clone(&frames);
        thread::spawn(move || answer(stream, &frames));
    })
}

/// An origin that does this with each connection.
fn serving(mut serve: impl FnMut(std::net::TcpStream) + Send + 'static) -> OriginUrl {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(&mut serve));
    OriginUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap().by(Protocol::Http2)
}

fn answer(mut stream: std::net::TcpStream, answer: &[Frame]) -> Option<()> {
    stream.set_read_timeout(Some(testkit::PATIENCE)).ok()?;
    stream.read_exact(&mut [0; testkit::frames::PREFACE.len()]).ok()?;
    let mut frames = Frames::over(stream);
    frames.send(&Frame::new(kind::SETTINGS, 0, 0));
    frames.next_of(kind::HEADERS)?;
    for frame in answer {
        frames.send(frame);
    }
    // Until the proxy has had enough.
    while frames.frame().is_some() {}
    Some(())
}

fn head(ends: bool, fields: &[(&str, &str)]) -> Frame {
    Frame::headers(
        1,
        ends,
        &[&[(":status", "200"), ("cache-control", "max-age=60")], fields].concat(),
    )
}

fn data(ends: bool, content: &str) -> Frame {
    Frame::new(kind::DATA, if ends { flag::END_STREAM } else { 0 }, 1).with(content)
}

/// The section, and the frames.
fn cases() -> Vec<(&'static str, Vec<Frame>)> {
    let whole = |fields: &[(&str, &str)]| vec![head(false, fields), data(true, "hello")];
    let headless = |fields: &[(&str, &str)]| vec![Frame::headers(1, true, fields)];
    let announced =
        |length, content| vec![head(false, &[("content-length", length)]), data(true, content)];
    vec![
        ("RFC 9113 §8.3.2 no status", headless(&[("a", "b")])),
        ("RFC 9113 §8.3.2 no number", headless(&[(":status", "ok")])),
        ("RFC 9113 §8.3.2 two", headless(&[(":status", "200"), (":status", "200")])),
        ("RFC 9113 §8.3 behind the others", headless(&[("a", "b"), (":status", "200")])),
        ("RFC 9113 §8.3 unknown", headless(&[(":status", "200"), (":unknown", "a")])),
        ("RFC 9113 §8.2.1 upper case", whole(&[("Upper", "a")])),
        ("RFC 9113 §8.2.1 a space before", whole(&[("a", " b")])),
        ("RFC 9113 §8.2.1 a space behind", whole(&[("a", "b ")])),
        ("RFC 9113 §8.2.1 a line in a line", whole(&[("a", "b\r\nc: d")])),
        ("RFC 9113 §8.2.1 no name", whole(&[("", "a")])),
        ("RFC 9113 §8.2.2 Connection", whole(&[("connection", "close")])),
        ("RFC 9113 §8.2.2 Transfer-Encoding", whole(&[("transfer-encoding", "chunked")])),
        ("RFC 9113 §8.1.1 less", announced("6", "hello")),
        ("RFC 9113 §8.1.1 more", announced("4", "hello")),
        ("RFC 9113 §8.1.1 no number", announced("five", "hello")),
        ("RFC 9113 §8.1.1 two", whole(&[("content-length", "5"), ("content-length", "5")])),
        ("RFC 9113 §8.6 a switch of protocols", headless(&[(":status", "101")])),
        ("RFC 9113 §8.1 an early one is the last", headless(&[(":status", "103")])),
        (
            "RFC 9113 §8.2.1 in an early one",
            vec![Frame::headers(1, false, &[(":status", "103"), ("a", " b")]), head(true, &[])],
        ),
        (
            "RFC 9113 §8.2.1 in trailers",
            vec![head(false, &[]), data(false, "hello"), Frame::headers(1, true, &[("a", "b ")])],
        ),
        ("RFC 9113 §8.1 content without a head", vec![data(true, "hello")]),
        (
            "RFC 9113 §8.4 an answer to nothing",
            vec![Frame::new(5, flag::END_HEADERS, 1).with([0, 0, 0, 2, 0x82])],
        ),
        ("RFC 9113 §5.1.1 another stream", vec![Frame::headers(2, true, &[(":status", "200")])]),
        (
            "RFC 9113 §6.4 broken off",
            vec![
                head(false, &[]),
                data(false, "hel"),
                Frame::new(kind::RST_STREAM, 0, 1).with([0, 0, 0, 2]),
            ],
        ),
        (
            "RFC 9113 §6.8 the end of the connection",
            vec![
                head(false, &[]),
                data(false, "hel"),
                Frame::new(kind::GOAWAY, 0, 0).with([0, 0, 0, 0, 0, 0, 0, 1]),
            ],
        ),
        (
            "RFC 9113 §4.2 too large",
            vec![head(false, &[]), data(true, &"x".repeat((16 << 10) + 1))],
        ),
    ]
}

#[test]
fn what_is_no_answer_is_neither_stored_nor_passed_on_as_one() {
    let mut wrong = Vec::new();
    for (section, frames) in cases() {
        let site = Site::at(origin(frames), |limits| {
            limits.first_byte_timeout = Duration::from_millis(200);
            limits.between_bytes_timeout = Duration::from_millis(200);
        });
        for _ in 0..2 {
            let mut client = testkit::Client::connect(site.address());
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let got = client.try_response();
            let is_told =
                |got: &testkit::Response| matches!(got.status, 502 | 504) || !got.complete;
            if !got.as_ref().map_or(true, is_told) {
                wrong.push(format!("{section}: {got:?}"));
            }
        }
        assert_eq!(site.running.handle().counts().hits, 0, "{section}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_right_is_both() {
    let trailers = Frame::headers(1, true, &[("a", "b")]);
    let frames = vec![
        Frame::headers(1, false, &[(":status", "103"), ("link", "</a>")]),
        head(false, &[("content-length", "5")]),
        data(false, "hello"),
        trailers,
    ];
    let site = Site::at(origin(frames), |_| {});
    let get = || {
        let got = testkit::Client::connect(site.address()).get("/");
        assert_eq!((got.status, got.text().as_str()), (200, "hello"));
        let trailer = testkit::field(&got.trailers, "a").map(str::to_owned);
        (got.field("X-Cache").unwrap().to_owned(), trailer)
    };
    // A head that goes out before the trailers have come tells the length, and has no room for them.
    assert_eq!(get().0, "MISS");
    // Who comes at the very end of a fill reads along.
    let whole = ("HIT".to_owned(), Some("b".to_owned()));
    assert!(testkit::eventually(|| get() == whole));
}

/// An origin whose first answer on a connection has a field `x` with the number of that connection.
/// The head of the second depends on itself, and the third refers to what that head added.
fn self_dependent() -> OriginUrl {
    let mut numbers = b'1'..;
    serving(move |stream| {
        let number = numbers.next().unwrap();
        thread::spawn(move || answer_each(stream, number));
    })
}

fn answer_each(mut stream: std::net::TcpStream, number: u8) -> Option<()> {
    stream.read_exact(&mut [0; testkit::frames::PREFACE.len()]).ok()?;
    let mut frames = Frames::over(stream);
    frames.send(&Frame::new(kind::SETTINGS, 0, 0));
    // `:status: 200`, and a field that is added to the table.
    let added = |value| [b"\x88\x40\x01x\x01", &[value][..]].concat();
    let answers = [
        (0, added(number)),
        (PRIORITY, [&[0, 0, 0, 3, 1], &added(b'x')[..]].concat()),
        // The newest field of the table.
        (0, b"\x88\xbe".to_vec()),
    ];
    for (flags, block) in answers {
        let stream = frames.next_of(kind::HEADERS)?.stream;
        let flags = flags | flag::END_HEADERS | flag::END_STREAM;
        frames.send(&Frame::new(kind::HEADERS, flags, stream).with(block));
    }
    Some(())
}

#[test]
fn a_head_that_the_codec_leaves_out_ends_the_connection() {
    let site = Site::at(self_dependent(), |_| {});
    let mut client = testkit::Client::connect(site.address());
    let mut ask = |method: &str, path: &str| {
        let got = client.request(method, path, &[]);
        (got.status, got.field("x").map(str::to_owned))
    };
    assert_eq!(ask("GET", "/1"), (200, Some("1".to_owned())));
    assert_eq!(ask("POST", "/2").0, 502);
    assert_eq!(ask("GET", "/3"), (200, Some("2".to_owned())));
    // What may be asked again is.
    assert_eq!(ask("GET", "/4"), (200, Some("3".to_owned())));
}
