//! An origin that says nothing: is it still there?

use std::sync::atomic::Ordering;

use super::origin::{Asked, Modern, echo_path};
use super::*;

#[test]
fn a_connection_that_hangs_is_given_up_and_what_may_be_asked_again_is() {
    let wait = |limits: &mut Limits| {
        limits.origin_ping = Duration::from_millis(50);
        limits.origin_pong = Duration::from_millis(50);
    };
    let origin = Modern::start(echo_path);
    let site = Site::at(origin.url(), wait);
    let mut old = testkit::Client::connect(site.address());
    assert_eq!(old.request("GET", "/a", &[("x-hang", "1")]).text(), "/base/a");
    assert_eq!(old.get("/b").text(), "/base/b");
    let connections: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 1]);
    // Who knows what became of a POST?
    let origin = Modern::start(echo_path);
    let site = Site::at(origin.url(), wait);
    let mut old = testkit::Client::connect(site.address());
    let fields = [("x-hang", "1"), ("Content-Length", "0")];
    assert_eq!(old.request("POST", "/a", &fields).status, 502);
    assert_eq!(origin.seen().len(), 1);
    assert_eq!(old.get("/b").text(), "/base/b");
}

#[test]
fn an_origin_that_answers_pings_may_take_its_time() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let origin = Modern::start(move |asked: Asked, a, b| {
        let wait = Arc::clone(&wait);
        async move {
            let waited = tokio::task::spawn_blocking(move || wait.lock().unwrap().recv());
            waited.await.unwrap().unwrap();
            echo_path(asked, a, b).await;
        }
    });
    let site = Site::at(origin.url(), |limits| {
        limits.origin_ping = Duration::from_millis(20);
        limits.origin_pong = Duration::from_secs(5);
    });
    let mut old = testkit::Client::connect(site.address());
    old.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(testkit::eventually(|| origin.seen().len() == 1));
    std::thread::sleep(Duration::from_millis(200));
    go.send(()).unwrap();
    assert_eq!(old.response().text(), "/base/a");
    assert_eq!((origin.seen().len(), origin.connections.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn those_who_wait_for_a_connection_that_cannot_be_made_do_not_queue_up() {
    let Some(deaf) = testkit::Deaf::new() else { return };
    let url = OriginUrl::parse(&format!("http://{}", deaf.address())).unwrap();
    let url = url.by(proxy::Protocol::Http2);
    let limit = Duration::from_millis(500);
    let site = Site::at(url, |limits| limits.connect_timeout = limit);
    let mut clients: Vec<_> = (0..10)
        .map(|number| {
            let mut client = testkit::Client::connect(site.address());
            client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client
        })
        .collect();
    for client in &mut clients {
        let answer = client.response();
        assert_eq!(answer.status, 504);
        assert!(answer.first_byte < 4 * limit, "{:?}", answer.first_byte);
    }
}
