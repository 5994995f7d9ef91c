//! Measures the request decoder: nanoseconds per head, best of several rounds.
//!
//! `cargo run --release -p http1 --example decode`

use http1::{Limits, Progress, decode_request};
use std::hint::black_box;
use std::time::Instant;

/// What wrk sends.
const SMALL: &str = "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n";

/// What a browser sends, 15 fields.
const BROWSER: &str = "GET /assets/app/main.3f2a9c.js?v=20260101 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Dest: script\r\n\
    Referer: https://www.example.com/app/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=4f8d2c7e91b34a06; theme=dark; consent=yes\r\n\r\n";

const ROUNDS: usize = 20;
const HEADS_PER_ROUND: u32 = 200_000;

fn main() {
    for (name, head) in [("small", SMALL), ("browser", BROWSER)] {
        let best = (0..ROUNDS).map(|_| nanoseconds_per_head(head)).fold(f64::INFINITY, f64::min);
        println!("{name:>8}: {best:6.1} ns per head of {} bytes", head.len());
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn nanoseconds_per_head(head: &str) -> f64 {
    let limits = Limits::default();
    let mut fields = Vec::with_capacity(limits.fields);
    let start = Instant::now();
    for _ in 0..HEADS_PER_ROUND {
        let decoded = decode_request(black_box(head.as_bytes()), &limits, &mut fields);
        assert!(matches!(black_box(decoded), Ok(Progress::Complete(_))));
    }
    start.elapsed().as_nanos() as f64 / f64::from(HEADS_PER_ROUND)
}
