//! What a cache directory is worth after a stop, a kill, or damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use testkit::{Client, Origin};

use crate::{Proxy, cache, millis, ok};

/// A body that says what it is, so that a mixed or cut one shows.
fn body(path: &str, length: usize) -> Vec<u8> {
    let line = format!("{path} of {length}\n");
    line.bytes().cycle().take(length).collect()
}

/// How long the body of a path is: small ones, and some that are streamed to disk.
fn length(path: &str) -> usize {
    let number: usize = path.trim_start_matches("/object-").parse().unwrap_or(0);
    match number % 25 {
        0 => 1_300_000,
        1..4 => 100_000,
        _ => 1_000 + number,
    }
}

/// Sends bodies that say what they are; while `slow`, in halves with a pause between.
fn describing(slow: &'static AtomicBool) -> Origin {
    Origin::start(move |request, conn| {
        let body = body(&request.target, length(&request.target));
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        let (first, second) = body.split_at(body.len() / 2);
        conn.send(first);
        if slow.load(Ordering::Relaxed) {
            conn.pause(millis(body.len() as u64 % 97));
        }
        conn.send(second);
    })
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_restart_keeps_the_cache() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\nX-Field: 1\r\n", "hello"));
    let mut proxy = Proxy::before(&origin);
    assert_eq!(cache(&fetch(&mut proxy.client(), "/")), "MISS");
    proxy.terminate();
    proxy.start();
    let again = fetch(&mut proxy.client(), "/");
    assert_eq!((cache(&again), again.text()), ("HIT", "hello".to_owned()));
    assert_eq!(again.field("X-Field"), Some("1"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_was_stored_with_a_cookie_is_not_there_for_those_who_refuse_that() {
    let origin = Origin::start(|request, conn| {
        // Whoever asks about it is told that it is the same.
        if request.field("if-none-match").is_some() {
            conn.send("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n");
            return;
        }
        let cookie = if request.target == "/with" { "Set-Cookie: a=b\r\n" } else { "" };
        let fields = format!("Cache-Control: max-age=60\r\nETag: \"1\"\r\n{cookie}");
        conn.send(ok(&fields, "hello"));
    });
    let mut proxy = Proxy::with(&origin, &["--set-cookie", "store"]);
    let mut found = |word: &str, path: &str| {
        let at = proxy.args.len() - 1;
        word.clone_into(&mut proxy.args[at]);
        proxy.terminate();
        proxy.start();
        let got = fetch(&mut proxy.client(), path);
        (cache(&got).to_owned(), got.field("Set-Cookie").is_some())
    };
    let was = |cache: &str, has_cookie: bool| (cache.to_owned(), has_cookie);
    assert_eq!(found("store", "/with"), was("MISS", true));
    assert_eq!(found("store", "/without"), was("MISS", false));
    assert_eq!(found("store", "/with"), was("HIT", true));
    assert_eq!(found("strip", "/without"), was("HIT", false));
    assert_eq!(found("refuse", "/without"), was("HIT", false));
    // Not even one that the origin would confirm.
    assert_eq!(found("refuse", "/with"), was("MISS", true));
    assert_eq!(found("strip", "/with"), was("MISS", true));
    assert_eq!(found("refuse", "/with"), was("HIT", false));
}

/// Requests that name the same host whatever port the system picked.
fn fetch(client: &mut Client, path: &str) -> testkit::Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n"));
    client.response()
}

#[test]
fn no_kill_leaves_a_wrong_body_behind() {
    const KILLS: usize = 20;
    const FILLS: usize = 1_000;
    static SLOW: AtomicBool = AtomicBool::new(false);
    testkit::raise_file_limit();
    let origin = describing(&SLOW);
    let mut proxy = Proxy::with(&origin, &["--origin-connections", "2000"]);
    for round in 0..KILLS {
        // Each round fills some that are stored already and some that are not.
        let paths: Vec<_> =
            (0..FILLS).map(|number| format!("/object-{}", round * 300 + number)).collect();
        SLOW.store(true, Ordering::Relaxed);
        let mut clients: Vec<_> = paths.iter().map(|_| proxy.client()).collect();
        for (client, path) in clients.iter_mut().zip(&paths) {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n"));
        }
        // Each round dies at another moment of the work.
        thread::sleep(millis(25 * round as u64));
        proxy.kill9();
        drop(clients);
        SLOW.store(false, Ordering::Relaxed);
        proxy.start();
        let mut client = proxy.client();
        let mut hits = 0;
        for path in &paths {
            let answer = fetch(&mut client, path);
            assert!(answer.complete, "{path}");
            check(path, &answer.body);
            hits += usize::from(cache(&answer) == "HIT");
        }
        println!("kill {round}: {hits} of {FILLS} bodies had been kept");
    }
    assert!(!proxy.binary().stderr().contains("panic"));
}

fn check(path: &str, got: &[u8]) {
    assert!(got == body(path, length(path)), "{path}: a wrong body of {} bytes", got.len());
}

#[test]
fn damaged_files_are_dropped_and_never_served() {
    static SLOW: AtomicBool = AtomicBool::new(false);
    let origin = describing(&SLOW);
    let mut proxy = Proxy::before(&origin);
    let paths: Vec<_> = (0..30).map(|number| format!("/object-{number}")).collect();
    for path in &paths {
        check(path, &fetch(&mut proxy.client(), path).body);
    }
    proxy.terminate();
    let stored: Vec<_> = files(&proxy.directory.path().join("cache"))
        .into_iter()
        .filter(|path| ["objects", "segments"].iter().any(|of| path.to_string_lossy().contains(of)))
        .collect();
    assert!(stored.len() > 1, "large ones in files, small ones in a segment");
    for (number, file) in stored.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        match number % 3 {
            _ if file.to_string_lossy().contains("segments") => {
                // Every other record or so, wherever that falls.
                let step = bytes.len() / 10;
                (0..10).for_each(|part| bytes[part * step + step / 2] ^= 1 << (part % 8));
            }
            0 => bytes.truncate(bytes.len() / 2),
            1 => {
                let place = (number * 7919) % bytes.len();
                bytes[place] ^= 1 << (number % 8);
            }
            _ => bytes.extend_from_slice(b"more"),
        }
        fs::write(file, bytes).unwrap();
    }
    proxy.start();
    for path in &paths {
        let answer = fetch(&mut proxy.client(), path);
        // Damage deep in a large body shows only when it is read: the client sees a cut.
        if !answer.complete {
            assert!(length(path) > 256 << 10, "{path} was cut");
            check(path, &fetch(&mut proxy.client(), path).body);
            continue;
        }
        check(path, &answer.body);
    }
}
