//! What the codec takes for its socket: counts the frames, and gathers what is to be written.
//!
//! The codec writes every frame by itself, which is a system call and a TLS record each. Here its
//! writes end in a buffer, which the connection empties once it has done all that there is to do.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::Meter;
use super::turns::Turns;
use crate::clock::ticks;
use crate::front::LINGER_BYTES;
use crate::front::transport::Carrier;

/// Bytes that are gathered before the socket has to take some: 32 responses of 1 KiB, or two pieces of
/// a long one, leave together.
const GATHERED: usize = 40 << 10;
/// What is kept of the buffer while there are streams.
const KEPT: usize = 8 << 10;

/// The codec's end.
pub(super) struct Wire<S>(Shared<S>);

/// The connection's end.
pub(super) type Shared<S> = Arc<Mutex<Socket<S>>>;

/// The socket and its buffer.
pub(super) struct Socket<S> {
    io: S,
    /// What was read before HTTP/2 was chosen, or before others had to have their turn.
    ahead: Bytes,
    out: Vec<u8>,
    /// Bytes of `out` that the system has taken.
    done: usize,
    /// Since when, in ticks, it takes no more.
    stuck_since: Option<u64>,
    /// It has taken no more once, and not all since of what had been gathered or held back.
    is_behind: bool,
    /// What it had taken of that by then.
    taken: u64,
    /// How much was gathered the last time.
    usual: usize,
    /// The codec has been told to wait with so many bytes.
    awaited: Option<usize>,
    /// Bytes that were taken after the end...
    discarded: usize,
    /// ...and when the last of them came, in ticks.
    heard: u64,
    pub(super) meter: Meter,
    turns: Arc<Turns>,
}

impl<S: Carrier> Wire<S> {
    /// Both ends.
    pub(super) fn new(io: S, ahead: Bytes, meter: Meter, turns: Arc<Turns>) -> (Self, Shared<S>) {
        let socket = Socket {
            io,
            ahead,
            out: Vec::new(),
            done: 0,
            stuck_since: None,
            is_behind: false,
            taken: 0,
            usual: 0,
            awaited: None,
            discarded: 0,
            heard: 0,
            meter,
            turns,
        };
        let shared = Arc::new(Mutex::new(socket));
        (Self(Arc::clone(&shared)), shared)
    }
}

/// The socket, for a moment.
pub(super) fn lock<S>(shared: &Shared<S>) -> MutexGuard<'_, Socket<S>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Carrier> Socket<S> {
    /// Since when the system takes nothing of what is to be written.
    pub(super) const fn stuck_since(&self) -> Option<u64> {
        self.stuck_since
    }

    /// Hands what has been gathered to the system.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.out.get(self.done..).filter(|left| !left.is_empty()) {
            match Pin::new(&mut self.io).poll_write(cx, left) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(taken) => {
                    self.done += taken?;
                    self.stuck_since = None;
                }
                Poll::Pending => return self.fall_behind(),
            }
        }
        if !self.out.is_empty() {
            self.usual = self.out.len();
        }
        self.out.clear();
        self.done = 0;
        if Pin::new(&mut self.io).poll_flush(cx)?.is_pending() {
            return self.fall_behind();
        }
        self.stuck_since = None;
        if std::mem::take(&mut self.is_behind) {
            self.turns.fall_behind(false);
        }
        Poll::Ready(Ok(()))
    }

    /// The system takes no more for now.
    fn fall_behind(&mut self) -> Poll<io::Result<()>> {
        let taken = self.io.taken();
        if std::mem::replace(&mut self.taken, taken) != taken {
            self.stuck_since = None;
        }
        self.stuck_since.get_or_insert_with(ticks);
        self.is_behind = true;
        self.turns.fall_behind(true);
        self.tighten();
        Poll::Pending
    }

    /// Whether the codec waits for room that there is now.
    pub(super) fn is_awaited(&mut self) -> bool {
        let has_room = self.awaited.is_some_and(|size| self.has_room_for(size));
        has_room && self.awaited.take().is_some()
    }

    /// For a client that does not take what there is, nothing is gathered: it stays where it lies.
    fn has_room_for(&self, size: usize) -> bool {
        !self.is_behind && (self.out.is_empty() || self.out.len() + size <= GATHERED)
    }

    /// While the system takes no more, the buffer is no larger than what has to wait in it. What is
    /// done is cut off when it is most of it: each byte is moved once at most, on average.
    fn tighten(&mut self) {
        if self.done > self.out.len() / 2 {
            self.out.drain(..self.done);
            self.done = 0;
        }
        self.out.shrink_to_fit();
    }

    /// Gives back memory that nothing waits in, but for a little while there is something to do.
    pub(super) fn relax(&mut self, is_busy: bool) {
        let is_kept = is_busy && self.out.capacity() <= KEPT;
        if self.out.is_empty() && !is_kept {
            self.out = Vec::new();
        }
    }

    /// Whether something waits for the client to take it.
    pub(super) const fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// What the system has not sent yet, which is no more than `known`.
    pub(super) fn unsent(&self, known: u32) -> u32 {
        self.io.unsent(known)
    }

    /// When the client said something after the end, in ticks.
    pub(super) const fn heard(&self) -> u64 {
        self.heard
    }

    /// Says that nothing more will come, and takes what does.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.poll_flush(cx), Poll::Ready(Ok(()))) {
            let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        }
        self.poll_discard(cx)
    }

    /// Takes what the client still sends, up to a bound, until it has nothing more to say.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scrap = [0; 4 << 10];
        loop {
            let mut buf = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() && self.discarded < LINGER_BYTES => {
                    self.discarded += buf.filled().len();
                    self.heard = ticks();
                }
                _ => return Poll::Ready(()),
            }
        }
    }

    /// Reads into what is left of `buf`, and hides what came behind a frame that is too much. Header
    /// blocks that are cut come when they are whole.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.meter.hand_over(buf) {
                return Poll::Ready(Ok(()));
            }
            if self.meter.abuse().is_some() {
                return Poll::Pending;
            }
            if self.meter.is_full() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let before = buf.filled().len();
            ready!(self.poll_socket(cx, buf))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let seen = self.meter.received(fresh, ticks(), &self.turns);
            let unread = fresh.len().saturating_sub(self.meter.unread());
            if let Some(unread) = fresh.get(unread..).filter(|unread| !unread.is_empty()) {
                self.ahead = [unread, &self.ahead].concat().into();
            }
            buf.set_filled(before + seen);
            // Nothing at all would be the end of the stream.
            if seen > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(count));
        Poll::Ready(Ok(()))
    }

    fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = parts.iter().map(|part| part.len()).sum();
        // What the system has taken may be enough.
        if !self.has_room_for(size) && self.poll_flush(cx)?.is_pending() && !self.has_room_for(size)
        {
            self.awaited = Some(size);
            return Poll::Pending;
        }
        if self.out.capacity() - self.out.len() < size {
            // As much as the last time, rather than a little more again and again.
            let more = self.usual.saturating_sub(self.out.len()).max(size);
            self.out.reserve(more);
        }
        let before = self.out.len();
        for part in parts {
            self.out.extend_from_slice(part);
        }
        let fresh = self.out.get(before..).unwrap_or_default();
        self.meter.sent(fresh, ticks(), &self.turns);
        Poll::Ready(Ok(fresh.len()))
    }
}

impl<S: Carrier> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        lock(&self.0).poll_read(cx, buf)
    }
}

impl<S: Carrier> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_gather(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_gather(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The connection does that, when the codec has nothing more to write.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The connection ends it, in [`Socket::poll_end`].
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests;
