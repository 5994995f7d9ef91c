//! Stale responses that are renewed behind their clients' backs (RFC 5861 §3).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;

use testkit::Origin;

use crate::collapsing::crowd;
use crate::{Proxy, cache, cache_status, millis, ok, seconds};

/// Answers with a number that rises; every answer but the first takes this long.
fn numbering(fields: &'static str, millis_to_refresh: u64) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |_, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if number > 1 {
            conn.pause(millis(millis_to_refresh));
        }
        conn.send(ok(fields, &number.to_string()));
    })
}

#[test]
fn two_hundred_clients_within_the_window_cause_one_refresh_and_wait_for_none() {
    let origin = numbering("Cache-Control: max-age=1, stale-while-revalidate=60\r\n", 1_500);
    let proxy = Proxy::with(&origin, &["--workers", "2"]);
    assert_eq!(proxy.get("/").text(), "1");
    sleep(millis(1_100));
    for answer in crowd(&proxy, 200, &[]) {
        assert_eq!((cache(&answer), answer.text()), ("HIT", "1".to_owned()));
        let status = cache_status(&answer);
        assert!(status.contains("detail=stale-while-revalidate"), "{status}");
        assert!(answer.first_byte < seconds(1), "{:?}", answer.first_byte);
    }
    assert_eq!(origin.count(), 2);
    assert!(testkit::eventually(|| proxy.get("/").text() == "2"));
}

#[test]
fn after_the_window_clients_wait_for_the_origin() {
    let origin = numbering("Cache-Control: max-age=1, stale-while-revalidate=1\r\n", 300);
    let proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/").text(), "1");
    sleep(millis(2_200));
    let waited = crowd(&proxy, 20, &[]);
    assert!(waited.iter().all(|answer| answer.text() == "2"));
    assert!(waited.iter().all(|answer| cache(answer) == "MISS"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_refresh_that_brings_a_response_to_be_validated_ends_the_window() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = match number {
            1 => "Cache-Control: max-age=1, stale-while-revalidate=60\r\nETag: \"a\"\r\n",
            _ => "Cache-Control: no-cache\r\nETag: \"b\"\r\n",
        };
        conn.send(ok(fields, &number.to_string()));
    });
    let proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/").text(), "1");
    sleep(millis(1_100));
    assert_eq!(proxy.get("/").text(), "1");
    assert!(testkit::eventually(|| origin.count() == 2));
    sleep(millis(100));
    assert_eq!(proxy.get("/").text(), "3");
    assert_eq!(origin.requests()[1].field("If-None-Match"), Some("\"a\""));
    assert_eq!(origin.requests()[2].field("If-None-Match"), Some("\"b\""));
}

#[test]
fn a_refresh_that_brings_what_is_not_stored_ends_the_window() {
    for fields in ["Cache-Control: no-store\r\n", "Cache-Control: private\r\n"] {
        let count = AtomicUsize::new(0);
        let origin = Origin::start(move |_, conn| {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let first = "Cache-Control: max-age=1, stale-while-revalidate=60\r\nETag: \"a\"\r\n";
            conn.send(ok(if number == 1 { first } else { fields }, &number.to_string()));
        });
        let proxy = Proxy::before(&origin);
        assert_eq!(proxy.get("/").text(), "1");
        sleep(millis(1_100));
        assert_eq!(proxy.get("/").text(), "1");
        assert!(testkit::eventually(|| origin.count() == 2));
        sleep(millis(100));
        assert_eq!(proxy.get("/").text(), "3", "{fields}");
    }
}
