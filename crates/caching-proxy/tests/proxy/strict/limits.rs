//! How large a message may be: each limit at its edge and one byte, or one line, past it.

use super::{Case, forwarded, origins, refused};

const TOO_LARGE: &str = "RFC 6585 §5";

/// A field line of so many bytes, without its CRLF.
fn field(length: usize) -> String {
    format!("X: {}\r\n", "x".repeat(length - 3))
}

/// Field lines of so many bytes in all, none of them too long.
fn fields(length: usize) -> String {
    let rest = length % 10_000 + 10_000;
    field(9_998).repeat(length / 10_000 - 1) + &field(rest - 2)
}

fn many(count: usize) -> String {
    "X: 1\r\n".repeat(count)
}

pub(super) fn heads() -> Vec<Case> {
    const LINE: &str = "GET /l HTTP/1.1";
    let with = |fields: &str| format!("{LINE}\r\nHost: a\r\n{fields}\r\n");
    let line = |length: usize| format!("GET /{} HTTP/1.1", "a".repeat(length - 14));
    let target = |length: usize| format!("{}\r\nHost: a\r\n\r\n", line(length));
    let head = |length: usize| with(&fields(length - with("").len()));
    vec![
        forwarded("RFC 9112 §3", target(8 << 10), line(8 << 10).leak()),
        refused("RFC 9112 §3", 414, target((8 << 10) + 1)),
        forwarded(TOO_LARGE, with(&field(16 << 10)), LINE),
        refused(TOO_LARGE, 431, with(&field((16 << 10) + 1))),
        forwarded(TOO_LARGE, with(&many(127)), LINE),
        refused(TOO_LARGE, 431, with(&many(128))),
        forwarded(TOO_LARGE, head(32 << 10), LINE),
        refused(TOO_LARGE, 431, head((32 << 10) + 1)),
    ]
}

const LINE: &str = "POST /p HTTP/1.1";
const CHUNK: &str = "RFC 9112 §7.1.1";

fn post(content: &str) -> String {
    format!("{LINE}\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{content}\r\n")
}

/// Chunks of one byte, whose lines have so many. One byte of a line is the size.
fn chunks(lines: &[usize]) -> String {
    let chunk = |line: &usize| format!("1;{}\r\nx\r\n", "e".repeat(line - 2));
    post(&format!("{}0\r\n", lines.iter().map(chunk).collect::<String>()))
}

fn trailers(section: &str) -> String {
    post(&format!("1\r\nx\r\n0\r\n{section}"))
}

pub(super) fn contents() -> Vec<Case> {
    let extensions = [[1024; 16].as_slice(), &[17]].concat();
    let many = forwarded("RFC 9112 §7.1.2", trailers(&many(128)), LINE).body("x");
    vec![
        forwarded(CHUNK, chunks(&[1024]), LINE).body("x"),
        forwarded(CHUNK, chunks(&extensions), LINE).body("xxxxxxxxxxxxxxxxx"),
        forwarded(TOO_LARGE, trailers(&field((8 << 10) - 4)), LINE)
            .body("x")
            .trailer("X", "x".repeat((8 << 10) - 7).leak()),
        (0..128).fold(many, |case, _| case.trailer("X", "1")),
    ]
}

/// What is too much when the origin has already got the head.
pub(super) fn broken() -> Vec<Case> {
    let extensions = [[1024; 16].as_slice(), &[18]].concat();
    vec![
        refused(CHUNK, 400, chunks(&[1025])),
        refused(CHUNK, 400, chunks(&extensions)),
        refused(TOO_LARGE, 431, trailers(&field((8 << 10) - 3))),
        refused(TOO_LARGE, 431, trailers(&many(129))),
    ]
}

pub(super) fn responses() -> Vec<origins::Case> {
    use origins::{passed, refused, with};
    const HEAD: &str = "origin-head-too-large";
    const INFORMATIONAL: &str = "RFC 9110 §15.2";
    let head = |fields: &str| with(&format!("Content-Length: 1\r\n{fields}"), "x");
    let large = |length: usize| head(&fields(length - (head("").len() - 1)));
    let line = |length: usize| {
        let line = format!("HTTP/1.1 200 {}", "x".repeat(length - 13));
        format!("{line}\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\nx")
    };
    let informational = |count| "HTTP/1.1 102 Processing\r\n\r\n".repeat(count) + &head("");
    vec![
        passed("RFC 9112 §4", "x", line(8 << 10)).reused(),
        refused("RFC 9112 §4", "origin-malformed", line((8 << 10) + 1)).closed(),
        passed(TOO_LARGE, "x", head(&field(16 << 10))).reused(),
        refused(TOO_LARGE, "origin-field-too-large", head(&field((16 << 10) + 1))).closed(),
        passed(TOO_LARGE, "x", head(&many(126))).reused(),
        refused(TOO_LARGE, HEAD, head(&many(127))).closed(),
        passed(TOO_LARGE, "x", large(32 << 10)).reused(),
        refused(TOO_LARGE, HEAD, large((32 << 10) + 1)).closed(),
        passed(INFORMATIONAL, "x", informational(8)).reused(),
        refused(INFORMATIONAL, "origin-endless-informational", informational(9)).closed(),
    ]
}
