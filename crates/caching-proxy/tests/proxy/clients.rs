//! Who a client is: what is believed of what it says, and what the origin is told.

use testkit::{Client, Origin, Received};

use crate::{Proxy, cache, ok};

fn echo() -> Origin {
    Origin::answering(ok("Cache-Control: no-store\r\n", "x"))
}

/// The proxy writes this to its log, if not at once.
fn told(proxy: &Proxy, text: &str) -> bool {
    testkit::eventually(|| proxy.binary.as_ref().unwrap().stderr().contains(text))
}

/// The last request that the origin got.
fn seen(origin: &Origin) -> Received {
    origin.requests().pop().unwrap()
}

const SAID: [(&str, &str); 3] = [
    ("X-Forwarded-For", "1.1.1.1, 192.0.2.7"),
    ("X-Forwarded-Proto", "https"),
    ("Forwarded", "for=192.0.2.9;proto=https"),
];

#[test]
fn a_proxy_in_front_is_believed_only_if_it_is_trusted() {
    for (args, way, scheme) in [
        (&[][..], "127.0.0.1", "http"),
        (&["--trusted-proxy", "10.0.0.0/8"], "127.0.0.1", "http"),
        (&["--trusted-proxy", "127.0.0.0/8"], "192.0.2.7, 127.0.0.1", "https"),
        (
            &["--trusted-proxy", "127.0.0.1", "--trusted-field", "forwarded"],
            "192.0.2.9, 127.0.0.1",
            "https",
        ),
    ] {
        let origin = echo();
        let proxy = Proxy::with(&origin, args);
        proxy.request("GET", "/", &SAID);
        let seen = seen(&origin);
        assert_eq!(seen.all("X-Forwarded-For"), [way], "{args:?}");
        assert_eq!(seen.all("X-Forwarded-Proto"), [scheme], "{args:?}");
        assert_eq!(seen.field("Forwarded"), None, "{args:?}");
    }
}

#[test]
fn it_is_the_same_by_http2() {
    for (args, way, scheme) in [
        (&[][..], "127.0.0.1", "http"),
        (&["--trusted-proxy", "127.0.0.1"], "192.0.2.7, 127.0.0.1", "https"),
    ] {
        let origin = echo();
        let proxy = Proxy::with(&origin, args);
        let fields = SAID.map(|(name, value)| format!("{name}: {value}"));
        let mut asked = vec!["-s", "--http2-prior-knowledge"];
        for field in &fields {
            asked.extend(["-H", field]);
        }
        let url = format!("http://127.0.0.1:{}/", proxy.address().1);
        asked.push(&url);
        let Some(_) = crate::http2::run("curl", &asked) else { return };
        let seen = seen(&origin);
        assert_eq!(seen.all("X-Forwarded-For"), [way], "{args:?}");
        assert_eq!(seen.all("X-Forwarded-Proto"), [scheme], "{args:?}");
    }
}

#[test]
fn the_origin_is_told_what_was_asked_for() {
    let forwarded = "for=127.0.0.1;host=\"a.example\";proto=http";
    for (what, fields, element) in [
        ("x-forwarded", true, None),
        ("forwarded", false, Some(forwarded)),
        ("both", true, Some(forwarded)),
        ("off", false, None),
    ] {
        let origin = echo();
        let proxy = Proxy::with(&origin, &["--forwarded", what]);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
        assert_eq!(client.response().status, 200);
        let seen = seen(&origin);
        for (name, value) in [
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Host", "a.example"),
            ("X-Forwarded-Proto", "http"),
        ] {
            assert_eq!(seen.field(name), fields.then_some(value), "{what}: {name}");
        }
        assert_eq!(seen.field("Forwarded"), element, "{what}");
    }
}

#[test]
fn what_came_by_https_to_a_trusted_proxy_is_stored_apart() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\n", "x"));
    let proxy = Proxy::with(&origin, &["--trusted-proxy", "127.0.0.1"]);
    for (scheme, expected) in
        [("http", "MISS"), ("https", "MISS"), ("http", "HIT"), ("https", "HIT")]
    {
        let answer = proxy.request("GET", "/", &[("X-Forwarded-Proto", scheme)]);
        assert_eq!(cache(&answer), expected, "{scheme}");
    }
    // Who is not trusted has no say in it.
    let proxy = Proxy::before(&origin);
    for (scheme, expected) in [("http", "MISS"), ("https", "HIT")] {
        let answer = proxy.request("GET", "/", &[("X-Forwarded-Proto", scheme)]);
        assert_eq!(cache(&answer), expected, "{scheme}");
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends a header in pieces of this size, and a request behind it.
fn introduced(proxy: &Proxy, header: &[u8], size: usize) -> Client {
    let mut client = proxy.client();
    header.chunks(size).all(|part| client.send(part));
    client.send(GET);
    client
}

#[test]
fn a_load_balancer_tells_who_connected() {
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend([192, 0, 2, 8, 127, 0, 0, 1, 1, 2, 3, 4]);
    let origin = echo();
    let proxy = Proxy::with(&origin, &["--proxy-protocol"]);
    for (header, client) in [
        (&b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n"[..], "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (&binary, "192.0.2.8"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "127.0.0.1"),
    ] {
        for size in [1, 5, 1_000] {
            let mut connection = introduced(&proxy, header, size);
            assert_eq!(connection.response().status, 200);
            assert_eq!(seen(&origin).all("X-Forwarded-For"), [client]);
            // It is said once.
            connection.send(GET);
            assert_eq!(connection.response().status, 200);
            assert_eq!(seen(&origin).all("X-Forwarded-For"), [client]);
        }
    }
}

#[test]
fn a_load_balancer_is_not_believed_what_it_passes_on_for_somebody_it_does_not_know() {
    let origin = echo();
    let args = ["--proxy-protocol", "--trusted-proxy", "127.0.0.0/8"];
    let proxy = Proxy::with(&origin, &args);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let unspecified = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";
    for (header, way) in [
        // Itself, and another proxy behind it.
        (&local[..], "192.0.2.7, 127.0.0.1"),
        (b"PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n", "192.0.2.7, 127.0.0.9"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (unspecified, "127.0.0.1"),
        (b"PROXY TCP4 192.0.2.8 127.0.0.1 1 2\r\n", "192.0.2.8"),
    ] {
        let mut client = Client::connect(proxy.address());
        client.send(header);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
        assert_eq!(client.response().status, 200);
        assert_eq!(seen(&origin).all("X-Forwarded-For"), [way], "{header:?}");
    }
}

#[test]
fn who_does_not_introduce_itself_is_not_heard() {
    let origin = echo();
    let proxy = Proxy::with(&origin, &["--proxy-protocol"]);
    for header in [
        &b""[..],
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 host.example 127.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
    ] {
        assert!(introduced(&proxy, header, 1_000).at_eof(), "{header:?}");
    }
    let stranger = Proxy::with(&origin, &["--proxy-protocol", "--trusted-proxy", "192.0.2.1"]);
    assert!(introduced(&stranger, b"PROXY UNKNOWN\r\n", 1_000).at_eof());
    assert!(told(&stranger, "may not say who it speaks for"));
    assert_eq!(origin.count(), 0);
    // Who only looks whether somebody is there is no trouble.
    let mut quiet = Proxy::with(&origin, &["--proxy-protocol"]);
    quiet.client().finish();
    assert_eq!(introduced(&quiet, b"PROXY UNKNOWN\r\n", 1_000).response().status, 200);
    assert!(!quiet.binary().stderr().contains("proxy-protocol"));
}

#[test]
fn logs_name_the_client_and_not_the_proxy_in_front() {
    let origin = echo();
    let args = ["--trusted-proxy", "127.0.0.1", "--log", "requests"];
    let proxy = Proxy::with(&origin, &args);
    proxy.request("GET", "/", &SAID);
    assert!(told(&proxy, "\"client\":\"192.0.2.7\""));
}
