//! Informational responses: passed on at once, kept by nobody (RFC 9110 §15.2).

use std::time::Instant;

use testkit::Origin;

use crate::{Proxy, cache, millis, ok, seconds};

#[test]
fn an_informational_response_goes_out_before_the_final_head_is_there() {
    for (status, fields) in [
        ("102 Processing", ""),
        ("103 Early Hints", "Link: </a.css>; rel=preload\r\nX-My: test\r\n"),
    ] {
        let origin = Origin::start(move |_, conn| {
            conn.send(format!("HTTP/1.1 {status}\r\n{fields}\r\n"));
            conn.pause(seconds(1));
            conn.send(ok("Cache-Control: max-age=60\r\nX-Final: 1\r\n", "page"));
        });
        let proxy = Proxy::before(&origin);
        let mut client = proxy.client();
        let host = proxy.address().1;
        client.send(format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{host}\r\n\r\n"));
        let asked = Instant::now();
        let (code, hints) = client.informational();
        assert!(asked.elapsed() < millis(700), "{:?}", asked.elapsed());
        assert!(status.starts_with(&code.to_string()));
        // Neither has a field of the other.
        assert_eq!(testkit::field(&hints, "X-My").is_some(), !fields.is_empty());
        assert_eq!(testkit::field(&hints, "X-Final"), None);
        let first = client.response();
        assert!(asked.elapsed() > millis(900));
        let again = proxy.get("/");
        for (answer, expected) in [(first, "MISS"), (again, "HIT")] {
            assert_eq!((cache(&answer), answer.text()), (expected, "page".to_owned()), "{status}");
            assert_eq!((answer.field("X-Final"), answer.field("X-My")), (Some("1"), None));
            assert_eq!(answer.field("Link"), None);
            assert!(answer.informational.is_empty());
        }
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn an_informational_response_announces_no_content() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.6
    //= type=test
    //# A server MUST NOT send a Content-Length header field in any response with a status code of 1xx
    //# (Informational) or 204 (No Content).
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: </a>\r\n\r\n");
        conn.send(ok("", "page"));
    });
    let answer = Proxy::before(&origin).get("/");
    assert_eq!((answer.status, answer.text()), (200, "page".to_owned()));
    assert_eq!(answer.informational, [(103, vec![("Link".to_owned(), "</a>".to_owned())])]);
}

#[test]
fn a_post_whose_response_is_stored_gets_its_informational_responses_too() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 102 Processing\r\n\r\n");
        conn.send(ok("Cache-Control: max-age=60\r\nContent-Location: /\r\n", "made"));
    });
    let proxy = Proxy::before(&origin);
    let posted = proxy.request("POST", "/", &[("Content-Length", "0")]);
    assert_eq!((posted.informational.len(), posted.text()), (1, "made".to_owned()));
    let stored = proxy.get("/");
    assert_eq!((cache(&stored), stored.text()), ("HIT", "made".to_owned()));
    assert!(stored.informational.is_empty());
}

#[test]
fn a_refresh_has_nobody_to_give_informational_responses_to() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        conn.send(ok("Cache-Control: max-age=1, stale-while-revalidate=60\r\n", "page"));
    });
    let proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/").informational.len(), 1);
    std::thread::sleep(millis(1_100));
    let stale = proxy.get("/");
    assert_eq!(cache(&stale), "HIT");
    assert!(stale.informational.is_empty() && stale.field("Link").is_none());
    assert!(testkit::eventually(|| origin.count() == 2));
}
