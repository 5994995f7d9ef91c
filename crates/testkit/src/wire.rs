//! Heads and bodies read from a socket, byte by byte as RFC 9112 has them, with nothing forgiven.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use crate::{Fields, PATIENCE, field};

/// Why no whole message came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The peer closed before the first byte.
    Closed,
    /// The peer closed within the message; the bytes that came.
    Midway(String),
    /// The connection was reset; the bytes that came.
    Reset(String),
    /// Nothing came for [`PATIENCE`]; the bytes that came before.
    TimedOut(String),
    /// What came is not HTTP/1.1: the reason and the bytes.
    Malformed(String),
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(crate) fn of_request(fields: &Fields) -> Result<Self, Cut> {
        Self::announced(fields).map(|found| found.unwrap_or(Self::Nothing))
    }

    pub(crate) fn of_response(method: &str, status: u16, fields: &Fields) -> Result<Self, Cut> {
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if bodiless || (method == "CONNECT" && status < 300) {
            return Ok(Self::Nothing);
        }
        Self::announced(fields).map(|found| found.unwrap_or(Self::UntilClose))
    }

    /// Both framing fields at once, or either twice, is what a proxy must never send.
    fn announced(fields: &Fields) -> Result<Option<Self>, Cut> {
        let count =
            |name: &str| fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count();
        if count("transfer-encoding") + count("content-length") > 1 {
            return Err(Cut::Malformed(format!("ambiguous framing: {fields:?}")));
        }
        if let Some(coding) = field(fields, "transfer-encoding") {
            let chunked = coding.eq_ignore_ascii_case("chunked").then_some(Some(Self::Chunked));
            return chunked.ok_or_else(|| Cut::Malformed(format!("transfer-encoding: {coding}")));
        }
        let Some(length) = field(fields, "content-length") else { return Ok(None) };
        let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let length = digits.then(|| length.parse().ok()).flatten();
        length.map(|n| Some(Self::Length(n))).ok_or_else(|| Cut::Malformed("content-length".into()))
    }
}

/// A socket and what was read from it but not used yet.
pub(crate) struct Wire {
    stream: Arc<TcpStream>,
    unused: Vec<u8>,
    scratch: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: Arc<TcpStream>) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout can be set");
        stream.set_nodelay(true).expect("Nagle can be turned off");
        Self { stream, unused: Vec::new(), scratch: vec![0; 64 * 1024] }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes everything; false when the peer no longer takes it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        (&*self.stream).write_all(bytes).is_ok()
    }

    /// Ends the connection in order: what was written still arrives, then FIN.
    pub(crate) fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        // Unread bytes would turn the close into a reset that overtakes what was written.
        let _ = self.stream.set_nonblocking(true);
        let mut scrap = [0; 4096];
        while matches!((&*self.stream).read(&mut scrap), Ok(n) if n > 0) {}
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Makes the coming drop of the socket send RST instead of FIN.
    pub(crate) fn reset_on_drop(&mut self) {
        let at_once = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&*self.stream, at_once).expect("SO_LINGER");
    }

    /// Reads some more bytes; `Ok(0)` is the end of the stream.
    pub(crate) fn more(&mut self) -> Result<usize, Cut> {
        loop {
            match (&*self.stream).read(&mut self.scratch) {
                Ok(n) => {
                    self.unused.extend_from_slice(&self.scratch[..n]);
                    return Ok(n);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(Cut::TimedOut(self.seen()));
                }
                Err(_) => return Err(Cut::Reset(self.seen())),
            }
        }
    }

    /// The next so many bytes, whatever they are.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Cut> {
        while self.unused.len() < count {
            self.need_more()?;
        }
        Ok(self.unused.drain(..count).collect())
    }

    /// All bytes up to the end of the stream.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, Cut> {
        while self.more()? > 0 {}
        Ok(std::mem::take(&mut self.unused))
    }

    /// Ends the sending side.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    pub(crate) fn has_unused(&self) -> bool {
        !self.unused.is_empty()
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.unused).into_owned()
    }

    /// More bytes are needed: end of stream is a cut.
    fn need_more(&mut self) -> Result<(), Cut> {
        match self.more()? {
            0 if self.unused.is_empty() => Err(Cut::Closed),
            0 => Err(Cut::Midway(self.seen())),
            _ => Ok(()),
        }
    }

    /// The bytes up to and with the first `end`.
    fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, Cut> {
        loop {
            if let Some(at) = self.unused.windows(end.len()).position(|window| window == end) {
                return Ok(self.unused.drain(..at + end.len()).collect());
            }
            self.need_more()?;
        }
    }

    /// A head: its start line and its fields; also as it came.
    pub(crate) fn head(&mut self) -> Result<(String, String, Fields), Cut> {
        let raw = self.until(b"\r\n\r\n")?;
        let raw = String::from_utf8_lossy(&raw).into_owned();
        let body = raw.strip_suffix("\r\n\r\n").unwrap_or_default();
        let (start, lines) = body.split_once("\r\n").unwrap_or((body, ""));
        let start = checked_line(start)?.to_owned();
        let fields = fields(lines)?;
        Ok((raw, start, fields))
    }

    /// Gives the body to `sink` piece by piece. `Ok(trailers)` when it came whole.
    pub(crate) fn body(
        &mut self,
        framing: Framing,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Fields, Cut> {
        match framing {
            Framing::Nothing => Ok(Fields::new()),
            Framing::Length(length) => self.take(length, sink).map(|()| Fields::new()),
            Framing::Chunked => self.chunks(sink),
            Framing::UntilClose => self.until_close(sink).map(|()| Fields::new()),
        }
    }

    fn take(&mut self, mut left: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), Cut> {
        while left > 0 {
            if self.unused.is_empty() && self.more()? == 0 {
                return Err(Cut::Midway(format!("{left} bytes of the body are missing")));
            }
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.unused.len());
            sink(&self.unused[..here]);
            self.unused.drain(..here);
            left -= here as u64;
        }
        Ok(())
    }

    fn chunks(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Fields, Cut> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default();
            let hex = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
            let size = hex.then(|| u64::from_str_radix(size, 16).ok()).flatten();
            let size = size.ok_or_else(|| Cut::Malformed(format!("chunk line {line:?}")))?;
            if size == 0 {
                return self.trailers();
            }
            self.take(size, sink)?;
            let end = self.line()?;
            if !end.is_empty() {
                return Err(Cut::Malformed(format!("after a chunk: {end:?}")));
            }
        }
    }

    fn trailers(&mut self) -> Result<Fields, Cut> {
        let mut trailers = Fields::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push(one_field(&line)?);
        }
    }

    fn until_close(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Cut> {
        loop {
            sink(&self.unused);
            self.unused.clear();
            if self.more()? == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Result<String, Cut> {
        let line = match self.until(b"\r\n") {
            Err(Cut::Closed) => Err(Cut::Midway("a line is missing".into())),
            other => other,
        }?;
        let line = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
        checked_line(&line).map(ToOwned::to_owned)
    }
}

/// A bare CR or LF would let two parsers see two messages.
fn checked_line(line: &str) -> Result<&str, Cut> {
    if line.contains(['\r', '\n', '\0']) {
        return Err(Cut::Malformed(format!("bare CR, LF or NUL in {line:?}")));
    }
    Ok(line)
}

fn fields(lines: &str) -> Result<Fields, Cut> {
    lines.split("\r\n").filter(|line| !line.is_empty()).map(one_field).collect()
}

fn one_field(line: &str) -> Result<(String, String), Cut> {
    let (name, value) = checked_line(line)?
        .split_once(':')
        .ok_or_else(|| Cut::Malformed(format!("a field line without a colon: {line:?}")))?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Cut::Malformed(format!("field name {name:?}")));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}
