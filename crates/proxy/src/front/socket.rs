//! The two directions of a client's connection, each with its buffer and its patience.

use std::future::Future;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::waits::{TooLong, Waits};

/// How much is read at once.
const READ_SIZE: usize = 16 << 10;

/// What the client sends.
pub(crate) struct Inbound<'a> {
    io: ReadHalf<'a>,
    /// Bytes that have arrived and are not decoded yet.
    pub(crate) buf: BytesMut,
    waits: Waits,
}

/// What the client gets.
pub(crate) struct Outbound<'a> {
    io: WriteHalf<'a>,
    /// The head under construction; kept for its allocation.
    pub(crate) head: Vec<u8>,
    waits: Waits,
    limit: Duration,
    /// Bytes accepted by the system.
    pub(crate) written: u64,
}

impl<'a> Inbound<'a> {
    pub(crate) fn new(io: ReadHalf<'a>) -> Self {
        Self { io, buf: BytesMut::with_capacity(READ_SIZE), waits: Waits::new() }
    }

    /// Reads what is there, waiting at most `limit`; 0 is the end of the stream. `interrupted` is
    /// looked at whenever the task is woken and ends the wait when it says so.
    pub(crate) async fn fill(
        &mut self,
        limit: Duration,
        interrupted: impl Fn() -> bool,
    ) -> Result<io::Result<usize>, TooLong> {
        self.buf.reserve(READ_SIZE / 4);
        let (io, buf) = (&mut self.io, &mut self.buf);
        self.waits
            .within(limit, |cx| match pin!(io.read_buf(buf)).poll(cx) {
                // Only the system knows whether something has arrived that was not announced yet.
                Poll::Pending if interrupted() && is_silent(io.as_ref()) => {
                    Poll::Ready(Err(io::ErrorKind::Interrupted.into()))
                }
                read => read,
            })
            .await
    }
}

impl<'a> Outbound<'a> {
    pub(crate) fn new(io: WriteHalf<'a>, limit: Duration) -> Self {
        Self { io, head: Vec::with_capacity(1024), waits: Waits::new(), limit, written: 0 }
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
    /// itself. The head goes alone: held back until the content comes, it costs more than a packet.
    pub(crate) async fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        range: Range<u64>,
    ) -> io::Result<()> {
        self.write(&[]).await?;
        let mut at = range.start;
        while at < range.end {
            let stream: &TcpStream = self.io.as_ref();
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

    /// Ends when the client has reset the connection. A client that has only ended its own side
    /// still gets its response.
    pub(crate) async fn gone(&self) {
        let stream: &TcpStream = self.io.as_ref();
        while let Ok(ready) = stream.ready(Interest::ERROR).await {
            if ready.is_error() {
                return;
            }
        }
    }

    /// Says that nothing more will come.
    pub(crate) async fn shut_down(&mut self) {
        let io = &mut self.io;
        // A peer that is gone does not need to be told.
        let _ = self.waits.within(self.limit, |cx| pin!(io.shutdown()).poll(cx)).await;
    }

    async fn write_all(&mut self, head: &[u8], parts: &[&[u8]]) -> io::Result<()> {
        let total = head.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut done = 0;
        while done < total {
            let io = &mut self.io;
            let written = self.waits.within(self.limit, |cx| {
                let mut slices = [IoSlice::new(&[]); MOST_SLICES];
                let filled = rest(&mut slices, head, parts, done);
                pin!(io.write_vectored(filled)).poll(cx)
            });
            let written = written.await;
            done += self.took(written)?;
        }
        Ok(())
    }

    /// Counts the bytes that the system took.
    fn took(&mut self, sent: Result<io::Result<usize>, TooLong>) -> io::Result<usize> {
        match sent.map_err(|TooLong| io::ErrorKind::TimedOut)?? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => {
                self.written += count as u64;
                Ok(count)
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
