//! `caching-proxy purge` under a running instance: what goes, what becomes stale, and for how long.

use std::thread;

use testkit::{Launch, Origin, Output, Response, eventually};

use crate::{Proxy, cache, cache_status, count, millis, ok, response};

pub(super) fn purge(proxy: &Proxy, args: &[&str]) -> Output {
    Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .arg("purge")
        .args(args)
        .arg("--cache-dir")
        .arg(proxy.directory.path().join("cache"))
        .run()
}

fn purged(proxy: &Proxy, args: &[&str]) -> String {
    let output = purge(proxy, args);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args:?}");
    assert_eq!(output.stdout.lines().count(), 1, "{}", output.stdout);
    output.stdout
}

fn send(proxy: &Proxy, method: &str, host: &str, path: &str, fields: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
    client.response()
}

fn ask(proxy: &Proxy, host: &str, path: &str, fields: &str) -> Response {
    send(proxy, "GET", host, path, fields)
}

/// Responses with tags and groups by their paths.
fn site() -> Origin {
    Origin::start(|request, conn| {
        let fields = match request.target.as_str() {
            "/blog/1" => "Surrogate-Key: news red\r\nCache-Groups: \"g\"\r\n",
            "/blog/2" => "Cache-Tag: red, blue\r\n",
            "/lang" => "Vary: Accept-Language\r\n",
            "/shop?id=1&utm=x" => "No-Vary-Search: params=(\"utm\")\r\n",
            _ => "",
        };
        conn.send(ok(&format!("Cache-Control: max-age=600\r\n{fields}"), &request.target));
    })
}

const PAGES: [(&str, &str, &str); 7] = [
    ("a.example", "/blog/1", ""),
    ("a.example", "/blog/2", ""),
    ("a.example", "/bl", ""),
    ("a.example", "/lang", "Accept-Language: de\r\n"),
    ("a.example", "/lang", "Accept-Language: fr\r\n"),
    ("a.example", "/shop?id=1&utm=x", ""),
    ("b.example", "/blog/1", ""),
];

/// For each page whether it was found: `x` for a miss.
fn found(proxy: &Proxy) -> String {
    let hit = |(host, path, fields): (&str, &str, &str)| {
        if cache(&ask(proxy, host, path, fields)) == "HIT" { '.' } else { 'x' }
    };
    PAGES.into_iter().map(hit).collect()
}

const ROWS: [(&[&str], &str); 9] = [
    (&["--url", "http://A.example:80/blog/1"], "x......"),
    (&["--url", "http://a.example/lang"], "...xx.."),
    (&["--url", "http://a.example/shop?id=1"], ".....x."),
    (&["--prefix", "http://a.example/bl"], "xxx...."),
    (&["--prefix", "http://a.example/shop?id=1&u"], ".....x."),
    (&["--host", "a.example"], "xxxxxx."),
    (&["--tag", "red"], "xx....x"),
    (&["--group", "g", "--host", "b.example"], "......x"),
    (&["--all"], "xxxxxxx"),
];

#[test]
fn each_purge_takes_what_it_names_and_nothing_else() {
    let origin = site();
    for args in [&[][..], &["--no-disk"]] {
        let proxy = Proxy::with(&origin, args);
        thread::sleep(millis(20));
        assert_eq!(found(&proxy), "xxxxxxx");
        for (what, expected) in ROWS {
            // What answers in another URL's place is learnt by a look-up.
            assert_eq!(cache(&ask(&proxy, "a.example", "/shop?id=1", "")), "HIT");
            let line = purged(&proxy, what);
            assert!(line.starts_with("purged: "), "{line}");
            // What is made in the same tick of the clock may be from before: it answers for itself alone.
            thread::sleep(millis(20));
            assert_eq!(found(&proxy), expected, "{what:?}");
            assert_eq!(found(&proxy), ".......");
        }
    }
}

#[test]
fn a_purge_holds_after_a_restart_and_after_a_kill() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    for (number, (what, expected)) in ROWS.into_iter().enumerate() {
        if what.contains(&"http://a.example/shop?id=1") {
            // A restart forgets what answers for what.
            continue;
        }
        found(&proxy);
        // So that all of it is on disk, and some of it in memory.
        proxy.terminate();
        proxy.start();
        ask(&proxy, "a.example", "/blog/1", "");
        purged(&proxy, what);
        if number % 2 == 0 {
            proxy.kill9();
        } else {
            proxy.terminate();
        }
        proxy.start();
        // After a kill what is on disk is found again while requests are served.
        assert!(eventually(|| count(&proxy, "store.segments_to_recover") == 0));
        assert_eq!(found(&proxy), expected, "{what:?}");
    }
}

/// An origin with a validator that confirms what its client has.
fn validating(control: &'static str) -> Origin {
    Origin::start(move |request, conn| {
        let fields = format!("Cache-Control: {control}\r\nETag: \"1\"\r\n");
        if request.field("If-None-Match") == Some("\"1\"") {
            conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"));
        } else {
            conn.send(ok(&fields, "content"));
        }
    })
}

fn get(proxy: &Proxy) -> (String, String) {
    let answer = ask(proxy, "a.example", "/", "");
    assert_eq!(answer.text(), "content");
    let status = cache_status(&answer);
    let detail = status.rsplit("detail=").next().unwrap_or_default().to_owned();
    (cache(&answer).to_owned(), detail)
}

fn told(verdict: &str, detail: &str) -> (String, String) {
    (verdict.to_owned(), detail.to_owned())
}

#[test]
fn what_was_purged_softly_is_validated_and_then_good_again() {
    let origin = validating("max-age=600");
    let mut proxy = Proxy::before(&origin);
    for restart in [false, true] {
        get(&proxy);
        assert_eq!(get(&proxy), told("HIT", "fresh"));
        let line = purged(&proxy, &["--soft", "--url", "http://a.example/"]);
        assert!(line.starts_with("made stale: http://a.example/, in "), "{line}");
        if restart {
            // What waits for the disk, or is looked for there, is a miss.
            assert!(eventually(|| count(&proxy, "store.queued_bytes") == 0));
            proxy.kill9();
            proxy.start();
            assert!(eventually(|| count(&proxy, "store.segments_to_recover") == 0));
        }
        assert_eq!(get(&proxy), told("HIT", "validated"));
        assert_eq!(get(&proxy), told("HIT", "fresh"));
        if restart {
            proxy.terminate();
            proxy.start();
            assert_eq!(get(&proxy), told("HIT", "fresh"));
        }
    }
    assert_eq!(origin.count(), 3);
}

#[test]
fn without_a_validator_what_was_purged_softly_is_fetched_again_for_that_reason() {
    let origin = Origin::answering(ok("Cache-Control: max-age=600\r\n", "content"));
    let proxy = Proxy::before(&origin);
    get(&proxy);
    purged(&proxy, &["--soft", "--all"]);
    let answer = ask(&proxy, "a.example", "/", "");
    let status = cache_status(&answer);
    assert!(status.starts_with("fwd=stale; "), "{status}");
    assert!(status.ends_with("detail=purged-soft"), "{status}");
    assert_eq!(get(&proxy), told("HIT", "fresh"));
}

#[test]
fn a_head_without_a_validator_does_not_make_purged_content_good_again() {
    let origin = Origin::start(|request, conn| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 7\r\n\r\n";
        conn.send(head.to_owned() + if request.method == "GET" { "content" } else { "" });
    });
    let proxy = Proxy::before(&origin);
    get(&proxy);
    purged(&proxy, &["--soft", "--all"]);
    let mut client = proxy.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let head = client.head_to("HEAD").unwrap();
    assert_eq!((head.status, origin.count()), (200, 2));
    assert!(cache_status(&ask(&proxy, "a.example", "/", "")).ends_with("detail=purged-soft"));
}

#[test]
fn parts_that_were_purged_softly_are_validated() {
    let origin = Origin::start(|request, conn| {
        let fields = "Cache-Control: max-age=600\r\nETag: \"1\"\r\n";
        if request.field("If-None-Match") == Some("\"1\"") {
            conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"));
        } else {
            let fields = format!("{fields}Content-Range: bytes 0-2/7\r\n");
            conn.send(response("206 Partial Content", &fields, "con"));
        }
    });
    let proxy = Proxy::before(&origin);
    let part = || {
        let answer = ask(&proxy, "a.example", "/", "Range: bytes=0-2\r\n");
        assert_eq!((answer.status, answer.text().as_str()), (206, "con"));
        let status = cache_status(&answer);
        status.rsplit("detail=").next().unwrap_or_default().to_owned()
    };
    assert_eq!([part(), part()], ["absent", "partial"]);
    purged(&proxy, &["--soft", "--url", "http://a.example/"]);
    assert_eq!([part(), part()], ["validated", "partial"]);
    purged(&proxy, &["--url", "http://a.example/"]);
    assert_eq!([part(), part()], ["absent", "partial"]);
}

#[test]
fn what_was_purged_softly_is_served_while_it_is_refreshed() {
    let origin = validating("max-age=600, stale-while-revalidate=60");
    let proxy = Proxy::before(&origin);
    get(&proxy);
    purged(&proxy, &["--soft", "--prefix", "http://a.example/"]);
    assert_eq!(get(&proxy), told("HIT", "stale-while-revalidate"));
    for _ in 0..100 {
        if get(&proxy) == told("HIT", "fresh") {
            assert_eq!(origin.count(), 2);
            return;
        }
        thread::sleep(millis(20));
    }
    panic!("it was not refreshed");
}

#[test]
fn what_was_purged_softly_stands_in_for_an_origin_that_is_gone_unless_it_may_not() {
    let rows = [
        ("max-age=600", "stale-origin-unreachable"),
        ("max-age=600, stale-if-error=60", "stale-if-error"),
        ("max-age=600, must-revalidate", "504"),
    ];
    for (control, expected) in rows {
        let origin = validating(control);
        let proxy = Proxy::before(&origin);
        get(&proxy);
        drop(origin);
        assert_eq!(get(&proxy), told("HIT", "fresh"));
        purged(&proxy, &["--soft", "--host", "a.example"]);
        let answer = ask(&proxy, "a.example", "/", "");
        if expected == "504" {
            assert_eq!(answer.status, 504, "{control}");
        } else {
            assert!(cache_status(&answer).ends_with(expected), "{}", cache_status(&answer));
        }
    }
}

#[test]
fn what_is_being_fetched_while_it_is_purged_is_not_stored() {
    let origin = Origin::start(|_, conn| {
        let rest = "st!";
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nfir");
        thread::sleep(millis(700));
        conn.send(rest);
    });
    let proxy = Proxy::before(&origin);
    for what in [&["--url", "http://a.example/"][..], &["--host", "a.example"], &["--all"]] {
        let mut early = proxy.client();
        early.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let mut head = early.head_to("GET").unwrap();
        let before = origin.count();
        purged(&proxy, what);
        let late = ask(&proxy, "a.example", "/", "");
        assert_eq!((cache(&late), origin.count()), ("MISS", before + 1), "{what:?}");
        let mut body = Vec::new();
        early.body_into(&mut head, &mut |part| body.extend_from_slice(part)).unwrap();
        assert_eq!(body, b"first!", "who asked before gets all of it");
        assert_eq!(cache(&ask(&proxy, "a.example", "/", "")), "HIT");
        purged(&proxy, &["--all"]);
    }
}

#[test]
fn without_a_running_instance_nothing_is_purged_and_that_is_said() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    proxy.terminate();
    let output = purge(&proxy, &["--all"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert_eq!(output.stderr.lines().count(), 1);
    assert!(output.stderr.contains("nothing was purged: no instance is running in "));
    assert!(output.stderr.contains("--clear-cache"));
}

#[test]
fn what_an_unsafe_request_made_invalid_stays_so_after_a_kill() {
    let origin = Origin::start(|request, conn| {
        if request.method == "GET" {
            conn.send(ok("Cache-Control: max-age=600\r\n", "content"));
        } else {
            conn.send(response("204 No Content", "", ""));
        }
    });
    let mut proxy = Proxy::before(&origin);
    for round in 0..10 {
        let paths: Vec<_> = (0..20).map(|number| format!("/{round}/{number}")).collect();
        let all = |proxy: &Proxy| {
            let hit = |path| cache(&ask(proxy, "a.example", path, "")) == "HIT";
            paths.iter().map(|path| hit(path)).collect::<Vec<_>>()
        };
        all(&proxy);
        proxy.terminate();
        proxy.start();
        assert_eq!(all(&proxy), [true; 20]);
        for path in &paths {
            assert_eq!(send(&proxy, "DELETE", "a.example", path, "").status, 204);
        }
        proxy.kill9();
        proxy.start();
        assert_eq!(all(&proxy), [false; 20], "round {round}");
    }
}
