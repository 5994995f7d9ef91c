//! How many connections there may be, and how much content, by HTTP/2.

use super::origin::Modern;
use super::*;

/// One connection at once.
fn narrow(limits: &mut Limits) {
    limits.connections.listener = 1;
    limits.connections.spared_idle = Duration::from_millis(100);
}

#[test]
fn a_connection_that_is_one_too_many_has_its_request_answered_and_goes() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |_, conn| {
        let _ = wait.lock().unwrap().recv();
        conn.send(ok("x"));
    });
    let site = Site::with(&origin, narrow);
    // Whoever waits for a response is not idle.
    let mut busy = site.frames();
    busy.send(&Frame::headers(1, true, &GET));
    assert!(testkit::eventually(|| origin.count() == 1));
    speak(async {
        let mut client = client(&site).await;
        let answer = get(&mut client, "/").await;
        assert_eq!(answer.status, 503);
        let after: u64 = answer.field("retry-after").parse().unwrap();
        assert!((1..=5).contains(&after), "{after}");
        assert!(answer.field("proxy-status").ends_with("details=\"connections-full\""));
        // It is told to go.
        let gone = std::future::poll_fn(|cx| client.poll_ready(cx));
        assert!(
            gone.await.is_err()
                || client.send_request(request("GET", "/").body(()).unwrap(), true).is_err()
        );
    });
    go.send(()).unwrap();
    assert!(busy.next_of(kind::DATA).is_some());
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_idle_connection_makes_way_and_is_told_to_go() {
    let origin = Origin::answering(ok("x"));
    let site = Site::with(&origin, narrow);
    let mut idle = site.frames();
    assert!(idle.ping());
    std::thread::sleep(Duration::from_millis(200));
    let mut next = site.frames();
    next.send(&Frame::headers(1, true, &GET));
    assert!(next.next_of(kind::DATA).is_some());
    assert_eq!(idle.goaway(), Some(0));
    assert_eq!(site.running.handle().connections_of_listeners()[0].1.made_way, 1);
}

#[test]
fn where_it_is_crowded_a_new_connection_may_have_fewer_streams() {
    let origin = Origin::answering(ok("x"));
    for (listener, streams) in [(5, 100), (1, 20)] {
        let site = Site::with(&origin, |limits| limits.connections.listener = listener);
        let mut frames = site.frames();
        let settings = frames.next_of(kind::SETTINGS).unwrap().payload;
        // SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 §6.5.2).
        let told = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).unwrap();
        assert_eq!(told[2..], [0, 0, 0, streams]);
    }
}

#[test]
fn a_request_has_as_much_content_as_it_may_and_not_one_byte_more() {
    let origin = Origin::at_heads(|_, conn| {
        if conn.read_body().is_some() {
            conn.send(ok("x"));
        }
    });
    let site = Site::with(&origin, |limits| limits.request_content = Some(100));
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    let ask = |length: usize, announced: bool| {
        let mut frames = site.frames();
        let text = length.to_string();
        let mut fields = post.clone();
        fields.extend(announced.then_some(("content-length", &*text)));
        frames.send(&Frame::headers(1, false, &fields));
        // It does not end by itself: only a limit ends it.
        let flags = if length > 100 { 0 } else { flag::END_STREAM };
        frames.send(&Frame::new(kind::DATA, flags, 1).with(vec![b'x'; length]));
        let of = |frame: &Frame| frame.stream == 1 && frame.kind == kind::HEADERS;
        assert!(frames.until(of).is_some());
        let end = |frame: &Frame| frame.stream == 1 && frame.flags & flag::END_STREAM != 0;
        assert!(frames.until(end).is_some());
    };
    for announced in [true, false] {
        ask(100, announced);
        ask(101, announced);
    }
    let served = ["200 method-unsafe", "413 content-too-large"];
    let streamed = ["200 method-unsafe", "413 client-content-too-large"];
    assert!(testkit::eventually(|| site.served().len() == 4));
    assert_eq!(site.served(), [served, streamed].concat());
    // What was announced never reached the origin; the other one may have, and was broken off there.
    let seen = origin.requests();
    assert_eq!(seen.iter().filter(|request| request.body.len() == 100).count(), 2);
    assert!(seen.iter().all(|request| request.field("Content-Length") != Some("101")));
    assert!(seen.iter().all(|request| request.body.len() <= 100));
}

#[test]
fn a_response_has_as_much_content_as_it_may_and_not_one_byte_more() {
    let origin = Modern::start(|(request, mut respond), _, _| async move {
        let target = request.uri().path().trim_start_matches("/base/");
        let (length, kind) = target.split_once('/').unwrap();
        let body = vec![b'x'; length.parse().unwrap()];
        let mut head = http::Response::builder().header("cache-control", "max-age=60");
        if kind == "announced" {
            head = head.header("content-length", length);
        }
        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
        stream.send_data(body.into(), true).unwrap();
    });
    let site = Site::at(origin.url(), |limits| limits.response_content = Some(1000));
    speak(async {
        let mut client = client(&site).await;
        for kind in ["announced", "not"] {
            for cache in ["MISS", "HIT"] {
                let whole = get(&mut client, &format!("/1000/{kind}")).await;
                assert_eq!((whole.status, whole.field("x-cache")), (200, cache));
                assert_eq!(whole.body.len(), 1000);
            }
        }
        let refused = get(&mut client, "/1001/announced").await;
        assert_eq!(refused.status, 502);
        assert!(refused.field("proxy-status").contains("error=http_response_body_size"));
        // The other one may have come as far as its end before its head has left.
        for _ in 0..2 {
            let asked = request("GET", "/1001/not").body(()).unwrap();
            let (response, _) = client.send_request(asked, true).unwrap();
            match response.await {
                Ok(response) if response.status() == 200 => {
                    assert_ne!(response.headers()["x-cache"], "HIT");
                    assert!(read(response).await.is_err());
                }
                Ok(response) => assert_eq!(response.status(), 502),
                Err(error) => assert!(error.is_reset()),
            }
        }
    });
    assert_eq!(origin.seen().len(), 5);
}
