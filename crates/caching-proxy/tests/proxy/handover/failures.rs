//! What goes wrong leaves the process that runs as it was.

use std::time::Instant;

use testkit::{Launch, eventually};

use super::pretender::Pretender;
use super::{get, has_ended, site};
use crate::Proxy;

#[test]
fn where_nothing_runs_it_simply_starts() {
    let origin = site();
    let mut proxy = Proxy::with(&origin, &["--take-over"]);
    assert_eq!(get(&proxy, "/"), "MISS");
    proxy.terminate();
    proxy.start();
    assert_eq!(get(&proxy, "/"), "HIT");
}

#[test]
fn unasked_nobody_is_taken_over_from() {
    let origin = site();
    let proxy = Proxy::before(&origin);
    let output = proxy.launch().run();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("--take-over"), "{}", output.stderr);
    assert_eq!(get(&proxy, "/"), "MISS");
}

#[test]
fn what_cannot_be_started_changes_nothing() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    assert_eq!(get(&proxy, "/"), "MISS");
    let missing = proxy.directory.path().join("missing.pem");
    let missing = missing.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let rows: [&[&str]; 3] = [
        &["--tls-port", "0", "--tls-cert", missing, "--tls-key", missing],
        &["--tls-port", &port, "--tls-self-signed"],
        &["--origin-ca", missing],
    ];
    for args in rows {
        let output = proxy.launch().arg("--take-over").args(args).run();
        assert!(matches!(output.code, Some(1 | 2)), "{args:?}: {}", output.stderr);
        assert_eq!(get(&proxy, "/"), "HIT");
        assert!(proxy.binary().is_running());
    }
    // Nor does it keep the next one from it.
    let older = proxy.take_over();
    assert_eq!(get(&proxy, "/"), "HIT");
    has_ended(older);
}

#[test]
fn a_process_that_dies_before_it_serves_leaves_all_as_it_was() {
    let origin = site();
    let mut proxy = Proxy::with(&origin, &["--memory", "1MiB"]);
    assert_eq!(get(&proxy, "/"), "MISS");
    let mut kept = proxy.client();
    kept.get("/");
    drop(Pretender::before(&proxy));
    // It may not be known at once that this one is gone.
    let mut pretender = Pretender::before(&proxy);
    while !pretender.may_take() {
        pretender = Pretender::before(&proxy);
    }
    pretender.takes_all_that_is_left();
    // While it thinks.
    assert_eq!(get(&proxy, "/"), "HIT");
    assert_eq!(get(&proxy, "/meanwhile"), "MISS");
    let mut second = Pretender::before(&proxy);
    second.hears("taking over already");
    drop(pretender);
    assert!(proxy.binary().says("take-over-failed"));
    assert_eq!(kept.get("/").field("Connection"), None);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(get(&proxy, path), "MISS");
    }
    proxy.terminate();
    proxy.start();
    for path in ["/", "/a", "/b", "/c"] {
        assert_eq!(get(&proxy, path), "HIT", "{path} was kept on disk");
    }
    let older = proxy.take_over();
    assert_eq!(get(&proxy, "/c"), "HIT");
    has_ended(older);
}

#[test]
fn a_socket_that_an_earlier_process_left_is_not_taken_back_for_this_ones() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    let place = proxy.directory.path().join("cache");
    drop(std::os::unix::net::UnixListener::bind(place.join("control.former")).unwrap());
    let mut pretender = Pretender::before(&proxy);
    pretender.takes_all();
    drop(pretender);
    assert!(proxy.binary().says("take-over-failed"));
    assert_eq!(get(&proxy, "/"), "MISS");
    let older = proxy.take_over();
    assert_eq!(get(&proxy, "/"), "HIT");
    has_ended(older);
}

#[test]
fn a_directory_that_is_in_use_by_nobody_who_listens_is_taken_when_it_is_free() {
    let origin = site();
    let directory = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(directory.path().join("instance.lock")).unwrap();
    lock.lock().unwrap();
    let freed = std::thread::spawn(move || {
        std::thread::sleep(crate::millis(500));
        drop(lock);
    });
    let launch = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--port", "0", "--origin", &origin.url(), "--take-over", "--cache-dir"])
        .arg(directory.path());
    let heir = launch.start();
    freed.join().unwrap();
    assert!(heir.terminate().success());
}

#[test]
fn an_unsafe_request_waits_until_it_is_known_who_has_to_know_of_it() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    assert_eq!(get(&proxy, "/"), "MISS");
    let mut pretender = Pretender::before(&proxy);
    pretender.takes_all();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: site.example\r\nContent-Length: 0\r\n\r\n");
    assert!(eventually(|| origin.count() == 2));
    assert!(client.stays_open(crate::millis(200)), "no answer yet");
    drop(pretender);
    assert_eq!(client.response().status, 200);
    proxy.kill9();
    proxy.start();
    assert_eq!(get(&proxy, "/"), "MISS", "it is gone from the disk");
}

#[test]
fn a_signal_meanwhile_ends_the_process_when_it_is_known_who_serves() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    assert_eq!(get(&proxy, "/"), "MISS");
    let mut pretender = Pretender::before(&proxy);
    pretender.takes_all();
    proxy.binary().send_term();
    assert_eq!(get(&proxy, "/"), "HIT", "as long as nobody knows, it serves");
    drop(pretender);
    assert_eq!(proxy.binary().exited().code(), Some(0));
    proxy.start();
    assert_eq!(get(&proxy, "/"), "HIT");
}

#[test]
fn a_process_that_says_nonsense_is_refused() {
    let origin = site();
    let proxy = Proxy::before(&origin);
    let mut pretender = Pretender::before(&proxy);
    pretender.hears(r#""pid""#);
    pretender.say(r#"{"hello":1}"#);
    pretender.hears("another version");
    assert_eq!(get(&proxy, "/"), "MISS");
    assert_eq!(get(&proxy, "/"), "HIT");
}

#[test]
fn a_signal_to_the_older_process_ends_its_patience_with_silent_clients() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    let mut silent = proxy.client();
    silent.get("/");
    let mut older = proxy.take_over();
    assert!(silent.stays_open(crate::millis(1_000)), "it may ask once more");
    older.send_term();
    let told = Instant::now();
    assert!(silent.at_eof());
    assert_eq!(older.exited().code(), Some(0));
    assert!(told.elapsed() < crate::millis(2_000), "{:?}", told.elapsed());
}
