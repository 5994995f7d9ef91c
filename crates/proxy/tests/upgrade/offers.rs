//! What is offered to the origin, and what its answer does.

use super::*;

/// The origin's answer to [`ASK`], and what followed on the client's connection.
fn declined(answer: &'static str) -> (testkit::Response, testkit::Response, Vec<Received>) {
    let origin = Origin::start(move |request, conn| {
        if request.field("Upgrade").is_some() {
            conn.send(answer);
        } else {
            conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\nx");
        }
    });
    let site = Site::before(&origin);
    let mut client = site.client();
    // What the client sends ahead is the next request, unless there is a 101.
    client.send([ASK, NEXT].concat());
    let (first, second) = (client.response(), client.response());
    (first, second, origin.requests())
}

#[test]
fn the_offer_is_written_anew_and_what_belongs_to_the_other_protocol_goes_through() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    //= type=test
    //# A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header
    //# field (Section 7.6.1) to inform intermediaries not to forward this field.
    let origin = switching(|conn| drop(conn.rest()));
    let site = Site::before(&origin);
    let mut client = site.client();
    client.send(ASK);
    let head = client.head_to("GET").unwrap();
    assert_eq!((head.status, &*head.reason), (101, "Switching Protocols"));
    for (name, value) in [
        ("Connection", "upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("Sec-WebSocket-Protocol", "chat"),
        ("X-Cache", "MISS"),
        ("Cache-Status", "caching-proxy; fwd=bypass; fwd-status=101; detail=upgrade"),
        ("Via", "1.1 caching-proxy"),
    ] {
        assert_eq!(head.all(name), [value], "{name}");
    }
    assert_eq!(head.field("Content-Length").or(head.field("Transfer-Encoding")), None);
    let seen = origin.requests().remove(0);
    assert_eq!((&*seen.method, &*seen.target), ("GET", "/chat?room=1"));
    for (name, value) in [
        ("Connection", "upgrade"),
        ("Upgrade", "websocket"),
        ("Origin", "http://a"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("X-Forwarded-Host", "a"),
        ("Via", "1.1 caching-proxy"),
    ] {
        assert_eq!(seen.all(name), [value], "{name}");
    }
}

#[test]
fn only_what_cannot_carry_requests_past_the_cache_is_offered() {
    for (fields, offered) in [
        ("Connection: upgrade\r\nUpgrade: h2c, websocket\r\n", Some("websocket")),
        (
            "Connection: upgrade\r\nUpgrade: IRC/6.9\r\nUpgrade: RTA/x11\r\n",
            Some("IRC/6.9, RTA/x11"),
        ),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", None),
        ("Connection: upgrade\r\nUpgrade: TLS/1.3, HTTP/2.0\r\n", None),
        ("Upgrade: websocket\r\n", None),
        ("Connection: upgrade\r\n", None),
    ] {
        let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        let site = Site::before(&origin);
        let mut client = site.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(client.response().text(), "x");
        let seen = origin.requests().remove(0);
        assert_eq!(seen.field("Upgrade"), offered, "{fields}");
        assert_eq!(seen.field("Connection"), offered.map(|_| "upgrade"), "{fields}");
    }
}

#[test]
fn a_request_by_an_older_version_or_with_content_offers_nothing() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    let site = Site::before(&origin);
    let offer = "Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
    for (line, rest, offered) in [
        ("GET / HTTP/1.0", "\r\n", false),
        ("POST / HTTP/1.1", "Content-Length: 2\r\n\r\nhi", false),
        ("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1", "Content-Length: 0\r\n\r\n", true),
        ("OPTIONS / HTTP/1.1", "\r\n", true),
    ] {
        let before = origin.count();
        let mut client = site.client();
        client.send(format!("{line}\r\n{offer}{rest}"));
        client.try_response().map(drop).unwrap_or_default();
        let seen = origin.requests().split_off(before).remove(0);
        assert_eq!(seen.field("Upgrade").is_some(), offered, "{line} {rest}");
        assert_eq!(seen.body, if rest.contains("hi") { b"hi" } else { &b""[..] }, "{line}");
    }
}

#[test]
fn any_other_answer_is_an_ordinary_response_and_the_connection_goes_on_as_http() {
    for (answer, status, text) in [
        (
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nabc",
            200,
            "abc",
        ),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, "no"),
        (
            "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: b\r\n\
             Transfer-Encoding: chunked\r\n\r\n1\r\n?\r\n0\r\n\r\n",
            426,
            "?",
        ),
    ] {
        let (first, second, seen) = declined(answer);
        assert_eq!((first.status, &*first.text()), (status, text));
        let told = format!("caching-proxy; fwd=bypass; fwd-status={status}; detail=upgrade");
        assert_eq!(first.field("Cache-Status"), Some(&*told));
        // Parsed, screened and written anew like any request: not one byte went ahead of it.
        assert_eq!((second.status, &*second.text()), (200, "x"));
        assert_eq!(seen.len(), 2);
        assert_eq!((&*seen[1].target, seen[1].field("Via")), ("/next", Some("1.1 caching-proxy")));
    }
}

/// What a 426 says beside its status, before and behind the proxy.
fn required(fields: &str, request: &str) -> (Option<String>, Option<String>) {
    let answer = format!(
        "HTTP/1.1 426 Upgrade Required\r\n{fields}Cache-Control: max-age=60\r\n\
         Content-Length: 1\r\n\r\n?"
    );
    let origin = Origin::answering(answer);
    let site = Site::before(&origin);
    let mut told = None;
    for count in 1..3 {
        let mut client = site.client();
        client.send(request);
        let answer = client.response();
        assert_eq!((answer.status, &*answer.text()), (426, "?"), "{fields}");
        // What it is about is the origin's business each time.
        assert_eq!((answer.field("X-Cache"), origin.count()), (Some("MISS"), count), "{fields}");
        assert!(answer.all("Upgrade").len() <= 1 && answer.all("Connection").len() <= 1);
        let one = |name| answer.field(name).map(str::to_owned);
        let now = (one("Upgrade"), one("Connection"));
        assert!(*told.get_or_insert_with(|| now.clone()) == now, "{fields}");
    }
    told.unwrap()
}

#[test]
fn a_426_tells_the_client_what_the_origin_requires() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.22
    //= type=test
    //# The server MUST send an Upgrade header field in a 426 response to indicate the required
    //# protocol(s) (Section 7.8).
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    //= type=test
    //# A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header
    //# field (Section 7.6.1) to inform intermediaries not to forward this field.
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for (fields, told) in [
        ("Connection: upgrade\r\nUpgrade: a/1,b\r\nUpgrade: c\r\n", Some("a/1, b, c")),
        ("Connection: x, Upgrade\r\nX: 1\r\nUpgrade: HTTP/3.0\r\n", Some("HTTP/3.0")),
        ("Connection: close\r\nUpgrade: websocket\r\n", Some("websocket")),
        ("Connection: upgrade\r\n", None),
    ] {
        for request in [NEXT, ASK, post] {
            let expected = (told.map(str::to_owned), told.map(|_| "upgrade".to_owned()));
            assert_eq!(required(fields, request), expected, "{fields} {request}");
        }
    }
}

#[test]
fn a_426_says_beside_what_is_required_what_becomes_of_the_connection() {
    let fields = "Connection: upgrade\r\nUpgrade: a\r\n";
    for (request, connection) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close, upgrade"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive, upgrade"),
        ("GET / HTTP/1.0\r\n\r\n", "close, upgrade"),
    ] {
        let expected = (Some("a".to_owned()), Some(connection.to_owned()));
        assert_eq!(required(fields, request), expected, "{request}");
    }
}

#[test]
fn what_another_answer_advertises_is_about_the_connection_to_the_origin() {
    for status in ["200 OK", "400 Bad Request", "503 Service Unavailable"] {
        let origin = Origin::answering(format!(
            "HTTP/1.1 {status}\r\nConnection: upgrade\r\nUpgrade: h2c, websocket\r\n\
             Content-Length: 1\r\n\r\nx"
        ));
        let site = Site::before(&origin);
        for request in [NEXT, ASK] {
            let mut client = site.client();
            client.send(request);
            let answer = client.response();
            assert_eq!((answer.field("Upgrade"), answer.field("Connection")), (None, None));
        }
    }
}

#[test]
fn a_switch_that_was_not_offered_is_refused() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    //= type=test
    //# A server MUST NOT switch to a protocol that was not indicated by the client in the
    //# corresponding request's Upgrade header field.
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket, b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let (first, second, seen) = declined(answer);
        assert_eq!(first.status, 502, "{answer}");
        let told = "caching-proxy; error=http_protocol_error; received-status=101; \
                    details=\"origin-unasked-status\"";
        assert_eq!(first.field("Proxy-Status"), Some(told), "{answer}");
        assert_eq!(second.text(), "x", "{answer}");
        assert!(seen[0].connection != seen[1].connection, "such a connection is used no more");
    }
}

#[test]
fn nothing_is_taken_for_the_other_protocol_before_the_101() {
    let (tell, told) = channel();
    let origin = Origin::start(move |_, conn| {
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        let silent = !conn.peer_closes_within(std::time::Duration::from_millis(100));
        let early = conn.has_unread();
        conn.send([SWITCH, "from origin"].concat());
        let ahead = conn.bytes(b"from client".len());
        tell.lock().unwrap().send((silent, early, ahead)).unwrap();
        conn.close();
    });
    let site = Site::before(&origin);
    let mut client = site.client();
    client.send([ASK, "from client"].concat());
    let head = client.head_to("GET").unwrap();
    assert_eq!((head.status, head.informational.len()), (101, 1));
    assert_eq!(client.bytes(11).unwrap(), b"from origin");
    let (silent, early, ahead) = next(&told);
    assert!(silent && !early, "the origin got bytes before it switched");
    assert_eq!(ahead.unwrap(), b"from client");
}

#[test]
fn such_requests_are_neither_stored_nor_looked_up_nor_held_up_by_others() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx");
    });
    let site = Site::before(&origin);
    let offer = [("Connection", "upgrade"), ("Upgrade", "websocket")];
    for count in 1..4 {
        let answer = site.client().request("GET", "/", &offer);
        assert_eq!(answer.field("X-Cache"), Some("MISS"));
        assert_eq!(origin.count(), count);
    }
    assert_eq!(site.client().get("/").field("X-Cache"), Some("MISS"));
    assert_eq!(site.client().get("/").field("X-Cache"), Some("HIT"));
    assert_eq!(site.client().request("GET", "/", &offer).field("X-Cache"), Some("MISS"));
}

#[test]
fn what_an_unsafe_request_did_behind_a_switch_is_not_known() {
    let origin = Origin::start(|request, conn| match request.field("Upgrade") {
        Some(_) => {
            conn.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\n\r\n");
            let _ = conn.rest();
            conn.close();
        }
        None => drop(
            conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx"),
        ),
    });
    let site = Site::before(&origin);
    assert_eq!(site.client().get("/").field("X-Cache"), Some("MISS"));
    assert_eq!(site.client().get("/").field("X-Cache"), Some("HIT"));
    let mut client = site.client();
    let offer = [("Connection", "upgrade"), ("Upgrade", "tcp")];
    assert_eq!(client.request("POST", "/", &offer).status, 101);
    for _ in 0..2 {
        let told = site.client().get("/");
        let status = told.field("Cache-Status").unwrap();
        assert!(status.ends_with("detail=invalidated"), "{status}");
    }
}

#[test]
fn an_origin_that_is_asked_by_http2_alone_is_offered_nothing() {
    // Nobody is there: the request fails as any other would.
    let url = OriginUrl::parse("http://127.0.0.1:1").unwrap().by(Protocol::Http2);
    let site = Site::at(url, |_| {});
    let mut client = site.client();
    client.send(ASK);
    let answer = client.response();
    assert_eq!(answer.status, 502);
    let status = answer.field("Cache-Status").unwrap();
    assert!(status.contains("fwd=uri-miss"), "{status}");
}
