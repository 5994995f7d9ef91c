//! What the standard lets a cache choose, as clients meet it, with a clock that moves only when told.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use policy::Rules;
use rig::Site;
use testkit::{Origin, Response};

impl Site {
    fn ask(&self, method: &str, fields: &[(&str, &str)]) -> Response {
        self.request(method, "/", fields)
    }

    fn get(&self) -> Response {
        self.ask("GET", &[])
    }
}

fn cache(response: &Response) -> &str {
    response.field("X-Cache").unwrap_or_default()
}

/// Answers the first request with these fields and breaks off or misbehaves at the later ones.
fn failing(fields: &'static str, later: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |_, conn| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\nx"));
        } else {
            conn.send(later);
        }
        conn.close();
    })
}

#[test]
fn what_had_to_be_validated_and_could_not_be_is_a_504() {
    // The window in which any other response may be served stale.
    let rules = Rules { stale_if_unreachable: Duration::ZERO, ..Rules::default() };
    let rows = [
        ("Cache-Control: max-age=10, must-revalidate\r\n", "", 504),
        ("Cache-Control: max-age=10, proxy-revalidate\r\n", "", 504),
        ("Cache-Control: s-maxage=10\r\nETag: \"a\"\r\n", "", 504),
        ("Cache-Control: max-age=10\r\n", "", 502),
        // It was reached, and answered nonsense.
        ("Cache-Control: max-age=10, must-revalidate\r\n", "nonsense\r\n\r\n", 502),
    ];
    for (fields, later, status) in rows {
        let origin = failing(fields, later);
        let site = Site::ruled(&origin, rules.clone());
        assert_eq!(site.get().status, 200, "{fields}");
        assert_eq!(site.after(11).get().status, status, "{fields}{later}");
    }
}

#[test]
fn a_validation_that_only_the_client_wanted_fails_as_any_other_request() {
    let origin = failing("Cache-Control: max-age=10, must-revalidate\r\n", "");
    let site = Site::before(&origin);
    assert_eq!(site.get().status, 200);
    assert_eq!(site.ask("GET", &[("Cache-Control", "no-cache")]).status, 502);
    assert_eq!((site.get().status, cache(&site.get())), (200, "HIT"));
}

#[test]
fn preferences_select_the_same_variant_however_they_are_written() {
    let rows = [
        ("Accept-Language", "en, de", "de, en", "HIT"),
        ("Accept-Language", "en, de;q=0.5", "de;q=0.500 ,EN;q=1", "HIT"),
        ("Accept-Language", "en, de;q=0.5", "de, en;q=0.5", "MISS"),
        ("Accept-Encoding", "gzip, br", "br,x-gzip", "HIT"),
        ("Accept-Encoding", "gzip, br", "gzip, br;q=0", "MISS"),
    ];
    for (name, first, second, expected) in rows {
        let head = format!(
            "HTTP/1.1 200 OK\r\nVary: {name}\r\nCache-Control: max-age=9\r\nContent-Length: 1\r\n\r\nx"
        );
        let origin = Origin::answering(head);
        let site = Site::before(&origin);
        assert_eq!(cache(&site.ask("GET", &[(name, first)])), "MISS");
        assert_eq!(cache(&site.ask("GET", &[(name, first)])), "HIT");
        assert_eq!(cache(&site.ask("GET", &[(name, second)])), expected, "{first} | {second}");
    }
}

#[test]
fn a_server_error_that_is_public_is_heuristically_fresh() {
    let origin = Origin::answering(
        "HTTP/1.1 599 Unknown\r\nLast-Modified: Sun, 22 Nov 2026 12:00:00 GMT\r\n\
         Cache-Control: public\r\nContent-Length: 1\r\n\r\nx",
    );
    let site = Site::before(&origin);
    assert_eq!((site.get().status, cache(&site.get())), (599, "HIT"));
    assert_eq!(cache(&site.after(8639).get()), "HIT");
    assert_eq!(cache(&site.after(2).get()), "MISS");
}

#[test]
fn a_304_refines_the_type_of_what_is_stored_and_keeps_its_digest() {
    let origin = Origin::start(|request, conn| {
        conn.send(match request.field("If-None-Match") {
            Some(_) => {
                "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nCache-Control: max-age=10\r\n\
                 Content-Type: text/plain;charset=utf-8\r\nContent-MD5: new\r\n\r\n"
            }
            None => {
                "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nCache-Control: max-age=10\r\n\
                 Content-Type: text/plain\r\nContent-MD5: old\r\nContent-Length: 1\r\n\r\nx"
            }
        });
    });
    let site = Site::before(&origin);
    assert_eq!(site.get().field("Content-Type"), Some("text/plain"));
    for response in [site.after(11).get(), site.get()] {
        assert_eq!(cache(&response), "HIT");
        assert_eq!(response.all("Content-Type"), ["text/plain;charset=utf-8"]);
        assert_eq!(response.all("Content-MD5"), ["old"]);
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_response_with_a_targeted_lifetime_keeps_its_dates_and_has_its_age() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nCDN-Cache-Control: max-age=100\r\n\
         Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nExpires: Mon, 23 Nov 2026 12:00:01 GMT\r\n\
         Content-Length: 1\r\n\r\nx",
    );
    let site = Site::before(&origin);
    site.get();
    let response = site.after(50).get();
    assert_eq!((cache(&response), response.all("Age")), ("HIT", vec!["50"]));
    assert_eq!(response.all("Date"), ["Mon, 23 Nov 2026 12:00:00 GMT"]);
    assert_eq!(response.all("Expires"), ["Mon, 23 Nov 2026 12:00:01 GMT"]);
    assert_eq!(response.all("CDN-Cache-Control"), ["max-age=100"]);
}

fn reading(targeted: &str) -> Rules {
    Rules { targeted: vec![targeted.to_owned()], ..Rules::default() }
}

#[test]
fn a_field_for_this_proxy_alone_is_heeded_and_not_passed_on() {
    for (name, value) in [("Surrogate-Control", "max-age=10"), ("X-Accel-Expires", "10")] {
        let origin = Origin::start(move |request, conn| {
            let status = match request.field("If-None-Match") {
                Some(_) => "304 Not Modified",
                None => "200 OK",
            };
            // The 304 says nothing of the lifetime: what is stored still does.
            let line =
                if status == "200 OK" { format!("{name}: {value}\r\n") } else { String::new() };
            let length = if status == "200 OK" { "Content-Length: 1\r\n" } else { "" };
            let body = if status == "200 OK" && request.method != "HEAD" { "x" } else { "" };
            let fixed = "Cache-Control: no-store\r\nETag: \"a\"\r\n";
            conn.send(format!("HTTP/1.1 {status}\r\n{line}{fixed}{length}\r\n{body}"));
        });
        let site = Site::ruled(&origin, reading(name));
        let answers = [
            (site.get(), "MISS"),
            (site.get(), "HIT"),
            (site.after(11).get(), "HIT"),
            (site.get(), "HIT"),
            (site.ask("HEAD", &[]), "HIT"),
            (site.ask("POST", &[]), "MISS"),
        ];
        for (response, expected) in answers {
            assert_eq!(cache(&response), expected, "{name}");
            assert_eq!(response.field(name), None, "{name}");
            assert_eq!(response.all("Cache-Control"), ["no-store"]);
        }
        assert_eq!(origin.count(), 3);
    }
}

#[test]
fn a_field_for_this_proxy_alone_that_forbids_storing_is_not_passed_on_either() {
    for (name, value) in [("Surrogate-Control", "no-store"), ("X-Accel-Expires", "0")] {
        let head = format!(
            "HTTP/1.1 200 OK\r\n{name}: {value}\r\nCache-Control: max-age=9\r\nContent-Length: 1\r\n\r\nx"
        );
        let origin = Origin::answering(head);
        let site = Site::ruled(&origin, reading(name));
        for _ in 0..2 {
            let response = site.get();
            assert_eq!((cache(&response), response.field(name)), ("MISS", None), "{name}");
        }
    }
}

#[test]
fn a_field_that_is_not_listed_or_not_for_us_is_passed_on() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nSurrogate-Control: max-age=10;other\r\nX-Accel-Expires: 60\r\n\
         Cache-Control: max-age=9\r\nContent-Length: 1\r\n\r\nx",
    );
    let site = Site::ruled(&origin, reading("Surrogate-Control"));
    for expected in ["MISS", "HIT"] {
        let response = site.get();
        assert_eq!(cache(&response), expected);
        assert_eq!(response.field("Surrogate-Control"), Some("max-age=10;other"));
        assert_eq!(response.field("X-Accel-Expires"), Some("60"));
    }
    let told = origin.requests()[0].field("Surrogate-Capability").map(str::to_owned);
    assert_eq!(told.as_deref(), Some("caching-proxy=\"Surrogate/1.0\""));
    let site = Site::before(&origin);
    site.get();
    assert_eq!(origin.requests()[1].field("Surrogate-Capability"), None);
}
