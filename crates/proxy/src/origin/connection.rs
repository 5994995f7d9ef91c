//! One connection to the origin: a socket and what has been read from it.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::tls::TlsStream;
use super::url::Protocol;
use super::{Origin, http2};
use crate::clock::{since, ticks};
use crate::descriptors;
use crate::error::FetchError;
use crate::keepalive::Keepalive;

/// How much is read at once as a rule.
const SMALL_READ: usize = 8 << 10;
/// How much once a body turns out to be large, if not too many are ([`super::Shared::reads_much`]).
const LARGE_READ: usize = 64 << 10;

/// How long those who make room for a connection are given, at a time.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Connection {
    io: Io,
    /// Bytes that have arrived and are not decoded yet.
    pub(crate) buf: BytesMut,
    /// When it was last given back, in ticks.
    pub(super) idle_since: u64,
    /// Held while large pieces are read.
    large: Option<OwnedSemaphorePermit>,
    origin: Arc<super::Shared>,
}

enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a new connection speaks.
pub(super) enum Opened {
    /// HTTP/1.1, and the connection if it was made just now.
    Http1(Option<Connection>),
    /// HTTP/2: a place on a connection, new or not.
    Http2(http2::Place),
}

impl Opened {
    /// Connects, and lets the origin choose what to speak if it may.
    pub(super) async fn open(origin: &Origin) -> Result<Self, FetchError> {
        let protocol = origin.shared.url.protocol();
        let connection = Connection::open(origin, protocol).await?;
        let limits = &origin.shared.limits;
        let is_http2 = match &connection.io {
            _ if protocol == Protocol::Http2 => true,
            Io::Tcp(_) => false,
            Io::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        };
        match connection.io {
            Io::Tcp(stream) if is_http2 => {
                Ok(Self::Http2(origin.lines.begin(stream, limits).await?))
            }
            Io::Tls(stream) if is_http2 => {
                Ok(Self::Http2(origin.lines.begin(stream, limits).await?))
            }
            io => Ok(Self::Http1(Some(Connection { io, ..connection }))),
        }
    }
}

impl Connection {
    /// Connects to the first address that answers.
    pub(super) async fn open(origin: &Origin, protocol: Protocol) -> Result<Self, FetchError> {
        let addresses = origin.shared.resolver.addresses().await?;
        let (&last, others) = addresses.split_last().ok_or_else(|| FetchError::Resolve {
            host: origin.shared.url.host().to_owned(),
            source: Arc::new(io::Error::other("the name has no address")),
        })?;
        for &address in others {
            if let Ok(stream) = connect(origin, address).await {
                return secure(origin, stream, protocol).await;
            }
        }
        secure(origin, connect(origin, last).await?, protocol).await
    }

    fn new(io: Io, origin: &Origin) -> Self {
        let origin = Arc::clone(&origin.shared);
        Self { io, buf: BytesMut::new(), idle_since: ticks(), large: None, origin }
    }

    /// Whether everything that was read belonged to an answer.
    pub(super) fn is_clean(&mut self) -> bool {
        self.buf.is_empty()
            && match &mut self.io {
                Io::Tcp(_) => true,
                // What was sent unasked may have been decrypted together with what was asked.
                Io::Tls(stream) => {
                    let cx = &mut Context::from_waker(Waker::noop());
                    pin!(stream.read(&mut [0])).poll(cx).is_pending()
                }
            }
    }

    /// Whether an idle connection can carry another request: the peer has neither closed it nor sent
    /// anything unasked. The system is asked: what it knows and has not announced yet would become
    /// the answer to somebody's request.
    pub(super) fn is_quiet(&mut self) -> bool {
        let peeked = socket2::SockRef::from(self.tcp()).peek(&mut [MaybeUninit::uninit()]);
        let silent = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        silent && self.is_clean()
    }

    /// Reads what is there into the buffer; 0 is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.large.is_none() && self.buf.is_empty() && self.buf.capacity() < SMALL_READ {
            // The buffer that is dropped may be a large one.
            self.buf = BytesMut::with_capacity(SMALL_READ);
        }
        self.buf.reserve(if self.large.is_some() { LARGE_READ } else { SMALL_READ });
        let mut buf = std::mem::take(&mut self.buf);
        let read = self.poll_read(cx, &mut buf);
        self.buf = buf;
        match read {
            Poll::Ready(Ok(count)) if count < SMALL_READ => self.expect_little(),
            Poll::Ready(Ok(_)) if self.large.is_none() => {
                self.large = self.origin.reads_much();
            }
            _ => {}
        }
        read
    }

    /// Reads small pieces from now on, and gives back what was for large ones.
    pub(super) fn expect_little(&mut self) {
        self.large = None;
        if self.buf.is_empty() {
            self.buf = BytesMut::new();
        }
    }

    /// Writes some of `out`.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut impl Buf,
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(stream) => pin!(stream.write_buf(out)).poll(cx),
            Io::Tls(stream) => pin!(stream.write_buf(out)).poll(cx),
        }
    }

    /// Pushes out what the TLS layer still holds.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(_) => Poll::Ready(Ok(())),
            Io::Tls(stream) => pin!(stream.flush()).poll(cx),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(stream) => pin!(stream.shutdown()).poll(cx),
            Io::Tls(stream) => pin!(stream.shutdown()).poll(cx),
        }
    }

    /// Reads what is there into a buffer of the caller's; 0 is the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(stream) => pin!(stream.read_buf(buf)).poll(cx),
            Io::Tls(stream) => pin!(stream.read_buf(buf)).poll(cx),
        }
    }

    /// Makes the coming close a reset, so that the origin sees that something is missing.
    pub(crate) fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }

    fn tcp(&self) -> &TcpStream {
        match &self.io {
            Io::Tcp(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        }
    }
}

async fn connect(origin: &Origin, address: SocketAddr) -> Result<TcpStream, FetchError> {
    let stream = reach(origin, address).await?;
    stream.set_nodelay(true).map_err(|source| FetchError::Connect { address, source })?;
    Keepalive::with_origin(&origin.shared.limits).apply_to(&stream);
    Ok(stream)
}

/// Where no file descriptor is left, connections that only wait make room, and it waits for that as
/// long as it would wait for its turn.
async fn reach(origin: &Origin, address: SocketAddr) -> Result<TcpStream, FetchError> {
    let limits = &origin.shared.limits;
    let (limit, began) = (limits.connect_timeout, ticks());
    loop {
        let reached = timeout(limit, connect_unless_short(origin, address)).await;
        match reached.map_err(|_| FetchError::ConnectTimeout { address, limit })? {
            Err(error) if descriptors::is_shortage(&error) => {
                let waited = since(began);
                if waited >= limits.origin_queue {
                    return Err(FetchError::NoDescriptor { source: error });
                }
                origin.let_go();
                origin.shared.seats.make_room();
                sleep(SHORTAGE_PAUSE).await;
            }
            reached => return reached.map_err(|source| FetchError::Connect { address, source }),
        }
    }
}

async fn connect_unless_short(origin: &Origin, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if origin.shared.seats.is_nearly_out(descriptors::number(&socket)) {
        return Err(rustix::io::Errno::MFILE.into());
    }
    socket.connect(address).await
}

async fn secure(
    origin: &Origin,
    stream: TcpStream,
    protocol: Protocol,
) -> Result<Connection, FetchError> {
    let Some(tls) = &origin.shared.tls else { return Ok(Connection::new(Io::Tcp(stream), origin)) };
    let host = || tls.name();
    let limit = origin.shared.limits.tls_timeout;
    let stream = timeout(limit, tls.connect(stream, protocol))
        .await
        .map_err(|_| FetchError::TlsTimeout { host: host(), limit })?
        .map_err(|source| FetchError::Tls { host: host(), source })?;
    Ok(Connection::new(Io::Tls(Box::new(stream)), origin))
}
