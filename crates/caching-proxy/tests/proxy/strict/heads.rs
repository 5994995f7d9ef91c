//! Request lines, targets, Host, and the shape of a head.

use super::{Case, answered, forwarded, refused};

/// A request with this line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

/// A GET with this Host line, which may be several or none.
fn host(lines: &str) -> String {
    format!("GET /h HTTP/1.1\r\n{lines}\r\n")
}

pub(super) fn cases() -> Vec<Case> {
    [lines(), versions(), methods(), targets(), hosts()].into_iter().flatten().collect()
}

fn lines() -> Vec<Case> {
    const CRLF: &str = "RFC 9112 §2.2";
    const LINE: &str = "RFC 9112 §3";
    vec![
        refused(CRLF, 400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        refused(CRLF, 400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        refused(CRLF, 400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        refused(CRLF, 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n"),
        refused(CRLF, 400, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
        refused(CRLF, 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n"),
        refused(CRLF, 400, "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
        refused(CRLF, 400, "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
        forwarded(CRLF, format!("\r\n{}", line("GET /one HTTP/1.1")), "GET /one HTTP/1.1"),
        refused(CRLF, 400, format!("\r\n\r\n{}", line("GET /two HTTP/1.1"))),
        refused(CRLF, 400, format!("\n{}", line("GET / HTTP/1.1"))),
        refused(CRLF, 400, "GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n"),
        refused(CRLF, 400, "GET / HTTP/1.1\r\n\tX: 1\r\nHost: a\r\n\r\n"),
        refused(CRLF, 400, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n".as_slice()),
        refused(CRLF, 400, "EHLO a.example\r\n\r\n"),
        refused(LINE, 400, line("GET")),
        refused(LINE, 400, line("GET ")),
        refused(LINE, 400, line("GET / ")),
        refused(LINE, 400, line("GET  / HTTP/1.1")),
        refused(LINE, 400, line("GET /  HTTP/1.1")),
        refused(LINE, 400, line(" GET / HTTP/1.1")),
        refused(LINE, 400, line("GET\t/ HTTP/1.1")),
        refused(LINE, 400, line("GET /\tHTTP/1.1")),
        refused(LINE, 400, line("GET / HTTP/1.1 ")),
        refused(LINE, 400, line("GET / HTTP/1.1 HTTP/1.1")),
        refused(LINE, 400, line("GET /a b HTTP/1.1")),
        refused(LINE, 400, line("GET /\u{b}HTTP/1.1")),
        refused("RFC 9110 §5.5", 400, line("GET /\0 HTTP/1.1")),
    ]
}

fn versions() -> Vec<Case> {
    const VERSION: &str = "RFC 9112 §2.3";
    vec![
        refused(VERSION, 400, line("GET / http/1.1")),
        refused(VERSION, 400, line("GET / HTTP/1.10")),
        refused(VERSION, 400, line("GET / HTTP/01.1")),
        refused(VERSION, 400, line("GET / HTTP/11")),
        refused(VERSION, 400, line("GET / HTTP/1,1")),
        refused(VERSION, 400, line("GET / HTTP/1.")),
        refused(VERSION, 400, line("GET / HTTP/1.x")),
        refused(VERSION, 400, line("GET / HTTPS/1.1")),
        // HTTP/0.9 had a line and nothing else.
        refused("RFC 9112 §2.3", 400, "GET /\r\n\r\n"),
        refused("RFC 9110 §15.6.6", 505, line("GET / HTTP/0.9")),
        refused("RFC 9110 §15.6.6", 505, line("GET / HTTP/2.0")),
        refused("RFC 9110 §15.6.6", 505, line("GET / HTTP/3.0")),
        // A higher minor version is read as the highest that is known.
        forwarded("RFC 9110 §2.5", line("GET /m HTTP/1.2"), "GET /m HTTP/1.1"),
        forwarded("RFC 9112 §9.3", "GET /o HTTP/1.0\r\n\r\n", "GET /o HTTP/1.1")
            .with("Via", "1.0 caching-proxy")
            .last(),
        forwarded(
            "RFC 9112 §9.3",
            "GET /k HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            "GET /k HTTP/1.1",
        )
        .without("Keep-Alive"),
        forwarded(
            "RFC 9112 §9.3",
            "GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /c HTTP/1.1",
        )
        .without("Close")
        .last(),
        forwarded(
            "RFC 9112 §9.3",
            "GET /ck HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
            "GET /ck HTTP/1.1",
        )
        .last(),
    ]
}

fn methods() -> Vec<Case> {
    const METHOD: &str = "RFC 9112 §3.1";
    vec![
        refused(METHOD, 400, line("G(T / HTTP/1.1")),
        refused(METHOD, 400, line("GET: / HTTP/1.1")),
        refused(METHOD, 400, line("\"GET\" / HTTP/1.1")),
        refused(METHOD, 400, line("G\u{e9}T / HTTP/1.1")),
        // Methods are case-sensitive: this one is nobody's.
        forwarded("RFC 9110 §9.1", line("get /lower HTTP/1.1"), "get /lower HTTP/1.1"),
        forwarded("RFC 9110 §16.1", line("BREW /pot HTTP/1.1"), "BREW /pot HTTP/1.1"),
        forwarded("RFC 9110 §9.3.2", line("HEAD /head HTTP/1.1"), "HEAD /head HTTP/1.1"),
        forwarded("RFC 9110 §9.3.7", line("OPTIONS * HTTP/1.1"), "OPTIONS * HTTP/1.1"),
        forwarded("RFC 9112 §3.2.4", line("OPTIONS http://a HTTP/1.1"), "OPTIONS * HTTP/1.1"),
        forwarded("RFC 9112 §3.2.4", line("OPTIONS http://a/ HTTP/1.1"), "OPTIONS / HTTP/1.1"),
        forwarded("RFC 9112 §3.2.4", line("OPTIONS http://a?q HTTP/1.1"), "OPTIONS /?q HTTP/1.1"),
        forwarded("RFC 9110 §9.3.7", line("OPTIONS /x HTTP/1.1"), "OPTIONS /x HTTP/1.1"),
        forwarded(
            "RFC 9110 §7.6.2",
            "OPTIONS /m HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n",
            "OPTIONS /m HTTP/1.1",
        )
        .with("Max-Forwards", "2"),
        answered(
            "RFC 9110 §7.6.2",
            200,
            "OPTIONS /m HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
        ),
        answered("RFC 9110 §7.6.2", 200, "TRACE /t HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"),
        // It means nothing for other methods.
        forwarded(
            "RFC 9110 §7.6.2",
            "GET /m HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
            "GET /m HTTP/1.1",
        )
        .with("Max-Forwards", "0"),
        forwarded("RFC 9110 §9.3.8", line("TRACE /t HTTP/1.1"), "TRACE /t HTTP/1.1"),
        refused(
            "RFC 9110 §9.3.8",
            400,
            "TRACE /t HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        ),
        refused(
            "RFC 9110 §9.3.8",
            400,
            "TRACE /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        answered("RFC 9110 §9.3.6", 501, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        refused("RFC 9112 §3.2.3", 400, line("CONNECT / HTTP/1.1")),
        refused("RFC 9112 §3.2.3", 400, line("CONNECT a HTTP/1.1")),
        refused("RFC 9112 §3.2.3", 400, line("CONNECT a: HTTP/1.1")),
        refused("RFC 9112 §3.2.3", 400, line("CONNECT http://a:80/ HTTP/1.1")),
    ]
}

fn targets() -> Vec<Case> {
    const TARGET: &str = "RFC 9112 §3.2";
    const ABSOLUTE: &str = "RFC 9112 §3.2.2";
    vec![
        refused(TARGET, 400, line("GET path HTTP/1.1")),
        refused(TARGET, 400, line("GET ?query HTTP/1.1")),
        refused(TARGET, 400, line("GET /a#fragment HTTP/1.1")),
        refused(TARGET, 400, line("GET /a\\..\\b HTTP/1.1")),
        refused(TARGET, 400, line("GET /<script> HTTP/1.1")),
        refused(TARGET, 400, line("GET /\u{fc} HTTP/1.1")),
        refused(TARGET, 400, line("GET /\u{7f} HTTP/1.1")),
        forwarded(TARGET, line("GET //two HTTP/1.1"), "GET //two HTTP/1.1"),
        forwarded(TARGET, line("GET /%2e%2e/%00 HTTP/1.1"), "GET /%2e%2e/%00 HTTP/1.1"),
        forwarded(TARGET, line("GET /a?b=c?d HTTP/1.1"), "GET /a?b=c?d HTTP/1.1"),
        refused("RFC 9112 §3.2.4", 400, line("GET * HTTP/1.1")),
        refused("RFC 9112 §3.2.4", 400, line("OPTIONS ** HTTP/1.1")),
        refused(ABSOLUTE, 400, line("GET ftp://a/ HTTP/1.1")),
        refused(ABSOLUTE, 400, line("GET file:///etc HTTP/1.1")),
        refused(ABSOLUTE, 400, line("GET http:/a HTTP/1.1")),
        refused(ABSOLUTE, 400, line("GET http:// HTTP/1.1")),
        refused("RFC 9110 §4.2.1", 400, line("GET http:///p HTTP/1.1")),
        refused("RFC 9110 §4.2.4", 400, line("GET http://u:p@a/ HTTP/1.1")),
        refused(ABSOLUTE, 400, line("GET http://a:x/ HTTP/1.1")),
        refused(ABSOLUTE, 400, line("GET http://a,b/ HTTP/1.1")),
        // Host is replaced by what the target says.
        forwarded(ABSOLUTE, line("GET http://b.example/p HTTP/1.1"), "GET /p HTTP/1.1")
            .with("X-Forwarded-Host", "b.example"),
        forwarded("RFC 9112 §3.2.1", line("GET http://b HTTP/1.1"), "GET / HTTP/1.1"),
        forwarded("RFC 9112 §3.2.1", line("GET http://b?q HTTP/1.1"), "GET /?q HTTP/1.1"),
        forwarded(ABSOLUTE, line("GET HTTP://B/p HTTP/1.1"), "GET /p HTTP/1.1")
            .with("X-Forwarded-Host", "b"),
        // Also then Host has to be there, and to be one.
        refused(TARGET, 400, "GET http://b/ HTTP/1.1\r\n\r\n"),
        refused(TARGET, 400, "GET http://b/ HTTP/1.1\r\nHost: b\r\nHost: b\r\n\r\n"),
        refused(TARGET, 400, "GET http://b/ HTTP/1.1\r\nHost: b c\r\n\r\n"),
    ]
}

fn hosts() -> Vec<Case> {
    const HOST: &str = "RFC 9112 §3.2";
    let mut cases = vec![
        refused(HOST, 400, host("")),
        refused(HOST, 400, host("Host: a\r\nHost: a\r\n")),
        refused(HOST, 400, host("Host: a\r\nhost: b\r\n")),
        refused(HOST, 400, host("Host: a\r\nX: 1\r\nHOST:\r\n")),
        forwarded("RFC 9110 §7.2", host("Host: A.Example\r\n"), "GET /h HTTP/1.1")
            .with("X-Forwarded-Host", "a.example"),
        forwarded("RFC 9110 §7.2", host("hOsT:a:80\r\n"), "GET /h HTTP/1.1")
            .with("X-Forwarded-Host", "a"),
        forwarded("RFC 9110 §7.2", host("Host: [::1]:81\r\n"), "GET /h HTTP/1.1")
            .with("X-Forwarded-Host", "[::1]:81"),
        // Some origins read these as Host.
        forwarded("RFC 9110 §7.2", host("Host: a\r\nX-Forwarded-Host: b\r\n"), "GET /h HTTP/1.1")
            .with("X-Forwarded-Host", "a"),
        forwarded("RFC 9110 §7.2", host("Host: a\r\nX-Host: b\r\n"), "GET /h HTTP/1.1")
            .without("X-Host"),
    ];
    let bad = [
        "",
        "a b",
        "a/b",
        "a?b",
        "a#b",
        "u@a",
        "a,b",
        "a;b",
        "a:",
        "a:x",
        "a:-1",
        "a:65536",
        "a:80:80",
        ":80",
        "[::1",
        "::1",
        "[::1]x",
        "[g::1]",
        "a%2eb",
        "\u{fc}.example",
        "a\\b",
        "*",
        "http://a",
    ];
    cases.extend(bad.iter().map(|bad| refused(HOST, 400, host(&format!("Host: {bad}\r\n")))));
    cases
}
