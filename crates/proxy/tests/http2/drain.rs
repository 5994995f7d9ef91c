//! A proxy that is stopped lets its connections end in order.

use super::*;

#[test]
fn a_stop_says_goodbye_twice_and_lets_streams_finish() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        wait.lock().unwrap().recv().unwrap();
        conn.send("lf");
    });
    let Site { running, .. } = Site::before(&origin);
    let mut frames = Frames::connect(running.local_addr(), &[]);
    frames.send(&Frame::headers(1, true, &GET));
    assert_eq!(frames.next_of(kind::DATA).unwrap().payload, b"ha");
    let stopping = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(running.stop(Duration::from_secs(5)))
    });
    let first = frames.next_of(kind::GOAWAY).unwrap();
    assert_eq!((first.number_at(0), first.number_at(4)), ((1 << 31) - 1, 0));
    let ping = frames.next_of(kind::PING).unwrap();
    frames.send(&Frame::new(kind::PING, flag::ACK, 0).with(ping.payload));
    let second = frames.next_of(kind::GOAWAY).unwrap();
    assert_eq!((second.number_at(0), second.number_at(4)), (1, 0));
    go.send(()).unwrap();
    assert_eq!(frames.next_of(kind::DATA).unwrap().payload, b"lf");
    assert!(frames.until(|frame| frame.kind != kind::DATA && frame.kind != kind::GOAWAY).is_none());
    assert_eq!(stopping.join().unwrap(), proxy::Drained::Whole);
}

#[test]
fn a_client_that_does_not_answer_the_goodbye_does_not_hold_up_the_stop() {
    let origin = Origin::answering(ok("x"));
    let Site { running, .. } = Site::before(&origin);
    let mut frames = Frames::connect(running.local_addr(), &[]);
    frames.send(&Frame::headers(1, true, &GET));
    assert!(frames.next_of(kind::DATA).is_some());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let drained = runtime.block_on(running.stop(Duration::from_secs(5)));
    assert_eq!(drained, proxy::Drained::Whole);
}

#[test]
fn a_connection_is_told_to_go_after_so_many_requests() {
    let origin = Origin::answering(ok("x"));
    let site = Site::with(&origin, |limits| limits.http2.requests = 2);
    let mut frames = site.frames();
    for stream in [1, 3] {
        frames.send(&Frame::headers(stream, true, &GET));
        let end = |frame: &Frame| frame.stream == stream && frame.flags & flag::END_STREAM != 0;
        assert!(frames.until(end).is_some());
    }
    assert_eq!(frames.goaway(), Some(0));
}
