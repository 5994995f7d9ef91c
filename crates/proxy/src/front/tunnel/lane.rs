//! One direction of a tunnel: what one side sends, on its way to the other.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};

use crate::clock::ticks;
use crate::front::socket::{Inbound, Outbound};
use crate::front::transport::{Incoming, Outgoing};
use crate::origin::connection::Connection;

/// Bytes of one direction that are held at once. No more is read before they are taken.
const BUFFER: usize = 16 << 10;

/// What a tunnel connects.
pub(super) trait Side {
    /// Appends what is there; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>>;
    /// Takes some of `data`.
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &mut BytesMut) -> Poll<io::Result<()>>;
    /// Hands to the system what was held back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Says that nothing more will come.
    fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// The client's side.
pub(super) struct ClientSide<'c, R, W> {
    pub(super) inbound: &'c mut Inbound<R>,
    pub(super) outbound: &'c mut Outbound<W>,
}

impl<R: Incoming, W: Outgoing> Side for ClientSide<'_, R, W> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.inbound.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &mut BytesMut) -> Poll<io::Result<()>> {
        self.outbound.poll_write(cx, data).map_ok(|taken| data.advance(taken))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.poll_flush(cx)
    }

    fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.poll_shut_down(cx)
    }
}

impl Side for Connection {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        Connection::poll_read(self, cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &mut BytesMut) -> Poll<io::Result<()>> {
        Connection::poll_write(self, cx, data).map_ok(drop)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Connection::poll_flush(self, cx)
    }

    fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Connection::poll_shut_down(self, cx)
    }
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More may come.
    Open,
    /// All has come; what is left of it goes out, and then the end is told.
    Ending,
    /// Nothing more goes this way.
    Ended,
}

/// One direction.
pub(super) struct Lane {
    buf: BytesMut,
    state: State,
    /// Something was written that may be held back yet.
    unflushed: bool,
    /// Bytes that have come.
    pub(super) carried: u64,
    /// Since when, in ticks, the other side has taken nothing of what waits for it.
    pub(super) stuck_since: Option<u64>,
    /// The other side takes no more, although there was more.
    pub(super) refused: bool,
}

/// The side that sends has broken.
pub(super) struct Broken;

impl Lane {
    /// `ahead` has come already and goes first.
    pub(super) fn new(ahead: BytesMut) -> Self {
        let (carried, state) = (ahead.len() as u64, State::Open);
        let (unflushed, stuck_since, refused) = (false, None, false);
        Self { buf: ahead, state, unflushed, carried, stuck_since, refused }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Moves what can be moved; whether anything did, or has just got stuck.
    pub(super) fn advance(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Side,
        to: &mut impl Side,
    ) -> Result<bool, Broken> {
        let came = self.read(cx, from)?;
        let went = self.write(cx, to);
        let waits = !self.buf.is_empty() || self.unflushed;
        let was_stuck = self.stuck_since.is_some();
        self.stuck_since = match self.stuck_since {
            Some(since) if waits && !went => Some(since),
            _ => (waits && !went).then(ticks),
        };
        Ok(came || went || (self.stuck_since.is_some() && !was_stuck))
    }

    fn read(&mut self, cx: &mut Context<'_>, from: &mut impl Side) -> Result<bool, Broken> {
        let room = BUFFER.saturating_sub(self.buf.len());
        if self.state != State::Open || room < BUFFER / 2 {
            return Ok(false);
        }
        self.buf.reserve(room);
        match from.poll_read(cx, &mut self.buf) {
            Poll::Pending => {
                // A tunnel that is silent takes no more memory than its sockets.
                if self.buf.is_empty() {
                    self.buf = BytesMut::new();
                }
                Ok(false)
            }
            Poll::Ready(Ok(0)) => {
                self.state = State::Ending;
                Ok(true)
            }
            Poll::Ready(Ok(count)) => {
                self.carried += count as u64;
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(Broken),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, to: &mut impl Side) -> bool {
        let mut moved = false;
        while !self.buf.is_empty() {
            let before = self.buf.len();
            match to.poll_write(cx, &mut self.buf) {
                Poll::Ready(Ok(())) if self.buf.len() < before => {
                    (moved, self.unflushed) = (true, true);
                }
                Poll::Ready(_) => return self.give_up(),
                Poll::Pending => return moved,
            }
        }
        if self.unflushed {
            match to.poll_flush(cx) {
                Poll::Ready(Ok(())) => (moved, self.unflushed) = (true, false),
                Poll::Ready(Err(_)) => return self.give_up(),
                Poll::Pending => return moved,
            }
        }
        if self.state == State::Ending && to.poll_shut_down(cx).is_ready() {
            // Whoever is gone already need not be told.
            (moved, self.state) = (true, State::Ended);
        }
        moved
    }

    /// The other side takes no more. What it has sent itself may still be on its way: that direction
    /// goes on to its own end.
    fn give_up(&mut self) -> bool {
        self.buf = BytesMut::new();
        (self.state, self.refused) = (State::Ended, true);
        true
    }
}
