use super::*;

fn read_with(args: &[&str], environment: &[(&str, &str)]) -> Result<Command, Fault> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let find = |name: &str| Some(environment.iter().find(|(known, _)| *known == name)?.1.into());
    read(&args, &find)
}

fn serve_with(args: &[&str], environment: &[(&str, &str)]) -> Serve {
    match read_with(args, environment) {
        Ok(Command::Serve(serve)) => *serve,
        other => panic!("{args:?} gave {other:?}"),
    }
}

const CDN: &str = "CDN-Cache-Control";

fn listed(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const WHOLE: [&str; 4] = ["--port", "3000", "--origin", "http://127.0.0.1:8000"];

fn serve_and(more: &[&str]) -> Serve {
    serve_with(&[&WHOLE, more].concat(), &[])
}

#[test]
fn port_and_origin_are_enough() {
    let serve = serve_and(&[]);
    assert_eq!(serve.listen, Some("127.0.0.1:3000".parse().unwrap()));
    assert_eq!(serve.origin.to_string(), "http://127.0.0.1:8000");
    assert_eq!(serve.ttl.to_string(), "5m");
    assert_eq!((serve.memory.to_string(), serve.disk), ("256MiB".into(), Some(ByteSize(1 << 30))));
    assert_eq!((serve.log, serve.workers, serve.directory), (None, None, None));
    assert_eq!(serve.drain, Duration::from_secs(25));
    assert_eq!(serve.connect_timeout, Duration::from_millis(3500));
    assert_eq!(serve.first_byte_timeout, Duration::from_mins(1));
    assert_eq!((serve.origin_connections, serve.profile), (512, Profile::Safe));
    assert_eq!((serve.set_cookie, serve.targeted), (SetCookie::Refuse, listed(&[CDN])));
    assert_eq!((serve.max_hops, serve.cache_status), (16, CacheStatus::Normal));
    assert_eq!(serve.query_content.to_string(), "64KiB");
}

#[test]
fn each_option_is_understood() {
    let serve = serve_with(
        &[
            "--listen=[::1]:80",
            "--origin=https://a/b",
            "--origin-protocol=http1",
            "--cache-dir=/d",
            "--cache-ttl=0",
            "--memory=1GB",
            "--disk=2GiB",
            "--log=warn",
            "--workers=3",
            "--drain=1m",
            "--profile=rfc9111",
            "--set-cookie=strip",
            "--targeted-fields=Surrogate-Control, CDN-Cache-Control",
            "--connect-timeout=1s",
            "--first-byte-timeout=2s",
            "--between-bytes-timeout=3s",
            "--origin-connections=9",
            "--max-hops=0",
            "--cache-status=full",
            "--query-content=0",
        ],
        &[],
    );
    assert_eq!(serve.listen, Some("[::1]:80".parse().unwrap()));
    assert_eq!(serve.origin.to_string(), "https://a/b");
    assert_eq!(serve.origin.protocol(), proxy::Protocol::Http1);
    assert_eq!(serve.directory, Some("/d".into()));
    assert_eq!(serve.ttl, Span(Duration::ZERO));
    assert_eq!(serve.memory, ByteSize(1_000_000_000));
    assert_eq!(serve.disk, Some(ByteSize(2 << 30)));
    assert_eq!((serve.log, serve.workers), (Some(Level::Warn), Some(3)));
    assert_eq!((serve.drain, serve.profile), (Duration::from_mins(1), Profile::Rfc9111));
    let targeted = listed(&["Surrogate-Control", CDN]);
    assert_eq!((serve.set_cookie, serve.targeted), (SetCookie::Strip, targeted));
    assert_eq!(serve.connect_timeout, Duration::from_secs(1));
    assert_eq!(serve.first_byte_timeout, Duration::from_secs(2));
    assert_eq!(serve.between_bytes_timeout, Duration::from_secs(3));
    assert_eq!(serve.origin_connections, 9);
    assert_eq!((serve.max_hops, serve.cache_status), (0, CacheStatus::Full));
    assert_eq!(serve.query_content, ByteSize(0));
}

#[test]
fn the_profile_of_the_standard_gives_no_lifetime_of_its_own() {
    let rfc9111 = ["--profile", "rfc9111"];
    let ttl = |more: &[&str]| serve_and(&[&rfc9111, more].concat()).ttl.0;
    assert_eq!(ttl(&[]), Duration::ZERO);
    assert_eq!(ttl(&["--cache-ttl", "5m"]), Duration::from_mins(5));
    let environment = [("CACHING_PROXY_CACHE_TTL", "1m")];
    let serve = serve_with(&[&WHOLE[..], &rfc9111].concat(), &environment);
    assert_eq!(serve.ttl.0, Duration::from_mins(1));
}

#[test]
fn fields_and_cookies_are_the_operators_choice() {
    assert_eq!(serve_and(&["--targeted-fields", ""]).targeted, listed(&[]));
    assert_eq!(serve_and(&["--targeted-fields", "x"]).targeted, listed(&["x"]));
    let words =
        [("refuse", SetCookie::Refuse), ("strip", SetCookie::Strip), ("store", SetCookie::Store)];
    for (word, expected) in words {
        assert_eq!(serve_and(&["--set-cookie", word]).set_cookie, expected, "{word}");
    }
}

#[test]
fn the_environment_stands_in_and_the_command_line_wins() {
    let environment = [
        ("CACHING_PROXY_PORT", "4000"),
        ("CACHING_PROXY_ORIGIN", "http://env"),
        ("CACHING_PROXY_NO_DISK", "yes"),
        ("CACHING_PROXY_MEMORY", ""),
    ];
    let serve = serve_with(&[], &environment);
    assert_eq!((serve.first.port(), serve.origin.to_string()), (4000, "http://env".into()));
    assert_eq!((serve.disk, serve.memory), (None, ByteSize(256 << 20)));
    let serve = serve_with(&["--listen", "0.0.0.0:5000", "--disk", "1GiB"], &environment);
    assert_eq!(serve.listen, Some("0.0.0.0:5000".parse().unwrap()));
    assert_eq!(serve.disk, Some(ByteSize(1 << 30)));
}

#[test]
fn clearing_takes_what_narrows_it() {
    let cleared = |args: &[&str]| match read_with(args, &[]) {
        Ok(Command::Clear(clear)) => clear,
        other => panic!("{args:?} gave {other:?}"),
    };
    assert_eq!(cleared(&["--clear-cache"]), Instances::default());
    let narrowed = cleared(&["--clear-cache", "--port", "1", "--origin", "http://a"]);
    assert_eq!((narrowed.port, narrowed.origin.unwrap().to_string()), (Some(1), "http://a".into()));
    let directory = cleared(&["--clear-cache", "--cache-dir", "/d"]).directory;
    assert_eq!(directory, Some("/d".into()));
}

#[test]
fn a_purge_names_one_thing_and_the_instances_it_is_for() {
    let purge = |args: &[&str]| match read_with(&[&["purge"], args].concat(), &[]) {
        Ok(Command::Purge(Purge { what, soft, instances })) => (what.to_string(), soft, instances),
        other => panic!("{args:?} gave {other:?}"),
    };
    let rows: &[(&[&str], &str)] = &[
        (&["--url", "http://a:1/b?c"], "http://a:1/b?c"),
        (&["--prefix", "http://a/b"], "all that begins with http://a/b"),
        (&["--host", "a:1"], "all of host a:1"),
        (&["--tag", "t"], "all with tag t"),
        (&["--group", "g", "--host", "a"], "group g of host a"),
        (&["--all"], "everything"),
    ];
    for (args, what) in rows {
        let (said, soft, instances) = purge(args);
        assert_eq!((said.as_str(), soft, instances), (*what, false, Instances::default()));
    }
    let (_, soft, instances) = purge(&["--all", "--soft", "--cache-dir", "/d", "--port", "1"]);
    assert!(soft);
    assert_eq!((instances.directory, instances.port), (Some("/d".into()), Some(1)));
}

#[test]
fn a_purge_of_nothing_or_of_two_things_is_refused() {
    let rows: &[(&[&str], &str)] = &[
        (&[], "purge: nothing is named; give --url, --prefix, --host, --tag, --group or --all"),
        (
            &["--soft"],
            "purge: nothing is named; give --url, --prefix, --host, --tag, --group or --all",
        ),
        (&["--all", "--tag", "a"], "--tag and --all exclude each other; give one of them"),
        (
            &["--url", "http://a/", "--host", "a"],
            "--url and --host exclude each other; give one of them",
        ),
        (
            &["--group", "a"],
            "--group: its host is missing; groups are of a host, give it with --host a.example",
        ),
        (
            &["--url", "/a"],
            "--url: \"/a\": it must start with http:// or https://; \
             write it like --url http://127.0.0.1:3000/news",
        ),
        (
            &["--tag", ""],
            "--tag: \"\": it must be a name of printable ASCII; write it like --tag news",
        ),
        (&["--ur", "x"], "unknown option \"--ur\"; did you mean --url?"),
    ];
    for (args, line) in rows {
        let fault = read_with(&[&["purge"], *args].concat(), &[]).unwrap_err();
        assert_eq!(fault.to_string(), *line, "{args:?}");
    }
}

#[test]
fn the_demo_needs_nothing() {
    assert_eq!(read_with(&["demo"], &[]), Ok(Command::Demo { port: 0 }));
    assert_eq!(read_with(&["demo", "--port", "9"], &[]), Ok(Command::Demo { port: 9 }));
}

#[test]
fn a_protocol_that_is_not_known_is_refused() {
    let fault = read_with(&[&WHOLE, &["--origin-protocol", "h2"][..]].concat(), &[]).unwrap_err();
    let line = r#"--origin-protocol: "h2": there is no such protocol; give auto, http1 or http2"#;
    assert_eq!(fault.to_string(), line);
}

#[test]
fn bad_input_is_one_line_that_names_option_value_reason_and_fix() {
    let table: &[(&[&str], &str)] = &[
        (&["--port", "abc"], r#"--port: "abc": it is not a whole number; give 0 to 65535"#),
        (&["--port", "-1"], r#"--port: "-1": it is not a whole number; give 0 to 65535"#),
        (&["--port", "65536"], r#"--port: "65536": it is out of range; give 0 to 65535"#),
        (&["--port", ""], r#"--port: "": it is not a whole number; give 0 to 65535"#),
        (
            &["--listen", "localhost:80"],
            r#"--listen: "localhost:80": it is not ADDR:PORT with a numeric address; write it like --listen 127.0.0.1:3000"#,
        ),
        (
            &["--cache-ttl", "soon"],
            r#"--cache-ttl: "soon": "soon" is not a number; write it like --cache-ttl 5m"#,
        ),
        (&["--cache-ttl", "2000d"], r#"--cache-ttl: "2000d": it is too long; give 0s to 365d"#),
        (
            &["--memory", "12parsecs"],
            r#"--memory: "12parsecs": "parsecs" is not a unit; write it like --memory 256MiB"#,
        ),
        (&["--memory", "1"], r#"--memory: "1": it is too small; give 1MiB to 1024TiB"#),
        (
            &["--disk", "99999999999TiB"],
            r#"--disk: "99999999999TiB": it is too large; write it like --disk 1GiB"#,
        ),
        (
            &["--log", "loud"],
            r#"--log: "loud": there is no such level; give off, error, warn, info or requests"#,
        ),
        (&["--workers", "0"], r#"--workers: "0": it is out of range; give 1 to 1024"#),
        (
            &["--profile", "fast"],
            r#"--profile: "fast": there is no such profile; give safe or rfc9111"#,
        ),
        (&["--connect-timeout", "0"], r#"--connect-timeout: "0": it is too short; give 1ms to 1d"#),
        (
            &["--disk", "1GiB", "--no-disk"],
            "--disk and --no-disk exclude each other; give one of them",
        ),
        (&["--prot", "1"], r#"unknown option "--prot"; did you mean --port?"#),
        (&["--frobnicate"], r#"unknown option "--frobnicate"; --help lists the options"#),
        (&["-port", "1"], r#"unknown option "-port"; did you mean --port?"#),
        (
            &["--port", "1", "--cache-ttl", "-1s"],
            r#"--cache-ttl: "-1s": it cannot be negative; write it like --cache-ttl 5m"#,
        ),
        (
            &["--memory", "-5MiB"],
            r#"--memory: "-5MiB": it cannot be negative; write it like --memory 256MiB"#,
        ),
        (&["-1"], r#"unknown option "-1"; --help lists the options"#),
        (&["-x"], r#"unknown option "-x"; --help lists the options"#),
        (&["--memory"], "--memory: a value is missing, for example --memory 256MiB"),
        (&["--no-disk=yes"], "--no-disk: it takes no value"),
        (&["--drain", "1s", "--drain", "2s"], "--drain: it is given more than once; give it once"),
        (&["stray"], r#"unexpected argument "stray"; --help lists the options"#),
        (&["http://a"], r#"unexpected argument "http://a"; write --origin http://a"#),
        (
            &["--log", "a\nb"],
            r#"--log: "a\nb": there is no such level; give off, error, warn, info or requests"#,
        ),
    ];
    for (args, line) in table {
        let replaced = args.iter().any(|arg| arg.trim_start_matches('-').starts_with("port"));
        let replaced = replaced || args.contains(&"--listen");
        let whole = if replaced { &WHOLE[2..] } else { &WHOLE[..] };
        let fault = read_with(&[whole, args].concat(), &[]).unwrap_err();
        assert_eq!(fault.to_string(), *line, "{args:?}");
    }
}

#[test]
fn hops_are_few_and_cache_status_has_three_words() {
    for (option, value, why) in [
        ("--max-hops", "256", "it is out of range; give 0 to 255"),
        ("--max-hops", "few", "it is not a whole number; give 0 to 255"),
        ("--cache-status", "loud", "there is no such extent; give off, normal or full"),
    ] {
        let fault = read_with(&[&WHOLE[..], &[option, value]].concat(), &[]).unwrap_err();
        assert_eq!(fault.to_string(), format!("{option}: {value:?}: {why}"));
    }
}

#[test]
fn a_bad_list_of_fields_or_choice_about_cookies_is_one_line_too() {
    let table: &[(&[&str], &str)] = &[
        (
            &["--set-cookie", "keep"],
            r#"--set-cookie: "keep": it is none of the choices; give refuse, strip or store"#,
        ),
        (
            &["--profile", "rfc9111", "--set-cookie", "refuse"],
            r#"--set-cookie: "refuse": the profile rfc9111 does not refuse them; give strip or store"#,
        ),
        (
            &["--targeted-fields", "a;b"],
            r#"--targeted-fields: "a;b": "a;b" is not the name of a field; write it like --targeted-fields Surrogate-Control,CDN-Cache-Control"#,
        ),
        (
            &["--targeted-fields", "x,Cache-Control"],
            r#"--targeted-fields: "x,Cache-Control": Cache-Control is read where no targeted field applies; write it like --targeted-fields Surrogate-Control,CDN-Cache-Control"#,
        ),
    ];
    for (args, line) in table {
        let fault = read_with(&[&WHOLE[..], args].concat(), &[]).unwrap_err();
        assert_eq!(fault.to_string(), *line, "{args:?}");
    }
}

#[test]
fn the_content_of_a_query_has_a_most_and_may_be_none() {
    for (value, why) in [
        ("17MiB", "it is too large; give 0 to 16MiB"),
        ("-1KiB", "it cannot be negative; write it like --query-content 64KiB"),
        ("big", "\"big\" is not a number; write it like --query-content 64KiB"),
    ] {
        let fault = read_with(&[&WHOLE[..], &["--query-content", value]].concat(), &[]);
        assert_eq!(fault.unwrap_err().to_string(), format!("--query-content: {value:?}: {why}"));
    }
    assert_eq!(serve_and(&["--query-content", "16MiB"]).query_content, ByteSize(16 << 20));
}

#[test]
fn a_bad_origin_says_what_is_wrong_with_it() {
    let table = [
        ("example.com", "it must start with http:// or https://"),
        (
            "http://a/?q",
            "it must end before any '?' or '#', since request paths are joined behind it",
        ),
        ("http://a:99999", "its port must be a number from 1 to 65535"),
    ];
    for (url, why) in table {
        let fault = read_with(&["--port", "1", "--origin", url], &[]).unwrap_err().to_string();
        let fix = "write it like --origin http://127.0.0.1:8000";
        assert_eq!(fault, format!("--origin: {url:?}: {why}; {fix}"));
    }
}

#[test]
fn what_is_missing_is_named() {
    let fault = |args: &[&str]| read_with(args, &[]).unwrap_err().to_string();
    assert_eq!(
        fault(&[]),
        "--origin: it is missing; give the server to forward to, for example --origin http://127.0.0.1:8000, or try `caching-proxy demo`"
    );
    assert_eq!(
        fault(&["--origin", "http://a"]),
        "--port: it is missing; give the port to listen on, for example --port 3000, or --listen ADDR:PORT for another address"
    );
    assert_eq!(
        fault(&["--port", "1", "--listen", "127.0.0.1:1", "--origin", "http://a"]),
        "--port and --listen exclude each other; give one of them"
    );
}

#[test]
fn a_bad_variable_is_named() {
    let table = [
        (
            "CACHING_PROXY_DISK",
            "much",
            r#"--disk (from CACHING_PROXY_DISK): "much": "much" is not a number; write it like --disk 1GiB"#,
        ),
        (
            "CACHING_PROXY_NO_DISK",
            "maybe",
            r#"--no-disk (from CACHING_PROXY_NO_DISK): "maybe": it is neither yes nor no; give 1 or 0"#,
        ),
    ];
    for (name, value, line) in table {
        let fault = read_with(&WHOLE, &[(name, value)]).unwrap_err();
        assert_eq!(fault.to_string(), line);
    }
}

#[test]
fn help_and_version_are_printed() {
    let printed = |arg: &str| match read_with(&[arg], &[]) {
        Ok(Command::Print(text)) => text,
        other => panic!("{arg} gave {other:?}"),
    };
    assert!(printed("--help").contains("Examples:"));
    assert!(printed("--version").starts_with("caching-proxy "));
}
