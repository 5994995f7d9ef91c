//! Inputs that are nearly HTTP: whole lines, right and wrong, and a few damaged bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Bytes that parsers disagree about.
const BYTES: &[u8] = b"\r\n\t \0:;,=\"\\/?#@[]%*a0F-\x7f\x80\xff";

const REQUEST_LINES: &[&str] = &[
    "GET / HTTP/1.1",
    "GET / HTTP/1.1",
    "GET / HTTP/1.1",
    "POST /a?b=c HTTP/1.1",
    "POST /up HTTP/1.1",
    "HEAD /%zz HTTP/1.1",
    "GET /x HTTP/1.0",
    "OPTIONS * HTTP/1.1",
    "OPTIONS http://h.example HTTP/1.1",
    "GET http://h.example:80/p?q HTTP/1.1",
    "GET https://h.example?q HTTP/1.1",
    "CONNECT h.example:443 HTTP/1.1",
    "M-S! /|{}^ HTTP/1.1",
    "GET //a HTTP/1.1",
    "GET / HTTP/1.2",
    "GET / HTTP/2.0",
    "GET  / HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /",
    "",
    "GET /?a\\b HTTP/1.1",
    "GET /\\ HTTP/1.1",
    "PUT /?\"x\" HTTP/1.1",
];

const FIELDS: &[&str] = &[
    "Content-Length: 5",
    "Content-Length: 0",
    "content-length:11",
    "Content-Length: 5, 5",
    "Content-Length: +5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding:  Chunked\t",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding : chunked",
    "Host: b",
    "Host: a,b",
    "Connection: close",
    "Connection: keep-alive, upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "Accept: */*",
    "Empty:",
    "X: \t a\tb \t",
    "Cookie: a=b; c=d",
    " folded",
    ": empty",
    "no colon",
    "A b: c",
    "Content-Length:",
    "A: b\nC: d",
    "A: \u{e9}",
];

/// Bodies that fit the framing fields above, and some that do not.
const BODIES: &[&str] = &[
    "",
    "hello",
    "hello world",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;a=\"b\"\r\nhello\r\n0\r\nT: u\r\n\r\n",
    "0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "3\r\nab",
    "g\r\n",
    "1\r\nab\r\n0\r\n\r\n",
    "00000000000000001\r\na\r\n",
    "5 ;\thello=1\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
];

const STATUS_LINES: &[&str] = &[
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 x",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 100 Continue",
    "HTTP/1.1 404",
    "HTTP/1.1 600 x",
    "HTTP/2.0 200 x",
    "HTTP/1.1 20 x",
    "HTTP/1.1 200 a\tb \u{e9}",
    "junk",
];

/// One change to the bytes: an insertion, a replacement or a removal.
type Damage = (Index, u8, u8);

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = (any::<Index>(), 0_u8..3, select(BYTES));
    prop_oneof![3 => Just(Vec::new()), 2 => vec(one, 1..4)]
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for (index, kind, byte) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = index.index(bytes.len());
        match kind {
            0 => bytes.insert(at, *byte),
            1 => bytes[at] = *byte,
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

fn message(lines: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let host = prop_oneof![9 => Just("Host: a\r\n"), 1 => Just("")];
    let parts = (select(lines), host, vec(select(FIELDS), 0..3), select(BODIES));
    parts.prop_map(|(line, host, fields, body)| {
        let mut text = format!("{line}\r\n{host}");
        for field in fields {
            text += field;
            text += "\r\n";
        }
        (text + "\r\n" + body).into_bytes()
    })
}

const GOOD_LINES: &[&str] = &[
    "POST /a?b=c HTTP/1.1",
    "GET / HTTP/1.1",
    "PUT http://h.example:80/p HTTP/1.1",
    "DELETE /?x|y HTTP/1.1",
];

const GOOD_FIELDS: &[&str] = &[
    "Accept:text/html",
    "X: \t a\tb \t",
    "Empty:",
    "x: again",
    "Connection: close",
    "Cookie: a=b; c=d",
];

/// A request whose content fits its framing: no content, so many bytes, or chunks.
fn framed() -> impl Strategy<Value = Vec<u8>> {
    let chunks = vec(vec(select(BYTES), 1..12), 0..4);
    let extension = select(&["", ";a", " ; a = \"b\\\"\""][..]);
    let parts = (select(GOOD_LINES), vec(select(GOOD_FIELDS), 0..4), 0..5_u8, chunks, extension);
    parts.prop_map(|(line, fields, framing, chunks, extension)| {
        let mut head = format!("{line}\r\nHost: a\r\n");
        for field in fields {
            head = head + field + "\r\n";
        }
        let content = chunks.concat();
        match framing {
            0 => (head + "\r\n").into_bytes(),
            1 | 2 => {
                let head = format!("{head}Content-Length: {}\r\n\r\n", content.len());
                [head.into_bytes(), content].concat()
            }
            _ => {
                let mut all = (head + "Transfer-Encoding: chunked\r\n\r\n").into_bytes();
                for chunk in chunks {
                    all.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes());
                    all.extend(chunk);
                    all.extend(b"\r\n");
                }
                all.extend(b"0\r\nT: u\r\n\r\n");
                all
            }
        }
    })
}

/// One request, mostly right.
pub(super) fn request() -> impl Strategy<Value = Vec<u8>> {
    let undamaged = prop_oneof![message(REQUEST_LINES), framed()];
    (undamaged, damage()).prop_map(|(bytes, changes)| damaged(bytes, &changes))
}

/// One response, mostly right, after a byte that chooses the method it answers.
pub(super) fn response() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), message(STATUS_LINES), damage()).prop_map(|(which, bytes, changes)| {
        let mut all = vec![which];
        all.extend(damaged(bytes, &changes));
        all
    })
}

/// A few requests on one connection.
pub(super) fn connection() -> impl Strategy<Value = Vec<u8>> {
    (vec(prop_oneof![message(REQUEST_LINES), framed()], 1..4), damage())
        .prop_map(|(requests, changes)| damaged(requests.concat(), &changes))
}

/// Chunked bodies, mostly right.
pub(super) fn chunked() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&str] = &[
        "5\r\nhello\r\n",
        "00a;x\r\n0123456789\r\n",
        "1;a=b;c=\"d\\\"\"\r\nx\r\n",
        "2 ; y\r\n\r\n\r\n",
        "3\r\nab",
        "1\n",
        "F",
        "0\r\n",
    ];
    const ENDS: &[&str] = &[
        "0\r\n\r\n",
        "0\r\nA: b\r\n\r\n",
        "0;x\r\nA: b\r\nHost: c\r\nD:\r\n\r\nGET",
        "0\r\n a\r\n\r\n",
        "",
    ];
    let parts = (vec(select(PARTS), 0..4), select(ENDS), damage());
    parts.prop_map(|(chunks, end, changes)| damaged((chunks.concat() + end).into_bytes(), &changes))
}
