//! A certificate of the proxy's own, for development: kept in the state directory, so that an
//! exception that a browser was given survives a restart.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use proxy::PairFiles;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use crate::output::civil_date;

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Many clients take no certificate that is valid for more than 398 days.
const DAYS: i64 = 397;
/// One that ends sooner than this is made anew.
const FEW_DAYS: i64 = 30;

/// Why there is no certificate of the proxy's own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfSignedError {
    /// A file cannot be written.
    #[error("writing {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be made.
    #[error("making a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// The certificate for a listener at this address, made now if there is none that is good.
pub(crate) fn certificate(
    directory: &Path,
    address: IpAddr,
    now: i64,
) -> Result<PairFiles, SelfSignedError> {
    let directory = directory.join("tls");
    let files = files(&directory, address);
    let soon = now + FEW_DAYS * DAY;
    if files.inspect().is_ok_and(|info| info.not_after.as_millis() > soon) {
        return Ok(files);
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(|source| SelfSignedError::Write { path: directory, source })?;
    let (certificate, key) = make(address, now)?;
    write(&files.key, &key)?;
    write(&files.certificate, &certificate)?;
    Ok(files)
}

/// One for each address that is not this machine's usual one: it stands in the certificate.
fn files(directory: &Path, address: IpAddr) -> PairFiles {
    let stem = match own(address) {
        None => "self-signed".to_owned(),
        Some(address) => format!("self-signed-{}", address.to_string().replace(':', "_")),
    };
    PairFiles {
        certificate: directory.join(format!("{stem}.pem")),
        key: directory.join(format!("{stem}.key")),
    }
}

/// An address that clients write and that is not in every certificate.
fn own(address: IpAddr) -> Option<IpAddr> {
    Some(address).filter(|address| !address.is_unspecified() && !address.is_loopback())
}

/// A certificate and its key, in PEM form.
fn make(address: IpAddr, now: i64) -> Result<(String, String), SelfSignedError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into_iter();
    let names: Vec<_> = names.chain(own(address).map(|address| address.to_string())).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "caching-proxy on this machine");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = |millis: i64| {
        let (year, month, day) = civil_date(millis);
        rcgen::date_time_ymd(year as i32, month as u8, day as u8)
    };
    // From yesterday on, for clocks that lag behind.
    params.not_before = day(now - DAY);
    params.not_after = day(now + (DAYS - 1) * DAY);
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Writes a file that only this user reads, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), SelfSignedError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let write = || {
        // What a crash left is of no use.
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&fresh, path)
    };
    write().map_err(|source| SelfSignedError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    /// 2026-11-23.
    const NOW: i64 = 1_795_392_000_000;

    fn at(directory: &TempDir, address: [u8; 4], now: i64) -> (PairFiles, Vec<u8>) {
        let files = certificate(directory.path(), Ipv4Addr::from(address).into(), now).unwrap();
        let bytes = fs::read(&files.certificate).unwrap();
        (files, bytes)
    }

    #[test]
    fn it_is_kept_for_this_user_alone_until_it_ends_soon() {
        let directory = TempDir::new().unwrap();
        let (files, first) = at(&directory, [127, 0, 0, 1], NOW);
        assert_eq!(at(&directory, [0, 0, 0, 0], NOW + 360 * DAY).1, first);
        let info = files.inspect().unwrap();
        assert_eq!(info.names, ["localhost"]);
        assert_eq!(info.not_after.as_millis(), NOW + 396 * DAY);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&files.certificate), mode(&files.key)), (0o600, 0o600));
        assert_eq!(mode(&directory.path().join("tls")), 0o700);
        assert_ne!(at(&directory, [127, 0, 0, 1], NOW + 370 * DAY).1, first);
    }

    #[test]
    fn one_that_is_broken_is_made_anew_and_each_address_has_its_own() {
        let directory = TempDir::new().unwrap();
        let (files, first) = at(&directory, [127, 0, 0, 1], NOW);
        let (other, its) = at(&directory, [192, 0, 2, 1], NOW);
        assert_ne!((&files.certificate, &first), (&other.certificate, &its));
        fs::write(&files.key, "no key").unwrap();
        assert_ne!(at(&directory, [127, 0, 0, 1], NOW).1, first);
        assert!(files.inspect().is_ok());
    }
}
