//! `--clear-cache` and several instances on one machine.

use std::path::Path;

use tempfile::TempDir;
use testkit::{Launch, Origin, Output};

use crate::{Proxy, cache, ok};

fn cached() -> Origin {
    Origin::answering(ok("Cache-Control: max-age=60\r\n", "hello"))
}

fn clear(directory: &Path) -> Output {
    Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--clear-cache", "--cache-dir"])
        .arg(directory)
        .run()
}

#[test]
fn a_running_instance_forgets_at_once() {
    let origin = cached();
    let proxy = Proxy::before(&origin);
    assert_eq!(cache(&proxy.get("/")), "MISS");
    assert_eq!(cache(&proxy.get("/")), "HIT");
    let output = clear(&proxy.directory.path().join("cache"));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("1 response"), "{}", output.stdout);
    assert_eq!(cache(&proxy.get("/")), "MISS");
    assert_eq!(cache(&proxy.get("/")), "HIT");
}

#[test]
fn without_an_instance_the_files_are_removed() {
    let origin = cached();
    let mut proxy = Proxy::before(&origin);
    assert_eq!(cache(&proxy.get("/")), "MISS");
    proxy.terminate();
    let output = clear(&proxy.directory.path().join("cache"));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("1 response"), "{}", output.stdout);
    let again = clear(&proxy.directory.path().join("cache"));
    assert_eq!(again.code, Some(0));
    assert!(!again.stdout.contains("1 response"), "{}", again.stdout);
}

#[test]
fn instances_with_default_directories_do_not_disturb_each_other() {
    let (one, two) = (cached(), cached());
    let home = TempDir::new().unwrap();
    let start = |origin: &Origin| {
        Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
            .args(["--port", "0", "--origin", &origin.url()])
            .env("XDG_CACHE_HOME", home.path())
            .start()
    };
    let (first, second) = (start(&one), start(&two));
    for binary in [&first, &second] {
        let mut client = testkit::Client::connect(("127.0.0.1", binary.port()));
        assert_eq!(cache(&client.get("/")), "MISS");
        assert_eq!(cache(&client.get("/")), "HIT");
    }
    let output = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--clear-cache", "--origin", &one.url()])
        .env("XDG_CACHE_HOME", home.path())
        .run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let ask = |port| cache(&testkit::Client::connect(("127.0.0.1", port)).get("/")).to_owned();
    assert_eq!(ask(first.port()), "MISS");
    assert_eq!(ask(second.port()), "HIT");
    let output = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .arg("--clear-cache")
        .env("XDG_CACHE_HOME", home.path())
        .run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(ask(second.port()), "MISS");
}

#[test]
fn a_directory_in_use_is_refused_and_its_holder_named() {
    let origin = cached();
    let mut proxy = Proxy::before(&origin);
    let output = proxy.launch().run();
    assert_eq!(output.code, Some(1));
    let pid = proxy.binary().pid().to_string();
    assert!(output.stderr.contains(&pid), "{}", output.stderr);
    assert_eq!(cache(&proxy.get("/")), "MISS");
}

#[test]
fn a_port_in_use_is_refused() {
    let origin = cached();
    let proxy = Proxy::before(&origin);
    let other = TempDir::new().unwrap();
    let output = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--origin", &origin.url(), "--port", &proxy.address().1.to_string()])
        .arg("--cache-dir")
        .arg(other.path().join("cache"))
        .run();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("in use"), "{}", output.stderr);
    assert!(output.stderr.lines().filter(|line| !line.is_empty()).count() == 1);
}
