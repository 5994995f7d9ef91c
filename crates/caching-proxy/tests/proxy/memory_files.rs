//! Larger bodies in memory, and pieces of those on disk, which the system takes to clients without a
//! copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::{Client, Origin, Response};

use crate::{Proxy, cache};

/// Just worth a file, and as much as memory takes.
const LENGTHS: [usize; 2] = [40 << 10, 1 << 20];

/// Different everywhere, and in every version.
fn body(version: u64, length: usize) -> Vec<u8> {
    let words = 0..(length as u64).div_ceil(8);
    let word = |at: u64| (at + version * 1_000_003).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut bytes: Vec<u8> = words.flat_map(|at| word(at).to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// `/<length>` in a version that grows with each request.
fn origin() -> Origin {
    let version = Arc::new(AtomicU64::new(0));
    Origin::start(move |request, conn| {
        if request.method != "GET" {
            conn.send("HTTP/1.1 204 No Content\r\n\r\n");
            return;
        }
        let version = version.fetch_add(1, Ordering::SeqCst);
        let length = request.target[1..].parse().unwrap();
        conn.send(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"{version}\"\r\nContent-Length: {length}\r\n\r\n"));
        conn.send(body(version, length));
    })
}

/// Files in memory that the process has open.
fn files(proxy: &mut Proxy) -> usize {
    let names = proxy.binary().open_files();
    names.iter().filter(|name| name.contains("memfd:caching-proxy body")).count()
}

fn told(response: &Response) -> (u16, &str, usize) {
    (response.status, cache(response), response.body.len())
}

#[test]
fn a_larger_body_is_held_in_a_file_and_leaves_whole_in_every_way() {
    let origin = origin();
    let mut proxy = Proxy::before(&origin);
    for (number, length) in LENGTHS.into_iter().enumerate() {
        let (path, whole) = (format!("/{length}"), body(number as u64, length));
        assert_eq!(told(&proxy.get(&path)), (200, "MISS", length));
        assert_eq!(files(&mut proxy), number + 1);
        // One connection for all: each response ends exactly where the next begins.
        let mut client = proxy.client();
        for _ in 0..3 {
            assert!(client.get(&path).body == whole);
        }
        let head = client.request("HEAD", &path, &[]);
        assert_eq!((head.status, head.field("Content-Length")), (200, Some(&*length.to_string())));
        let range = client.request("GET", &path, &[("Range", "bytes=30001-39000")]);
        assert_eq!(told(&range), (206, "HIT", 9_000));
        assert!(range.body == whole[30_001..=39_000]);
        let ranges = client.request("GET", &path, &[("Range", "bytes=1-2,39999-")]);
        assert_eq!((ranges.status, cache(&ranges)), (206, "HIT"));
        assert!(ranges.body.windows(961).any(|part| *part == whole[39_999..40_960]));
        assert!(client.get(&path).body == whole);
    }
    let short = "/40959";
    assert_eq!(told(&proxy.get(short)), (200, "MISS", 40_959));
    assert_eq!(files(&mut proxy), LENGTHS.len(), "too short to be worth a file");
}

#[test]
fn a_body_from_disk_is_held_in_a_file_too() {
    let origin = origin();
    let mut proxy = Proxy::before(&origin);
    let ask = |proxy: &Proxy| {
        let mut client = proxy.client();
        client.send("GET /100000 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.response()
    };
    assert_eq!(told(&ask(&proxy)), (200, "MISS", 100_000));
    proxy.terminate();
    proxy.start();
    assert_eq!(files(&mut proxy), 0);
    let response = ask(&proxy);
    assert_eq!(told(&response), (200, "HIT", 100_000));
    assert!(response.body == body(0, 100_000));
    // Memory takes what is read for the second time.
    assert!(ask(&proxy).body == body(0, 100_000));
    assert_eq!(files(&mut proxy), 1);
}

/// A client that has the head of its response, and of the body what came with it.
fn begun(proxy: &Proxy, path: &str) -> (Client, Response) {
    let (mut client, (host, port)) = (proxy.client(), proxy.address());
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"));
    let head = client.head_to("GET").unwrap();
    assert_eq!(cache(&head), "HIT");
    (client, head)
}

#[test]
fn what_waits_for_a_slow_client_stays_as_it_was_whatever_becomes_of_the_body() {
    for length in LENGTHS {
        let origin = origin();
        // Room for some of the largest bodies.
        let mut proxy = Proxy::with(&origin, &["--no-disk", "--memory", "16MiB"]);
        let path = format!("/{length}");
        proxy.get(&path);
        let slow: Vec<_> = (0..8).map(|_| begun(&proxy, &path)).collect();
        assert_eq!(files(&mut proxy), 1);
        assert_eq!(proxy.request("POST", &path, &[]).status, 204);
        for other in 0..20 {
            proxy.get(&format!("/{}", length - other));
        }
        for (mut client, mut response) in slow {
            let mut got = Vec::new();
            client.body_into(&mut response, &mut |part| got.extend_from_slice(part)).unwrap();
            assert!(response.complete && got == body(0, length));
        }
        assert!(testkit::eventually(|| files(&mut proxy) < 16), "files that nobody has");
    }
}

/// A body that memory does not hold whole, in as many pieces.
const LARGE: (usize, usize) = ((3 << 20) + 50_000, 13);

/// Asks for it until all its pieces are kept.
fn warm(proxy: &mut Proxy, path: &str) {
    let all_kept = || {
        proxy.get(path);
        files(proxy) == LARGE.1
    };
    assert!(testkit::eventually(all_kept), "its pieces are not kept");
}

#[test]
fn a_large_body_on_disk_is_kept_in_pieces_and_leaves_whole_in_every_way() {
    let origin = origin();
    let mut proxy = Proxy::with(&origin, &["--memory", "16MiB"]);
    let (path, whole) = (format!("/{}", LARGE.0), body(0, LARGE.0));
    assert_eq!(told(&proxy.get(&path)), (200, "MISS", LARGE.0));
    warm(&mut proxy, &path);
    // One connection for all: each response ends exactly where the next begins.
    let mut client = proxy.client();
    for _ in 0..3 {
        let response = client.get(&path);
        assert_eq!(told(&response), (200, "HIT", LARGE.0));
        assert!(response.body == whole);
    }
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=262143-262144", 262_143, 262_144),
        ("bytes=100000-1000000", 100_000, 1_000_000),
        ("bytes=-50001", LARGE.0 - 50_001, LARGE.0 - 1),
    ] {
        let part = client.request("GET", &path, &[("Range", range)]);
        assert_eq!(told(&part), (206, "HIT", last + 1 - first), "{range}");
        assert!(part.body == whole[first..=last], "{range}");
    }
    let two = client.request("GET", &path, &[("Range", "bytes=1-300000,2000000-2400000")]);
    assert_eq!((two.status, cache(&two)), (206, "HIT"));
    let at = two.body.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    assert!(two.body[at..].starts_with(&whole[1..=300_000]));
    assert!(two.body.windows(400_001).any(|part| *part == whole[2_000_000..=2_400_000]));
    assert!(client.get(&path).body == whole);
    assert_eq!(files(&mut proxy), LARGE.1);
}

#[test]
fn a_large_body_with_trailers_leaves_in_chunks_wherever_its_pieces_are() {
    let origin = Origin::start(move |_, conn| {
        conn.send(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        conn.send(format!("{:x}\r\n", LARGE.0));
        conn.send(body(0, LARGE.0));
        conn.send("\r\n0\r\nX-Check: 7\r\n\r\n");
    });
    let mut proxy = Proxy::with(&origin, &["--memory", "16MiB"]);
    proxy.get("/large");
    warm(&mut proxy, "/large");
    let response = proxy.get("/large");
    assert_eq!(told(&response), (200, "HIT", LARGE.0));
    assert!(response.body == body(0, LARGE.0));
    assert_eq!(testkit::field(&response.trailers, "X-Check"), Some("7"));
}

#[test]
fn pieces_that_wait_for_slow_clients_outlive_their_body_but_not_the_clients() {
    let origin = origin();
    // Room for the pieces of two: those that wait count as long as they do.
    let mut proxy = Proxy::with(&origin, &["--memory", "32MiB"]);
    let path = format!("/{}", LARGE.0);
    proxy.get(&path);
    warm(&mut proxy, &path);
    let slow: Vec<_> = (0..8).map(|_| begun(&proxy, &path)).collect();
    assert_eq!(proxy.request("POST", &path, &[]).status, 204);
    // Others in their place.
    let other = format!("/{}", LARGE.0 - 1);
    proxy.get(&other);
    warm(&mut proxy, &other);
    for (mut client, mut response) in slow {
        let mut got = Vec::new();
        client.body_into(&mut response, &mut |part| got.extend_from_slice(part)).unwrap();
        assert!(response.complete && got == body(0, LARGE.0));
    }
    assert!(testkit::eventually(|| files(&mut proxy) == LARGE.1), "files that nobody has");
}
