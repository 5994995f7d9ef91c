//! What carries a connection to the origin: counts what comes on it, and ends it where the codec would
//! lose its way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http2_frames::Frames;

/// A socket that the codec has.
pub(super) struct Heard<S> {
    io: S,
    count: Arc<AtomicU64>,
    frames: Frames,
}

impl<S> Heard<S> {
    /// With where the bytes that have come are counted.
    pub(super) fn new(io: S, count: Arc<AtomicU64>) -> Self {
        Self { io, count, frames: Frames::default() }
    }

    /// Notes what has come, before the codec sees it.
    fn listen(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        while !bytes.is_empty() {
            let step = self.frames.step(bytes);
            //= https://www.rfc-editor.org/rfc/rfc9113#section-4.3
            //# A receiver MUST terminate the connection with a connection error (Section 5.4.1) of type
            //# COMPRESSION_ERROR if it does not decompress a field block.
            if step.ends && self.frames.depends_on_itself() {
                return Err(io::Error::other("a stream that depends on itself"));
            }
            bytes = bytes.get(step.taken..).unwrap_or_default();
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.listen(buf.filled().get(before..).unwrap_or_default())?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
