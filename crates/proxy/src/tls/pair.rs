//! A certificate with its key, as they lie in files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{Timestamp, date};
use rustix::fs::{Mode, OFlags};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::certificates::CertificateInfo;
use super::provider;
use super::validity::{Validity, validity};

/// No chain, key or list of authorities is larger.
const LARGEST: u64 = 4 << 20;

/// Where a certificate and its key lie, both in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// The certificate, and behind it those that lead to its authority.
    pub certificate: PathBuf,
    /// Its key, in PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl PairFiles {
    /// What is in the files, if they are good to be served.
    pub fn inspect(&self) -> Result<CertificateInfo, PairError> {
        Ok(Pair::load(self)?.info(&self.certificate))
    }
}

/// What is wrong with a certificate, a key or a list of authorities.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The file cannot be read.
    #[error("reading {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's complaint.
        source: io::Error,
    },
    /// Only a regular file is read again: whoever opens a pipe may wait for ever.
    #[error("{} is no regular file, and only those are read again", .path.display())]
    Irregular {
        /// The file.
        path: PathBuf,
    },
    /// The certificate has ended, and the one that it would replace has not.
    #[error("the certificate in {} ended on {}", .path.display(), date::format(*.ended))]
    Ended {
        /// The file.
        path: PathBuf,
        /// When it did.
        ended: Timestamp,
    },
    /// The certificate is not valid yet, and the one that it would replace is.
    #[error("the certificate in {} is not valid before {}", .path.display(), date::format(*.begins))]
    Early {
        /// The file.
        path: PathBuf,
        /// From when on it is.
        begins: Timestamp,
    },
    /// The file is no certificate, no key, or not in PEM form.
    #[error("{} has no {what} in PEM form", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The PEM form is broken.
    #[error("{} is malformed: {source}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A key that only a passphrase opens.
    #[error("the key in {} is encrypted; keep it there without a passphrase", .path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The certificate cannot be understood.
    #[error("the certificate in {} is malformed{details}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is known of it.
        details: String,
    },
    /// The key cannot be used.
    #[error("the key in {} cannot be used: {source}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The TLS library's complaint.
        source: rustls::Error,
    },
    /// Certificate and key do not belong together.
    #[error("the key in {} is not that of the certificate in {}", .key.display(), .certificate.display())]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The TLS library refused its settings.
    #[error("the TLS library refused its settings: {0}")]
    Settings(#[from] rustls::Error),
}

/// When a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// At the start, when a pipe is as good as a file.
    First,
    /// Any other time.
    Again,
}

/// A certificate that can be served.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The names it is for, in lower case; with `*.` in front for all names one label longer.
    pub(super) names: Vec<String>,
    pub(super) validity: Validity,
    pub(crate) certified: Arc<CertifiedKey>,
}

impl Pair {
    /// What others want to know of it.
    pub(crate) fn info(&self, file: &Path) -> CertificateInfo {
        CertificateInfo {
            file: file.to_owned(),
            names: self.names.clone(),
            not_before: self.validity.not_before,
            not_after: self.validity.not_after,
        }
    }

    /// Reads both files at the start, and checks that they belong together.
    pub(crate) fn load(files: &PairFiles) -> Result<Self, PairError> {
        Self::read(files, Time::First)
    }

    /// Reads both files again. `None` if the certificate is the same.
    pub(crate) fn renewed(
        &self,
        files: &PairFiles,
        now: Timestamp,
    ) -> Result<Option<Self>, PairError> {
        let new = Self::read(files, Time::Again)?;
        if new.certified.cert == self.certified.cert {
            return Ok(None);
        }
        // What is refused by all is no better than what is there, unless that is refused too.
        let Validity { not_before: begins, not_after: ended } = new.validity;
        let path = || files.certificate.clone();
        match self.validity.not_before <= now && self.validity.not_after > now {
            true if ended <= now => Err(PairError::Ended { path: path(), ended }),
            true if begins > now => Err(PairError::Early { path: path(), begins }),
            _ => Ok(Some(new)),
        }
    }

    fn read(files: &PairFiles, time: Time) -> Result<Self, PairError> {
        let chain = certificates(&files.certificate, time)?;
        let key = private_key(&files.key, time)?;
        let malformed =
            |details: String| PairError::Certificate { path: files.certificate.clone(), details };
        let Some(first) = chain.first() else { return Err(malformed(String::new())) };
        let parsed =
            EndEntityCert::try_from(first).map_err(|error| malformed(format!(": {error}")))?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let validity = validity(first).ok_or_else(|| malformed(": its end is missing".into()))?;
        let unusable = |source| PairError::Key { path: files.key.clone(), source };
        let signing = provider().key_provider.load_private_key(key).map_err(unusable)?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                let (certificate, key) = (files.certificate.clone(), files.key.clone());
                return Err(PairError::Mismatch { certificate, key });
            }
            Err(error) => return Err(unusable(error)),
        }
        Ok(Self { names, validity, certified: Arc::new(certified) })
    }
}

/// All certificates in a file, in their order; at least one.
fn certificates(path: &Path, time: Time) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let text = read(path, time)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|source| PairError::Pem { path: path.to_owned(), source })?;
    if found.is_empty() {
        return Err(PairError::Missing { path: path.to_owned(), what: "certificate" });
    }
    Ok(found)
}

/// The first key in a file.
fn private_key(path: &Path, time: Time) -> Result<PrivateKeyDer<'static>, PairError> {
    let text = read(path, time)?;
    let encrypted = || {
        let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
        marks.iter().any(|mark| text.windows(mark.len()).any(|window| window == *mark))
    };
    if encrypted() {
        return Err(PairError::Encrypted { path: path.to_owned() });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| match source {
        pem::Error::NoItemsFound => {
            PairError::Missing { path: path.to_owned(), what: "private key" }
        }
        source => PairError::Pem { path: path.to_owned(), source },
    })
}

fn read(path: &Path, time: Time) -> Result<Vec<u8>, PairError> {
    let failed = |source| PairError::Read { path: path.to_owned(), source };
    let file = match time {
        Time::First => File::open(path),
        Time::Again if !fs::metadata(path).map_err(failed)?.is_file() => {
            return Err(PairError::Irregular { path: path.to_owned() });
        }
        Time::Again => open_at_once(path),
    };
    let mut text = Vec::new();
    file.and_then(|file| file.take(LARGEST).read_to_end(&mut text)).map_err(failed)?;
    Ok(text)
}

/// Opens a regular file. A pipe that has just taken its place is not waited for.
fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// The authorities in a file.
pub(crate) fn roots(path: &Path, time: Time) -> Result<RootCertStore, PairError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, time)? {
        roots.add(certificate).map_err(|error| PairError::Certificate {
            path: path.to_owned(),
            details: format!(": {error}"),
        })?;
    }
    Ok(roots)
}
