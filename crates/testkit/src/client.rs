//! A scripted client: it writes bytes and reads responses.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::wire::{Cut, Framing, Wire};
use crate::{Fields, PATIENCE, field};

/// A final response and what came before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code, for example 200.
    pub status: u16,
    /// The reason phrase, often empty.
    pub reason: String,
    /// The head as it came, with its empty line.
    pub raw_head: String,
    /// The fields in order.
    pub fields: Fields,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The fields after a chunked body.
    pub trailers: Fields,
    /// The 1xx responses that came first: status and fields.
    pub informational: Vec<(u16, Fields)>,
    /// False when the connection was cut before the end of the body.
    pub complete: bool,
    /// From the end of the last [`Client::send`] to the first byte read of this response's head.
    pub first_byte: Duration,
}

impl Response {
    /// The value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// All values of the fields with this name, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection to the server under test.
pub struct Client {
    wire: Wire,
    peer: SocketAddr,
    sent: Instant,
    /// How the body of the last head read by [`Client::head_to`] ends.
    framing: Framing,
}

impl Client {
    /// Opens a connection.
    pub fn connect(address: impl ToSocketAddrs) -> Self {
        let mut addresses = address.to_socket_addrs().expect("an address");
        let peer = addresses.next().expect("at least one address");
        let stream = TcpStream::connect_timeout(&peer, PATIENCE).expect("the server accepts");
        let wire = Wire::new(Arc::new(stream));
        Self { wire, peer, sent: Instant::now(), framing: Framing::Nothing }
    }

    /// Writes these bytes now. False when the peer no longer takes them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let taken = self.wire.send(bytes.as_ref());
        self.sent = Instant::now();
        taken
    }

    /// Sends `GET path` with a Host field and reads the response.
    pub fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[])
    }

    /// Sends a request without a body, with a Host field and these, and reads the response.
    pub fn request(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.peer);
        for (name, value) in fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        self.send(head + "\r\n");
        self.response_to(method)
    }

    /// Reads one final response to a request whose method gives it a body.
    /// Panics with the bytes seen where none comes.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// Reads one final response to this method; one to HEAD has no body.
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).unwrap_or_else(|cut| panic!("no response: {cut:?}"))
    }

    /// Reads one final response, or says why none came. One that is cut within its body is a
    /// response that is not `complete`.
    pub fn try_response(&mut self) -> Result<Response, Cut> {
        self.try_response_to("GET")
    }

    /// [`Client::try_response`] to this method.
    pub fn try_response_to(&mut self, method: &str) -> Result<Response, Cut> {
        let mut response = self.head_to(method)?;
        let mut body = Vec::new();
        self.body_into(&mut response, &mut |part| body.extend_from_slice(part))?;
        response.body = body;
        Ok(response)
    }

    /// Reads only the final head (and the informational ones before it).
    pub fn head_to(&mut self, method: &str) -> Result<Response, Cut> {
        let mut informational = Vec::new();
        self.wait_for_bytes()?;
        let mut first_byte = self.sent.elapsed();
        loop {
            let (raw_head, start, fields) = self.wire.head()?;
            let (status, reason) = status_line(&start)?;
            if status < 200 && status != 101 {
                informational.push((status, fields));
                self.wait_for_bytes()?;
                first_byte = self.sent.elapsed();
                continue;
            }
            self.framing = Framing::of_response(method, status, &fields)?;
            let head = Response { status, reason, raw_head, fields, ..Response::default() };
            return Ok(Response { informational, first_byte, ..head });
        }
    }

    fn wait_for_bytes(&mut self) -> Result<(), Cut> {
        if self.wire.has_unused() || self.wire.more()? > 0 {
            return Ok(());
        }
        Err(Cut::Closed)
    }

    /// Reads the body after [`Client::head_to`] and gives it to `sink` as it comes, so that it may
    /// be larger than memory. Sets `complete` and `trailers`. Only a malformed body is an error.
    pub fn body_into(
        &mut self,
        response: &mut Response,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Cut> {
        let framing = std::mem::replace(&mut self.framing, Framing::Nothing);
        match self.wire.body(framing, sink) {
            Ok(trailers) => {
                response.complete = true;
                response.trailers = trailers;
                Ok(())
            }
            Err(malformed @ Cut::Malformed(_)) => Err(malformed),
            Err(_) => Ok(()),
        }
    }

    /// Reads the next informational response alone: its status and fields.
    pub fn informational(&mut self) -> (u16, Fields) {
        let head = self
            .wire
            .head()
            .and_then(|(_, start, fields)| status_line(&start).map(|(status, _)| (status, fields)));
        let (status, fields) = head.unwrap_or_else(|cut| panic!("no 1xx response: {cut:?}"));
        assert!((100..200).contains(&status), "{status} is not informational");
        (status, fields)
    }

    /// True when the server has closed the connection and sent nothing more before; waits for it.
    pub fn at_eof(&mut self) -> bool {
        !self.wire.has_unused() && matches!(self.wire.more(), Ok(0) | Err(Cut::Reset(_)))
    }

    /// True when some of a response is there to be read.
    pub fn has_answer(&mut self) -> bool {
        let stream = self.wire.stream();
        stream.set_nonblocking(true).expect("a socket need not block");
        let is_there = stream.peek(&mut [0]).is_ok_and(|count| count > 0);
        stream.set_nonblocking(false).expect("a socket can block");
        self.wire.has_unused() || is_there
    }

    /// True when the server keeps the connection open, and silent, for this long.
    pub fn stays_open(&mut self, time: Duration) -> bool {
        self.wire.stream().set_read_timeout(Some(time)).expect("a read timeout can be set");
        let silent = !self.wire.has_unused() && matches!(self.wire.more(), Err(Cut::TimedOut(_)));
        self.wire.stream().set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
        silent
    }

    /// Ends the sending side; responses can still be read.
    pub fn finish(&mut self) {
        self.wire.finish();
    }

    /// Reads the next so many bytes, whatever they are.
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Cut> {
        self.wire.bytes(count)
    }

    /// Reads to the end of the connection.
    pub fn rest(&mut self) -> Result<Vec<u8>, Cut> {
        self.wire.rest()
    }

    /// Closes with RST.
    pub fn reset(mut self) {
        self.wire.reset_on_drop();
    }
}

fn status_line(line: &str) -> Result<(u16, String), Cut> {
    let malformed = || Cut::Malformed(format!("status line {line:?}"));
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(malformed)?;
    let (code, reason) = rest.split_once(' ').ok_or_else(malformed)?;
    if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_digit()) || code < "100" {
        return Err(malformed());
    }
    Ok((code.parse().map_err(|_| malformed())?, reason.to_owned()))
}
