//! Many clients, one key, one request to the origin.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use testkit::{Origin, Response, eventually};

use crate::{Proxy, cache, cache_status, millis, ok, seconds};

/// As many clients at once, each on a connection of its own.
pub(crate) fn crowd(proxy: &Proxy, count: usize, fields: &[(&str, &str)]) -> Vec<Response> {
    let start = Barrier::new(count);
    thread::scope(|scope| {
        let asked: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = proxy.client();
                    start.wait();
                    client.request("GET", "/", fields)
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    })
}

#[test]
fn two_hundred_clients_make_one_request_and_get_the_body_with_it() {
    let origin = Origin::start(|_, conn| {
        conn.pause(seconds(2));
        conn.send(ok("Cache-Control: max-age=60\r\n", &"x".repeat(50_000)));
    });
    let proxy = Proxy::before(&origin);
    let answers = crowd(&proxy, 200, &[]);
    assert_eq!(origin.count(), 1);
    assert!(answers.iter().all(|answer| answer.body.len() == 50_000 && answer.complete));
    let collapsed =
        answers.iter().filter(|answer| cache_status(answer).contains("collapsed")).count();
    assert_eq!(collapsed, 199);
    let last = answers.iter().map(|answer| answer.first_byte).max().unwrap();
    // Measured in milliseconds; the room is for a debug build with two hundred client threads.
    println!("the last first byte came {:?} after the origin's", last.saturating_sub(seconds(2)));
    assert!(last < millis(2_400), "{last:?}");
}

#[test]
fn followers_read_behind_a_fill_that_dribbles() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n");
        for byte in ["h", "e", "l", "l", "o"] {
            conn.pause(millis(200));
            conn.send(byte);
        }
    });
    let proxy = Proxy::before(&origin);
    let (leader, follower) = (&mut proxy.client(), &mut proxy.client());
    leader.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    thread::sleep(millis(300));
    follower.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    let asked = Instant::now();
    let mut head = follower.head_to("GET").unwrap();
    let head_after = asked.elapsed();
    assert!(head_after < millis(150), "the head came after {head_after:?}");
    let mut times = Vec::new();
    let mut body = Vec::new();
    follower
        .body_into(&mut head, &mut |part| {
            times.push(asked.elapsed());
            body.extend_from_slice(part);
        })
        .unwrap();
    assert_eq!(body, b"hello");
    assert!(times.first().unwrap() < &millis(150), "{times:?}");
    assert!(times.last().unwrap() > &millis(500), "{times:?}");
    assert_eq!(leader.response().text(), "hello");
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_first_byte_is_the_origins() {
    let origin = Origin::start(|_, conn| {
        conn.send(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        conn.send("1\r\na\r\n");
        conn.pause(millis(600));
        conn.send("1\r\nb\r\n0\r\n\r\n");
    });
    let proxy = Proxy::before(&origin);
    let answer = proxy.get("/");
    assert_eq!(answer.text(), "ab");
    assert!(answer.first_byte < millis(300), "{:?}", answer.first_byte);
}

#[test]
fn private_responses_are_never_shared_and_do_not_line_up() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        conn.pause(millis(300));
        conn.send(ok("Cache-Control: private\r\n", &number.to_string()));
    });
    let proxy = Proxy::before(&origin);
    let began = Instant::now();
    let answers = crowd(&proxy, 50, &[]);
    let mut bodies: Vec<_> = answers.iter().map(Response::text).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 50, "a private response was shared");
    assert!(answers.iter().all(|answer| cache(answer) == "MISS"));
    // One wait for the first, one for all the others at once; in a row it would be fifteen seconds.
    assert!(began.elapsed() < seconds(5), "{:?}", began.elapsed());
}

#[test]
fn followers_of_another_variant_get_their_own() {
    let origin = Origin::start(|request, conn| {
        conn.pause(millis(200));
        let language = request.field("Accept-Language").unwrap().to_owned();
        conn.send(ok("Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", &language));
    });
    let proxy = Proxy::before(&origin);
    thread::scope(|scope| {
        let asked: Vec<_> = (0..40)
            .map(|number| {
                let language = if number % 2 == 0 { "de" } else { "fr" };
                let proxy = &proxy;
                scope.spawn(move || {
                    (language, proxy.request("GET", "/", &[("Accept-Language", language)]))
                })
            })
            .collect();
        for asked in asked {
            let (language, answer) = asked.join().unwrap();
            assert_eq!(answer.text(), language);
        }
    });
}

#[test]
fn a_client_that_leaves_does_not_break_the_others() {
    let origin = Origin::start(|_, conn| {
        conn.pause(millis(300));
        conn.send(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nfirst",
        );
        conn.pause(millis(300));
        conn.send("after");
    });
    let proxy = Proxy::before(&origin);
    let mut leader = proxy.client();
    leader.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    thread::sleep(millis(100));
    let mut follower = proxy.client();
    follower.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    let mut other = proxy.client();
    other.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    thread::sleep(millis(100));
    leader.reset();
    thread::sleep(millis(300));
    other.reset();
    assert_eq!(follower.response().text(), "firstafter");
    // Who reads along has all of it a moment before it is stored.
    assert!(eventually(|| cache(&again(&proxy)) == "HIT"));
    assert_eq!(origin.count(), 1);
}

/// The same request once more.
fn again(proxy: &Proxy) -> Response {
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    client.response()
}

#[test]
fn a_fill_whose_only_client_left_is_finished_if_little_is_missing() {
    let origin = Origin::start(|_, conn| {
        conn.send(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nfirst",
        );
        conn.pause(millis(400));
        conn.send("after");
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    thread::sleep(millis(200));
    client.reset();
    thread::sleep(millis(600));
    let answer = again(&proxy);
    assert_eq!((cache(&answer), answer.text()), ("HIT", "firstafter".to_owned()));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_fill_whose_only_client_left_is_cancelled_if_much_is_missing() {
    let (told, cancelled) = std::sync::mpsc::channel();
    let origin = Origin::start(move |_, conn| {
        conn.send(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9000000\r\n\r\n",
        );
        conn.send(vec![b'x'; 100_000]);
        told.send(conn.peer_closes_within(seconds(5))).unwrap();
    });
    let proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    client.head_to("GET").unwrap();
    client.reset();
    // A client that is gone is noticed when something is sent to it: nothing more comes here, so
    // the proxy has to see the reset itself.
    assert!(cancelled.recv().unwrap(), "the origin was kept busy for nobody");
}

#[test]
fn an_origin_that_is_silent_fails_all_who_waited_and_the_next_one_tries_again() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            conn.peer_closes_within(seconds(10));
        } else {
            conn.send(ok("Cache-Control: max-age=60\r\n", "good"));
        }
    });
    let proxy = Proxy::with(&origin, &["--first-byte-timeout", "1s"]);
    let answers = crowd(&proxy, 20, &[]);
    assert!(answers.iter().all(|answer| answer.status == 504));
    assert_eq!(origin.count(), 1);
    assert_eq!(proxy.get("/").text(), "good");
}

#[test]
fn what_the_origin_makes_of_one_request_is_not_the_fate_of_those_who_waited_for_it() {
    let (nothing, garbage, surprise) =
        ("", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n");
    let large = format!("HTTP/1.1 200 OK\r\nX-Echo: {}\r\n\r\n", "x".repeat(40_000));
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9);
    for bad in [nothing, garbage, surprise, &large, &hints] {
        let (go, wait) = channel();
        let (answer, wait) = (bad.to_owned(), Mutex::new(wait));
        let origin = Origin::start(move |request, conn| {
            if request.field("X-Bad").is_none() {
                conn.send(ok("Cache-Control: max-age=60\r\n", "good"));
                return;
            }
            // The others are waiting by then.
            let _ = wait.lock().unwrap().recv_timeout(seconds(5));
            conn.send(&answer);
            conn.close();
        });
        let proxy = Proxy::before(&origin);
        let mut leader = proxy.client();
        leader.send("GET / HTTP/1.1\r\nHost: site.example\r\nX-Bad: 1\r\n\r\n");
        assert!(eventually(|| origin.count() == 1));
        let mut followers: Vec<_> = (0..5).map(|_| proxy.client()).collect();
        for follower in &mut followers {
            follower.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
        }
        thread::sleep(millis(100));
        assert_eq!(origin.count(), 1);
        go.send(()).unwrap();
        for mut follower in followers {
            let answer = follower.response();
            assert_eq!((answer.status, answer.text()), (200, "good".to_owned()), "{bad:.20}");
        }
        let start = leader.head_to("GET").unwrap();
        assert!(matches!(start.status, 103 | 502), "{bad:.20}");
    }
}

#[test]
fn what_an_unsafe_request_invalidates_is_not_filled_by_an_older_fetch() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        if request.method == "POST" {
            conn.send("HTTP/1.1 204 No Content\r\n\r\n");
            return;
        }
        let old = count.fetch_add(1, Ordering::SeqCst) == 0;
        conn.pause(if old { millis(500) } else { millis(0) });
        conn.send(ok("Cache-Control: max-age=60\r\n", if old { "old" } else { "new" }));
    });
    let proxy = Proxy::before(&origin);
    let mut slow = proxy.client();
    slow.send(format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", proxy.address().1));
    thread::sleep(millis(150));
    assert_eq!(proxy.request("POST", "/", &[]).status, 204);
    assert_eq!(proxy.get("/").text(), "new");
    assert_eq!(slow.response().text(), "old");
    assert_eq!(proxy.get("/").text(), "new");
}

#[test]
fn what_has_to_be_validated_for_each_client_is_validated_side_by_side() {
    let origin = Origin::start(|request, conn| {
        if request.field("If-None-Match").is_some() {
            conn.pause(millis(300));
            conn.send("HTTP/1.1 304 Not Modified\r\n\r\n");
        } else {
            conn.send(ok("Cache-Control: no-cache\r\nETag: \"a\"\r\n", "x"));
        }
    });
    let proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/").text(), "x");
    let answers = crowd(&proxy, 10, &[]);
    for answer in answers {
        assert_eq!((cache(&answer), answer.text()), ("HIT", "x".to_owned()));
        assert!(answer.first_byte < millis(550), "{:?}", answer.first_byte);
    }
}

#[test]
fn a_leader_that_leaves_as_the_head_arrives_does_not_break_its_followers() {
    for _ in 0..6 {
        let origin = Origin::start(|_, conn| {
            conn.pause(millis(150));
            conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n");
            conn.send("Transfer-Encoding: chunked\r\n\r\n");
            conn.pause(millis(100));
            conn.send("4\r\nbody\r\n0\r\n\r\n");
        });
        let proxy = Proxy::before(&origin);
        let mut leader = proxy.client();
        leader.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
        assert!(testkit::eventually(|| origin.count() == 1));
        let mut followers: Vec<_> = (0..10).map(|_| proxy.client()).collect();
        for follower in &mut followers {
            follower.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
        }
        thread::sleep(millis(50));
        leader.reset();
        for mut follower in followers {
            let answer = follower.response();
            assert!(answer.complete);
            assert_eq!(answer.text(), "body");
        }
    }
}
