//! The life of a stored response, with a clock that moves only when told.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod fetching;
#[path = "../rig/mod.rs"]
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
