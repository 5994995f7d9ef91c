//! Certificates that change while they are served.

use std::fs;

use rcgen::CertificateParams;
use testkit::Origin;

use super::{Authority, TlsProxy, owned};
use crate::ok;

fn page() -> Origin {
    Origin::answering(ok("Cache-Control: max-age=60\r\n", "hello"))
}

#[test]
fn a_renewed_certificate_is_served_and_no_connection_is_dropped() {
    let (origin, authority) = (page(), Authority::new());
    let files = authority.issue("a", &["a.example"]);
    let mut proxy = TlsProxy::before(&origin.url(), &[&files]);
    let client = authority.client();
    let mut before = proxy.connect("a.example", &client);
    assert_eq!(before.get("/").status(), 200);
    let old = before.certificate();
    authority.issue("a", &["a.example", "b.example"]);
    proxy.binary.send_hangup();
    assert!(proxy.binary.says("certificate-renewed"));
    let new = proxy.connect("b.example", &client).certificate();
    assert_eq!(new, files.chain()[0]);
    assert_ne!(new, old);
    assert_eq!(before.get("/").status(), 200);
}

#[test]
fn a_bad_renewal_is_told_and_the_old_certificate_stays() {
    let (origin, authority) = (page(), Authority::new());
    let (files, other) =
        (authority.issue("a", &["a.example"]), authority.issue("b", &["b.example"]));
    let mut proxy = TlsProxy::before(&origin.url(), &[&files, &other]);
    let client = authority.client();
    let (old, renewed) = (files.chain(), authority.issue("b", &["b.example"]).chain());
    fs::write(&files.key, fs::read(&other.key).unwrap()).unwrap();
    proxy.binary.send_hangup();
    // The other is renewed all the same.
    assert!(proxy.binary.says("certificate-renewed"));
    assert!(proxy.binary.says("is not that of the certificate in"));
    assert_eq!(proxy.connect("a.example", &client).certificate(), old[0]);
    assert_eq!(proxy.connect("b.example", &client).certificate(), renewed[0]);
    fs::remove_file(&files.certificate).unwrap();
    proxy.binary.send_hangup();
    assert!(proxy.binary.says("No such file"));
    assert_eq!(proxy.connect("a.example", &client).certificate(), old[0]);
}

#[test]
fn a_changed_file_is_found_without_being_told() {
    let (origin, authority) = (page(), Authority::new());
    authority.issue("a", &["a.example"]);
    // As Kubernetes has it: the files lie in a directory that a link leads to, and the link is
    // replaced.
    let place = authority.directory.path();
    let swap = |name: &str| {
        fs::create_dir(place.join(name)).unwrap();
        for file in ["a.pem", "a.key"] {
            fs::rename(place.join(file), place.join(name).join(file)).unwrap();
        }
        std::os::unix::fs::symlink(place.join(name), place.join("next")).unwrap();
        fs::rename(place.join("next"), place.join("data")).unwrap();
    };
    swap("first");
    let files =
        super::Files { certificate: place.join("data/a.pem"), key: place.join("data/a.key") };
    let proxy = TlsProxy::before(&origin.url(), &[&files]);
    authority.issue("a", &["a.example", "new.example"]);
    swap("second");
    assert!(proxy.binary.says("certificate-renewed"));
    let served = proxy.connect("new.example", &authority.client()).certificate();
    assert_eq!(served, files.chain()[0]);
}

#[test]
fn an_expired_certificate_is_served_and_complained_about() {
    let (origin, authority) = (page(), Authority::new());
    let mut params = CertificateParams::new(owned(&["a.example"])).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let proxy = TlsProxy::before(&origin.url(), &[&authority.issue_with("a", &params)]);
    assert!(proxy.binary.says("certificate-expired"));
    let refused = super::Secured::connect(proxy.port(), "a.example", &authority.client());
    let error = refused.err().expect("an expired certificate").to_string();
    assert!(error.to_lowercase().contains("expired"), "{error}");
}

#[test]
fn the_control_socket_tells_when_certificates_end() {
    let authority = Authority::new();
    let issue = |name: &str, year| {
        let mut params = CertificateParams::new(owned(&[name])).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        authority.issue_with(name, &params)
    };
    let (served, shown) = (issue("a.example", 2040), issue("proxy.example", 2041));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let args = [
        ["--origin-ca".to_owned(), path(&authority.file())],
        ["--origin-cert".to_owned(), path(&shown.certificate)],
        ["--origin-key".to_owned(), path(&shown.key)],
    ];
    let args: Vec<_> = args.as_flattened().iter().map(String::as_str).collect();
    let proxy = TlsProxy::with("https://127.0.0.1:1", &[&served], &args);
    let stats = crate::stats(&proxy.directory);
    let expected = [
        (&stats["tls"]["certificates"][0], "a.example", "2040-01-01T00:00:00", 2_208_988_800_u64),
        (
            &stats["tls"]["origin_certificate"],
            "proxy.example",
            "2041-01-01T00:00:00",
            2_240_611_200,
        ),
    ];
    for (told, name, end, seconds) in expected {
        assert_eq!(told["names"][0], name, "{stats}");
        assert!(told["not_after"].as_str().unwrap().starts_with(end), "{stats}");
        assert_eq!(told["not_after_seconds"], seconds);
    }
}
