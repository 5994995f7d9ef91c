//! A client's connection inside TLS.

use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::client_cert::Shown;
use super::records::Records;
use crate::front::transport::{Carrier, Incoming, Outgoing};
use crate::front::unsent;

/// What is taken at once to be encrypted...
const MOST: usize = 64 << 10;
/// ...and from a client that did not take all of it the last time: one record.
const LEAST: usize = 16 << 10;

/// A connection whose handshake goes on. Its last bytes may come with the first of what follows.
pub(super) struct Greeting {
    tcp: TcpStream,
    records: Records,
}

/// A connection whose handshake is done.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: Session,
}

/// Both sides need the session, one after the other: they are polled by one task.
struct Session(Mutex<State>);

struct State {
    tls: ServerConnection,
    /// How much is taken at once to be encrypted.
    most: usize,
    /// Bytes that the system has taken.
    taken: u64,
    /// Where the client is in what it sends.
    records: Records,
    finished: bool,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side that reads.
pub(crate) struct TlsReader<'a> {
    tcp: ReadHalf<'a>,
    session: &'a Session,
    /// What is read is wanted soon.
    much: bool,
}

/// The side that writes.
pub(crate) struct TlsWriter<'a> {
    tcp: WriteHalf<'a>,
    session: &'a Session,
}

impl Greeting {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, records: Records::default() }
    }
}

impl AsyncRead for Greeting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        self.records.passed(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl TlsStream {
    pub(super) fn new(greeted: Greeting, mut tls: ServerConnection) -> Self {
        let Greeting { tcp, records } = greeted;
        tls.set_buffer_limit(Some(MOST));
        let state = State { tls, most: MOST, taken: 0, records, finished: false };
        Self { tcp, session: Session(Mutex::new(state)) }
    }

    /// What the client has shown of itself.
    pub(super) fn shown(&self, tells_chain: bool) -> Option<Shown> {
        Shown::of(self.session.lock().tls.peer_certificates()?, tells_chain)
    }

    pub(super) fn split(&mut self) -> (TlsReader<'_>, TlsWriter<'_>) {
        let (reader, writer) = self.tcp.split();
        let session = &self.session;
        (TlsReader { tcp: reader, session, much: false }, TlsWriter { tcp: writer, session })
    }
}

impl TlsReader<'_> {
    /// Hands on what is there, once; `take` says how much of it was taken. If that may have to wait, no
    /// more is read than ends a record.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.session.lock();
        let State { tls, records, .. } = &mut *state;
        loop {
            let mut reader = tls.reader();
            match reader.fill_buf() {
                Ok(data) => {
                    let count = take(data);
                    reader.consume(count);
                    if !self.much && records.take_long() {
                        // The library keeps its buffer for a long record until it reads again.
                        let _ = tls.read_tls(&mut Nothing);
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            let wire = Wire { tcp: Pin::new(&mut self.tcp), cx };
            match tls.read_tls(&mut Bounded { wire, records, much: self.much }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                read => read?,
            };
            if let Err(error) = tls.process_new_packets() {
                // The alert that says why, if there is room for it.
                let _ = tls.write_tls(&mut Unwaited(self.tcp.as_ref()));
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
    }
}

impl Incoming for TlsReader<'_> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.poll_take(cx, |data| {
            buf.extend_from_slice(data);
            data.len()
        })
    }

    fn read_much(&mut self, much: bool) {
        self.much = much;
    }

    fn tcp(&self) -> &TcpStream {
        self.tcp.as_ref()
    }
}

impl TlsWriter<'_> {
    /// Hands encrypted records to the system until none is left.
    fn push(
        tcp: &mut WriteHalf<'_>,
        state: &mut State,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while state.tls.wants_write() {
            match state.tls.write_tls(&mut Wire { tcp: Pin::new(tcp), cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => state.taken += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl State {
    /// Takes less from now on, or more, as the client took all of it or not.
    fn adapt(&mut self, took_all: bool) {
        let most = if took_all { MOST.min(2 * self.most) } else { LEAST };
        if most != self.most {
            self.most = most;
            self.tls.set_buffer_limit(Some(most));
        }
    }
}

impl Outgoing for TlsWriter<'_> {
    const SENDS_FILES: bool = false;

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.session.lock();
        // Nothing is encrypted for a client that has not taken what came before.
        ready!(Self::push(&mut self.tcp, &mut state, cx))?;
        let taken = state.tls.writer().write_vectored(parts)?;
        // A short response is one record and one write. What is left waits for the next call.
        let pushed = Self::push(&mut self.tcp, &mut state, cx)?;
        state.adapt(pushed.is_ready());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::push(&mut self.tcp, &mut self.session.lock(), cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.session.lock();
        if !std::mem::replace(&mut state.finished, true) {
            state.tls.send_close_notify();
        }
        Self::push(&mut self.tcp, &mut state, cx)
    }

    fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn tcp(&self) -> &TcpStream {
        self.tcp.as_ref()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut reader = self.get_mut().split().0;
        // The codec reads until nothing is left.
        reader.much = true;
        let taken = reader.poll_take(cx, |data| {
            let count = data.len().min(buf.remaining());
            buf.put_slice(data.get(..count).unwrap_or_default());
            count
        });
        taken.map_ok(drop)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().split().1.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().split().1.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().split().1.poll_shut_down(cx)
    }
}

impl Carrier for Box<TlsStream> {
    fn taken(&self) -> u64 {
        self.session.lock().taken
    }

    fn unsent(&self, known: u32) -> u32 {
        unsent::amount(&self.tcp, known)
    }
}

/// What the client sends, no more of it than ends a record unless it is wanted soon.
struct Bounded<'a, 'c, T> {
    wire: Wire<'a, 'c, T>,
    records: &'a mut Records,
    much: bool,
}

impl<T: AsyncRead> Read for Bounded<'_, '_, T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = self.records.left().filter(|_| !self.much).unwrap_or(usize::MAX);
        let most = most.min(buf.len());
        let buf = buf.get_mut(..most).unwrap_or_default();
        let count = self.wire.read(buf)?;
        self.records.passed(buf.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// A socket on which nothing has arrived.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// One side of the socket as the TLS library wants it, which knows nothing of tasks.
struct Wire<'a, 'c, T> {
    tcp: Pin<&'a mut T>,
    cx: &'a mut Context<'c>,
}

fn at_once<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<T: AsyncRead> Read for Wire<'_, '_, T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        at_once(self.tcp.as_mut().poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl<T: AsyncWrite> Write for Wire<'_, '_, T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        at_once(self.tcp.as_mut().poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        // A short response is one record, and for one piece the system has a shorter way.
        if let [only] = bufs {
            return self.write(only);
        }
        at_once(self.tcp.as_mut().poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The socket for a last word that is not waited for.
struct Unwaited<'a>(&'a TcpStream);

impl Write for Unwaited<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
