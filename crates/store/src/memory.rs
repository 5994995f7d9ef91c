//! The memory tier: variants by key, weighed in bytes, evicted by use.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::disk::lock;
use crate::doorkeeper::GivenUp;
use crate::entry::Variants;
use crate::kept::{Kept, Wish};
use crate::key::{Key, KeyRef, KnownHash};
use crate::lent::Lent;
use crate::meta::Meta;
use crate::stats::Counters;

/// The counters of an `Arc`.
pub(crate) const ARC: usize = 2 * size_of::<usize>();
/// Bytes of the index for one key at the least: its slot and its place in the hash table. What more
/// it takes, for places that are free and for evicted keys, is counted as it is.
const SLOT: u64 = 46;
/// Insertions after which the real size of the index is looked at.
const LOOK: u64 = 64;
/// Bytes for each of which the index expects a key, when it decides how many evicted keys it
/// remembers: half as many. Hit ratios are best (Zipf 0.8 to 1.2, with and without scans) if these
/// are a quarter to a half of the keys held; this gives that for objects of 3 to 6 KiB, and loses
/// less than one hit in a hundred up to 20 KiB. Of smaller ones, which are more, [`GivenUp`] remembers
/// more.
pub(crate) const EXPECTED: u64 = 6144;
/// Bytes that pieces of bodies on disk get at once although entries have to go for it: one in so many,
/// and no more than takes a moment. (Each change of its capacity costs the cache some of the evicted
/// keys that it remembers.)
const STEPS: u64 = 16;
const LARGEST_STEP: u64 = 16 << 20;
/// A change of its capacity is not worth making for less than one part in so many.
const LITTLE_CHANGE: u64 = 256;
/// Bytes that the smallest objects take: of what was given up, no more are remembered.
const SMALL: u64 = 768;
/// Fewer shards than this many of the largest body make eviction coarse.
const BODIES_PER_SHARD: u64 = 4;

/// Keys are compared in full once their hash has found something: see [`Memory::get`].
type ByHash<M> = Cache<u64, Variants<M>, Weight, KnownHash, Evicted>;

/// Bytes that the system's allocator takes for an allocation of so many.
pub const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        // A word for the length, in steps of two words, at least four.
        1..=24 => 32,
        _ => (bytes + 8).next_multiple_of(16),
    }
}

/// The memory tier.
pub(crate) struct Memory<M: Meta> {
    /// `None` if there is no memory to speak of.
    cache: Option<ByHash<M>>,
    bytes: u64,
    /// The weight that one key may have.
    largest: u64,
    insertions: AtomicU64,
    kept: Arc<Kept>,
    /// Bytes set aside for them.
    aside: Mutex<u64>,
    evicted_keys: Arc<GivenUp>,
    lent: Arc<Lent>,
}

impl<M: Meta> Memory<M> {
    pub(crate) fn new(
        bytes: u64,
        largest_body: u64,
        counters: Arc<Counters>,
        kept: Arc<Kept>,
        lent: Arc<Lent>,
    ) -> Self {
        let evicted_keys = Arc::new(GivenUp::new(bytes / EXPECTED / 2, bytes / SMALL));
        let evicted = Evicted { counters, evicted_keys: Arc::clone(&evicted_keys) };
        let shards = (bytes / (BODIES_PER_SHARD * largest_body.max(1))).clamp(1, 64);
        let options = OptionsBuilder::new()
            .shards(1 << shards.ilog2())
            .estimated_items_capacity((bytes / EXPECTED).max(32 * shards) as usize)
            .weight_capacity(bytes)
            .build();
        let cache = options
            .ok()
            .filter(|_| bytes > 0)
            .map(|options| Cache::with_options(options, Weight, KnownHash, evicted));
        // The cache refuses what does not fit the hot part of a shard, 97 % of it; and the index may
        // have grown into a quarter.
        let largest = cache.as_ref().map_or(0, |cache| cache.shard_capacity() / 100 * 70);
        let (insertions, aside) = (AtomicU64::new(0), Mutex::new(0));
        Self { cache, bytes, largest, insertions, kept, aside, evicted_keys, lent }
    }

    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Variants<M>> {
        self.of_hash(key.hash(), key.as_bytes())
    }

    pub(crate) fn get_owned(&self, key: &Key) -> Option<Variants<M>> {
        self.of_hash(key.hash(), key.as_bytes())
    }

    /// Two keys whose hashes are equal take each other's place; which do, nobody can know.
    fn of_hash(&self, hash: u64, key: &[u8]) -> Option<Variants<M>> {
        self.cache.as_ref()?.get(&hash).filter(|variants| variants.key() == key)
    }

    /// The weight of variants that still fits.
    pub(crate) fn room(&self) -> u64 {
        // Less if much is set aside.
        let shard = self.cache.as_ref().map_or(0, |cache| cache.shard_capacity() / 100 * 96);
        self.largest.min(shard).saturating_sub(SLOT)
    }

    /// Puts variants in, which fit [`Memory::room`] and are not empty.
    pub(crate) fn insert(&self, key: &Key, variants: Variants<M>) {
        let Some(cache) = &self.cache else { return };
        let is_back = self.evicted_keys.has(key.hash());
        variants.keep();
        cache.insert(key.hash(), variants);
        if is_back {
            // As good as a hit: it stays.
            let _hit = cache.get(&key.hash());
        }
        let is_due = self.insertions.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK);
        if is_due || self.lent.has_changed() {
            self.evicted_keys.set_keys(cache.len() as u64);
            self.fit(cache, *lock(&self.aside), self.bytes / LITTLE_CHANGE);
        }
    }

    /// The index grows in steps, remembers evicted keys and never shrinks: what it takes beyond its
    /// share of the weights is taken off what the weights may be, and so are what is set aside and what
    /// readers have of what was given up.
    fn fit(&self, cache: &ByHash<M>, aside: u64, unless: u64) {
        let beyond = beyond_weights(cache) + self.evicted_keys.bytes();
        let weights = self.lent.leaves(self.bytes - aside - beyond.min(self.bytes / 4));
        if weights.abs_diff(cache.capacity()) > unless {
            cache.set_capacity(weights);
            // Rounded down, it remembers less each time.
            self.evicted_keys.forgotten(cache.num_shards() as u64);
        }
    }

    /// Gives room to pieces of bodies on disk, as much as they could use but not all at once if
    /// entries have to go for it; or takes back what they do without, if entries could use it.
    pub(crate) fn divide(&self) {
        let Some(cache) = &self.cache else { return };
        let mut aside = lock(&self.aside);
        let (weight, capacity) = (cache.weight(), cache.capacity());
        let is_short = weight >= capacity / 8 * 7;
        if is_short {
            self.kept.forget_idle();
        }
        let step = (self.bytes / STEPS).min(LARGEST_STEP);
        match self.kept.wish() {
            Wish::More(bytes) if *aside < self.kept.most => {
                let spare = capacity.saturating_sub(weight);
                *aside = (*aside + bytes.min(spare).max(step)).min(self.kept.most);
                // First the entries go.
                self.fit(cache, *aside, 0);
                self.kept.set_room(*aside);
            }
            Wish::Less(bytes) if is_short && bytes > 2 * step => {
                *aside = self.kept.set_room(*aside - (bytes - step));
                self.fit(cache, *aside, 0);
            }
            Wish::More(_) | Wish::Less(_) => self.fit(cache, *aside, self.bytes / LITTLE_CHANGE),
        }
    }

    pub(crate) fn remove(&self, key: &Key) {
        let removed = self.cache.as_ref().and_then(|cache| cache.remove(&key.hash()));
        if let Some((_, variants)) = removed {
            variants.give_up();
        }
    }

    /// Removes everything, showing each to `gone`.
    pub(crate) fn clear(&self, gone: impl Fn(&Variants<M>)) {
        let Some(cache) = &self.cache else { return };
        cache.retain(|_, variants| {
            gone(variants);
            variants.give_up();
            false
        });
    }

    pub(crate) fn keys(&self) -> u64 {
        self.cache.as_ref().map_or(0, |cache| cache.len() as u64)
    }

    /// Bytes of what is stored.
    pub(crate) fn weights(&self) -> u64 {
        self.cache.as_ref().map_or(0, Cache::weight)
    }

    /// Bytes of the same, of the index, and of pieces of bodies on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let entries = self.cache.as_ref().map_or(0, |cache| cache.weight() + beyond_weights(cache));
        entries + self.evicted_keys.bytes() + self.kept_bytes()
    }

    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.bytes()
    }
}

/// Bytes of the index that the weights do not count.
fn beyond_weights<M: Meta>(cache: &ByHash<M>) -> u64 {
    let counted = SLOT * cache.len() as u64;
    (cache.memory_used().total() as u64).saturating_sub(counted)
}

#[derive(Clone)]
struct Weight;

impl<M: Meta> Weighter<u64, Variants<M>> for Weight {
    fn weight(&self, _: &u64, variants: &Variants<M>) -> u64 {
        variants.weight() + SLOT
    }
}

/// What goes when the locks are free again.
struct Freed<M: Meta>(Vec<Variants<M>>);

impl<M: Meta> Default for Freed<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M: Meta> Drop for Freed<M> {
    fn drop(&mut self) {
        // One after the other: hardly any of them has readers.
        self.0.drain(..).for_each(|variants| variants.give_up());
    }
}

/// Counts evictions; frees what goes after the shard's lock.
#[derive(Clone)]
struct Evicted {
    counters: Arc<Counters>,
    evicted_keys: Arc<GivenUp>,
}

impl<M: Meta> Lifecycle<u64, Variants<M>> for Evicted {
    type RequestState = Freed<M>;

    fn on_evict(&self, freed: &mut Self::RequestState, _: u64, variants: Variants<M>) {
        self.counters.memory_evictions.add(variants.len() as u64);
        freed.0.push(variants);
    }

    fn on_evict_cold(&self, freed: &mut Self::RequestState, hash: u64, variants: Variants<M>) {
        self.evicted_keys.note(hash);
        self.on_evict(freed, hash, variants);
    }
}
