//! All kinds of answers.

use super::*;

#[test]
fn a_miss_and_then_a_hit_with_the_fields_of_http2() {
    let origin = Origin::answering(ok("hello").replace("Cache", "X-Case: Kept\r\nCache"));
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        for (cache, age) in [("MISS", ""), ("HIT", "0")] {
            let got = get(&mut client, "/a").await;
            assert_eq!((got.status, got.text()), (200, "hello"));
            assert_eq!((got.field("x-cache"), got.field("age")), (cache, age));
            assert_eq!((got.field("x-case"), got.field("content-length")), ("Kept", "5"));
            assert_eq!(got.field("via"), "1.1 caching-proxy");
            assert!(got.fields.get("connection").is_none());
            assert_eq!(got.field("x-request-id").len(), 16);
        }
    });
    let asked = &origin.requests()[0];
    assert_eq!(asked.field("Via"), Some("2.0 caching-proxy"));
    assert_eq!(asked.field("X-Forwarded-Host"), Some("site.example"));
    assert_eq!(site.served(), ["200 absent", "200 fresh"]);
    assert_eq!(site.running.handle().counts().hits, 1);
}

#[test]
fn an_upgrade_that_the_origin_requires_is_not_spoken_of_by_http2() {
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2
    //= type=test
    //# An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields.
    let origin = Origin::answering(
        "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Content-Length: 1\r\n\r\n?",
    );
    let site = Site::before(&origin);
    speak(async {
        let got = get(&mut client(&site).await, "/").await;
        assert_eq!((got.status, got.text()), (426, "?"));
        assert_eq!((got.field("upgrade"), got.field("connection")), ("", ""));
    });
}

#[test]
fn both_protocols_share_what_is_stored() {
    let origin = Origin::answering(ok("shared"));
    let site = Site::before(&origin);
    let (host, port) = ("127.0.0.1", site.address().port());
    let mut old = testkit::Client::connect((host, port));
    old.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    assert_eq!(old.response().field("X-Cache"), Some("MISS"));
    speak(async {
        let got = get(&mut client(&site).await, "/").await;
        assert_eq!((got.field("x-cache"), got.text()), ("HIT", "shared"));
    });
}

#[test]
fn responses_without_content_end_with_their_head() {
    let origin = Origin::start(|request, conn| {
        conn.send(match request.target.as_str() {
            "/empty" => "HTTP/1.1 204 No Content\r\nCache-Control: max-age=60\r\n\r\n".to_owned(),
            _ if request.method == "HEAD" => {
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_owned()
            }
            _ => ok("content").replace("Cache", "ETag: \"a\"\r\nCache"),
        });
    });
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        for _ in 0..2 {
            let got = get(&mut client, "/empty").await;
            assert_eq!((got.status, got.field("content-length"), got.text()), (204, "", ""));
            let got = ask(&mut client, request("HEAD", "/full")).await;
            assert_eq!((got.status, got.field("content-length"), got.text()), (200, "7", ""));
        }
        get(&mut client, "/full").await;
        let got = ask(&mut client, request("GET", "/full").header("if-none-match", "\"a\"")).await;
        assert_eq!((got.status, got.field("x-cache"), got.text()), (304, "HIT", ""));
    });
}

#[test]
fn ranges_are_cut_out_of_what_is_stored() {
    let origin = Origin::answering(ok("0123456789").replace("Cache", "ETag: \"a\"\r\nCache"));
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        get(&mut client, "/").await;
        let got = ask(&mut client, request("GET", "/").header("range", "bytes=2-4")).await;
        assert_eq!((got.status, got.text()), (206, "234"));
        assert_eq!(got.field("content-range"), "bytes 2-4/10");
        let got = ask(&mut client, request("GET", "/").header("range", "bytes=2-3,6-7")).await;
        assert!(got.text().contains("\r\n23\r\n") && got.text().contains("\r\n67\r\n"));
        let got = ask(&mut client, request("GET", "/").header("range", "bytes=20-")).await;
        assert_eq!(got.status, 416);
    });
    assert_eq!(origin.count(), 1);
}

#[test]
fn trailers_come_after_the_content_also_from_the_store() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
    );
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        for cache in ["MISS", "HIT"] {
            let got = get(&mut client, "/").await;
            assert_eq!((got.field("x-cache"), got.text()), (cache, "abc"));
            assert_eq!(got.trailers.unwrap()["x-sum"], "6");
        }
    });
}

#[test]
fn informational_responses_come_before_the_final_one() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        conn.send(ok("final"));
    });
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        let asked = request("GET", "/").body(()).unwrap();
        let (mut response, _) = client.send_request(asked, true).unwrap();
        let early = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
        let early = early.unwrap().unwrap();
        assert_eq!(
            (early.status(), &early.headers()["link"]),
            (
                103.try_into().unwrap(),
                &"</a.css>; rel=preload".parse::<http::HeaderValue>().unwrap()
            )
        );
        assert_eq!(read(response.await.unwrap()).await.unwrap().text(), "final");
    });
}

#[test]
fn a_hundred_requests_at_once_each_get_their_own_answer() {
    let origin = Origin::start(|request, conn| {
        conn.send(ok(&request.target));
    });
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        for _ in 0..2 {
            let mut under_way = Vec::new();
            for number in 0..100 {
                let path = format!("/{number}");
                client = client.ready().await.unwrap();
                let asked = request("GET", &path).body(()).unwrap();
                let (response, _) = client.send_request(asked, true).unwrap();
                under_way.push(async move { (path, read(response.await.unwrap()).await.unwrap()) });
            }
            for answer in under_way {
                let (path, got) = answer.await;
                assert_eq!(got.text(), path);
            }
        }
    });
    assert_eq!(origin.count(), 100);
    assert_eq!(site.running.handle().counts().hits, 100);
}

#[test]
fn large_bodies_pass_through_small_windows() {
    let body: String = (0..400_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let expected = body.clone();
    let origin = Origin::answering(ok(&body));
    let site = Site::before(&origin);
    speak(async {
        for window in [1_000, 65_535, 1 << 20] {
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(window).initial_connection_window_size(window);
            let mut client = client_with(&site, &mut builder).await;
            let first = get(&mut client, "/").await;
            assert!(first.body == expected.as_bytes(), "{window}");
            let again = ask(&mut client, request("GET", "/").header("range", "bytes=399990-"));
            assert_eq!(again.await.text(), &expected[399_990..]);
        }
    });
    assert_eq!(origin.count(), 1);
}

#[test]
fn content_that_breaks_is_a_reset_and_no_end() {
    let origin = Origin::start(|_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        conn.close();
    });
    let site = Site::before(&origin);
    let mut frames = site.frames();
    frames.send(&Frame::headers(1, true, &GET));
    let last = frames.until(|frame| {
        frame.kind == kind::RST_STREAM || frame.flags & flag::END_STREAM != 0 && frame.stream == 1
    });
    let last = last.unwrap();
    // INTERNAL_ERROR.
    assert_eq!((last.kind, last.number_at(0)), (kind::RST_STREAM, 2));
    assert!(frames.ping());
    assert!(site.served()[0].ends_with(" cut"), "{:?}", site.served());
}

#[test]
fn a_client_that_leaves_in_the_middle_harms_nobody_else() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |request, conn| {
        if request.target == "/other" {
            conn.send(ok("other"));
            return;
        }
        conn.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 8\r\n\r\nhalf");
        wait.lock().unwrap().recv().unwrap();
        conn.send("half");
    });
    let site = Site::before(&origin);
    speak(async {
        let (mut leaving, mut staying) = (client(&site).await, client(&site).await);
        let (first, mut send) =
            leaving.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
        let first = first.await.unwrap();
        let second = staying.send_request(request("GET", "/").body(()).unwrap(), true).unwrap().0;
        let second = second.await.unwrap();
        send.send_reset(h2::Reason::CANCEL);
        drop(first);
        // What is answered after the reset shows that it has been seen.
        assert_eq!(get(&mut leaving, "/other").await.text(), "other");
        go.send(()).unwrap();
        assert_eq!(read(second).await.unwrap().text(), "halfhalf");
        assert_eq!(get(&mut leaving, "/").await.field("x-cache"), "HIT");
    });
    assert_eq!(origin.count(), 2);
}

#[test]
fn an_origin_that_cannot_be_reached_is_a_502() {
    // A port that is taken, and where nobody listens: one that was given back may be somebody's.
    let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    taken.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = taken.local_addr().unwrap().as_socket().unwrap();
    let site = Site::at(OriginUrl::parse(&format!("http://{address}")).unwrap(), |_| {});
    speak(async {
        let got = get(&mut client(&site).await, "/").await;
        assert_eq!(got.status, 502);
        assert!(got.field("proxy-status").contains("origin-refused"), "{got:?}");
    });
}

#[test]
fn connect_is_refused_and_so_is_its_extension() {
    let origin = Origin::answering(ok(""));
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        let asked = Request::builder().method("CONNECT").uri("site.example:443").body(()).unwrap();
        let (response, _) = client.send_request(asked, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 501);
    });
    let mut frames = site.frames();
    let fields = [&[(":method", "CONNECT"), (":protocol", "websocket")], &GET[1..]].concat();
    frames.send(&Frame::headers(1, true, &fields));
    let reset = frames.next_of(kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number_at(0)), (1, 1));
    assert!(frames.ping());
}

#[test]
fn the_preface_counts_only_at_the_beginning_of_a_connection() {
    let origin = Origin::answering(ok("first"));
    let site = Site::before(&origin);
    let mut old = testkit::Client::connect(("127.0.0.1", site.address().port()));
    assert_eq!(old.get("/").status, 200);
    old.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(old.response().status, 505);
    // An upgrade is none of RFC 9113: it is ignored.
    let upgrade =
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "")];
    let mut old = testkit::Client::connect(("127.0.0.1", site.address().port()));
    assert_eq!(old.request("GET", "/", &upgrade).status, 200);
    // It may come in pieces.
    let mut frames = Frames::silent(site.address());
    for byte in testkit::frames::PREFACE {
        frames.write(&[*byte]);
    }
    frames.send(&Frame::new(kind::SETTINGS, 0, 0));
    assert!(frames.ping());
}

#[test]
fn a_trusted_proxy_in_front_may_name_the_scheme_of_its_own_connection() {
    let origin = Origin::answering(ok("x"));
    let url = OriginUrl::parse(&origin.url()).unwrap();
    let site = Site::set(url, |settings| {
        settings.clients.trust.proxies.push("127.0.0.0/8".parse().unwrap());
    });
    let mut frames = site.frames();
    let told = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")];
    for (stream, scheme, path, served) in
        [(1, "http", "/a", true), (3, "https", "/b", true), (5, "ftp", "/c", false)]
    {
        let get = [GET[0], (":scheme", scheme), GET[2], (":path", path)];
        frames.send(&Frame::headers(stream, true, &[&get[..], &told].concat()));
        let head = frames.next_of(kind::HEADERS).unwrap();
        assert_eq!((head.stream, head.payload[0] == 0x88), (stream, served), "{scheme}");
    }
    assert_eq!(origin.count(), 2);
    for request in origin.requests() {
        assert_eq!(request.field("X-Forwarded-Proto"), Some("https"));
        assert!(request.field("X-Forwarded-For").unwrap().starts_with("192.0.2.7"));
    }
}

#[test]
fn each_piece_of_a_stream_arrives_before_the_next_is_made() {
    let (go_on, pieces) = std::sync::mpsc::channel::<&str>();
    let pieces = Mutex::new(pieces);
    let origin = Origin::start(move |_, conn| {
        let fields = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}"));
        for piece in pieces.lock().unwrap().iter() {
            conn.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        }
        conn.send("0\r\n\r\n");
    });
    let site = Site::before(&origin);
    speak(async {
        let mut client = client(&site).await;
        let asked = request("GET", "/").body(()).unwrap();
        let (response, _) = client.send_request(asked, true).unwrap();
        // The head is there before any content is.
        let mut content = response.await.unwrap().into_body();
        for piece in ["data: 1\n\n", "d", "ata: 2\n\n"] {
            go_on.send(piece).unwrap();
            assert_eq!(content.data().await.unwrap().unwrap(), piece.as_bytes());
        }
        drop(go_on);
        let end = content.data().await;
        assert!(end.is_none_or(|last| last.unwrap().is_empty()));
    });
    assert_eq!(site.served(), ["200 event-stream"]);
}
