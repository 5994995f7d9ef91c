//! HTTPS without a certificate from anybody.

use std::fs;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use testkit::Origin;

use super::{Secured, launch, port_of, provider};
use crate::ok;

#[test]
fn its_own_certificate_is_good_for_this_machine_and_survives_a_restart() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\n", "hello"));
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("cache/tls/self-signed.pem");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let proxy = launch(&directory, &origin.url()).arg("--tls-self-signed").start();
        let port = port_of(&proxy.ready("tls_url").unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&file).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        for name in ["localhost", "127.0.0.1", "::1"] {
            let mut client = Secured::connect(port, name, &config).unwrap();
            assert_eq!(client.get("/").text(), "hello");
        }
        assert!(Secured::connect(port, "a.example", &config).is_err());
        seen.push(fs::read(&file).unwrap());
        assert!(proxy.terminate().success());
    }
    assert_eq!(seen[0], seen[1]);
}
