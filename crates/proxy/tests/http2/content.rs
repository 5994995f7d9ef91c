//! Requests with content.

use super::*;

/// Sends all of `body` as the windows allow.
async fn send(stream: &mut h2::SendStream<Bytes>, mut body: Bytes, end: bool) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let capacity = capacity.unwrap().unwrap().min(body.len());
        let piece = body.split_to(capacity);
        stream.send_data(piece, end && body.is_empty()).unwrap();
    }
}

#[test]
fn content_and_trailers_reach_the_origin() {
    let origin = Origin::answering(ok("thanks"));
    let site = Site::before(&origin);
    let body = Bytes::from(vec![b'x'; 300_000]);
    speak(async {
        let mut client = client(&site).await;
        let asked = request("POST", "/").header("te", "trailers").body(()).unwrap();
        let (response, mut stream) = client.send_request(asked, false).unwrap();
        send(&mut stream, body.clone(), false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        for name in ["x-forwarded-host", "authorization", "cookie", "content-type", "if-match"] {
            trailers.insert(name, "evil".parse().unwrap());
        }
        stream.send_trailers(trailers).unwrap();
        assert_eq!(read(response.await.unwrap()).await.unwrap().text(), "thanks");
    });
    let got = &origin.requests()[0];
    assert_eq!(got.field("Transfer-Encoding"), Some("chunked"));
    assert!(got.body == body);
    assert_eq!(got.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[test]
fn content_of_a_known_length_keeps_it_and_a_100_comes_when_it_is_wanted() {
    let origin = Origin::answering(ok("thanks"));
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        let asked = request("PUT", "/").header("content-length", "4");
        let asked = asked.header("expect", "100-continue").body(()).unwrap();
        let (mut response, mut stream) = client.send_request(asked, false).unwrap();
        let early = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
        assert_eq!(early.unwrap().unwrap().status(), 100);
        stream.send_data(Bytes::from_static(b"data"), true).unwrap();
        assert_eq!(read(response.await.unwrap()).await.unwrap().text(), "thanks");
    });
    let got = &origin.requests()[0];
    assert_eq!((got.field("Content-Length"), &got.body[..]), (Some("4"), &b"data"[..]));
    assert_eq!(got.field("Expect"), None);
}

#[test]
fn a_slow_origin_slows_the_client_and_no_memory_fills() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::at_heads(move |_, conn| {
        wait.lock().unwrap().recv().unwrap();
        conn.read_body();
        conn.send(ok("read"));
    });
    let site = Site::before(&origin);
    let total = 24 << 20;
    speak(async {
        let mut client = client(&site).await;
        let asked = request("POST", "/").body(()).unwrap();
        let (response, mut stream) = client.send_request(asked, false).unwrap();
        let piece = Bytes::from(vec![b'x'; 16 << 10]);
        let mut sent = 0;
        // Until the proxy takes no more for a while: the sockets of the origin's side are full.
        loop {
            stream.reserve_capacity(piece.len());
            let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx));
            let quiet = Duration::from_millis(300);
            let Ok(capacity) = tokio::time::timeout(quiet, capacity).await else { break };
            let capacity = capacity.unwrap().unwrap().min(piece.len());
            stream.send_data(piece.slice(..capacity), false).unwrap();
            sent += capacity;
            assert!(sent < total, "nobody held it up");
        }
        go.send(()).unwrap();
        send(&mut stream, Bytes::from(vec![b'x'; total - sent]), true).await;
        assert_eq!(read(response.await.unwrap()).await.unwrap().text(), "read");
    });
    assert_eq!(origin.requests()[0].body.len(), total);
}

#[test]
fn an_early_response_ends_the_upload_without_an_error() {
    let origin = Origin::at_heads(|_, conn| {
        conn.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");
        conn.close();
    });
    let site = Site::before(&origin);
    let mut frames = site.frames();
    let fields = [&[(":method", "POST")], &GET[1..]].concat();
    frames.send(&Frame::headers(1, false, &fields));
    frames.send(&Frame::new(kind::DATA, 0, 1).with(vec![b'x'; 1000]));
    let end = frames.until(|frame| {
        frame.stream == 1 && frame.kind == kind::DATA && frame.flags & flag::END_STREAM != 0
    });
    assert!(end.is_some());
    let reset = frames.next_of(kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number_at(0)), (1, 0), "NO_ERROR");
    assert!(frames.ping());
}

#[test]
fn responses_that_do_not_wait_for_the_content_are_no_abuse() {
    let origin = Origin::answering(ok("x"));
    let site = Site::with(&origin, |limits| limits.http2.resets = 5);
    let mut frames = site.frames();
    let get = [&GET[..], &[("content-length", "0")]].concat();
    for stream in (1..40).step_by(2) {
        // The end comes only after the response.
        frames.send(&Frame::headers(stream, false, &get));
        let end = |frame: &Frame| frame.kind == kind::DATA && frame.flags & flag::END_STREAM != 0;
        assert_eq!(frames.until(end).unwrap().stream, stream);
        frames.send(&Frame::new(kind::DATA, flag::END_STREAM, stream));
    }
    assert!(frames.ping());
    assert_eq!(origin.count(), 1);
}

#[test]
fn content_that_is_not_as_long_as_was_said_never_passes_for_whole() {
    let origin = Origin::at_heads(|_, conn| {
        if conn.read_body().is_some() {
            conn.send(ok("whole"));
        }
    });
    let site = Site::before(&origin);
    let trailers = testkit::frames::block(&[("x-a", "b")]);
    // How it ends: with too little or too much, by DATA, by trailers, or at once.
    for (length, data, end) in [
        ("5", "four", "data"),
        ("3", "four", "data"),
        ("5", "four", "trailers"),
        ("3", "four", "trailers"),
        ("1", "", "head"),
        ("4", "", "empty"),
    ] {
        let mut frames = site.frames();
        let fields = [&[(":method", "POST")], &GET[1..], &[("content-length", length)]].concat();
        frames.send(&Frame::headers(1, end == "head", &fields));
        let flags = if end == "trailers" { 0 } else { flag::END_STREAM };
        if end != "head" {
            frames.send(&Frame::new(kind::DATA, flags, 1).with(data));
        }
        if end == "trailers" {
            let flags = flag::END_STREAM | flag::END_HEADERS;
            frames.send(&Frame::new(kind::HEADERS, flags, 1).with(&trailers[..]));
        }
        let reset = frames.next_of(kind::RST_STREAM).unwrap();
        assert_eq!((reset.stream, reset.number_at(0)), (1, 1), "{length} {data} {end}");
        assert!(frames.ping());
    }
    let whole = origin.requests().iter().filter(|request| !request.body.is_empty()).count();
    assert_eq!(whole, 0);
}

#[test]
fn content_that_the_client_takes_back_is_not_whole_for_the_origin() {
    let (done, wait) = std::sync::mpsc::channel();
    let done = Mutex::new(done);
    let origin = Origin::at_heads(move |_, conn| {
        done.lock().unwrap().send(conn.read_body()).unwrap();
    });
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        let asked = request("POST", "/").body(()).unwrap();
        let (_response, mut stream) = client.send_request(asked, false).unwrap();
        send(&mut stream, Bytes::from_static(b"some"), false).await;
        while origin.count() == 0 {
            tokio::task::yield_now().await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        // Driven on until it has seen that.
        let read = loop {
            match wait.try_recv() {
                Ok(read) => break read,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(read, None);
    });
}
