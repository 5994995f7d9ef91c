//! Starts and stops a proxy, and the handle by which it is steered.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use store::{Key, OpenError, Store};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::crew::{self, Orders};
use crate::draining::Draining;
use crate::entrance::{Entrance, Inherited};
use crate::entry::StoredHead;
use crate::events::{Counters, Recorder, Trouble};
use crate::handle::Handle;
use crate::heartbeat::Heartbeat;
use crate::origin::tls::TlsSetupError;
use crate::origin::{self, Origin};
use crate::request::aliases::Aliases;
use crate::request::doubts::Doubts;
use crate::request::flights::Flights;
use crate::request::invalidations::Invalidations;
use crate::request::key_memory::KeyMemory;
use crate::seats::Seats;
use crate::settings::{Clients, Limits, Settings};
use crate::succession::{Legacy, Succession};
use crate::tls::PairError;
use crate::tls::watch;
use crate::trouble::Troubles;
use crate::worker::{Door, Shared, Worker};

/// Said at the start where it applies.
const UNCHECKED: &str = "the origin's certificate is NOT checked (--origin-insecure): whoever is on \
                         the way there can read every request, and have clients get whatever they \
                         like";

/// How long those who are told to end at once have for it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long a process that has been replaced waits at its end until the other one knows all.
const LAST_NEWS: Duration = Duration::from_secs(5);

/// How long those who have a connection may ask once more of a process that has been replaced. It is
/// longer than the pauses of a client that is busy.
const ONCE_MORE: Duration = Duration::from_secs(5);

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

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every connection ended by itself.
    Whole,
    /// Time ran out with connections still open.
    Cut,
}

/// A proxy that has all it needs, except for its store.
pub struct Prepared {
    settings: Rest,
    entrance: Entrance,
    origin: Arc<origin::Shared>,
    recorder: Arc<dyn Recorder>,
}

/// Of the settings, what is left to be used.
struct Rest {
    store: store::Options,
    workers: usize,
    unchecked: bool,
    rules: policy::Rules,
    clients: Clients,
    limits: Limits,
    clock: Clock,
}

/// A proxy that has all it needs, and does not serve yet.
pub struct Opened {
    addresses: Vec<SocketAddr>,
    doors: Vec<Door<Vec<Vec<TcpListener>>>>,
    handle: Handle,
}

/// A proxy whose threads wait for the word. There is nothing left to be had from the system. Dropping
/// it ends them, and nobody has been served.
pub struct Staffed {
    running: Running,
    begin: Vec<oneshot::Sender<()>>,
}

/// Opens the store, binds the address and starts the workers.
pub fn start(settings: Settings, recorder: Arc<dyn Recorder>) -> Result<Running, StartError> {
    prepare(settings, recorder, &mut Vec::new())?
        .open(Legacy::default())?
        .staff()
        .map(Staffed::serve)
}

/// Binds the addresses, unless their sockets are among the `inherited`, reads certificates and checks
/// all that can be checked. The store is not touched.
pub fn prepare(
    settings: Settings,
    recorder: Arc<dyn Recorder>,
    inherited: &mut Vec<Inherited>,
) -> Result<Prepared, StartError> {
    let Settings { listen, origin, origin_tls, workers, store, rules, clients, limits, clock } =
        settings;
    let workers = workers.max(1);
    let entrance = Entrance::open(listen, workers, inherited)?;
    let seats = Seats::new(limits.connections.clone());
    let origin = origin::Shared::new(origin, &origin_tls, limits.clone(), seats)?;
    let unchecked = origin_tls.unchecked;
    let settings = Rest { store, workers, unchecked, rules, clients, limits, clock };
    Ok(Prepared { settings, entrance, origin, recorder })
}

impl Prepared {
    /// Whether it keeps anything beyond its end.
    pub const fn stores_on_disk(&self) -> bool {
        self.settings.store.disk.is_some()
    }

    /// Opens the store, with what another process leaves if this one takes over from it.
    pub fn open(self, legacy: Legacy) -> Result<Opened, StartError> {
        let Self { settings, entrance, origin, recorder } = self;
        let Rest { store, workers, unchecked, rules, clients, limits, clock } = settings;
        let Entrance { addresses, doors, certificates, copies } = entrance;
        if unchecked {
            recorder.trouble(&Trouble { code: "origin-unchecked", message: UNCHECKED, times: 1 });
        }
        let Legacy { lock, predecessors, doubtful } = legacy;
        let shared = Arc::new(Shared {
            aliases: Aliases::since(clock.now()),
            store: Store::<StoredHead>::open_held(store, lock)?,
            rules,
            clients,
            clock,
            flights: Flights::new(),
            uncacheable: KeyMemory::new(limits.uncacheable_memory),
            uncombinable: KeyMemory::new(limits.uncacheable_memory),
            doubtful: Doubts::new(limits.first_byte_timeout),
            unrefreshable: KeyMemory::new(limits.refresh_pause),
            part_fills: Arc::default(),
            invalidations: Invalidations::new(),
            recorder: Arc::clone(&recorder),
            troubles: Troubles::default(),
            refreshes: Arc::new(Semaphore::new(limits.refreshes.min(Semaphore::MAX_PERMITS))),
            tunnels: Arc::new(Semaphore::new(limits.tunnels.min(Semaphore::MAX_PERMITS))),
            uploads: Arc::new(Semaphore::new(limits.http2.common_window)),
            behind: Arc::default(),
            open: Semaphore::new(0),
            seats: Arc::clone(&origin.seats),
            succession: Succession::new(predecessors),
            draining: Draining::default(),
            limits,
        });
        for key in &doubtful {
            shared.doubt(&Key::new(key));
        }
        let counters: Arc<[_]> = (0..workers).map(|_| Arc::new(Counters::default())).collect();
        let watched = certificates.iter().map(|certificates| Arc::clone(certificates) as _);
        let watched = watched.chain(origin.tls.clone().map(|connector| connector as _)).collect();
        let bell =
            watch::start(watched, shared.clock.clone(), recorder).map_err(StartError::Thread)?;
        let heartbeat = Arc::new(Heartbeat::of(workers));
        let handle = Handle::new(shared, origin, counters, certificates, bell, copies, heartbeat);
        Ok(Opened { addresses, doors, handle })
    }
}

impl Opened {
    /// Starts the threads of the workers. They take nobody yet.
    pub fn staff(self) -> Result<Staffed, StartError> {
        let Self { addresses, mut doors, handle } = self;
        let (alive, all_gone) = mpsc::channel(1);
        let (shared, origin) = (Arc::clone(&handle.shared), Arc::clone(&handle.origin));
        let counters = Arc::clone(&handle.counters);
        let heartbeat = Arc::clone(&handle.heartbeat);
        let running = Running { addresses, handle, stops: Vec::new(), alive: all_gone };
        let mut staffed = Staffed { running, begin: Vec::new() };
        for (number, counters) in counters.iter().enumerate() {
            let mut own = Vec::new();
            for door in &mut doors {
                let sockets = door.listener.pop().unwrap_or_default();
                own.extend(sockets.into_iter().map(|listener| Door {
                    number: door.number,
                    listener,
                    front: door.front.clone(),
                }));
            }
            let worker = Worker::new(
                Arc::clone(&shared),
                Origin::new(Arc::clone(&origin)),
                Arc::clone(counters),
                Arc::new(Notify::new()),
            );
            let stop = Arc::new(Notify::new());
            staffed.running.stops.push(Arc::clone(&stop));
            let (told, begin) = oneshot::channel();
            staffed.begin.push(told);
            let (alive, heartbeat) = (alive.clone(), Arc::clone(&heartbeat));
            let thread = crew::spawn(worker, own, Orders { begin, stop, alive, heartbeat }, number);
            // The thread ends by itself once it is stopped and its connections are gone.
            thread.map_err(StartError::Thread)?;
        }
        Ok(staffed)
    }
}

impl Staffed {
    /// A handle to steer it by.
    pub fn handle(&self) -> Handle {
        self.running.handle()
    }

    /// Serves. This cannot fail.
    pub fn serve(self) -> Running {
        // Not before: until now they may still be those of another process alone.
        self.running.handle.keep_clients_alive();
        for begin in self.begin {
            // Its thread waits for this, whatever else happens.
            let _ = begin.send(());
        }
        self.running
    }
}

impl Drop for Running {
    /// Stops accepting; connections end after the response they are at.
    fn drop(&mut self) {
        self.begin_to_stop(Duration::ZERO);
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
    /// still queued for the disk. Connections without a request are closed at once.
    pub async fn stop(self, patience: Duration) -> Drained {
        self.end(Duration::ZERO, patience).await
    }

    /// The same for a process that another has taken over from. Whoever has a connection may ask once
    /// more, and is told then that it closes: a client that is about to ask finds it open.
    pub async fn hand_over(self, patience: Duration) -> Drained {
        self.end(patience.min(ONCE_MORE), patience).await
    }

    async fn end(mut self, once_more: Duration, patience: Duration) -> Drained {
        self.begin_to_stop(once_more);
        let drained = timeout(patience, self.alive.recv()).await;
        if drained.is_err() {
            // Tunnels end when they are told to.
            self.handle.shared.open.close();
            let _ = timeout(LAST_WORDS, self.alive.recv()).await;
        }
        let shared = &self.handle.shared;
        // The last requests may have left something that nobody waited for.
        let told = shared.succession.tell_heir(&[], &[], false);
        let _ = timeout(LAST_NEWS, told).await;
        shared.store.settle().await;
        if drained.is_err() {
            return Drained::Cut;
        }
        Drained::Whole
    }

    fn begin_to_stop(&self, once_more: Duration) {
        // Before the workers close theirs: who comes after that is refused, not kept waiting.
        self.handle.close_copies();
        self.handle.shared.draining.begin(once_more);
        self.stops.iter().for_each(|stop| stop.notify_one());
    }
}
