use std::io::IoSlice;

use super::*;
use crate::settings::Http2Limits;

/// A socket that takes so many bytes and then no more, of which these are held back (and no others
/// ever were).
struct Narrow(usize, HeldBack);

/// What TLS does: all is taken, and the system takes of it what it likes to.
#[derive(Default)]
struct HeldBack {
    left: usize,
    taken: u64,
}

impl AsyncRead for Narrow {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.1.left > 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Carrier for Narrow {
    fn taken(&self) -> u64 {
        self.1.taken
    }

    fn unsent(&self, _: u32) -> u32 {
        0
    }
}

fn socket(takes: usize) -> Shared<Narrow> {
    let meter = Meter::new(&Http2Limits::default());
    Wire::new(Narrow(takes, HeldBack::default()), Bytes::new(), meter, Turns::new()).1
}

/// What the codec writes at once: a DATA frame.
fn gather(socket: &mut Socket<Narrow>, length: usize) -> bool {
    let length_of_frame = (length as u32).to_be_bytes();
    let head = [&length_of_frame[1..], &[0, 0, 0, 0, 0, 1]].concat();
    let content = vec![0; length];
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    match socket.poll_gather(cx, &[IoSlice::new(&head), IoSlice::new(&content)]) {
        Poll::Ready(taken) => taken.unwrap() == head.len() + length,
        Poll::Pending => false,
    }
}

fn flush(socket: &mut Socket<Narrow>) -> bool {
    socket.poll_flush(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
}

#[test]
fn short_responses_leave_together_and_no_more_than_two_pieces_of_long_ones() {
    for (length, together) in [(1_100, 36), (16 << 10, 2), (64 << 10, 1)] {
        let shared = socket(0);
        let mut socket = lock(&shared);
        let gathered = (0..100).take_while(|_| gather(&mut socket, length)).count();
        assert_eq!(gathered, together, "{length}");
    }
}

#[test]
fn the_codec_is_awaited_until_the_socket_has_taken_what_it_left() {
    let shared = socket(0);
    let mut socket = lock(&shared);
    assert!(gather(&mut socket, 16 << 10) && gather(&mut socket, 16 << 10));
    assert!(!socket.is_awaited(), "it has not been told to wait");
    assert!(!gather(&mut socket, 16 << 10));
    // Neither is what is short taken for a client that is slow, as long as anything is left.
    for taken in [0, 20 << 10] {
        socket.io.0 = taken;
        assert!(!flush(&mut socket));
        assert!(!gather(&mut socket, 1));
        assert!(!socket.is_awaited());
    }
    socket.io.0 = 1 << 20;
    assert!(flush(&mut socket));
    assert!(socket.is_awaited());
    assert!(gather(&mut socket, 16 << 10));
    assert!(!socket.is_awaited());
}

#[test]
fn the_buffer_is_no_larger_than_what_waits_in_it() {
    let shared = socket(1_000);
    let mut socket = lock(&shared);
    (0..30).for_each(|_| assert!(gather(&mut socket, 1_100)));
    assert!(!flush(&mut socket));
    assert_eq!(socket.out.capacity(), socket.out.len());
    // Most of it is taken.
    let before = socket.out.len();
    socket.io.0 = 30 << 10;
    assert!(!flush(&mut socket));
    assert_eq!(socket.out.len(), before - 1_000 - (30 << 10));
    assert_eq!(socket.out.capacity(), socket.out.len());
    // All of it.
    socket.io.0 = 1 << 20;
    assert!(flush(&mut socket));
    socket.relax(false);
    assert_eq!(socket.out.capacity(), 0);
}

#[test]
fn a_small_buffer_is_kept_while_there_is_something_to_do_and_a_large_one_made_as_large_as_the_last()
{
    let shared = socket(usize::MAX);
    let mut socket = lock(&shared);
    for (length, is_kept) in [(1_000, true), (KEPT, false)] {
        for _ in 0..2 {
            assert!(gather(&mut socket, length));
            let capacity = socket.out.capacity();
            assert!(capacity == socket.out.len() || length == 1_000, "{capacity}");
            assert!(flush(&mut socket));
            socket.relax(true);
            assert_eq!(socket.out.capacity(), if is_kept { capacity } else { 0 });
        }
    }
    // Several together are not made room for one by one.
    (0..3).for_each(|_| assert!(gather(&mut socket, 10_000)));
    assert!(flush(&mut socket));
    socket.relax(true);
    assert!(gather(&mut socket, 100));
    assert_eq!(socket.out.capacity(), 3 * 10_009);
    assert!(flush(&mut socket));
    socket.relax(false);
    assert_eq!(socket.out.capacity(), 0);
}

#[test]
fn what_is_held_back_is_waited_for_as_long_as_the_client_takes_some_of_it() {
    let shared = socket(usize::MAX);
    let mut socket = lock(&shared);
    assert!(gather(&mut socket, 1_000));
    socket.io.1.left = 1_000;
    assert!(!flush(&mut socket));
    assert!(socket.out.is_empty());
    assert!(!gather(&mut socket, 1_000));
    assert!(socket.stuck_since().is_some());
    // Since long ago, but then it takes some.
    socket.stuck_since = Some(u64::MAX);
    assert!(!flush(&mut socket));
    assert_eq!(socket.stuck_since(), Some(u64::MAX));
    (socket.io.1.left, socket.io.1.taken) = (500, 500);
    assert!(!flush(&mut socket));
    assert!(socket.stuck_since() < Some(u64::MAX));
    (socket.io.1.left, socket.io.1.taken) = (0, 1_000);
    assert!(flush(&mut socket));
    assert_eq!(socket.stuck_since(), None);
    assert!(socket.is_awaited() && gather(&mut socket, 1_000));
}
