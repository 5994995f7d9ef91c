//! Requests that go in circles, and requests that may go only so far.

use testkit::{Client, Launch, Origin};

use crate::{Proxy, ok};

#[test]
fn each_proxy_adds_itself_behind_what_the_request_brought() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "x"));
    let inner = Proxy::before(&origin);
    let outer = Proxy::at(&format!("http://127.0.0.1:{}", inner.address().1), &[]);
    let theirs = ("CDN-Loop", "foo.example; a=\"b, c\"");
    let response = outer.request("GET", "/", &[theirs, ("Connection", "CDN-Loop, Via")]);
    assert_eq!(response.status, 200, "{}", response.text());
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.all("CDN-Loop"), [theirs.1, "caching-proxy", "caching-proxy"]);
    assert_eq!(request.all("Via"), ["1.1 caching-proxy", "1.1 caching-proxy"]);
}

#[test]
fn a_proxy_that_is_its_own_origin_ends_the_loop_and_says_what_to_do() {
    // A port that is free now, and taken again at once.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = tempfile::TempDir::new().unwrap();
    let _proxy = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--port", &port.to_string(), "--origin", &format!("http://127.0.0.1:{port}")])
        .args(["--no-disk", "--max-hops", "3", "--cache-dir"])
        .arg(directory.path().join("cache"))
        .start();
    for method in ["GET", "POST"] {
        let response = Client::connect(("127.0.0.1", port)).request(method, "/", &[]);
        assert_eq!(response.status, 502);
        let told = response.all("Proxy-Status");
        assert_eq!(told, ["caching-proxy; error=proxy_loop_detected; details=\"loop\""]);
        assert_eq!(
            response.text(),
            "the request came through 4 proxies of this kind, and 3 are permitted: check that the \
             origin does not lead back to this proxy, or permit more with --max-hops\n"
        );
    }
}

#[test]
fn the_hop_limit_is_the_operators() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "x"));
    let came_by = |times| ("CDN-Loop", vec!["caching-proxy"; times].join(", "));
    for (args, most) in [(&[][..], 16), (&["--max-hops", "0"], 0), (&["--max-hops", "2"], 2)] {
        let proxy = Proxy::with(&origin, args);
        let (name, value) = came_by(most);
        assert_eq!(proxy.request("GET", "/", &[(name, &value)]).status, 200);
        let (name, value) = came_by(most + 1);
        assert_eq!(proxy.request("GET", "/", &[(name, &value)]).status, 502);
    }
}

#[test]
fn trace_and_options_go_as_far_as_they_may() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2
    //= type=test
    //# Each intermediary that receives a TRACE or OPTIONS request containing a Max-Forwards header
    //# field MUST check and update its value prior to forwarding the request.
    let origin = Origin::answering(ok("", "x"));
    let proxy = Proxy::before(&origin);
    for method in ["TRACE", "OPTIONS"] {
        let passed = proxy.request(method, "/", &[("Max-Forwards", "10")]);
        assert_eq!((passed.status, passed.text()), (200, "x".to_owned()));
        assert_eq!(origin.requests().pop().unwrap().all("Max-Forwards"), ["9"]);
        proxy.request(method, "/", &[]);
        assert_eq!(origin.requests().pop().unwrap().field("Max-Forwards"), None);
    }
    proxy.request("GET", "/", &[("Max-Forwards", "0")]);
    assert_eq!(origin.requests().pop().unwrap().all("Max-Forwards"), ["0"]);
    assert_eq!(origin.count(), 5);
}

#[test]
fn a_trace_or_options_that_may_go_no_further_is_answered_here() {
    let origin = Origin::answering(ok("", "x"));
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("TRACE /a?b HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\nX: y\r\nCookie: z\r\n\r\n");
    let traced = client.response();
    assert_eq!((traced.status, traced.field("Content-Type")), (200, Some("message/http")));
    assert_eq!(traced.text(), "TRACE /a?b HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\nX: y\r\n\r\n");
    client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n");
    let options = client.response();
    assert_eq!((options.status, options.text()), (200, String::new()));
    assert!(options.field("Allow").unwrap().contains("GET"));
    for answer in [traced, options] {
        let told = "caching-proxy; error=proxy_internal_response; details=\"max-forwards\"";
        assert_eq!(answer.all("Proxy-Status"), [told]);
        assert_eq!((answer.field("Cache-Status"), answer.field("X-Cache")), (None, Some("MISS")));
    }
    assert_eq!(origin.count(), 0);
}
