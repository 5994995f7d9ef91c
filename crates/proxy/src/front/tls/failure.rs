//! Why a client's TLS handshake came to nothing.

use std::io;

/// The reasons, as they are counted and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The client left.
    Closed,
    /// The client spoke HTTP without TLS.
    PlainHttp,
    /// The client refused what it got, most often the certificate.
    Alert,
    /// Client and proxy have no version, cipher or key exchange in common.
    Incompatible,
    /// The client speaks none of the protocols that are offered.
    NoProtocol,
    /// The client showed no certificate, though it must.
    NoCertificate,
    /// The client's certificate is not valid, or of no authority that is trusted.
    BadCertificate,
    /// What the client sent is no TLS.
    Malformed,
}

impl HandshakeFailure {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::Closed,
        Self::PlainHttp,
        Self::Alert,
        Self::Incompatible,
        Self::NoProtocol,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Malformed,
    ];

    /// The stable code that log and metric share.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Timeout => "handshake-timeout",
            Self::Closed => "handshake-closed",
            Self::PlainHttp => "handshake-plain-http",
            Self::Alert => "handshake-refused-by-client",
            Self::Incompatible => "handshake-incompatible",
            Self::NoProtocol => "handshake-no-protocol",
            Self::NoCertificate => "handshake-no-certificate",
            Self::BadCertificate => "handshake-bad-certificate",
            Self::Malformed => "handshake-malformed",
        }
    }

    /// What it means, in a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Timeout => "It took too long.",
            Self::Closed => "The client left.",
            Self::PlainHttp => "The client spoke HTTP without TLS; it is told so.",
            Self::Alert => "The client refused what it got, most often the certificate.",
            Self::Incompatible => {
                "Client and proxy have no version, cipher or key exchange in common."
            }
            Self::NoProtocol => "The client speaks none of the protocols that are offered.",
            Self::NoCertificate => "The client showed no certificate, though it must.",
            Self::BadCertificate => {
                "The client's certificate is not valid, or of no authority that is trusted."
            }
            Self::Malformed => "What the client sent is no TLS.",
        }
    }

    /// Whether an operator is told. Those who only look whether a port is open leave at once, and
    /// those who speak plain HTTP are answered.
    pub const fn is_told(self) -> bool {
        !matches!(self, Self::Closed | Self::PlainHttp)
    }

    pub(super) fn of(error: &io::Error) -> Self {
        use rustls::Error;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            None => Self::Closed,
            Some(Error::AlertReceived(_)) => Self::Alert,
            Some(Error::PeerIncompatible(_)) => Self::Incompatible,
            Some(Error::NoApplicationProtocol) => Self::NoProtocol,
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(_)) => Self::BadCertificate,
            Some(_) => Self::Malformed,
        }
    }
}
