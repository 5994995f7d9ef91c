//! Each patience: who stays just below it is served, who goes beyond it is not.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]
#![expect(clippy::disallowed_methods, reason = "patience is real time")]

mod rig;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use proxy::{Inherited, Kind, Legacy, Limits, Listen, Running};
use rig::Site;
use socket2::SockRef;
use testkit::{Client, Deaf, Origin};

/// Each patience of these tests. The machine may take half of it for itself.
const LIMIT: Duration = Duration::from_millis(600);
const HALF: Duration = Duration::from_millis(300);
/// In this time whoever is beyond it is gone.
const LATE: Duration = Duration::from_millis(1600);

/// A proxy in this process, in memory only.
fn site(origin: &Origin, change: impl FnOnce(&mut Limits)) -> Running {
    site_at(&origin.url(), change)
}

fn site_at(origin: &str, change: impl FnOnce(&mut Limits)) -> Running {
    let mut settings = rig::settings(origin);
    change(&mut settings.limits);
    Site::start(settings).running
}

fn client(site: &Running) -> Client {
    Client::connect(site.local_addr())
}

fn page() -> Origin {
    Origin::answering("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx")
}

/// How long it takes until this is so.
fn time(mut wait: impl FnMut()) -> Duration {
    let began = Instant::now();
    wait();
    began.elapsed()
}

fn check_late(took: Duration) {
    assert!((LIMIT..LATE).contains(&(took + HALF / 10)), "{took:?}");
}

#[test]
fn a_head_has_so_much_time_however_it_drips() {
    let origin = page();
    let site = site(&origin, |limits| limits.head_timeout = LIMIT);
    let mut quick = client(&site);
    quick.send("GET / HTTP/1.1\r\nHo");
    sleep(HALF);
    quick.send("st: a\r\n\r\n");
    assert_eq!(quick.response().status, 200);
    let mut slow = client(&site);
    slow.send("GET / HTTP/1.1\r\nX: ");
    let took = time(|| {
        while !slow.has_answer() {
            slow.send("x");
            sleep(HALF / 10);
        }
    });
    check_late(took);
    let answer = slow.response();
    assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
    assert!(answer.field("Proxy-Status").unwrap().ends_with("; details=\"head-timeout\""));
}

#[test]
fn a_connection_may_be_idle_for_so_long() {
    let origin = page();
    let site = site(&origin, |limits| limits.idle_timeout = LIMIT);
    let mut one = client(&site);
    for _ in 0..3 {
        assert_eq!(one.get("/").status, 200);
        sleep(HALF);
    }
    assert_eq!(one.get("/").status, 200);
    check_late(time(|| assert!(one.at_eof())));
}

/// Answers when the content is there.
fn taker() -> Origin {
    Origin::at_heads(|_, conn| {
        if conn.read_body().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    })
}

#[test]
fn announced_content_comes_at_a_pace() {
    let origin = taker();
    let site = site(&origin, |limits| limits.body_timeout = LIMIT);
    let begin = || {
        let mut client = client(&site);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n");
        client
    };
    let mut quick = begin();
    for _ in 0..4 {
        sleep(HALF);
        quick.send([b'x'; 1024]);
    }
    assert_eq!(quick.response().status, 200);
    let mut slow = begin();
    let took = time(|| {
        while !slow.has_answer() {
            slow.send("x");
            sleep(HALF / 10);
        }
    });
    check_late(took);
    let answer = slow.response();
    assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
    assert!(answer.field("Cache-Status").unwrap().ends_with("detail=client-stalled"));
}

#[test]
fn any_word_of_a_conversation_counts_and_silence_does_not() {
    let origin = taker();
    let site = site(&origin, |limits| limits.body_timeout = LIMIT);
    let mut client = client(&site);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        sleep(HALF);
        client.send("1\r\nx\r\n");
    }
    check_late(time(|| assert_eq!(client.response().status, 408)));
}

#[test]
fn a_conversation_too_comes_at_a_pace_where_one_is_set() {
    let origin = taker();
    let site = site(&origin, |limits| {
        limits.body_timeout = LIMIT;
        // Of the wire: each piece has six bytes.
        limits.body_pace = Some(12);
    });
    let begin = || {
        let mut client = client(&site);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client
    };
    let mut quick = begin();
    for _ in 0..8 {
        sleep(HALF / 2);
        quick.send("1\r\nx\r\n");
    }
    quick.send("0\r\n\r\n");
    assert_eq!(quick.response().status, 200);
    let mut slow = begin();
    sleep(HALF);
    slow.send("1\r\nx\r\n");
    let took = time(|| assert_eq!(slow.response().status, 408));
    check_late(took + HALF);
}

#[test]
fn a_connection_ends_with_the_response_after_its_time_or_its_requests() {
    let origin = page();
    let aged = site(&origin, |limits| limits.connection_age = LIMIT);
    let mut old = client(&aged);
    let took = time(|| {
        while old.get("/").field("Connection") != Some("close") {
            sleep(HALF / 4);
        }
    });
    // It is up to a tenth more or less.
    assert!((LIMIT / 10 * 9..LATE).contains(&took), "{took:?}");
    assert!(old.at_eof());
    let busy = site(&origin, |limits| limits.requests_per_connection = 3);
    let mut one = client(&busy);
    for expected in [None, None, Some("close")] {
        assert_eq!(one.get("/").field("Connection"), expected);
    }
    assert!(one.at_eof());
}

#[test]
fn the_origin_may_take_so_long_for_its_head_and_pause_so_long_within_its_content() {
    let origin = Origin::start(|request, conn| {
        let pause = if request.target.ends_with("/late") { LATE } else { HALF };
        if request.target.starts_with("/head") {
            conn.pause(pause);
        }
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\na");
        if request.target.starts_with("/content") {
            conn.pause(pause);
        }
        conn.send("b");
    });
    let site = site(&origin, |limits| {
        limits.first_byte_timeout = LIMIT;
        limits.between_bytes_timeout = LIMIT;
    });
    for path in ["/head", "/content"] {
        assert_eq!(client(&site).get(path).text(), "ab");
    }
    let took = time(|| {
        let answer = client(&site).get("/head/late");
        assert_eq!(answer.status, 504);
        assert!(answer.field("Cache-Status").unwrap().contains("detail=origin-timeout"));
    });
    check_late(took);
    check_late(time(|| assert!(!client(&site).get("/content/late").complete)));
}

#[test]
fn the_origin_has_so_much_time_for_all_of_its_head_whatever_was_sent_to_it_before() {
    let origin = Origin::start(|request, conn| {
        if request.target == "/silent" {
            return conn.pause(2 * LATE);
        }
        conn.send("HTTP/1.1 200 OK\r\nX: ");
        for _ in 0..20 {
            conn.pause(HALF / 2);
            conn.send("x");
        }
    });
    let site = site(&origin, |limits| limits.first_byte_timeout = LIMIT);
    for path in ["/silent", "/drips"] {
        let mut client = client(&site);
        let took = time(|| assert_eq!(client.get(path).status, 504, "{path}"));
        // Sending the request does not buy the origin another round.
        assert!((LIMIT..2 * LIMIT).contains(&(took + HALF / 10)), "{path}: {took:?}");
    }
}

#[test]
fn connecting_to_the_origin_may_take_so_long() {
    let Some(deaf) = Deaf::new() else { return };
    let url = format!("http://{}", deaf.address());
    let hasty = site_at(&url, |limits| limits.connect_timeout = LIMIT);
    check_late(time(|| {
        let answer = client(&hasty).get("/");
        assert_eq!(answer.status, 504);
        assert!(answer.field("Cache-Status").unwrap().contains("detail=origin-connect-timeout"));
    }));
    // The system tries again after a second.
    let patient = site_at(&url, |limits| limits.connect_timeout = 4 * LIMIT);
    let mut waiting = client(&patient);
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    sleep(HALF);
    let listener = deaf.hear();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").unwrap();
    assert_eq!(waiting.response().status, 200);
}

#[test]
fn the_origin_may_take_so_long_for_its_handshake() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let site = site_at(&url, |limits| limits.tls_timeout = LIMIT);
    check_late(time(|| {
        let answer = client(&site).get("/");
        assert_eq!(answer.status, 504);
        assert!(answer.field("Cache-Status").unwrap().contains("detail=origin-tls-timeout"));
    }));
    // One that says something, if not what is wanted, is not late.
    let mut waiting = client(&site);
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_late, (mut stream, _)) = (listener.accept().unwrap(), listener.accept().unwrap());
    sleep(HALF);
    // An alert: the handshake fails.
    stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
    let answer = waiting.response();
    assert_eq!(answer.status, 502);
    assert!(answer.field("Cache-Status").unwrap().contains("detail=origin-tls-alert"));
}

#[test]
fn a_connection_to_the_origin_is_kept_for_so_long_and_only_so_many_are() {
    let origin = Origin::start(|request, conn| {
        if request.target.starts_with("/slow") {
            conn.pause(HALF);
        }
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\nx");
    });
    let connections = || {
        let all: Vec<_> = origin.requests().iter().map(|request| request.connection).collect();
        all[all.len() - 1]
    };
    let site = site(&origin, |limits| {
        limits.origin_idle_timeout = LIMIT;
        limits.origin_idle = 1;
    });
    let mut one = client(&site);
    let mut used = |pause| {
        sleep(pause);
        assert_eq!(one.get("/").status, 200);
        connections()
    };
    let first = used(Duration::ZERO);
    assert_eq!(used(HALF), first);
    assert_ne!(used(LATE), first);
    // Two at once, of which one is kept.
    let mut both = [client(&site), client(&site)];
    for round in 1..=2 {
        for (number, client) in both.iter_mut().enumerate() {
            client.send(format!("GET /slow/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        for client in &mut both {
            assert_eq!(client.response().status, 200);
        }
        let all = origin.requests().iter().map(|request| request.connection).max();
        // Numbered from 0: the two before, and one more each time.
        assert_eq!(all.unwrap(), 1 + round);
    }
}

#[test]
fn a_request_waits_so_long_for_its_turn_at_the_origin() {
    for (busy, status) in [(HALF, 200), (LATE, 503)] {
        let origin = Origin::start(move |request, conn| {
            if request.target == "/first" {
                conn.pause(busy);
            }
            conn.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\nx");
        });
        let site = site(&origin, |limits| {
            limits.origin_queue = LIMIT;
            limits.origin_connections = 1;
        });
        let mut first = client(&site);
        first.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(testkit::eventually(|| origin.count() == 1));
        let took = time(|| {
            let answer = client(&site).get("/second");
            assert_eq!(answer.status, status);
            assert_eq!(answer.field("Retry-After").is_some(), status == 503);
        });
        if status == 503 {
            check_late(took);
        }
    }
}

#[test]
fn a_client_that_takes_something_now_and_then_is_not_stuck() {
    let body = "x".repeat(900_000);
    let origin = Origin::answering(format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 900000\r\n\r\n{body}"
    ));
    // More than the machine may take for itself between two pauses, and less than all of them.
    let site = site(&origin, |limits| limits.write_timeout = LATE);
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    let mut reader = client(&site);
    reader.send(&requests);
    for _ in 0..20 {
        let answer = reader.response();
        assert!(answer.complete && answer.body.len() == 900_000);
        sleep(HALF / 2);
    }
    let cut = || site.handle().counts().cut;
    assert_eq!(cut(), 0);
    let mut stuck = client(&site);
    stuck.send(&requests);
    assert!(testkit::eventually(|| cut() == 1));
    // What was held for it is dropped, and it can see that.
    let all = std::iter::from_fn(|| stuck.try_response().ok().filter(|answer| answer.complete));
    assert!(all.count() < 20);
}

#[test]
fn the_sockets_of_another_process_have_their_keepalive_until_this_one_serves() {
    let origin = page();
    let theirs = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let time = || SockRef::from(&theirs).tcp_keepalive_time().unwrap();
    let usual = time();
    let prepare = || {
        let address = theirs.local_addr().unwrap();
        let mut settings = rig::settings(&origin.url());
        settings.listen = vec![Listen::plain(address)];
        settings.limits.tcp_keepalive = Duration::from_secs(77);
        let sockets = vec![theirs.try_clone().unwrap()];
        let mut inherited = vec![Inherited { address, kind: Kind::Http, sockets }];
        let prepared = proxy::prepare(settings, Arc::new(rig::Silent), &mut inherited).unwrap();
        prepared.open(Legacy::default()).unwrap().staff().unwrap()
    };
    // It has all that it needs, and ends all the same.
    drop(prepare());
    assert_eq!(time(), usual);
    let _running = prepare().serve();
    assert_eq!(time(), Duration::from_secs(77));
}
