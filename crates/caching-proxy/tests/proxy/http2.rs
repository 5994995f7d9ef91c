//! The real binary and clients of another make: `h2load`, `nghttp` and `curl`. Where one of them is
//! not installed (`./test` installs them if it may), what it would show is not shown.

use std::process::Command;

use testkit::Origin;
use testkit::frames::{Frame, Frames, block, flag, kind};

use crate::{Proxy, ok};

/// What a client prints, or `None` if there is none.
pub(crate) fn run(program: &str, args: &[&str]) -> Option<String> {
    match Command::new(program).args(args).output() {
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8_lossy(&printed).into_owned();
            assert!(output.status.success(), "{program}: {printed}");
            Some(printed)
        }
        Err(error) => {
            eprintln!("NOT SHOWN, {program} cannot be run: {error}");
            None
        }
    }
}

fn page(length: usize) -> (Origin, Proxy) {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\n", &"x".repeat(length)));
    let proxy = Proxy::before(&origin);
    (origin, proxy)
}

#[test]
fn h2load_finds_all_answers_good() {
    // More than a connection carries by HTTP/1.1.
    for (length, requests) in [(1024, "50000"), (100_000, "500")] {
        let (origin, proxy) = page(length);
        let url = format!("http://127.0.0.1:{}/", proxy.address().1);
        // Once, so that there is a connection's worth of hits.
        assert_eq!(proxy.get("/").body.len(), length);
        let args = ["-n", requests, "-c", "4", "-m", "32", &url];
        let Some(printed) = run("h2load", &args) else { return };
        let all = format!("{requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(printed.contains(&all), "{printed}");
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn nghttp_gets_what_curl_gets() {
    let (_origin, proxy) = page(70_000);
    let url = format!("http://127.0.0.1:{}/", proxy.address().1);
    let expected = "x".repeat(70_000);
    if let Some(printed) = run("nghttp", &[&url]) {
        assert_eq!(printed, expected);
    }
    if let Some(printed) = run("curl", &["-s", "--http2-prior-knowledge", &url]) {
        assert_eq!(printed, expected);
    }
    let asked = ["-s", "-o", "/dev/null", "-w", "%{http_version}", "--http2-prior-knowledge", &url];
    if let Some(printed) = run("curl", &asked) {
        assert_eq!(printed, "2");
    }
}

#[test]
fn curl_shows_that_an_upload_is_too_large_while_it_still_sends() {
    if run("curl", &["--version"]).is_none() {
        return;
    }
    let origin = Origin::at_heads(|_, conn| drop(conn.read_body()));
    let proxy = Proxy::with(&origin, &["--max-request-content", "100k"]);
    let file = proxy.directory.path().join("upload");
    std::fs::write(&file, vec![b'x'; 32 << 20]).unwrap();
    let url = format!("http://127.0.0.1:{}/", proxy.address().1);
    for protocol in ["--http1.1", "--http2-prior-knowledge"] {
        // Of a length that is known, without asking first; and of one that is not.
        for upload in ["-H Expect: -T \"$0\"", "-T - < \"$0\""] {
            let line = format!("curl -sS -w ' %{{http_code}}' {protocol} {url} {upload}");
            let printed = run("sh", &["-c", &line, file.to_str().unwrap()]).unwrap();
            let expected = "content has more than 102400 bytes, which is all that is taken\n 413";
            assert!(printed.ends_with(expected), "{line}: {printed}");
            assert_eq!(printed.matches("content").count(), 1, "{printed}");
        }
    }
}

#[test]
fn what_a_client_may_do_is_as_the_operator_says() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\n", "x"));
    let args = ["--http2-streams", "7", "--http2-header-list", "8k", "--http2-resets", "3"];
    let proxy = Proxy::with(&origin, &args);
    let mut frames = Frames::connect(proxy.address(), &[]);
    let told = frames.next_of(kind::SETTINGS).unwrap().payload;
    let told: Vec<_> = told
        .chunks(6)
        .map(|one| (one[1], u32::from_be_bytes(one[2..].try_into().unwrap())))
        .collect();
    // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE, which the codec does not take
    // itself.
    assert!(told.contains(&(3, 7)) && told.contains(&(6, (8 << 10) + 1)), "{told:?}");
    let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    for number in 0..4 {
        frames.send(&Frame::headers(number * 2 + 1, true, &get));
        frames.send(&Frame::new(kind::RST_STREAM, 0, number * 2 + 1).with([0, 0, 0, 8]));
    }
    assert_eq!(frames.goaway(), Some(11));
}

#[test]
fn a_head_is_read_as_one_wherever_it_is_cut() {
    let origin = Origin::answering(ok("Cache-Control: no-store\r\n", "x"));
    let proxy = Proxy::before(&origin);
    let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let mut frames = Frames::connect(proxy.address(), &[]);
    let mut stream = 1;
    for (field, is_served) in [(("te", "trailers"), true), (("connection", "close"), false)] {
        let head = block(&[&get[..], &[field, ("x-last", "a value")]].concat());
        for back in 1..15 {
            let (first, second) = head.split_at(head.len() - back);
            frames.send(&Frame::new(kind::HEADERS, flag::END_STREAM, stream).with(first));
            frames.send(&Frame::new(kind::CONTINUATION, flag::END_HEADERS, stream).with(second));
            let answer = frames.until(|frame| frame.stream == stream).unwrap();
            assert_eq!(answer.kind == kind::HEADERS, is_served, "{field:?} {back}");
            assert_eq!(answer.kind == kind::RST_STREAM, !is_served, "{field:?} {back}");
            stream += 2;
        }
    }
    assert_eq!(origin.count(), 14);
    assert!(origin.requests().iter().all(|request| request.field("x-last") == Some("a value")));
}
