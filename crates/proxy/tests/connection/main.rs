//! Never can the bytes of one client request reach an origin as two, whatever they are: a whole
//! connection, through the real proxy, against a model of what the origin may see.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod harness;

use proptest::collection::vec;
use proptest::prelude::*;

/// A request that is as it should be.
fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD", "BREW"]);
    let target = "/[a-z0-9%?&=._~-]{0,12}";
    let field = ("[A-Za-z][A-Za-z0-9-]{0,8}", "[ -~]{0,12}");
    (method, target, vec(field, 0..3), vec(any::<u8>(), 0..40), 0_u8..3).prop_map(
        |(method, target, fields, content, framing)| {
            let mut out = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n").into_bytes();
            // What means something has cases of its own.
            for (name, value) in fields {
                out.extend(format!("Y-{name}: {value}\r\n").bytes());
            }
            match framing {
                0 => out.extend(b"\r\n"),
                1 => {
                    out.extend(format!("Content-Length: {}\r\n\r\n", content.len()).bytes());
                    out.extend(&content);
                }
                _ => {
                    out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in content.chunks(9) {
                        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
                        out.extend([chunk, b"\r\n"].concat());
                    }
                    out.extend(b"0\r\n\r\n");
                }
            }
            out
        },
    )
}

/// What makes two readers see two things.
const TRICKS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    "\0",
    ":",
    "0\r\n\r\n",
    "chunked",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding:\u{b}chunked\r\n",
    "Content-Length : 3\r\n",
    "Connection: Content-Length\r\n",
    "Connection: close\r\n",
    "Host: b\r\n",
    "Expect: 100-continue\r\n",
    " HTTP/1.0",
    " HTTP/1.1",
    "GET /x ",
    "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    "http://b",
    "*",
    ";a=b",
    "ffffffffffffffff\r\n",
    "-1",
    "+",
    "Upgrade: h2c\r\nConnection: Upgrade\r\n",
    "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    "Range: bytes=0-0\r\n",
    "If-None-Match: *\r\n",
    "Cache-Control: only-if-cached\r\n",
    "Max-Forwards: 0\r\n",
    "TRACE / ",
    "OPTIONS * ",
    "QUERY /q ",
    "CONNECT a:1 ",
];

/// Where one of the lines begins.
fn line_start(bytes: &[u8], which: prop::sample::Index) -> usize {
    let ends = bytes.windows(2).enumerate().filter(|(_, pair)| pair == b"\r\n");
    let starts: Vec<_> = std::iter::once(0).chain(ends.map(|(end, _)| end + 2)).collect();
    starts[which.index(starts.len())]
}

/// Some requests, and what someone did to them.
fn tampered() -> impl Strategy<Value = Vec<u8>> {
    let trick = (any::<prop::sample::Index>(), prop::sample::select(TRICKS), 0_usize..9);
    (any::<u8>(), vec(well_formed(), 1..4), vec(trick, 0..4)).prop_map(|(cut, requests, tricks)| {
        let mut bytes = requests.concat();
        for (place, trick, instead_of) in tricks {
            let (from, length) = match instead_of {
                0..5 => (line_start(&bytes, place), 0),
                5 => (line_start(&bytes, place), 1),
                more => (place.index(bytes.len()), more - 5),
            };
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, trick.bytes());
        }
        [vec![cut], bytes].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn requests_that_are_right_arrive_as_they_are(cut: u8, requests in vec(well_formed(), 1..5)) {
        prop_assert!(harness::connection(&[vec![cut], requests.concat()].concat()));
    }

    #[test]
    fn no_request_becomes_two(bytes in tampered()) {
        harness::connection(&bytes);
    }
}
