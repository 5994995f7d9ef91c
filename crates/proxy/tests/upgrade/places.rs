//! How many tunnels there may be, and what they leave to others.

use super::*;

#[test]
fn tunnels_take_none_of_the_places_for_requests() {
    let origin = switching(|conn| drop(conn.rest()));
    let site = Site::with(&origin, |limits| limits.origin_connections = 1);
    let clients: Vec<_> = (0..5).map(|_| site.switched()).collect();
    assert_eq!(site.running.handle().open_tunnels(), 5);
    assert_eq!(site.client().get("/").text(), "x");
    drop(clients);
    assert!(eventually(|| site.running.handle().open_tunnels() == 0));
}

#[test]
fn one_too_many_is_told_so_before_the_origin_is_asked() {
    let origin = switching(|conn| drop(conn.rest()));
    let site = Site::with(&origin, |limits| limits.tunnels = 2);
    let clients = [site.switched(), site.switched()];
    let mut third = site.client();
    third.send([ASK, NEXT].concat());
    let refused = third.response();
    let after: u64 = refused.field("Retry-After").unwrap().parse().unwrap();
    assert!(refused.status == 503 && (1..=5).contains(&after), "{refused:?}");
    let told = "caching-proxy; error=connection_limit_reached; details=\"tunnels-in-use\"";
    assert_eq!(refused.field("Proxy-Status"), Some(told));
    assert_eq!(third.response().text(), "x");
    assert_eq!(origin.count(), 3);
    drop(clients);
    assert!(eventually(|| site.running.handle().open_tunnels() == 0));
    site.switched();
}

#[test]
fn a_place_is_free_again_when_the_origin_declines() {
    let origin = Origin::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let site = Site::with(&origin, |limits| limits.tunnels = 1);
    for _ in 0..3 {
        let mut client = site.client();
        client.send(ASK);
        assert_eq!(client.response().status, 403);
    }
}

#[test]
fn a_client_that_has_ended_its_side_before_the_answer_leaves_its_place_to_others() {
    //= https://www.rfc-editor.org/rfc/rfc9112#section-9.6
    //= type=test
    //# Note that a TCP connection that is half-closed by the client does not delimit a request
    //# message, nor does it imply that the client is no longer interested in a response.
    let (go, wait) = channel();
    let (go, wait) = (go.into_inner().unwrap(), Mutex::new(wait));
    let origin = Origin::start(move |request, conn| {
        if request.target == "/slow" {
            conn.send(next(&wait.lock().unwrap()));
            return;
        }
        conn.send(SWITCH);
        drop(conn.rest());
        conn.close();
    });
    let site = Site::with(&origin, |limits| limits.tunnels = 1);
    let slow = ASK.replace("/chat?room=1", "/slow");
    let asked = |ahead: &str| {
        let before = origin.count();
        let mut client = site.client();
        client.send([&*slow, ahead].concat());
        assert!(eventually(|| origin.count() == before + 1));
        client
    };
    let gets_in = || {
        let mut client = site.client();
        client.send(ASK);
        (client.head_to("GET").unwrap().status == 101).then_some(client)
    };
    for ahead in ["", NEXT] {
        let mut client = asked(ahead);
        assert!(gets_in().is_none(), "as long as it may go on there is no other place");
        client.finish();
        let mut other = None;
        assert!(eventually(|| {
            other = gets_in();
            other.is_some()
        }));
        // It gets its answer all the same, unless that needs a place.
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny";
        go.send(if ahead.is_empty() { answer } else { SWITCH }).unwrap();
        let expected = if ahead.is_empty() { 200 } else { 503 };
        assert_eq!(client.response().status, expected);
        drop(other);
        assert!(eventually(|| site.running.handle().open_tunnels() == 0));
    }
    // Where there is a place again, it has one.
    let mut client = asked("");
    client.finish();
    go.send(SWITCH).unwrap();
    assert_eq!(client.head_to("GET").unwrap().status, 101);
}

#[test]
fn no_places_at_all_take_up_no_offer() {
    let origin = switching(|_| {});
    let site = Site::with(&origin, |limits| limits.tunnels = 0);
    let mut client = site.client();
    client.send(ASK);
    let answer = client.response();
    assert_eq!((answer.status, &*answer.text()), (200, "x"));
    let status = answer.field("Cache-Status").unwrap();
    assert!(status.contains("fwd=uri-miss"), "{status}");
}

#[test]
fn what_fails_before_a_tunnel_is_told_as_for_any_request() {
    let origin = Origin::start(|_, conn| conn.close());
    let site = Site::before(&origin);
    let mut client = site.client();
    client.send(ASK);
    let answer = client.response();
    assert_eq!(answer.status, 502);
    let status = answer.field("Cache-Status").unwrap();
    assert!(status.ends_with("detail=origin-closed"), "{status}");
    assert_eq!(origin.count(), 1, "nothing of it is sent twice");
}
