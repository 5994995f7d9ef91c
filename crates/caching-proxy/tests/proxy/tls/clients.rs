//! Clients that show a certificate.

use std::fs;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use testkit::frames::{Frame, Frames, kind};
use testkit::{Client, Origin};

use super::{Answer, Authority, Files, Secured, TlsProxy, authority, provider};
use crate::{Proxy, ok};

/// A proxy that asks for certificates, and who takes part.
struct Asking {
    proxy: TlsProxy,
    authority: Authority,
    clients: Authority,
}

impl Asking {
    fn new(origin: &Origin, word: &str) -> Self {
        Self::with(origin, word, &[])
    }

    fn with(origin: &Origin, word: &str, more: &[&str]) -> Self {
        let (authority, clients) = (Authority::new(), Authority::new());
        let files = authority.issue("a", &["a.example"]);
        let file = clients.file().display().to_string();
        let args = ["--tls-client-ca", &file, "--tls-client-auth", word];
        let proxy = TlsProxy::with(&origin.url(), &[&files], &[&args, more].concat());
        Self { proxy, authority, clients }
    }

    /// A client that shows this certificate.
    fn showing(
        &self,
        files: &Files,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.authority.roots())
            .with_client_auth_cert(files.chain(), key);
        Arc::new(config.unwrap())
    }

    fn get(&self, files: Option<&Files>) -> Answer {
        let config = match files {
            Some(files) => self.showing(files, rustls::ALL_VERSIONS),
            None => self.authority.client(),
        };
        self.proxy.connect("a.example", &config).get("/")
    }

    /// Whether a client is let in: with TLS 1.3 it learns that only when it reads.
    fn lets_in(&self, config: &Arc<ClientConfig>) -> bool {
        let Ok(mut client) = Secured::connect(self.proxy.port(), "a.example", config) else {
            return false;
        };
        let head = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        std::io::Write::write_all(&mut client.0, head.as_bytes()).is_ok()
            && client.answer(false).is_ok()
    }
}

/// The value of `Client-Cert` for a certificate, taken from its PEM form.
fn field(files: &Files) -> String {
    base64(&fs::read_to_string(&files.certificate).unwrap())
}

fn base64(pem: &str) -> String {
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    format!(":{lines}:")
}

fn told(origin: &Origin, name: &str) -> Vec<String> {
    let last = origin.requests().pop().unwrap();
    last.all(name).into_iter().map(ToOwned::to_owned).collect()
}

#[test]
fn who_must_show_a_certificate_is_not_let_in_without_a_good_one() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "hello"));
    let asking = Asking::new(&origin, "required");
    let good = asking.clients.issue("good", &["client"]);
    let others = Authority::new();
    let strange = others.issue("strange", &["client"]);
    for version in [&TLS12, &TLS13] {
        assert!(asking.lets_in(&asking.showing(&good, &[version])));
        assert!(!asking.lets_in(&Arc::new(asking.authority.trusted_by(&[version]))));
        assert!(!asking.lets_in(&asking.showing(&strange, &[version])));
    }
    assert_eq!(origin.count(), 2);
    assert!(asking.proxy.binary.says("handshake-no-certificate"));
    assert!(asking.proxy.binary.says("handshake-bad-certificate"));
}

#[test]
fn the_origin_is_told_of_the_certificate_and_by_nobody_else() {
    //= https://www.rfc-editor.org/rfc/rfc9440#section-2.4
    //= type=test
    //# Any occurrence of the Client-Cert or Client-Cert-Chain header fields in the original incoming
    //# request MUST be removed or overwritten before forwarding the request.
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "hello"));
    let asking = Asking::new(&origin, "optional");
    let shown = asking.clients.issue("shown", &["client"]);
    let forged = "GET / HTTP/1.1\r\nHost: a.example\r\nClient-Cert: :Zm9yZ2Vk:\r\nclient_cert: x\r\n\
                  Client-Cert-Chain: :Zm9yZ2Vk:\r\nConnection: Client-Cert\r\n\r\n";
    let config = asking.showing(&shown, rustls::ALL_VERSIONS);
    assert_eq!(asking.proxy.connect("a.example", &config).request(forged).status(), 200);
    assert_eq!(told(&origin, "Client-Cert"), [field(&shown)]);
    assert!(
        told(&origin, "Client-Cert-Chain").is_empty() && told(&origin, "client_cert").is_empty()
    );
    // By HTTP/2 the same.
    let mut config = (*config).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut frames = Frames::over(asking.proxy.connect("a.example", &Arc::new(config)).0);
    frames.greet(&[]);
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a.example"),
        (":path", "/"),
        ("client-cert", ":Zm9yZ2Vk:"),
        ("client_cert", "x"),
    ];
    frames.send(&Frame::headers(1, true, &fields));
    assert!(frames.next_of(kind::HEADERS).is_some());
    assert_eq!(told(&origin, "Client-Cert"), [field(&shown)]);
    assert!(told(&origin, "client_cert").is_empty());
    // Without a certificate, and without TLS.
    let config = asking.authority.client();
    assert_eq!(asking.proxy.connect("a.example", &config).request(forged).status(), 200);
    assert!(told(&origin, "Client-Cert").is_empty());
    let plain = Proxy::before(&origin);
    let mut client = Client::connect(plain.address());
    client.send(forged);
    assert_eq!(client.response().status, 200);
    for name in ["Client-Cert", "Client-Cert-Chain", "client_cert"] {
        assert!(told(&origin, name).is_empty(), "{name}");
    }
}

#[test]
fn the_origin_is_told_of_the_whole_chain_if_that_is_wanted() {
    //= https://www.rfc-editor.org/rfc/rfc9440#section-2.3
    //= type=test
    //# Client-Cert-Chain MUST NOT appear unless Client-Cert is also present, and it does not itself
    //# include the end-entity certificate that is already present in Client-Cert.
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "hello"));
    for (more, is_told) in [(&["--tls-client-chain"][..], true), (&[], false)] {
        let asking = Asking::with(&origin, "optional", more);
        // The client's authority is one that the trusted one has made.
        let key = rcgen::KeyPair::generate().unwrap();
        let params = authority("authority in between");
        let middle = params.signed_by(&key, &asking.clients.issuer).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let own = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let shown = params.signed_by(&own, &issuer).unwrap();
        let at = |end: &str| asking.clients.directory.path().join(format!("deep.{end}"));
        let files = Files { certificate: at("pem"), key: at("key") };
        fs::write(&files.certificate, [shown.pem(), middle.pem()].concat()).unwrap();
        fs::write(&files.key, own.serialize_pem()).unwrap();
        let forged = "GET / HTTP/1.1\r\nHost: a.example\r\nClient-Cert-Chain: :Zm9yZ2Vk:\r\n\r\n";
        let config = asking.showing(&files, rustls::ALL_VERSIONS);
        assert_eq!(asking.proxy.connect("a.example", &config).request(forged).status(), 200);
        assert_eq!(told(&origin, "Client-Cert"), [base64(&shown.pem())]);
        let chain = is_told.then(|| base64(&middle.pem()));
        assert_eq!(told(&origin, "Client-Cert-Chain"), Vec::from_iter(chain));
        // Nothing of it for one who has shown nothing.
        let config = asking.authority.client();
        assert_eq!(asking.proxy.connect("a.example", &config).request(forged).status(), 200);
        assert!(told(&origin, "Client-Cert-Chain").is_empty());
    }
}

#[test]
fn a_session_with_a_certificate_never_goes_on() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "hello"));
    let asking = Asking::new(&origin, "required");
    let shown = asking.clients.issue("shown", &["client"]);
    for version in [&TLS12, &TLS13] {
        let mut config = (*asking.showing(&shown, &[version])).clone();
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        for _ in 0..3 {
            let mut client = asking.proxy.connect("a.example", &config);
            assert_eq!(client.get("/").status(), 200);
            assert_eq!(client.session().handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(told(&origin, "Client-Cert"), [field(&shown)]);
        }
    }
}

#[test]
fn what_a_certificate_was_shown_for_is_not_shared_without_a_word_from_the_origin() {
    //= https://www.rfc-editor.org/rfc/rfc9440#section-2.4
    //= type=test
    //# When the value of the Client-Cert request header field is used to select a response (e.g.,
    //# the response content is access-controlled), the response MUST either be uncacheable (e.g.,
    //# by sending Cache-Control: no-store) or be designated for selective reuse only for subsequent
    //# requests with the same Client-Cert header field value by sending a "Vary: Client-Cert"
    //# response header.
    // What the origin says; then for one with the certificate, one with another, one without, and
    // once more the first: whether it is a hit.
    let rows = [
        ("Cache-Control: max-age=60\r\n", [false, false, false, false]),
        ("Cache-Control: max-age=60, public\r\n", [false, true, true, true]),
        ("Cache-Control: max-age=60\r\nVary: Client-Cert\r\n", [false, false, false, true]),
        ("Cache-Control: max-age=60, public\r\nVary: Client-Cert\r\n", [false, false, false, true]),
    ];
    for (fields, expected) in rows {
        let origin = Origin::answering(ok(fields, "hello"));
        let asking = Asking::new(&origin, "optional");
        let one = asking.clients.issue("one", &["one"]);
        let two = asking.clients.issue("two", &["two"]);
        let hits = [Some(&one), Some(&two), None, Some(&one)].map(|files| {
            let answer = asking.get(files);
            let vary = fields.contains("Vary").then_some("*");
            assert_eq!(answer.field("Vary"), vary, "{fields}");
            answer.field("X-Cache") == Some("HIT")
        });
        assert_eq!(hits, expected, "{fields}");
    }
}

#[test]
fn what_a_post_with_a_certificate_brought_is_not_for_others() {
    let location = "Content-Location: /\r\n";
    for (fields, hits) in [
        ("Cache-Control: max-age=60\r\n", [false, false]),
        ("Cache-Control: max-age=60, public\r\n", [true, true]),
        ("Cache-Control: max-age=60\r\nVary: Client-Cert\r\n", [false, true]),
    ] {
        let origin = Origin::answering(ok(&format!("{location}{fields}"), "hello"));
        let asking = Asking::new(&origin, "optional");
        let shown = asking.clients.issue("shown", &["client"]);
        let config = asking.showing(&shown, rustls::ALL_VERSIONS);
        let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n";
        let answer = asking.proxy.connect("a.example", &config).request(post);
        assert_eq!(answer.status(), 200, "{fields}");
        let found =
            [None, Some(&shown)].map(|files| asking.get(files).field("X-Cache") == Some("HIT"));
        assert_eq!(found, hits, "{fields}");
    }
}

#[test]
fn what_was_stored_for_all_is_asked_for_again_by_one_with_a_certificate() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\n", "hello"));
    let asking = Asking::new(&origin, "optional");
    let shown = asking.clients.issue("shown", &["client"]);
    assert_eq!(asking.get(None).field("X-Cache"), Some("MISS"));
    assert_eq!(asking.get(None).field("X-Cache"), Some("HIT"));
    let answer = asking.get(Some(&shown));
    assert_eq!(answer.field("X-Cache"), Some("MISS"));
    let status = answer.field("Cache-Status").unwrap();
    assert!(
        status.contains("client-certificate") || status.contains("request-certificate"),
        "{status}"
    );
    assert_eq!(asking.get(None).field("X-Cache"), Some("HIT"));
}

#[test]
fn authorities_that_change_are_taken_up_too() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "hello"));
    let mut asking = Asking::new(&origin, "required");
    let old = asking.clients.issue("old", &["client"]);
    let others = Authority::new();
    let new = others.issue("new", &["client"]);
    let lets_in = |asking: &Asking, files: &Files| {
        asking.lets_in(&asking.showing(files, rustls::ALL_VERSIONS))
    };
    assert!(lets_in(&asking, &old) && !lets_in(&asking, &new));
    fs::write(asking.clients.file(), "nothing").unwrap();
    asking.proxy.binary.send_hangup();
    assert!(asking.proxy.binary.says("has no certificate in PEM form"));
    assert!(lets_in(&asking, &old) && !lets_in(&asking, &new));
    fs::copy(others.file(), asking.clients.file()).unwrap();
    asking.proxy.binary.send_hangup();
    assert!(asking.proxy.binary.says("authorities-renewed"));
    assert!(!lets_in(&asking, &old) && lets_in(&asking, &new));
}
