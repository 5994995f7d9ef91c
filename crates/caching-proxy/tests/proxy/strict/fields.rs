//! Field lines, and fields that are about one connection.

use super::{Case, forwarded, refused};

/// A request with these field lines after Host.
fn with(fields: &str) -> String {
    format!("GET /f HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

const LINE: &str = "GET /f HTTP/1.1";

pub(super) fn cases() -> Vec<Case> {
    [syntax(), connection(), end_to_end(), expectations()].into_iter().flatten().collect()
}

fn syntax() -> Vec<Case> {
    const FIELD: &str = "RFC 9112 §5";
    const NAME: &str = "RFC 9110 §5.1";
    const VALUE: &str = "RFC 9110 §5.5";
    let mut cases = vec![
        refused("RFC 9112 §5.1", 400, with("X : 1\r\n")),
        refused("RFC 9112 §5.1", 400, with("X\t: 1\r\n")),
        refused("RFC 9112 §5.1", 400, with("Content-Length : 0\r\n")),
        refused("RFC 9112 §5.1", 400, with("Transfer-Encoding : chunked\r\n")),
        refused("RFC 9112 §5.2", 400, with("X: 1\r\n 2\r\n")),
        refused("RFC 9112 §5.2", 400, with("X: 1\r\n\t2\r\n")),
        refused("RFC 9112 §5.2", 400, with("Transfer-Encoding:\r\n chunked\r\n")),
        refused("RFC 9112 §5.2", 400, with("X: 1\r\n \r\n")),
        refused(FIELD, 400, with("X\r\n")),
        refused(FIELD, 400, with("X 1\r\n")),
        refused(NAME, 400, with(": 1\r\n")),
        refused(NAME, 400, with("\"X\": 1\r\n")),
        forwarded(VALUE, with("X:\r\n"), LINE).with("X", ""),
        forwarded("RFC 9112 §5.1", with("X:1\r\n"), LINE).with("X", "1"),
        forwarded("RFC 9112 §5.1", with("X: \t 1 2\t \r\n"), LINE).with("X", "1 2"),
        forwarded(VALUE, with("X: a:b, \"c;d\"\r\n"), LINE).with("X", "a:b, \"c;d\""),
        forwarded(VALUE, with("X: caf\u{e9}\r\n"), LINE).with("X", "caf\u{e9}"),
    ];
    let names = ["A B", "A(", "A/B", "A@", "A[", "A\u{e9}", "A\0", "A=", "A;", "A,B", "{A}"];
    cases.extend(names.iter().map(|name| refused(NAME, 400, with(&format!("{name}: 1\r\n")))));
    let control = ['\0', '\u{1}', '\u{8}', '\u{b}', '\u{c}', '\u{1b}', '\u{7f}'];
    cases.extend(control.iter().map(|byte| refused(VALUE, 400, with(&format!("X: a{byte}b\r\n")))));
    cases
}

fn connection() -> Vec<Case> {
    const HOP: &str = "RFC 9110 §7.6.1";
    vec![
        forwarded(HOP, with("Connection: x-one, X-Two\r\nX-One: 1\r\nX-Two: 2\r\nX-3: 3\r\n"), LINE)
            .without("X-One")
            .without("X-Two")
            .without("Connection")
            .with("X-3", "3"),
        forwarded(HOP, with("X-One: 1\r\nConnection: y\r\nConnection: x-one\r\n"), LINE)
            .without("X-One"),
        forwarded(HOP, with("Connection: ,, x-one ,\r\nX-One: 1\r\n"), LINE).without("X-One"),
        forwarded(HOP, with("Keep-Alive: timeout=5\r\n"), LINE).without("Keep-Alive"),
        forwarded(HOP, with("Proxy-Connection: keep-alive\r\n"), LINE).without("Proxy-Connection"),
        forwarded("RFC 9110 §11.7.2", with("Proxy-Authorization: Basic eA==\r\n"), LINE)
            .without("Proxy-Authorization"),
        forwarded("RFC 9110 §10.1.4", with("TE: trailers, gzip\r\n"), LINE).without("TE"),
        forwarded(
            "RFC 9113 §3.1",
            with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
            LINE,
        )
        .without("Upgrade")
        .without("HTTP2-Settings")
        .without("Connection"),
        forwarded("RFC 9110 §7.8", with("Upgrade: TLS/1.3\r\nConnection: upgrade\r\n"), LINE)
            .without("Upgrade"),
        // Without the option the field is nobody's.
        forwarded("RFC 9110 §7.8", with("Upgrade: websocket\r\n"), LINE).without("Upgrade"),
    ]
}

/// What a client may not have removed by naming it.
fn end_to_end() -> Vec<Case> {
    let fields = [
        ("Authorization", "Basic eA=="),
        ("Cache-Control", "no-cache"),
        ("Cookie", "a=b"),
        ("Range", "bytes=0-1"),
        ("If-None-Match", "\"x\""),
        ("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("Accept", "text/plain"),
        ("Accept-Encoding", "gzip"),
        ("Origin", "http://a"),
        ("Content-Type", "text/plain"),
        ("User-Agent", "me"),
        ("Pragma", "no-cache"),
        ("Sec-Fetch-Site", "none"),
    ];
    let mut cases: Vec<_> = fields
        .iter()
        .map(|&(name, value)| {
            // A miss of a GET would leave out conditions.
            let head = format!("Host: a\r\nConnection: {name}\r\n{name}: {value}\r\n\r\n");
            let head = format!("POST /f HTTP/1.1\r\n{head}");
            forwarded("RFC 9110 §7.6.1", head, "POST /f HTTP/1.1").with(name, value)
        })
        .collect();
    // These the proxy writes, whatever a client wants.
    for (name, value) in [
        ("X-Forwarded-Host", "a"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Via", "1.1 caching-proxy"),
        ("CDN-Loop", "caching-proxy"),
    ] {
        let fields = format!("Connection: {name}, close-not, keep-alive\r\n");
        cases.push(forwarded("RFC 9110 §7.6.1", with(&fields), LINE).with(name, value));
    }
    let length = "POST /f HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, Host\r\n\
                  Content-Length: 3\r\n\r\nabc";
    cases.push(forwarded("RFC 9112 §6.2", length, "POST /f HTTP/1.1").body("abc"));
    let coding = "POST /f HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\n\
                  Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    cases.push(forwarded("RFC 9112 §6.1", coding, "POST /f HTTP/1.1").body("abc"));
    cases
}

fn expectations() -> Vec<Case> {
    const EXPECT: &str = "RFC 9110 §10.1.1";
    let post = |version: &str, expect: &str| {
        format!(
            "POST /f HTTP/{version}\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 1\r\n\r\nx"
        )
    };
    vec![
        // The proxy answers it for the origin, and it goes no further.
        forwarded(EXPECT, post("1.1", "100-continue"), "POST /f HTTP/1.1")
            .without("Expect")
            .body("x"),
        forwarded(EXPECT, post("1.1", "a-miracle"), "POST /f HTTP/1.1").without("Expect").body("x"),
        forwarded(EXPECT, post("1.0", "100-continue"), "POST /f HTTP/1.1")
            .without("Expect")
            .body("x")
            .last(),
        forwarded(EXPECT, with("Expect: 100-continue\r\n"), LINE).without("Expect"),
    ]
}
