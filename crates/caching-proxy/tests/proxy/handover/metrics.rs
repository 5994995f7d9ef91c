//! Metrics go on being told, by whoever serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::{Client, Origin, eventually};

use super::has_ended;
use super::pretender::Pretender;
use crate::metrics::{place, scrape, told};
use crate::{Proxy, ok};

const LISTENING: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

fn site() -> Origin {
    Origin::answering(ok("Cache-Control: max-age=60\r\n", "hello"))
}

#[test]
fn no_scrape_fails_while_one_takes_over_from_another() {
    let origin = site();
    let mut proxy = Proxy::with(&origin, &LISTENING);
    let at = place(&proxy);
    let over = Arc::new(AtomicBool::new(false));
    let (asked, is_over) = (at.clone(), Arc::clone(&over));
    let scraper = std::thread::spawn(move || {
        let mut scrapes = 0;
        while !is_over.load(Ordering::Acquire) {
            assert_eq!(scrape(&asked, &[]).status, 200);
            scrapes += 1;
        }
        scrapes
    });
    for generation in 1..=3 {
        let older = proxy.take_over();
        has_ended(older);
        assert_eq!(place(&proxy), at, "the port that the system picked stays");
        assert_eq!(told(&at, "caching_proxy_takeovers_total", &[]), Some(generation));
    }
    over.store(true, Ordering::Release);
    assert!(scraper.join().unwrap() > 3);
}

#[test]
fn the_older_process_stops_telling_even_while_it_drains() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\n1");
        conn.pause(testkit::PATIENCE / 10);
        conn.send("2");
    });
    let mut proxy = Proxy::with(&origin, &LISTENING);
    let at = place(&proxy);
    let mut slow = proxy.client();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(slow.head_to("GET").unwrap().status, 200);
    let mut older = proxy.take_over();
    for _ in 0..20 {
        assert_eq!(told(&at, "caching_proxy_takeovers_total", &[]), Some(1));
    }
    assert!(older.is_running(), "it still has a request");
    has_ended(older);
}

#[test]
fn who_waits_at_the_older_process_is_answered_by_it() {
    let origin = site();
    let mut proxy = Proxy::with(&origin, &LISTENING);
    let at = place(&proxy);
    let silent: Vec<_> = (0..32).map(|_| Client::connect(&at)).collect();
    let mut waiting = Client::connect(&at);
    waiting.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let older = proxy.take_over();
    let answer = waiting.response();
    assert!(answer.text().contains("\ncaching_proxy_takeovers_total 0\n"), "{}", answer.text());
    drop(silent);
    has_ended(older);
}

#[test]
fn one_that_cannot_take_over_leaves_the_metrics_to_the_other() {
    let origin = site();
    let proxy = Proxy::with(&origin, &LISTENING);
    let at = place(&proxy);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let args = ["--take-over", "--metrics-listen", &taken];
    // An option that is given twice is refused, so this one starts without those of the first.
    let other = testkit::Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--port", &proxy.address().1.to_string(), "--origin", &origin.url(), "--cache-dir"])
        .arg(proxy.directory.path().join("cache"))
        .args(args)
        .run();
    assert_eq!(other.code, Some(1));
    assert!(other.stderr.contains("for metrics"), "{}", other.stderr);
    assert_eq!(told(&at, "caching_proxy_takeovers_total", &[]), Some(0));
}

#[test]
fn where_nobody_tells_metrics_any_more_nobody_listens() {
    let origin = site();
    let mut proxy = Proxy::with(&origin, &LISTENING);
    let at = place(&proxy);
    proxy.args.clear();
    has_ended(proxy.take_over());
    assert!(eventually(|| std::net::TcpStream::connect(&at).is_err()));
    // Nor is the address kept from anybody.
    drop(Client::connect(proxy.address()));
    std::net::TcpListener::bind(&at).unwrap();
}

#[test]
fn those_who_could_not_take_over_are_counted() {
    let origin = site();
    let proxy = Proxy::with(&origin, &LISTENING);
    let at = place(&proxy);
    for times in 1..=2 {
        let mut pretender = Pretender::before(&proxy);
        pretender.hears(r#""pid""#);
        // A process has a number.
        pretender.say(r#"{"ready":"me"}"#);
        let failed = || told(&at, "caching_proxy_takeovers_failed_total", &[]);
        assert!(eventually(|| failed() == Some(times)), "{:?}", failed());
    }
}
