//! Bodies inside TLS: the same bytes, and a cut one is seen as cut.

use testkit::Origin;

use super::{Authority, TlsProxy};

/// So that each byte says where it is.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 + at / 65_521) as u8).collect()
}

fn sized() -> Origin {
    Origin::start(|request, conn| {
        let length: usize = request.target.trim_start_matches('/').parse().unwrap();
        let head =
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"e\"\r\nContent-Length: ";
        conn.send(format!("{head}{length}\r\n\r\n"));
        conn.send(pattern(length));
    })
}

#[test]
fn bodies_of_every_size_arrive_byte_for_byte() {
    let (origin, authority) = (sized(), Authority::new());
    let files = authority.issue("a", &["a.example"]);
    let proxy = TlsProxy::with(&origin.url(), &[&files], &["--memory", "64MiB"]);
    let mut client = proxy.connect("a.example", &authority.client());
    for length in [0, 1, 16_000, 40 << 10, 100_000, (256 << 10) + 1, 1 << 20, 20 << 20] {
        for expected in ["MISS", "HIT", "HIT"] {
            let answer = client.get(&format!("/{length}"));
            assert_eq!(answer.field("X-Cache"), Some(expected), "{length}");
            assert!(answer.body == pattern(length), "{length} {expected}");
        }
    }
}

#[test]
fn ranges_and_heads_are_as_without_tls() {
    let (origin, authority) = (sized(), Authority::new());
    let files = authority.issue("a", &["a.example"]);
    let proxy = TlsProxy::before(&origin.url(), &[&files]);
    let mut client = proxy.connect("a.example", &authority.client());
    let length = 1 << 20;
    assert_eq!(client.get("/1048576").body.len(), length);
    for (range, from, to) in
        [("0-9", 0, 10), ("5000-700000", 5000, 700_001), ("-70000", length - 70_000, length)]
    {
        let answer = client.request(&format!(
            "GET /1048576 HTTP/1.1\r\nHost: a.example\r\nRange: bytes={range}\r\n\r\n"
        ));
        assert_eq!((answer.status(), answer.field("X-Cache")), (206, Some("HIT")), "{range}");
        assert!(answer.body == pattern(length)[from..to], "{range}");
    }
    let head = client.request("HEAD /1048576 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(head.field("Content-Length"), Some("1048576"));
    let posted =
        client.request("POST /3 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(posted.body, pattern(3));
    assert_eq!(origin.requests().last().unwrap().body, b"body");
}

#[test]
fn a_body_that_breaks_is_never_ended_in_order() {
    let authority = Authority::new();
    let files = authority.issue("a", &["a.example"]);
    for fields in ["Content-Length: 100000\r\n", "Transfer-Encoding: chunked\r\n", ""] {
        let origin = Origin::start(move |_, conn| {
            conn.send(format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n{fields}\r\n"));
            if fields.starts_with("Transfer") {
                conn.send("5\r\nhello\r\n");
            } else {
                conn.send("hello");
            }
            conn.reset();
        });
        let proxy = TlsProxy::before(&origin.url(), &[&files]);
        for version in ["1.1", "1.0"] {
            let mut client = proxy.connect("a.example", &authority.client());
            client.send(format!("GET / HTTP/{version}\r\nHost: a.example\r\n\r\n"));
            let (bytes, end) = client.rest();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            // The origin may have been reset before it was heard at all.
            if text.starts_with("HTTP/1.1 502") {
                continue;
            }
            assert!(end.is_err(), "{fields:?} {version}: ended in order: {text}");
        }
    }
}

#[test]
fn a_body_that_ends_with_the_connection_ends_with_a_word() {
    let authority = Authority::new();
    let files = authority.issue("a", &["a.example"]);
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n\r\nall of it");
    let proxy = TlsProxy::before(&origin.url(), &[&files]);
    let mut client = proxy.connect("a.example", &authority.client());
    client.send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
    let (bytes, end) = client.rest();
    assert!(bytes.ends_with(b"\r\n\r\nall of it"), "{}", String::from_utf8_lossy(&bytes));
    end.unwrap();
}
