//! The threads of the workers: what they wait for, and whether they still do anything.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, mpsc};

use proxy::events::{Recorder, Served, Trouble};
use proxy::{Inherited, Kind, Legacy, Listen, Settings, Staffed};
use testkit::{Client, Origin, eventually};

/// Does not return from being told of a request, until it is told to go on.
struct Blocking(Mutex<mpsc::Receiver<()>>);

impl Recorder for Blocking {
    fn wants_requests(&self) -> bool {
        true
    }
    fn served(&self, _: &Served<'_>) {
        let _ = self.0.lock().unwrap().recv();
    }
    fn trouble(&self, _: &Trouble<'_>) {}
}

/// Of two workers, at this address.
fn settings(origin: &Origin, address: SocketAddr) -> Settings {
    let usual = rig::settings(&origin.url());
    Settings { listen: vec![Listen::plain(address)], workers: 2, ..usual }
}

fn origin() -> Origin {
    Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
}

#[test]
fn a_worker_that_is_stuck_does_not_answer() {
    let origin = origin();
    let (go_on, blocked) = mpsc::channel();
    let recorder = Arc::new(Blocking(Mutex::new(blocked)));
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let running = proxy::start(settings(&origin, anywhere), recorder).unwrap();
    let handle = running.handle();
    handle.ask_workers();
    assert!(eventually(|| handle.workers_have_answered()));
    let mut client = Client::connect(running.local_addr());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head_to("GET").unwrap().status, 200);
    // One worker is told of that just now, or soon.
    let is_stuck = || {
        handle.ask_workers();
        std::thread::sleep(std::time::Duration::from_millis(100));
        !handle.workers_have_answered()
    };
    assert!(eventually(is_stuck));
    go_on.send(()).unwrap();
    assert!(eventually(|| handle.workers_have_answered()));
}

/// A proxy that does not serve yet, on a socket that this test has too.
fn staffed(origin: &Origin) -> (Staffed, TcpListener) {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let sockets = vec![socket.try_clone().unwrap()];
    let mut inherited = vec![Inherited { address, kind: Kind::Http, sockets }];
    // Whatever is recorded goes on at once.
    let recorder = Arc::new(Blocking(Mutex::new(mpsc::channel().1)));
    let prepared = proxy::prepare(settings(origin, address), recorder, &mut inherited).unwrap();
    (prepared.open(Legacy::default()).unwrap().staff().unwrap(), socket)
}

#[test]
fn nobody_is_taken_before_the_word_and_whoever_waits_then_is_served() {
    let origin = origin();
    let (staffed, socket) = staffed(&origin);
    let mut client = Client::connect(socket.local_addr().unwrap());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let handle = staffed.handle();
    handle.ask_workers();
    assert!(client.stays_open(std::time::Duration::from_millis(200)));
    assert!(!handle.workers_have_answered());
    let _running = staffed.serve();
    assert_eq!(client.response().text(), "x");
    assert!(eventually(|| handle.workers_have_answered()));
}

#[test]
fn threads_that_are_not_needed_leave_those_who_wait_to_others() {
    let origin = origin();
    let (staffed, socket) = staffed(&origin);
    let mut client = Client::connect(socket.local_addr().unwrap());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(staffed);
    std::thread::sleep(std::time::Duration::from_millis(200));
    socket.set_nonblocking(true).unwrap();
    let (stream, _) = socket.accept().unwrap();
    drop(stream);
    assert!(client.try_response().is_err());
    assert_eq!(origin.count(), 0);
}
