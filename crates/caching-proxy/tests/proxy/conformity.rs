//! The operator's choices among what the standard allows.

use testkit::Origin;

use crate::{Proxy, cache, ok};

/// Whether a second request for the same is answered from the store, and the response to it.
fn again(proxy: &Proxy) -> (bool, testkit::Response) {
    let first = proxy.get("/");
    assert_eq!(cache(&first), "MISS");
    let second = proxy.get("/");
    (cache(&second) == "HIT", second)
}

#[test]
fn the_profile_of_the_standard_gives_no_lifetime_unless_it_is_told_one() {
    let rows: [(&[&str], bool); 4] = [
        (&[], true),
        (&["--profile", "rfc9111"], false),
        (&["--profile", "rfc9111", "--cache-ttl", "5m"], true),
        (&["--cache-ttl", "0"], false),
    ];
    for (args, expected) in rows {
        let origin = Origin::answering(ok("", "x"));
        let mut proxy = Proxy::with(&origin, args);
        assert_eq!(again(&proxy).0, expected, "{args:?}");
        let ttl = if expected { "5m" } else { "0s" };
        let ready = format!("\"cache_ttl\":\"{ttl}\"");
        let said = proxy.binary().stderr();
        assert!(said.contains(&ready), "{args:?}: {said}");
    }
}

#[test]
fn what_becomes_of_a_cookie_is_the_operators_choice() {
    let rows: [(&[&str], bool, Option<&str>); 5] = [
        (&[], false, Some("a=b")),
        (&["--set-cookie", "refuse"], false, Some("a=b")),
        (&["--set-cookie", "strip"], true, None),
        (&["--set-cookie", "store"], true, Some("a=b")),
        (&["--profile", "rfc9111"], true, Some("a=b")),
    ];
    for (args, expected, cookie) in rows {
        let fields = "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n";
        let origin = Origin::answering(ok(fields, "x"));
        let (hit, response) = again(&Proxy::with(&origin, args));
        assert_eq!((hit, response.field("Set-Cookie")), (expected, cookie), "{args:?}");
    }
}

#[test]
fn the_list_of_targeted_fields_decides_which_one_is_obeyed() {
    let fields = "Cache-Control: no-store\r\nCDN-Cache-Control: max-age=60\r\n\
                  Surrogate-Control: no-store\r\nX-Accel-Expires: 60\r\n";
    let rows = [
        ("CDN-Cache-Control", true),
        ("", false),
        ("Surrogate-Control,CDN-Cache-Control", false),
        ("CDN-Cache-Control,Surrogate-Control", true),
        ("x-accel-expires", true),
        ("Other-Cache-Control", false),
    ];
    for (list, expected) in rows {
        let origin = Origin::answering(ok(fields, "x"));
        let (hit, response) = again(&Proxy::with(&origin, &["--targeted-fields", list]));
        assert_eq!(hit, expected, "{list}");
        assert_eq!(response.field("CDN-Cache-Control"), Some("max-age=60"), "{list}");
        let is_ours = |name| list.to_lowercase().starts_with(name);
        assert_eq!(response.field("Surrogate-Control").is_none(), is_ours("surrogate"), "{list}");
        assert_eq!(response.field("X-Accel-Expires").is_none(), is_ours("x-accel"), "{list}");
    }
}

#[test]
fn a_field_for_the_proxy_alone_stays_hidden_after_a_restart() {
    let fields = "Cache-Control: no-store\r\nSurrogate-Control: max-age=60\r\nX-Other: 1\r\n";
    let origin = Origin::answering(ok(fields, "x"));
    let mut proxy = Proxy::with(&origin, &["--targeted-fields", "Surrogate-Control"]);
    // The port is another one after the restart, and the host is part of the key.
    let get = |proxy: &Proxy| {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
        client.response()
    };
    assert_eq!(cache(&get(&proxy)), "MISS");
    proxy.terminate();
    proxy.start();
    let response = get(&proxy);
    assert_eq!((cache(&response), origin.count()), ("HIT", 1));
    assert_eq!((response.field("Surrogate-Control"), response.field("X-Other")), (None, Some("1")));
}
