//! Which fields of a request select a stored response, and which ones cannot.

use testkit::Origin;

use crate::caching::expect;
use crate::{Proxy, cache, cache_status, ok};

#[test]
fn each_variant_is_stored_for_itself() {
    let origin = Origin::start(|request, conn| {
        let language = request.field("Accept-Language").unwrap_or("none").to_owned();
        conn.send(ok("Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", &language));
    });
    let proxy = Proxy::before(&origin);
    for (language, cache) in [("de", "MISS"), ("fr", "MISS"), ("de", "HIT"), ("fr", "HIT")] {
        expect(&proxy.request("GET", "/", &[("Accept-Language", language)]), cache, language);
    }
    expect(&proxy.get("/"), "MISS", "none");
    let other = proxy.request("GET", "/", &[("Accept-Language", "it")]);
    assert!(cache_status(&other).contains("fwd=vary-miss"), "{}", cache_status(&other));
    assert_eq!(origin.count(), 4);
}

#[test]
fn variants_by_what_the_proxy_writes_for_each_client_are_never_stored() {
    for name in ["X-Forwarded-For", "Forwarded", "X-Request-Id"] {
        let origin = Origin::start(move |request, conn| {
            let fields = format!("Cache-Control: max-age=60\r\nVary: {name}\r\n");
            conn.send(ok(&fields, request.field(name).unwrap()));
        });
        let proxy = Proxy::with(&origin, &["--forwarded", "both"]);
        for _ in 0..2 {
            let answer = proxy.get("/");
            assert_eq!(cache(&answer), "MISS", "{name}");
            assert!(cache_status(&answer).ends_with("detail=vary-per-request"));
        }
    }
}

#[test]
fn what_a_client_claims_and_the_origin_never_sees_selects_nothing() {
    for name in ["X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Keep-Alive"] {
        let origin = Origin::start(move |request, conn| {
            let fields = format!("Cache-Control: max-age=60\r\nVary: {name}\r\n");
            conn.send(ok(&fields, request.field(name).unwrap_or("none")));
        });
        let proxy = Proxy::before(&origin);
        let mut client = proxy.client();
        let first = client.request("GET", "/", &[(name, "mine")]);
        assert_eq!(cache(&first), "MISS");
        assert_ne!(first.text(), "mine", "{name}");
        for claim in ["mine", "another"] {
            let again = client.request("GET", "/", &[(name, claim)]);
            assert_eq!((cache(&again), again.text()), ("HIT", first.text()), "{name}");
        }
    }
}

#[test]
fn a_field_removed_by_connection_does_not_poison_its_variant() {
    let origin = Origin::start(|request, conn| {
        let tenant = request.field("X-Tenant").unwrap_or("nobody").to_owned();
        conn.send(ok("Cache-Control: max-age=60\r\nVary: X-Tenant\r\n", &tenant));
    });
    let proxy = Proxy::before(&origin);
    let fields = [("X-Tenant", "alice"), ("Connection", "X-Tenant")];
    expect(&proxy.request("GET", "/", &fields), "MISS", "nobody");
    expect(&proxy.request("GET", "/", &[("X-Tenant", "alice")]), "MISS", "alice");
    expect(&proxy.get("/"), "HIT", "nobody");
}
