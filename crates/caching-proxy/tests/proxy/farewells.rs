//! A client that is told to go gets all that it was sent, however it pauses: also what only the system
//! has for it, and is lost if something from the client meets a closed socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustls::{ALL_VERSIONS, ClientConfig, ClientConnection, StreamOwned};
use testkit::frames::{Frame, Frames, flag, kind};
use testkit::{Binary, Origin, PATIENCE, eventually};

use crate::tls::{Authority, port_of};
use crate::{Proxy, count, ok};

/// Longer than anybody is listened to who has got everything.
const PAUSE: Duration = Duration::from_secs(4);
/// What the system takes for a client that takes nothing.
const LENGTH: usize = 256 << 10;
const NAME: &str = "a.example";

/// A proxy for clients with TLS and without, before an origin that holds its response back, but for the
/// first byte, until it is let go on; and that of `/late` wholly.
struct Site {
    proxy: Proxy,
    config: Arc<ClientConfig>,
    origin: Origin,
    go_on: mpsc::Sender<()>,
    _authority: Authority,
}

impl Site {
    fn with(args: &[&str]) -> Self {
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let whole = ok("Cache-Control: max-age=60\r\n", &"x".repeat(LENGTH));
        let first = whole.len() - LENGTH + 1;
        let origin = Origin::start(move |request, conn| {
            let before = if request.target == "/late" { 0 } else { first };
            conn.send(&whole[..before]);
            wait.lock().unwrap().recv().unwrap();
            conn.send(&whole[before..]);
        });
        let authority = Authority::new();
        let mut config = authority.trusted_by(ALL_VERSIONS);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let files = authority.issue("a", &[NAME]).args();
        let tls = ["--tls-port", "0"].into_iter().chain(files.iter().map(String::as_str));
        let args: Vec<_> = args.iter().copied().chain(tls).collect();
        let proxy = Proxy::with(&origin, &args);
        Self { proxy, config: Arc::new(config), origin, go_on, _authority: authority }
    }

    /// The same by HTTP/2, with windows for all of a response, for which it has asked.
    fn asking(&self, by_tls: bool) -> Frames {
        const WIDE: u32 = 8 << 20;
        let binary = self.proxy.binary.as_ref().unwrap();
        let (mut frames, scheme) = if by_tls {
            let tcp = narrow(port_of(&binary.ready("tls_url").unwrap()));
            let name = NAME.try_into().unwrap();
            let session = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
            (Frames::over(StreamOwned::new(session, tcp)), "https")
        } else {
            (Frames::over(narrow(binary.port())), "http")
        };
        // SETTINGS_INITIAL_WINDOW_SIZE
        frames.greet(&[(4, WIDE)]);
        frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with(WIDE.to_be_bytes()));
        let get = [(":method", "GET"), (":scheme", scheme), (":authority", NAME), (":path", "/")];
        frames.send(&Frame::headers(1, true, &get));
        assert_eq!(frames.next_of(kind::HEADERS).unwrap().stream, 1);
        frames
    }

    /// Lets the origin go on; and waits until all is written for the client.
    fn finish(&self) {
        self.go_on.send(()).unwrap();
        assert!(eventually(|| count(&self.proxy, "requests") == 1), "it is not written");
    }

    fn stop(&mut self) {
        self.proxy.binary().send_term();
    }
}

/// A client that takes no more than fits into a small socket, until it reads.
fn narrow(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    set_socket_recv_buffer_size(&stream, 16 << 10).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Says that it has room for more, and reads to the end; says how much of the response that
/// was, and whether it ended.
fn go_on(frames: &mut Frames) -> (usize, bool) {
    let (mut taken, mut whole) = (0, false);
    let more = || Frame::new(kind::WINDOW_UPDATE, 0, 0).with([0, 0, 64, 0]);
    // Where it comes too late the answer is a reset; by the next word at the latest it is there.
    for _ in 0..2 {
        frames.send(&more());
        thread::sleep(Duration::from_millis(50));
    }
    while let Some(frame) = frames.frame() {
        if frame.kind == kind::DATA {
            taken += frame.payload.len();
            whole |= frame.flags & flag::END_STREAM != 0;
        }
    }
    (taken, whole)
}

fn ends(binary: &mut Binary) {
    assert_eq!(binary.exited().code(), Some(0));
}

#[test]
fn what_the_system_has_for_a_client_is_waited_for() {
    for by_tls in [false, true] {
        let mut site = Site::with(&[]);
        let mut frames = site.asking(by_tls);
        site.finish();
        site.stop();
        thread::sleep(PAUSE);
        assert_eq!(go_on(&mut frames), (LENGTH, true), "by TLS: {by_tls}");
        drop(frames);
        ends(site.proxy.binary());
    }
}

#[test]
fn so_it_is_at_a_takeover() {
    let mut site = Site::with(&[]);
    let mut frames = site.asking(false);
    site.finish();
    let mut older = site.proxy.take_over();
    thread::sleep(PAUSE);
    assert_eq!(go_on(&mut frames), (LENGTH, true));
    drop(frames);
    ends(&mut older);
}

#[test]
fn a_response_that_ends_after_the_goodbye_is_waited_for() {
    for by_tls in [false, true] {
        let mut site = Site::with(&[]);
        let mut frames = site.asking(by_tls);
        site.stop();
        let ping = frames.next_of(kind::PING).unwrap();
        frames.send(&Frame::new(kind::PING, flag::ACK, 0).with(ping.payload));
        site.go_on.send(()).unwrap();
        thread::sleep(PAUSE);
        let (taken, whole) = go_on(&mut frames);
        // The first byte has come before the PING.
        assert_eq!((taken, whole), (LENGTH - 1, true), "by TLS: {by_tls}");
        drop(frames);
        ends(site.proxy.binary());
    }
}

#[test]
fn a_client_that_says_goodbye_itself_gets_what_it_asked_for() {
    let site = Site::with(&[]);
    let mut frames = site.asking(false);
    frames.send(&Frame::new(kind::GOAWAY, 0, 0).with([0; 8]));
    site.finish();
    thread::sleep(PAUSE);
    assert_eq!(go_on(&mut frames), (LENGTH, true));
}

#[test]
fn a_client_that_takes_nothing_is_waited_for_as_long_as_for_any_write() {
    let mut site = Site::with(&["--write-timeout", "1s", "--drain", "1h"]);
    let frames = site.asking(false);
    site.finish();
    site.stop();
    ends(site.proxy.binary());
    drop(frames);
}

#[test]
fn a_client_that_has_everything_does_not_hold_up_the_stop() {
    let mut site = Site::with(&["--write-timeout", "1h", "--drain", "1h"]);
    let mut frames = site.asking(false);
    site.go_on.send(()).unwrap();
    let end = |frame: &Frame| frame.kind == kind::DATA && frame.flags & flag::END_STREAM != 0;
    assert!(frames.until(end).is_some());
    site.stop();
    ends(site.proxy.binary());
    drop(frames);
}

#[test]
fn a_client_that_had_a_response_then_is_listened_to_until_it_closes() {
    let mut site = Site::with(&["--write-timeout", "1h", "--drain", "1h"]);
    let mut frames = site.asking(false);
    site.stop();
    frames.next_of(kind::GOAWAY).unwrap();
    site.go_on.send(()).unwrap();
    while frames.frame().is_some() {}
    thread::sleep(PAUSE);
    // Neither is its word answered by a reset, nor the process gone.
    assert!(frames.send(&Frame::new(kind::PING, 0, 0).with([0; 8])));
    thread::sleep(Duration::from_millis(50));
    assert!(frames.send(&Frame::new(kind::PING, 0, 0).with([0; 8])));
    assert!(site.proxy.binary().is_running());
    drop(frames);
    ends(site.proxy.binary());
}

#[test]
fn a_client_of_http_1_1_that_sends_ahead_gets_all_of_its_last_response() {
    for (path, is_told) in [("/", false), ("/late", true)] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let mut site = Site::with(&[]);
        let mut client = narrow(site.proxy.address().1);
        client.write_all(get.as_bytes()).unwrap();
        assert!(eventually(|| site.origin.count() == 1));
        if !is_told {
            // The head is out, and does not say that the connection closes.
            assert_eq!(client.peek(&mut [0; 1]).unwrap(), 1);
        }
        site.stop();
        assert!(site.proxy.binary().says(r#""event":"draining""#));
        site.go_on.send(()).unwrap();
        thread::sleep(PAUSE);
        for _ in 0..2 {
            let _ = client.write_all(get.as_bytes());
            thread::sleep(Duration::from_millis(50));
        }
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        let is_whole = answer.ends_with(&vec![b'x'; LENGTH]);
        assert!(is_whole, "{path}: {} of {LENGTH} bytes", answer.len());
        let told = String::from_utf8_lossy(&answer).contains("\r\nConnection: close\r\n");
        assert_eq!(told, is_told);
        drop(client);
        ends(site.proxy.binary());
    }
}

/// A client by TLS that takes no more than fits into a small socket, and has sent this.
fn saying(site: &Site, protocol: &[u8], bytes: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    let tcp = narrow(port_of(&site.proxy.binary.as_ref().unwrap().ready("tls_url").unwrap()));
    let mut config = ClientConfig::clone(&site.config);
    config.alpn_protocols = vec![protocol.to_vec()];
    let session = ClientConnection::new(Arc::new(config), NAME.try_into().unwrap()).unwrap();
    let mut tls = StreamOwned::new(session, tcp);
    tls.write_all(bytes).unwrap();
    tls.flush().unwrap();
    tls
}

#[test]
fn who_has_ended_its_own_side_sees_by_tls_that_nothing_is_missing() {
    let mut site = Site::with(&[]);
    let get = b"GET /late HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut tls = saying(&site, b"http/1.1", get);
    assert!(eventually(|| site.origin.count() == 1));
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    site.stop();
    assert!(site.proxy.binary().says(r#""event":"draining""#));
    site.go_on.send(()).unwrap();
    ends(site.proxy.binary());
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer).expect("the end is not told");
    assert!(answer.ends_with(&vec![b'x'; LENGTH]));
}

#[test]
fn so_it_does_by_http2() {
    const WIDE: u32 = 8 << 20;
    let site = Site::with(&[]);
    let get = [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", "/")];
    let settings = [&[0, 4][..], &WIDE.to_be_bytes()].concat();
    let begin = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        Frame::new(kind::SETTINGS, 0, 0).with(settings).bytes(),
        Frame::new(kind::WINDOW_UPDATE, 0, 0).with(WIDE.to_be_bytes()).bytes(),
        Frame::headers(1, true, &get).bytes(),
    ];
    let mut tls = saying(&site, b"h2", &begin.concat());
    site.finish();
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    assert!(eventually(|| count(&site.proxy, "client_connections.open") == 0));
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer).expect("the end is not told");
    assert!(answer.len() > LENGTH);
}
