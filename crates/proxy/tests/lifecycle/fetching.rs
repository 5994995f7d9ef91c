//! What the origin is asked, how often, and who waits for it.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;

use super::*;

#[test]
fn a_refresh_that_fails_is_not_tried_at_every_request() {
    for status in ["500 Oops", "429 Too Many Requests", "403 Forbidden"] {
        let count = AtomicUsize::new(0);
        let origin = Origin::start(move |_, conn| {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                conn.send(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=10, stale-while-revalidate=60\r\n",
                );
                conn.send("Content-Length: 4\r\n\r\ngood");
            } else {
                conn.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
            }
        });
        let limits = Limits { refresh_pause: Duration::from_mins(1), ..Limits::default() };
        let site = Site::with(&origin, |settings| settings.limits = limits);
        assert_eq!(site.told(), expect("MISS", 0, "good"));
        assert_eq!(site.after(20).told(), expect("HIT", 20, "good"));
        assert!(testkit::eventually(|| origin.count() == 2));
        // It is noted before another one could begin.
        for _ in 0..300 {
            assert_eq!(site.told(), expect("HIT", 20, "good"));
        }
        assert_eq!(origin.count(), 2, "{status}");
    }
}

#[test]
fn no_more_responses_are_refreshed_at_once_than_may_be() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        // The first two fill the store.
        if count.fetch_add(1, Ordering::SeqCst) >= 2 {
            let _ = wait.lock().unwrap().recv();
        }
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=10, stale-while-revalidate=60\r\n");
        conn.send("Content-Length: 1\r\n\r\nx");
    });
    let limits = Limits { refreshes: 1, ..Limits::default() };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    let ask = |path: &str| told(&site.client().get(path));
    for path in ["/one", "/two"] {
        assert_eq!(ask(path), expect("MISS", 0, "x"));
    }
    site.after(20);
    assert_eq!(ask("/one"), expect("HIT", 20, "x"));
    assert!(testkit::eventually(|| origin.count() == 3));
    for _ in 0..10 {
        assert_eq!(ask("/two"), expect("HIT", 20, "x"));
    }
    assert_eq!(origin.count(), 3);
    // When the first is renewed, the next who asks for the second has it renewed.
    go.send(()).unwrap();
    assert!(testkit::eventually(|| ask("/two").1 == 20 && origin.count() == 4));
    go.send(()).unwrap();
    assert!(testkit::eventually(|| ask("/two") == expect("HIT", 0, "x")));
}

#[test]
fn repeated_requests_are_few_among_many() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        // Each connection is good for one request, and says nothing to the next one.
        if count.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            conn.close();
        } else {
            conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let site = Site::before(&origin);
    let mut client = site.client();
    let statuses: Vec<_> = (0..200).map(|_| client.get("/").status).collect();
    let failed = statuses.iter().filter(|status| **status == 502).count();
    // A hundred are repeated, and one in ten beside them.
    assert!(statuses[..100].iter().all(|status| *status == 200));
    let repeated = origin.count() - 200;
    assert!((100..=120).contains(&repeated), "{repeated} repeated, {failed} failed");
    assert!(failed > 0);
}

#[test]
fn only_a_request_that_can_be_repeated_is_sent_again() {
    for (method, attempts) in [("GET", 2), ("POST", 1)] {
        let count = AtomicUsize::new(0);
        let origin = Origin::start(move |_, conn| {
            // The second request on the first connection finds it closed without a word.
            if count.fetch_add(1, Ordering::SeqCst) == 1 {
                conn.close();
            } else {
                conn.send(
                    "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n",
                );
            }
        });
        let site = Site::before(&origin);
        assert_eq!(site.get().status, 200);
        let status = site.ask(method, &[]).status;
        assert_eq!(status, if attempts == 2 { 200 } else { 502 }, "{method}");
        assert_eq!(origin.count(), 1 + attempts, "{method}");
    }
}

#[test]
fn who_waits_too_long_for_another_asks_too_and_a_crowd_has_a_limit() {
    let origin = Origin::start(|request, conn| {
        if request.field("X-Slow").is_some() {
            conn.pause(Duration::from_millis(900));
        }
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx");
    });
    let limits = Limits {
        collapse_wait: Duration::from_millis(200),
        collapse_waiters: 1,
        ..Limits::default()
    };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    let (mut slow, mut waiting) = (site.client(), site.client());
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1\r\n\r\n");
    assert!(testkit::eventually(|| origin.count() == 1));
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(60));
    let mut third = site.client();
    third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let refused = third.response();
    assert_eq!(refused.status, 503);
    let after: u64 = refused.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=5).contains(&after), "{after}");
    assert!(refused.field("Cache-Status").unwrap().contains("detail=collapse-crowded"));
    let alone = waiting.response();
    assert_eq!(alone.status, 200);
    assert!(alone.first_byte < Duration::from_millis(800), "{:?}", alone.first_byte);
    assert_eq!(slow.response().status, 200);
    assert_eq!(origin.count(), 2);
}

#[test]
fn where_a_fetch_takes_too_long_one_of_those_who_wait_fetches_for_all_others() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |request, conn| {
        if request.field("X-Slow").is_some() {
            let _ = wait.lock().unwrap().recv_timeout(Duration::from_secs(20));
        }
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx");
    });
    let patience = Duration::from_secs(1);
    let site = Site::with(&origin, |settings| settings.limits.collapse_wait = patience);
    let mut slow = site.client();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1\r\n\r\n");
    assert!(testkit::eventually(|| origin.count() == 1));
    let mut waiting: Vec<_> = (0..50).map(|_| site.client()).collect();
    for client in &mut waiting {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut waiting {
        assert_eq!(client.response().text(), "x");
    }
    // Two, where each is fast.
    assert!(origin.count() <= 16, "{}", origin.count());
    go.send(()).unwrap();
    assert_eq!(slow.response().text(), "x");
}

#[test]
fn an_origin_that_is_slow_for_all_gets_more_requests_for_one_resource_but_not_all() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |_, conn| {
        let _ = wait.lock().unwrap().recv_timeout(Duration::from_secs(20));
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx");
    });
    let limits = Limits {
        collapse_wait: Duration::from_millis(100),
        origin_connections: 16,
        ..Limits::default()
    };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    let mut clients: Vec<_> = (0..50).map(|_| site.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert!(testkit::eventually(|| origin.count() == 4));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(origin.count(), 4, "a quarter of all connections");
    (0..4).for_each(|_| go.send(()).unwrap());
    for client in &mut clients {
        assert_eq!(client.response().text(), "x");
    }
    assert_eq!(origin.count(), 4);
}

#[test]
fn one_that_is_never_answered_holds_up_nobody_who_comes_when_the_origin_is_well_again() {
    let (go, wait) = channel();
    let (wait, is_well) = (Mutex::new(wait), Arc::new(AtomicBool::new(false)));
    let well = Arc::clone(&is_well);
    let origin = Origin::start(move |request, conn| {
        if request.field("X-Stuck").is_some() {
            let _ = wait.lock().unwrap().recv_timeout(Duration::from_secs(20));
        } else if !well.load(Ordering::SeqCst) {
            return conn.close();
        }
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx");
    });
    let limits = Limits {
        collapse_wait: Duration::from_millis(200),
        origin_connections: 8,
        ..Limits::default()
    };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    let mut stuck = site.client();
    stuck.send("GET / HTTP/1.1\r\nHost: a\r\nX-Stuck: 1\r\n\r\n");
    assert!(testkit::eventually(|| origin.count() == 1));
    let mut waiting: Vec<_> = (0..20).map(|_| site.client()).collect();
    for client in &mut waiting {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut waiting {
        assert_eq!(client.response().status, 502);
    }
    // Eight that failed, some of them by a repeated request.
    assert!(origin.count() < 20, "{}", origin.count());
    is_well.store(true, Ordering::SeqCst);
    assert_eq!(site.ask("GET", &[]).text(), "x");
    go.send(()).unwrap();
    assert_eq!(stuck.response().text(), "x");
}

#[test]
fn what_was_being_fetched_when_the_cache_was_cleared_is_not_kept() {
    let origin = Origin::start(|_, conn| {
        conn.pause(Duration::from_millis(200));
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nfi");
        conn.pause(Duration::from_millis(200));
        conn.send("ll");
    });
    for wait in [100, 300] {
        let site = Site::before(&origin);
        let mut client = site.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        std::thread::sleep(Duration::from_millis(wait));
        site.running.handle().clear();
        assert_eq!(client.response().text(), "fill");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let again = client.response();
        assert_eq!(again.field("X-Cache"), Some("MISS"), "cleared after {wait} ms");
    }
}

#[test]
fn a_request_that_came_by_this_proxy_too_often_is_a_loop() {
    let origin = numbering("Cache-Control: max-age=60\r\n");
    let site = Site::before(&origin);
    let via = vec!["1.1 caching-proxy"; 17].join(", ");
    let refused = site.ask("GET", &[("Via", &via)]);
    assert_eq!(refused.status, 502);
    assert!(refused.field("Proxy-Status").unwrap().contains("error=proxy_loop_detected"));
    assert_eq!(site.running.handle().counts().origin_failures, 0);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_client_that_has_ended_its_side_still_gets_its_answer() {
    let origin = Origin::start(|_, conn| {
        conn.pause(Duration::from_millis(100));
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\na");
        conn.pause(Duration::from_millis(100));
        conn.send("b");
    });
    let site = Site::before(&origin);
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish();
    assert_eq!(client.response().text(), "ab");
}

#[test]
fn a_client_that_stops_reading_is_let_go() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 90000000\r\n\r\n");
        let block = vec![b'x'; 1 << 20];
        while conn.send(&block) {}
    });
    let limits = Limits { write_timeout: Duration::from_millis(300), ..Limits::default() };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head_to("GET").unwrap();
    assert!(testkit::eventually(|| site.running.handle().counts().cut == 1));
}

#[test]
fn no_connection_outlives_its_patience() {
    let origin = numbering("Cache-Control: max-age=60\r\n");
    let limits = Limits {
        head_timeout: Duration::from_millis(150),
        idle_timeout: Duration::from_millis(250),
        ..Limits::default()
    };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    let mut half: Vec<_> = (0..60).map(|_| site.client()).collect();
    let mut idle: Vec<_> = (0..60).map(|_| site.client()).collect();
    let mut silent: Vec<_> = (0..60).map(|_| site.client()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    for client in &mut half {
        client.send("GET / HTTP/1.1\r\nHo");
    }
    for client in &mut half {
        assert_eq!(client.response().status, 408);
        assert!(client.at_eof());
    }
    for client in idle.iter_mut().chain(&mut silent) {
        assert!(client.at_eof(), "it was never closed");
    }
}

#[test]
fn what_an_unanswered_request_may_still_change_is_not_stored() {
    let version = Arc::new(AtomicUsize::new(0));
    let at_origin = Arc::clone(&version);
    let origin = Origin::start(move |request, conn| {
        if request.method == "POST" {
            conn.pause(Duration::from_millis(500));
            at_origin.fetch_add(1, Ordering::SeqCst);
            conn.send("HTTP/1.1 204 No Content\r\n\r\n");
            return;
        }
        let version = at_origin.load(Ordering::SeqCst);
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\n");
        conn.send(version.to_string());
    });
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "0"));
    let mut client = site.client();
    let host = site.running.local_addr();
    client.send(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
    assert!(testkit::eventually(|| origin.count() == 2));
    client.reset();
    assert!(testkit::eventually(|| site.told() == expect("MISS", 0, "0")));
    assert!(testkit::eventually(|| version.load(Ordering::SeqCst) == 1));
    assert_eq!(site.told(), expect("MISS", 0, "1"));
}

#[test]
fn a_request_that_must_not_be_stored_leaves_the_others_collapsing() {
    let origin = Origin::start(|_, conn| {
        conn.pause(Duration::from_millis(150));
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx");
    });
    for field in [("Cache-Control", "no-store"), ("Authorization", "Basic dTpw")] {
        let site = Site::before(&origin);
        assert_eq!(site.ask("GET", &[field]).status, 200);
        let before = origin.count();
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| assert_eq!(site.get().text(), "x"));
            }
        });
        assert_eq!(origin.count(), before + 1, "{field:?}");
    }
}
