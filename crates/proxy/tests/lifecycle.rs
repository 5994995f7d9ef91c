//! The life of a stored response, with a clock that moves only when told.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use policy::Rules;
use proxy::Limits;
use proxy::clock::Clock;
use rig::Site;
use testkit::{Origin, Response};

impl Site {
    fn get(&self) -> Response {
        self.client().get("/")
    }

    fn ask(&self, method: &str, fields: &[(&str, &str)]) -> Response {
        self.client().request(method, "/", fields)
    }

    /// What the client is told: where the content came from, its age, and the content.
    fn told(&self) -> (String, u64, String) {
        told(&self.get())
    }
}

fn told(response: &Response) -> (String, u64, String) {
    // What the origin has just made or confirmed has none.
    let age = response.field("Age").map_or(0, |age| age.parse().unwrap());
    (response.field("X-Cache").unwrap().to_owned(), age, response.text())
}

fn expect(cache: &str, age: u64, content: &str) -> (String, u64, String) {
    (cache.to_owned(), age, content.to_owned())
}

/// Answers with a number that rises, under these fields.
fn numbering(fields: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |_, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\n{number}"));
    })
}

#[test]
fn miss_hit_expired_miss() {
    let origin = numbering("Cache-Control: max-age=10\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "1"));
    assert_eq!(site.told(), expect("HIT", 0, "1"));
    assert_eq!(site.after(4).told(), expect("HIT", 4, "1"));
    assert_eq!(site.after(5).told(), expect("HIT", 9, "1"));
    assert_eq!(site.after(1).told(), expect("MISS", 0, "2"));
    assert_eq!(site.after(9).told(), expect("HIT", 9, "2"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn age_is_told_only_of_what_the_origin_did_not_make_or_confirm_for_this_request() {
    let origin = confirming("", "Cache-Control: max-age=10\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.get().field("Age"), None);
    assert_eq!(site.get().field("Age"), Some("0"));
    let confirmed = site.after(10).get();
    assert_eq!((confirmed.field("X-Cache"), confirmed.field("Age")), (Some("HIT"), None));
    let origin = numbering("Age: 3\r\nCache-Control: max-age=10\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.get().all("Age"), ["3"]);
    assert_eq!(site.get().all("Age"), ["3"]);
}

#[test]
fn age_from_before_shortens_the_life() {
    let origin = numbering("Cache-Control: max-age=10\r\nAge: 7\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 7, "1"));
    assert_eq!(site.after(2).told(), expect("HIT", 9, "1"));
    assert_eq!(site.after(1).told(), expect("MISS", 7, "2"));
}

#[test]
fn the_heuristic_is_a_tenth_of_the_time_since_the_last_change() {
    // A hundred seconds before noon.
    let origin = numbering("Last-Modified: Mon, 23 Nov 2026 11:58:20 GMT\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "1"));
    assert_eq!(site.after(9).told(), expect("HIT", 9, "1"));
    // Stale now, and validated: this origin answers with a new response.
    assert_eq!(site.after(1).told(), expect("MISS", 0, "2"));
}

#[test]
fn the_default_lifetime_is_for_responses_that_bring_none() {
    let rules = Rules { default_ttl: Some(Duration::from_mins(5)), ..Rules::default() };
    let origin = numbering("");
    let site = Site::ruled(&origin, rules);
    assert_eq!(site.told(), expect("MISS", 0, "1"));
    assert_eq!(site.after(299).told(), expect("HIT", 299, "1"));
    assert_eq!(site.after(1).told(), expect("MISS", 0, "2"));
}

#[test]
fn a_confirmed_response_starts_a_new_life() {
    let origin = Origin::start(|request, conn| {
        let response = match request.field("If-None-Match") {
            Some(_) => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned(),
            None => "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nCache-Control: max-age=10\r\n\
                     Content-Length: 1\r\n\r\nx"
                .to_owned(),
        };
        conn.send(response);
    });
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "x"));
    assert_eq!(site.after(10).told(), expect("HIT", 0, "x"));
    assert_eq!(site.after(9).told(), expect("HIT", 9, "x"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_response_that_is_confirmed_again_and_again_takes_no_more_memory() {
    let origin = Origin::start(|request, conn| {
        let fields = "ETag: \"a\"\r\nCache-Control: max-age=10\r\n";
        conn.send(match request.field("If-None-Match") {
            Some(_) => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
            None => format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\nx"),
        });
    });
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "x"));
    let confirmed = |times: u64| {
        (0..times).for_each(|_| assert_eq!(site.after(10).told(), expect("HIT", 0, "x")));
        site.running.handle().store_stats().memory_bytes
    };
    assert_eq!(confirmed(2), confirmed(100));
    assert_eq!(origin.count(), 103);
}

#[test]
fn stale_while_revalidate_ends() {
    let origin = numbering("Cache-Control: max-age=10, stale-while-revalidate=20\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "1"));
    assert_eq!(site.after(15).told(), expect("HIT", 15, "1"));
    assert!(testkit::eventually(|| site.told() == expect("HIT", 0, "2")));
    // Beyond the window nobody is served without asking.
    assert_eq!(site.after(31).told(), expect("MISS", 0, "3"));
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_failing_origin_is_stood_in_for_as_long_as_it_allowed() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=10, stale-if-error=20\r\n");
            conn.send("Content-Length: 4\r\n\r\ngood");
        } else {
            conn.send("HTTP/1.1 503 Down\r\nContent-Length: 3\r\n\r\nbad");
        }
    });
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "good"));
    assert_eq!(site.after(29).told(), expect("HIT", 29, "good"));
    let late = site.after(2).get();
    assert_eq!((late.status, late.text()), (503, "bad".to_owned()));
}

#[test]
fn a_clock_that_jumps_back_makes_nothing_younger_than_it_was() {
    let origin = numbering("Cache-Control: max-age=10\r\nAge: 5\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 5, "1"));
    let Clock::Set(now) = &site.clock else { panic!("the clock of a test stands still") };
    now.fetch_sub(30_000, Ordering::SeqCst);
    assert_eq!(site.told(), expect("HIT", 5, "1"));
    // By so much that nobody knows how old it is.
    now.fetch_sub(3_600_000, Ordering::SeqCst);
    assert_eq!(site.told(), expect("MISS", 5, "2"));
}

#[test]
fn clearing_forgets_at_once_and_says_how_much() {
    let origin = numbering("Cache-Control: max-age=10\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "1"));
    assert_eq!(site.running.handle().clear().entries, 1);
    assert_eq!(site.told(), expect("MISS", 0, "2"));
    // Counted after the last byte has gone out.
    let counts = || site.running.handle().counts();
    assert!(testkit::eventually(|| counts().requests == 2));
    assert_eq!((counts().hits, counts().origin_failures, counts().cut), (0, 0, 0));
}

/// Confirms `"a"` with these fields, and else sends it with others.
fn confirming(confirmed: &'static str, fresh: &'static str) -> Origin {
    Origin::start(move |request, conn| {
        let response = match request.field("If-None-Match") {
            Some("\"a\"") => format!("HTTP/1.1 304 Not Modified\r\n{confirmed}\r\n"),
            _ => format!(
                "HTTP/1.1 200 OK\r\nETag: \"a\"\r\n{fresh}Content-Length: 4\r\n\r\n{}",
                if request.method == "HEAD" { "" } else { "body" }
            ),
        };
        conn.send(response);
    })
}

#[test]
fn no_client_can_make_the_cache_forget_what_the_origin_confirms() {
    for (method, fields) in [
        ("GET", ("Authorization", "Basic dTpw")),
        ("GET", ("Cache-Control", "no-store, max-age=0")),
    ] {
        let origin = confirming("", "Cache-Control: max-age=60\r\n");
        let site = Site::before(&origin);
        assert_eq!(site.told(), expect("MISS", 0, "body"));
        let asked = site.ask(method, &[fields]);
        assert_eq!((asked.status, asked.text()), (200, "body".to_owned()), "{fields:?}");
        assert_eq!(origin.count(), 2, "{fields:?}");
        assert_eq!(site.told(), expect("HIT", 0, "body"), "{fields:?}");
    }
}

#[test]
fn a_head_that_finds_a_stale_response_has_it_refreshed_by_a_get() {
    let origin = confirming(
        "Cache-Control: max-age=10, stale-while-revalidate=20\r\n",
        "Cache-Control: max-age=10, stale-while-revalidate=20\r\n",
    );
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "body"));
    let head = site.after(15).ask("HEAD", &[("If-Match", "\"b\"")]);
    assert_eq!((head.status, head.field("X-Cache")), (200, Some("HIT")));
    assert!(testkit::eventually(|| site.told() == expect("HIT", 0, "body")));
    let refresh = &origin.requests()[1];
    assert_eq!((refresh.method.as_str(), refresh.field("If-Match")), ("GET", None));
}

#[test]
fn what_the_origin_confirms_but_wants_no_longer_stored_is_answered_once_as_it_says() {
    let origin = confirming(
        "Cache-Control: no-store\r\nX-New: 1\r\n",
        "Cache-Control: max-age=10\r\nX-Old: 1\r\n",
    );
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "body"));
    let confirmed = site.after(10).get();
    assert_eq!(told(&confirmed), ("HIT".to_owned(), 0, "body".to_owned()));
    assert_eq!(confirmed.all("Cache-Control"), ["no-store"]);
    assert_eq!((confirmed.field("X-New"), confirmed.field("X-Old")), (Some("1"), Some("1")));
    assert!(!confirmed.field("Cache-Status").unwrap().contains("stored"));
    assert_eq!(site.told(), expect("MISS", 0, "body"));
}

#[test]
fn a_304_about_another_response_is_asked_again_without_conditions() {
    let origin = confirming("ETag: \"b\"\r\n", "Cache-Control: max-age=10\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told(), expect("MISS", 0, "body"));
    assert_eq!(site.after(10).told(), expect("MISS", 0, "body"));
    assert_eq!(origin.count(), 3);
    assert_eq!(origin.requests()[2].field("If-None-Match"), None);
}

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
fn who_waits_too_long_for_another_goes_alone_and_a_crowd_has_a_limit() {
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
