//! The listener that only sends clients on to HTTPS.

use testkit::{Client, Origin};

use super::{Authority, TlsProxy, port_of};
use crate::ok;

#[test]
fn every_request_is_sent_on_to_where_it_wanted_to_go_and_nowhere_else() {
    let authority = Authority::new();
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\n", "hello"));
    let files = authority.issue("a", &["a.example"]);
    let proxy = TlsProxy::with(&origin.url(), &[&files], &["--redirect-port", "0"]);
    let port = port_of(&proxy.binary.ready("redirect_url").unwrap());
    let tls = proxy.port();
    let to = |rest: &str| Some(format!("https://a.example:{tls}{rest}"));
    let rows = [
        ("GET / HTTP/1.1\r\nHost: a.example", 308, to("/")),
        ("HEAD /x HTTP/1.1\r\nHost: a.example:80", 308, to("/x")),
        ("GET /a%20b?c=//d&e=@f HTTP/1.1\r\nHost: A.EXAMPLE", 308, to("/a%20b?c=//d&e=@f")),
        ("GET //evil.example/ HTTP/1.1\r\nHost: a.example", 308, to("//evil.example/")),
        ("GET /@evil.example HTTP/1.1\r\nHost: a.example", 308, to("/@evil.example")),
        ("GET http://a.example?q HTTP/1.1\r\nHost: evil.example", 308, to("/?q")),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Host: evil.example", 308, to("/")),
        ("POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4", 308, to("/p")),
        ("GET / HTTP/1.0\r\nHost: a.example", 308, to("/")),
        ("GET / HTTP/1.0", 400, None),
        ("GET / HTTP/1.1", 400, None),
        ("GET / HTTP/1.1\r\nHost:", 400, None),
        ("GET / HTTP/1.1\r\nHost: a.example@evil.example", 400, None),
        ("GET / HTTP/1.1\r\nHost: a.example/evil.example", 400, None),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: evil.example", 400, None),
        ("GET / HTTP/1.1\r\nHost: a.example:99999", 400, None),
        ("OPTIONS * HTTP/1.1\r\nHost: a.example", 400, None),
        ("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443", 501, None),
        ("GET https://a.example/ HTTP/1.1\r\nHost: a.example", 421, None),
    ];
    for (head, status, location) in rows {
        let mut client = Client::connect(("127.0.0.1", port));
        client.send(format!("{head}\r\n\r\n"));
        let answer = client.response_to(head.split(' ').next().unwrap());
        assert_eq!(answer.status, status, "{head}");
        assert_eq!(answer.field("Location"), location.as_deref(), "{head}");
        assert_eq!(answer.field("Cache-Status"), None, "{head}");
        assert!(answer.field("Proxy-Status").is_some(), "{head}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_connection_is_sent_on_as_often_as_it_asks() {
    let authority = Authority::new();
    let origin = Origin::answering(ok("", "hello"));
    let files = authority.issue("a", &["a.example"]);
    let proxy = TlsProxy::with(&origin.url(), &[&files], &["--redirect-port", "0"]);
    let mut client =
        Client::connect(("127.0.0.1", port_of(&proxy.binary.ready("redirect_url").unwrap())));
    for path in ["/1", "/2"] {
        let answer = client.get(path);
        let location = format!("https://127.0.0.1:{}{path}", proxy.port());
        assert_eq!((answer.status, answer.field("Location")), (308, Some(location.as_str())));
    }
}
