//! Takes the certificates of authorities that the operator named, and one that is itself named there.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The check of the TLS library, which takes the certificate of an authority for no server's. What is made
/// for one server by `openssl req -x509` is both: where the operator names it, it is trusted as that.
#[derive(Debug)]
pub(super) struct Named {
    authorities: Arc<RootCertStore>,
    usual: Arc<WebPkiServerVerifier>,
}

impl Named {
    pub(super) fn new(
        authorities: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::clone(&authorities), provider);
        Ok(Self { usual: usual.build()?, authorities })
    }

    /// Whether this is the certificate of one of the authorities: their name, with their key.
    fn names(&self, certificate: &CertificateDer<'_>) -> bool {
        let mut alone = RootCertStore::empty();
        let is_one = alone.add(certificate.clone().into_owned()).is_ok();
        is_one && alone.roots.iter().all(|root| self.authorities.roots.contains(root))
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = self.usual.verify_server_cert(certificate, others, name, ocsp, now);
        let is_open = matches!(checked, Err(Error::InvalidCertificate(CertificateError::Other(_))));
        if !is_open || !self.names(certificate) {
            return checked;
        }
        // Whether it is valid at this time has been looked at before that.
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
