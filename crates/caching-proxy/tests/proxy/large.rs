//! Bodies larger than what the proxy may hold.

use std::fs;

use testkit::{Client, Origin};

use crate::{Proxy, cache};

/// Large enough that holding it would show, small enough for every test run.
const LENGTH: u64 = 192 << 20;

/// Eight bytes that tell their place, so that any shift or gap shows.
fn word(place: u64) -> [u8; 8] {
    place.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()
}

fn block(offset: u64, length: usize) -> Vec<u8> {
    (offset / 8..(offset + length as u64) / 8).flat_map(word).collect()
}

fn large(framing: &'static str) -> Origin {
    Origin::start(move |_, conn| {
        let chunked = framing.starts_with('T');
        conn.send(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n{framing}\r\n\r\n"));
        let mut offset = 0;
        while offset < LENGTH {
            let block = block(offset, 1 << 18);
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
            for (index, byte) in part.iter().enumerate() {
                let at = offset + index as u64;
                assert_eq!(*byte, word(at / 8)[(at % 8) as usize], "at {at}");
            }
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

fn passes(framing: &'static str, args: &[&str], second: &str) {
    let origin = large(framing);
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

#[test]
fn a_large_body_is_stored_on_disk_in_constant_memory() {
    passes("Content-Length: 201326592", &[], "HIT");
}

#[test]
fn a_large_body_of_unknown_length_too() {
    passes("Transfer-Encoding: chunked", &[], "HIT");
}

#[test]
fn a_body_that_fits_nowhere_passes_in_constant_memory() {
    passes("Transfer-Encoding: chunked", &["--no-disk"], "MISS");
}
