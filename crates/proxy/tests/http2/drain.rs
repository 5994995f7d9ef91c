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
    drop(frames);
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

/// A client that has asked for 2 MiB, has seen the head, and takes no more for now. Whether its windows
/// or its socket are too narrow, all that it has to do is to take what comes.
fn slow_client(running: &proxy::Running) -> Frames {
    const WIDE: u32 = 8 << 20;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket.connect(&running.local_addr().into()).unwrap();
    let mut frames = Frames::over(std::net::TcpStream::from(socket));
    // SETTINGS_INITIAL_WINDOW_SIZE
    frames.greet(&[(4, WIDE)]);
    frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with(WIDE.to_be_bytes()));
    frames.send(&Frame::headers(1, true, &GET));
    frames.next_of(kind::HEADERS).unwrap();
    frames
}

#[test]
fn a_slow_client_that_is_told_to_go_gets_all_of_its_last_response() {
    const LENGTH: usize = 2 << 20;
    let origin = Origin::answering(ok(&"x".repeat(LENGTH)));
    let Site { running, .. } = Site::before(&origin);
    let mut frames = slow_client(&running);
    let stopping = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(running.stop(Duration::from_secs(20)))
    });
    // Longer than those who have nothing more to get may take to leave.
    std::thread::sleep(Duration::from_millis(1500));
    let mut taken = 0;
    while let Some(frame) = frames.frame() {
        if frame.kind == kind::PING {
            frames.send(&Frame::new(kind::PING, flag::ACK, 0).with(frame.payload));
        } else if frame.kind == kind::DATA {
            taken += frame.payload.len();
            std::thread::sleep(Duration::from_millis(20));
            let more = (frame.payload.len() as u32).to_be_bytes();
            frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with(more));
        }
    }
    assert_eq!(taken, LENGTH);
    drop(frames);
    assert_eq!(stopping.join().unwrap(), proxy::Drained::Whole);
}
