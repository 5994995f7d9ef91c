//! An origin of one thread that keeps every byte it gets, and reads them with the model.
//!
//! One thread looks at all connections in turn: when it has seen the last request of a round, it has
//! also seen whatever was sent to it before.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::model::{self, Request};

/// The target that ends a round.
pub(crate) const LAST: &[u8] = b"/the-last-one";

/// An origin that runs as long as the process.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    rounds: mpsc::Receiver<Vec<Request>>,
}

struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
    answered: usize,
    open: bool,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (done, rounds) = mpsc::channel();
        thread::spawn(move || serve(&listener, &done));
        Self { address, rounds }
    }

    /// What has come since the last round. To be asked after the request for [`LAST`] was answered.
    pub(crate) fn round(&self) -> Vec<Request> {
        self.rounds.recv_timeout(Duration::from_secs(10)).expect("the origin saw the last request")
    }
}

fn serve(listener: &TcpListener, done: &mpsc::Sender<Vec<Request>>) {
    let mut connections: Vec<Connection> = Vec::new();
    let mut seen = Vec::new();
    loop {
        let mut moved = false;
        while let Ok((stream, _)) = listener.accept() {
            connections.push(Connection::new(stream));
            moved = true;
        }
        for connection in &mut connections {
            moved |= connection.read();
        }
        let new: Vec<_> = connections.iter_mut().flat_map(Connection::answer).collect();
        let is_last = new.iter().any(|request| request.target == LAST);
        seen.extend(new.into_iter().filter(|request| request.target != LAST));
        if is_last {
            // What was on its way before it is here by now.
            for connection in &mut connections {
                connection.read();
            }
            seen.extend(connections.iter_mut().flat_map(Connection::answer));
            seen.extend(connections.iter_mut().filter_map(Connection::end_round));
            connections.retain(|connection| connection.open);
            if done.send(std::mem::take(&mut seen)).is_err() {
                return;
            }
        }
        if !moved {
            thread::sleep(Duration::from_micros(50));
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, bytes: Vec::new(), answered: 0, open: true }
    }

    /// Takes what has come; says whether there was something.
    fn read(&mut self) -> bool {
        let before = self.bytes.len();
        let mut part = [0; 16 << 10];
        while self.open {
            match self.stream.read(&mut part) {
                Ok(0) => self.open = false,
                Ok(count) => self.bytes.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.open = false,
            }
        }
        self.bytes.len() > before
    }

    /// Answers the requests that have come.
    fn answer(&mut self) -> Vec<Request> {
        let (all, rest) = model::requests(&self.bytes);
        // Every byte belongs to a request, or to the beginning of one.
        let is_begun = all.last().is_none_or(|last| last.complete);
        let is_head = rest.windows(4).any(|part| part == b"\r\n\r\n");
        assert!(!is_begun || !is_head, "the origin got {:?}", String::from_utf8_lossy(&self.bytes));
        let complete = all.into_iter().filter(|request| request.complete);
        let new: Vec<_> = complete.skip(self.answered).collect();
        self.answered += new.len();
        for request in &new {
            let body: &[u8] = if request.method == b"HEAD" { b"" } else { b"ok" };
            let head = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\n";
            let _ = self.stream.write_all(&[head, body].concat());
        }
        new
    }

    /// Forgets what has come; returns a request whose end has not.
    fn end_round(&mut self) -> Option<Request> {
        let (all, rest) = model::requests(&self.bytes);
        let unfinished = all.into_iter().find(|request| !request.complete);
        self.open &= unfinished.is_none() && rest.is_empty();
        self.bytes.clear();
        self.answered = 0;
        unfinished
    }
}
