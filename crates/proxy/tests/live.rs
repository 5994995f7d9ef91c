//! Responses that are sent while they are made: streams of events, what must not be buffered, long
//! polling, and content whose length nobody knows.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use proxy::Limits;
use rig::Site;
use testkit::{Client, Conn, Origin, PATIENCE, Received};

/// A proxy which keeps what has no lifetime for five minutes.
fn site(origin: &Origin, change: impl FnOnce(&mut Limits)) -> Site {
    Site::with(origin, |settings| {
        settings.rules.default_ttl = Some(Duration::from_mins(5));
        change(&mut settings.limits);
    })
}

impl Site {
    /// A client that has asked for `/`, under these fields, and has the head of the answer.
    fn asking(&self, fields: &str) -> (Client, testkit::Response) {
        let mut client = self.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let head = client.head_to("GET").unwrap();
        (client, head)
    }
}

const EVENTS: &str = "Content-Type: text/event-stream\r\n";
const UNBUFFERED: &str = "Content-Type: text/plain\r\nX-Accel-Buffering: no\r\n";

fn head(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n")
}

/// An origin that begins a chunked response, and goes on piece by piece as it is told to.
fn told_to_go_on(fields: &'static str) -> (Origin, mpsc::Sender<&'static str>) {
    let (go_on, pieces) = mpsc::channel::<&str>();
    let pieces = Mutex::new(pieces);
    let origin = Origin::start(move |_, conn| {
        conn.send(head(fields));
        for piece in pieces.lock().unwrap().iter() {
            conn.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        }
        conn.send("0\r\n\r\n");
    });
    (origin, go_on)
}

#[test]
fn each_piece_reaches_the_client_before_the_next_is_made() {
    for fields in
        [EVENTS, UNBUFFERED, "Cache-Control: no-store\r\n", "Cache-Control: max-age=9\r\n"]
    {
        let (origin, go_on) = told_to_go_on(fields);
        let site = site(&origin, |_| {});
        // The head is there before any content is.
        let (mut client, head) = site.asking("");
        assert_eq!(head.field("Transfer-Encoding"), Some("chunked"));
        for piece in ["data: 1\n\n", "d", "ata: 2\n\n"] {
            go_on.send(piece).unwrap();
            let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
            assert_eq!(client.bytes(chunk.len()).unwrap(), chunk.as_bytes(), "{fields}");
        }
        drop(go_on);
        assert_eq!(client.bytes(5).unwrap(), b"0\r\n\r\n");
    }
}

#[test]
fn what_is_made_for_one_client_is_given_to_no_other() {
    for (fields, why) in [(EVENTS, "event-stream"), (UNBUFFERED, "unbuffered")] {
        for lifetime in ["", "Cache-Control: max-age=60\r\nETag: \"a\"\r\n"] {
            let both = Arc::new(Barrier::new(2));
            let origin = Origin::start(move |request, conn| {
                conn.send(head(&format!("{fields}{lifetime}")));
                // Neither ends before both are under way.
                both.wait();
                let name = request.field("X-Name").unwrap();
                conn.send(format!("1\r\n{name}\r\n0\r\n\r\n"));
            });
            let site = site(&origin, |_| {});
            let mut clients = ["a", "b"].map(|name| site.asking(&format!("X-Name: {name}\r\n")));
            for ((client, head), name) in clients.iter_mut().zip(["a", "b"]) {
                client.body_into(head, &mut |body| assert_eq!(body, name.as_bytes())).unwrap();
                assert!(head.complete);
                assert_eq!(head.field("X-Cache"), Some("MISS"));
                let status = head.field("Cache-Status").unwrap();
                let told = format!("fwd=uri-miss; fwd-status=200; detail={why}");
                assert!(status.ends_with(&told), "{status}");
            }
            assert_eq!(origin.count(), 2);
        }
    }
}

#[test]
fn others_on_the_way_learn_that_nothing_is_to_be_buffered() {
    let origin = Origin::answering(format!("{}0\r\n\r\n", head(UNBUFFERED)));
    let site = site(&origin, |_| {});
    assert_eq!(site.client().get("/").field("X-Accel-Buffering"), Some("no"));
}

/// An origin whose content pauses for so long in its middle.
fn pausing(fields: &'static str, millis: u64) -> Origin {
    Origin::start(move |_, conn| {
        conn.send(head(fields));
        conn.send("1\r\na\r\n");
        conn.pause(Duration::from_millis(millis));
        conn.send("1\r\nb\r\n0\r\n\r\n");
    })
}

fn patience(between: u64, idle: u64) -> impl FnOnce(&mut Limits) {
    move |limits| {
        limits.between_bytes_timeout = Duration::from_millis(between);
        limits.tunnel_idle = Duration::from_millis(idle);
    }
}

#[test]
fn a_stream_of_events_may_be_silent_for_as_long_as_a_tunnel() {
    for (fields, pause, limits, whole) in [
        (EVENTS, 600, (200, 5_000), true),
        (EVENTS, 2_000, (100, 300), false),
        // It is never less patient than with other content.
        (EVENTS, 300, (1_000, 100), true),
        (UNBUFFERED, 2_000, (200, 5_000), false),
    ] {
        let origin = pausing(fields, pause);
        let site = site(&origin, patience(limits.0, limits.1));
        let got = site.client().get("/");
        assert_eq!(got.complete, whole, "{fields} {pause} {limits:?}");
        assert_eq!(got.text(), if whole { "ab" } else { "a" });
    }
}

#[test]
fn a_silent_stream_is_not_kept_open_for_a_client_that_has_left() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let origin = Origin::start(move |_, conn| {
        conn.send(head(EVENTS));
        conn.send("1\r\na\r\n");
        tell.lock().unwrap().send(conn.peer_closes_within(Duration::from_secs(5))).unwrap();
    });
    let site = site(&origin, |limits| limits.write_timeout = Duration::from_millis(100));
    let (mut client, _) = site.asking("");
    assert_eq!(client.bytes(6).unwrap(), b"1\r\na\r\n");
    // For as long as it is there, it is waited with.
    assert!(client.stays_open(Duration::from_millis(300)));
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
}

/// An origin that answers a poll when all of them are there.
fn poll(all: &Barrier, request: &Received, conn: &mut Conn) {
    if request.field("X-Poll").is_some() {
        all.wait();
    }
    let fields = "Cache-Control: no-cache\r\n";
    conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\nx"));
}

#[test]
fn polls_of_one_url_do_not_wait_for_each_other() {
    let all = Barrier::new(5);
    let origin = Origin::start(move |request, conn| poll(&all, request, conn));
    let site = site(&origin, |_| {});
    // The first answer says that waiting for one another does not help.
    let mut first = site.client();
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(first.response().text(), "x");
    let mut clients: Vec<_> = (0..5).map(|_| site.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Poll: 1\r\n\r\n");
    }
    for client in &mut clients {
        let got = client.response();
        assert_eq!(got.text(), "x");
        assert!(got.first_byte < PATIENCE, "they come at once");
    }
}

#[test]
fn the_first_polls_of_a_url_wait_for_each_other_once_and_not_for_long() {
    let all = Barrier::new(3);
    let origin = Origin::start(move |request, conn| poll(&all, request, conn));
    let site = site(&origin, |limits| limits.collapse_wait = Duration::from_millis(100));
    let mut clients: Vec<_> = (0..3).map(|_| site.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Poll: 1\r\n\r\n");
    }
    // None would be answered if they were asked one after the other.
    for client in &mut clients {
        assert_eq!(client.response().text(), "x");
    }
}

#[test]
fn polls_of_different_urls_and_requests_for_events_never_wait_for_each_other() {
    for same in [false, true] {
        let all = Barrier::new(5);
        let origin = Origin::start(move |request, conn| poll(&all, request, conn));
        let site = site(&origin, |_| {});
        let mut clients: Vec<_> = (0..5).map(|_| site.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let path = if same { "/".to_owned() } else { format!("/{number}") };
            let accept = if same { "Accept: text/event-stream\r\n" } else { "" };
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Poll: 1\r\n{accept}\r\n"));
        }
        for client in &mut clients {
            assert_eq!(client.response().text(), "x");
        }
    }
}

#[test]
fn content_of_a_request_reaches_the_origin_before_it_is_whole() {
    for (framing, first, rest) in [
        ("Content-Length: 6", "abc", "def"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n"),
    ] {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let origin = Origin::at_heads(move |_, conn| {
            let begin = conn.bytes(first.len());
            tell.lock().unwrap().send(begin.clone()).unwrap();
            let end = conn.bytes(rest.len());
            assert_eq!((begin.unwrap(), end.unwrap()), (first.into(), rest.into()));
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            conn.close();
        });
        let site = site(&origin, |_| {});
        let mut client = site.client();
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{first}"));
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().unwrap(), first.as_bytes());
        client.send(rest);
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn content_that_the_end_of_the_connection_ends_is_told_to_each_client_in_its_own_way() {
    let (go_on, pieces) = mpsc::channel::<&str>();
    let pieces = Mutex::new(pieces);
    let origin = Origin::start(move |request, conn| {
        let cached = request.target == "/kept";
        let field =
            if cached { "Cache-Control: max-age=60\r\n" } else { "Cache-Control: no-store\r\n" };
        conn.send(format!("HTTP/1.0 200 OK\r\n{field}\r\n"));
        conn.send("ab");
        if request.target == "/piecewise" {
            conn.send(pieces.lock().unwrap().recv().unwrap());
        }
        conn.close();
    });
    let site = site(&origin, |_| {});
    let mut client = site.client();
    client.send("GET /piecewise HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head_to("GET").unwrap().field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(client.bytes(7).unwrap(), b"2\r\nab\r\n");
    go_on.send("c").unwrap();
    assert_eq!(client.bytes(11).unwrap(), b"1\r\nc\r\n0\r\n\r\n");
    // The connection goes on.
    assert_eq!(client.get("/kept").text(), "ab");
    let kept = client.get("/kept");
    assert_eq!((kept.field("X-Cache"), kept.field("Content-Length")), (Some("HIT"), Some("2")));
    let mut old = site.client();
    old.send("GET /other HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    let got = old.response();
    assert_eq!((got.field("Transfer-Encoding"), got.field("Content-Length")), (None, None));
    assert_eq!((got.field("Connection"), &*got.text()), (Some("close"), "ab"));
}
