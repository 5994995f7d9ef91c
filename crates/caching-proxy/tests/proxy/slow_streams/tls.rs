//! The same inside TLS.

use std::sync::Arc;

use rustls::{ALL_VERSIONS, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Proxy;
use crate::tls::{Authority, Files, port_of};

const NAME: &str = "a.example";

/// What proxy and clients need for it.
pub(super) struct Front {
    /// Its files go with it.
    _authority: Authority,
    files: Files,
    config: Arc<ClientConfig>,
}

impl Front {
    /// For clients that speak `protocol`.
    pub(super) fn new(protocol: &[u8]) -> Self {
        let authority = Authority::new();
        let files = authority.issue("a", &[NAME]);
        let mut config = authority.trusted_by(ALL_VERSIONS);
        config.alpn_protocols = vec![protocol.to_vec()];
        Self { _authority: authority, files, config: Arc::new(config) }
    }

    pub(super) fn args(&self) -> Vec<String> {
        ["--tls-port".to_owned(), "0".to_owned()].into_iter().chain(self.files.args()).collect()
    }

    pub(super) fn connector(&self) -> TlsConnector {
        Arc::clone(&self.config).into()
    }
}

pub(super) fn port(proxy: &Proxy) -> u16 {
    port_of(&proxy.binary.as_ref().unwrap().ready("tls_url").unwrap())
}

pub(super) async fn secure(connector: &TlsConnector, stream: TcpStream) -> TlsStream<TcpStream> {
    connector.connect(NAME.try_into().unwrap(), stream).await.unwrap()
}
