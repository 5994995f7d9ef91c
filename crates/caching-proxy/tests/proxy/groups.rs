//! Cache groups (RFC 9875): an unsafe request makes whole groups untrue, now and after a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use testkit::{Origin, Response};

use crate::{Proxy, cache, cache_status, millis, ok, response};

/// An origin whose resources have the groups that their paths name: `/red+blue` is in two. What it
/// answers to other methods than GET is asked for in fields of the request.
fn grouping() -> Origin {
    Origin::start(|request, conn| {
        let names = request.target.trim_start_matches('/').split('?').next().unwrap_or_default();
        let groups: Vec<_> = names.split('+').map(|name| format!("\"{name}\"")).collect();
        let answer = match (request.method.as_str(), names) {
            ("GET", "") => ok("Cache-Control: max-age=60\r\n", "ungrouped"),
            ("GET", _) => {
                let groups = groups.join(", ");
                let invalidates = request.field("Invalidate").unwrap_or("none");
                let fields = format!(
                    "Cache-Control: max-age=60\r\nCache-Groups: {groups}\r\n\
                     Cache-Group-Invalidation: {invalidates}\r\n"
                );
                ok(&fields, names)
            }
            _ => {
                let invalidates = request.field("Invalidate").unwrap_or_default();
                let status = request.field("Status").unwrap_or("200 OK");
                response(status, &format!("Cache-Group-Invalidation: {invalidates}\r\n"), "done")
            }
        };
        conn.send(answer);
    })
}

/// One request for a path of a host.
fn ask(proxy: &Proxy, method: &str, host: &str, path: &str, fields: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
    client.response()
}

fn get(proxy: &Proxy, path: &str) -> String {
    cache(&ask(proxy, "GET", "site.example", path, "")).to_owned()
}

/// An unsafe request for something that nobody stored.
fn post(proxy: &Proxy, fields: &str) {
    let answer = ask(proxy, "POST", "site.example", "/elsewhere", fields);
    assert_eq!(answer.text(), "done");
}

#[test]
fn a_post_ends_the_groups_that_its_response_names() {
    let origin = grouping();
    let proxy = Proxy::before(&origin);
    let paths = ["/red", "/blue+red", "/green", "/", "/Red"];
    for path in paths {
        assert_eq!((get(&proxy, path), get(&proxy, path)), ("MISS".into(), "HIT".into()));
    }
    for host in ["other.example", "site.example:81"] {
        assert_eq!(cache(&ask(&proxy, "GET", host, "/red", "")), "MISS");
    }
    post(&proxy, "Invalidate: \"red\"; why=x, \"violet\"\r\n");
    let now = paths.map(|path| get(&proxy, path));
    assert_eq!(now, ["MISS", "MISS", "HIT", "HIT", "HIT"]);
    for host in ["other.example", "site.example:81"] {
        assert_eq!(cache(&ask(&proxy, "GET", host, "/red", "")), "HIT", "another origin");
    }
    // Stored anew they stay.
    let now = paths.map(|path| get(&proxy, path));
    assert_eq!(now, ["HIT"; 5]);
    // The host in other letters and with its port is the same origin.
    let again = ask(&proxy, "PUT", "SITE.example:80", "/elsewhere", "Invalidate: \"blue\"\r\n");
    assert_eq!(again.field("Cache-Group-Invalidation"), Some("\"blue\""), "passed on");
    assert_eq!((get(&proxy, "/blue+red"), get(&proxy, "/red")), ("MISS".into(), "HIT".into()));
}

#[test]
fn only_a_sound_field_of_a_response_to_an_unsafe_request_counts() {
    let origin = grouping();
    let proxy = Proxy::before(&origin);
    get(&proxy, "/red");
    ask(&proxy, "GET", "site.example", "/green", "Invalidate: \"red\"\r\n");
    for method in ["OPTIONS", "QUERY"] {
        ask(&proxy, method, "site.example", "/elsewhere", "Invalidate: \"red\"\r\n");
    }
    for malformed in ["red", "\"red\",", "\"red\", 1", "(\"red\")"] {
        post(&proxy, &format!("Invalidate: {malformed}\r\n"));
    }
    assert_eq!(get(&proxy, "/red"), "HIT");
    // RFC 9875 does not ask for success: the origin says so itself.
    for status in ["404 Not Found", "500 Internal Server Error"] {
        post(&proxy, &format!("Status: {status}\r\nInvalidate: \"red\"\r\n"));
        assert_eq!((get(&proxy, "/red"), get(&proxy, "/red")), ("MISS".into(), "HIT".into()));
    }
}

#[test]
fn a_member_that_an_unsafe_request_invalidates_takes_its_groups_along() {
    let origin = grouping();
    let mut proxy = Proxy::before(&origin);
    let paths = ["/red", "/red+blue", "/blue", "/green"];
    let all = |proxy: &Proxy| paths.map(|path| get(proxy, path));
    all(&proxy);
    ask(&proxy, "POST", "site.example", "/red", "Status: 403 Forbidden\r\n");
    assert_eq!(all(&proxy), ["HIT"; 4], "an error invalidates nothing");
    ask(&proxy, "POST", "site.example", "/red", "");
    // `/red+blue` goes with its group, and does not take `/blue` with it.
    assert_eq!(all(&proxy), ["MISS", "MISS", "HIT", "HIT"]);
    // Also a member that is on disk alone.
    proxy.terminate();
    proxy.start();
    ask(&proxy, "DELETE", "site.example", "/red+blue", "Status: 204 No Content\r\n");
    assert_eq!(all(&proxy), ["MISS", "MISS", "MISS", "HIT"]);
}

#[test]
fn what_was_ended_stays_ended_after_a_restart_and_after_a_kill() {
    let origin = grouping();
    let mut proxy = Proxy::before(&origin);
    for kill in [false, true] {
        let paths = ["/red", "/red+blue", "/green", "/"];
        for path in paths {
            get(&proxy, path);
        }
        // So that all of it is on disk.
        proxy.terminate();
        proxy.start();
        post(&proxy, "Invalidate: \"red\"\r\n");
        if kill {
            proxy.kill9();
        } else {
            proxy.terminate();
        }
        proxy.start();
        assert_eq!(paths.map(|path| get(&proxy, path)), ["MISS", "MISS", "HIT", "HIT"], "{kill}");
        assert_eq!(get(&proxy, "/red"), "HIT");
    }
}

#[test]
fn without_a_disk_it_is_the_same() {
    let origin = grouping();
    let proxy = Proxy::with(&origin, &["--no-disk"]);
    get(&proxy, "/red");
    get(&proxy, "/green");
    post(&proxy, "Invalidate: \"red\"\r\n");
    assert_eq!((get(&proxy, "/red"), get(&proxy, "/green")), ("MISS".into(), "HIT".into()));
}

#[test]
fn a_damaged_record_of_invalidations_resurrects_nothing() {
    let origin = Origin::start(|request, conn| {
        let field = match request.target.as_str() {
            "/group" => "Cache-Groups: \"a\"\r\n",
            "/surrogate-key" => "Surrogate-Key: a b\r\n",
            "/cache-tag" => "Cache-Tag: a,b\r\n",
            "/xkey" => "xkey: a\r\nxkey: b\r\n",
            _ => "",
        };
        conn.send(ok(&format!("Cache-Control: max-age=60\r\n{field}"), "x"));
    });
    let mut proxy = Proxy::before(&origin);
    let paths = ["/group", "/surrogate-key", "/cache-tag", "/xkey", "/other"];
    for path in paths {
        get(&proxy, path);
    }
    let tagged = ask(&proxy, "GET", "site.example", "/surrogate-key", "");
    assert_eq!(tagged.field("Surrogate-Key"), Some("a b"), "passed on");
    proxy.terminate();
    let log = find(proxy.directory.path(), "events").unwrap();
    let mut bytes = fs::read(&log).unwrap();
    bytes[20] ^= 4;
    fs::write(&log, bytes).unwrap();
    proxy.start();
    // In doubt all of it is dead: any of it may have been purged.
    let now = paths.map(|path| get(&proxy, path));
    assert_eq!(now, ["MISS"; 5]);
    thread::sleep(millis(1500));
    let told = proxy.binary().stderr();
    assert!(told.contains("store-events-lost"), "{told}");
    proxy.terminate();
    proxy.start();
    assert_eq!(paths.map(|path| get(&proxy, path)), ["HIT"; 5]);
}

fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(directory).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}

#[test]
fn a_clear_empties_the_record_too() {
    let origin = grouping();
    let mut proxy = Proxy::before(&origin);
    get(&proxy, "/red");
    post(&proxy, "Invalidate: \"red\", \"blue\"\r\n");
    let log = find(proxy.directory.path(), "events").unwrap();
    let length = || fs::metadata(&log).unwrap().len();
    let two_events = length();
    let clear = |proxy: &Proxy| {
        let directory = proxy.directory.path().join("cache");
        let launch = testkit::Launch::new(env!("CARGO_BIN_EXE_caching-proxy"));
        let done = launch.arg("--clear-cache").arg("--cache-dir").arg(directory).run();
        assert!(done.status.success(), "{}", done.stderr);
    };
    clear(&proxy);
    assert!(length() < two_events);
    assert_eq!((get(&proxy, "/red"), get(&proxy, "/red")), ("MISS".into(), "HIT".into()));
    post(&proxy, "Invalidate: \"blue\"\r\n");
    proxy.terminate();
    clear(&proxy);
    assert_eq!(length(), 56, "a header and no events");
    proxy.start();
    assert_eq!((get(&proxy, "/red"), get(&proxy, "/red")), ("MISS".into(), "HIT".into()));
}

/// An origin that answers a GET half when it is told to go on, and the rest when it is told again.
fn stepwise(steps: Receiver<()>) -> Origin {
    let steps = Mutex::new(steps);
    Origin::start(move |request, conn| {
        let wait = || steps.lock().unwrap().recv().unwrap();
        if request.method == "POST" {
            conn.send(ok("Cache-Group-Invalidation: \"red\"\r\n", ""));
            return;
        }
        wait();
        let fields = "Cache-Control: max-age=60\r\nCache-Groups: \"red\"\r\n";
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 6\r\n\r\nfir"));
        wait();
        conn.send("st!");
    })
}

fn wait_for(origin: &Origin, requests: usize) {
    while origin.count() < requests {
        thread::sleep(millis(5));
    }
}

#[test]
fn a_fetch_under_way_is_not_stored() {
    let (go_on, steps) = channel();
    let origin = stepwise(steps);
    let proxy = Proxy::before(&origin);
    let mut early = proxy.client();
    early.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    wait_for(&origin, 1);
    post_and_check(&proxy);
    for _ in 0..2 {
        go_on.send(()).unwrap();
    }
    let answer = early.response();
    assert_eq!(answer.text(), "first!", "who asked before gets the answer");
    assert!(
        cache_status(&answer).contains("detail=group-invalidated"),
        "{}",
        cache_status(&answer)
    );
    for _ in 0..2 {
        go_on.send(()).unwrap();
    }
    assert_eq!((get(&proxy, "/"), get(&proxy, "/")), ("MISS".into(), "HIT".into()));
    assert_eq!(origin.count(), 3);
}

#[test]
fn nobody_joins_a_fill_that_has_been_ended() {
    without_the_ended("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    without_the_ended("QUERY / HTTP/1.1\r\nHost: site.example\r\nContent-Length: 1\r\n\r\nq");
}

fn without_the_ended(asked: &str) {
    let (go_on, steps) = channel();
    let origin = stepwise(steps);
    let proxy = Proxy::before(&origin);
    let mut early = proxy.client();
    early.send(asked);
    go_on.send(()).unwrap();
    let mut head = early.head_to("GET").unwrap();
    post_and_check(&proxy);
    // Two who come after it share a fetch of their own.
    let mut late = [proxy.client(), proxy.client()];
    for client in &mut late {
        client.send(asked);
    }
    wait_for(&origin, 3);
    thread::sleep(millis(200));
    assert_eq!(origin.count(), 3);
    for _ in 0..3 {
        go_on.send(()).unwrap();
    }
    let mut body = Vec::new();
    early.body_into(&mut head, &mut |part| body.extend_from_slice(part)).unwrap();
    assert_eq!(body, b"first!");
    for client in &mut late {
        let answer = client.response();
        assert_eq!((cache(&answer), answer.text().as_str()), ("MISS", "first!"));
    }
    let mut client = proxy.client();
    client.send(asked);
    assert_eq!(cache(&client.response()), "HIT");
}

fn post_and_check(proxy: &Proxy) {
    let answer = ask(proxy, "POST", "site.example", "/elsewhere", "");
    assert_eq!(answer.field("Cache-Group-Invalidation"), Some("\"red\""));
}
