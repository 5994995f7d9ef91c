//! The kit against itself: a test tool that lies makes every test worthless.

use std::time::Duration;

use testkit::{Client, Cut, Origin};

fn client_of(origin: &Origin) -> Client {
    Client::connect(("127.0.0.1", origin.port()))
}

#[test]
fn one_connection_carries_many_requests() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nhi");
    let mut client = client_of(&origin);
    for path in ["/a", "/b", "/c"] {
        let response = client.get(path);
        assert_eq!((response.status, response.text().as_str()), (200, "hi"));
        assert_eq!(response.field("x-a"), Some("1"));
        assert!(response.complete);
    }
    let targets: Vec<_> = origin.requests().into_iter().map(|seen| seen.target).collect();
    assert_eq!((targets, origin.connections()), (vec!["/a".into(), "/b".into(), "/c".into()], 1));
}

#[test]
fn chunks_and_trailers_come_through_both_ways() {
    let origin = Origin::start(|request, conn| {
        assert_eq!(request.body, b"hello world");
        assert_eq!(request.trailers, [("T".to_owned(), "1".to_owned())]);
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n");
        conn.send("0\r\nEnd: yes\r\n\r\n");
    });
    let mut client = client_of(&origin);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("6\r\nhello \r\n5\r\nworld\r\n0\r\nT: 1\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "hello");
    assert_eq!(response.trailers, [("End".to_owned(), "yes".to_owned())]);
    assert!(response.complete);
}

#[test]
fn a_body_cut_short_is_not_complete() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    for reset in [false, true] {
        let origin = Origin::start(move |_, conn| {
            conn.send(short);
            conn.pause(Duration::from_millis(20));
            if reset {
                conn.reset();
            }
            conn.close();
        });
        let response = client_of(&origin).get("/");
        assert_eq!((response.text().as_str(), response.complete), ("half", false));
    }
}

#[test]
fn reset_is_seen_as_reset() {
    let origin = Origin::start(|_, conn| conn.reset());
    let mut client = client_of(&origin);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.try_response(), Err(Cut::Reset(String::new())));
}

#[test]
fn informational_responses_are_collected() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let response = client_of(&origin).get("/");
    let link = ("Link".to_owned(), "</a>".to_owned());
    assert_eq!(response.informational, [(103, vec![link])]);
    assert_eq!(response.status, 200);
}

#[test]
fn continue_is_sent_before_the_body_is_asked_for() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut client = client_of(&origin);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.informational().0, 100);
    client.send("abc");
    assert_eq!(client.response().status, 200);
    assert_eq!(origin.requests()[0].body, b"abc");
}

#[test]
fn malformed_responses_are_called_so() {
    let table = [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\nx",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
    ];
    for bytes in table {
        let origin = Origin::start(move |_, conn| {
            conn.send(bytes);
            conn.close();
        });
        let mut client = client_of(&origin);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let read = client.try_response();
        assert!(matches!(read, Err(Cut::Malformed(_))), "{bytes:?} gave {read:?}");
    }
}

#[test]
#[should_panic(expected = "malformed request")]
fn a_malformed_request_fails_the_test_of_the_origin() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\n\r\n");
    let mut client = client_of(&origin);
    client.send("GET /a b HTTP/1.1\r\n\r\n");
    assert!(client.at_eof());
}

#[test]
#[should_panic(expected = "handler panicked on GET /x")]
fn a_panic_of_the_handler_fails_the_test() {
    let origin = Origin::start(|_, _| panic!("on purpose"));
    let mut client = client_of(&origin);
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.at_eof());
}

#[test]
fn heads_are_handled_before_the_body_is_there() {
    let origin = Origin::at_heads(|request, conn| {
        assert!(request.body.is_empty());
        conn.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(conn.read_body().as_deref(), Some(&b"late"[..]));
        conn.close();
    });
    let mut client = client_of(&origin);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response().status, 413);
    client.send("late");
    assert!(client.at_eof());
    assert_eq!(origin.requests()[0].body, b"late");
}

#[test]
fn the_end_of_the_connection_and_its_silence_are_told_apart() {
    let origin = Origin::start(|request, conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        if request.target == "/last" {
            conn.close();
        }
    });
    let mut client = client_of(&origin);
    client.get("/");
    assert!(client.stays_open(Duration::from_millis(20)));
    client.get("/last");
    assert!(client.at_eof());
}
