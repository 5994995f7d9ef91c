mod answers;
mod parser;
mod patience;

use std::collections::BTreeSet;

use policy::Timestamp;
use proxy::events::Counts;
use proxy::failure::Failure;
use proxy::{Answered, CertificateInfo, ConnectionCounts, HandshakeFailure, Outcome};

use super::family::{Kind, counter, gauge};
use super::*;

/// One of everything.
fn snapshot() -> Snapshot {
    let certificate = |file: &str| CertificateInfo {
        file: file.into(),
        names: vec!["a.example".to_owned(), "b.example".to_owned()],
        not_before: Timestamp::from_secs(0),
        not_after: Timestamp::from_secs(2_208_988_800),
    };
    let counts = Counts {
        requests: 7,
        outcomes: vec![Outcome { answered: Answered::Hit, code: "fresh", requests: 7 }],
        hits: 7,
        refused: 0,
        origin_failures: 105,
        failures: [3; Failure::ALL.len()],
        origin_retries: 2,
        cut: 1,
        connections: 5,
        tunnels: 1,
        handshakes: 4,
        handshake_failures: [1; HandshakeFailure::ALL.len()],
        bytes: 1 << 40,
    };
    let open = ConnectionCounts { accepted: 5, open: 2, ..ConnectionCounts::default() };
    Snapshot {
        started: Timestamp::from_millis(1_795_435_200_123),
        counts,
        listeners: vec![("127.0.0.1:3000".parse().unwrap(), open)],
        open_tunnels: 1,
        origin_connections: 3,
        store: store::Stats { memory_bytes: 9, ..store::Stats::default() },
        certificates: vec![certificate("/c:\\a \"quoted\"\nfile.pem"), certificate("/b.pem")],
        origin_certificate: Some(certificate("/b.pem")),
        troubles: vec![("accept-failed", 6)],
        takeovers: 1,
        failed_takeovers: 2,
    }
}

const FORMATS: [Format; 2] = [Format::Prometheus, Format::OpenMetrics];

#[test]
fn both_texts_are_right_and_say_the_same() {
    let families = families(&snapshot());
    let [one, other] = FORMATS
        .map(|format| parser::parse(&text(&families, format), format == Format::OpenMetrics));
    assert_eq!(one, other);
    let find = |name: &str, labels: &[(&str, &str)]| parser::number(&one, name, labels);
    assert_eq!(find("caching_proxy_start_time_seconds", &[]), Some(1_795_435_200));
    let labels = [("outcome", "hit"), ("reason", "fresh")];
    assert_eq!(find("caching_proxy_requests_total", &labels), Some(7));
    assert_eq!(find("caching_proxy_sent_bytes_total", &[]), Some(1 << 40));
    let labels = [("listener", "127.0.0.1:3000")];
    assert_eq!(find("caching_proxy_connections_open", &labels), Some(2));
    let labels = [("side", "clients"), ("file", "/c:\\a \"quoted\"\nfile.pem")];
    let expiry = "caching_proxy_certificate_expiry_timestamp_seconds";
    assert_eq!(find(expiry, &labels), Some(2_208_988_800));
    assert_eq!(find(expiry, &[("side", "origin")]), Some(2_208_988_800));
    assert_eq!(find("caching_proxy_store_bytes", &[("tier", "memory")]), Some(9));
    let failures = |reason| find("caching_proxy_origin_failures_total", &[("reason", reason)]);
    assert_eq!(["origin-busy", "loop", "client-cut"].map(failures), [Some(3), None, None]);
}

#[test]
fn the_words_stand_as_the_formats_want_them() {
    let families = [
        counter("a_total", "What a is.").by(&["x", "y"], [(["1", "\\\"\n"], 3)]),
        gauge("b", "What b is.").is(0),
        gauge("c_seconds", "What c is.").by_signed(&["x"], [(["1"], -5), (["1"], 6)]),
        counter("d_total", "What d is.").by(&["x"], Vec::<([&str; 1], u64)>::new()),
    ];
    let samples = "a_total{x=\"1\",y=\"\\\\\\\"\\n\"} 3\n";
    let rest = "# HELP b What b is.\n# TYPE b gauge\nb 0\n\
                # HELP c_seconds What c is.\n# TYPE c_seconds gauge\nc_seconds{x=\"1\"} -5\n";
    let prometheus = format!(
        "# HELP a_total What a is.\n# TYPE a_total counter\n{samples}{rest}\
         # HELP d_total What d is.\n# TYPE d_total counter\n"
    );
    assert_eq!(text(&families, Format::Prometheus), prometheus);
    let open = format!(
        "# HELP a What a is.\n# TYPE a counter\n{samples}{rest}\
         # HELP d What d is.\n# TYPE d counter\n# EOF\n"
    );
    assert_eq!(text(&families, Format::OpenMetrics), open);
}

#[test]
fn names_follow_the_conventions() {
    for family in families(&snapshot()) {
        let name = family.name;
        // A collector of files has other names for itself, such as `process_start_time_seconds`.
        assert!(name.starts_with("caching_proxy_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
        assert!(family.help.ends_with('.') && !family.help.contains("  "), "{name}");
        // Base units, as <https://prometheus.io/docs/practices/naming/> has them.
        assert!(!["_ms", "_millis", "_kb", "_mb"].iter().any(|unit| name.contains(unit)), "{name}");
    }
}

#[test]
fn the_page_lists_all_of_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = std::fs::read_to_string(path).unwrap();
    let row = |family: family::Family| {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (family.name, family.kind.word(), family.help);
        format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
    };
    let rows: BTreeSet<_> = families(&snapshot()).into_iter().map(row).collect();
    let listed = page.lines().filter(|line| line.starts_with("| `")).map(str::to_owned);
    let listed: BTreeSet<_> = listed.collect();
    let missing: Vec<_> = rows.difference(&listed).map(String::as_str).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks\n{}", missing.join("\n"));
    let wrong: Vec<_> = listed.difference(&rows).collect();
    assert!(wrong.is_empty(), "docs/metrics.md has what there is not: {wrong:?}");
}
