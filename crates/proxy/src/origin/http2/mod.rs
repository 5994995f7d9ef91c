//! HTTP/2 to the origin: a few connections per worker, each with many requests at once.

mod content;
mod exchange;
mod heard;
mod pulse;
mod upload;
mod width;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

pub(super) use self::content::Content;
pub(super) use self::exchange::{Refused, exchange, refused};

use self::pulse::Pulse;
use self::width::Width;

use crate::clock::ticks;
use crate::error::FetchError;
use crate::settings::Limits;

/// Connections of one worker, when each has as many requests as the origin takes at once. Requests may
/// last for hours: what waits behind them on a full connection would wait in vain.
const CONNECTIONS: usize = 32;
/// Requests of a connection before the origin has said how many it takes.
const UNTOLD: usize = 1;
/// How many may wait for that. RFC 9113 §6.5.2 recommends that an origin takes no fewer at once; more wait
/// for another connection.
const PROBABLE: usize = 100;
/// Streams of a connection that are reset for what the origin sent before the connection is.
const RESETS: usize = 100;
/// Requests of a connection that are broken off, because their clients left, before it gets no others.
/// Servers end a connection whose client resets too many streams (a hundred is much), with all that
/// others have on it.
const BROKEN_OFF: usize = 32;
/// Bytes of requests' content that wait for the socket.
const SEND_BUFFER: usize = 64 << 10;

/// The connections of one worker.
#[derive(Default)]
pub(super) struct Lines(Mutex<Vec<Arc<Line>>>);

/// One connection.
pub(super) struct Line {
    sender: SendRequest<Bytes>,
    /// Requests under way.
    used: Arc<AtomicUsize>,
    /// Bytes that have come.
    heard: Arc<AtomicU64>,
    /// When the last one ended, in ticks.
    idle_since: AtomicU64,
    /// Contents on it for which the origin gives no window. It may be that of the connection, which all
    /// contents share, that one of them fills: some servers have no more of it than for one stream.
    held_up: Arc<AtomicUsize>,
    /// Requests that did not come to their end.
    broken_off: AtomicUsize,
    /// It takes no more requests.
    over: Arc<AtomicBool>,
}

/// A place on a connection, until the exchange is over.
pub(super) struct Place {
    line: Arc<Line>,
    has_ended: bool,
}

impl Lines {
    fn lines(&self) -> MutexGuard<'_, Vec<Arc<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on a connection that has room for it, and for its content if it `has_content`; or on the
    /// one with the fewest requests, if there are to be no more connections.
    pub(super) fn place(&self, has_content: bool) -> Option<Place> {
        let mut lines = self.lines();
        lines.retain(|line| line.is_open());
        let is_full = lines.len() >= CONNECTIONS;
        let is_held_up = |line: &Line| has_content && line.held_up.load(Ordering::Relaxed) > 0;
        let takes_none = |line: &Line| is_held_up(line) || !line.has_room();
        let order = |line: &&Arc<Line>| (takes_none(line), line.used.load(Ordering::Relaxed));
        let best = lines.iter().min_by_key(order)?;
        (is_full || !takes_none(best)).then(|| Place::new(best))
    }

    /// Makes a connection of what carries it, and takes a place on it.
    pub(super) async fn begin<S>(&self, io: S, limits: &Limits) -> Result<Place, FetchError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limit = limits.first_byte_timeout;
        let used = Arc::default();
        let (pulse, io) = Pulse::of(io, &used, limits);
        let greeted = timeout(limit, builder(limits).handshake(io)).await;
        let greeted = greeted.map_err(|_| FetchError::HeadTimeout { limit })?;
        let (sender, mut connection) = greeted.map_err(exchange::unanswered)?;
        let (heard, users) = (pulse.counter(), Arc::clone(&used));
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        drop(tokio::spawn(async move {
            let pings = connection.ping_pong();
            let mut width = Width::default();
            // It is polled for each request that is new.
            let connection = poll_fn(move |cx| {
                width.fit(&mut connection, users.load(Ordering::Relaxed));
                Pin::new(&mut connection).poll(cx)
            });
            pulse.keep(connection, pings).await;
            ends.store(true, Ordering::Relaxed);
        }));
        let idle_since = AtomicU64::new(ticks());
        let (held_up, broken_off) = (Arc::default(), AtomicUsize::new(0));
        let line = Line { sender, used, heard, idle_since, held_up, broken_off, over };
        let line = Arc::new(line);
        let place = Place::new(&line);
        self.lines().push(line);
        Ok(place)
    }

    /// Closes connections that nothing has used since then.
    pub(super) fn sweep(&self, oldest: u64) {
        self.lines().retain(|line| {
            let used = line.used.load(Ordering::Relaxed) > 0;
            let fresh = line.idle_since.load(Ordering::Relaxed) >= oldest;
            !line.over.load(Ordering::Relaxed) && (used || fresh)
        });
    }
}

impl Line {
    /// Whether it takes requests. What is under way on it is another matter.
    fn is_open(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9113#section-6.8
        //# Receivers of a GOAWAY frame MUST NOT open additional streams on the connection, although a
        //# new connection can be established for new streams.
        let is_told_to_go = || {
            let cx = &mut Context::from_waker(Waker::noop());
            !matches!(self.sender.clone().poll_ready(cx), Poll::Ready(Ok(())))
        };
        !self.over.load(Ordering::Relaxed) && !is_told_to_go()
    }

    /// Whether the origin takes one more at once, or has not said yet how many it takes: that comes
    /// first of all it says.
    fn has_room(&self) -> bool {
        let is_told = self.heard.load(Ordering::Relaxed) > 0;
        let most = if is_told { self.sender.current_max_send_streams() } else { PROBABLE };
        self.used.load(Ordering::Relaxed) < most
    }
}

impl Place {
    fn new(line: &Arc<Line>) -> Self {
        line.used.fetch_add(1, Ordering::Relaxed);
        Self { line: Arc::clone(line), has_ended: false }
    }

    fn sender(&self) -> SendRequest<Bytes> {
        self.line.sender.clone()
    }

    /// Where contents on this connection are counted that are held up.
    fn held_up(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.line.held_up)
    }

    /// Nothing more is to be asked on this connection.
    fn give_up(&self) {
        self.line.over.store(true, Ordering::Relaxed);
    }

    /// The exchange is over, and was not broken off.
    fn end(&mut self) {
        self.has_ended = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.has_ended && self.line.broken_off.fetch_add(1, Ordering::Relaxed) + 1 >= BROKEN_OFF
        {
            self.give_up();
        }
        self.line.used.fetch_sub(1, Ordering::Relaxed);
        self.line.idle_since.store(ticks(), Ordering::Relaxed);
    }
}

/// Every bound that the codec has.
fn builder(limits: &Limits) -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .max_concurrent_streams(0)
        .max_header_list_size(u32::try_from(limits.http1.head).unwrap_or(u32::MAX))
        .max_frame_size(heard::bounds(limits).frame as u32)
        .initial_window_size(width::WIDE)
        .initial_connection_window_size(width::of_connection(limits.origin_connections))
        .initial_max_send_streams(UNTOLD)
        .max_concurrent_reset_streams(limits.http2.pending_resets)
        .max_pending_accept_reset_streams(limits.http2.pending_resets)
        .max_local_error_reset_streams(Some(RESETS))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}
