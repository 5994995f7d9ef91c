//! The handshake, and that inside TLS all is as it is outside.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::HandshakeKind::{Full, Resumed};
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;
use testkit::frames::{Frame, Frames, kind};
use testkit::{Client, Origin};

use super::{Authority, Secured, TlsProxy, launch};
use crate::{Proxy, cache, ok};

fn page() -> Origin {
    Origin::answering(ok("Cache-Control: max-age=60\r\n", "hello"))
}

#[test]
fn a_hit_comes_by_tls_with_both_versions() {
    let (origin, authority) = (page(), Authority::new());
    let proxy = TlsProxy::before(&origin.url(), &[&authority.issue("a", &["a.example"])]);
    for (version, expected) in [(&TLS12, "MISS"), (&TLS13, "HIT"), (&TLS12, "HIT")] {
        let config = Arc::new(authority.trusted_by(&[version]));
        let mut client = proxy.connect("a.example", &config);
        assert_eq!(client.session().protocol_version(), Some(version.version));
        let answer = client.get("/");
        assert_eq!((answer.status(), answer.text()), (200, "hello"));
        assert_eq!(answer.field("X-Cache"), Some(expected));
        assert_eq!(client.get("/").field("X-Cache"), Some("HIT"));
    }
}

#[test]
fn the_name_asked_for_decides_and_the_first_certificate_is_for_the_others() {
    let (origin, authority) = (page(), Authority::new());
    let first = authority.issue("first", &["first.example"]);
    let wild = authority.issue("wild", &["*.b.example"]);
    let exact = authority.issue("exact", &["a.b.example", "c.example"]);
    let proxy = TlsProxy::before(&origin.url(), &[&first, &wild, &exact]);
    let client = authority.client();
    for (name, files) in [
        ("first.example", &first),
        ("x.b.example", &wild),
        ("a.b.example", &exact),
        ("c.example", &exact),
    ] {
        assert_eq!(proxy.connect(name, &client).certificate(), files.chain()[0], "{name}");
    }
    // An address is no name to ask for.
    for name in ["nobody.example", "b.example", "y.x.b.example", "127.0.0.1"] {
        let refused = Secured::connect(proxy.port(), name, &client);
        let error = refused.err().expect("a certificate for another name").to_string();
        assert!(error.contains("first.example"), "{name}: {error}");
    }
}

#[test]
fn http_1_1_is_offered_and_nothing_else_taken_for_it() {
    let (origin, authority) = (page(), Authority::new());
    let proxy = TlsProxy::before(&origin.url(), &[&authority.issue("a", &["a.example"])]);
    let offering = |protocols: &[&str]| {
        let mut config = authority.trusted_by(rustls::ALL_VERSIONS);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Secured::connect(proxy.port(), "a.example", &Arc::new(config))
    };
    for protocols in [&["http/1.1"][..], &["h9", "http/1.1"]] {
        let mut client = offering(protocols).unwrap();
        assert_eq!(client.session().alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(client.get("/").status(), 200);
    }
    assert_eq!(offering(&[]).unwrap().get("/").status(), 200);
    let error = offering(&["h9"]).err().expect("nothing in common").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    assert!(proxy.binary.says("handshake-no-protocol"));
}

#[test]
fn http_2_is_spoken_where_it_is_negotiated_and_only_there() {
    let (origin, authority) = (page(), Authority::new());
    let proxy = TlsProxy::before(&origin.url(), &[&authority.issue("a", &["a.example"])]);
    let offering = |protocols: &[&str]| {
        let mut config = authority.trusted_by(rustls::ALL_VERSIONS);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Secured::connect(proxy.port(), "a.example", &Arc::new(config)).unwrap()
    };
    let client = offering(&["http/1.1", "h2"]);
    assert_eq!(client.session().alpn_protocol(), Some(&b"h2"[..]));
    let mut frames = Frames::over(client.0);
    frames.greet(&[]);
    let get = |scheme| {
        [(":method", "GET"), (":scheme", scheme), (":authority", "a.example"), (":path", "/")]
    };
    for stream in [1, 3] {
        frames.send(&Frame::headers(stream, true, &get("https")));
        let head = frames.next_of(kind::HEADERS).unwrap();
        // 200 in the static table.
        assert_eq!((head.stream, head.payload[0]), (stream, 0x88));
        assert_eq!(frames.next_of(kind::DATA).unwrap().payload, b"hello");
    }
    assert_eq!(origin.count(), 1);
    assert_eq!(origin.requests()[0].field("X-Forwarded-Proto"), Some("https"));
    // Of the other scheme nothing is served inside TLS: 421, a literal.
    frames.send(&Frame::headers(5, true, &get("http")));
    assert_ne!(frames.next_of(kind::HEADERS).unwrap().payload[0], 0x88);
    // Without a word of it in the handshake, the preface is no request.
    let answer = offering(&["http/1.1"]).request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(answer.status(), 505);
}

#[test]
fn a_session_goes_on_with_whatever_worker() {
    let (origin, authority) = (page(), Authority::new());
    let files = authority.issue("a", &["a.example"]);
    let proxy = TlsProxy::with(&origin.url(), &[&files], &["--workers", "4"]);
    for version in [&TLS12, &TLS13] {
        let mut config = authority.trusted_by(&[version]);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        let kinds: Vec<_> = (0..16)
            .map(|_| {
                let mut client = proxy.connect("a.example", &config);
                assert_eq!(client.get("/").status(), 200);
                client.session().handshake_kind().unwrap()
            })
            .collect();
        assert_eq!(kinds[0], Full);
        assert!(kinds[1..].iter().all(|&kind| kind == Resumed), "{version:?}: {kinds:?}");
    }
}

#[test]
fn the_scheme_is_told_to_the_origin_and_keeps_entries_apart() {
    let (origin, authority) = (page(), Authority::new());
    let files = authority.issue("a", &["a.example"]);
    let args: Vec<_> =
        ["--tls-port", "0"].into_iter().map(String::from).chain(files.args()).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let proxy = Proxy::with(&origin, &args);
    let binary = proxy.binary.as_ref().unwrap();
    let port = super::port_of(&binary.ready("tls_url").unwrap());
    let mut plain = proxy.client();
    plain.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(cache(&plain.response()), "MISS");
    let mut secure = Secured::connect(port, "a.example", &authority.client()).unwrap();
    assert_eq!(secure.get("/x").field("X-Cache"), Some("MISS"));
    assert_eq!(secure.get("/x").field("X-Cache"), Some("HIT"));
    let told: Vec<_> = origin
        .requests()
        .iter()
        .map(|request| testkit::field(&request.fields, "X-Forwarded-Proto").unwrap().to_owned())
        .collect();
    assert_eq!(told, ["http", "https"]);
}

#[test]
fn a_target_of_another_scheme_is_misdirected() {
    let (origin, authority) = (page(), Authority::new());
    let files = authority.issue("a", &["a.example"]);
    let proxy = TlsProxy::before(&origin.url(), &[&files]);
    let config = authority.client();
    let ask = |target: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: other.example\r\n\r\n");
        proxy.connect("a.example", &config).request(&head)
    };
    for (target, status) in [
        ("https://a.example/", 200),
        ("HTTPS://a.example/", 200),
        ("http://a.example/", 421),
        ("HTTP://a.example", 421),
    ] {
        assert_eq!(ask(target).status(), status, "{target}");
    }
    assert_eq!(ask("http://a.example/").field("Connection"), Some("close"));
    let plain = Proxy::before(&origin);
    for (target, status) in [("http://a.example/", 200), ("https://a.example/", 421)] {
        assert_eq!(plain.request("GET", target, &[]).status, status, "{target}");
    }
}

#[test]
fn plain_http_on_the_tls_port_is_told_so() {
    let (origin, authority) = (page(), Authority::new());
    let proxy = TlsProxy::before(&origin.url(), &[&authority.issue("a", &["a.example"])]);
    let answer = Client::connect(("127.0.0.1", proxy.port())).get("/");
    assert_eq!((answer.status, answer.field("Connection")), (400, Some("close")));
    assert!(answer.text().contains("https://"), "{}", answer.text());
    let mut noise = Client::connect(("127.0.0.1", proxy.port()));
    noise.send([0xFF, 0xFE, 0x00]);
    assert!(noise.at_eof());
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_client_that_says_nothing_does_not_hold_up_the_end() {
    let (origin, authority) = (page(), Authority::new());
    let proxy = TlsProxy::before(&origin.url(), &[&authority.issue("a", &["a.example"])]);
    let mut silent = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    // Until it has been accepted; the answer to another shows that it was.
    assert_eq!(proxy.connect("a.example", &authority.client()).get("/").status(), 200);
    let began = std::time::Instant::now();
    assert!(proxy.binary.terminate().success());
    assert!(began.elapsed() < crate::seconds(4), "{:?}", began.elapsed());
    assert!(matches!(silent.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn a_bad_pair_is_refused_at_the_start_in_one_line() {
    let authority = Authority::new();
    let good = authority.issue("good", &["a.example"]);
    let other = authority.issue("other", &["a.example"]);
    let missing = authority.directory.path().join("missing.pem");
    let empty = authority.directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    let encrypted = authority.directory.path().join("encrypted.key");
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(&encrypted, text).unwrap();
    let rows = [
        (&good.certificate, &other.key, "is not that of the certificate in"),
        (&missing, &good.key, "missing.pem: No such file"),
        (&good.certificate, &missing, "missing.pem: No such file"),
        (&empty, &good.key, "empty.pem has no certificate in PEM form"),
        (&good.certificate, &empty, "empty.pem has no private key in PEM form"),
        (&good.key, &good.key, "has no certificate in PEM form"),
        (&good.certificate, &encrypted, "is encrypted; keep it there without a passphrase"),
    ];
    for (certificate, key, why) in rows {
        let directory = TempDir::new().unwrap();
        let output = launch(&directory, "http://127.0.0.1:1")
            .arg("--tls-cert")
            .arg(certificate)
            .arg("--tls-key")
            .arg(key)
            .run();
        assert_eq!(output.code, Some(1), "{why}");
        assert!(output.stderr.contains(why), "{why}: {}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    }
}

#[test]
fn curl_is_content_where_there_is_one() {
    let (origin, authority) = (page(), Authority::new());
    let proxy = TlsProxy::before(&origin.url(), &[&authority.issue("a", &["a.example"])]);
    let name = format!("a.example:{}", proxy.port());
    let run = |roots: &std::path::Path| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "10"]);
        curl.args(["--connect-to", &format!("{name}:127.0.0.1:{}", proxy.port()), "--cacert"]);
        curl.arg(roots).arg(format!("https://{name}/")).output()
    };
    // Without curl on this machine the other tests have to do.
    let Ok(output) = run(&authority.file()) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{output:?}");
    let stranger = Authority::new();
    assert!(!run(&stranger.file()).unwrap().status.success());
}
