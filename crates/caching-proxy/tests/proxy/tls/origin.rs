//! Origins behind TLS that are asked in another way than usual.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use testkit::frames::{PREFACE, kind};
use testkit::{Binary, Client, Launch, Origin, Output, Response};

use super::{Authority, Files, TlsProxy, provider};
use crate::ok;

/// What a handshake showed: the name that was asked for, and how many certificates came.
type Shown = (Option<String>, usize);

/// An origin behind TLS that asks for a certificate where it has authorities for it.
struct TlsOrigin {
    port: u16,
    shown: Arc<Mutex<Vec<Shown>>>,
    /// Whom the system trusts: none of those that the tests use.
    stranger: Authority,
}

impl TlsOrigin {
    fn new(files: &Files, clients: Option<&Authority>) -> Self {
        Self::offering(&[], files, clients)
    }

    /// The same, with a choice of protocols.
    fn offering(protocols: &[&str], files: &Files, clients: Option<&Authority>) -> Self {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(authority.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let mut config = builder.with_single_cert(files.chain(), key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(StreamOwned::new(session, stream), &seen));
            }
        });
        Self { port, shown, stranger: Authority::new() }
    }

    fn shown(&self) -> Vec<Shown> {
        self.shown.lock().unwrap().clone()
    }

    fn launch(&self, directory: &TempDir, args: &[&str]) -> Launch {
        Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
            .args(["--port", "0", "--origin", &format!("https://127.0.0.1:{}", self.port)])
            .arg("--cache-dir")
            .arg(directory.path().join("cache"))
            .args(args)
            .env("SSL_CERT_FILE", self.stranger.file())
    }

    /// The answer to one request through a proxy of its own, and that proxy.
    fn asked(&self, args: &[&str]) -> (Response, Binary) {
        let directory = TempDir::new().unwrap();
        let binary = self.launch(&directory, args).start();
        (Client::connect(("127.0.0.1", binary.port())).get("/"), binary)
    }

    fn refused(&self, args: &[&str]) -> Output {
        self.launch(&TempDir::new().unwrap(), args).run()
    }
}

fn serve(mut stream: StreamOwned<ServerConnection, TcpStream>, shown: &Mutex<Vec<Shown>>) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    if stream.flush().is_ok() && stream.conn.alpn_protocol() == Some(b"h2") {
        return require_http1(stream);
    }
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => head.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let name = stream.conn.server_name().map(ToOwned::to_owned);
    let count = stream.conn.peer_certificates().map_or(0, <[_]>::len);
    shown.lock().unwrap().push((name, count));
    let page = ok("Connection: close\r\n", "secret page");
    let _ = stream.write_all(page.as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// Refuses the first request by HTTP/2, and all else that comes.
fn require_http1(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    let frame = |kind, stream, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, 0, 0, 0, 0, stream], payload].concat()
    };
    stream.read_exact(&mut [0; PREFACE.len()]).unwrap();
    stream.write_all(&frame(kind::SETTINGS, 0, &[])).unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).unwrap();
        if head[3] == kind::HEADERS {
            let required = [0, 0, 0, 13];
            stream.write_all(&frame(kind::RST_STREAM, head[8], &required)).unwrap();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_operators_authority_and_name_take_the_place_of_the_usual() {
    let authority = Authority::new();
    let origin = TlsOrigin::new(&authority.issue("o", &["inside.example"]), None);
    let file = authority.file();
    let ca = ["--origin-ca", text(&file)];
    let (answer, _proxy) = origin.asked(&[&ca[..], &["--origin-name", "inside.example"]].concat());
    assert_eq!((answer.status, answer.text()), (200, "secret page".to_owned()));
    assert_eq!(origin.shown(), [(Some("inside.example".to_owned()), 0)]);
    // Another authority's, another name's.
    for args in [&["--origin-name", "inside.example"][..], &ca] {
        let (answer, _proxy) = origin.asked(args);
        assert_eq!(answer.status, 502, "{args:?}");
        let told = answer.field("Proxy-Status").unwrap();
        assert!(told.contains("error=tls_certificate_error"), "{told}");
    }
    assert_eq!(origin.shown().len(), 1);
}

/// What `openssl req -x509` makes is an authority's by its form.
fn made_for_one_server(authority: &Authority, stem: &str, validity: (i32, i32)) -> Files {
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, stem);
    params.not_before = rcgen::date_time_ymd(validity.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(validity.1, 1, 1);
    authority.issue_with(stem, &params)
}

#[test]
fn a_certificate_that_the_operator_names_may_be_the_origins_own() {
    let authority = Authority::new();
    let made = |stem, validity| made_for_one_server(&authority, stem, validity);
    let (files, other) = (made("origin", (2020, 4000)), made("other", (2020, 4000)));
    let origin = TlsOrigin::new(&files, None);
    let status = |args: &[&str]| origin.asked(args).0.status;
    let named = ["--origin-ca", text(&files.certificate)];
    assert_eq!(status(&named), 200);
    assert_eq!(status(&[&named[..], &["--origin-name", "other.example"]].concat()), 502);
    assert_eq!(status(&["--origin-ca", text(&other.certificate)]), 502);
    for (stem, validity) in [("past", (2020, 2021)), ("future", (3999, 4000))] {
        let files = made(stem, validity);
        let origin = TlsOrigin::new(&files, None);
        let named = ["--origin-ca", text(&files.certificate)];
        assert_eq!(origin.asked(&named).0.status, 502, "{stem}");
    }
}

#[test]
fn a_certificate_is_shown_to_an_origin_that_asks_for_one() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = authority.issue("o", &["127.0.0.1"]);
    let origin = TlsOrigin::new(&files, Some(&clients));
    let (file, own) = (authority.file(), clients.issue("proxy", &["proxy.example"]));
    let ca = ["--origin-ca", text(&file)];
    let identity = ["--origin-cert", text(&own.certificate), "--origin-key", text(&own.key)];
    let (answer, _proxy) = origin.asked(&[&ca[..], &identity].concat());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(origin.shown(), [(None, 1)]);
    assert_eq!(origin.asked(&ca).0.status, 502);
}

#[test]
fn files_for_the_origin_that_change_are_taken_up() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let origin = TlsOrigin::new(&authority.issue("o", &["127.0.0.1"]), Some(&clients));
    let (file, stranger) = (authority.file(), Authority::new());
    let (trusted, strange) = (fs::read(&file).unwrap(), fs::read(stranger.file()).unwrap());
    let own = stranger.issue("proxy", &["proxy.example"]);
    let args = ["--origin-ca", text(&file), "--origin-cert", text(&own.certificate)];
    let (answer, mut proxy) =
        origin.asked(&[&args[..], &["--origin-key", text(&own.key)]].concat());
    // The origin does not know who made this one.
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(proxy.says("showing the origin the certificate for proxy.example"));
    let good = clients.issue("proxy", &["proxy.example"]);
    fs::copy(&good.certificate, &own.certificate).unwrap();
    fs::copy(&good.key, &own.key).unwrap();
    proxy.send_hangup();
    assert!(proxy.says("now showing the origin the certificate for proxy.example"));
    // What is stored says nothing of the origin.
    let port = proxy.port();
    let status = |path: &str| Client::connect(("127.0.0.1", port)).get(path).status;
    assert_eq!(status("/1"), 200);
    // Whom it trusts is taken up too, and a file that is no good is not.
    fs::write(&file, "nothing").unwrap();
    proxy.send_hangup();
    assert!(proxy.says("has no certificate in PEM form; what was there before is kept"));
    assert_eq!(status("/2"), 200);
    fs::write(&file, strange).unwrap();
    assert!(proxy.says("the origin's certificate is now checked by"));
    assert_eq!(status("/3"), 502);
    fs::write(&file, trusted).unwrap();
    proxy.send_hangup();
    assert!(testkit::eventually(|| status("/4") == 200));
}

#[test]
fn without_a_check_any_certificate_will_do_and_that_is_said() {
    let authority = Authority::new();
    let origin = TlsOrigin::new(&authority.issue("o", &["other.example"]), None);
    assert_eq!(origin.asked(&[]).0.status, 502);
    let (answer, proxy) = origin.asked(&["--origin-insecure"]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(proxy.says("certificate is NOT checked"));
}

#[test]
fn bad_files_for_the_origin_are_refused_at_the_start_in_one_line() {
    let authority = Authority::new();
    let (one, two) = (authority.issue("1", &["a"]), authority.issue("2", &["b"]));
    let origin = TlsOrigin::new(&one, None);
    for (args, why) in [
        (&["--origin-ca", "/missing.pem"][..], "reading /missing.pem: No such file"),
        (&["--origin-ca", text(&one.key)], "has no certificate in PEM form"),
        (
            &["--origin-cert", text(&one.certificate), "--origin-key", text(&two.key)],
            "is not that of the certificate in",
        ),
    ] {
        let output = origin.refused(args);
        assert_eq!((output.code, output.stderr.lines().count()), (Some(1), 1), "{}", output.stderr);
        assert!(output.stderr.contains(why), "{}", output.stderr);
    }
}

//= https://www.rfc-editor.org/rfc/rfc9113#section-7
//# The endpoint requires that HTTP/1.1 be used instead of HTTP/2.
#[test]
fn an_origin_that_requires_http1_for_a_request_is_asked_by_it() {
    let authority = Authority::new();
    let files = authority.issue("origin", &["127.0.0.1"]);
    let origin = TlsOrigin::offering(&["h2", "http/1.1"], &files, None);
    let authority = authority.file();
    let ca = ["--origin-ca", text(&authority)];
    let (answer, _proxy) = origin.asked(&ca);
    assert_eq!((answer.status, answer.text().as_str()), (200, "secret page"));
    // Unless the operator wants nothing but HTTP/2.
    let (answer, _proxy) = origin.asked(&[&ca[..], &["--origin-protocol", "http2"]].concat());
    assert_eq!(answer.status, 502);
}

#[test]
fn an_origin_that_offers_http_2_is_asked_by_it_unless_told_otherwise() {
    let page = Origin::answering(ok("Cache-Control: no-store\r\n", "hello"));
    let authority = Authority::new();
    // The proxy itself is an origin that speaks both.
    let both = TlsProxy::before(&page.url(), &[&authority.issue("both", &["127.0.0.1"])]);
    for (protocol, version) in [("auto", "2.0"), ("http2", "2.0"), ("http1", "1.1")] {
        let directory = TempDir::new().unwrap();
        let proxy = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
            .args(["--port", "0", "--origin", &format!("https://127.0.0.1:{}", both.port())])
            .args(["--origin-protocol", protocol, "--origin-ca"])
            .arg(authority.file())
            .arg("--cache-dir")
            .arg(directory.path().join("cache"))
            .start();
        let mut client = Client::connect(("127.0.0.1", proxy.port()));
        for _ in 0..3 {
            let got = client.get("/");
            assert_eq!((got.status, got.text().as_str()), (200, "hello"), "{protocol}");
            assert_eq!(got.all("Via"), ["1.1 caching-proxy", &format!("{version} caching-proxy")]);
        }
    }
}
