//! Certificates over time, with a clock that moves only when told, and handshakes that take long.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "tls/renewals.rs"]
mod renewals;
mod rig;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use policy::Timestamp;
use proxy::clock::Clock;
use proxy::events::{Notice, Recorder, Served, Trouble};
use proxy::{HandshakeFailure, Limits, PairFiles, Running, Settings, Speaks, TlsSettings};
use tempfile::TempDir;
use testkit::{PATIENCE, eventually};

/// 2026-11-23.
const NOW: i64 = 1_795_392_000;
const DAY: u64 = 24 * 60 * 60;

/// Keeps what it is told: code and message.
#[derive(Default)]
struct Told(Mutex<Vec<(String, String)>>);

impl Told {
    fn push(&self, code: &str, message: &str) {
        self.0.lock().unwrap().push((code.to_owned(), message.to_owned()));
    }

    fn count(&self, code: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|(known, _)| known == code).count()
    }

    /// Waits until this was told so often.
    fn has(&self, code: &str, count: usize) -> bool {
        eventually(|| self.count(code) == count)
    }

    fn last(&self, code: &str) -> String {
        let told = self.0.lock().unwrap();
        told.iter().rfind(|(known, _)| known == code).unwrap().1.clone()
    }
}

impl Recorder for Told {
    fn wants_requests(&self) -> bool {
        false
    }
    fn served(&self, _: &Served<'_>) {}
    fn trouble(&self, trouble: &Trouble<'_>) {
        self.push(trouble.code, trouble.message);
    }
    fn notice(&self, notice: &Notice<'_>) {
        self.push(notice.code, notice.message);
    }
}

/// A proxy in this process with a TLS port, whose files are looked at all the time.
struct Site {
    running: Running,
    clock: Clock,
    told: Arc<Told>,
    directory: TempDir,
}

impl Site {
    fn new(limits: Limits) -> Self {
        Self::before("http://127.0.0.1:1", proxy::OriginTls::default(), limits)
    }

    fn before(origin: &str, origin_tls: proxy::OriginTls, limits: Limits) -> Self {
        let directory = TempDir::new().unwrap();
        let tls = TlsSettings::new(vec![issue(directory.path(), (2026, 12, 23))]);
        Self::with(directory, tls, origin, origin_tls, limits)
    }

    fn with(
        directory: TempDir,
        tls: TlsSettings,
        origin: &str,
        origin_tls: proxy::OriginTls,
        limits: Limits,
    ) -> Self {
        let clock = Clock::set_to(Timestamp::from_secs(NOW));
        let tls = TlsSettings { look: Duration::from_millis(5), ..tls };
        let mut settings = rig::settings(origin);
        for listen in &mut settings.listen {
            listen.speaks = Speaks::Https(tls.clone());
        }
        let settings = Settings { origin_tls, limits, clock: clock.clone(), ..settings };
        let told = Arc::new(Told::default());
        let recorder: Arc<dyn Recorder> = told.clone();
        let running = proxy::start(settings, recorder).unwrap();
        Self { running, clock, told, directory }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.running.local_addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn failures(&self, why: HandshakeFailure) -> u64 {
        self.running.handle().counts().handshake_failures[why as usize]
    }
}

/// A certificate that ends on this day.
fn issue(directory: &Path, end: (i32, u8, u8)) -> PairFiles {
    issue_from(directory, (2020, 1, 1), end)
}

fn issue_from(directory: &Path, begin: (i32, u8, u8), end: (i32, u8, u8)) -> PairFiles {
    let names = ["a.example".to_owned(), "*.b.example".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let date = |(year, month, day)| rcgen::date_time_ymd(year, month, day);
    (params.not_before, params.not_after) = (date(begin), date(end));
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let at = |name: &str| -> PathBuf { directory.join(name) };
    let files = PairFiles { certificate: at("a.pem"), key: at("a.key") };
    fs::write(&files.certificate, made.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

#[test]
fn the_end_of_a_certificate_is_told_and_warned_of_once_a_day() {
    let site = Site::new(Limits::default());
    let served = site.running.handle().certificates();
    assert_eq!(served.len(), 1);
    assert_eq!(served[0].names, ["a.example", "*.b.example"]);
    assert_eq!(served[0].not_after, Timestamp::from_secs(NOW + 30 * DAY as i64));
    let loaded = site.told.last("certificate-loaded");
    assert!(loaded.contains("a.example, *.b.example"), "{loaded}");
    assert!(loaded.ends_with("expires in 30 days"), "{loaded}");
    assert_eq!(site.told.count("certificate-expires"), 0);

    site.clock.advance(Duration::from_secs(16 * DAY));
    assert!(site.told.has("certificate-expires", 1));
    assert!(site.told.last("certificate-expires").ends_with("expires in 14 days"));
    site.clock.advance(Duration::from_secs(DAY - 1));
    assert!(!looked_again(&site, "certificate-expires", 2));
    site.clock.advance(Duration::from_secs(1));
    assert!(site.told.has("certificate-expires", 2));

    site.clock.advance(Duration::from_secs(13 * DAY));
    assert!(site.told.has("certificate-expired", 1));
}

/// Whether this was told so often after the files have been looked at a few more times.
fn looked_again(site: &Site, code: &str, count: usize) -> bool {
    // A broken pair is told at the end of the same look.
    let key = site.directory.path().join("a.key");
    let good = fs::read(&key).unwrap();
    let kept = site.told.count("certificate-kept");
    fs::write(&key, "no key").unwrap();
    assert!(site.told.has("certificate-kept", kept + 1));
    fs::write(&key, good).unwrap();
    site.told.count(code) >= count
}

#[test]
fn the_end_of_what_the_origin_is_shown_is_told_and_warned_of_too() {
    let directory = TempDir::new().unwrap();
    let identity = issue(directory.path(), (2026, 12, 13));
    let origin_tls =
        proxy::OriginTls { identity: Some(identity), unchecked: true, ..Default::default() };
    let site = Site::before("https://127.0.0.1:1", origin_tls, Limits::default());
    let shown = site.running.handle().origin_certificate().unwrap();
    assert_eq!(shown.not_after, Timestamp::from_secs(NOW + 20 * DAY as i64));
    let loaded = site.told.last("certificate-loaded");
    assert!(loaded.starts_with("showing the origin the certificate for a.example"), "{loaded}");
    assert!(loaded.ends_with("expires in 20 days"), "{loaded}");
    site.clock.advance(Duration::from_secs(6 * DAY));
    assert!(site.told.has("certificate-expires", 1));
    assert!(site.told.last("certificate-expires").ends_with("expires in 14 days"));
    site.clock.advance(Duration::from_secs(14 * DAY));
    assert!(site.told.has("certificate-expired", 1));
    let refused = "the origin will refuse the certificate";
    assert!(site.told.last("certificate-expired").starts_with(refused));
}

#[test]
fn a_renewed_certificate_ends_the_warnings() {
    let site = Site::new(Limits::default());
    site.clock.advance(Duration::from_secs(20 * DAY));
    assert!(site.told.has("certificate-expires", 1));
    issue(site.directory.path(), (2027, 3, 1));
    assert!(site.told.has("certificate-renewed", 1));
    let served = site.running.handle().certificates();
    assert_eq!(served[0].not_after, Timestamp::from_secs(1_803_859_200));
    site.clock.advance(Duration::from_secs(2 * DAY));
    assert!(!looked_again(&site, "certificate-expires", 2));
}

#[test]
fn a_connection_that_has_said_nothing_makes_way() {
    let mut limits = Limits::default();
    limits.connections.listener = 1;
    limits.connections.spared_idle = Duration::from_millis(100);
    let site = Site::new(limits);
    let connections = || site.running.handle().connections_of_listeners()[0].1;
    let mut silent = site.connect();
    std::thread::sleep(Duration::from_millis(200));
    let mut next = site.connect();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert_eq!(connections().made_way, 1);
    // One that has begun does not.
    next.write_all(&[22, 3, 1]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let mut refused = site.connect();
    assert!(eventually(|| connections().refused == 1));
    assert!(refused.read(&mut [0]).is_ok_and(|count| count == 0));
}

#[test]
fn a_handshake_that_takes_too_long_is_cut_counted_and_told() {
    let limits = Limits { handshake_timeout: Duration::from_millis(100), ..Limits::default() };
    let site = Site::new(limits);
    // Nothing at all; a first byte and no more.
    for (sent, count) in [(&[][..], 1), (&[22, 3, 1], 2)] {
        let mut stream = site.connect();
        stream.write_all(sent).unwrap();
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        assert!(eventually(|| site.failures(HandshakeFailure::Timeout) == count));
    }
    assert!(site.told.last("handshake-timeout").contains("longer than 100ms"));
    assert_eq!(site.told.count("handshake-timeout"), 1);
}

#[test]
fn a_handshake_that_begins_late_and_in_time_is_judged_by_what_it_says() {
    let limit = Duration::from_secs(3);
    let site = Site::new(Limits { handshake_timeout: limit, ..Limits::default() });
    let mut stream = site.connect();
    std::thread::sleep(limit / 3);
    // Not what is spoken here, which is seen only if it is still listened to.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    assert_eq!(site.failures(HandshakeFailure::Timeout), 0);
}

#[test]
fn who_only_looks_whether_the_port_is_open_is_counted_and_not_told() {
    let site = Site::new(Limits::default());
    drop(site.connect());
    assert!(eventually(|| site.failures(HandshakeFailure::Closed) == 1));
    assert_eq!(site.told.count("handshake-closed"), 0);
}
