//! The two directions of a client's connection, each with its buffer and its patience.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustix::buffer::spare_capacity;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::transport::{Incoming, Outgoing};
use super::unsent;
use super::waits::{TooLong, Waits};

/// How much is read at once as a rule: more than most requests have, and little enough for many clients
/// that send much.
const READ_SIZE: usize = 4 << 10;
/// How much from a client that sends much, if not too many do.
const LARGE_READ: usize = 32 << 10;
/// How often it is looked whether a client that has sent ahead has ended its side.
const LOOK: Duration = Duration::from_secs(1);
/// How much of a file is copied at once where the system cannot send it by itself: a record of TLS.
const COPY_SIZE: usize = 16 << 10;
/// How much if not too many do, and for a client that did not have to be waited for: as much as TLS
/// encrypts in one go, and little enough to be still in the cache of the processor by then.
const LARGE_COPY_SIZE: usize = 64 << 10;

/// What the client sends.
pub(crate) struct Inbound<R> {
    io: R,
    /// Bytes that have arrived and are not decoded yet.
    pub(crate) buf: BytesMut,
    /// Room that there is to be for a read.
    room: usize,
    waits: Waits,
}

/// What the client gets.
pub(crate) struct Outbound<W> {
    io: W,
    /// The head under construction; kept for its allocation.
    pub(crate) head: Vec<u8>,
    waits: Waits,
    limit: Duration,
    /// Gives the right to copy much at once.
    large: Arc<Semaphore>,
    /// Bytes accepted by the system.
    pub(crate) written: u64,
}

impl<R: Incoming> Inbound<R> {
    pub(crate) fn new(io: R) -> Self {
        Self { io, buf: BytesMut::new(), room: READ_SIZE / 4, waits: Waits::new() }
    }

    /// Reads what is there, waiting at most `limit`; 0 is the end of the stream. `interrupted` is
    /// looked at whenever the task is woken and ends the wait when it says so.
    pub(crate) async fn fill(
        &mut self,
        limit: Duration,
        interrupted: impl Fn() -> bool,
    ) -> Result<io::Result<usize>, TooLong> {
        if self.buf.capacity() == 0 {
            self.buf = BytesMut::with_capacity(READ_SIZE);
        }
        self.buf.reserve(self.room);
        let (io, buf) = (&mut self.io, &mut self.buf);
        let read = self
            .waits
            .within(limit, |cx| match io.poll_read(cx, buf) {
                // Only the system knows whether something has arrived that was not announced yet.
                Poll::Pending if interrupted() && is_silent(io.tcp()) => {
                    Poll::Ready(Err(io::ErrorKind::Interrupted.into()))
                }
                read => read,
            })
            .await;
        if read.is_ok() || is_silent(io.tcp()) {
            return read;
        }
        // What has just arrived is announced in the next turn.
        yield_now().await;
        match poll_fn(|cx| Poll::Ready(io.poll_read(cx, buf))).await {
            Poll::Ready(read) => Ok(read),
            Poll::Pending => Err(TooLong),
        }
    }

    /// Gives back the buffer if there is nothing in it: nothing is read for a while.
    pub(crate) fn rest(&mut self) {
        if self.buf.is_empty() {
            self.buf = BytesMut::new();
        }
    }

    /// Reads large pieces from now on, or no longer.
    pub(crate) fn read_much(&mut self, much: bool) {
        self.room = if much { LARGE_READ } else { READ_SIZE / 4 };
        self.io.read_much(much);
        if !much {
            self.rest();
        }
    }

    /// As [`Inbound::fill`], without a limit and into a buffer of the caller's.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        self.io.poll_read(cx, buf)
    }
}

impl<W: Outgoing> Outbound<W> {
    /// Writes some of `data`, and counts it.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.io.poll_write(cx, &[IoSlice::new(data)]))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }

    /// Hands to the system what was held back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    /// As [`Outbound::shut_down`], without a limit.
    pub(crate) fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_shut_down(cx)
    }

    /// `large` gives the right to copy much at once.
    pub(crate) fn new(io: W, limit: Duration, large: Arc<Semaphore>) -> Self {
        Self { io, head: Vec::new(), waits: Waits::new(), limit, large, written: 0 }
    }

    /// Writes the head and everything in `parts` behind it, in as few system calls as it takes.
    /// The head is left empty.
    pub(crate) async fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut head = std::mem::take(&mut self.head);
        let outcome = self.write_all(&head, parts).await;
        head.clear();
        self.head = head;
        outcome
    }

    /// Writes the head and, behind it, these bytes of a file, which the system takes from there by
    /// itself where it can. The head goes alone then: held back until the content comes, it costs
    /// more than a packet.
    pub(crate) async fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        range: Range<u64>,
    ) -> io::Result<()> {
        if !W::SENDS_FILES {
            // Boxed, so that connections that never do this stay small.
            return Box::pin(self.copy_file(file, range)).await;
        }
        self.write(&[]).await?;
        let mut at = range.start;
        while at < range.end {
            let stream = self.io.tcp();
            let sent = self.waits.within(self.limit, |cx| {
                loop {
                    let send = || sendfile(stream, file, at..range.end);
                    match stream.try_io(Interest::WRITABLE, send) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            ready!(stream.poll_write_ready(cx))?;
                        }
                        done => return Poll::Ready(done),
                    }
                }
            });
            let sent = sent.await;
            at += self.took(sent)? as u64;
        }
        Ok(())
    }

    /// The same by way of a buffer.
    async fn copy_file(&mut self, file: BorrowedFd<'_>, range: Range<u64>) -> io::Result<()> {
        let mut much = Arc::clone(&self.large).try_acquire_owned().ok();
        let most = if much.is_some() { LARGE_COPY_SIZE } else { COPY_SIZE };
        let mut piece = Vec::with_capacity(most);
        let mut at = range.start;
        while at < range.end {
            let read = rustix::io::pread(file, spare_capacity(&mut piece), at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            piece.truncate(left);
            at += piece.len() as u64;
            let waited = self.write_waiting(&piece).await?;
            piece.clear();
            if waited {
                piece.shrink_to(COPY_SIZE);
                drop(much.take());
            }
        }
        self.write(&[]).await
    }

    /// Writes, and says whether the client had to be waited for.
    async fn write_waiting(&mut self, data: &[u8]) -> io::Result<bool> {
        let parts = [data];
        let mut written = pin!(self.write(&parts));
        match poll_fn(|cx| Poll::Ready(written.as_mut().poll(cx))).await {
            Poll::Ready(written) => written.map(|()| false),
            Poll::Pending => written.await.map(|()| true),
        }
    }

    /// Ends when the client has reset the connection. A client that has only ended its own side
    /// still gets its response.
    pub(crate) async fn gone(&self) {
        let stream = self.io.tcp();
        while let Ok(ready) = stream.ready(Interest::ERROR).await {
            if ready.is_error() {
                return;
            }
        }
    }

    /// Ends when the client has ended its own side, or up to `limit` later. It only looks now and then:
    /// as long as the next request waits to be read, a task that waits for readability is woken again at
    /// once.
    pub(crate) async fn ended_sometime(&self) {
        loop {
            sleep(self.limit).await;
            let mut ready = pin!(self.io.tcp().ready(Interest::READABLE));
            let ready = poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx))).await;
            if let Poll::Ready(Ok(ready)) = ready
                && ready.is_read_closed()
            {
                return;
            }
        }
    }

    /// The same, or up to a second later. For few: each costs a timer of its own.
    pub(crate) async fn ended_soon(&self) {
        // Boxed, so that those who wait for something else stay small.
        let ended = async {
            while let Ok(ready) = self.io.tcp().ready(Interest::READABLE).await
                && !ready.is_read_closed()
            {
                // What it has sent ahead is not read yet, and would be announced again at once.
                sleep(LOOK).await;
            }
        };
        Box::pin(ended).await;
    }

    /// What the system has not sent yet; see [`unsent::amount`].
    pub(crate) fn unsent(&self, known: u32) -> u32 {
        unsent::amount(self.io.tcp(), known)
    }

    /// Says that nothing more will come, if there is room for that within `limit`.
    pub(crate) async fn shut_down(&mut self, limit: Duration) {
        let io = &mut self.io;
        // A peer that is gone does not need to be told.
        let _ = self.waits.within(limit, |cx| io.poll_shut_down(cx)).await;
    }

    /// Says that all has been said, before the connection is closed.
    pub(crate) async fn finish(&mut self) {
        let io = &mut self.io;
        let _ = self.waits.within(self.limit, |cx| io.poll_finish(cx)).await;
    }

    /// Makes the coming close a reset, so that the client sees that something is missing.
    pub(crate) fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(self.io.tcp()).set_linger(Some(Duration::ZERO));
    }

    async fn write_all(&mut self, head: &[u8], parts: &[&[u8]]) -> io::Result<()> {
        let total = head.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut done = 0;
        while done < total {
            let io = &mut self.io;
            let written = self.waits.within(self.limit, |cx| {
                let mut slices = [IoSlice::new(&[]); MOST_SLICES];
                let filled = rest(&mut slices, head, parts, done);
                io.poll_write(cx, filled)
            });
            let written = written.await;
            done += self.took(written)?;
        }
        let io = &mut self.io;
        let flushed = self.waits.within(self.limit, |cx| io.poll_flush(cx)).await;
        flushed.map_err(|TooLong| io::ErrorKind::TimedOut)?
    }

    /// Counts the bytes that the system took.
    fn took(&mut self, sent: Result<io::Result<usize>, TooLong>) -> io::Result<usize> {
        match sent {
            Ok(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => {
                let count = sent?;
                self.written += count as u64;
                Ok(count)
            }
            Err(TooLong) => {
                // What the system holds for it, which may be megabytes, is not offered for longer.
                self.reset_on_close();
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

/// Sends bytes of a file, as many as the socket takes now.
#[cfg(target_os = "linux")]
fn sendfile(stream: &TcpStream, file: BorrowedFd<'_>, range: Range<u64>) -> io::Result<usize> {
    let mut from = range.start;
    let most = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    Ok(rustix::fs::sendfile(stream, file, Some(&mut from), most)?)
}

#[cfg(not(target_os = "linux"))]
fn sendfile(stream: &TcpStream, file: BorrowedFd<'_>, range: Range<u64>) -> io::Result<usize> {
    let mut piece = [0; 16 << 10];
    let most = (range.end - range.start).min(piece.len() as u64) as usize;
    let count = rustix::io::pread(file, &mut piece[..most], range.start)?;
    stream.try_write(&piece[..count])
}

/// Whether nothing waits to be read.
fn is_silent(stream: &TcpStream) -> bool {
    let peeked = socket2::SockRef::from(stream).peek(&mut [std::mem::MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Parts handed to one system call.
const MOST_SLICES: usize = 16;

/// What is left of head and parts after the first `done` bytes, as far as `slices` reach.
fn rest<'s, 'p>(
    slices: &'s mut [IoSlice<'p>; MOST_SLICES],
    head: &'p [u8],
    parts: &[&'p [u8]],
    mut done: usize,
) -> &'s [IoSlice<'p>] {
    let mut filled = 0;
    for part in std::iter::once(&head).chain(parts) {
        let left = part.get(done..).unwrap_or_default();
        done = done.saturating_sub(part.len());
        if left.is_empty() {
            continue;
        }
        let Some(slot) = slices.get_mut(filled) else { break };
        *slot = IoSlice::new(left);
        filled += 1;
    }
    slices.get(..filled).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived_and_was_not_announced_comes_before_an_end() {
        use std::io::Write as _;
        let long = Duration::from_secs(10);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut stream = listener.accept().await.unwrap().0;
            let mut inbound = Inbound::new(stream.split().0);
            let interrupted = inbound.fill(long, || true).await.unwrap().unwrap_err();
            assert_eq!(interrupted.kind(), io::ErrorKind::Interrupted);
            assert!(inbound.fill(Duration::ZERO, || false).await.is_err());
            for limit in [long, Duration::ZERO] {
                // The runtime has looked for nothing since.
                peer.write_all(b"x").unwrap();
                while is_silent(inbound.io.tcp()) {}
                assert_eq!(inbound.fill(limit, || true).await.unwrap().unwrap(), 1);
            }
        });
    }

    #[test]
    fn what_is_left_starts_where_the_last_write_ended() {
        let parts: Vec<&[u8]> = vec![b"bcd", b"", b"ef"];
        for (done, expected) in
            [(0, "abcdef"), (1, "bcdef"), (3, "def"), (4, "ef"), (5, "f"), (6, "")]
        {
            let mut slices = [IoSlice::new(&[]); MOST_SLICES];
            let left = rest(&mut slices, b"a", &parts, done);
            let text: Vec<u8> = left.iter().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(text, expected.as_bytes(), "{done}");
            assert!(left.iter().all(|slice| !slice.is_empty()));
        }
    }

    #[test]
    fn more_parts_than_one_call_takes_are_left_for_the_next() {
        let parts: Vec<&[u8]> = vec![b"x"; 40];
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        assert_eq!(rest(&mut slices, b"", &parts, 0).len(), MOST_SLICES);
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        assert_eq!(rest(&mut slices, b"", &parts, 35).len(), 5);
    }
}
