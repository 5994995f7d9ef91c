//! Who may come in: how many connections of clients there are, at each listener, of each client, and
//! in all.
//!
//! Each connection has a seat. Where there is none left, the connection that has been idle for the
//! longest makes way for a new one; where none is idle, the new one is answered with a 503, and
//! beyond a few of those at once it is closed without a word. `docs/limits.md` says why.

mod counts;
mod full;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;
use tokio::time::sleep;

pub use self::counts::ConnectionCounts;
pub(crate) use self::full::Full;

use crate::clock::{in_ticks, ticks};
use crate::settings::ConnectionLimits;

/// File descriptors that are left to what is no connection of a client: those to the origin, files,
/// the control socket.
const RESERVED: u64 = 64;
/// Of those, what connections to the origin leave to the others.
const NOT_FOR_ORIGIN: u64 = 16;
/// What is more than so many parts in a hundred is crowded.
const CROWDED: u64 = 80;
/// How often idle connections are looked through while it is crowded.
const LOOK: Duration = Duration::from_secs(1);
/// How long it counts as crowded after a connection got one of the last descriptors, in ticks.
const CROWDED_FOR: u64 = 10_000;
/// Where a look found nobody who could make way, there is none again for so long, in ticks: it costs
/// a look at every connection.
const BARREN_FOR: u64 = 100;
/// Of so many connections one makes way at a time, so that looks are rare.
const SHARE_TO_LEAVE: usize = 64;
/// Connections that are answered with a refusal at once, at the least.
const REFUSALS: usize = 32;

/// The seats of all workers.
pub(crate) struct Seats {
    limits: ConnectionLimits,
    /// File descriptors that the process may have.
    files: u64,
    book: Mutex<Book>,
    crowded: Notify,
}

#[derive(Default)]
struct Book {
    /// Those who have a seat.
    guests: HashMap<u64, Arc<Guest>>,
    /// How many of them there are at each listener.
    doors: HashMap<usize, usize>,
    /// What became of connections at each listener; who is there now is counted above.
    counts: HashMap<usize, ConnectionCounts>,
    /// How many of them each client has, where that is counted.
    clients: HashMap<IpAddr, usize>,
    /// Those who are about to be told that there is no seat.
    standing: usize,
    next: u64,
    /// When a connection got one of the last descriptors.
    high_at: Option<u64>,
    barren_until: u64,
}

/// A connection, as others see it.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    door: usize,
    /// Since when, in ticks, it waits for its next request; 0 while it has one.
    idle_since: AtomicU64,
    is_sent_away: AtomicBool,
    task: OnceLock<Waker>,
}

/// The right of a connection to be there, until it is dropped.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    pub(crate) guest: Arc<Guest>,
    client: Option<IpAddr>,
    /// There was none: it is told so.
    pub(crate) refused: Option<Full>,
}

impl Guest {
    /// It waits for its next request.
    pub(crate) fn rest(&self) {
        self.idle_since.store(ticks().max(1), Ordering::Relaxed);
    }

    /// A request has begun to arrive.
    pub(crate) fn work(&self) {
        self.idle_since.store(0, Ordering::Relaxed);
    }

    /// It should end as soon as it has nothing to do.
    pub(crate) fn is_sent_away(&self) -> bool {
        self.is_sent_away.load(Ordering::Acquire)
    }

    /// Ends when it should. Only its own task is woken for that.
    pub(crate) async fn sent_away(&self) {
        poll_fn(|_| if self.is_sent_away() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Says which task serves it: the waker of a task stays the same as long as that lives.
    pub(crate) fn is_served_by(&self, task: &Waker) {
        let _ = self.task.set(task.clone());
    }

    fn send_away(&self) {
        self.is_sent_away.store(true, Ordering::Release);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// How long it has been idle, in ticks.
    fn idle_for(&self, now: u64) -> Option<u64> {
        let since = self.idle_since.load(Ordering::Relaxed);
        (since > 0).then(|| now.saturating_sub(since))
    }
}

impl Seats {
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Self::with(limits, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    fn with(limits: ConnectionLimits, files: u64) -> Arc<Self> {
        Arc::new(Self { limits, files, book: Mutex::default(), crowded: Notify::new() })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a connection that came in at this door and has this file descriptor; `None` if it
    /// is not even told that there is none.
    pub(crate) fn enter(self: &Arc<Self>, door: usize, descriptor: u64) -> Option<Seat> {
        let now = ticks();
        let mut book = self.book();
        book.counts_at(door).accepted += 1;
        if descriptor >= part(self.files) {
            book.high_at = Some(now);
        }
        let full = self.full(&book, door, descriptor);
        let full = full.filter(|_| !self.make_way(&mut book, door, now));
        if self.is_crowded_at(&book, door, now) {
            self.crowded.notify_one();
        }
        book.next += 1;
        let number = book.next;
        let guest = Arc::new(Guest { door, ..Guest::default() });
        if full.is_none() {
            book.guests.insert(number, Arc::clone(&guest));
            *book.doors.entry(door).or_default() += 1;
        } else if !book.stand(door) {
            return None;
        }
        Some(Seat { seats: Arc::clone(self), number, guest, client: None, refused: full })
    }

    /// Whether this descriptor is one of the last, which are reserved.
    pub(crate) fn is_short(&self, descriptor: u64) -> bool {
        descriptor >= self.files - RESERVED.min(self.files / 2)
    }

    /// Whether not even connections to the origin should have this descriptor.
    pub(crate) fn is_nearly_out(&self, descriptor: u64) -> bool {
        descriptor >= self.files - NOT_FOR_ORIGIN.min(self.files / 8)
    }

    /// Why nobody else may come in.
    fn full(&self, book: &Book, door: usize, descriptor: u64) -> Option<Full> {
        if self.is_short(descriptor) {
            return Some(Full::Descriptors);
        }
        let taken = book.doors.get(&door).copied().unwrap_or_default();
        let is_full = taken >= self.limits.listener || book.guests.len() >= self.limits.total;
        is_full.then_some(Full::Connections)
    }

    /// Sends away those who have been idle for the longest; says whether there was one.
    fn make_way(&self, book: &mut Book, door: usize, now: u64) -> bool {
        if now < book.barren_until {
            return false;
        }
        let taken = book.doors.get(&door).copied().unwrap_or_default();
        let same_door = taken >= self.limits.listener;
        let spared = in_ticks(self.limits.spared_idle);
        let idle = book.guests.iter().filter(|(_, guest)| !same_door || guest.door == door);
        let idle = idle.filter_map(|(&number, guest)| Some((guest.idle_for(now)?, number)));
        let mut idle: Vec<_> = idle.filter(|(idle, _)| *idle >= spared).collect();
        let most = (book.guests.len() / SHARE_TO_LEAVE).clamp(1, idle.len().max(1));
        if idle.is_empty() {
            book.barren_until = now + BARREN_FOR;
            return false;
        }
        idle.select_nth_unstable_by(most - 1, |one, other| other.cmp(one));
        for (_, number) in idle.iter().take(most) {
            Self::send_away(book, *number);
        }
        true
    }

    /// From here on its seat is somebody else's.
    fn send_away(book: &mut Book, number: u64) {
        if let Some(guest) = book.leave(number) {
            book.counts_at(guest.door).made_way += 1;
            guest.send_away();
        }
    }

    /// Makes room as long as it is crowded. Runs for ever.
    pub(crate) async fn watch(&self) {
        loop {
            self.crowded.notified().await;
            while self.thin_out(ticks()) {
                sleep(LOOK).await;
            }
        }
    }

    /// Sends away all who have been idle for long, where it is crowded; says whether it is.
    fn thin_out(&self, now: u64) -> bool {
        let mut book = self.book();
        let doors: Vec<_> = book.doors.keys().copied().collect();
        let doors = doors.into_iter().filter(|door| self.is_crowded_at(&book, *door, now));
        let doors: Vec<_> = doors.collect();
        let limit = in_ticks(self.limits.crowded_idle);
        let idle = book.guests.iter().filter(|(_, guest)| {
            doors.contains(&guest.door) && guest.idle_for(now).is_some_and(|idle| idle >= limit)
        });
        let idle: Vec<_> = idle.map(|(&number, _)| number).collect();
        for number in idle {
            Self::send_away(&mut book, number);
        }
        !doors.is_empty()
    }

    /// Whether nearly all seats that a door leads to are taken.
    fn is_crowded_at(&self, book: &Book, door: usize, now: u64) -> bool {
        let taken = book.doors.get(&door).copied().unwrap_or_default();
        let high = book.high_at.is_some_and(|at| now.saturating_sub(at) < CROWDED_FOR);
        let crowded = |taken: usize, of: usize| taken as u64 > part(of as u64);
        high || crowded(taken, self.limits.listener)
            || crowded(book.guests.len(), self.limits.total)
    }

    /// Whether it is crowded anywhere.
    pub(crate) fn is_crowded(&self) -> bool {
        let (book, now) = (self.book(), ticks());
        book.doors.keys().any(|door| self.is_crowded_at(&book, *door, now))
    }

    /// Frees descriptors where none is left.
    pub(crate) fn make_room(&self) {
        let now = ticks();
        let mut book = self.book();
        book.high_at = Some(now);
        let door = usize::MAX;
        let _ = self.make_way(&mut book, door, now);
        self.crowded.notify_one();
    }

    /// How many connections there are at one listener, and what became of those that came.
    pub(crate) fn counts_of(&self, door: usize) -> ConnectionCounts {
        let book = self.book();
        let open = book.doors.get(&door).copied().unwrap_or_default() as u64;
        ConnectionCounts { open, ..book.counts.get(&door).copied().unwrap_or_default() }
    }
}

impl Book {
    fn counts_at(&mut self, door: usize) -> &mut ConnectionCounts {
        self.counts.entry(door).or_default()
    }

    /// A place to be told that there is no seat.
    fn stand(&mut self, door: usize) -> bool {
        if self.standing >= REFUSALS.max(self.guests.len() / SHARE_TO_LEAVE) {
            self.counts_at(door).dropped += 1;
            return false;
        }
        self.standing += 1;
        self.counts_at(door).refused += 1;
        true
    }

    fn leave(&mut self, number: u64) -> Option<Arc<Guest>> {
        let guest = self.guests.remove(&number)?;
        if let Some(taken) = self.doors.get_mut(&guest.door) {
            *taken = taken.saturating_sub(1);
        }
        Some(guest)
    }

    fn forget_client(&mut self, client: IpAddr) {
        if let Some(taken) = self.clients.get_mut(&client) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

impl Seat {
    /// How long the connection is waited for, which is else waited for so long.
    pub(crate) fn patience(&self, usual: Duration) -> Duration {
        let limit = self.seats.limits.refusal_timeout;
        if self.refused.is_some() { usual.min(limit) } else { usual }
    }

    /// Says whose connection it is. False if that client has too many for this one to be even told.
    pub(crate) fn belongs_to(&mut self, client: IpAddr) -> bool {
        let Some(limit) = self.seats.limits.client.filter(|_| self.refused.is_none()) else {
            return true;
        };
        let client = network(client);
        let mut book = self.seats.book();
        let taken = book.clients.entry(client).or_default();
        if *taken < limit {
            *taken += 1;
            self.client = Some(client);
            return true;
        }
        let _ = book.leave(self.number);
        let stands = book.stand(self.guest.door);
        self.refused = stands.then_some(Full::Client { limit });
        stands
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut book = self.seats.book();
        if self.refused.is_some() {
            book.standing = book.standing.saturating_sub(1);
        }
        // One that was sent away has left already.
        let _ = book.leave(self.number);
        if let Some(client) = self.client {
            book.forget_client(client);
        }
    }
}

/// What counts as one client: an address, or the network of one in IPv6, within which a client has
/// as many addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// As much of it as is not crowded yet.
fn part(of: u64) -> u64 {
    // Divided first: what is not limited is as large as it gets.
    of / 100 * CROWDED + of % 100 * CROWDED / 100
}

#[cfg(test)]
mod tests;
