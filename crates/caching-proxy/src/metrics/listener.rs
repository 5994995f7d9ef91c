//! Where scrapers ask: a thread of its own, so that it answers however busy the proxy is. One request
//! a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use policy::Timestamp;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use super::answer::answer;
use super::snapshot::Source;
use super::token::{Token, TokenError};
use super::{Format, families, text};
use crate::clock_millis;

/// Scrapers at once; more wait their turn, as long as those before them may take. There is room for a
/// crowd that only takes places, because each of them is small.
const CLIENTS: usize = 256;
/// Of the descriptors that the process may have, one in so many at the most: they are among those that
/// clients leave to others, a fifth of all at the least.
const SHARE_OF_FILES: u64 = 16;
/// Where that makes less than this, there are so many,
const FEW: u64 = 32;
/// but no more than one in so many: where descriptors are few, clients leave half of them.
const SHARE_OF_FEW_FILES: u64 = 4;
/// For the request. Whoever says nothing keeps a place for so long.
const REQUEST: Duration = Duration::from_secs(2);
/// For whoever was sent the response, to close the connection. What is still on its way reaches them
/// also when it is closed here, unless they go on sending.
const CLOSING: Duration = Duration::from_secs(1);
/// For all of a connection: the request, the response, and its end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long those who have come may take when the listener ends: whoever says nothing, and then those
/// who waited for its place.
const LAST_WORDS: Duration = Duration::from_secs(4);
/// How long accepting pauses when it fails, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// What is read behind a request, so that its client gets the response before it is told of the end.
const BEHIND: usize = 64 << 10;

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The address cannot be had.
    #[error(
        "cannot listen on {address} for metrics: {source}; choose another with --metrics-listen ADDR:PORT"
    )]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("cannot start the thread for metrics: {0}")]
    Thread(#[source] io::Error),
}

/// An address that is certain. Nobody can connect there yet.
pub(crate) struct Bound {
    /// Where it is.
    pub(crate) address: SocketAddr,
    socket: TcpSocket,
    token: Option<Token>,
}

/// The listener. Dropping it ends it, when those under way have been answered.
pub(crate) struct Listener {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Bound {
    /// Binds the address. Where the process listens that this one takes over from, both may: until it
    /// stops, each answers for itself.
    pub(crate) fn to(
        wanted: SocketAddr,
        token: Option<Token>,
        predecessor: Option<SocketAddr>,
    ) -> Result<Self, ListenError> {
        let shared = predecessor.filter(|theirs| is_the_same(wanted, *theirs));
        let failed = |source| ListenError::Bind { address: wanted, source };
        let socket = bound(wanted, shared).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { address, socket, token })
    }

    /// Lets scrapers in.
    pub(crate) fn serve(self, source: Arc<Source>) -> Result<Listener, ListenError> {
        let Self { address, socket, token } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ListenError::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            socket.listen(BACKLOG).map_err(|source| ListenError::Bind { address, source })?
        };
        let clients = clients(getrlimit(Resource::Nofile).current);
        let places = Arc::new(Semaphore::new(clients));
        let scraped = Arc::new(Scraped { source, token, clients, places });
        let stop = Arc::new(Notify::new());
        let told = Arc::clone(&stop);
        let named = thread::Builder::new().name("metrics".to_owned());
        let thread = named.spawn(move || runtime.block_on(serve(listener, &scraped, &told)));
        Ok(Listener { stop, thread: Some(thread.map_err(ListenError::Thread)?) })
    }
}

impl Listener {
    /// Lets nobody in any more. Does not wait.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How many there may be at once, where there are so many descriptors.
pub(super) fn clients(files: Option<u64>) -> usize {
    let share = files.map_or(u64::MAX, |files| {
        (files / SHARE_OF_FILES).max(FEW.min(files / SHARE_OF_FEW_FILES)).max(1)
    });
    usize::try_from(share).map_or(CLIENTS, |share| share.min(CLIENTS))
}

/// Port 0 is any port, that of the other process too.
fn is_the_same(wanted: SocketAddr, theirs: SocketAddr) -> bool {
    wanted == theirs || wanted.port() == 0 && wanted.ip() == theirs.ip()
}

/// A socket on the address, shared with the process that has it if there is one.
fn bound(wanted: SocketAddr, shared: Option<SocketAddr>) -> io::Result<TcpSocket> {
    let address = if let Some(theirs) = shared {
        theirs
    } else {
        // Sharing is for a process that takes over. Any other one that listens there is found with a
        // socket that refuses to share.
        let probe = socket(wanted)?;
        probe.bind(wanted)?;
        probe.local_addr()?
    };
    let socket = socket(address)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier process that linger must not keep the port from us.
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

async fn serve(listener: TcpListener, scraped: &Arc<Scraped>, stop: &Notify) {
    tokio::select! {
        () = accept(&listener, scraped) => {}
        () = stop.notified() => {}
    }
    // Those who do not end in time are cut.
    let _ = timeout(LAST_WORDS, finish(listener, scraped)).await;
}

/// Answers those who have come, also those who have not been accepted yet: closing the socket would
/// reset them.
async fn finish(listener: TcpListener, scraped: &Arc<Scraped>) {
    if let Ok(waiting) = listener.into_std() {
        while let Ok(place) = Arc::clone(&scraped.places).acquire_owned().await
            && let Ok((stream, _)) = waiting.accept()
            && stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            attend(stream, scraped, place);
        }
    }
    let all = u32::try_from(scraped.clients).unwrap_or(u32::MAX);
    drop(scraped.places.acquire_many(all).await);
}

/// What all connections need.
struct Scraped {
    source: Arc<Source>,
    token: Option<Token>,
    /// How many there may be at once.
    clients: usize,
    places: Arc<Semaphore>,
}

async fn accept(listener: &TcpListener, scraped: &Arc<Scraped>) {
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&scraped.places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => attend(stream, scraped, place),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

fn attend(stream: TcpStream, scraped: &Arc<Scraped>, place: tokio::sync::OwnedSemaphorePermit) {
    let scraped = Arc::clone(scraped);
    tokio::spawn(async move {
        let _place = place;
        let metrics = |format| text(&families(&scraped.source.read()), format);
        serve_one(stream, scraped.token.as_ref(), metrics).await;
    });
}

/// All of a connection.
pub(super) async fn serve_one(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    token: Option<&Token>,
    metrics: impl Fn(Format) -> String,
) {
    // Who is too slow, or gone, gets nothing more.
    let _ = timeout(PATIENCE, converse(stream, token, metrics)).await;
}

/// One request and its response.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    token: Option<&Token>,
    metrics: impl Fn(Format) -> String,
) -> io::Result<()> {
    let response = timeout(REQUEST, respond(&mut stream, token, metrics)).await??;
    stream.write_all(&response).await?;
    stream.shutdown().await?;
    timeout(CLOSING, drain(stream)).await?
}

/// Reads what comes behind a request, until its client closes.
async fn drain(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut left = BEHIND;
    let mut chunk = [0; 4096];
    while left > 0 {
        match stream.read(&mut chunk).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

/// The response to what comes.
async fn respond(
    stream: &mut (impl AsyncRead + Unpin),
    token: Option<&Token>,
    metrics: impl Fn(Format) -> String,
) -> io::Result<Vec<u8>> {
    let mut received = Vec::new();
    loop {
        let now = Timestamp::from_millis(clock_millis());
        // A head that is too long is answered as soon as it is.
        if let Some(response) = answer(&received, token, now, &metrics) {
            return Ok(response);
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
