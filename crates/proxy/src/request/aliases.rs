//! Remembers which stored responses may answer for other URLs than their own, because they carry
//! No-Vary-Search.
//!
//! A response is stored under its own key alone. This table knows for a path the rules that were
//! seen there, and for a query in its canonical form under such a rule the key that was stored last.
//! It is asked only when nothing is stored under a request's own key, and it is never believed: what
//! it points to must carry a rule that makes the two queries equivalent. It is in memory only: what
//! is from before a restart answers for its own URL alone. What the bounded table forgot is learnt
//! again when it is read from disk.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use policy::{Fields, NoVarySearch, Terms, Timestamp};
use smallvec::SmallVec;
use store::Key;

/// Locks over the table.
const SHARDS: usize = 16;
/// Paths and canonical queries that one shard knows, and the bytes they may take.
const MOST: usize = 4096;
const MOST_BYTES: usize = 1 << 20;
/// Bytes that each takes beside its own.
const OVERHEAD: usize = 96;
/// Rules that are tried for one path, newest first. An origin should have one.
const RULES: usize = 2;
/// Slots for the times of invalidations; paths that share one only cost an alias.
const SLOTS: usize = 4096;

/// What is known, by hash. A hash that two share costs an alias, not a mistake.
pub(crate) struct Aliases {
    shards: Box<[Mutex<Shard>]>,
    /// Something was learnt: until then nothing is asked.
    learnt: AtomicBool,
    /// For each slot of paths, when one of them was last invalidated, in milliseconds.
    invalidated: Box<[AtomicI64]>,
}

#[derive(Default)]
struct Shard {
    known: HashMap<u64, Known>,
    /// Every hash that is known, once, oldest first.
    order: VecDeque<u64>,
    bytes: usize,
}

enum Known {
    /// The rules of a path, newest first.
    Path(SmallVec<[NoVarySearch; RULES]>),
    /// The key that was stored last for a canonical query.
    Exact(Key),
}

/// A primary key taken apart.
struct Parts<'k> {
    /// Everything before the query.
    path: &'k [u8],
    /// Without its `?`.
    query: Option<&'k [u8]>,
    /// What stands behind the URL: the origin's name.
    origin: &'k [u8],
}

impl Aliases {
    /// Knows of all invalidations since this moment.
    pub(crate) fn since(now: Timestamp) -> Self {
        // A restart forgets which keys go together, and so what was invalidated with which: what is
        // from before it answers only for its own URL.
        let before = now.as_millis().saturating_sub(1);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            learnt: AtomicBool::new(false),
            invalidated: (0..SLOTS).map(|_| AtomicI64::new(before)).collect(),
        }
    }

    /// Notes what is stored, or about to be, under a key.
    pub(crate) fn learn(&self, key: &Key, fields: &Fields) {
        let Some(rule) = NoVarySearch::of(fields) else { return };
        let parts = Parts::of(key.as_bytes());
        let path = parts.path_hash();
        self.insert(parts.canonical_hash(&rule), Known::Exact(key.clone()));
        let mut rules = self.rules(path);
        // Mostly it is known already, and nothing changes.
        if rules.first() != Some(&rule) {
            rules.retain(|known| *known != rule);
            rules.truncate(RULES - 1);
            rules.insert(0, rule);
            self.insert(path, Known::Path(rules));
        }
        self.learnt.store(true, Ordering::Release);
    }

    /// The keys whose stored response may answer for this one, most likely first.
    pub(crate) fn of(&self, key: &Key) -> SmallVec<[Key; RULES]> {
        if !self.learnt.load(Ordering::Acquire) {
            return SmallVec::new();
        }
        let parts = Parts::of(key.as_bytes());
        let rules = self.rules(parts.path_hash());
        let exact = rules.iter().filter_map(|rule| {
            let hash = parts.canonical_hash(rule);
            match self.shard(hash).known.get(&hash) {
                Some(Known::Exact(exact)) => Some(exact.clone()),
                _ => None,
            }
        });
        // Another one for the same path after all; the key itself was looked up before.
        exact.filter(|exact| parts.has_path_of(exact) && exact != key).collect()
    }

    /// Notes that a key is invalidated, and returns the others that go with it.
    pub(crate) fn invalidate(&self, key: &Key, now: Timestamp) -> SmallVec<[Key; RULES]> {
        let path = Parts::of(key.as_bytes()).path_hash();
        self.slot(path).fetch_max(now.as_millis(), Ordering::SeqCst);
        self.of(key)
    }

    /// Whether a response may answer for other URLs of its path. One that was made before one of
    /// these was invalidated answers only for its own: the table may not have known then that the
    /// two go together.
    pub(crate) fn may_answer(&self, key: &Key, terms: &Terms) -> bool {
        let age = i64::try_from(terms.initial_age().get().as_millis()).unwrap_or(i64::MAX);
        let made = terms.response_time().as_millis().saturating_sub(age);
        let path = Parts::of(key.as_bytes()).path_hash();
        self.slot(path).load(Ordering::SeqCst) < made
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
        self.learnt.store(false, Ordering::Release);
    }

    fn rules(&self, path: u64) -> SmallVec<[NoVarySearch; RULES]> {
        match self.shard(path).known.get(&path) {
            Some(Known::Path(rules)) => rules.clone(),
            _ => SmallVec::new(),
        }
    }

    fn insert(&self, hash: u64, known: Known) {
        self.shard(hash).insert(hash, known);
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[hash as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, path: u64) -> &AtomicI64 {
        &self.invalidated[path as usize % SLOTS]
    }
}

impl Shard {
    fn insert(&mut self, hash: u64, known: Known) {
        let weight = known.weight();
        if weight > MOST_BYTES {
            return;
        }
        match self.known.insert(hash, known) {
            Some(before) => self.bytes -= before.weight(),
            None => self.order.push_back(hash),
        }
        self.bytes += weight;
        while self.known.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(gone) = self.known.remove(&oldest) {
                self.bytes -= gone.weight();
            }
        }
    }
}

impl Known {
    fn weight(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Path(rules) => rules.iter().map(NoVarySearch::heap_bytes).sum(),
                Self::Exact(key) => key.as_bytes().len(),
            }
    }
}

impl<'k> Parts<'k> {
    fn of(key: &'k [u8]) -> Self {
        let at = |text: &[u8], wanted| text.iter().position(|&byte| byte == wanted);
        // Neither a host nor a target has a space in it.
        let (url, origin) = key.split_at(at(key, b' ').unwrap_or(key.len()));
        match at(url, b'?') {
            Some(end) => Self { path: &url[..end], query: Some(&url[end + 1..]), origin },
            None => Self { path: url, query: None, origin },
        }
    }

    fn path_hash(&self) -> u64 {
        Key::new(&[self.path, self.origin].concat()).hash()
    }

    fn canonical_hash(&self, rule: &NoVarySearch) -> u64 {
        let mut text = [self.path, self.origin, b"?"].concat();
        rule.encode(&mut text);
        rule.canonical(self.query, &mut text);
        Key::new(&text).hash()
    }

    fn has_path_of(&self, key: &Key) -> bool {
        let other = Parts::of(key.as_bytes());
        (self.path, self.origin) == (other.path, other.origin)
    }
}

/// Whether a response with these fields, stored under one key, may answer for another.
//= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-7
//# the presented target URI (Section 7.1 of [HTTP]) and that of the stored response match or are
//# equivalent modulo URL variation config, and
pub(crate) fn is_equivalent(stored: &Key, fields: &Fields, presented: &Key) -> bool {
    let (stored, other) = (Parts::of(stored.as_bytes()), Parts::of(presented.as_bytes()));
    //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-6
    //# If the scheme, username, password, host, port, or path of urlA and urlB differ, then return
    //# false.
    stored.has_path_of(presented)
        && NoVarySearch::of(fields)
            .is_some_and(|rule| rule.is_equivalent(stored.query, other.query))
}

/// The target, path and query, of a primary key.
pub(crate) fn target(key: &Key) -> &[u8] {
    let Parts { path, query, .. } = Parts::of(key.as_bytes());
    let url = &key.as_bytes()[..path.len() + query.map_or(0, |query| 1 + query.len())];
    let host = url.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let start = url[host..].iter().position(|&byte| byte == b'/').map_or(url.len(), |at| host + at);
    &url[start..]
}

#[cfg(test)]
mod tests;
