//! Bodies larger than what the proxy may hold.

use std::fs;
use std::sync::LazyLock;

use testkit::{Client, Origin};

use crate::{Proxy, cache};

/// Large enough that holding it would show, small enough for every test run. Set when this is
/// compiled, `LARGE_GIB` is the length in GiB.
const LENGTH: u64 = match option_env!("LARGE_GIB") {
    None => 300 << 20,
    Some(gib) => match u64::from_str_radix(gib, 10) {
        Ok(gib) => gib << 30,
        Err(_) => panic!("LARGE_GIB is no whole number"),
    },
};
/// Bytes that are sent or compared at once.
const BLOCK: usize = 1 << 18;

/// Bytes between two places that tell where they are.
const PAGE: u64 = 4 << 10;

/// Bytes of which no stretch comes twice in a page, and with which each page tells its place, so
/// that any shift or gap shows.
fn block(offset: u64, length: usize) -> Vec<u8> {
    static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let word = |place: u64| place.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        (0..PAGE / 8).flat_map(word).collect()
    });
    let before = (offset % PAGE) as usize;
    let pages = (before + length).div_ceil(PAGE as usize);
    let mut bytes = PATTERN.repeat(pages);
    for (page, number) in bytes.chunks_mut(PAGE as usize).zip(offset / PAGE..) {
        page[..8].copy_from_slice(&number.to_le_bytes());
    }
    bytes.truncate(before + length);
    bytes.split_off(before)
}

fn large(chunked: bool, length: u64) -> Origin {
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {length}")
    };
    Origin::start(move |_, conn| {
        conn.send(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n{framing}\r\n\r\n"));
        let mut offset = 0;
        while offset < length {
            let block = block(offset, BLOCK);
            if chunked {
                conn.send(format!("{:x}\r\n", block.len()));
            }
            conn.send(&block);
            if chunked {
                conn.send("\r\n");
            }
            offset += block.len() as u64;
        }
        if chunked {
            conn.send("0\r\n\r\n");
        }
    })
}

/// Resident memory of a process in MiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// Reads a body without holding it, and compares every byte.
fn read(mut client: Client) -> (String, u64) {
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut response = client.head_to("GET").unwrap();
    let mut offset = 0;
    client
        .body_into(&mut response, &mut |part| {
            let expected = block(offset, part.len());
            assert!(expected == part, "between {offset} and {} more", part.len());
            offset += part.len() as u64;
        })
        .unwrap();
    assert!(response.complete);
    (cache(&response).to_owned(), offset)
}

/// The last byte reaches the client a moment before the file has its name.
fn is_stored(proxy: &Proxy) -> bool {
    let mut client = proxy.client();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\nCache-Control: only-if-cached\r\n");
    client.send("If-None-Match: *\r\n\r\n");
    client.response().status == 304
}

fn passes(chunked: bool, args: &[&str], second: &str) {
    let origin = large(chunked, LENGTH);
    let mut proxy = Proxy::with(&origin, args);
    let pid = proxy.binary().pid();
    let before = resident(pid);
    assert_eq!(read(proxy.client()), ("MISS".to_owned(), LENGTH));
    let grown = resident(pid) - before;
    assert!(grown < 64, "{grown} MiB more in memory");
    if second == "HIT" {
        assert!(testkit::eventually(|| is_stored(&proxy)), "it was not stored");
    }
    assert_eq!(read(proxy.client()), (second.to_owned(), LENGTH));
    let grown = resident(pid) - before;
    assert!(grown < 64, "{grown} MiB more in memory");
}

/// Room on disk that makes such a body none too large: no body may take more than half of it.
fn disk() -> String {
    format!("{}MiB", (LENGTH >> 19) + 192)
}

#[test]
fn a_large_body_is_stored_on_disk_in_constant_memory() {
    passes(false, &["--disk", &disk()], "HIT");
}

#[test]
fn a_large_body_of_unknown_length_too() {
    passes(true, &["--disk", &disk()], "HIT");
}

#[test]
fn a_body_that_fits_nowhere_passes_in_constant_memory() {
    passes(true, &["--no-disk"], "MISS");
}

#[test]
fn a_client_that_does_not_read_holds_no_more_than_a_piece_of_a_body() {
    const CLIENTS: u64 = 64;
    let origin = large(false, 32 << 20);
    let mut proxy = Proxy::before(&origin);
    let pid = proxy.binary().pid();
    assert_eq!(read(proxy.client()), ("MISS".to_owned(), 32 << 20));
    assert!(testkit::eventually(|| is_stored(&proxy)), "it was not stored");
    let before = resident(pid);
    let slow: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = client.head_to("GET").unwrap();
            assert_eq!(cache(&head), "HIT");
            client
        })
        .collect();
    // Who comes last is served whole, so the others have been given what their sockets take.
    assert_eq!(read(proxy.client()), ("HIT".to_owned(), 32 << 20));
    let grown = resident(pid).saturating_sub(before);
    // 256 KiB and a little for each; all of what they asked for would be 2 GiB.
    assert!(grown <= CLIENTS / 4 + 12, "{grown} MiB more in memory");
    drop(slow);
}
