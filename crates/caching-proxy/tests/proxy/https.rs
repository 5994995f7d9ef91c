//! Origins behind TLS: certificates are checked, always.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use testkit::{Binary, Client, Launch};

use crate::{cache, cache_status, ok};

/// A TLS origin for a name, with a certificate that signs itself.
struct Secure {
    port: u16,
    directory: TempDir,
}

impl Secure {
    fn for_name(name: &str) -> Self {
        Self::answering(name, answer)
    }

    /// One whose connections are answered by `answer`.
    fn answering(name: &str, answer: fn(Stream)) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("roots.pem"), made.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Arc::new(config);
        thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                thread::spawn(move || answer(StreamOwned::new(connection, stream)));
            }
        });
        Self { port, directory }
    }

    fn roots(&self) -> PathBuf {
        self.directory.path().join("roots.pem")
    }

    /// The proxy in front, trusting the certificates in `roots` and no others.
    fn proxy(&self, roots: PathBuf) -> Binary {
        Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
            .args(["--port", "0", "--origin", &format!("https://localhost:{}", self.port)])
            .arg("--cache-dir")
            .arg(self.directory.path().join("cache"))
            .env("SSL_CERT_FILE", roots)
            .start()
    }
}

type Stream = StreamOwned<ServerConnection, std::net::TcpStream>;

/// Answers each request on a connection with the same page, the body in a record of its own.
fn answer(mut stream: Stream) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        received.extend_from_slice(&buffer[..count]);
        if received.ends_with(b"\r\n\r\n") {
            received.clear();
            let page = ok("Cache-Control: max-age=60\r\n", "secret page");
            let (head, body) = page.split_at(page.len() - 11);
            let written = stream.write_all(head.as_bytes()).and_then(|()| stream.flush());
            if written.and_then(|()| stream.write_all(body.as_bytes())).is_err() {
                return;
            }
        }
    }
}

#[test]
fn a_trusted_origin_is_fetched_from_and_cached() {
    let origin = Secure::for_name("localhost");
    let proxy = origin.proxy(origin.roots());
    let mut client = Client::connect(("127.0.0.1", proxy.port()));
    for (path, expected) in [("/", "MISS"), ("/other", "MISS"), ("/", "HIT")] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text()), (200, "secret page".to_owned()));
        assert_eq!(cache(&answer), expected);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_or_for_another_name_is_refused() {
    let (stranger, other) = (Secure::for_name("localhost"), Secure::for_name("other.example"));
    let trusted_elsewhere = Secure::for_name("localhost");
    for (origin, roots) in [(&stranger, trusted_elsewhere.roots()), (&other, other.roots())] {
        let proxy = origin.proxy(roots);
        let answer = Client::connect(("127.0.0.1", proxy.port())).get("/");
        assert_eq!(answer.status, 502);
        assert!(cache_status(&answer).contains("detail=origin-tls"), "{}", cache_status(&answer));
        let proxy_status = answer.field("Proxy-Status").unwrap();
        assert!(proxy_status.contains("error=tls_certificate_error"), "{proxy_status}");
    }
}

#[test]
fn without_root_certificates_it_does_not_start() {
    let origin = Secure::for_name("localhost");
    let output = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--port", "0", "--no-disk", "--origin", "https://localhost:1"])
        .arg("--cache-dir")
        .arg(origin.directory.path().join("cache"))
        .env("SSL_CERT_FILE", origin.directory.path().join("missing.pem"))
        .run();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("root certificates"), "{}", output.stderr);
}

/// How much is read at once from an origin.
const READ: usize = 8 << 10;

/// Answers with so many bytes that the proxy's reads end exactly at the end of the response, and
/// sends another response nobody asked for in the same TLS record.
fn answer_twice(mut stream: Stream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer) {
        let fields = "Cache-Control: private\r\n";
        let overhead = ok(fields, &"x".repeat(READ - 100)).len() - (READ - 100);
        let body = "x".repeat(READ - overhead);
        assert_eq!(ok(fields, &body).len(), READ);
        let forged = ok("Cache-Control: max-age=60\r\n", "EVIL");
        let both = ok(fields, &body) + &forged;
        if stream.write_all(both.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn what_comes_behind_a_response_in_the_same_record_reaches_nobody() {
    let origin = Secure::answering("localhost", answer_twice);
    let proxy = origin.proxy(origin.roots());
    for number in 0..20 {
        let path = format!("/{number}");
        let answer = Client::connect(("127.0.0.1", proxy.port())).get(&path);
        assert_ne!(answer.text(), "EVIL", "{path}");
    }
}
