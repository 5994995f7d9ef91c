//! The life of a stored response, with a clock that moves only when told.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use policy::{Rules, Timestamp};
use proxy::clock::Clock;
use proxy::events::{Recorder, Served, Trouble};
use proxy::{Limits, OriginUrl, Running, Settings};
use testkit::{Client, Origin, Response};

/// Mon, 23 Nov 2026 12:00:00 GMT.
const NOON: i64 = 1_795_435_200;

struct Silent;

impl Recorder for Silent {
    fn wants_requests(&self) -> bool {
        false
    }
    fn served(&self, _: &Served<'_>) {}
    fn trouble(&self, _: &Trouble<'_>) {}
}

/// A proxy in this process, in memory only.
struct Site {
    running: Running,
    clock: Clock,
}

impl Site {
    fn before(origin: &Origin, rules: Rules) -> Self {
        let clock = Clock::set_to(Timestamp::from_secs(NOON));
        let settings = Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            origin: OriginUrl::parse(&origin.url()).unwrap(),
            workers: 1,
            store: store::Options::default(),
            rules,
            limits: Limits::default(),
            clock: clock.clone(),
        };
        Self { running: proxy::start(settings, Arc::new(Silent)).unwrap(), clock }
    }

    fn client(&self) -> Client {
        Client::connect(self.running.local_addr())
    }

    fn after(&self, seconds: u64) -> &Self {
        self.clock.advance(Duration::from_secs(seconds));
        self
    }

    fn get(&self) -> Response {
        self.client().get("/")
    }

    /// What the client is told: where the content came from, its age, and the content.
    fn told(&self) -> (String, Option<u64>, String) {
        told(&self.get())
    }
}

fn told(response: &Response) -> (String, Option<u64>, String) {
    let age = response.field("Age").map(|age| age.parse().unwrap());
    (response.field("X-Cache").unwrap().to_owned(), age, response.text())
}

fn expect(cache: &str, age: u64, content: &str) -> (String, Option<u64>, String) {
    (cache.to_owned(), Some(age), content.to_owned())
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
    let site = Site::before(&origin, Rules::default());
    assert_eq!(site.told(), expect("MISS", 0, "1"));
    assert_eq!(site.told(), expect("HIT", 0, "1"));
    assert_eq!(site.after(4).told(), expect("HIT", 4, "1"));
    assert_eq!(site.after(5).told(), expect("HIT", 9, "1"));
    assert_eq!(site.after(1).told(), expect("MISS", 0, "2"));
    assert_eq!(site.after(9).told(), expect("HIT", 9, "2"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn age_from_before_shortens_the_life() {
    let origin = numbering("Cache-Control: max-age=10\r\nAge: 7\r\n");
    let site = Site::before(&origin, Rules::default());
    assert_eq!(site.told(), expect("MISS", 7, "1"));
    assert_eq!(site.after(2).told(), expect("HIT", 9, "1"));
    assert_eq!(site.after(1).told(), expect("MISS", 7, "2"));
}

#[test]
fn the_heuristic_is_a_tenth_of_the_time_since_the_last_change() {
    // A hundred seconds before noon.
    let origin = numbering("Last-Modified: Mon, 23 Nov 2026 11:58:20 GMT\r\n");
    let site = Site::before(&origin, Rules::default());
    assert_eq!(site.told(), expect("MISS", 0, "1"));
    assert_eq!(site.after(9).told(), expect("HIT", 9, "1"));
    // Stale now, and validated: this origin answers with a new response.
    assert_eq!(site.after(1).told(), expect("MISS", 0, "2"));
}

#[test]
fn the_default_lifetime_is_for_responses_that_bring_none() {
    let rules = Rules { default_ttl: Some(Duration::from_mins(5)), ..Rules::default() };
    let origin = numbering("");
    let site = Site::before(&origin, rules);
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
    let site = Site::before(&origin, Rules::default());
    assert_eq!(site.told(), expect("MISS", 0, "x"));
    assert_eq!(site.after(10).told(), expect("HIT", 0, "x"));
    assert_eq!(site.after(9).told(), expect("HIT", 9, "x"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn stale_while_revalidate_ends() {
    let origin = numbering("Cache-Control: max-age=10, stale-while-revalidate=20\r\n");
    let site = Site::before(&origin, Rules::default());
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
    let site = Site::before(&origin, Rules::default());
    assert_eq!(site.told(), expect("MISS", 0, "good"));
    assert_eq!(site.after(29).told(), expect("HIT", 29, "good"));
    let late = site.after(2).get();
    assert_eq!((late.status, late.text()), (503, "bad".to_owned()));
}

#[test]
fn a_clock_that_jumps_back_makes_nothing_younger_than_it_was() {
    let origin = numbering("Cache-Control: max-age=10\r\nAge: 5\r\n");
    let site = Site::before(&origin, Rules::default());
    assert_eq!(site.told(), expect("MISS", 5, "1"));
    let Clock::Set(now) = &site.clock else { panic!("the clock of a test stands still") };
    now.fetch_sub(3_600_000, Ordering::SeqCst);
    assert_eq!(site.told(), expect("HIT", 5, "1"));
}

#[test]
fn clearing_forgets_at_once_and_says_how_much() {
    let origin = numbering("Cache-Control: max-age=10\r\n");
    let site = Site::before(&origin, Rules::default());
    assert_eq!(site.told(), expect("MISS", 0, "1"));
    assert_eq!(site.running.handle().clear().entries, 1);
    assert_eq!(site.told(), expect("MISS", 0, "2"));
    // Counted after the last byte has gone out.
    let counts = || site.running.handle().counts();
    assert!(testkit::eventually(|| counts().requests == 2));
    assert_eq!((counts().hits, counts().origin_failures, counts().cut), (0, 0, 0));
}
