//! Messages that no proxy should pass on.

use std::thread::sleep;

use testkit::Origin;

use crate::{Proxy, cache_status, millis, ok};

#[test]
fn malformed_requests_are_refused_and_the_connection_closed() {
    let origin = Origin::answering(ok("", "x"));
    let proxy = Proxy::before(&origin);
    let long = "a".repeat(9_000);
    let many = "X: 1\r\n".repeat(200);
    for (request, status) in [
        ("GET / HTTP/1.1\n\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n".to_owned(), 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"
                .to_owned(),
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(), 501),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = proxy.client();
        client.send(&request);
        // What follows must not be taken for another request.
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.response();
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
        assert_eq!(answer.field("Connection"), Some("close"));
        assert_eq!(answer.field("X-Cache"), Some("MISS"));
        assert_eq!(answer.field("Cache-Status"), None);
        assert!(answer.field("Proxy-Status").unwrap().contains("; details=\""));
        assert!(client.at_eof(), "{request:?}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_client_that_sends_on_without_reading_is_held_up_and_not_cut_off() {
    use std::io::{ErrorKind, Read, Write};
    let origin = Origin::answering(ok("", "x"));
    let proxy = Proxy::before(&origin);
    let mut client = std::net::TcpStream::connect(proxy.address()).unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n").unwrap();
    client.set_write_timeout(Some(millis(300))).unwrap();
    // More than all buffers take.
    let error = client.write_all(&vec![b'x'; 64 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[test]
fn malformed_content_is_refused() {
    let origin = Origin::at_heads(|_, conn| {
        if conn.read_body().is_some() {
            conn.send(ok("", "x"));
        }
    });
    let proxy = Proxy::before(&origin);
    for content in ["5\nhello\r\n0\r\n\r\n", "xyz\r\n", "5\r\nhelloX\r\n", "fffffffffffffffff\r\n"]
    {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(content);
        let answer = client.response();
        assert_eq!(answer.status, 400, "{content:?}");
        assert!(cache_status(&answer).contains("client-bad-content"));
        assert!(client.at_eof());
    }
}

#[test]
fn connect_is_not_served() {
    let origin = Origin::answering(ok("", "x"));
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    assert_eq!(client.response().status, 501);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_client_that_only_connects_or_stops_midway_is_no_harm() {
    let origin = Origin::answering(ok("", "x"));
    let proxy = Proxy::before(&origin);
    let _silent: Vec<_> = (0..50).map(|_| proxy.client()).collect();
    let mut midway = proxy.client();
    midway.send("GET / HTTP/1.1\r\nHo");
    sleep(millis(50));
    assert_eq!(proxy.get("/").text(), "x");
    midway.finish();
    assert!(midway.at_eof());
}
