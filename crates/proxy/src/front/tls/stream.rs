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
use crate::front::transport::{Incoming, Outgoing};

/// What is taken at once to be encrypted, and what waits at most for a slow client.
const BUFFERED: usize = 64 << 10;

/// A connection whose handshake is done.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: Session,
}

/// Both sides need the session, one after the other: they are polled by one task.
struct Session(Mutex<ServerConnection>);

impl Session {
    fn lock(&self) -> MutexGuard<'_, ServerConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side that reads.
pub(crate) struct TlsReader<'a> {
    tcp: ReadHalf<'a>,
    session: &'a Session,
}

/// The side that writes.
pub(crate) struct TlsWriter<'a> {
    tcp: WriteHalf<'a>,
    session: &'a Session,
    finished: bool,
}

impl TlsStream {
    pub(super) fn new(tcp: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(BUFFERED));
        Self { tcp, session: Session(Mutex::new(session)) }
    }

    /// What the client has shown of itself.
    pub(super) fn shown(&self, tells_chain: bool) -> Option<Shown> {
        Shown::of(self.session.lock().peer_certificates()?, tells_chain)
    }

    pub(super) fn split(&mut self) -> (TlsReader<'_>, TlsWriter<'_>) {
        let (reader, writer) = self.tcp.split();
        let session = &self.session;
        (TlsReader { tcp: reader, session }, TlsWriter { tcp: writer, session, finished: false })
    }
}

impl Incoming for TlsReader<'_> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        let mut session = self.session.lock();
        loop {
            let mut reader = session.reader();
            match reader.fill_buf() {
                Ok(data) => {
                    let count = data.len();
                    buf.extend_from_slice(data);
                    reader.consume(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            match session.read_tls(&mut Wire { tcp: Pin::new(&mut self.tcp), cx }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                read => read?,
            };
            if let Err(error) = session.process_new_packets() {
                // The alert that says why, if there is room for it.
                let _ = session.write_tls(&mut Unwaited(self.tcp.as_ref()));
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
    }

    fn tcp(&self) -> &TcpStream {
        self.tcp.as_ref()
    }
}

impl TlsWriter<'_> {
    /// Hands encrypted records to the system until none is left.
    fn push(
        tcp: &mut WriteHalf<'_>,
        session: &mut ServerConnection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while session.wants_write() {
            match session.write_tls(&mut Wire { tcp: Pin::new(tcp), cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Outgoing for TlsWriter<'_> {
    const SENDS_FILES: bool = false;

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut session = self.session.lock();
        let mut taken = session.writer().write_vectored(parts)?;
        if taken == 0 {
            // There is no room while a slow client has not taken what came before.
            ready!(Self::push(&mut self.tcp, &mut session, cx))?;
            taken = session.writer().write_vectored(parts)?;
        }
        // A short response is one record and one write. What is left waits for the next call.
        match Self::push(&mut self.tcp, &mut session, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::push(&mut self.tcp, &mut self.session.lock(), cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut session = self.session.lock();
        if !self.finished {
            self.finished = true;
            session.send_close_notify();
        }
        Self::push(&mut self.tcp, &mut session, cx)
    }

    fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn tcp(&self) -> &TcpStream {
        self.tcp.as_ref()
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
