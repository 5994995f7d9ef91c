//! An origin that is asked by HTTP/2.

use std::sync::atomic::{AtomicUsize, Ordering};

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use proxy::Protocol;

use super::*;

/// What the origin saw of a request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: http::request::Parts,
    pub(crate) connection: usize,
}

/// An origin that speaks HTTP/2 alone, in a thread of its own.
pub(crate) struct Modern {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    stop: Arc<tokio::sync::Notify>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// A request and the way to answer it.
pub(crate) type Asked = (http::Request<RecvStream>, SendResponse<Bytes>);

impl Modern {
    /// Each request is handled by a task of its own; the numbers are those of the connection and of
    /// the request on it.
    pub(crate) fn start<F>(
        handle: impl Fn(Asked, usize, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::taking(u32::MAX, handle)
    }

    /// The same, with so many requests at once on a connection.
    pub(crate) fn taking<F>(
        streams: u32,
        handle: impl Fn(Asked, usize, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, connections) = (Arc::default(), Arc::<AtomicUsize>::default());
        let stop = Arc::new(tokio::sync::Notify::new());
        let (log, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let stopped = Arc::clone(&stop);
        let accept = async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let handle = Arc::new(handle);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::Relaxed);
                let (log, handle) = (Arc::clone(&log), Arc::clone(&handle));
                tokio::spawn(serve(stream, streams, number, log, handle));
            }
        };
        let run = async move {
            tokio::select! {
                () = accept => {}
                () = stopped.notified() => {}
            }
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(run);
        });
        Self { port, seen, connections, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> OriginUrl {
        let url = format!("http://127.0.0.1:{}/base", self.port);
        OriginUrl::parse(&url).unwrap().by(Protocol::Http2)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Modern {
    fn drop(&mut self) {
        self.stop.notify_one();
        let _ = self.thread.take().unwrap().join();
    }
}

async fn serve<F>(
    stream: tokio::net::TcpStream,
    streams: u32,
    number: usize,
    seen: Arc<Mutex<Vec<Seen>>>,
    handle: Arc<impl Fn(Asked, usize, usize) -> F + Send + Sync + 'static>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    let handshake = builder.max_concurrent_streams(streams).handshake(stream);
    let mut connection = handshake.await.unwrap();
    let mut count = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        let goes = head.headers.contains_key("x-go-away");
        let hangs = number == 0 && head.headers.contains_key("x-hang");
        seen.lock().unwrap().push(Seen { head: head.clone(), connection: number });
        tokio::spawn(handle((http::Request::from_parts(head, body), respond), number, count));
        count += 1;
        if goes {
            connection.graceful_shutdown();
        }
        if hangs {
            // As if the machine did: the connection is there, and nobody reads.
            std::future::pending::<()>().await;
        }
    }
}

fn head(fields: &[(&str, &str)]) -> http::Response<()> {
    let mut response = http::Response::builder().status(200);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

/// A response that may be stored: the path that was asked for.
pub(crate) async fn echo_path((request, mut respond): Asked, _: usize, _: usize) {
    let mut send = respond.send_response(head(&[("cache-control", "max-age=60")]), false).unwrap();
    let path = request.uri().path().to_owned();
    send.send_data(path.into(), true).unwrap();
}

#[test]
fn a_response_is_fetched_by_http2_and_stored() {
    let origin = Modern::start(echo_path);
    let site = Site::at(origin.url(), |_| {});
    let mut old = testkit::Client::connect(site.address());
    for cache in ["MISS", "HIT"] {
        let got = old.get("/a?b=c");
        assert_eq!((got.field("X-Cache"), got.text().as_str()), (Some(cache), "/base/a"));
        assert_eq!(got.field("Via"), Some("2.0 caching-proxy"));
    }
    let seen = &origin.seen()[0].head;
    assert_eq!(seen.uri.to_string(), format!("http://127.0.0.1:{}/base/a?b=c", origin.port));
    assert_eq!(seen.headers["via"], "1.1 caching-proxy");
    assert_eq!(seen.headers["x-forwarded-proto"], "http");
    assert!(seen.headers.get("host").is_none() && seen.headers.get("te").is_none());
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn many_requests_at_once_share_a_connection() {
    let origin = Modern::start(echo_path);
    let site = Site::at(origin.url(), |_| {});
    speak(async {
        let mut client = client(&site).await;
        let mut under_way = Vec::new();
        for number in 0..100 {
            let path = format!("/{number}");
            client = client.ready().await.unwrap();
            let asked = request("GET", &path).body(()).unwrap();
            under_way.push((path, client.send_request(asked, true).unwrap().0));
        }
        for (path, response) in under_way {
            let got = read(response.await.unwrap()).await.unwrap();
            assert_eq!(got.text(), format!("/base{path}"));
        }
    });
    assert_eq!((origin.seen().len(), origin.connections.load(Ordering::Relaxed)), (100, 1));
}

/// Sends back each message of the request as it comes, and the status in trailers.
async fn grpc((mut request, mut respond): Asked, _: usize, _: usize) {
    let fields = [("content-type", "application/grpc")];
    let mut send = respond.send_response(head(&fields), false).unwrap();
    while let Some(data) = request.body_mut().data().await {
        let data = data.unwrap();
        request.body_mut().flow_control().release_capacity(data.len()).unwrap();
        send.send_data(data, false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    if let Some(more) = request.body_mut().trailers().await.unwrap() {
        trailers.extend(more);
    }
    send.send_trailers(trailers).unwrap();
}

#[test]
fn grpc_passes_through_both_ways_message_by_message() {
    let origin = Modern::start(grpc);
    let site = Site::at(origin.url(), |_| {});
    speak(async {
        let mut client = client(&site).await;
        let asked = request("POST", "/pkg.Service/Method").header("te", "trailers");
        let asked = asked.header("content-type", "application/grpc");
        let asked = asked.header("grpc-timeout", "5S").body(()).unwrap();
        let (response, mut send) = client.send_request(asked, false).unwrap();
        let mut response = response.await.unwrap();
        for number in 0..20 {
            let message = Bytes::from(format!("\0\0\0\0\x05msg{number:02}"));
            send.send_data(message.clone(), false).unwrap();
            let mut got = Vec::new();
            // What was sent comes back before anything else is sent.
            while got.len() < message.len() {
                let data = response.body_mut().data().await.unwrap().unwrap();
                response.body_mut().flow_control().release_capacity(data.len()).unwrap();
                got.extend_from_slice(&data);
            }
            assert_eq!(got, message);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-client", "done".parse().unwrap());
        send.send_trailers(trailers).unwrap();
        assert!(response.body_mut().data().await.is_none());
        let trailers = response.body_mut().trailers().await.unwrap().unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-client"]),
            (&"0".parse::<http::HeaderValue>().unwrap(), &"done".parse().unwrap())
        );
    });
    let seen = &origin.seen()[0].head.headers;
    assert_eq!(
        (&seen["te"], &seen["grpc-timeout"]),
        (&"trailers".parse::<http::HeaderValue>().unwrap(), &"5S".parse().unwrap())
    );
}

#[test]
fn large_content_goes_both_ways_and_is_held_up_by_nobody() {
    let origin = Modern::start(grpc);
    let site = Site::at(origin.url(), |_| {});
    let body = Bytes::from(vec![b'x'; 3 << 20]);
    speak(async {
        let mut client = client(&site).await;
        let asked = request("POST", "/").body(()).unwrap();
        let (response, mut send) = client.send_request(asked, false).unwrap();
        let upload = async {
            let mut left = body.clone();
            while !left.is_empty() {
                send.reserve_capacity(left.len());
                let capacity = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
                let piece = left.split_to(capacity.unwrap().unwrap().min(left.len()));
                send.send_data(piece, left.is_empty()).unwrap();
            }
        };
        let download = async { read(response.await.unwrap()).await.unwrap() };
        let ((), got) = tokio::join!(upload, download);
        assert!(got.body == body);
    });
}

#[test]
fn informational_responses_and_trailers_come_through() {
    let origin = Modern::start(|(_, mut respond): Asked, _, _| async move {
        let early = http::Response::builder().status(103).header("link", "</a>").body(()).unwrap();
        respond.send_informational(early).unwrap();
        let mut send =
            respond.send_response(head(&[("cache-control", "max-age=60")]), false).unwrap();
        send.send_data("body".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "4".parse().unwrap());
        trailers.insert("set-cookie", "a=b".parse().unwrap());
        trailers.insert("content-type", "a/b".parse().unwrap());
        send.send_trailers(trailers).unwrap();
    });
    let site = Site::at(origin.url(), |_| {});
    let mut old = testkit::Client::connect(site.address());
    let first = old.get("/");
    assert_eq!(first.informational[0].0, 103);
    for got in [first, old.get("/")] {
        assert_eq!(got.text(), "body");
        assert_eq!(got.trailers, [("x-sum".to_owned(), "4".to_owned())]);
    }
}

#[test]
fn a_request_that_was_refused_is_sent_once_more() {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    let origin = Modern::start(move |(request, mut respond): Asked, a, b| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        async move {
            if number == 0 || request.uri().path() == "/base/never" {
                respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                echo_path((request, respond), a, b).await;
            }
        }
    });
    let site = Site::at(origin.url(), |_| {});
    let mut old = testkit::Client::connect(site.address());
    assert_eq!(old.get("/a").text(), "/base/a");
    assert_eq!(count.load(Ordering::Relaxed), 2);
    assert_eq!(old.get("/never").status, 502);
    assert_eq!(count.load(Ordering::Relaxed), 5);
    // With content, or a method that may not be repeated, it is not.
    assert_eq!(old.request("POST", "/never", &[("Content-Length", "0")]).status, 502);
    assert_eq!(count.load(Ordering::Relaxed), 6);
}

#[test]
fn a_connection_that_the_origin_ends_is_followed_by_another() {
    let origin = Modern::start(echo_path);
    let site = Site::at(origin.url(), |_| {});
    let mut old = testkit::Client::connect(site.address());
    assert_eq!(old.request("GET", "/a", &[("x-go-away", "1")]).text(), "/base/a");
    for number in 0..5 {
        assert_eq!(old.get(&format!("/{number}")).text(), format!("/base/{number}"));
    }
    let connections: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!((connections[0], connections[5]), (0, 1), "{connections:?}");
}

#[test]
fn content_that_breaks_is_not_stored_and_seen_by_the_client() {
    let origin = Modern::start(|(_, mut respond): Asked, _, _| async move {
        let fields = [("cache-control", "max-age=60"), ("content-length", "100")];
        let mut send = respond.send_response(head(&fields), false).unwrap();
        send.send_data("only this".into(), false).unwrap();
        tokio::task::yield_now().await;
        send.send_reset(Reason::INTERNAL_ERROR);
    });
    let site = Site::at(origin.url(), |_| {});
    for _ in 0..2 {
        let mut old = testkit::Client::connect(site.address());
        old.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        // Cut in its content, or before that a 502.
        assert!(!old.try_response().is_ok_and(|got| got.complete && got.status == 200));
    }
    assert_eq!(origin.seen().len(), 2);
    assert_eq!(site.running.handle().counts().hits, 0);
}

#[test]
fn an_origin_that_speaks_only_http1_is_a_502() {
    let old = Origin::answering(ok("x"));
    let url = OriginUrl::parse(&old.url()).unwrap().by(Protocol::Http2);
    let site = Site::at(url, |limits| limits.first_byte_timeout = Duration::from_secs(2));
    let mut client = testkit::Client::connect(site.address());
    let got = client.get("/");
    assert!(matches!(got.status, 502 | 504), "{got:?}");
    // It took the preface for a malformed request, which is what the test is about.
    std::mem::forget(old);
}

#[test]
fn a_client_that_leaves_has_its_request_taken_back() {
    let (left, leaves) = std::sync::mpsc::channel();
    let left = Arc::new(Mutex::new(left));
    let origin = Modern::start(move |(_request, mut respond): Asked, _, _| {
        let left = Arc::clone(&left);
        async move {
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            left.lock().unwrap().send(reason.unwrap()).unwrap();
        }
    });
    let site = Site::at(origin.url(), |_| {});
    let mut old = testkit::Client::connect(site.address());
    old.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert!(testkit::eventually(|| origin.seen().len() == 1));
    old.reset();
    assert_eq!(leaves.recv_timeout(testkit::PATIENCE).unwrap(), Reason::CANCEL);
}

/// The end of a call of gRPC that fails: "Trailers-Only", a head that is the end of its stream.
#[test]
fn a_response_that_ends_with_its_head_does_so_for_the_client() {
    let origin = Modern::start(|(_, mut respond): Asked, _, _| async move {
        let fields = [("content-type", "application/grpc"), ("grpc-status", "5")];
        respond.send_response(head(&fields), true).unwrap();
    });
    let empty = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let old = OriginUrl::parse(&empty.url()).unwrap();
    for url in [origin.url(), old] {
        let site = Site::at(url, |_| {});
        let mut frames = site.frames();
        let post = [&[(":method", "POST")], &GET[1..]].concat();
        frames.send(&Frame::headers(1, true, &post));
        assert!(frames.next_of(kind::HEADERS).unwrap().flags & flag::END_STREAM != 0);
    }
}
