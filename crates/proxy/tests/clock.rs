//! A clock that is set back while responses are stored.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};

use proxy::clock::Clock;
use rig::{NOON, Site};
use testkit::{Client, Origin};

const HOUR: i64 = 3600;

impl Site {
    /// `X-Cache`, `Age` and the content, so many seconds after noon.
    fn told(&self, at: i64) -> (String, String, String) {
        if let Clock::Set(millis) = &self.clock {
            millis.store(1000 * (NOON + at), Ordering::Release);
        }
        let response = Client::connect(self.running.local_addr()).get("/");
        let field = |name| response.field(name).unwrap_or("none").to_owned();
        (field("X-Cache"), field("Age"), response.text())
    }
}

/// Answers with a number that rises; validates the number `validates`.
fn numbering(validates: bool) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = "Cache-Control: max-age=100\r\nETag: \"a\"\r\n";
        if validates && request.field("If-None-Match").is_some() {
            conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"));
        } else {
            conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\n{number}"));
        }
    })
}

fn told(cache: &str, age: &str, content: &str) -> (String, String, String) {
    (cache.to_owned(), age.to_owned(), content.to_owned())
}

#[test]
fn a_clock_that_is_set_back_a_little_makes_nothing_younger_than_it_was() {
    let origin = numbering(false);
    let site = Site::before(&origin);
    assert_eq!(site.told(0), told("MISS", "none", "1"));
    assert_eq!(site.told(-30), told("HIT", "0", "1"));
    assert_eq!(site.told(99), told("HIT", "99", "1"));
    assert_eq!(site.told(100), told("MISS", "none", "2"));
}

#[test]
fn what_seems_to_be_from_the_future_is_stale_until_it_is_validated() {
    for back in [HOUR, 24 * HOUR] {
        let origin = numbering(true);
        let site = Site::before(&origin);
        assert_eq!(site.told(0), told("MISS", "none", "1"));
        assert_eq!(site.told(-back), told("HIT", "none", "1"), "validated, not forgotten");
        assert_eq!(origin.count(), 2);
        assert_eq!(site.told(99 - back), told("HIT", "99", "1"));
        assert_eq!(origin.count(), 2);
        assert_eq!(site.told(100 - back), told("HIT", "none", "1"), "validated again");
        assert_eq!(site.told(0), told("HIT", "none", "1"), "and when the clock is right again");
        assert_eq!(origin.count(), 4);
    }
}

#[test]
fn what_seems_to_be_from_the_future_is_replaced_by_what_the_origin_has() {
    let origin = numbering(false);
    let site = Site::before(&origin);
    assert_eq!(site.told(0), told("MISS", "none", "1"));
    assert_eq!(site.told(-HOUR), told("MISS", "none", "2"));
    assert_eq!(site.told(10 - HOUR), told("HIT", "10", "2"));
}
