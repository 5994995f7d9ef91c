//! Where a request ends.

use super::{Case, forwarded, refused};

/// A POST with these framing fields and what follows the head.
fn post(fields: &str, content: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: a\r\n{fields}\r\n{content}")
}

fn chunked(content: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", content)
}

const LINE: &str = "POST /p HTTP/1.1";

pub(super) fn cases() -> Vec<Case> {
    [lengths(), codings(), chunks(), trailers()].into_iter().flatten().collect()
}

/// What goes wrong when the origin has already got the head.
pub(super) fn broken() -> Vec<Case> {
    [broken_chunks(), broken_trailers()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Case> {
    const LENGTH: &str = "RFC 9112 §6.3";
    let mut cases = vec![
        forwarded(LENGTH, post("Content-Length: 3\r\n", "abc"), LINE)
            .body("abc")
            .with("Content-Length", "3")
            .without("Transfer-Encoding"),
        forwarded(LENGTH, post("Content-Length:\t 003 \r\n", "abc"), LINE)
            .body("abc")
            .with("Content-Length", "3"),
        forwarded(LENGTH, post("Content-Length: 0\r\n", ""), LINE),
        // A request without either has no content.
        forwarded(LENGTH, post("", ""), LINE).without("Transfer-Encoding"),
        forwarded(
            "RFC 9110 §9.3.1",
            "GET /g HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "GET /g HTTP/1.1",
        )
        .body("abc"),
        forwarded(
            "RFC 9110 §9.3.5",
            "DELETE /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "DELETE /d HTTP/1.1",
        )
        .body("abc"),
        // A name that CGI would read as the other one.
        forwarded(LENGTH, post("Content_Length: 30\r\n", ""), LINE).without("Content_Length"),
        refused(LENGTH, 400, post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")),
        refused(LENGTH, 400, post("Content-Length: 3\r\ncontent-length: 4\r\n", "abc")),
        refused(
            "RFC 9112 §6.1",
            400,
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        refused(
            "RFC 9112 §6.1",
            400,
            post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ),
    ];
    let bad = [
        "",
        "+3",
        "-3",
        "3 3",
        "3,3",
        "3, 3",
        "3,",
        "0x3",
        "3a",
        "3.0",
        "3e0",
        "1_0",
        "\"3\"",
        "\u{b2}",
        "18446744073709551616",
        "99999999999999999999999",
    ];
    cases.extend(
        bad.iter()
            .map(|it| refused(LENGTH, 400, post(&format!("Content-Length: {it}\r\n"), "abc"))),
    );
    cases
}

fn codings() -> Vec<Case> {
    const CODING: &str = "RFC 9112 §6.1";
    const LAST: &str = "RFC 9112 §6.3";
    let with = |coding: &str| post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n");
    vec![
        forwarded(CODING, with("chunked"), LINE).with("Transfer-Encoding", "chunked"),
        forwarded(CODING, with("CHUNKED"), LINE).with("Transfer-Encoding", "chunked"),
        refused(CODING, 400, with("chunked, chunked")),
        refused(
            CODING,
            400,
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""),
        ),
        refused(CODING, 400, with("")),
        refused(CODING, 400, with(",")),
        refused(CODING, 400, with("chunked;q=1")),
        refused(CODING, 400, with("\"chunked\"")),
        refused(CODING, 400, with("chunked chunked")),
        refused("RFC 9110 §5.5", 400, with("\u{b}chunked")),
        refused(LAST, 400, with("gzip")),
        refused(LAST, 400, with("identity")),
        refused(LAST, 400, with("xchunked")),
        refused(LAST, 400, with("chunked, gzip")),
        refused(LAST, 400, with("chunked, identity")),
        refused("RFC 9112 §6.1", 501, with("gzip, chunked")),
        refused("RFC 9112 §6.1", 501, with("identity, chunked")),
        refused(
            CODING,
            400,
            "POST /p HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        // Not the field that it resembles: the content would be another request.
        forwarded(CODING, post("Transfer_Encoding: chunked\r\n", ""), LINE)
            .without("Transfer_Encoding"),
        forwarded(CODING, post("X-Transfer-Encoding: chunked\r\n", ""), LINE)
            .with("X-Transfer-Encoding", "chunked"),
    ]
}

const CHUNK: &str = "RFC 9112 §7.1";
const EXTENSION: &str = "RFC 9112 §7.1.1";
const TRAILER: &str = "RFC 9112 §7.1.2";

fn chunks() -> Vec<Case> {
    vec![
        forwarded(CHUNK, chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), LINE).body("abcde"),
        forwarded(CHUNK, chunked("A\r\n0123456789\r\n00\r\n\r\n"), LINE).body("0123456789"),
        forwarded(CHUNK, chunked("0000000000000003\r\nabc\r\n0\r\n\r\n"), LINE).body("abc"),
        // What looks like the end of a message inside of it.
        forwarded(CHUNK, chunked("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), LINE).body("0\r\n\r\n"),
        forwarded(EXTENSION, chunked("3;a=b;c\r\nabc\r\n0;d=\"e;\"\r\n\r\n"), LINE).body("abc"),
    ]
}

fn broken_chunks() -> Vec<Case> {
    let long = format!("3;a={}\r\nabc\r\n0\r\n\r\n", "b".repeat(1_100));
    let mut cases = vec![
        refused(EXTENSION, 400, chunked(&long)),
        refused(EXTENSION, 400, chunked("3;a=\"b\r\nabc\r\n0\r\n\r\n")),
        refused(EXTENSION, 400, chunked("3;=b\r\nabc\r\n0\r\n\r\n")),
    ];
    let bad = [
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "x\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3_\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "3 a\r\nabc\r\n0\r\n\r\n",
    ];
    cases.extend(bad.iter().map(|bad| refused(CHUNK, 400, chunked(bad))));
    cases
}

fn with_trailers(trailers: &str) -> String {
    chunked(&format!("1\r\nx\r\n0\r\n{trailers}\r\n"))
}

fn trailers() -> Vec<Case> {
    let mut cases = vec![
        forwarded(TRAILER, with_trailers("Checksum: 1\r\n"), LINE)
            .body("x")
            .trailer("Checksum", "1"),
    ];
    // An origin that merges trailers into the head must not be told by the back door.
    let forbidden = [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: b",
        "X-Forwarded-For: 1.2.3.4",
        "Connection: close",
        "Keep-Alive: 5",
    ];
    cases.extend(forbidden.iter().map(|line| {
        let bytes = with_trailers(&format!("{line}\r\n"));
        forwarded("RFC 9110 §6.5.1", bytes, LINE).body("x")
    }));
    cases
}

fn broken_trailers() -> Vec<Case> {
    let long = format!("A: {}\r\n", "x".repeat(8_200));
    let bad = ["Checksum : 1\r\n", "Checksum\r\n", "A: 1\r\n 2\r\n", "A: 1\nB: 2\r\n", "A: \0\r\n"];
    let mut cases: Vec<_> =
        bad.iter().map(|bad| refused(TRAILER, 400, with_trailers(bad))).collect();
    cases.push(refused("RFC 6585 §5", 431, with_trailers(&long)));
    cases
}
