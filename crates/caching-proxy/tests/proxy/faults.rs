//! Origins that fail, stall, lie or break off.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::Origin;

use crate::{Proxy, cache, cache_status, millis, ok, retry_after, seconds};

/// The status, the code in `Cache-Status` and the error type in `Proxy-Status`.
fn check(proxy: &Proxy, status: u16, code: &str, error: &str) {
    for path in ["/", "/again"] {
        let answer = proxy.get(path);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(cache(&answer), "MISS");
        let detail = format!("detail={code}");
        assert!(cache_status(&answer).contains(&detail), "{}", cache_status(&answer));
        assert!(!cache_status(&answer).contains("stored"));
        let proxy_status = answer.field("Proxy-Status").unwrap();
        let expected = format!("caching-proxy; error={error}");
        assert!(proxy_status.starts_with(&expected), "{proxy_status}");
        assert!(answer.text().len() < 300 && answer.text().ends_with('\n'));
        assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
    }
}

#[test]
fn an_origin_that_refuses() {
    let proxy = Proxy::at("http://127.0.0.1:1", &[]);
    check(&proxy, 502, "origin-refused", "connection_refused");
}

#[test]
fn an_origin_whose_name_is_unknown() {
    let proxy = Proxy::at("http://no-such-host.invalid", &[]);
    check(&proxy, 502, "origin-name-unresolved", "dns_error");
}

#[test]
fn an_origin_that_resets() {
    let origin = Origin::start(|_, conn| conn.reset());
    check(&Proxy::before(&origin), 502, "origin-closed", "connection_terminated");
}

#[test]
fn an_origin_that_closes_within_the_head() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Le");
        conn.close();
    });
    check(&Proxy::before(&origin), 502, "origin-closed", "connection_terminated");
}

#[test]
fn an_origin_that_says_nothing() {
    let origin = Origin::start(|_, conn| conn.pause(seconds(3)));
    let proxy = Proxy::with(&origin, &["--first-byte-timeout", "300ms"]);
    check(&proxy, 504, "origin-timeout", "connection_read_timeout");
}

#[test]
fn an_origin_that_does_not_speak_http() {
    for noise in
        ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\nContent-Length: 1\n\nx", "<html>\r\n\r\n"]
    {
        let origin = Origin::start(move |_, conn| {
            conn.send(noise);
            conn.close();
        });
        check(&Proxy::before(&origin), 502, "origin-malformed", "http_protocol_error");
    }
}

#[test]
fn an_origin_whose_framing_is_ambiguous() {
    let malformed = ("origin-malformed", "http_protocol_error");
    let coding = ("origin-bad-coding", "http_response_transfer_coding");
    for (fields, (code, error)) in [
        ("Content-Length: 1\r\nContent-Length: 2\r\n", malformed),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", malformed),
        ("Content-Length: +1\r\n", malformed),
        ("Transfer-Encoding: gzip, chunked\r\n", coding),
        ("Bad Name: x\r\nContent-Length: 1\r\n", malformed),
    ] {
        let origin = Origin::start(move |_, conn| {
            conn.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\nx"));
            conn.close();
        });
        check(&Proxy::before(&origin), 502, code, error);
    }
}

#[test]
fn content_in_a_coding_that_nobody_has_ends_with_its_connection() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: nobody\r\n");
        conn.send("Cache-Control: max-age=60\r\nConnection: keep-alive\r\n\r\nwhole");
        conn.close();
    });
    let proxy = Proxy::before(&origin);
    for expected in ["MISS", "HIT"] {
        let response = proxy.get("/");
        assert_eq!((cache(&response), response.text()), (expected, "whole".to_owned()));
        assert_ne!(response.field("Transfer-Encoding"), Some("nobody"));
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn statuses_that_nobody_asked_for() {
    for status in ["101 Switching Protocols", "304 Not Modified", "206 Partial Content"] {
        let origin = Origin::start(move |_, conn| {
            conn.send(format!("HTTP/1.1 {status}\r\n\r\n"));
        });
        check(&Proxy::before(&origin), 502, "origin-unasked-status", "http_protocol_error");
    }
}

#[test]
fn endless_informational_responses() {
    let origin =
        Origin::start(
            |_, conn| {
                while conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") {}
            },
        );
    let proxy = Proxy::before(&origin);
    check(&proxy, 502, "origin-endless-informational", "http_protocol_error");
}

#[test]
fn a_body_that_is_cut_is_never_stored_and_the_client_can_tell() {
    for head in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
        let count = AtomicUsize::new(0);
        let origin = Origin::start(move |_, conn| {
            let body = if head.starts_with('C') { "half " } else { "5\r\nhalf \r\n" };
            conn.send(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{head}\r\n{body}"));
            if count.fetch_add(1, Ordering::SeqCst) < 2 {
                // Long enough that the head has gone to the client.
                conn.pause(millis(200));
                conn.close();
            } else if head.starts_with('C') {
                conn.send("whole");
            } else {
                conn.send("5\r\nwhole\r\n0\r\n\r\n");
            }
        });
        let proxy = Proxy::before(&origin);
        for _ in 0..2 {
            let answer = proxy.get("/");
            assert_eq!(answer.status, 200);
            assert!(!answer.complete, "a cut body looked whole");
            assert_eq!(answer.text(), "half ");
        }
        let whole = proxy.get("/");
        assert!(whole.complete);
        assert_eq!((cache(&whole), whole.text()), ("MISS", "half whole".to_owned()));
        assert_eq!(cache(&proxy.get("/")), "HIT");
    }
}

#[test]
fn a_body_that_is_cut_at_once_is_an_error_or_a_visible_cut() {
    let origin = Origin::start(|_, conn| {
        conn.send(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf ",
        );
        conn.close();
    });
    let proxy = Proxy::before(&origin);
    for _ in 0..5 {
        let answer = proxy.get("/");
        assert!(answer.status == 502 || !answer.complete, "{answer:?}");
    }
    assert_eq!(origin.count(), 5);
}

#[test]
fn a_cut_body_that_only_its_end_delimits_is_cut_visibly_for_http_1_0() {
    let origin = Origin::start(|_, conn| {
        conn.send(
            "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        conn.send("5\r\nhalf \r\n");
        conn.pause(millis(100));
        conn.close();
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(!client.response().complete);
}

#[test]
fn bytes_behind_a_body_reach_nobody() {
    let origin = Origin::start(|request, conn| {
        let fields = "Cache-Control: no-store\r\n";
        conn.send(format!(
            "{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            ok(fields, &request.target)
        ));
    });
    let proxy = Proxy::with(&origin, &["--workers", "1"]);
    let mut client = proxy.client();
    for number in 0..5 {
        let path = format!("/{number}");
        assert_eq!(client.get(&path).text(), path);
    }
    assert_eq!(origin.connections(), 5);
}

#[test]
fn a_body_that_stalls_is_cut() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ");
        conn.pause(seconds(4));
    });
    let proxy = Proxy::with(&origin, &["--between-bytes-timeout", "300ms"]);
    let answer = proxy.get("/");
    assert!(!answer.complete);
    assert_eq!(answer.text(), "half ");
}

#[test]
fn too_many_connections_are_refused_with_advice() {
    let origin = Origin::start(|_, conn| {
        conn.pause(seconds(3));
        conn.send(ok("Cache-Control: no-store\r\n", "x"));
    });
    let proxy = Proxy::with(&origin, &["--origin-connections", "1"]);
    let mut first = proxy.client();
    first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(millis(200));
    let second = proxy.get("/2");
    assert_eq!(second.status, 503);
    assert!(retry_after(&second), "{}", second.raw_head);
    assert!(cache_status(&second).contains("origin-busy"));
    assert_eq!(first.response().text(), "x");
}

#[test]
fn a_cache_directory_that_is_gone_costs_what_was_in_it_and_nothing_else() {
    let origin = Origin::start(|request, conn| {
        conn.send(ok("Cache-Control: max-age=60\r\n", &request.target.repeat(300_000)));
    });
    let mut proxy = Proxy::before(&origin);
    // By a name that outlives the port.
    let get = |proxy: &Proxy, path: &str| {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.response()
    };
    assert_eq!(get(&proxy, "/1").status, 200);
    let store = proxy.directory.path().join("cache").join("store");
    // The first body may just be on its way there.
    assert!(testkit::eventually(|| fs::remove_dir_all(&store).is_ok() || !store.exists()));
    // Small and large bodies, stored in memory and streamed to disk.
    for path in ["/2", "/3", "/long-enough-to-be-streamed"] {
        for _ in 0..2 {
            let answer = get(&proxy, path);
            assert_eq!(answer.status, 200);
            assert!(answer.complete && answer.text() == path.repeat(300_000), "{path}");
        }
    }
    // It was made again: what came since outlives a stop.
    proxy.terminate();
    proxy.start();
    assert_eq!(cache(&get(&proxy, "/3")), "HIT");
    assert_eq!(origin.count(), 4);
}

/// Takes away the file of the only large body, once it has its name and nobody has it open any more:
/// as long as somebody has, it can still be read. Nor may it be looked at twice before, or its pieces
/// would be kept in memory.
fn lose_the_file(proxy: &mut Proxy) {
    let objects = proxy.directory.path().join("cache").join("store").join("objects");
    let folders =
        || fs::read_dir(&objects).into_iter().flatten().map(|entry| entry.unwrap().path());
    let named = || folders().flat_map(|folder| fs::read_dir(folder).unwrap()).count() == 1;
    assert!(testkit::eventually(named));
    for folder in folders() {
        fs::remove_dir_all(folder).unwrap();
    }
    let objects = objects.to_string_lossy().into_owned();
    let mut is_open = || proxy.binary().open_files().iter().any(|name| name.starts_with(&objects));
    assert!(testkit::eventually(|| !is_open()));
}

#[test]
fn a_large_body_whose_file_is_gone_is_fetched_again() {
    let origin = Origin::start(|request, conn| {
        if request.field("If-None-Match").is_some() {
            conn.send("HTTP/1.1 304 Not Modified\r\n\r\n");
        } else {
            let fields = format!("Cache-Control: {}\r\nETag: \"a\"\r\n", &request.target[1..]);
            conn.send(ok(&fields, &"x".repeat(3_000_000)));
        }
    });
    for path in ["/max-age=60", "/no-cache"] {
        let mut proxy = Proxy::before(&origin);
        assert!(proxy.get(path).complete);
        lose_the_file(&mut proxy);
        let answer = proxy.get(path);
        assert!(answer.complete && answer.body.len() == 3_000_000, "{path}: {}", answer.raw_head);
        assert_eq!(cache(&answer), "MISS", "{path}: {}", answer.raw_head);
    }
}

#[test]
fn another_variant_that_is_confirmed_but_gone_is_fetched() {
    let origin = Origin::start(|request, conn| {
        let fields = "Cache-Control: max-age=60\r\nETag: \"a\"\r\nVary: Accept-Language\r\n";
        if request.field("If-None-Match").is_some() {
            conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"));
        } else {
            conn.send(ok(fields, &"x".repeat(3_000_000)));
        }
    });
    let mut proxy = Proxy::before(&origin);
    let get = |proxy: &Proxy, language: &str| {
        let mut client = proxy.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Language: {language}\r\n\r\n"));
        client.response()
    };
    assert!(get(&proxy, "de").complete);
    lose_the_file(&mut proxy);
    let answer = get(&proxy, "en");
    assert!(answer.complete && answer.body.len() == 3_000_000, "{}", answer.raw_head);
    assert!(cache_status(&answer).contains("fwd-status=200"), "{}", answer.raw_head);
}

#[test]
fn a_post_is_not_sent_where_the_origin_has_hung_up() {
    let origin = Origin::start(|request, conn| {
        conn.send(ok("Cache-Control: no-store\r\n", &request.method));
        conn.close();
    });
    let proxy = Proxy::with(&origin, &["--workers", "1"]);
    for _ in 0..40 {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "GET");
        std::thread::sleep(millis(2));
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().text(), "POST");
    }
}
