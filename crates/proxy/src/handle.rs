//! The handle by which a running proxy is steered.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store::{Cleared, Fate, Key, Label, Matcher, Stats};

use crate::descriptors;
use crate::entrance::{self, Inherited};
use crate::events::{Counters, Counts};
use crate::heartbeat::Heartbeat;
use crate::keepalive::Keepalive;
use crate::origin;
use crate::purge::{About, Purge};
use crate::seats::ConnectionCounts;
use crate::succession::{Forgotten, Heir, Legacy};
use crate::tls::watch::{Bell, Renewable as _};
use crate::tls::{CertificateInfo, Certificates};
use crate::worker::Shared;

/// Steers a running proxy from any thread.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) origin: Arc<origin::Shared>,
    pub(crate) counters: Arc<[Arc<Counters>]>,
    certificates: Arc<[Arc<Certificates>]>,
    bell: Bell,
    /// Of all listeners, in the order of their doors.
    addresses: Arc<[SocketAddr]>,
    /// Other descriptors of the listening sockets, as long as they are open.
    copies: Arc<Mutex<Vec<Inherited>>>,
    pub(crate) heartbeat: Arc<Heartbeat>,
}

impl Handle {
    pub(crate) fn new(
        shared: Arc<Shared>,
        origin: Arc<origin::Shared>,
        counters: Arc<[Arc<Counters>]>,
        certificates: Vec<Arc<Certificates>>,
        bell: Bell,
        copies: Vec<Inherited>,
        heartbeat: Arc<Heartbeat>,
    ) -> Self {
        let addresses = copies.iter().map(|listener| listener.address).collect();
        let (certificates, copies) = (certificates.into(), Arc::new(Mutex::new(copies)));
        Self { shared, origin, counters, certificates, bell, addresses, copies, heartbeat }
    }

    fn copies(&self) -> MutexGuard<'_, Vec<Inherited>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the system find clients that have vanished, among those who come from now on.
    pub(crate) fn keep_clients_alive(&self) {
        let keepalive = Keepalive::with_client(&self.shared.limits);
        for socket in self.copies().iter().flat_map(|listener| &listener.sockets) {
            keepalive.apply_to(socket);
        }
    }

    pub(crate) fn close_copies(&self) {
        self.copies().clear();
    }

    /// The listening sockets, for a process that is about to take over. None of a proxy that stops.
    pub fn listeners(&self) -> io::Result<Vec<Inherited>> {
        entrance::copies(&self.copies())
    }

    /// Brings the store's directory into a state in which another process can take it, and serves on.
    /// Whatever is forgotten from now on is told to the heir, which tells the predecessors. `None` if
    /// the disk is too slow for that: then nothing changes. Blocks; not for a thread that serves
    /// requests.
    pub fn prepare_legacy(&self, heir: Arc<dyn Heir>) -> io::Result<Option<Legacy>> {
        let runtime = waiting_runtime()?;
        // First: what is not written any more has to be told.
        self.shared.succession.set_heir(Some(heir));
        if !runtime.block_on(self.shared.store.freeze()) {
            self.shared.succession.set_heir(None);
            return Ok(None);
        }
        let predecessors = self.shared.succession.predecessors().unwrap_or_default();
        let doubtful = self.shared.doubtful.keys();
        Ok(Some(Legacy { lock: self.shared.store.lock(), predecessors, doubtful }))
    }

    /// The other process came to nothing: goes on as before.
    pub fn keep_legacy(&self) {
        self.shared.catch_up();
        self.shared.succession.set_heir(None);
        self.shared.store.thaw();
    }

    /// The other process serves: leaves it what there is for good.
    pub fn leave_legacy(&self) {
        self.shared.store.leave();
        self.shared.succession.leave_predecessors();
    }

    /// Waits no more for those who might ask once more.
    pub fn hurry(&self) {
        self.shared.draining.begin(Duration::ZERO);
    }

    /// Whether so many clients more find room among the files that this process may have.
    pub fn has_room_for(&self, clients: u64) -> bool {
        let copies = self.copies();
        let any = copies.first().and_then(|listener| listener.sockets.first());
        let lowest = any.map_or(u64::MAX, descriptors::lowest_free);
        !self.shared.seats.is_short(lowest.saturating_add(clients))
    }

    /// Asks all workers whether they still do anything. Does not wait.
    pub fn ask_workers(&self) {
        self.heartbeat.ask();
    }

    /// True if each worker has answered since it was last asked.
    pub fn workers_have_answered(&self) -> bool {
        self.heartbeat.all_have_answered()
    }

    /// Forgets what a process that this one has taken over from has forgotten, and waits until the disk
    /// knows it too. Blocks; not for a thread that serves requests.
    pub fn forget(&self, what: &Forgotten) -> io::Result<()> {
        let runtime = waiting_runtime()?;
        for key in what.keys.iter().map(|key| Key::new(key)) {
            if what.doubtful {
                self.shared.doubt(&key);
            } else {
                self.shared.forget(&key);
            }
        }
        let labels: Vec<_> = what.labels.iter().map(|label| Label::of_number(*label)).collect();
        let matchers: Vec<_> = labels.into_iter().map(Matcher::Label).collect();
        let ended = self.shared.store.invalidate(&matchers, Fate::Dead);
        self.shared.succession.tell_predecessors();
        runtime.block_on(async {
            self.shared.store.recorded().await;
            ended.await;
            // There may be another one that takes over from this one.
            self.shared.succession.tell_heir(&[], &[], false).await;
        });
        Ok(())
    }

    /// Forgets every stored response.
    pub fn clear(&self) -> Cleared {
        let cleared = self.shared.forget_all();
        self.shared.succession.tell_predecessors();
        cleared
    }

    /// Purges stored responses, and what is on its way: a hard purge removes them, a soft one makes
    /// them stale. Waits until the disk knows it too, so that it holds after a crash. Blocks; not for
    /// a thread that serves requests.
    pub fn purge(&self, purge: &Purge, soft: bool) -> io::Result<()> {
        let runtime = waiting_runtime()?;
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
        self.shared.succession.tell_predecessors();
        runtime.block_on(recorded);
        Ok(())
    }

    /// Waits until what was cleared is gone from the disk too, so that not even a crash brings it
    /// back. Blocks; not for a thread that serves requests.
    pub fn settle(&self) -> io::Result<()> {
        let runtime = waiting_runtime()?;
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

    /// Tunnels that are open or asked for.
    pub fn open_tunnels(&self) -> usize {
        self.shared.limits.tunnels.saturating_sub(self.shared.tunnels.available_permits())
    }

    /// The connections of clients at each listener: how many there are, and what became of those that
    /// were too many.
    pub fn connections_of_listeners(&self) -> Vec<(SocketAddr, ConnectionCounts)> {
        let counts =
            |(door, address): (usize, &SocketAddr)| (*address, self.shared.seats.counts_of(door));
        self.addresses.iter().enumerate().map(counts).collect()
    }

    /// Counts since the start, over all workers.
    pub fn counts(&self) -> Counts {
        Counts::of(&self.counters, self.origin.retries())
    }

    /// What was told as trouble since the start, by its code, and how often it happened.
    pub fn troubles(&self) -> Vec<(&'static str, u64)> {
        self.shared.troubles.counts()
    }

    /// Connections to the origin that are in use.
    pub fn origin_connections(&self) -> usize {
        self.origin.in_use()
    }
}

/// A runtime for what only waits: it needs no file descriptor.
fn waiting_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()
}
