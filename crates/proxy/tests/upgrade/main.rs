//! Connections that go on in another protocol: what is offered to the origin, what its answer does, and
//! how the tunnel behind a 101 lives and ends.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod ends;
mod offers;
mod places;
#[path = "../rig/mod.rs"]
mod rig;

use std::sync::{Arc, Mutex, mpsc};

use proxy::events::{Recorder, Served, Trouble, Tunnelled};
use proxy::{OriginUrl, Protocol};
use testkit::{Client, Conn, Origin, Received, eventually};

/// What the log gets of a request: status, reason, bytes sent, and the tunnel.
type Line = (u16, &'static str, u64, Option<Tunnelled>);

/// Keeps what it is told.
#[derive(Default)]
struct Log(Mutex<Vec<Line>>);

impl Log {
    fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for the first tunnel to end.
    fn tunnel(&self) -> Tunnelled {
        let first = || self.lines().iter().find_map(|line| line.3);
        assert!(eventually(|| first().is_some()), "no tunnel has ended: {:?}", self.lines());
        first().unwrap()
    }
}

impl Recorder for Log {
    fn wants_requests(&self) -> bool {
        true
    }
    fn served(&self, served: &Served<'_>) {
        let line = (served.status, served.reason, served.bytes, served.tunnel);
        self.0.lock().unwrap().push(line);
    }
    fn trouble(&self, _: &Trouble<'_>) {}
}

/// A proxy in this process, in memory only.
type Site = rig::Heard<Log>;

impl Site {
    fn client(&self) -> Client {
        Client::connect(self.running.local_addr())
    }

    /// A client whose connection has been switched.
    fn switched(&self) -> Client {
        let mut client = self.client();
        client.send(ASK);
        let head = client.head_to("GET").unwrap();
        assert_eq!(head.status, 101, "{head:?}");
        client
    }
}

/// A request for WebSocket, as browsers make it.
const ASK: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nOrigin: http://a\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                      Sec-WebSocket-Protocol: chat\r\n\r\n";

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// An origin that switches whoever offers it and goes on as `then` says; others get an `x`.
fn switching(then: impl Fn(&mut Conn) + Send + Sync + 'static) -> Origin {
    Origin::start(move |request, conn| {
        if request.field("Upgrade").is_none() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
            return;
        }
        conn.send(SWITCH);
        then(conn);
        conn.close();
    })
}

/// What an origin's handler tells the test.
fn channel<T>() -> (Mutex<mpsc::Sender<T>>, mpsc::Receiver<T>) {
    let (sender, receiver) = mpsc::channel();
    (Mutex::new(sender), receiver)
}

fn next<T>(told: &mpsc::Receiver<T>) -> T {
    told.recv_timeout(testkit::PATIENCE).expect("the origin says something")
}
