//! What is stored, when it is used again, and how the client can tell.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;

use testkit::{Origin, Response};

use crate::{Proxy, age, cache, cache_status, millis, ok, response, seconds};

/// An origin that numbers its responses and puts `fields` into each.
fn numbering(fields: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |_, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        conn.send(ok(fields, &number.to_string()));
    })
}

fn told(response: &Response) -> (String, String) {
    (cache(response).to_owned(), response.text())
}

pub(crate) fn expect(response: &Response, cache: &str, text: &str) {
    assert_eq!(told(response), (cache.to_owned(), text.to_owned()), "{}", cache_status(response));
}

#[test]
fn a_validation_brings_what_is_for_its_client_alone_to_it() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let fields = format!(
            "Cache-Control: max-age=0, private=\"Set-Cookie\"\r\nETag: \"a\"\r\nSet-Cookie: n={number}\r\n"
        );
        match request.field("If-None-Match") {
            Some(_) => conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")),
            None => conn.send(ok(&fields, "hello")),
        };
    });
    let proxy = Proxy::before(&origin);
    for (number, how) in [(0, "MISS"), (1, "HIT"), (2, "HIT")] {
        let response = proxy.get("/");
        assert_eq!((cache(&response), response.text()), (how, "hello".to_owned()));
        assert_eq!(response.field("Set-Cookie"), Some(format!("n={number}").as_str()));
    }
}

#[test]
fn what_is_withheld_from_others_reaches_the_client_that_asked() {
    let origin = Origin::start(|_, conn| {
        let fields = "Cache-Control: max-age=60, no-cache=\"A\", private=\"Set-Cookie\"\r\n\
                      A: 1\r\nB: 2\r\nSet-Cookie: c=d\r\n";
        conn.send(ok(fields, "hello"));
    });
    let proxy = Proxy::before(&origin);
    for (how, a, cookie) in [("MISS", Some("1"), Some("c=d")), ("HIT", None, None)] {
        let response = proxy.get("/");
        assert_eq!((cache(&response), response.text()), (how, "hello".to_owned()));
        assert_eq!((response.field("A"), response.field("B")), (a, Some("2")));
        assert_eq!(
            (response.field("Set-Cookie"), response.field("Age").is_some()),
            (cookie, how == "HIT")
        );
    }
}

#[test]
fn miss_hit_expired_miss() {
    let origin = numbering("Cache-Control: max-age=1\r\n");
    let proxy = Proxy::before(&origin);
    let first = proxy.get("/");
    expect(&first, "MISS", "1");
    let status = cache_status(&first);
    assert!(status.starts_with("fwd=uri-miss; fwd-status=200; ttl="), "{status}");
    assert!(status.ends_with("; stored; detail=absent"), "{status}");
    let second = proxy.get("/");
    expect(&second, "HIT", "1");
    assert!(cache_status(&second).starts_with("hit; ttl="), "{}", cache_status(&second));
    assert!(cache_status(&second).ends_with("; detail=fresh"), "{}", cache_status(&second));
    sleep(millis(1200));
    let third = proxy.get("/");
    expect(&third, "MISS", "2");
    assert!(cache_status(&third).contains("fwd=stale"), "{}", cache_status(&third));
    expect(&proxy.get("/"), "HIT", "2");
    assert_eq!(origin.count(), 2);
}

#[test]
fn age_rises_and_counts_what_came_before() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\nAge: 10\r\n", "x"));
    let proxy = Proxy::before(&origin);
    let first = age(&proxy.get("/"));
    sleep(millis(1100));
    let second = age(&proxy.get("/"));
    assert!(first >= 10 && second > first, "{first} {second}");
    assert_eq!(proxy.get("/").all("Age").len(), 1);
}

#[test]
fn date_and_other_fields_are_kept_as_they_came() {
    let origin = Origin::answering(ok(
        "Cache-Control: max-age=60\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nX-One: 1\r\nx-one: 2\r\nAge: 0\r\n",
        "x",
    ));
    let proxy = Proxy::with(&origin, &["--cache-ttl", "0"]);
    let response = proxy.get("/");
    assert_eq!(response.all("Date"), ["Tue, 15 Nov 1994 08:12:31 GMT"]);
    assert_eq!(response.all("X-One"), ["1", "2"]);
    assert!(response.raw_head.contains("\r\nx-one: 2\r\n"));
}

#[test]
fn without_a_lifetime_the_default_applies_and_can_be_turned_off() {
    let origin = numbering("");
    let proxy = Proxy::with(&origin, &["--cache-ttl", "1h"]);
    expect(&proxy.get("/"), "MISS", "1");
    let hit = proxy.get("/");
    expect(&hit, "HIT", "1");
    assert!(cache_status(&hit).contains("ttl=36") || cache_status(&hit).contains("ttl=35"));
    let origin = numbering("");
    let proxy = Proxy::with(&origin, &["--cache-ttl", "0"]);
    expect(&proxy.get("/"), "MISS", "1");
    expect(&proxy.get("/"), "MISS", "2");
}

#[test]
fn what_must_not_be_stored_is_not() {
    for fields in [
        "Cache-Control: no-store\r\n",
        "Cache-Control: private, max-age=60\r\n",
        "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n",
        "Cache-Control: max-age=60\r\nVary: *\r\n",
        "Vary: Cookie\r\n",
    ] {
        let origin = numbering(fields);
        let proxy = Proxy::before(&origin);
        expect(&proxy.get("/"), "MISS", "1");
        let second = proxy.get("/");
        expect(&second, "MISS", "2");
        assert!(!cache_status(&second).contains("stored"), "{}", cache_status(&second));
    }
}

#[test]
fn responses_to_authorized_requests_are_shared_only_with_consent() {
    let authorization = [("Authorization", "Basic dTpw")];
    for (fields, shared) in [
        ("Cache-Control: max-age=60\r\n", false),
        ("Cache-Control: max-age=60, public\r\n", true),
        ("Cache-Control: s-maxage=60\r\n", true),
        ("Cache-Control: max-age=60, must-revalidate\r\n", true),
    ] {
        let origin = numbering(fields);
        let proxy = Proxy::before(&origin);
        expect(&proxy.request("GET", "/", &authorization), "MISS", "1");
        let again = proxy.request("GET", "/", &authorization);
        expect(&again, if shared { "HIT" } else { "MISS" }, if shared { "1" } else { "2" });
    }
}

#[test]
fn server_errors_are_passed_on_and_not_stored() {
    let origin = Origin::answering(response("500 Oops", "", "broken"));
    let proxy = Proxy::before(&origin);
    for _ in 0..2 {
        let answer = proxy.get("/");
        assert_eq!((answer.status, answer.reason.as_str()), (500, "Oops"));
        expect(&answer, "MISS", "broken");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn path_query_and_host_make_the_key_byte_for_byte() {
    let origin = Origin::start(|request, conn| {
        let host = request.field("X-Forwarded-Host").unwrap().to_owned();
        conn.send(ok("Cache-Control: max-age=60\r\n", &format!("{host} {}", request.target)));
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    let mut seen = 0;
    for host in ["one.example", "two.example"] {
        for path in ["/a", "/a?", "/a?b", "/A", "/a/", "//a", "/%61", "/a%2Fb", "/a%2fb", "/x/../a"]
        {
            for cache in ["MISS", "HIT"] {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
                expect(&client.response(), cache, &format!("{host} {path}"));
            }
            seen += 1;
        }
    }
    assert_eq!(origin.count(), seen);
    client.send("GET /a HTTP/1.1\r\nHost: ONE.Example:80\r\n\r\n");
    expect(&client.response(), "HIT", "one.example /a");
}

#[test]
fn head_and_conditions_are_answered_from_the_store() {
    let origin = Origin::answering(ok(
        "Cache-Control: max-age=60\r\nETag: \"v1\"\r\nLast-Modified: Tue, 15 Nov 1994 08:12:31 GMT\r\nX-Other: 1\r\n",
        "hello",
    ));
    let proxy = Proxy::before(&origin);
    expect(&proxy.get("/"), "MISS", "hello");
    let head = proxy.request("HEAD", "/", &[]);
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("5")));
    expect(&head, "HIT", "");
    for (name, value, status) in [
        ("If-None-Match", "\"v1\"", 304),
        ("If-None-Match", "W/\"v1\", \"x\"", 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", "\"v2\"", 200),
        ("If-Modified-Since", "Tue, 15 Nov 1994 08:12:31 GMT", 304),
        ("If-Modified-Since", "Tue, 15 Nov 1994 08:12:30 GMT", 200),
    ] {
        let answer = proxy.request("GET", "/", &[(name, value)]);
        assert_eq!(answer.status, status, "{name}: {value}");
        assert_eq!(cache(&answer), "HIT");
        assert_eq!(answer.field("ETag"), Some("\"v1\""));
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_condition_on_something_not_stored_fills_the_store_and_is_answered() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\nETag: \"v1\"\r\n", "hello"));
    let proxy = Proxy::before(&origin);
    let first = proxy.request("GET", "/", &[("If-None-Match", "\"v1\"")]);
    assert_eq!(first.status, 304);
    assert_eq!(origin.requests()[0].field("If-None-Match"), None);
    expect(&proxy.get("/"), "HIT", "hello");
}

#[test]
fn a_stale_response_is_validated_and_freshened_by_a_304() {
    let origin = Origin::start(|request, conn| match request.field("If-None-Match") {
        Some("\"v1\"") => {
            conn.send(
                "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\nX-New: 1\r\n\r\n",
            );
        }
        _ => {
            conn.send(ok("Cache-Control: max-age=1\r\nETag: \"v1\"\r\nX-Old: 1\r\n", "hello"));
        }
    });
    let proxy = Proxy::before(&origin);
    expect(&proxy.get("/"), "MISS", "hello");
    sleep(millis(1200));
    let validated = proxy.get("/");
    expect(&validated, "HIT", "hello");
    assert!(cache_status(&validated).contains("fwd=stale; fwd-status=304"));
    assert_eq!((validated.field("X-New"), validated.field("X-Old")), (Some("1"), Some("1")));
    let after = proxy.get("/");
    expect(&after, "HIT", "hello");
    assert!(cache_status(&after).starts_with("hit;"), "{}", cache_status(&after));
    assert_eq!(after.field("X-New"), Some("1"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn no_cache_from_the_origin_is_validated_every_time() {
    let origin = Origin::start(|request, conn| match request.field("If-None-Match") {
        Some(_) => {
            conn.send("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
        }
        None => {
            conn.send(ok("Cache-Control: no-cache\r\nETag: \"v1\"\r\n", "hello"));
        }
    });
    let proxy = Proxy::before(&origin);
    expect(&proxy.get("/"), "MISS", "hello");
    for _ in 0..3 {
        expect(&proxy.get("/"), "HIT", "hello");
    }
    assert_eq!(origin.count(), 4);
}

#[test]
fn request_directives_are_honoured() {
    let origin = numbering("Cache-Control: max-age=60\r\n");
    let proxy = Proxy::before(&origin);
    expect(&proxy.get("/"), "MISS", "1");
    expect(&proxy.request("GET", "/", &[("Cache-Control", "no-cache")]), "MISS", "2");
    expect(&proxy.request("GET", "/", &[("Cache-Control", "max-age=0")]), "MISS", "3");
    expect(&proxy.request("GET", "/", &[("Cache-Control", "min-fresh=100")]), "MISS", "4");
    expect(&proxy.request("GET", "/", &[("Cache-Control", "only-if-cached")]), "HIT", "4");
    let absent = proxy.request("GET", "/else", &[("Cache-Control", "only-if-cached")]);
    assert_eq!(absent.status, 504);
    assert!(absent.field("Proxy-Status").unwrap().contains("only-if-cached"));
    assert_eq!(origin.count(), 4);
}

#[test]
fn a_successful_unsafe_request_invalidates() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let (status, fields) = match (request.method.as_str(), request.target.as_str()) {
            ("GET", _) => ("200 OK", "Cache-Control: max-age=60\r\n"),
            (_, "/bad") => ("400 Bad Request", ""),
            _ => ("204 No Content", "Location: /other\r\n"),
        };
        if status.starts_with("204") {
            conn.send(format!("HTTP/1.1 {status}\r\n{fields}\r\n"));
        } else {
            conn.send(response(status, fields, &number.to_string()));
        }
    });
    let proxy = Proxy::before(&origin);
    for (path, number) in [("/a", "1"), ("/bad", "2"), ("/other", "3"), ("/kept", "4")] {
        expect(&proxy.get(path), "MISS", number);
    }
    assert_eq!(proxy.request("POST", "/bad", &[]).status, 400);
    expect(&proxy.get("/bad"), "HIT", "2");
    assert_eq!(proxy.request("DELETE", "/a", &[]).status, 204);
    expect(&proxy.get("/kept"), "HIT", "4");
    expect(&proxy.get("/a"), "MISS", "7");
    expect(&proxy.get("/other"), "MISS", "8");
}

#[test]
fn a_stale_response_stands_in_for_an_origin_that_fails() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| match count.fetch_add(1, Ordering::SeqCst) {
        0 => {
            conn.send(ok("Cache-Control: max-age=1, stale-if-error=60\r\n", "good"));
        }
        1 => {
            conn.send(response("503 Down", "", "bad"));
        }
        _ => conn.reset(),
    });
    let proxy = Proxy::before(&origin);
    expect(&proxy.get("/"), "MISS", "good");
    sleep(millis(1200));
    let stale = proxy.get("/");
    expect(&stale, "HIT", "good");
    assert!(cache_status(&stale).contains("detail=stale-if-error"), "{}", cache_status(&stale));
    let reset = proxy.get("/");
    expect(&reset, "HIT", "good");
    assert!(cache_status(&reset).contains("ttl=-"), "{}", cache_status(&reset));
}

#[test]
fn must_revalidate_forbids_to_serve_stale() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| match count.fetch_add(1, Ordering::SeqCst) {
        0 => {
            conn.send(ok("Cache-Control: max-age=1, must-revalidate\r\n", "good"));
        }
        _ => conn.reset(),
    });
    let proxy = Proxy::before(&origin);
    expect(&proxy.get("/"), "MISS", "good");
    sleep(millis(1200));
    assert_eq!(proxy.get("/").status, 504);
}

#[test]
fn stale_while_revalidate_answers_at_once_and_refreshes_behind() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if number == 2 {
            conn.pause(millis(300));
        }
        let fields = "Cache-Control: max-age=1, stale-while-revalidate=60\r\n";
        conn.send(ok(fields, &number.to_string()));
    });
    let proxy = Proxy::before(&origin);
    expect(&proxy.get("/"), "MISS", "1");
    sleep(millis(1200));
    for _ in 0..3 {
        let stale = proxy.get("/");
        expect(&stale, "HIT", "1");
        assert!(stale.first_byte < millis(200), "{:?}", stale.first_byte);
    }
    assert!(testkit::eventually(|| proxy.get("/").text() == "2"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn ranges_are_never_stored_as_the_whole() {
    let origin = Origin::start(|request, conn| match request.field("Range") {
        Some(_) => {
            conn.send(response(
                "206 Partial Content",
                "Cache-Control: max-age=60\r\nContent-Range: bytes 0-1/5\r\n",
                "he",
            ));
        }
        None => {
            conn.send(ok("Cache-Control: max-age=60\r\n", "hello"));
        }
    });
    let proxy = Proxy::before(&origin);
    let part = proxy.request("GET", "/", &[("Range", "bytes=0-1")]);
    assert_eq!((part.status, part.text()), (206, "he".to_owned()));
    expect(&proxy.get("/"), "MISS", "hello");
    expect(&proxy.get("/"), "HIT", "hello");
}

#[test]
fn memory_alone_is_enough() {
    let origin = numbering("Cache-Control: max-age=60\r\n");
    let proxy = Proxy::with(&origin, &["--no-disk"]);
    expect(&proxy.get("/"), "MISS", "1");
    expect(&proxy.get("/"), "HIT", "1");
}

#[test]
fn the_disk_alone_answers_what_memory_has_no_room_for() {
    let origin = Origin::start(|request, conn| {
        let body = request.target.repeat(10_000);
        conn.send(ok("Cache-Control: max-age=600\r\n", &body));
    });
    let proxy = Proxy::with(&origin, &["--memory", "1MiB"]);
    let mut client = proxy.client();
    for round in 0..2 {
        for number in 0..40 {
            let path = format!("/{number:04}");
            let answer = client.get(&path);
            assert_eq!(answer.text(), path.repeat(10_000));
            assert_eq!(cache(&answer), if round == 0 { "MISS" } else { "HIT" }, "{path}");
        }
        sleep(seconds(1));
    }
    assert_eq!(origin.count(), 40);
}

#[test]
fn an_unsafe_request_whose_client_leaves_invalidates_all_the_same() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        if request.method == "POST" {
            count.fetch_add(1, Ordering::SeqCst);
            conn.pause(millis(400));
            conn.send("HTTP/1.1 204 No Content\r\n\r\n");
            return;
        }
        let version = count.load(Ordering::SeqCst).to_string();
        conn.send(ok("Cache-Control: max-age=60\r\n", &version));
    });
    let proxy = Proxy::before(&origin);
    expect(&proxy.get("/"), "MISS", "0");
    let mut client = proxy.client();
    let host = format!("127.0.0.1:{}", proxy.address().1);
    client.send(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
    assert!(testkit::eventually(|| origin.count() == 2));
    client.reset();
    assert!(testkit::eventually(|| proxy.get("/").text() == "1"));
}
