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
