//! What carries a connection to the origin: counts what comes on it, puts together header blocks that
//! are cut, and ends it where the codec would lose its way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http2_blocks::{Bounds, Fault, Joiner};
use crate::http2_frames::Frames;
use crate::settings::Limits;

/// CONTINUATION frames of one head that are borne, however little is in them. A head of the usual limit
/// needs one.
const CONTINUATIONS: u32 = 8;

/// What is borne of the blocks of an origin.
pub(super) fn bounds(limits: &Limits) -> Bounds {
    Bounds::new(limits.http1.head, CONTINUATIONS)
}

/// A socket that the codec has.
pub(super) struct Heard<S> {
    io: S,
    count: Arc<AtomicU64>,
    frames: Frames,
    joiner: Joiner,
}

impl<S> Heard<S> {
    /// With where the bytes that have come are counted.
    pub(super) fn new(io: S, count: Arc<AtomicU64>, limits: &Limits) -> Self {
        Self { io, count, frames: Frames::default(), joiner: Joiner::new(bounds(limits)) }
    }

    /// Notes what has come, before the codec sees it; says how much of it that may see as it is.
    fn listen(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.joiner.begin(&self.frames);
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let step = self.frames.step(rest);
            //= https://www.rfc-editor.org/rfc/rfc9113#section-4.3
            //# A receiver MUST terminate the connection with a connection error (Section 5.4.1) of type
            //# COMPRESSION_ERROR if it does not decompress a field block.
            if step.ends && self.frames.depends_on_itself() {
                return Err(io::Error::other("a stream that depends on itself"));
            }
            self.joiner.take(at, &self.frames, &step).map_err(wrong)?;
            at += step.taken;
        }
        Ok(self.joiner.untouched(at, &self.frames))
    }
}

fn wrong(fault: Fault) -> io::Error {
    match fault {
        Fault::Continuations => io::Error::other("a header block in too many frames"),
        Fault::Frame(reason) => io::Error::other(reason.description()),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.joiner.hand_over(buf) {
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let seen = self.listen(fresh)?;
            buf.set_filled(before + seen);
            // Nothing at all would be the end of the stream.
            if seen > 0 {
                return Poll::Ready(Ok(()));
            }
        }
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
