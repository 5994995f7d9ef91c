//! What the origin says of stored responses without sending them again, with a disk below.

use testkit::Origin;

use crate::{Proxy, cache, millis, response};

/// One representation of so many bytes for all values of `X-V`, with a strong tag. A request with
/// `X-Wait` is answered late.
fn one_for_all(length: usize) -> Origin {
    Origin::start(move |request, conn| {
        if let Some(wait) = request.field("X-Wait") {
            conn.pause(millis(wait.parse().unwrap()));
        }
        let fields = "Cache-Control: max-age=60\r\nVary: X-V\r\nETag: \"a\"\r\nX-Told: again\r\n";
        let body = "x".repeat(length);
        match (request.method.as_str(), request.field("If-None-Match")) {
            ("POST", _) => conn.send("HTTP/1.1 204 No Content\r\n\r\n"),
            ("HEAD", _) => conn.send(format!(
                "HTTP/1.1 200 OK\r\n{fields}X-Head: 1\r\nContent-Length: {length}\r\n\r\n"
            )),
            (_, Some("\"a\"")) => conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")),
            _ => conn.send(response("200 OK", fields, &body)),
        };
    })
}

fn get(proxy: &Proxy, value: &str) -> (String, usize) {
    let answer = proxy.request("GET", "/", &[("X-V", value)]);
    assert!(answer.complete);
    (cache(&answer).to_owned(), answer.body.len())
}

fn hit(length: usize) -> (String, usize) {
    ("HIT".to_owned(), length)
}

fn miss(length: usize) -> (String, usize) {
    ("MISS".to_owned(), length)
}

/// The port is part of the key: a restarted proxy is asked by the name it had.
fn get_as(proxy: &Proxy, host: &str, method: &str, fields: &str) -> testkit::Response {
    let mut client = proxy.client();
    client.send(format!("{method} / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
    client.response_to(method)
}

#[test]
fn a_variant_that_the_origin_confirmed_is_kept_beside_the_other_across_a_restart() {
    let origin = one_for_all(1_000);
    let mut proxy = Proxy::before(&origin);
    for (value, expected) in [("1", "MISS"), ("2", "HIT"), ("1", "HIT"), ("2", "HIT")] {
        let answer = get_as(&proxy, "a", "GET", &format!("X-V: {value}\r\n"));
        assert_eq!((cache(&answer), answer.body.len()), (expected, 1_000), "{value}");
    }
    assert_eq!(origin.count(), 2);
    proxy.terminate();
    proxy.start();
    for value in ["2", "1"] {
        let answer = get_as(&proxy, "a", "GET", &format!("X-V: {value}\r\n"));
        assert_eq!((cache(&answer), answer.body.len()), ("HIT", 1_000), "{value}");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn large_content_is_confirmed_for_each_request_and_not_copied() {
    let length = 3 << 20;
    let origin = one_for_all(length);
    let proxy = Proxy::before(&origin);
    assert_eq!(get(&proxy, "1"), miss(length));
    // Its last byte is out before its file is in its place.
    let stored = [("X-V", "1"), ("Cache-Control", "only-if-cached")];
    assert!(testkit::eventually(|| proxy.request("GET", "/", &stored).status == 200));
    for asked in 2..=3 {
        assert_eq!(get(&proxy, "2"), hit(length));
        assert_eq!(origin.count(), asked);
    }
    assert_eq!(get(&proxy, "1"), hit(length));
    assert_eq!(origin.count(), 3);
}

#[test]
fn what_was_invalidated_while_the_origin_confirmed_it_is_not_kept() {
    let origin = one_for_all(1_000);
    let proxy = Proxy::before(&origin);
    assert_eq!(get(&proxy, "1"), miss(1_000));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| proxy.request("GET", "/", &[("X-V", "2"), ("X-Wait", "400")]));
        assert!(testkit::eventually(|| origin.count() == 2));
        assert_eq!(proxy.request("POST", "/", &[("Content-Length", "0")]).status, 204);
        let confirmed = slow.join().unwrap();
        assert_eq!((cache(&confirmed), confirmed.body.len()), ("HIT", 1_000));
    });
    assert_eq!(get(&proxy, "2"), miss(1_000));
    assert_eq!(get(&proxy, "1"), hit(1_000));
}

#[test]
fn a_head_updates_what_lies_on_disk() {
    for length in [1_000, 3 << 20] {
        let origin = one_for_all(length);
        let mut proxy = Proxy::before(&origin);
        let first = get_as(&proxy, "a", "GET", "X-V: 1\r\n");
        assert_eq!((cache(&first), first.field("X-Head")), ("MISS", None));
        proxy.terminate();
        proxy.start();
        get_as(&proxy, "a", "HEAD", "X-V: 1\r\nCache-Control: no-cache\r\n");
        assert_eq!(origin.count(), 2);
        proxy.terminate();
        proxy.start();
        let updated = get_as(&proxy, "a", "GET", "X-V: 1\r\n");
        assert_eq!((cache(&updated), updated.field("X-Head")), ("HIT", Some("1")));
        assert_eq!((updated.complete, updated.body.len()), (true, length));
        assert_eq!(origin.count(), 2);
    }
}
