//! How a tunnel carries bytes, and how it ends.

use std::time::Duration;

use proxy::TunnelEnd;
use testkit::Cut;

use super::*;

/// Sends back what it gets, until the other side ends.
fn echo(conn: &mut Conn) {
    while let Ok(byte) = conn.bytes(1) {
        conn.send(byte);
    }
}

#[test]
fn bytes_go_both_ways_whatever_they_are() {
    let origin = switching(echo);
    let site = Site::before(&origin);
    let mut client = site.switched();
    for message in [&b"\x81\x02hi"[..], b"GET / HTTP/1.1\r\n\r\n", b"\0", b"\xff\r\n\r\n"] {
        client.send(message);
        assert_eq!(client.bytes(message.len()).unwrap(), message);
    }
    client.finish();
    assert_eq!(client.rest(), Ok(Vec::new()));
    let expected = Tunnelled { received: 28, end: TunnelEnd::Closed };
    assert_eq!(site.log.tunnel(), expected);
    let (status, reason, bytes, _) = site.log.lines()[0];
    assert_eq!((status, reason), (101, "upgrade"));
    assert!(bytes > 28, "the head is counted too: {bytes}");
    assert_eq!(site.running.handle().counts().tunnels, 1);
}

#[test]
fn large_streams_cross_in_both_directions_at_once() {
    const LENGTH: usize = 3 << 20;
    let origin = switching(|conn| {
        let sent: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        // Neither side reads before it has begun to write.
        for (number, piece) in sent.chunks(LENGTH / 16).enumerate() {
            conn.send(piece);
            assert_eq!(conn.bytes(LENGTH / 16).unwrap(), vec![number as u8; LENGTH / 16]);
        }
    });
    let site = Site::before(&origin);
    let mut client = site.switched();
    let mut got = Vec::new();
    for number in 0..16 {
        client.send(vec![number; LENGTH / 16]);
        got.extend(client.bytes(LENGTH / 16).unwrap());
    }
    assert!(got.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    client.finish();
    assert_eq!(client.rest(), Ok(Vec::new()));
    assert_eq!(site.log.tunnel().end, TunnelEnd::Closed);
}

#[test]
fn a_client_that_has_said_all_still_gets_what_the_origin_says() {
    let origin = switching(|conn| {
        let all = conn.rest().unwrap();
        conn.send([&b"you said "[..], &all].concat());
    });
    let site = Site::before(&origin);
    let mut client = site.switched();
    client.send("this");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"you said this");
    assert_eq!(site.log.tunnel(), Tunnelled { received: 4, end: TunnelEnd::Closed });
}

#[test]
fn an_origin_that_has_said_all_still_gets_what_the_client_says() {
    let (tell, told) = channel();
    let origin = switching(move |conn| {
        conn.send("bye");
        conn.finish();
        tell.lock().unwrap().send(conn.rest()).unwrap();
    });
    let site = Site::before(&origin);
    let mut client = site.switched();
    assert_eq!(client.rest().unwrap(), b"bye");
    client.send("and this");
    client.finish();
    assert_eq!(next(&told).unwrap(), b"and this");
    assert_eq!(site.log.tunnel(), Tunnelled { received: 8, end: TunnelEnd::Closed });
}

#[test]
fn a_client_that_breaks_off_is_seen_by_the_origin() {
    let (tell, told) = channel();
    let origin = switching(move |conn| {
        conn.bytes(1).unwrap();
        tell.lock().unwrap().send(conn.rest()).unwrap();
    });
    let site = Site::before(&origin);
    let mut client = site.switched();
    client.send("x");
    assert!(eventually(|| site.running.handle().open_tunnels() == 1));
    client.reset();
    assert!(matches!(next(&told), Err(Cut::Reset(_))));
    assert_eq!(site.log.tunnel().end, TunnelEnd::ClientGone);
    assert!(eventually(|| site.running.handle().open_tunnels() == 0));
}

#[test]
fn an_origin_that_breaks_off_is_seen_by_the_client() {
    let origin = switching(|conn| {
        conn.bytes(1).unwrap();
        conn.reset();
    });
    let site = Site::before(&origin);
    let mut client = site.switched();
    client.send("x");
    assert!(matches!(client.rest(), Err(Cut::Reset(_))));
    assert_eq!(site.log.tunnel().end, TunnelEnd::OriginGone);
}

#[test]
fn silence_on_both_sides_ends_it_and_a_word_from_either_does_not() {
    let origin = switching(|conn| {
        for _ in 0..3 {
            conn.pause(Duration::from_millis(300));
            conn.send("o");
        }
        let _ = conn.rest();
    });
    let site = Site::with(&origin, |limits| limits.tunnel_idle = Duration::from_millis(500));
    let mut client = site.switched();
    assert_eq!(client.bytes(3).unwrap(), b"ooo", "900 ms, and never silent for 500");
    assert!(matches!(client.rest(), Err(Cut::Reset(_))));
    assert_eq!(site.log.tunnel(), Tunnelled { received: 0, end: TunnelEnd::Idle });
}

#[test]
fn half_a_tunnel_is_not_waited_for_as_long() {
    let origin = switching(|conn| {
        conn.finish();
        let _ = conn.rest();
    });
    let site = Site::with(&origin, |limits| limits.idle_timeout = Duration::from_millis(100));
    let mut client = site.switched();
    assert_eq!(client.rest(), Ok(Vec::new()));
    assert_eq!(site.log.tunnel().end, TunnelEnd::Idle);
}

#[test]
fn who_takes_nothing_is_not_waited_for_forever() {
    let origin = switching(|conn| while conn.send(vec![b'x'; 64 << 10]) {});
    let site = Site::with(&origin, |limits| limits.write_timeout = Duration::from_millis(200));
    let client = site.switched();
    assert_eq!(site.log.tunnel().end, TunnelEnd::ClientStalled);
    drop(client);
    let origin = switching(|conn| conn.pause(Duration::from_secs(2)));
    let site = Site::with(&origin, |limits| limits.write_timeout = Duration::from_millis(200));
    let mut client = site.switched();
    while client.send(vec![b'x'; 64 << 10]) {}
    assert_eq!(site.log.tunnel().end, TunnelEnd::OriginStalled);
}

#[test]
fn the_last_words_of_an_origin_that_leaves_arrive_although_the_client_goes_on() {
    let origin = switching(|conn| {
        conn.bytes(1).unwrap();
        conn.send("goodbye");
    });
    for _ in 0..20 {
        let site = Site::before(&origin);
        let mut client = site.switched();
        client.send("x");
        while client.send([b'x'; 4096]) && site.log.lines().is_empty() {}
        assert_eq!(client.bytes(7).unwrap(), b"goodbye");
    }
}

#[test]
fn a_stop_leaves_tunnels_open_for_the_time_of_the_drain_and_then_cuts_them() {
    let origin = switching(echo);
    let site = Site::before(&origin);
    let mut client = site.switched();
    let log = Arc::clone(&site.log);
    let running = site.running;
    let stop = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(running.stop(Duration::from_millis(500)))
    });
    for _ in 0..3 {
        client.send("x");
        assert_eq!(client.bytes(1).unwrap(), b"x");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(stop.join().unwrap(), proxy::Drained::Cut);
    assert!(matches!(client.rest(), Err(Cut::Reset(_))));
    assert_eq!(log.tunnel(), Tunnelled { received: 3, end: TunnelEnd::Drained });
}
