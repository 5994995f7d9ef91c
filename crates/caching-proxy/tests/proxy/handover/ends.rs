//! One of the two is killed, or told to end, at some step.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use testkit::{Binary, Launch, Origin, eventually};

use super::has_ended;
use super::pretender::Pretender;
use crate::purging::purge;
use crate::{Proxy, cache, millis, ok};

fn site() -> (Origin, Arc<AtomicU64>) {
    let version = Arc::new(AtomicU64::new(1));
    let told = Arc::clone(&version);
    let origin = Origin::start(move |request, conn| {
        let text = format!("{} {}", request.target, told.load(Ordering::SeqCst));
        conn.send(ok("Cache-Control: max-age=3600\r\n", &text));
    });
    (origin, version)
}

/// Sends half of each response, and the rest when what is returned is dropped.
fn slow_site() -> (Origin, Sender<()>) {
    let (rest, waits) = channel();
    let waits = Mutex::new(waits);
    let origin = Origin::start(move |_, conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
        let _ = waits.lock().unwrap().recv();
        conn.send("b");
    });
    (origin, rest)
}

fn starter(origin: &Origin, directory: &Path) -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--port", "0", "--origin", &origin.url(), "--take-over", "--cache-dir"])
        .arg(directory)
}

/// How far an older process gets before it is gone.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// Somebody has connected.
    Asked,
    /// It has told that it lets the other one take over.
    Offered,
    /// The other one is ready.
    Ready,
    /// It has said that it was told to end before the other one was ready.
    Ending,
}

/// Acts as an older process as far as this, and is gone then with its lock.
fn older(listener: &UnixListener, lock: File, until: Until) {
    let (stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(&stream);
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    if !matches!(until, Until::Asked) {
        writeln!(&stream, r#"{{"pid":1}}"#).unwrap();
    }
    if matches!(until, Until::Ready | Until::Ending) {
        line.clear();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains("ready"), "{line}");
    }
    if matches!(until, Until::Ending) {
        writeln!(&stream, r#"{{"error":"I end","passing":true}}"#).unwrap();
    }
    drop(lock);
}

#[test]
fn a_process_that_ends_before_it_has_given_all_is_taken_for_gone() {
    for until in [Until::Asked, Until::Offered, Until::Ready, Until::Ending] {
        let (origin, _) = site();
        let directory = tempfile::tempdir().unwrap();
        let lock = File::create(directory.path().join("instance.lock")).unwrap();
        lock.lock().unwrap();
        let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        let mut newer = starter(&origin, directory.path()).begin();
        older(&listener, lock, until);
        drop(listener);
        assert!(newer.is_ready(), "{until:?}: {}", newer.stderr());
        assert!(newer.terminate().success());
    }
}

#[test]
fn where_nobody_can_take_over_at_this_moment_it_is_tried_again() {
    let (origin, _) = site();
    let directory = tempfile::tempdir().unwrap();
    let lock = File::create(directory.path().join("instance.lock")).unwrap();
    lock.lock().unwrap();
    let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
    let mut newer = starter(&origin, directory.path()).begin();
    listener.set_nonblocking(true).unwrap();
    for _ in 0..3 {
        let mut next = None;
        assert!(eventually(|| {
            next = listener.accept().ok();
            next.is_some()
        }));
        let (stream, _) = next.unwrap();
        stream.set_nonblocking(false).unwrap();
        BufReader::new(&stream).read_line(&mut String::new()).unwrap();
        writeln!(&stream, r#"{{"error":"not now","passing":true}}"#).unwrap();
    }
    drop((lock, listener));
    assert!(newer.is_ready(), "{}", newer.stderr());
    assert!(newer.terminate().success());
}

/// One that did not wait would be gone by then. (A machine on which it has not even asked proves nothing.)
fn waits(newer: &mut Binary) {
    thread::sleep(millis(300));
    assert!(newer.is_running(), "{}", newer.stderr());
}

#[test]
fn one_that_comes_while_another_takes_over_or_the_older_one_drains_has_its_turn() {
    let (origin, rest) = slow_site();
    let mut proxy = Proxy::before(&origin);
    let mut first = Pretender::before(&proxy);
    first.hears(r#""pid""#);
    Pretender::before(&proxy).hears(r#"already","passing":true"#);
    let mut newer = proxy.launch().arg("--take-over").begin();
    waits(&mut newer);
    drop(first);
    let older = proxy.binary.replace(newer).unwrap();
    assert!(proxy.binary().is_ready(), "{}", proxy.binary().stderr());
    assert!(!older.stderr().contains("take-over-failed"), "{}", older.stderr());
    has_ended(older);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    assert!(eventually(|| origin.count() == 1));
    proxy.binary().send_term();
    assert!(proxy.binary().says(r#""event":"draining""#));
    let mut newer = proxy.launch().arg("--take-over").begin();
    waits(&mut newer);
    drop(rest);
    assert_eq!(client.response().text(), "ab");
    has_ended(proxy.binary.replace(newer).unwrap());
    assert!(proxy.binary().is_ready(), "{}", proxy.binary().stderr());
    proxy.terminate();
}

#[test]
fn one_that_has_the_directory_waits_for_the_end_of_who_still_has_the_store() {
    let (origin, _) = site();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("store")).unwrap();
    let lock = File::create(directory.path().join("store/lock")).unwrap();
    lock.lock().unwrap();
    let mut newer = starter(&origin, directory.path()).begin();
    waits(&mut newer);
    drop(lock);
    assert!(newer.is_ready(), "{}", newer.stderr());
    assert!(newer.terminate().success());
}

#[test]
fn a_signal_before_the_other_one_is_ready_has_nobody_take_over() {
    // A response that is not whole keeps it from ending before it is asked.
    let (origin, rest) = slow_site();
    let mut proxy = Proxy::before(&origin);
    let mut pretender = Pretender::before(&proxy);
    pretender.hears(r#""pid""#);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    assert!(eventually(|| origin.count() == 1));
    proxy.binary().send_term();
    assert!(proxy.binary().says(r#""event":"draining""#));
    pretender.say(&format!(r#"{{"ready":{}}}"#, std::process::id()));
    pretender.hears(r#"does not accept connections any more","passing":true"#);
    drop(rest);
    assert_eq!(client.response().text(), "ab");
    assert_eq!(proxy.binary().exited().code(), Some(0));
    proxy.start();
}

#[test]
fn a_signal_to_the_newer_one_before_it_has_taken_over_leaves_all_to_the_older_one() {
    let (origin, _) = site();
    let directory = tempfile::tempdir().unwrap();
    let lock = File::create(directory.path().join("instance.lock")).unwrap();
    lock.lock().unwrap();
    let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
    let mut newer = starter(&origin, directory.path()).begin();
    let (stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(&stream).lines();
    assert!(lines.next().unwrap().unwrap().contains("take-over"));
    writeln!(&stream, r#"{{"pid":1}}"#).unwrap();
    assert!(lines.next().unwrap().unwrap().contains("ready"));
    // One that only has certificates read again does not end it.
    newer.send_hangup();
    newer.send_term();
    assert_eq!(newer.exited().code(), Some(143));
    assert!(lines.next().is_none_or(|line| line.is_err()), "it does not say that it serves");
}

#[test]
fn a_process_of_another_number_than_it_says_is_given_nothing() {
    let (origin, _) = site();
    let mut proxy = Proxy::before(&origin);
    let mut pretender = Pretender::before(&proxy);
    pretender.hears(r#""pid""#);
    pretender.say(r#"{"ready":1}"#);
    pretender.hears("cannot be seen from here");
    assert_eq!(cache(&proxy.get("/")), "MISS");
    proxy.terminate();
}

#[test]
fn a_second_signal_ends_a_process_that_was_replaced_at_once() {
    let (origin, _rest) = slow_site();
    let mut proxy = Proxy::before(&origin);
    let mut silent = proxy.client();
    assert_eq!(silent.request("OPTIONS", "/", &[("Max-Forwards", "0")]).status, 200);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    assert!(eventually(|| origin.count() == 1));
    let mut older = proxy.take_over();
    older.send_term();
    assert!(silent.at_eof(), "it does not wait for those who say nothing");
    assert!(older.is_running(), "requests have their time");
    older.send_term();
    assert_eq!(older.exited().code(), Some(143));
    assert!(!client.response().complete);
    proxy.terminate();
}

#[cfg(target_os = "linux")]
fn has_lock(binary: &Binary) -> bool {
    binary.open_files().iter().any(|name| name.contains("lock"))
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_was_replaced_does_not_keep_the_directory() {
    let (origin, _) = site();
    let mut proxy = Proxy::before(&origin);
    assert!(has_lock(proxy.binary()));
    let mut kept = proxy.client();
    kept.get("/");
    let mut older = proxy.take_over();
    assert!(!has_lock(&older), "{:?}", older.open_files());
    proxy.kill9();
    assert!(older.is_running(), "it has a client left");
    let began = std::time::Instant::now();
    proxy.start();
    assert!(began.elapsed() < millis(2_000));
    assert_eq!(proxy.get("/").text(), "/ 1");
}

/// Whether an instance listens to commands, and knows that they are for it.
fn answers(proxy: &Proxy) -> bool {
    let socket = proxy.directory.path().join("cache/control.sock");
    let mut answer = String::new();
    let asked = UnixStream::connect(socket).and_then(|mut socket| {
        socket.write_all(b"{\"command\":\"stats\"}\n")?;
        socket.read_to_string(&mut answer)
    });
    asked.is_ok() && answer.contains("requests")
}

/// `KILLS=200 cargo test -p caching-proxy --test proxy handover::ends -- --nocapture` goes on for
/// longer.
#[test]
fn no_kill_of_either_leaves_nobody_or_an_older_version() {
    let rounds = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let (origin, version) = site();
    let mut proxy = Proxy::before(&origin);
    for round in 0..rounds {
        let mut newer = proxy.launch().arg("--take-over").begin();
        // Over the whole time that a takeover takes, and a little more.
        thread::sleep(millis(round * 37 % 90));
        if round % 2 == 0 {
            newer.kill9();
            let replaced =
                |proxy: &mut Proxy| proxy.binary().stderr().contains(r#""event":"replaced""#);
            assert!(eventually(|| replaced(&mut proxy) || answers(&proxy)), "round {round}");
            if replaced(&mut proxy) {
                proxy.binary = Some(proxy.launch().arg("--take-over").start());
            }
        } else {
            let older = proxy.binary.take().unwrap();
            older.kill9();
            assert!(newer.is_ready(), "round {round}: {}", newer.stderr());
            proxy.binary = Some(newer);
        }
        let now = version.fetch_add(1, Ordering::SeqCst) + 1;
        let output = purge(&proxy, &["--all"]);
        assert_eq!(output.code, Some(0), "round {round}: {}", output.stderr);
        for path in ["/a", "/b"] {
            assert_eq!(proxy.get(path).text(), format!("{path} {now}"), "round {round}");
        }
    }
    proxy.terminate();
}
