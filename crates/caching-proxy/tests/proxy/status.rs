//! What Cache-Status (RFC 9211) and Proxy-Status (RFC 9209) tell.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testkit::Origin;

use crate::{Proxy, cache, cache_status, millis, ok, response};

#[test]
fn the_caches_before_this_one_keep_their_word_and_their_order() {
    //= https://www.rfc-editor.org/rfc/rfc9211#section-2
    //= type=test
    //# When adding a value to the Cache-Status header field, caches SHOULD preserve the existing
    //# field value, to allow debugging of the entire chain of caches handling the request.
    let theirs = "OriginCache; hit; ttl=1100";
    let fields = format!(
        "Cache-Control: max-age=60\r\nCache-Status: {theirs}\r\nProxy-Status: far; error=x\r\n"
    );
    let origin = Origin::answering(ok(&fields, "x"));
    let proxy = Proxy::before(&origin);
    for ours in [
        "caching-proxy; fwd=uri-miss; fwd-status=200; ttl=60; stored; detail=absent",
        "caching-proxy; hit; ttl=60; detail=fresh",
    ] {
        let answer = proxy.get("/");
        let told = answer.all("Cache-Status");
        assert_eq!(told[0], theirs);
        let ours = ours.replace("ttl=60", "ttl=");
        let later = told[1].replace("ttl=60", "ttl=").replace("ttl=59", "ttl=");
        assert_eq!((told.len(), later), (2, ours));
        assert_eq!(answer.all("Proxy-Status"), ["far; error=x"]);
    }
}

#[test]
fn why_a_request_went_forward_is_told_in_the_most_specific_word() {
    //= https://www.rfc-editor.org/rfc/rfc9211#section-2.2
    //= type=test
    //# The most specific reason known to the cache SHOULD be used, to the extent that it is possible
    //# to implement.
    let origin = Origin::start(|request, conn| {
        let fields = match request.target.as_str() {
            "/vary" => "Cache-Control: max-age=60\r\nVary: A\r\n",
            "/stale" => "Cache-Control: max-age=0\r\nETag: \"a\"\r\n",
            _ => "Cache-Control: max-age=60\r\n",
        };
        conn.send(ok(fields, if request.method == "HEAD" { "" } else { "x" }));
    });
    let proxy = Proxy::before(&origin);
    let told = |method: &str, path: &str, fields: &[(&str, &str)]| {
        cache_status(&proxy.request(method, path, fields))
    };
    for (method, path, fields, fwd) in [
        ("POST", "/", &[][..], "method"),
        ("OPTIONS", "/", &[], "method"),
        ("HEAD", "/head", &[], "uri-miss"),
        ("GET", "/range", &[("Range", "bytes=0-0")], "uri-miss"),
        ("GET", "/match", &[("If-Match", "\"a\"")], "uri-miss"),
        ("GET", "/a", &[], "uri-miss"),
        ("GET", "/a", &[("Cache-Control", "no-cache")], "request"),
        ("GET", "/a", &[("Cache-Control", "min-fresh=99")], "request"),
        ("GET", "/vary", &[("A", "1")], "uri-miss"),
        ("GET", "/vary", &[("A", "2")], "vary-miss"),
        ("HEAD", "/vary", &[("A", "3")], "vary-miss"),
        ("GET", "/stale", &[], "uri-miss"),
        ("HEAD", "/stale", &[], "stale"),
        ("GET", "/stale", &[("Cache-Control", "no-cache")], "stale"),
    ] {
        let status = told(method, path, fields);
        assert!(status.starts_with(&format!("fwd={fwd};")), "{method} {path} {fields:?}: {status}");
    }
    let mut client = proxy.client();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert!(cache_status(&client.response()).starts_with("fwd=bypass;"));
}

#[test]
fn the_key_is_told_only_to_those_who_debug() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\n", "x"));
    let full = Proxy::with(&origin, &["--cache-status", "full"]);
    let key =
        |host: &str, path: &str| format!("; key=\"GET|http://{host}{path} {}\"", origin.url());
    for _ in 0..2 {
        let mut client = full.client();
        client.send("GET /a\"b HTTP/1.1\r\nHost: Site\r\n\r\n");
        let told = cache_status(&client.response());
        assert!(told.ends_with(&key("site", "/a\\\"b")), "{told}");
    }
    assert!(!cache_status(&full.request("POST", "/", &[])).contains("key="));
    let normal = Proxy::before(&origin);
    assert!(!cache_status(&normal.get("/")).contains("key="));
    let off = Proxy::with(&origin, &["--cache-status", "off"]);
    assert_eq!(off.get("/").field("Cache-Status"), None);
    assert_eq!(cache(&off.get("/")), "HIT");
}

#[test]
fn the_next_hop_is_told_only_to_those_who_debug() {
    for (extent, hop) in [("normal", ""), ("full", "next-hop=\"127.0.0.1:1\"; ")] {
        let proxy = Proxy::at("http://127.0.0.1:1", &["--cache-status", extent]);
        let told =
            format!("caching-proxy; error=connection_refused; {hop}details=\"origin-refused\"");
        assert_eq!(proxy.get("/").all("Proxy-Status"), [told]);
    }
}

#[test]
fn a_stale_response_tells_why_it_stands_in() {
    //= https://www.rfc-editor.org/rfc/rfc9209#section-2.1.1
    //= type=test
    //# When present, it indicates that the intermediary encountered an issue when obtaining this
    //# response.
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| match count.fetch_add(1, Ordering::SeqCst) {
        0 => {
            conn.send(ok("Cache-Control: max-age=0, stale-if-error=60\r\nETag: \"a\"\r\n", "x"));
        }
        1 => {
            conn.send(response("503 Busy", "", "y"));
        }
        _ => conn.reset(),
    });
    let proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/").field("Proxy-Status"), None);
    for told in [
        "caching-proxy; received-status=503; details=\"stale-if-error\"",
        "caching-proxy; error=connection_terminated; details=\"origin-closed\"",
    ] {
        let answer = proxy.get("/");
        assert_eq!((answer.status, cache(&answer), answer.text()), (200, "HIT", "x".to_owned()));
        assert_eq!(answer.all("Proxy-Status"), [told]);
        assert!(cache_status(&answer).starts_with("hit; ttl="), "{}", cache_status(&answer));
    }
}

#[test]
fn collapsed_tells_whether_waiting_for_another_helped() {
    for (fields, follower) in [
        ("Cache-Control: max-age=60\r\n", "; collapsed;"),
        ("Cache-Control: private\r\n", "; collapsed=?0;"),
    ] {
        let origin = Origin::start(move |_, conn| {
            conn.pause(millis(300));
            conn.send(ok(fields, "x"));
        });
        let proxy = Proxy::before(&origin);
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| proxy.get("/"));
            thread::sleep(millis(100));
            let second = scope.spawn(|| proxy.get("/"));
            (first.join().unwrap(), second.join().unwrap())
        });
        assert!(!cache_status(&first).contains("collapsed"), "{}", cache_status(&first));
        assert!(cache_status(&second).contains(follower), "{}", cache_status(&second));
    }
}

#[test]
fn stored_is_told_only_of_what_is_kept() {
    //= https://www.rfc-editor.org/rfc/rfc9211#section-2.5
    //= type=test
    //# The value of "stored" is a Boolean that indicates whether the cache stored the response (see
    //# [HTTP-CACHING], Section 3); a true value indicates that it did.
    let body = "x".repeat(2 << 20);
    let origin = Origin::start(move |request, conn| match request.target.as_str() {
        "/kept" => {
            conn.send(ok("Cache-Control: max-age=60\r\n", "x"));
        }
        "/private" => {
            conn.send(ok("Cache-Control: private\r\n", "x"));
        }
        _ => {
            conn.send(ok("Cache-Control: max-age=60\r\n", &body));
        }
    });
    let proxy = Proxy::with(&origin, &["--no-disk", "--memory", "1MiB"]);
    for (path, stored, detail) in
        [("/kept", true, "absent"), ("/private", false, "private"), ("/large", false, "too-large")]
    {
        let answer = proxy.get(path);
        let status = cache_status(&answer);
        assert_eq!(status.contains("; stored;"), stored, "{path}: {status}");
        assert!(status.ends_with(&format!("detail={detail}")), "{path}: {status}");
    }
}

#[test]
fn a_head_that_is_too_large_is_told_apart() {
    for (head, error, code) in [
        ("X: y\r\n".repeat(9_000), "http_response_header_section_size", "origin-head-too-large"),
        (
            format!("X: {}\r\n", "y".repeat(40_000)),
            "http_response_header_size",
            "origin-field-too-large",
        ),
    ] {
        let origin = Origin::start(move |_, conn| {
            conn.send(format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 0\r\n\r\n"));
        });
        let answer = Proxy::with(&origin, &["--drain", "1s"]).get("/");
        let told = answer.field("Proxy-Status").unwrap();
        assert_eq!(told, format!("caching-proxy; error={error}; details=\"{code}\""));
        assert_eq!(answer.status, 502);
    }
}
