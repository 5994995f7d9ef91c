//! More content than is taken, one way and the other.

use testkit::{Client, Origin, Response};

use crate::{Proxy, cache, ok};

fn echo() -> Origin {
    Origin::start(|request, conn| {
        conn.send(ok("Cache-Control: no-store\r\n", &request.body.len().to_string()));
    })
}

fn chunked(content: &str) -> String {
    let chunks = content
        .as_bytes()
        .chunks(7)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)));
    chunks.collect::<String>() + "0\r\n\r\n"
}

/// A POST with so much content, whose length is announced or not.
fn post(client: &mut Client, length: usize, announced: bool) -> Response {
    let content = "x".repeat(length);
    let head = "POST / HTTP/1.1\r\nHost: a\r\n";
    client.send(if announced {
        format!("{head}Content-Length: {length}\r\n\r\n{content}")
    } else {
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunked(&content))
    });
    client.response()
}

#[test]
fn a_request_has_as_much_content_as_it_may_and_not_one_byte_more() {
    let origin = echo();
    let proxy = Proxy::with(&origin, &["--max-request-content", "100"]);
    let mut client = proxy.client();
    for announced in [true, false] {
        let answer = post(&mut client, 100, announced);
        assert_eq!((answer.status, answer.text()), (200, "100".to_owned()));
    }
    for (announced, code) in [(true, "content-too-large"), (false, "client-content-too-large")] {
        let mut client = proxy.client();
        let answer = post(&mut client, 101, announced);
        assert_eq!(answer.status, 413);
        let told = answer.field("Proxy-Status").unwrap();
        assert!(told.ends_with(&format!("; details=\"{code}\"")), "{told}");
        assert_eq!(answer.field("Connection"), Some("close"));
        assert!(client.at_eof());
    }
    // What was announced never reached the origin; the other one was broken off there.
    let seen = origin.requests();
    assert_eq!(seen.iter().filter(|request| request.body.len() == 100).count(), 2);
    assert!(seen.iter().all(|request| request.field("Content-Length") != Some("101")));
    assert!(seen.iter().all(|request| request.body.len() <= 100));
}

#[test]
fn a_client_that_asks_before_it_sends_is_told_at_once() {
    let origin = echo();
    let proxy = Proxy::with(&origin, &["--max-request-content", "100"]);
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status, answer.informational.len()), (413, 0));
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_query_is_no_exception() {
    let origin = echo();
    let proxy = Proxy::with(&origin, &["--max-request-content", "100"]);
    for (length, status) in [(100, 200), (101, 413)] {
        let mut client = proxy.client();
        let content = chunked(&"x".repeat(length));
        let fields = "Host: a\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n";
        client.send(format!("QUERY / HTTP/1.1\r\n{fields}\r\n{content}"));
        assert_eq!(client.response().status, status, "{length}");
    }
}

fn large(length: usize, announced: bool) -> Origin {
    let content = "x".repeat(length);
    let fields = "Cache-Control: max-age=60\r\n";
    Origin::answering(if announced {
        ok(fields, &content)
    } else {
        format!(
            "HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{}",
            chunked(&content)
        )
    })
}

#[test]
fn a_response_has_as_much_content_as_it_may_and_not_one_byte_more() {
    let args = ["--max-response-content", "100000"];
    for announced in [true, false] {
        let origin = large(100_000, announced);
        let proxy = Proxy::with(&origin, &args);
        for expected in ["MISS", "HIT"] {
            let answer = proxy.get("/");
            assert_eq!((answer.status, cache(&answer)), (200, expected));
            assert!(answer.complete && answer.body.len() == 100_000);
        }
    }
    let origin = large(100_001, true);
    let proxy = Proxy::with(&origin, &args);
    for _ in 0..2 {
        let answer = proxy.get("/");
        assert_eq!(answer.status, 502);
        let told = answer.field("Proxy-Status").unwrap();
        assert!(told.contains("error=http_response_body_size"), "{told}");
        assert!(told.ends_with("; details=\"origin-content-too-large\""), "{told}");
    }
    assert_eq!(origin.count(), 2);
    // A HEAD brings none of it.
    assert_eq!(proxy.request("HEAD", "/", &[]).status, 200);
}

#[test]
fn a_response_that_turns_out_too_large_is_cut_so_that_all_see_it_and_not_stored() {
    let origin = large(100_001, false);
    let proxy = Proxy::with(&origin, &["--max-response-content", "100000"]);
    for count in 1..3 {
        let answer = proxy.get("/");
        assert_ne!(cache(&answer), "HIT");
        assert!(answer.status == 502 || !answer.complete, "{}", answer.raw_head);
        assert!(answer.body.len() <= 100_000);
        assert_eq!(origin.count(), count);
    }
    // The same on its way to one client alone.
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let answer = client.response();
    assert!(!answer.complete && answer.body.len() <= 100_000);
}
