//! TLS with clients: the handshake, what is served inside, and certificates that change.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use tempfile::TempDir;
use testkit::{Binary, Launch, PATIENCE};

mod bodies;
mod browser;
mod clients;
mod front;
mod origin;
mod redirect;
mod reload;
mod self_signed;
mod websocket;

/// An authority that tests trust, and a place for what it issues.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// The files of a certificate and its key.
#[derive(Clone)]
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let params = authority("authority of the tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("authority.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// A certificate for these names, in files of this name.
    pub(crate) fn issue(&self, stem: &str, names: &[&str]) -> Files {
        self.issue_with(stem, &CertificateParams::new(owned(names)).unwrap())
    }

    pub(crate) fn issue_with(&self, stem: &str, params: &CertificateParams) -> Files {
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let at = |end: &str| self.directory.path().join(format!("{stem}.{end}"));
        let files = Files { certificate: at("pem"), key: at("key") };
        fs::write(&files.certificate, made.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A client that trusts it and speaks these versions.
    pub(crate) fn trusted_by(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.trusted_by(rustls::ALL_VERSIONS))
    }
}

/// What makes a certificate one of an authority.
fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Files {
    pub(crate) fn args(&self) -> [String; 4] {
        let path = |path: &Path| path.display().to_string();
        ["--tls-cert".into(), path(&self.certificate), "--tls-key".into(), path(&self.key)]
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(&self.certificate).unwrap().map(Result::unwrap).collect()
    }
}

/// A running proxy with a TLS port alone.
struct TlsProxy {
    binary: Binary,
    directory: TempDir,
}

fn launch(directory: &TempDir, origin: &str) -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--tls-port", "0", "--origin", origin])
        .arg("--cache-dir")
        .arg(directory.path().join("cache"))
}

impl TlsProxy {
    fn before(origin: &str, certificates: &[&Files]) -> Self {
        Self::with(origin, certificates, &[])
    }

    fn with(origin: &str, certificates: &[&Files], args: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let launch = launch(&directory, origin).args(args);
        let launch = certificates.iter().fold(launch, |launch, files| launch.args(files.args()));
        Self { binary: launch.start(), directory }
    }

    fn port(&self) -> u16 {
        port_of(&self.binary.ready("tls_url").expect("a TLS port"))
    }

    fn connect(&self, name: &str, config: &Arc<ClientConfig>) -> Secured {
        Secured::connect(self.port(), name, config).expect("a handshake")
    }
}

pub(crate) fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

/// A client's connection inside TLS.
struct Secured(StreamOwned<ClientConnection, TcpStream>);

/// A response as it came.
#[derive(Debug)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Secured {
    /// Connects and completes the handshake.
    fn connect(port: u16, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut tcp = TcpStream::connect(("127.0.0.1", port))?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        Ok(Self(StreamOwned::new(session, tcp)))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
        self.0.flush().unwrap();
    }

    fn get(&mut self, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"))
    }

    fn request(&mut self, head: &str) -> Answer {
        self.send(head);
        let bodiless = head.starts_with("HEAD ");
        self.answer(bodiless).expect("a response")
    }

    /// One response with a length, or without content.
    fn answer(&mut self, bodiless: bool) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.extend_from_slice(&byte);
        }
        let mut answer = Answer { head: String::from_utf8(head).unwrap(), body: Vec::new() };
        let length = answer.field("Content-Length").map_or(0, |length| length.parse().unwrap());
        if !bodiless {
            answer.body.resize(length, 0);
            self.0.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// What is left, and how it ended: `Ok` with a word, an error without.
    fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut rest = Vec::new();
        let end = self.0.read_to_end(&mut rest).map(drop);
        (rest, end)
    }

    /// The certificate that the proxy showed.
    fn certificate(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    fn session(&self) -> &ClientConnection {
        &self.0.conn
    }
}
