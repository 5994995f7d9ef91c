//! Requests of many clients on the same connections to the origin: none pays for the others.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::origin::{Asked, Modern, echo_path};
use super::*;

/// Answers with the head and some content, and then nothing for as long as the test lasts.
async fn begin_and_hang((_request, mut respond): Asked) {
    let mut send = respond.send_response(Response::new(()), false).unwrap();
    send.send_data("begun".into(), false).unwrap();
    std::future::pending::<()>().await;
}

async fn hang_or_echo(asked: Asked, a: usize, b: usize) {
    if asked.0.uri().path().starts_with("/base/hang") {
        begin_and_hang(asked).await;
    } else {
        echo_path(asked, a, b).await;
    }
}

/// Begins a request whose response never ends, and reads its head.
fn hang(site: &Site, number: usize, fields: &str) -> testkit::Client {
    let mut client = testkit::Client::connect(site.address());
    client.send(format!("GET /hang{number} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(client.head_to("GET").unwrap().status, 200);
    client
}

//= https://www.rfc-editor.org/rfc/rfc9113#section-6.8
//# Receivers of a GOAWAY frame MUST NOT open additional streams on the connection, although a new
//# connection can be established for new streams.
#[test]
fn a_connection_that_is_to_go_ends_what_it_has_and_others_have_a_new_one() {
    let origin = Modern::start(hang_or_echo);
    let site = Site::at(origin.url(), |_| {});
    let _streaming = hang(&site, 0, "x-go-away: 1\r\n");
    let mut old = testkit::Client::connect(site.address());
    let mut number = 0;
    let is_followed = || {
        number += 1;
        let path = format!("/{number}");
        let fields = [("Content-Length", "0")];
        assert_eq!(old.request("POST", &path, &fields).text(), format!("/base{path}"));
        origin.connections.load(Ordering::Relaxed) == 2
    };
    assert!(testkit::eventually(is_followed));
}

#[test]
fn clients_that_take_nothing_hold_up_no_other() {
    const STREAMS: usize = 90;
    const NARROW: usize = 64 << 10;
    let total = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&total);
    let origin = Modern::start(move |(request, mut respond): Asked, a, b| {
        let total = Arc::clone(&count);
        async move {
            if request.uri().path() != "/base/large" {
                return echo_path((request, respond), a, b).await;
            }
            let head = Response::builder().header("cache-control", "no-store").body(()).unwrap();
            let mut send = respond.send_response(head, false).unwrap();
            loop {
                send.reserve_capacity(16 << 10);
                let capacity = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
                let Some(Ok(capacity)) = capacity else { return };
                total.fetch_add(capacity, Ordering::Relaxed);
                send.send_data(vec![0; capacity].into(), false).unwrap();
            }
        }
    });
    let site = Site::at(origin.url(), |_| {});
    speak(async {
        let mut client = client(&site).await;
        let mut untaken = Vec::new();
        for _ in 0..STREAMS {
            client = client.ready().await.unwrap();
            let asked = request("GET", "/large").body(()).unwrap();
            untaken.push(client.send_request(asked, true).unwrap().0);
        }
        // More than a connection's windows have room for where they are not as wide as all streams'.
        while total.load(Ordering::Relaxed) < (STREAMS - 1) * NARROW {
            tokio::task::yield_now().await;
        }
        let address = site.address();
        let got = tokio::task::spawn_blocking(move || testkit::Client::connect(address).get("/x"));
        assert_eq!(got.await.unwrap().text(), "/base/x");
        assert_eq!(origin.connections.load(Ordering::Relaxed), 1);
        // The first was alone when it began; some of each has gone on to the client.
        assert!(total.load(Ordering::Relaxed) < 2 * STREAMS * NARROW);
    });
}

#[test]
fn no_more_is_asked_at_once_than_the_origin_takes() {
    // It refuses what is too much, and a POST would not be repeated.
    let origin = Modern::taking(10, echo_path);
    let site = Site::at(origin.url(), |_| {});
    speak(async {
        let mut client = client(&site).await;
        let mut under_way = Vec::new();
        for number in 0..60 {
            let path = format!("/{number}");
            client = client.ready().await.unwrap();
            let asked = request("POST", &path).body(()).unwrap();
            under_way.push((path, client.send_request(asked, true).unwrap().0));
        }
        for (path, response) in under_way {
            let got = read(response.await.unwrap()).await.unwrap();
            assert_eq!((got.status, got.text()), (200, &*format!("/base{path}")));
        }
    });
    assert_eq!(origin.seen().len(), 60);
}

#[test]
fn requests_that_last_leave_connections_for_others() {
    let origin = Modern::taking(1, hang_or_echo);
    let site = Site::at(origin.url(), |_| {});
    let _streaming: Vec<_> = (0..20).map(|number| hang(&site, number, "")).collect();
    assert_eq!(testkit::Client::connect(site.address()).get("/x").text(), "/base/x");
    assert_eq!(origin.connections.load(Ordering::Relaxed), 21);
}

/// An origin that takes one request on each connection, and refuses those behind it.
#[test]
fn who_has_been_refused_twice_is_the_first_on_a_connection_of_its_own() {
    let origin = Modern::start(|(request, mut respond): Asked, connection, number| async move {
        if number > 0 || connection == 0 {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        } else {
            tokio::task::yield_now().await;
            echo_path((request, respond), connection, number).await;
        }
    });
    let site = Site::at(origin.url(), |_| {});
    speak(async {
        let mut client = client(&site).await;
        let mut under_way = Vec::new();
        for number in 0..30 {
            client = client.ready().await.unwrap();
            let asked = request("GET", &format!("/{number}")).body(()).unwrap();
            under_way.push(client.send_request(asked, true).unwrap().0);
        }
        for response in under_way {
            assert_eq!(read(response.await.unwrap()).await.unwrap().status, 200);
        }
    });
}

#[test]
fn clients_that_leave_do_not_have_the_origin_end_what_others_have() {
    let origin = Modern::start(hang_or_echo);
    let site = Site::at(origin.url(), |_| {});
    let _streaming = hang(&site, 0, "");
    for number in 1..=50 {
        hang(&site, number, "").reset();
    }
    let on_first = origin.seen().iter().filter(|seen| seen.connection == 0).count();
    assert!((20..40).contains(&on_first), "{on_first}");
    // Whoever stays to the end counts for nothing.
    let mut client = testkit::Client::connect(site.address());
    for number in 0..100 {
        client.get(&format!("/{number}"));
    }
    assert_eq!(origin.connections.load(Ordering::Relaxed), 2);
}

/// An origin whose window for all contents of a connection is no wider than that of one.
#[test]
fn contents_that_the_origin_does_not_take_hold_up_no_other() {
    const WINDOW: usize = 65_535;
    let total = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&total);
    let origin = Modern::start(move |(mut request, respond): Asked, a, b| {
        let total = Arc::clone(&count);
        async move {
            let is_stuck = request.uri().path().starts_with("/base/stuck");
            while let Some(Ok(data)) = request.body_mut().data().await {
                if is_stuck {
                    total.fetch_add(data.len(), Ordering::Relaxed);
                } else {
                    request.body_mut().flow_control().release_capacity(data.len()).unwrap();
                }
            }
            echo_path((request, respond), a, b).await;
        }
    });
    let site = Site::at(origin.url(), |_| {});
    let upload = |path: &str| {
        let mut client = testkit::Client::connect(site.address());
        let length = "Content-Length: 200000";
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n"));
        client.send(vec![b'x'; 200_000]);
        client
    };
    // Each sends what the window takes before the next one comes.
    let stuck = |number: usize| {
        let client = upload(&format!("/stuck{number}"));
        assert!(testkit::eventually(|| total.load(Ordering::Relaxed) == number * WINDOW));
        client
    };
    let _stuck: Vec<_> = (1..=4).map(stuck).collect();
    for _ in 0..3 {
        assert_eq!(upload("/taken").response().text(), "/base/taken");
    }
}

/// An origin that takes nothing more on its first connection once it has answered there.
fn lately_busy(connections: Arc<AtomicUsize>) -> OriginUrl {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let is_first = connections.fetch_add(1, Ordering::Relaxed) == 0;
            std::thread::spawn(move || {
                stream.read_exact(&mut [0; testkit::frames::PREFACE.len()]).ok()?;
                let mut frames = Frames::over(stream);
                frames.send(&Frame::new(kind::SETTINGS, 0, 0));
                while let Some(asked) = frames.next_of(kind::HEADERS) {
                    if is_first {
                        // At most 0 streams at once.
                        frames.send(&Frame::new(kind::SETTINGS, 0, 0).with([0, 3, 0, 0, 0, 0]));
                    }
                    let fields = [(":status", "200"), ("cache-control", "no-store")];
                    frames.send(&Frame::headers(asked.stream, true, &fields));
                }
                Some(())
            });
        }
    });
    OriginUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap().by(proxy::Protocol::Http2)
}

#[test]
fn a_connection_that_takes_nothing_more_is_replaced_once() {
    let connections = Arc::default();
    let site = Site::at(lately_busy(Arc::clone(&connections)), |_| {});
    let mut client = testkit::Client::connect(site.address());
    for number in 0..10 {
        assert_eq!(client.get(&format!("/{number}")).status, 200);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

/// An origin whose responses end in a frame of their own, once `ends` says so. Tells whether their streams
/// were reset before that.
fn late_ends(ends: Receiver<()>, was_reset: Sender<bool>) -> OriginUrl {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().ok()?;
        stream.read_exact(&mut [0; testkit::frames::PREFACE.len()]).ok()?;
        let mut frames = Frames::over(stream);
        frames.send(&Frame::new(kind::SETTINGS, 0, 0));
        while let Some(asked) = frames.next_of(kind::HEADERS) {
            frames.send(&Frame::headers(asked.stream, false, &[(":status", "200")]));
            ends.recv().ok()?;
            frames.send(&Frame::new(kind::DATA, flag::END_STREAM, asked.stream));
            frames.send(&Frame::new(kind::PING, 0, 0).with(*b"has come"));
            let next = frames.until(|frame| matches!(frame.kind, kind::PING | kind::RST_STREAM))?;
            was_reset.send(next.kind == kind::RST_STREAM).ok()?;
        }
        Some(())
    });
    OriginUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap().by(proxy::Protocol::Http2)
}

#[test]
fn a_response_without_content_may_end_behind_its_head() {
    let ((end, ends), (told, was_reset)) = (channel(), channel());
    let site = Site::at(late_ends(ends, told), |_| {});
    let mut client = testkit::Client::connect(site.address());
    for _ in 0..3 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response_to("HEAD").status, 200);
        end.send(()).unwrap();
        assert!(!was_reset.recv_timeout(testkit::PATIENCE).unwrap());
    }
}

#[test]
fn not_all_wait_for_what_an_origin_has_not_said_yet() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // It says nothing, and so not how many requests it takes at once either.
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            open.push(stream);
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let url = OriginUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let site = Site::at(url.by(proxy::Protocol::Http2), |_| {});
    speak(async {
        let mut under_way = Vec::new();
        for first in [0, 75] {
            let mut client = client(&site).await;
            for number in first..first + 75 {
                client = client.ready().await.unwrap();
                let asked = request("GET", &format!("/{number}")).body(()).unwrap();
                under_way.push(client.send_request(asked, true).unwrap().0);
            }
        }
        while connections.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}
