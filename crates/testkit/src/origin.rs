//! A scripted origin: a handler sees each request and writes bytes.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::Duration;

use crate::wire::{Cut, Framing, Wire};
use crate::{Fields, field};

/// A request as the origin got it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The head as it came, with its empty line.
    pub raw_head: String,
    /// The method, for example `GET`.
    pub method: String,
    /// The request target as it was written.
    pub target: String,
    /// The fields in order.
    pub fields: Fields,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The fields after a chunked body.
    pub trailers: Fields,
    /// Which connection it came over: 0 for the first one accepted.
    pub connection: usize,
}

impl Received {
    /// The value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// All values of the fields with this name, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// The connection on which a handler answers.
pub struct Conn {
    wire: Option<Wire>,
    framing: Framing,
    shared: Arc<Shared>,
    /// Where the request being handled is recorded.
    at: usize,
}

impl Conn {
    /// Writes these bytes now. False when the peer is gone, which a script may ignore.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.as_mut().is_some_and(|wire| wire.send(bytes.as_ref()))
    }

    /// Does nothing for this long.
    pub fn pause(&mut self, time: Duration) {
        thread::sleep(time);
    }

    /// Closes in order: what was sent still arrives.
    pub fn close(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            wire.close();
        }
    }

    /// Closes with RST.
    pub fn reset(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            wire.reset_on_drop();
        }
    }

    /// Reads the rest of the request's body (see [`Origin::at_heads`]) and records it.
    /// `None` when the peer cut it or it was malformed; the connection is closed then.
    pub fn read_body(&mut self) -> Option<Vec<u8>> {
        let framing = std::mem::replace(&mut self.framing, Framing::Nothing);
        let mut body = Vec::new();
        let read = self.wire.as_mut()?.body(framing, &mut |part| body.extend_from_slice(part));
        match read {
            Ok(trailers) => {
                let mut requests = self.shared.requests();
                requests[self.at].body.clone_from(&body);
                requests[self.at].trailers = trailers;
                Some(body)
            }
            Err(cut) => {
                self.shared.note(&cut);
                self.close();
                None
            }
        }
    }

    /// Reads the next so many bytes behind the request, whatever they are.
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Cut> {
        self.wire.as_mut().map_or(Err(Cut::Closed), |wire| wire.bytes(count))
    }

    /// Reads to the end of what the peer sends.
    pub fn rest(&mut self) -> Result<Vec<u8>, Cut> {
        self.wire.as_mut().map_or(Err(Cut::Closed), Wire::rest)
    }

    /// Whether bytes behind the request have been read already, but not been used.
    pub fn has_unread(&self) -> bool {
        self.wire.as_ref().is_some_and(Wire::has_unused)
    }

    /// Ends the sending side; more can still be read.
    pub fn finish(&mut self) {
        if let Some(wire) = self.wire.as_mut() {
            wire.finish();
        }
    }

    /// True once the peer has closed or reset its side; waits at most `patience` for it.
    pub fn peer_closes_within(&mut self, patience: Duration) -> bool {
        let Some(wire) = self.wire.as_mut() else { return true };
        wire.stream().set_read_timeout(Some(patience)).expect("a read timeout can be set");
        let closed = matches!(wire.more(), Ok(0) | Err(Cut::Reset(_)));
        wire.stream().set_read_timeout(Some(crate::PATIENCE)).expect("a read timeout can be set");
        closed
    }
}

/// What the threads of one origin share.
#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Received>>,
    faults: Mutex<Vec<String>>,
    open: Mutex<Vec<Weak<TcpStream>>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Received>> {
        self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A cut is the script's business; a malformed request is a fault of the proxy under test.
    fn note(&self, cut: &Cut) {
        if let Cut::Malformed(why) = cut {
            self.faults.lock().unwrap().push(format!("the origin got a malformed request: {why}"));
        }
    }
}

type Handler = dyn Fn(&Received, &mut Conn) + Send + Sync;

/// An origin on a port of its own, on loopback. It stops when it is dropped, and panics then if it
/// got a malformed request or its handler panicked.
pub struct Origin {
    port: u16,
    shared: Arc<Shared>,
}

impl Origin {
    /// Starts one: `handler` is called for each request on each connection, body read, until it or
    /// the peer closes. Each connection has a thread. `Expect: 100-continue` is answered with 100.
    pub fn start(handler: impl Fn(&Received, &mut Conn) + Send + Sync + 'static) -> Self {
        Self::launch(Arc::new(move |head: &Received, conn: &mut Conn| {
            if field(&head.fields, "expect").is_some() {
                conn.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            if conn.read_body().is_none() {
                return;
            }
            let whole = conn.shared.requests()[conn.at].clone();
            handler(&whole, conn);
        }))
    }

    /// Like [`Origin::start`], but `handler` is called as soon as the head is there, and reads the
    /// body itself with [`Conn::read_body`]. What it leaves is read after it returns.
    pub fn at_heads(handler: impl Fn(&Received, &mut Conn) + Send + Sync + 'static) -> Self {
        Self::launch(Arc::new(handler))
    }

    /// Answers every request with these bytes, and closes where only that ends them.
    pub fn answering(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        let head = String::from_utf8_lossy(&response).to_ascii_lowercase();
        let head = head.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        let framed = ["\r\ncontent-length:", "\r\ntransfer-encoding:", " 204 ", " 304 "];
        let closes = head.contains("\r\nconnection: close")
            || !framed.iter().any(|needed| head.contains(needed));
        Self::start(move |_, conn| {
            conn.send(&response);
            if closes {
                conn.close();
            }
        })
    }

    fn launch(handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let shared = Arc::new(Shared::default());
        let for_loop = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &for_loop, &handler));
        Self { port, shared }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL without a path: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests so far, in the order of their heads.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests().clone()
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.shared.requests().len()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        for open in self.shared.open.lock().unwrap().iter().filter_map(Weak::upgrade) {
            let _ = open.shutdown(Shutdown::Both);
        }
        let faults = std::mem::take(&mut *self.shared.faults.lock().unwrap());
        assert!(faults.is_empty() || thread::panicking(), "{}", faults.join("\n"));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, handler: &Arc<Handler>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream.map(Arc::new) else { continue };
        let connection = shared.connections.fetch_add(1, Ordering::AcqRel);
        let mut open = shared.open.lock().unwrap();
        open.retain(|known| known.strong_count() > 0);
        open.push(Arc::downgrade(&stream));
        drop(open);
        let (shared, handler) = (Arc::clone(shared), Arc::clone(handler));
        thread::spawn(move || serve(stream, connection, &shared, &handler));
    }
}

fn serve(stream: Arc<TcpStream>, connection: usize, shared: &Arc<Shared>, handler: &Arc<Handler>) {
    let mut wire = Some(Wire::new(stream));
    while let Some(mut open) = wire.take() {
        let (head, framing) = match request_head(&mut open) {
            Ok(read) => read,
            Err(cut) => return shared.note(&cut),
        };
        let head = Received { connection, ..head };
        let at = {
            let mut requests = shared.requests();
            requests.push(head.clone());
            requests.len() - 1
        };
        let mut conn = Conn { wire: Some(open), framing, shared: Arc::clone(shared), at };
        if catch_unwind(AssertUnwindSafe(|| handler(&head, &mut conn))).is_err() {
            let fault = format!("the origin's handler panicked on {} {}", head.method, head.target);
            shared.faults.lock().unwrap().push(fault);
            return;
        }
        if conn.framing != Framing::Nothing {
            conn.read_body();
        }
        wire = conn.wire.take();
    }
}

fn request_head(wire: &mut Wire) -> Result<(Received, Framing), Cut> {
    let (raw_head, start, fields) = wire.head()?;
    let parts: Vec<&str> = start.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(Cut::Malformed(format!("request line {start:?}")));
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    let framing = Framing::of_request(&fields)?;
    Ok((Received { raw_head, method, target, fields, ..Received::default() }, framing))
}
