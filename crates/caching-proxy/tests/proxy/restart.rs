//! What a cache directory is worth after a stop, a kill, or damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testkit::{Client, Origin};

use crate::{Proxy, cache, millis, ok};

/// A body that says what it is, so that a mixed or cut one shows.
fn body(path: &str, length: usize) -> Vec<u8> {
    let line = format!("{path} of {length}\n");
    line.bytes().cycle().take(length).collect()
}

/// How long the body of a path is: small ones and some that are streamed to disk.
fn length(path: &str) -> usize {
    let number: usize = path.trim_start_matches("/object-").parse().unwrap_or(0);
    match number % 10 {
        0 => 3_000_000,
        1..4 => 100_000,
        _ => 1_000 + number,
    }
}

fn describing() -> Origin {
    Origin::start(|request, conn| {
        let body = body(&request.target, length(&request.target));
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        conn.send(body);
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

/// Requests that name the same host whatever port the system picked.
fn fetch(client: &mut Client, path: &str) -> testkit::Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n"));
    client.response()
}

#[test]
fn no_kill_leaves_a_wrong_body_behind() {
    const KILLS: usize = 20;
    const CLIENTS: usize = 50;
    const EACH: usize = 20;
    let origin = describing();
    let mut proxy = Proxy::with(&origin, &["--origin-connections", "2000"]);
    for round in 0..KILLS {
        let asked = AtomicUsize::new(0);
        let clients: Vec<_> = (0..CLIENTS).map(|_| proxy.client()).collect();
        thread::scope(|scope| {
            for (client, mut connection) in clients.into_iter().enumerate() {
                let asked = &asked;
                scope.spawn(move || {
                    for number in 0..EACH {
                        let number = round * 17 + client * EACH + number;
                        let path = format!("/object-{number}");
                        let request = format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n");
                        if !connection.send(request) {
                            return;
                        }
                        asked.fetch_add(1, Ordering::Relaxed);
                        match connection.try_response() {
                            Ok(answer) if answer.complete => check(&path, &answer.body),
                            _ => return,
                        }
                    }
                });
            }
            // Each round dies at another moment of the work.
            while asked.load(Ordering::Relaxed) < CLIENTS {
                thread::yield_now();
            }
            thread::sleep(millis(7 * round as u64));
            proxy.kill9();
        });
        proxy.start();
        let mut client = proxy.client();
        for number in (0..CLIENTS * EACH).step_by(29) {
            let path = format!("/object-{}", round * 17 + number);
            let answer = fetch(&mut client, &path);
            assert!(answer.complete);
            check(&path, &answer.body);
        }
    }
    assert!(!proxy.binary().stderr().contains("panic"));
}

fn check(path: &str, got: &[u8]) {
    assert!(got == body(path, length(path)), "{path}: a wrong body of {} bytes", got.len());
}

#[test]
fn damaged_files_are_dropped_and_never_served() {
    let origin = describing();
    let mut proxy = Proxy::before(&origin);
    let paths: Vec<_> = (0..30).map(|number| format!("/object-{number}")).collect();
    for path in &paths {
        check(path, &fetch(&mut proxy.client(), path).body);
    }
    proxy.terminate();
    let stored: Vec<_> = files(&proxy.directory.path().join("cache"))
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("objects"))
        .collect();
    assert_eq!(stored.len(), paths.len());
    for (number, file) in stored.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        match number % 3 {
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
        if answer.complete {
            check(path, &answer.body);
        } else {
            check(path, &fetch(&mut proxy.client(), path).body);
        }
    }
}
