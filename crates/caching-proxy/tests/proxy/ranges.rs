//! Ranges of what is stored, whole or in parts.

use std::path::PathBuf;
use std::time::Instant;

use testkit::{Origin, Response};

use crate::{Proxy, cache, cache_status, millis, ok};

const DIGITS: &str = "0123456789";
const STORABLE: &str = "Cache-Control: max-age=600\r\nContent-Type: text/plain\r\nETag: \"a\"\r\n";

/// Long enough for many blocks on disk, and different everywhere.
fn long(length: usize) -> Vec<u8> {
    (0..length as u64 / 8)
        .flat_map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect()
}

fn whole(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{STORABLE}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A request under a name that stays the same when the proxy is started again.
fn ask(proxy: &Proxy, method: &str, fields: &[(&str, &str)]) -> Response {
    let mut client = proxy.client();
    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n"));
    for (name, value) in fields {
        client.send(format!("{name}: {value}\r\n"));
    }
    client.send("\r\n");
    client.response_to(method)
}

fn get(proxy: &Proxy) -> Response {
    ask(proxy, "GET", &[])
}

fn range(proxy: &Proxy, range: &str) -> Response {
    ask(proxy, "GET", &[("Range", range)])
}

/// Status, where it came from, Content-Range and content.
fn told(response: &Response) -> (u16, &str, &str, String) {
    let content_range = response.field("Content-Range").unwrap_or_default();
    (response.status, cache(response), content_range, response.text())
}

/// The parts of a multipart response: Content-Type, Content-Range and content of each.
fn parts(response: &Response) -> Vec<(String, String, Vec<u8>)> {
    let media_type = response.field("Content-Type").unwrap();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n", &response.body[..]].concat();
    let mut rest = body.strip_prefix(&delimiter[..]).unwrap();
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = part.windows(delimiter.len()).position(|at| at == delimiter).unwrap();
        let head = part.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
        let text = String::from_utf8(part[..head].to_vec()).unwrap();
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        parts.push((
            field("Content-Type: "),
            field("Content-Range: "),
            part[head + 4..end].to_vec(),
        ));
        rest = &part[end + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

#[test]
fn a_complete_response_in_memory_is_served_in_parts() {
    let origin = Origin::answering(ok(STORABLE, DIGITS));
    let proxy = Proxy::before(&origin);
    get(&proxy);
    for (asked, content_range, text) in [
        ("bytes=0-1", "bytes 0-1/10", "01"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-1", "bytes 9-9/10", "9"),
        ("bytes=-99", "bytes 0-9/10", DIGITS),
        ("bytes=3-5,4-6", "bytes 3-6/10", "3456"),
    ] {
        let response = range(&proxy, asked);
        assert_eq!(told(&response), (206, "HIT", content_range, text.to_owned()), "{asked}");
        assert_eq!(response.field("ETag"), Some("\"a\""));
        assert_eq!(response.field("Content-Type"), Some("text/plain"));
        assert_eq!(response.all("Content-Length"), [text.len().to_string()]);
        assert!(response.field("Age").is_some());
        assert!(cache_status(&response).ends_with("detail=fresh"));
    }
    for ignored in ["bytes=5-4", "items=0-1", "bytes=", "0-1"] {
        assert_eq!(told(&range(&proxy, ignored)), (200, "HIT", "", DIGITS.to_owned()), "{ignored}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn several_ranges_make_a_multipart_response() {
    let origin = Origin::answering(ok(STORABLE, DIGITS));
    let proxy = Proxy::before(&origin);
    get(&proxy);
    let response = range(&proxy, "bytes=0-1,4-5,-1");
    assert_eq!((response.status, response.field("Content-Range")), (206, None));
    assert_eq!(response.all("Content-Length"), [response.body.len().to_string()]);
    let expected = [("bytes 0-1/10", "01"), ("bytes 4-5/10", "45"), ("bytes 9-9/10", "9")];
    let expected: Vec<_> = expected
        .iter()
        .map(|(range, text)| {
            ("text/plain".to_owned(), (*range).to_owned(), text.as_bytes().to_vec())
        })
        .collect();
    assert_eq!(parts(&response), expected);
    let other = range(&proxy, "bytes=0-1,4-5,-1");
    assert_ne!(response.field("Content-Type"), other.field("Content-Type"));
}

#[test]
fn a_range_beyond_the_end_is_refused_with_the_length() {
    let origin = Origin::answering(ok(STORABLE, DIGITS));
    let proxy = Proxy::before(&origin);
    get(&proxy);
    for asked in ["bytes=10-", "bytes=-0", "bytes=99999999999999999999999-"] {
        let response = range(&proxy, asked);
        assert_eq!(told(&response), (416, "HIT", "bytes */10", String::new()), "{asked}");
        assert_eq!(response.all("Content-Length"), ["0"]);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn head_has_no_ranges_and_preconditions_come_first() {
    let origin = Origin::answering(ok(STORABLE, DIGITS));
    let proxy = Proxy::before(&origin);
    get(&proxy);
    let head = ask(&proxy, "HEAD", &[("Range", "bytes=0-1")]);
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("10")));
    assert_eq!(head.field("Content-Range"), None);
    let known = [("Range", "bytes=0-1"), ("If-None-Match", "\"a\"")];
    assert_eq!(ask(&proxy, "GET", &known).status, 304);
    let unknown = [("Range", "bytes=0-1"), ("If-None-Match", "\"b\"")];
    assert_eq!(told(&ask(&proxy, "GET", &unknown)), (206, "HIT", "bytes 0-1/10", "01".into()));
    assert_eq!(origin.count(), 1);
}

#[test]
fn if_range_decides_between_a_part_and_the_whole() {
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    let dated = format!("Cache-Control: max-age=600\r\nLast-Modified: {modified}\r\n");
    let just_now = format!("{dated}Date: {modified}\r\n");
    for (fields, condition, status) in [
        (STORABLE, "\"a\"", 206),
        (STORABLE, "\"b\"", 200),
        (STORABLE, "W/\"a\"", 200),
        (STORABLE, modified, 200),
        (&dated, modified, 206),
        (&dated, "Sun, 06 Nov 1994 08:49:38 GMT", 200),
        (&just_now, modified, 200),
    ] {
        let origin = Origin::answering(ok(fields, DIGITS));
        let proxy = Proxy::with(&origin, &["--cache-ttl", "1h"]);
        get(&proxy);
        let fields = [("Range", "bytes=2-3"), ("If-Range", condition)];
        let response = ask(&proxy, "GET", &fields);
        let text = if status == 206 { "23" } else { DIGITS };
        assert_eq!((response.status, response.text()), (status, text.to_owned()), "{condition}");
    }
}

#[test]
fn a_range_of_a_body_on_disk_is_read_without_the_rest() {
    let body = long(16 << 20);
    let length = body.len();
    let origin = Origin::answering(whole(&body));
    let mut proxy = Proxy::with(&origin, &["--memory", "1MiB"]);
    get(&proxy);
    let last = format!("bytes={}-", length - 1000);
    assert!(testkit::eventually(|| range(&proxy, &last).field("X-Cache") == Some("HIT")));
    let count = origin.count();
    // The whole takes many reads of 256 KiB; a part takes one.
    let began = Instant::now();
    for _ in 0..100 {
        let response = range(&proxy, &last);
        assert_eq!((response.status, cache(&response)), (206, "HIT"));
        assert!(response.body == body[length - 1000..]);
    }
    let hundred_parts = began.elapsed();
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(get(&proxy).body.len(), length);
    }
    let ten_wholes = began.elapsed();
    assert!(hundred_parts < ten_wholes, "{hundred_parts:?} {ten_wholes:?}");
    let (first, second) = (5 << 20, 10 << 20);
    let response =
        range(&proxy, &format!("bytes={second}-{},{first}-{}", second + 9, first + 300_000));
    let got: Vec<_> = parts(&response).into_iter().map(|(.., content)| content).collect();
    assert!(got == [&body[second..second + 10], &body[first..first + 300_001]]);
    proxy.terminate();
    proxy.start();
    let response = range(&proxy, "bytes=70000-70009");
    assert_eq!(cache(&response), "HIT");
    assert!(response.body == body[70_000..70_010]);
    assert_eq!(origin.count(), count);
}

/// Answers ranges of this body, each with one part.
fn in_parts(body: Vec<u8>) -> Origin {
    Origin::start(move |request, conn| {
        let length = body.len();
        let Some(range) = request.field("Range") else {
            conn.send(whole(&body));
            return;
        };
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let last = last.parse().map_or(length - 1, |last: usize| last.min(length - 1));
        conn.send(format!(
            "HTTP/1.1 206 Partial Content\r\n{STORABLE}Content-Range: bytes {first}-{last}/{length}\r\n\
             Content-Length: {}\r\n\r\n",
            last + 1 - first
        ));
        conn.send(&body[first..=last]);
    })
}

#[test]
fn parts_on_disk_outlive_a_restart_and_are_combined() {
    let body = long(6 << 20);
    let (end, mib) = (body.len(), 1 << 20);
    let origin = in_parts(body.clone());
    let mut proxy = Proxy::with(&origin, &["--memory", "1MiB"]);
    let stored = |proxy: &Proxy, asked: &str| {
        assert_eq!(range(proxy, asked).status, 206);
        assert!(testkit::eventually(|| cache(&range(proxy, asked)) == "HIT"), "{asked}");
    };
    stored(&proxy, &format!("bytes=0-{}", 2 * mib - 1));
    stored(&proxy, &format!("bytes={}-{}", 3 * mib, 4 * mib - 1));
    proxy.terminate();
    proxy.start();
    let count = origin.count();
    let asked = format!("bytes={}-{}", mib, 4 * mib - 1);
    let across = range(&proxy, &asked);
    assert_eq!((across.status, cache(&across)), (206, "MISS"));
    assert!(across.body == body[mib..4 * mib], "{} bytes", across.body.len());
    let missing = origin.requests()[count].clone();
    assert_eq!(missing.field("Range"), Some(&*format!("bytes={}-{}", 2 * mib, 3 * mib - 1)));
    assert_eq!(missing.field("If-Range"), Some("\"a\""));
    assert!(testkit::eventually(|| cache(&range(&proxy, &asked)) == "HIT"));
    assert!(range(&proxy, &asked).body == body[mib..4 * mib]);
    // What is left makes it whole.
    let completed = get(&proxy);
    assert_eq!((completed.status, completed.body.len()), (200, end));
    assert!(completed.body == body);
    let last = origin.requests().pop().unwrap();
    assert_eq!(last.field("Range"), Some(&*format!("bytes={}-", 4 * mib)));
    let count = origin.count();
    assert!(testkit::eventually(|| cache_status(&get(&proxy)).ends_with("detail=fresh")));
    assert!(origin.count() <= count + 3);
    assert!(get(&proxy).body == body);
}

/// The names of all files of stored bodies.
fn objects(proxy: &Proxy) -> Vec<String> {
    let below = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().map(Result::unwrap);
    let objects = proxy.directory.path().join("cache").join("store").join("objects");
    let files = below(objects).flat_map(|directory| below(directory.path()));
    files.map(|file| file.file_name().into_string().unwrap()).collect()
}

#[test]
fn scattered_parts_outlive_a_kill_and_become_the_whole() {
    let body = long(5 << 20);
    let (end, step) = (body.len(), 300_000);
    let origin = in_parts(body.clone());
    let mut proxy = Proxy::with(&origin, &["--memory", "1MiB"]);
    let asked = |start: usize| format!("bytes={start}-{}", (start + step).min(end) - 1);
    let stored = |proxy: &Proxy, start: usize| {
        let right = |response: &Response| response.body == body[start..(start + step).min(end)];
        assert!(right(&range(proxy, &asked(start))));
        assert!(testkit::eventually(|| cache(&range(proxy, &asked(start))) == "HIT"), "{start}");
    };
    // More than eight, backwards, and none that touches another.
    let starts: Vec<_> = (0..end).step_by(step).collect();
    let (late, early): (Vec<_>, Vec<_>) =
        starts.into_iter().partition(|start| start / step % 2 == 1);
    for start in early.iter().rev() {
        stored(&proxy, *start);
    }
    let parts = objects(&proxy);
    assert_eq!(parts.len(), 1);
    // The map is written a moment after a part is there: what came last may not be in it.
    std::thread::sleep(millis(300));
    proxy.kill9();
    proxy.start();
    let count = origin.count();
    for start in &early[1..] {
        let response = range(&proxy, &asked(*start));
        assert_eq!(cache(&response), "HIT", "{start}");
        assert!(response.body == body[*start..(start + step).min(end)]);
    }
    assert_eq!(origin.count(), count);
    for start in early[..1].iter().chain(&late) {
        stored(&proxy, *start);
    }
    let count = origin.count();
    let whole = get(&proxy);
    assert_eq!((whole.status, cache(&whole)), (200, "HIT"));
    assert!(whole.body == body);
    // From then on it is the whole's, whatever happens.
    assert!(testkit::eventually(|| objects(&proxy) != parts));
    proxy.kill9();
    proxy.start();
    let whole = get(&proxy);
    assert_eq!((whole.status, cache(&whole)), (200, "HIT"));
    assert!(whole.body == body);
    assert_eq!(origin.count(), count);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_part_leaves_nothing_wrong_behind() {
    let body = long(8 << 20);
    let origin = in_parts(body.clone());
    let proxy = Proxy::before(&origin);
    for _ in 0..5 {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\n\r\n");
        assert_eq!(client.head_to("GET").unwrap().status, 206);
        client.reset();
    }
    let response = range(&proxy, "bytes=1000-1999");
    assert_eq!(response.status, 206);
    assert!(response.body == body[1000..2000]);
    assert!(get(&proxy).body == body);
}

#[test]
fn many_clients_read_parts_at_the_same_time() {
    let body = long(3 << 20);
    let origin = in_parts(body.clone());
    let proxy = Proxy::with(&origin, &["--memory", "1MiB"]);
    std::thread::scope(|scope| {
        for client in 0..8_usize {
            let (proxy, body) = (&proxy, &body);
            scope.spawn(move || {
                for turn in 0..12_usize {
                    let first = (client * 379 + turn * 991) * 257 % (body.len() - 1);
                    let last = (first + (turn + 1) * 40_000).min(body.len() - 1);
                    let response = range(proxy, &format!("bytes={first}-{last}"));
                    let status = cache_status(&response);
                    assert!(response.complete, "{first}-{last} {status}");
                    let expected = match response.status {
                        206 => &body[first..=last],
                        _ => &body[..],
                    };
                    assert!(response.body == expected, "{first}-{last} {status}");
                    if turn == 6 {
                        assert!(get(proxy).body == *body);
                    }
                }
            });
        }
    });
}
