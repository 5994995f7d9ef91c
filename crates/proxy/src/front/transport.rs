//! What carries a client's connection: TCP alone, or TLS over it. Each side is a type of its own, so
//! that what TLS needs costs nothing where there is none.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::unsent;

/// The side that reads.
pub(crate) trait Incoming: Send {
    /// Appends what is there; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// What is read is wanted soon, or may have to wait.
    fn read_much(&mut self, much: bool);

    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

/// The side that writes.
pub(crate) trait Outgoing: Send {
    /// Whether the system can take the bytes of a file by itself.
    const SENDS_FILES: bool;

    /// Takes some of `parts`. What is taken may be held back until [`Outgoing::poll_flush`].
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Hands what was held back to the system.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says that all has been said, as far as there is a word for that. The socket stays open.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says so, and ends this side of the socket.
    fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

/// Both sides, for HTTP/2.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Unpin {
    /// Bytes that the system has taken of what was held back, since the beginning: who waits for a
    /// flush sees by it that the client takes something.
    fn taken(&self) -> u64;

    /// What the system has not sent yet of what it has taken; see [`unsent::amount`].
    fn unsent(&self, known: u32) -> u32;
}

impl Carrier for TcpStream {
    /// Nothing is ever held back.
    fn taken(&self) -> u64 {
        0
    }

    fn unsent(&self, known: u32) -> u32 {
        unsent::amount(self, known)
    }
}

impl Incoming for ReadHalf<'_> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        pin!(self.read_buf(buf)).poll(cx)
    }

    fn read_much(&mut self, _: bool) {}

    fn tcp(&self) -> &TcpStream {
        self.as_ref()
    }
}

impl Outgoing for WriteHalf<'_> {
    const SENDS_FILES: bool = true;

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        pin!(self.write_vectored(parts)).poll(cx)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(self.shutdown()).poll(cx)
    }

    fn tcp(&self) -> &TcpStream {
        self.as_ref()
    }
}
