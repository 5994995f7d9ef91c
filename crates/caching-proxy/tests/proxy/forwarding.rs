//! Requests and responses that are passed on: framing, fields, informational responses.

use testkit::{Client, Origin};

use crate::{Proxy, cache, cache_status, millis, ok};

#[test]
fn every_method_is_forwarded_with_its_content() {
    let origin = Origin::start(|request, conn| {
        let said = format!("{} {}", request.method, String::from_utf8_lossy(&request.body));
        conn.send(ok("", if request.method == "HEAD" { "" } else { &said }));
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "GET"] {
        client.send(format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, format!("{method} hello")));
        assert_eq!(cache(&response), "MISS");
    }
    assert_eq!(origin.count(), 7);
}

#[test]
fn chunked_content_and_trailers_pass_both_ways() {
    let origin = Origin::start(|request, conn| {
        assert_eq!(request.field("Transfer-Encoding"), Some("chunked"));
        assert_eq!(request.body, b"hello world");
        assert_eq!(testkit::field(&request.trailers, "X-Sum"), Some("11"));
        conn.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n",
        );
        conn.send("3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Check: 7\r\n\r\n");
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("6\r\nhello \r\n5;ext\r\nworld\r\n0\r\nX-Sum: 11\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "abcdefg");
    assert_eq!(testkit::field(&response.trailers, "X-Check"), Some("7"));
    assert!(response.complete);
}

#[test]
fn stored_trailers_are_sent_again() {
    let origin = Origin::start(|_, conn| {
        conn.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n",
        );
        conn.send("3\r\nabc\r\n0\r\nX-Check: 7\r\n\r\n");
    });
    let proxy = Proxy::before(&origin);
    for expected in ["MISS", "HIT"] {
        let response = proxy.get("/");
        assert_eq!((cache(&response), response.text()), (expected, "abc".to_owned()));
        assert_eq!(testkit::field(&response.trailers, "X-Check"), Some("7"));
    }
}

#[test]
fn connections_are_kept_in_front_and_behind() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "x"));
    let proxy = Proxy::with(&origin, &["--workers", "1"]);
    let mut client = proxy.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "x");
    }
    assert_eq!(origin.count(), 5);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_origin_that_answers_before_it_has_the_whole_request_gets_no_other_behind_it() {
    // It takes what is still to come for a request, and answers that later.
    let origin = Origin::at_heads(|request, conn| {
        if request.target != "/early" {
            conn.read_body();
            conn.send(ok("Cache-Control: no-store\r\n", "right"));
            return;
        }
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nx");
        let length = request.field("Content-Length").unwrap().parse().unwrap();
        conn.bytes(length).unwrap();
        conn.send("y");
        if conn.bytes(1).is_ok() {
            conn.send(ok("", "wrong"));
        }
        conn.close();
    });
    let proxy = Proxy::with(&origin, &["--workers", "1"]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = proxy.client();
    let length = smuggled.len();
    client.send(format!("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    let mut head = client.head_to("POST").unwrap();
    client.send(smuggled);
    client.body_into(&mut head, &mut |_| {}).unwrap();
    assert_eq!(proxy.get("/victim").text(), "right");
    // One that answers in its turn keeps its connection.
    let before = origin.connections();
    for content in
        ["Content-Length: 2\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"]
    {
        for _ in 0..10 {
            let mut client = proxy.client();
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{content}"));
            assert_eq!(client.response().text(), "right");
        }
    }
    assert_eq!(origin.connections(), before);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|request, conn| {
        conn.send(ok("Cache-Control: no-store\r\n", &request.target));
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
         GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.response().text(), path);
    }
}

#[test]
fn expect_100_continue_is_answered_before_the_content_comes() {
    let origin = Origin::start(|request, conn| {
        assert_eq!(request.field("Expect"), None);
        conn.send(ok("", &String::from_utf8_lossy(&request.body)));
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.informational().0, 100);
    client.send("hello");
    let response = client.response();
    assert_eq!((response.status, response.text()), (200, "hello".to_owned()));
}

#[test]
fn expect_100_continue_is_not_answered_when_the_origin_is_down() {
    let proxy = Proxy::at("http://127.0.0.1:1", &[]);
    let mut client = proxy.client();
    client.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 502);
    assert!(response.informational.is_empty());
    assert!(client.at_eof());
}

#[test]
fn informational_responses_reach_the_client_that_asked() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        conn.pause(millis(50));
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n");
        conn.send(ok("Cache-Control: max-age=60\r\n", "page"));
    });
    let proxy = Proxy::before(&origin);
    let response = proxy.get("/");
    let links: Vec<_> = response
        .informational
        .iter()
        .map(|(status, fields)| (*status, testkit::field(fields, "Link").unwrap()))
        .collect();
    assert_eq!(links, [(103, "</a.css>; rel=preload"), (103, "</b.css>; rel=preload")]);
    assert_eq!(response.text(), "page");
    assert!(proxy.get("/").informational.is_empty());
}

#[test]
fn an_http_1_0_client_gets_no_informational_response_and_no_chunks() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n");
        conn.send(
            "Transfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        );
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert!(response.informational.is_empty());
    assert_eq!(response.field("Transfer-Encoding"), None);
    assert_eq!(response.text(), "abc");
    assert!(client.at_eof());
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let origin = Origin::start(|request, conn| {
        for gone in ["Connection", "Keep-Alive", "X-Hop", "Proxy-Connection", "Upgrade", "TE"] {
            assert_eq!(request.field(gone), None, "{gone}");
        }
        assert_eq!(request.field("X-End"), Some("1"));
        conn.send(ok(
            "Connection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nX-Public: 1\r\nCache-Control: max-age=60\r\n",
            "x",
        ));
    });
    let proxy = Proxy::before(&origin);
    for _ in 0..2 {
        let response = proxy.request(
            "GET",
            "/",
            &[
                ("Connection", "X-Hop, keep-alive, TE"),
                ("Keep-Alive", "300"),
                ("X-Hop", "1"),
                ("Proxy-Connection", "keep-alive"),
                ("TE", "trailers"),
                ("X-End", "1"),
            ],
        );
        assert_eq!(response.field("X-Private"), None);
        assert_eq!(response.field("Keep-Alive"), None);
        assert_eq!(response.field("Connection"), None);
        assert_eq!(response.field("X-Public"), Some("1"));
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_origin_learns_who_asked_and_by_which_way() {
    let origin = Origin::answering(ok("Via: 1.0 far\r\n", "x"));
    let proxy = Proxy::before(&origin);
    let response = proxy.request(
        "GET",
        "/p?q=%2F",
        &[
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil"),
            ("X-Real-IP", "6.6.6.6"),
            ("Forwarded", "for=6.6.6.6"),
            ("Via", "1.1 near"),
            ("x-CASE", "Kept"),
        ],
    );
    let request = &origin.requests()[0];
    assert_eq!(request.target, "/p?q=%2F");
    assert_eq!(request.all("Host"), [origin.url().trim_start_matches("http://")]);
    assert_eq!(request.all("X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(request.all("X-Forwarded-Proto"), ["http"]);
    assert_eq!(request.all("X-Forwarded-Host"), [format!("127.0.0.1:{}", proxy.address().1)]);
    assert_eq!(request.field("X-Real-IP"), None);
    assert_eq!(request.field("Forwarded"), None);
    assert_eq!(request.all("Via"), ["1.1 near", "1.1 caching-proxy"]);
    assert!(request.raw_head.contains("\r\nx-CASE: Kept\r\n"));
    assert_eq!(response.all("Via"), ["1.0 far", "1.1 caching-proxy"]);
    assert!(response.field("Date").is_some());
}

#[test]
fn a_request_id_is_kept_or_made_and_never_replayed() {
    let origin =
        Origin::answering(ok("Cache-Control: max-age=60\r\nX-Request-Id: theirs\r\n", "x"));
    let proxy = Proxy::before(&origin);
    let given = proxy.request("GET", "/", &[("X-Request-Id", "abc-1")]);
    assert_eq!(given.all("X-Request-Id"), ["abc-1"]);
    assert_eq!(origin.requests()[0].all("X-Request-Id"), ["abc-1"]);
    let made: Vec<_> = (0..2)
        .map(|_| {
            let hit = proxy.get("/");
            assert_eq!((cache(&hit), hit.all("X-Request-Id").len()), ("HIT", 1));
            hit.field("X-Request-Id").unwrap().to_owned()
        })
        .collect();
    assert!(made.iter().all(|id| id.len() == 16 && id != "theirs"));
    assert_ne!(made[0], made[1]);
}

#[test]
fn no_path_leads_out_of_that_of_the_origin() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "x"));
    let proxy = Proxy::at(&format!("{}/api", origin.url()), &[]);
    for path in ["/../admin", "/%2e%2e/admin", "/..;/admin", "/a//../../admin"] {
        let answer = proxy.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.field("Proxy-Status").unwrap().contains("\"outside-of-origin\""), "{path}");
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(proxy.get("/a/../b").status, 200);
    assert_eq!(origin.requests()[0].target, "/api/a/../b");
    // Where all of it is served there is nothing outside.
    let proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/../x").status, 200);
    assert_eq!(origin.requests()[1].target, "/../x");
}

#[test]
fn a_path_in_the_origin_url_is_put_before_every_path() {
    let origin = Origin::start(|request, conn| {
        conn.send(ok("", &request.target));
    });
    let proxy = Proxy::at(&format!("{}/api/v1/", origin.url()), &[]);
    assert_eq!(proxy.get("/x?y=1").text(), "/api/v1/x?y=1");
    let mut client = proxy.client();
    client.send("GET http://other.example/z HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(client.response().text(), "/api/v1/z");
}

#[test]
fn a_response_can_begin_before_the_request_has_ended() {
    let origin = Origin::at_heads(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n5\r\nearly\r\n");
        let body = conn.read_body().unwrap();
        conn.send(format!("{:x}\r\n{}\r\n0\r\n\r\n", body.len(), String::from_utf8(body).unwrap()));
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nfour");
    let mut response = client.head_to("POST").unwrap();
    client.send("more");
    let mut body = Vec::new();
    client.body_into(&mut response, &mut |part| body.extend_from_slice(part)).unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), "earlyfourmore");
}

#[test]
fn an_answer_to_unfinished_content_ends_the_connection() {
    let origin = Origin::at_heads(|_, conn| {
        conn.send(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig",
        );
        conn.close();
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart");
    let response = client.response();
    assert_eq!((response.status, response.text()), (413, "big".to_owned()));
    assert_eq!(response.field("Connection"), Some("close"));
}

#[test]
fn head_is_forwarded_and_announces_the_length_without_content() {
    let origin = Origin::start(|request, conn| {
        assert_eq!(request.method, "HEAD");
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    for _ in 0..2 {
        let response = client.request("HEAD", "/", &[]);
        assert_eq!(response.field("Content-Length"), Some("12345"));
        assert_eq!(cache(&response), "MISS");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_kept_connection_that_the_origin_closed_does_not_fail_a_request() {
    let origin = Origin::start(|request, conn| {
        conn.send(ok("Cache-Control: no-store\r\n", &request.target));
        // Announces nothing: the proxy keeps the connection and finds it closed later.
        conn.close();
    });
    let proxy = Proxy::with(&origin, &["--workers", "1"]);
    let mut client: Client = proxy.client();
    for number in 0..50 {
        let path = format!("/{number}");
        let response = client.get(&path);
        assert_eq!((response.status, response.text()), (200, path), "{}", cache_status(&response));
    }
}
