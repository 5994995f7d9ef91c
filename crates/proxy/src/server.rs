//! Starts and stops a proxy, and the handle by which it is steered.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use store::{Cleared, Fate, Key, OpenError, Stats, Store};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;

use crate::entry::StoredHead;
use crate::events::{Counters, Counts, Recorder, Trouble};
use crate::front::{Front, listener};
use crate::head::Scheme;
use crate::origin::tls::TlsSetupError;
use crate::origin::{self, Origin};
use crate::purge::{About, Purge};
use crate::request::aliases::Aliases;
use crate::request::flights::Flights;
use crate::request::invalidations::Invalidations;
use crate::request::key_memory::KeyMemory;
use crate::seats::{ConnectionCounts, Seats};
use crate::settings::{Listen, Settings, Speaks};
use crate::tls::watch::{self, Bell, Renewable};
use crate::tls::{CertificateInfo, Certificates, PairError};
use crate::trouble::Troubles;
use crate::worker::{self, Door, Shared, Worker};

/// Said at the start where it applies.
const UNCHECKED: &str = "the origin's certificate is NOT checked (--origin-insecure): whoever is on \
                         the way there can read every request, and have clients get whatever they \
                         like";

/// How long those who are told to end at once have for it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listening socket could not be had.
    #[error("listening on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The system's complaint.
        source: io::Error,
    },
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A certificate, a key or a list of authorities is no good.
    #[error(transparent)]
    Certificate(#[from] PairError),
    /// TLS to the origin cannot work.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// A thread could not be started.
    #[error("starting a worker: {0}")]
    Thread(io::Error),
}

/// A running proxy. Dropping it without [`Running::stop`] stops it without waiting.
pub struct Running {
    addresses: Vec<SocketAddr>,
    handle: Handle,
    stops: Vec<Arc<Notify>>,
    alive: mpsc::Receiver<()>,
}

/// Steers a running proxy from any thread.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    origin: Arc<origin::Shared>,
    counters: Arc<[Arc<Counters>]>,
    certificates: Arc<[Arc<Certificates>]>,
    bell: Bell,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every connection ended by itself.
    Whole,
    /// Time ran out with connections still open.
    Cut,
}

/// Where clients come in.
struct Entrance {
    addresses: Vec<SocketAddr>,
    /// Each with a listener for each worker.
    doors: Vec<Door<Vec<TcpListener>>>,
    certificates: Vec<Arc<Certificates>>,
}

impl Entrance {
    fn open(listen: Vec<Listen>, workers: usize) -> Result<Self, StartError> {
        let (mut addresses, mut doors, mut certificates) = (Vec::new(), Vec::new(), Vec::new());
        let mut tls_port = None;
        for (number, Listen { address, speaks }) in listen.into_iter().enumerate() {
            let listener = listener::bind(address, workers)
                .map_err(|source| StartError::Listen { address, source })?;
            let bound = listener.first().and_then(|listener| listener.local_addr().ok());
            let bound = bound.unwrap_or(address);
            let front = match speaks {
                Speaks::Http => Front::Plain,
                Speaks::Https(settings) => {
                    let loaded = Certificates::load(settings)?;
                    certificates.push(Arc::clone(&loaded));
                    tls_port = tls_port.or(Some(bound.port()));
                    Front::Tls(loaded)
                }
                Speaks::Redirect(port) => {
                    let usual = Scheme::Https.default_port();
                    Front::Redirect(port.or(tls_port).unwrap_or(usual))
                }
            };
            addresses.push(bound);
            doors.push(Door { number, listener, front });
        }
        Ok(Self { addresses, doors, certificates })
    }
}

/// Opens the store, binds the address and starts the workers.
pub fn start(settings: Settings, recorder: Arc<dyn Recorder>) -> Result<Running, StartError> {
    let Settings { listen, origin, origin_tls, workers, store, rules, clients, limits, clock } =
        settings;
    let workers = workers.max(1);
    let Entrance { addresses, mut doors, certificates } = Entrance::open(listen, workers)?;
    let seats = Seats::new(limits.connections.clone());
    let origin = origin::Shared::new(origin, &origin_tls, limits.clone(), Arc::clone(&seats))?;
    if origin_tls.unchecked {
        recorder.trouble(&Trouble { code: "origin-unchecked", message: UNCHECKED, times: 1 });
    }
    let aliases = Aliases::since(clock.now());
    let shared = Arc::new(Shared {
        aliases,
        store: Store::<StoredHead>::open(store)?,
        rules,
        clients,
        clock,
        flights: Flights::new(),
        uncacheable: KeyMemory::new(limits.uncacheable_memory),
        uncombinable: KeyMemory::new(limits.uncacheable_memory),
        doubtful: KeyMemory::new(limits.first_byte_timeout),
        unrefreshable: KeyMemory::new(limits.refresh_pause),
        part_fills: Arc::default(),
        invalidations: Invalidations::new(),
        recorder: Arc::clone(&recorder),
        troubles: Troubles::default(),
        tunnels: Arc::new(Semaphore::new(limits.tunnels.min(Semaphore::MAX_PERMITS))),
        open: Semaphore::new(0),
        seats,
        draining: AtomicBool::new(false),
        limits,
    });
    let (alive, all_gone) = mpsc::channel(1);
    let counters: Arc<[_]> = (0..workers).map(|_| Arc::new(Counters::default())).collect();
    let watched = certificates.iter().map(|certificates| Arc::clone(certificates) as _);
    let watched = watched.chain(origin.tls.clone().map(|connector| connector as _)).collect();
    let bell = watch::start(watched, shared.clock.clone(), recorder).map_err(StartError::Thread)?;
    let handle = Handle {
        shared: Arc::clone(&shared),
        origin: Arc::clone(&origin),
        counters: Arc::clone(&counters),
        certificates: certificates.into(),
        bell,
    };
    let mut running = Running { addresses, handle, stops: Vec::new(), alive: all_gone };
    for (number, counters) in counters.iter().enumerate() {
        let own = doors.iter_mut().filter_map(|door| {
            let Door { number, listener, front } = door;
            Some(Door { number: *number, listener: listener.pop()?, front: front.clone() })
        });
        let own = own.collect();
        let worker = Worker::new(
            Arc::clone(&shared),
            Origin::new(Arc::clone(&origin)),
            Arc::clone(counters),
            Arc::new(Notify::new()),
        );
        let stop = Arc::new(Notify::new());
        running.stops.push(Arc::clone(&stop));
        let thread = worker::spawn(worker, own, stop, alive.clone(), number);
        // The thread ends by itself once it is stopped and its connections are gone. If one cannot
        // be started, the others end when `running` is dropped.
        thread.map_err(StartError::Thread)?;
    }
    Ok(running)
}

impl Drop for Running {
    /// Stops accepting; connections end after the response they are at.
    fn drop(&mut self) {
        self.handle.shared.draining.store(true, Ordering::Release);
        self.stops.iter().for_each(|stop| stop.notify_one());
    }
}

impl Running {
    /// Where the first listener is; tells the port that the system picked.
    pub fn local_addr(&self) -> SocketAddr {
        let nowhere = (Ipv4Addr::UNSPECIFIED, 0).into();
        self.addresses.first().copied().unwrap_or(nowhere)
    }

    /// Where all are, in the order of the settings.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A handle to steer it by.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops accepting, lets requests under way finish for at most `patience`, and writes what is
    /// still queued for the disk.
    pub async fn stop(mut self, patience: Duration) -> Drained {
        self.handle.shared.draining.store(true, Ordering::Release);
        self.stops.iter().for_each(|stop| stop.notify_one());
        let drained = timeout(patience, self.alive.recv()).await;
        if drained.is_err() {
            // Tunnels end when they are told to.
            self.handle.shared.open.close();
            let _ = timeout(LAST_WORDS, self.alive.recv()).await;
        }
        self.handle.shared.store.settle().await;
        if drained.is_err() {
            return Drained::Cut;
        }
        Drained::Whole
    }
}

impl Handle {
    /// Forgets every stored response.
    pub fn clear(&self) -> Cleared {
        self.shared.invalidations.add_all();
        self.shared.flights.detach_all();
        self.shared.aliases.clear();
        self.shared.store.clear()
    }

    /// Purges stored responses, and what is on its way: a hard purge removes them, a soft one makes
    /// them stale. Waits until the disk knows it too, so that it holds after a crash. Blocks; not for
    /// a thread that serves requests.
    pub fn purge(&self, purge: &Purge, soft: bool) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let now = self.shared.clock.now();
        let mut about = purge.about(&self.origin.name);
        let keys: Vec<_> = about
            .iter()
            .filter_map(
                |about| if let About::Key(key) = about { Some(Key::new(key)) } else { None },
            )
            .collect();
        // With a URL goes what answers in its place.
        for alias in keys.iter().flat_map(|key| self.shared.aliases.invalidate(key, now)) {
            about.push(About::Key(alias.as_bytes().to_vec()));
        }
        let fate = if soft { Fate::Stale { since: now.as_millis() } } else { Fate::Dead };
        let matchers: Vec<_> = about.iter().map(About::matcher).collect();
        let recorded = self.shared.store.invalidate(&matchers, fate);
        // Those who come now do not wait for what has been purged.
        self.shared.flights.detach_all();
        runtime.block_on(recorded);
        Ok(())
    }

    /// Waits until what was cleared is gone from the disk too, so that not even a crash brings it
    /// back. Blocks; not for a thread that serves requests.
    pub fn settle(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(self.shared.store.flush());
        Ok(())
    }

    /// The certificates that are being served.
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.certificates.iter().flat_map(|certificates| certificates.infos()).collect()
    }

    /// The certificate that the origin is shown.
    pub fn origin_certificate(&self) -> Option<CertificateInfo> {
        self.origin.tls.as_ref()?.infos().pop()
    }

    /// Has the files of certificates read again, whether they look changed or not. Does not wait.
    pub fn reload_certificates(&self) {
        self.bell.ring();
    }

    /// What the store holds and what happened to it.
    pub fn store_stats(&self) -> Stats {
        self.shared.store.stats()
    }

    /// Tunnels that are open.
    pub fn open_tunnels(&self) -> usize {
        self.shared.limits.tunnels.saturating_sub(self.shared.tunnels.available_permits())
    }

    /// The connections of clients: how many there are, and what became of those that were too many.
    pub fn connections(&self) -> ConnectionCounts {
        self.shared.seats.counts()
    }

    /// Counts since the start, over all workers.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for counters in self.counters.iter() {
            counts.include(counters);
        }
        counts
    }
}
