//! The demands of RFC 9111 that are met by what the whole proxy does, not by one decision.

use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::{Origin, field};

use crate::{Proxy, age, cache, ok};

#[test]
fn what_is_served_from_the_cache_has_an_age_of_its_own() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# When a stored response is used to satisfy a request without validation, a cache MUST generate
    //# an Age header field (Section 5.1), replacing any present in the response with a value equal to
    //# the stored response's current_age; see Section 4.2.3.
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\nAge: 7\r\n", "x"));
    let proxy = Proxy::before(&origin);
    proxy.get("/");
    let hit = proxy.get("/");
    assert_eq!((cache(&hit), hit.all("Age").len()), ("HIT", 1));
    assert!((7..12).contains(&age(&hit)));
}

#[test]
fn a_full_answer_to_a_validation_is_the_answer() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.3
    //= type=test
    //# Instead, the cache MUST use the full response to satisfy the request. The cache MAY store such
    //# a full response, subject to its constraints (see Section 3).
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        let (control, body) = match count.fetch_add(1, Ordering::SeqCst) {
            0 => ("max-age=0", "old"),
            1 => ("no-store", "once"),
            _ => ("max-age=60", "new"),
        };
        conn.send(ok(&format!("ETag: \"{body}\"\r\nCache-Control: {control}\r\n"), body));
    });
    let proxy = Proxy::before(&origin);
    for expected in ["old", "once", "new"] {
        assert_eq!(proxy.get("/").text(), expected);
    }
    assert_eq!(origin.requests()[1].field("If-None-Match"), Some("\"old\""));
}

#[test]
fn trailers_stay_trailers() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
    //= type=test
    //# Caches MUST NOT combine trailer fields with header fields.
    let origin = Origin::start(|_, conn| {
        conn.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n\
             1\r\nx\r\n0\r\nX-Late: 1\r\nETag: \"a\"\r\n\r\n",
        );
    });
    let proxy = Proxy::before(&origin);
    for expected in ["MISS", "HIT"] {
        let answer = proxy.get("/");
        assert_eq!((cache(&answer), answer.text()), (expected, "x".to_owned()));
        assert_eq!((answer.field("X-Late"), answer.field("ETag")), (None, None));
        assert_eq!(field(&answer.trailers, "X-Late"), Some("1"));
    }
}

#[test]
fn what_broke_off_answers_nobody_later() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
    //= type=test
    //# A cache MUST NOT use an incomplete response to answer requests unless the response has been
    //# made complete
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let body = if is_first { "x" } else { "xyz" };
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\n{body}"
        ));
        if is_first {
            conn.close();
        }
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let whole = client.try_response().is_ok_and(|answer| answer.complete && answer.status == 200);
    assert!(!whole, "the client can tell that it broke");
    let mut client = proxy.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", proxy.address().1));
    assert_eq!(client.response().text(), "xyz");
}

#[test]
fn of_several_stored_responses_that_would_do_the_most_recent_answers() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //= type=test
    //# When more than one suitable response is stored, a cache MUST use the most recent one (as
    //# determined by the Date header field).
    let origin = Origin::start(|request, conn| {
        let hour = match request.field("A") {
            Some("new") => "Vary: A\r\nDate: Mon, 23 Nov 2026 02:00:00 GMT",
            _ => "Vary: B\r\nDate: Mon, 23 Nov 2026 01:00:00 GMT",
        };
        let body = request.field("A").unwrap_or("none");
        conn.send(ok(&format!("Cache-Control: max-age=31536000\r\n{hour}\r\n"), body));
    });
    let proxy = Proxy::before(&origin);
    let get = |fields: &[(&str, &str)]| {
        let answer = proxy.request("GET", "/", fields);
        (cache(&answer).to_owned(), answer.text())
    };
    assert_eq!(get(&[("A", "new"), ("B", "1")]).0, "MISS");
    // Stored later, and made earlier.
    assert_eq!(get(&[("A", "old"), ("B", "2")]), ("MISS".to_owned(), "old".to_owned()));
    assert_eq!(get(&[("A", "new"), ("B", "2")]), ("HIT".to_owned(), "new".to_owned()));
    assert_eq!(get(&[("A", "other"), ("B", "2")]), ("HIT".to_owned(), "old".to_owned()));
    assert_eq!(origin.count(), 2);
}
