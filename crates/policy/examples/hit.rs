//! Prints what the policy of a plain GET hit costs: the nanoseconds of classify, Vary match, reuse
//! and Cache-Status together. Run it with `--release`.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use policy::classify::{Plan, classify};
use policy::{
    Admit, Exchanged, Fields, Method, Outcome, Rules, Terms, Timestamp, Verdict, admit,
    cache_status, reuse,
};

const ROUNDS: u32 = 300;
const CALLS: u32 = 10_000;
const NOW: Timestamp = Timestamp::from_secs(1_795_392_000);

fn main() -> ExitCode {
    let rules = Rules::default();
    let request = head(&[
        ("Host", "example.com"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Cookie", "session=0123456789abcdef"),
    ]);
    for vary in ["", "Accept-Encoding", "Accept-Encoding, Accept-Language"] {
        let Some(terms) = stored(&request, vary, &rules) else { return ExitCode::FAILURE };
        let per_hit = time(|out| hit(&request, &terms, &rules, out));
        println!("hit, Vary: {vary:<34} {per_hit:6.1} ns");
    }
    ExitCode::SUCCESS
}

fn head(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn stored(request: &Fields, vary: &str, rules: &Rules) -> Option<Terms> {
    let response = head(&[("Cache-Control", "max-age=3600"), ("Vary", vary)]);
    let Plan::LookUp(asked) = classify(&Method::Get, request, false, rules) else { return None };
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &asked,
        request,
        status: 200,
        response: &response,
        request_time: NOW,
        response_time: NOW,
    };
    match admit(&exchanged, rules) {
        Admit::Store(terms) => Some(terms),
        Admit::DoNotStore(_) => None,
    }
}

fn hit(request: &Fields, terms: &Terms, rules: &Rules, out: &mut Vec<u8>) {
    let now = NOW.plus(Duration::from_mins(1));
    let Plan::LookUp(asked) = classify(&Method::Get, request, false, rules) else { return };
    if !terms.vary().matches(request) {
        return;
    }
    if let Verdict::Fresh { ttl, why, .. } = reuse(&asked, terms, rules, None, now) {
        cache_status(out, &Outcome::Hit { ttl, why });
    }
}

/// Nanoseconds of one call: the best of many rounds, since a shared machine only ever adds time.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn time(mut run: impl FnMut(&mut Vec<u8>)) -> f64 {
    let mut out = Vec::with_capacity(256);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = std::time::Instant::now();
        for _ in 0..CALLS {
            out.clear();
            run(black_box(&mut out));
            black_box(&out);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    best
}
