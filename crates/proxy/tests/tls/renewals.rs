//! Files that are looked at again, and are not what they were.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use proxy::{ClientAuth, Limits, OriginTls, PairFiles, TlsSettings};
use tempfile::TempDir;
use testkit::eventually;

use super::{DAY, Site, issue, issue_from};

/// Puts a pipe there; `false` where there is nothing to make one with.
fn pipe(path: &Path) -> bool {
    let made = path.with_extension("pipe");
    let done = Command::new("mkfifo").arg(&made).status().is_ok_and(|status| status.success());
    done && fs::rename(made, path).is_ok()
}

/// Issues a certificate that ends on this day, and puts it in the place of the one that is there.
fn replace(directory: &Path, end: (i32, u8, u8)) {
    replace_from(directory, (2020, 1, 1), end);
}

fn replace_from(directory: &Path, begin: (i32, u8, u8), end: (i32, u8, u8)) {
    let elsewhere = TempDir::new_in(directory).unwrap();
    issue_from(elsewhere.path(), begin, end);
    for file in ["a.pem", "a.key"] {
        fs::rename(elsewhere.path().join(file), directory.join(file)).unwrap();
    }
}

/// All that a proxy reads again: the certificates of either side, and whom they trust.
struct Watched {
    site: Site,
    /// Where what the origin is shown lies.
    shown: TempDir,
    files: [PathBuf; 6],
}

impl Watched {
    fn new() -> Self {
        let (directory, shown) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let served = issue(directory.path(), (2026, 12, 23));
        let identity = issue(shown.path(), (2026, 12, 23));
        let copy = |files: &PairFiles| {
            let authorities = files.certificate.with_file_name("authorities.pem");
            fs::copy(&files.certificate, &authorities).unwrap();
            authorities
        };
        let (clients, origin) = (copy(&served), copy(&identity));
        let files = [&served.certificate, &served.key, &identity.certificate, &identity.key];
        let [a, b, c, d] = files.map(PathBuf::clone);
        let files = [a, b, c, d, clients.clone(), origin.clone()];
        let origin_tls = OriginTls {
            authorities: Some(origin),
            identity: Some(identity),
            ..OriginTls::default()
        };
        let tls = TlsSettings {
            clients: ClientAuth::Optional { authorities: clients },
            ..TlsSettings::new(vec![served])
        };
        let limits = Limits::default();
        let site = Site::with(directory, tls, "https://127.0.0.1:1", origin_tls, limits);
        Self { site, shown, files }
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_told_and_holds_up_nothing() {
    let watched = Watched::new();
    let site = &watched.site;
    for file in &watched.files {
        let good = fs::read(file).unwrap();
        let kept = site.told.count("certificate-kept");
        if !pipe(file) {
            return eprintln!("NOT SHOWN, there is no mkfifo");
        }
        assert!(site.told.has("certificate-kept", kept + 1), "{}", file.display());
        let told = site.told.last("certificate-kept");
        let expected = format!("{} is no regular file, and only", file.display());
        assert!(told.starts_with(&expected), "{told}");
        assert!(told.ends_with("; what was there before is kept"), "{told}");
        let whole = file.with_extension("whole");
        fs::write(&whole, good).unwrap();
        fs::rename(whole, file).unwrap();
    }
    // The watch goes on.
    replace(site.directory.path(), (2027, 3, 1));
    assert!(site.told.has("certificate-renewed", 1));
}

#[test]
fn a_pipe_at_the_start_is_read_and_then_left_alone() {
    let directory = TempDir::new().unwrap();
    let files = issue(directory.path(), (2026, 12, 23));
    let certificate = fs::read(&files.certificate).unwrap();
    if !pipe(&files.certificate) {
        return eprintln!("NOT SHOWN, there is no mkfifo");
    }
    let place = files.certificate.clone();
    let writer = std::thread::spawn(move || fs::write(place, certificate).unwrap());
    let tls = TlsSettings::new(vec![files]);
    let (origin_tls, limits) = (OriginTls::default(), Limits::default());
    let site = Site::with(directory, tls, "http://127.0.0.1:1", origin_tls, limits);
    writer.join().unwrap();
    assert_eq!(site.told.count("certificate-loaded"), 1);
    // Each warning is told after a look.
    for count in 1..=4 {
        site.clock.advance(Duration::from_secs(if count == 1 { 20 * DAY } else { DAY }));
        assert!(site.told.has("certificate-expires", count));
    }
    assert_eq!(site.told.count("certificate-kept"), 0);
    site.running.handle().reload_certificates();
    assert!(site.told.has("certificate-kept", 1));
    assert!(site.told.last("certificate-kept").contains("is no regular file"));
}

#[test]
fn a_certificate_that_has_ended_does_not_replace_one_that_has_not() {
    let Watched { site, shown, .. } = Watched::new();
    let handle = site.running.handle();
    let ends = || [handle.certificates().remove(0), handle.origin_certificate().unwrap()];
    let ends = || ends().map(|info| info.not_after.as_secs());
    let good = ends();
    let told = |end: &str| site.told.last("certificate-kept").contains(end);
    for (side, directory) in [site.directory.path(), shown.path()].into_iter().enumerate() {
        replace(directory, (2026, 11, 1));
        let file = directory.join("a.pem");
        let expected = format!(
            "the certificate in {} ended on Sun, 01 Nov 2026 00:00:00 GMT; what was there before",
            file.display()
        );
        assert!(eventually(|| site.told.count("certificate-kept") > side && told(&expected)));
        assert_eq!(ends(), good);
    }
    // One that is good takes its place as ever.
    replace(site.directory.path(), (2026, 12, 25));
    assert!(site.told.has("certificate-renewed", 1));
    // Where the one in use has ended too, the newer is no worse.
    site.clock.advance(Duration::from_secs(40 * DAY));
    replace(site.directory.path(), (2026, 12, 30));
    assert!(site.told.has("certificate-renewed", 2));
    replace(shown.path(), (2026, 12, 31));
    assert!(site.told.has("certificate-renewed", 3));
    assert_eq!(ends(), [1_798_588_800, 1_798_675_200]);
}

#[test]
fn a_certificate_that_is_not_valid_yet_takes_the_place_of_one_that_is_when_it_begins() {
    let Watched { site, shown, .. } = Watched::new();
    let handle = site.running.handle();
    let ends = || [handle.certificates().remove(0), handle.origin_certificate().unwrap()];
    let ends = || ends().map(|info| info.not_after.as_secs());
    let good = ends();
    for directory in [site.directory.path(), shown.path()] {
        replace_from(directory, (2026, 11, 25), (2027, 1, 1));
    }
    assert!(site.told.has("certificate-kept", 2));
    let told = site.told.last("certificate-kept");
    let expected =
        "is not valid before Wed, 25 Nov 2026 00:00:00 GMT; what was there before is kept";
    assert!(told.ends_with(expected), "{told}");
    assert_eq!(ends(), good);
    // Nobody touches the files again.
    site.clock.advance(Duration::from_secs(2 * DAY));
    assert!(site.told.has("certificate-renewed", 2));
    assert_eq!(ends(), [1_798_761_600, 1_798_761_600]);
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_told_at_the_start() {
    let directory = TempDir::new().unwrap();
    let files = issue_from(directory.path(), (2026, 11, 25), (2027, 1, 1));
    let tls = TlsSettings::new(vec![files]);
    let (origin_tls, limits) = (OriginTls::default(), Limits::default());
    let site = Site::with(directory, tls, "http://127.0.0.1:1", origin_tls, limits);
    let told = site.told.last("certificate-loaded");
    assert!(told.ends_with("is not valid before Wed, 25 Nov 2026 00:00:00 GMT"), "{told}");
    // One that is good takes its place at once.
    replace(site.directory.path(), (2026, 12, 25));
    assert!(site.told.has("certificate-renewed", 1));
}
