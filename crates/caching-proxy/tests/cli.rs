//! The real binary where it does not serve: bad input, help, and clearing without an instance.

use std::fs;
use std::net::TcpListener;

use testkit::{Launch, Output};

fn program() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
}

fn run(args: &[&str]) -> Output {
    program().args(args).run()
}

/// One line on standard error, nothing on standard output, and this exit code.
fn refused(output: &Output, code: i32) -> &str {
    assert_eq!((output.code, output.stdout.as_str()), (Some(code), ""), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    let line = output.stderr.strip_prefix("caching-proxy: ").unwrap_or_default();
    line.strip_suffix('\n').unwrap_or_default()
}

#[test]
fn bad_input_is_refused_in_one_line_with_exit_code_2() {
    let origin = ["--origin", "http://127.0.0.1:1"];
    let table: &[(&[&str], &str)] = &[
        (&[], "--origin: it is missing"),
        (&["--origin", "http://127.0.0.1:1"], "--port: it is missing"),
        (&["--prot", "3000"], "unknown option \"--prot\"; did you mean --port?"),
        (&["--port", "70000", origin[0], origin[1]], "--port: \"70000\": it is out of range"),
        (&["--port", "1", "--origin", "nowhere"], "--origin: \"nowhere\": it must start with"),
        (&["--port", "1", "--origin", "http://a/?q=1"], "--origin: \"http://a/?q=1\": it must end"),
        (&["--port", "1", "--memory", "lots", origin[0], origin[1]], "--memory: \"lots\":"),
        (
            &["--port", "1", "--cache-ttl", "5 years", origin[0], origin[1]],
            "--cache-ttl: \"5 years\"",
        ),
        (&["purge"], "purge: nothing is named"),
        (&["purge", "--url", "a"], "--url: \"a\": it must start with"),
        (&["serve"], "unexpected argument \"serve\""),
        (&["demo", "--origin", "http://a"], "unknown option \"--origin\""),
    ];
    for (args, start) in table {
        let output = run(args);
        let line = refused(&output, 2);
        assert!(line.starts_with(start), "{args:?}: {line}");
        assert!(line.contains([';', '?']), "no fix: {line}");
    }
}

#[test]
fn a_bad_variable_is_refused_by_its_name() {
    let output = program().env("CACHING_PROXY_PORT", "high").arg("--origin=http://a").run();
    let line = refused(&output, 2);
    assert!(line.starts_with("--port (from CACHING_PROXY_PORT): \"high\": "), "{line}");
}

#[test]
fn help_shows_the_options_their_variables_and_examples() {
    let output = run(&["--help"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    for part in ["Examples:", "--cache-ttl", "CACHING_PROXY_CACHE_TTL", "demo"] {
        assert!(output.stdout.contains(part), "{part} is not in {}", output.stdout);
    }
}

#[test]
fn version_is_the_crates() {
    let output = run(&["--version"]);
    let expected = format!("caching-proxy {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((output.code, output.stdout), (Some(0), expected));
}

#[test]
fn clearing_where_nothing_is_says_so_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let output = program().env("XDG_CACHE_HOME", home.path()).arg("--clear-cache").run();
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "nothing to clear\n"));
    let named = home.path().join("named");
    let output = program().arg("--clear-cache").arg("--cache-dir").arg(&named).run();
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "nothing to clear\n"));
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
}

#[test]
fn clearing_without_a_home_says_what_to_do() {
    let output = run(&["--clear-cache"]);
    assert!(refused(&output, 1).contains("--cache-dir DIR"), "{}", output.stderr);
}

#[test]
fn a_cache_directory_that_cannot_be_made_is_a_fault_at_run_time() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let serve = ["--port", "0", "--origin", "http://127.0.0.1:1", "--cache-dir"];
    let output = program().args(serve).arg(file.join("cache")).run();
    let line = refused(&output, 1);
    assert!(line.starts_with("cannot create ") && line.contains("--cache-dir DIR"), "{line}");
}

#[test]
fn a_port_in_use_is_a_fault_at_run_time() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let cache = tempfile::tempdir().unwrap();
    let serve = ["--port", &port, "--origin", "http://127.0.0.1:1", "--cache-dir"];
    let output = program().args(serve).arg(cache.path()).run();
    let line = refused(&output, 1);
    assert!(line.starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")), "{line}");
    assert!(line.contains("--port N"), "{line}");
}
