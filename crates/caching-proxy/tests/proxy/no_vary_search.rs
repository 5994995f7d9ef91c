//! Responses that answer for other URLs than their own, across a restart.

use testkit::{Origin, Response};

use crate::{Proxy, cache, cache_status, ok};

/// Asks for a host that a restart does not change.
fn get(proxy: &Proxy, path: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.response()
}

#[test]
fn what_is_from_before_a_restart_answers_only_for_its_own_url() {
    let origin = Origin::start(|request, conn| {
        let fields = "Cache-Control: max-age=600\r\nNo-Vary-Search: params=(\"utm\")\r\n";
        conn.send(ok(fields, &request.target));
    });
    let mut proxy = Proxy::before(&origin);
    assert_eq!(cache(&get(&proxy, "/p?utm=a")), "MISS");
    assert_eq!(get(&proxy, "/p?utm=b").text(), "/p?utm=a");
    proxy.terminate();
    proxy.start();
    let forgotten = get(&proxy, "/p?x&utm=b");
    assert_eq!(cache(&forgotten), "MISS");
    let exact = get(&proxy, "/p?utm=a");
    assert_eq!((cache(&exact), exact.text()), ("HIT", "/p?utm=a".to_owned()));
    // Nobody knows what was invalidated with it before.
    let other = get(&proxy, "/p?utm=c");
    assert_eq!((cache(&other), other.text()), ("MISS", "/p?utm=c".to_owned()));
    let another = get(&proxy, "/p?utm=d");
    assert_eq!((cache(&another), another.text()), ("HIT", "/p?utm=c".to_owned()));
    let status = cache_status(&another);
    assert!(status.ends_with("; detail=no-vary-search"), "{status}");
    assert_eq!(origin.count(), 3);
}

#[test]
fn all_workers_know_what_one_has_learnt() {
    let origin = Origin::start(|request, conn| {
        let fields = "Cache-Control: max-age=600\r\nNo-Vary-Search: except=()\r\n";
        conn.send(ok(fields, &request.target));
    });
    let proxy = Proxy::with(&origin, &["--workers", "4", "--no-disk"]);
    assert_eq!(cache(&get(&proxy, "/p?0")), "MISS");
    for number in 1..20 {
        assert_eq!(get(&proxy, &format!("/p?{number}")).text(), "/p?0");
    }
    assert_eq!(origin.count(), 1);
}
