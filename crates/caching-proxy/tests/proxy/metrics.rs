//! What a scraper is told of the running proxy, and what a person.

#[path = "../../src/metrics/tests/parser.rs"]
mod parser;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use testkit::{Client, Launch, Origin, Output, Response, eventually};

use crate::tls::Authority;
use crate::{Proxy, cache, count, ok, response};
use parser::{Sample, number};

const LISTENING: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];
const OPEN_METRICS: (&str, &str) = ("Accept", "application/openmetrics-text; version=1.0.0");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What a path is called after decides the answer.
fn site() -> Origin {
    Origin::start(|request, conn| match request.target.as_str() {
        "/private" => drop(conn.send(ok("Cache-Control: private\r\n", "mine"))),
        "/broken" => conn.close(),
        "/error" => drop(conn.send(response("500 Internal Server Error", "", "oh"))),
        _ => drop(conn.send(ok("Cache-Control: max-age=60\r\n", "hello"))),
    })
}

/// Where the metrics of a running proxy are.
pub(crate) fn place(proxy: &Proxy) -> String {
    let url = proxy.binary.as_ref().unwrap().ready("metrics_url").expect("a metrics_url");
    let place = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics"));
    place.unwrap_or_else(|| panic!("{url}")).to_owned()
}

pub(crate) fn scrape(place: &str, fields: &[(&str, &str)]) -> Response {
    Client::connect(place).request("GET", "/metrics", fields)
}

fn scraped(place: &str) -> Vec<Sample> {
    let response = scrape(place, &[OPEN_METRICS]);
    assert_eq!(response.status, 200, "{}", response.text());
    parser::parse(&response.text(), true)
}

pub(crate) fn told(place: &str, name: &str, labels: &[(&str, &str)]) -> Option<i64> {
    number(&scraped(place), name, labels)
}

#[test]
fn what_became_of_requests_is_counted_by_its_reason() {
    let origin = site();
    let proxy = Proxy::with(&origin, &LISTENING);
    for (path, expected) in [("/a", "MISS"), ("/a", "HIT"), ("/a", "HIT"), ("/private", "MISS")] {
        assert_eq!(cache(&proxy.get(path)), expected);
    }
    proxy.get("/broken");
    proxy.request("POST", "/a", &[]);
    proxy.request("GET", "/none", &[("Cache-Control", "only-if-cached")]);
    let mut garbled = proxy.client();
    garbled.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(garbled.response().status, 400);
    let expected = [
        ("miss", "absent", 1),
        ("hit", "fresh", 2),
        ("miss", "private", 1),
        ("failed", "origin-closed", 1),
        ("pass", "method-unsafe", 1),
        ("refused", "only-if-cached", 1),
        ("refused", "host-missing", 1),
        ("stale", "stale-if-error", 0),
    ];
    let at = place(&proxy);
    // A request is counted when it is over, which its client may see before.
    assert!(eventually(|| count(&proxy, "requests") == 8), "{}", count(&proxy, "requests"));
    let samples = scraped(&at);
    for (outcome, reason, times) in expected {
        let labels = [("outcome", outcome), ("reason", reason)];
        let counted = number(&samples, "caching_proxy_requests_total", &labels);
        assert_eq!(counted, Some(times), "{outcome}, {reason}");
    }
    let all = samples.iter().filter(|sample| sample.name == "caching_proxy_requests_total");
    assert_eq!(all.map(|sample| sample.number).sum::<i64>(), 8);
    let failed = [("reason", "origin-closed")];
    assert_eq!(number(&samples, "caching_proxy_origin_failures_total", &failed), Some(1));
    assert_eq!((count(&proxy, "hits"), count(&proxy, "refused")), (2, 2));
    assert_eq!(count(&proxy, "outcomes.hit.fresh"), 2);
    assert_eq!(number(&samples, "caching_proxy_store_entries", &[("tier", "memory")]), Some(0));
}

#[test]
fn connections_are_counted_at_their_listener() {
    let origin = site();
    let proxy = Proxy::with(&origin, &[&LISTENING[..], &["--max-connections", "2"]].concat());
    let (at, listener) = (place(&proxy), format!("127.0.0.1:{}", proxy.address().1));
    let mut two = [proxy.client(), proxy.client()];
    for client in &mut two {
        // One that has begun a request is not idle, and makes no way.
        client.send("GET /a HTTP/1.1\r\n");
    }
    let labels = [("listener", listener.as_str())];
    let told = |name: &str| told(&at, &format!("caching_proxy_connections_{name}"), &labels);
    assert!(eventually(|| told("open") == Some(2)));
    assert_eq!(proxy.get("/a").status, 503);
    assert_eq!((told("total"), told("refused_total"), told("open")), (Some(3), Some(1), Some(2)));
    assert_eq!((told("dropped_total"), told("made_way_total")), (Some(0), Some(0)));
    // The answer has its reason, as any other.
    let full = [("outcome", "refused"), ("reason", "connections-full")];
    let refused = || self::told(&at, "caching_proxy_requests_total", &full);
    assert!(eventually(|| refused() == Some(1)), "{:?}", refused());
    drop(two);
    assert!(eventually(|| told("open") == Some(0)));
}

#[test]
fn a_reader_of_another_make_finds_both_texts_right() {
    let origin = site();
    let proxy = Proxy::with(&origin, &LISTENING);
    proxy.get("/a");
    let at = place(&proxy);
    let open = scrape(&at, &[OPEN_METRICS]);
    assert_eq!(
        open.field("Content-Type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let plain = scrape(&at, &[]);
    assert_eq!(plain.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    parser::parse(&plain.text(), false);
    read_with("prometheus_client.openmetrics.parser", &open.text());
    read_with("prometheus_client.parser", &plain.text());
}

/// Has the parser of Prometheus' client for Python read it (`./test` installs that if it may).
fn read_with(parser: &str, text: &str) {
    let script = format!(
        "import sys\n\
         try:\n    from {parser} import text_string_to_metric_families as read\n\
         except ImportError as why: sys.exit(f'NOT SHOWN, {{why}}')\n\
         found = list(read(sys.stdin.read()))\n\
         assert all(one.type in ('counter', 'gauge') and one.documentation for one in found)\n\
         print(sum(len(one.samples) for one in found))"
    );
    let python = ["/usr/bin/python3", "python3"].into_iter().find_map(|python| {
        let mut child = Command::new(python);
        let child = child.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        child.stderr(Stdio::piped()).spawn().ok()
    });
    let Some(mut python) = python else { return eprintln!("NOT SHOWN, there is no python3") };
    // One that cannot read it has said why, and ended.
    let _ = python.stdin.take().unwrap().write_all(text.as_bytes());
    let output = python.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("NOT SHOWN") {
        return eprintln!("{said}");
    }
    assert!(output.status.success(), "{parser}: {said}");
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), samples.to_string(), "{parser}");
}

#[test]
fn when_certificates_end_is_told() {
    let (origin, authority) = (site(), Authority::new());
    let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let files = authority.issue_with("a", &params).args();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let proxy = Proxy::with(&origin, &[&LISTENING[..], &["--tls-port", "0"], &files].concat());
    let labels = [("side", "clients"), ("file", files[1]), ("names", "a.example")];
    let name = "caching_proxy_certificate_expiry_timestamp_seconds";
    assert_eq!(told(&place(&proxy), name, &labels), Some(2_208_988_800));
    let shown = stats(&proxy.directory.path().join("cache")).stdout;
    assert!(shown.contains(": good until 2040-01-01T00:00:00"), "{shown}");
}

#[test]
fn who_does_not_show_the_token_is_told_nothing() {
    let (origin, directory) = (site(), TempDir::new().unwrap());
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let args = ["--metrics-listen", "0.0.0.0:0", "--metrics-token-file", file.to_str().unwrap()];
    let proxy = Proxy::with(&origin, &args);
    let at = place(&proxy);
    let refused = scrape(&at, &[("Authorization", "Bearer 0123456789abcdef")]);
    assert_eq!((refused.status, scrape(&at, &[]).status), (401, 401));
    assert_eq!(refused.field("WWW-Authenticate"), Some("Bearer realm=\"metrics\""));
    let shown = format!("Bearer {TOKEN}");
    assert_eq!(scrape(&at, &[("Authorization", &shown)]).status, 200);
}

#[test]
fn what_cannot_be_listened_to_is_refused_in_one_line() {
    let (origin, directory) = (site(), TempDir::new().unwrap());
    let proxy = Proxy::with(&origin, &LISTENING);
    let (at, own) = (place(&proxy), format!("127.0.0.1:{}", proxy.address().1));
    let weak = directory.path().join("weak");
    std::fs::write(&weak, "secret").unwrap();
    let (weak, missing) = (weak.to_str().unwrap(), directory.path().join("missing"));
    let any = "0.0.0.0:0";
    let rows: [(&[&str], i32, &str); 5] = [
        (&[any], 2, "other machines may reach it"),
        (&[any, "--metrics-token-file", missing.to_str().unwrap()], 1, "No such file"),
        (&[any, "--metrics-token-file", weak], 1, "openssl rand -hex 32"),
        // Another instance is no process that takes over: the port is not shared with it.
        (&[&at], 1, "cannot listen on 127.0.0.1:"),
        (&[&own], 1, "for metrics"),
    ];
    for (args, code, why) in rows {
        let output = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
            .args(["--port", "0", "--origin", &origin.url(), "--cache-dir"])
            .arg(directory.path().join("cache"))
            .arg("--metrics-listen")
            .args(args)
            .run();
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(why), "{args:?}: {}", output.stderr);
        assert_eq!(output.stderr.trim_end().lines().count(), 1, "{}", output.stderr);
    }
    assert_eq!(scrape(&at, &[]).status, 200);
}

#[test]
fn who_says_nothing_or_does_not_close_keeps_nobody_waiting_for_long() {
    let (origin, directory) = (site(), TempDir::new().unwrap());
    let file = directory.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let args = [&LISTENING[..], &["--metrics-token-file", file.to_str().unwrap()]].concat();
    let proxy = Proxy::with(&origin, &args);
    let (at, shown) = (place(&proxy), format!("Bearer {TOKEN}"));
    // More than the places there are, each until its time is over.
    let mut crowd: Vec<_> = (0..300).map(|_| Client::connect(&at)).collect();
    for client in &mut crowd[..150] {
        client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    crowd[299].send("GET /metrics HTTP/1.1\r\nHo");
    let began = std::time::Instant::now();
    assert_eq!(scrape(&at, &[("Authorization", &shown)]).status, 200);
    // Those that say nothing have two seconds, and those that do not close have one.
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    assert!(crowd[150..].iter_mut().all(Client::at_eof));
}

fn stats(directory: &Path) -> Output {
    let binary = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"));
    binary.args(["--stats", "--cache-dir"]).arg(directory).run()
}

#[test]
fn a_person_is_shown_the_counters() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    assert_eq!([cache(&proxy.get("/a")), cache(&proxy.get("/a"))], ["MISS", "HIT"]);
    assert!(eventually(|| count(&proxy, "requests") == 2));
    let directory = proxy.directory.path().join("cache");
    let output = stats(&directory);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let words: Vec<_> = output.stdout.split_whitespace().collect();
    let text = words.join(" ");
    let pid = proxy.binary().pid();
    let expected = [
        format!("{}", directory.display()),
        format!("process {pid}, version {}, running for", env!("CARGO_PKG_VERSION")),
        "requests 2 answered from the cache 1 50.0 % fresh 1".to_owned(),
        "asked the origin 1 50.0 % absent 1".to_owned(),
        format!("at 127.0.0.1:{} 2", proxy.address().1),
    ];
    for part in expected {
        assert!(text.contains(&part), "{part} is not in\n{}", output.stdout);
    }
    proxy.terminate();
    let output = stats(&directory);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("no instance is running in "), "{}", output.stderr);
}

#[test]
fn a_collector_of_files_gets_the_text_of_one_instance() {
    let (one, two, home) = (site(), site(), TempDir::new().unwrap());
    let launch = || {
        let binary = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"));
        binary.env("XDG_CACHE_HOME", home.path())
    };
    let start = |origin: &Origin| launch().args(["--port", "0", "--origin", &origin.url()]).start();
    let _first = start(&one);
    let output = launch().arg("--metrics").run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let samples = parser::parse(&output.stdout, false);
    assert_eq!(number(&samples, "caching_proxy_takeovers_total", &[]), Some(0));
    let _second = start(&two);
    let output = launch().arg("--metrics").run();
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("--origin"), "{}", output.stderr);
    let output = launch().args(["--metrics", "--origin", &two.url()]).run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    parser::parse(&output.stdout, false);
    let both = launch().arg("--stats").run();
    assert_eq!(both.stdout.matches("running for").count(), 2, "{}", both.stdout);
}
