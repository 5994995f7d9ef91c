//! How the process ends.

use std::thread;
use std::time::Instant;

use testkit::frames::{Frame, Frames, flag, kind};
use testkit::{Binary, Cut, Origin, eventually};

use crate::{Proxy, millis, ok, seconds};

#[test]
fn signals_end_it_with_success_and_idle_clients_are_let_go() {
    for interrupt in [false, true] {
        let origin = Origin::answering(ok("", "x"));
        let mut proxy = Proxy::before(&origin);
        let mut idle = proxy.client();
        assert_eq!(idle.get("/").text(), "x");
        let binary = proxy.binary.take().unwrap();
        let status = if interrupt { binary.interrupt() } else { Binary::terminate(binary) };
        assert_eq!(status.code(), Some(0));
        assert!(idle.at_eof());
    }
}

#[test]
fn requests_under_way_are_finished_first() {
    let origin = Origin::start(|_, conn| {
        conn.pause(millis(700));
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nsl");
        conn.pause(millis(300));
        conn.send("ow");
    });
    let mut proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(millis(200));
    proxy.binary().send_term();
    let answer = client.response();
    assert_eq!((answer.text(), answer.complete), ("slow".to_owned(), true));
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(proxy.binary().exited().code(), Some(0));
}

#[test]
fn requests_under_way_by_http2_are_finished_and_the_client_is_told_to_go() {
    let origin = Origin::start(|_, conn| {
        conn.pause(millis(700));
        conn.send(ok("Cache-Control: max-age=60\r\n", "slow"));
    });
    let mut proxy = Proxy::before(&origin);
    let mut frames = Frames::connect(proxy.address(), &[]);
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    frames.send(&Frame::headers(1, true, &fields));
    assert!(eventually(|| origin.count() == 1));
    proxy.binary().send_term();
    let first = frames.next_of(kind::GOAWAY).unwrap();
    assert_eq!((first.number_at(0), first.number_at(4)), (u32::MAX >> 1, 0), "no limit yet");
    let (mut content, mut last) = (Vec::new(), None);
    while let Some(frame) = frames.frame() {
        match frame.kind {
            kind::PING if frame.flags == 0 => {
                frames.send(&Frame::new(kind::PING, flag::ACK, 0).with(frame.payload));
            }
            kind::DATA => content.extend_from_slice(&frame.payload),
            kind::GOAWAY => last = Some(frame.number_at(0)),
            _ => {}
        }
    }
    assert_eq!((content.as_slice(), last), (b"slow".as_slice(), Some(1)));
    drop(frames);
    assert_eq!(proxy.binary().exited().code(), Some(0));
}

#[test]
fn the_drain_has_an_end() {
    let origin = Origin::start(|_, conn| conn.pause(seconds(20)));
    let mut proxy = Proxy::with(&origin, &["--drain", "500ms"]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(millis(200));
    proxy.binary().send_term();
    let began = Instant::now();
    assert_eq!(proxy.binary().exited().code(), Some(0));
    assert!(began.elapsed() < millis(1500), "{:?}", began.elapsed());
}

#[test]
fn a_tunnel_goes_on_until_the_drain_is_over() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        while let Ok(byte) = conn.bytes(1) {
            conn.send(byte);
        }
    });
    let mut proxy = Proxy::with(&origin, &["--drain", "700ms", "--log", "requests"]);
    let mut client = proxy.client();
    let offer = [("Connection", "upgrade"), ("Upgrade", "websocket")];
    assert_eq!(client.request("GET", "/", &offer).status, 101);
    proxy.binary().send_term();
    for _ in 0..4 {
        thread::sleep(millis(100));
        client.send("x");
        assert_eq!(client.bytes(1).unwrap(), b"x");
    }
    assert!(matches!(client.rest(), Err(Cut::Reset(_))));
    assert_eq!(proxy.binary().exited().code(), Some(0));
    assert!(proxy.binary().says(r#""end":"tunnel-drained""#), "{}", proxy.binary().stderr());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let origin = Origin::start(|_, conn| conn.pause(seconds(20)));
    let mut proxy = Proxy::before(&origin);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(millis(200));
    proxy.binary().send_term();
    thread::sleep(millis(200));
    assert!(proxy.binary().is_running());
    proxy.binary().send_term();
    assert_eq!(proxy.binary().exited().code(), Some(143));
}

#[test]
fn connections_that_wait_to_be_accepted_are_served() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "x"));
    let mut proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/").text(), "x");
    for round in 0..4 {
        proxy.binary().freeze();
        let mut clients: Vec<_> = (0..6).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        proxy.binary().send_term();
        proxy.binary().thaw();
        for client in &mut clients {
            assert_eq!(client.response().text(), "x", "round {round}");
        }
        assert_eq!(proxy.binary().exited().code(), Some(0));
        proxy.start();
    }
}
