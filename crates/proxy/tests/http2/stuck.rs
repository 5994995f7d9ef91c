//! A client that takes nothing of what is left when all its streams have ended.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::*;

/// What the system has of a connection, as seen from the proxy and from the client.
struct Held {
    is_open: bool,
    bytes: usize,
}

/// A client that asks for so many bytes and reads nothing.
struct Deaf {
    length: usize,
    _frames: Frames,
    port: u16,
}

impl Deaf {
    fn asks(proxy: SocketAddr, length: usize) -> Self {
        const WIDE: u32 = 16 << 20;
        let kind = (socket2::Domain::IPV4, socket2::Type::STREAM);
        let socket = socket2::Socket::new(kind.0, kind.1, None).unwrap();
        socket.set_recv_buffer_size(32 << 10).unwrap();
        socket.connect(&proxy.into()).unwrap();
        let stream = TcpStream::from(socket);
        let port = stream.local_addr().unwrap().port();
        let mut frames = Frames::over(stream);
        // SETTINGS_INITIAL_WINDOW_SIZE
        frames.greet(&[(4, WIDE)]);
        frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with(WIDE.to_be_bytes()));
        let path = format!("/{length}");
        let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", &path)];
        frames.send(&Frame::headers(1, true, &get));
        Self { length, _frames: frames, port }
    }

    /// One line of the system's table for each end: addresses, state, bytes to be sent and to be read.
    fn held(&self, proxy: SocketAddr) -> Held {
        let end = |port: u16| {
            let [a, b, c, d] = Ipv4Addr::LOCALHOST.octets();
            format!("{d:02X}{c:02X}{b:02X}{a:02X}:{port:04X}")
        };
        let (ours, theirs) = (end(proxy.port()), end(self.port));
        let mut held = Held { is_open: false, bytes: 0 };
        for line in fs::read_to_string("/proc/net/tcp").unwrap().lines() {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (from, to) = (fields[1] == ours, fields[1] == theirs);
            if !(from && fields[2] == theirs || to && fields[2] == ours) {
                continue;
            }
            let queue = fields[4].split(':').nth(usize::from(to)).unwrap();
            held.bytes += usize::from_str_radix(queue, 16).unwrap();
            held.is_open |= from && fields[3] == "01";
        }
        held
    }
}

#[test]
fn a_client_that_takes_nothing_of_the_last_that_was_gathered_is_given_up() {
    let origin = Origin::start(|request, conn| {
        conn.send(ok(&"x".repeat(request.target[1..].parse().unwrap())));
    });
    let site = Site::with(&origin, |limits| limits.write_timeout = Duration::from_millis(300));
    let proxy = site.address();
    // So much has the system room for, if it has no less for each of many.
    let first = Deaf::asks(proxy, 8 << 20);
    assert!(testkit::eventually(|| first.held(proxy).bytes > 0 && !first.held(proxy).is_open));
    let room = first.held(proxy).bytes;
    let around = (room - (80 << 10)..room + (80 << 10)).step_by(8 << 10);
    let clients: Vec<_> = around.map(|length| Deaf::asks(proxy, length)).collect();
    let lacks_some = |client: &&Deaf| client.held(proxy).bytes < client.length;
    std::thread::sleep(Duration::from_millis(500));
    let are_given_up = || clients.iter().filter(lacks_some).all(|one| !one.held(proxy).is_open);
    assert!(testkit::eventually(are_given_up));
    // Who has all, with what frames it and the head, is not stuck.
    let framed = |length: usize| length + length.div_ceil(16 << 10) * 9 + 256;
    let has_all = |client: &&Deaf| client.held(proxy).bytes > framed(client.length);
    assert!(clients.iter().filter(has_all).all(|client| client.held(proxy).is_open));
}
