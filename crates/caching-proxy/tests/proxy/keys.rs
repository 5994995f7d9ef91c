//! What tells stored responses apart, and what no client can slip past the key.

use testkit::{Origin, Response};

use crate::{Proxy, cache, ok};

/// An origin that answers with what it was asked for, to be kept.
fn echoing() -> Origin {
    Origin::start(|request, conn| {
        let host = request.field("X-Forwarded-Host").unwrap_or("none");
        let content = format!("{host} {}", request.target);
        let content = if request.method == "HEAD" { "" } else { &content };
        conn.send(ok("Cache-Control: max-age=60\r\n", content));
    })
}

fn ask(proxy: &Proxy, host: &str, target: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.response()
}

#[test]
fn no_two_resources_share_a_response() {
    let origin = echoing();
    let proxy = Proxy::before(&origin);
    let targets = [
        "/a/b",
        "/a%2Fb",
        "/a%2fb",
        "/a//b",
        "//a/b",
        "/a/b/",
        "/a/./b",
        "/a/x/../b",
        "/a;/b",
        "/a/b;",
        "/a/b?",
        "/a/b??",
        "/a/b?x",
        "/a/b?x=",
        "/a/b%3Fx",
        "/A/b",
        "/a/%62",
        "/a/b?%78",
        "/a/b?x&y",
        "/a/b?y&x",
    ];
    for host in ["a.example", "b.example", "a.example:8080", "a.example."] {
        for target in targets {
            let response = ask(&proxy, host, target);
            let expected = ("MISS", format!("{host} {target}"));
            assert_eq!((cache(&response), response.text()), expected);
        }
    }
    for target in targets {
        let response = ask(&proxy, "b.example", target);
        let expected = ("HIT", format!("b.example {target}"));
        assert_eq!((cache(&response), response.text()), expected);
    }
}

#[test]
fn spellings_that_no_origin_tells_apart_share_one_that_has_no_trace_of_them() {
    let origin = echoing();
    let proxy = Proxy::before(&origin);
    for (host, target, cached) in [
        ("A.Example:80", "/x", "MISS"),
        ("a.example", "/x", "HIT"),
        ("a.EXAMPLE", "/x", "HIT"),
        ("ignored.example", "http://a.example/x", "HIT"),
        ("ignored.example", "HTTP://A.example:80/x", "HIT"),
    ] {
        let response = ask(&proxy, host, target);
        assert_eq!((cache(&response), response.text()), (cached, "a.example /x".to_owned()));
    }
    for (target, cached) in [("http://a.example", "MISS"), ("/", "HIT")] {
        let response = ask(&proxy, "a.example", target);
        assert_eq!((cache(&response), response.text()), (cached, "a.example /".to_owned()));
    }
    for (target, cached) in [("http://a.example?q", "MISS"), ("/?q", "HIT")] {
        let response = ask(&proxy, "a.example", target);
        assert_eq!((cache(&response), response.text()), (cached, "a.example /?q".to_owned()));
    }
}

#[test]
fn a_target_that_could_be_read_in_two_ways_is_refused() {
    let origin = echoing();
    let proxy = Proxy::before(&origin);
    for target in [
        "/a#b",
        "/a?b#c",
        "http://user@a.example/",
        "http://user:pass@a.example/",
        "http://a.example:80:80/",
        "http:///a",
        "ftp://a.example/",
        "a.example/",
        "/a\\b",
    ] {
        assert_eq!(ask(&proxy, "a.example", target).status, 400, "{target}");
    }
    for host in ["user@a.example", "a.example/x", "a.example:", "a.example:x", "a.example?x"] {
        assert_eq!(ask(&proxy, host, "/").status, 400, "{host}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn nothing_that_speaks_for_a_proxy_gets_past_the_key() {
    let names = [
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Prefix",
        "X-Forwarded-Scheme",
        "X-Forwarded-SSL",
        "X_Forwarded_Host",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-Original-Host",
        "X-Original-Forwarded-For",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Host",
        "Front-End-Https",
        "X-Url-Scheme",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Client-IP",
        "X-Client-IP",
        "X-ProxyUser-Ip",
        "X-Cluster-Client-IP",
        "Surrogate-Capability",
        "Proxy",
    ];
    let origin = Origin::start(|request, conn| {
        conn.send(ok("Cache-Control: max-age=60\r\n", &request.raw_head));
    });
    let proxy = Proxy::before(&origin);
    for (at, name) in names.iter().enumerate() {
        let path = format!("/{at}");
        // Naming it in Connection does not bring it through either.
        let fields = [("Connection", *name), (name, "poison.example")];
        let fetched = proxy.request("GET", &path, &fields[1..]);
        assert!(!fetched.text().contains("poison"), "{name}: {}", fetched.text());
        let hit = proxy.request("GET", &path, &fields);
        assert_eq!((cache(&hit), hit.text()), ("HIT", fetched.text()), "{name}");
    }
    // Nor do the trailers of content.
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("0\r\nX-Forwarded-Host: poison.example\r\nX-Sum: 1\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let posted = origin.requests().pop().unwrap();
    assert_eq!(posted.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
}

#[test]
fn a_vary_about_what_the_proxy_writes_itself_has_the_key_to_answer_for_it() {
    let origin = Origin::start(|request, conn| {
        let fields = "Cache-Control: max-age=60\r\nVary: X-Forwarded-Host, X-Forwarded-Proto\r\n";
        conn.send(ok(fields, request.field("X-Forwarded-Host").unwrap_or_default()));
    });
    let proxy = Proxy::before(&origin);
    for cached in ["MISS", "HIT"] {
        for host in ["a.example", "b.example"] {
            let response = ask(&proxy, host, "/");
            assert_eq!((cache(&response), response.text()), (cached, host.to_owned()));
        }
    }
}

#[test]
fn a_get_with_content_is_never_stored_and_its_content_is_never_a_request() {
    let origin = Origin::start(|request, conn| {
        let content = String::from_utf8_lossy(&request.body).into_owned();
        let content = if request.method == "HEAD" { String::new() } else { content };
        conn.send(ok("Cache-Control: max-age=60\r\n", &content));
    });
    let proxy = Proxy::with(&origin, &["--workers", "1"]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let framed = [
        format!("Content-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n",
            smuggled.len()
        ),
    ];
    let mut client = proxy.client();
    for content in framed {
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\n{content}"));
        let response = client.response();
        assert_eq!((cache(&response), response.text()), ("MISS", smuggled.to_owned()));
        client.send(format!("HEAD /x HTTP/1.1\r\nHost: a\r\n{content}"));
        assert_eq!(cache(&client.response_to("HEAD")), "MISS");
    }
    // No content is no reason to pass: this one is stored, and was not before.
    client.send("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let plain = client.response();
    assert_eq!((cache(&plain), plain.text()), ("MISS", String::new()));
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(cache(&client.response()), "HIT");
    // What is stored does not answer for content either.
    client.send("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let response = client.response();
    assert_eq!((cache(&response), response.text()), ("MISS", "abc".to_owned()));
    let targets: Vec<_> = origin.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(targets, vec!["/x"; 6]);
}

#[test]
fn content_that_an_origin_does_not_look_for_is_nobody_elses_request() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        // It reads heads alone: what follows one is the next request for it.
        let origin = Origin::at_heads(|request, conn| {
            let text = if request.method == "HEAD" { "" } else { &request.target };
            conn.send(ok("Cache-Control: no-store\r\n", text));
        });
        let proxy = Proxy::with(&origin, &["--workers", "1"]);
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = smuggled.len();
        let mut client = proxy.client();
        client.send(format!(
            "{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}"
        ));
        assert_eq!(client.response_to(method).status, 200);
        assert_eq!(client.get("/mine").text(), "/mine", "{method}");
        assert_eq!(origin.connections(), 2, "{method}");
    }
}
