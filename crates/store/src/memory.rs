//! The memory tier: variants by key, weighed in bytes, evicted by use.

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::entry::Variants;
use crate::key::{Key, KeyRef, KnownHash};
use crate::meta::Meta;
use crate::stats::Counters;

/// Bytes that one cached key takes beside its variants: the key twice over, the slot, the list.
const OVERHEAD: u64 = 128;
/// Fewer shards than this many of the largest body make eviction coarse.
const BODIES_PER_SHARD: u64 = 4;

type ByKey<M> = Cache<Key, Arc<Variants<M>>, Weight, KnownHash, Evicted>;

/// The memory tier.
pub(crate) struct Memory<M: Meta> {
    /// `None` if there is no memory to speak of.
    cache: Option<ByKey<M>>,
    /// The weight that one key may have.
    largest: u64,
}

impl<M: Meta> Memory<M> {
    pub(crate) fn new(bytes: u64, largest_body: u64, counters: Arc<Counters>) -> Self {
        let evicted = Evicted { counters };
        let shards = (bytes / (BODIES_PER_SHARD * largest_body.max(1))).clamp(1, 64);
        let options = OptionsBuilder::new()
            .shards(1 << shards.ilog2())
            .estimated_items_capacity((bytes / 4096).max(32 * shards) as usize)
            .weight_capacity(bytes)
            .build();
        let cache = options
            .ok()
            .filter(|_| bytes > 0)
            .map(|options| Cache::with_options(options, Weight, KnownHash, evicted));
        // The cache refuses what does not fit the hot part of a shard, 97 % of it.
        let largest = cache.as_ref().map_or(0, |cache| cache.shard_capacity() / 100 * 95);
        Self { cache, largest }
    }

    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Arc<Variants<M>>> {
        self.cache.as_ref()?.get(key)
    }

    pub(crate) fn get_owned(&self, key: &Key) -> Option<Arc<Variants<M>>> {
        self.cache.as_ref()?.get(key)
    }

    /// The weight of variants that still fits.
    pub(crate) fn room(&self, key: &Key) -> u64 {
        self.largest.saturating_sub(OVERHEAD + 2 * key.as_bytes().len() as u64)
    }

    /// Puts variants in, which fit [`Memory::room`] and are not empty.
    pub(crate) fn insert(&self, key: &Key, variants: Arc<Variants<M>>) {
        if let Some(cache) = &self.cache {
            cache.insert(key.clone(), variants);
        }
    }

    pub(crate) fn remove(&self, key: &Key) -> Option<Arc<Variants<M>>> {
        self.cache.as_ref()?.remove(key).map(|(_, variants)| variants)
    }

    /// Removes everything, showing each to `gone`.
    pub(crate) fn clear(&self, gone: impl Fn(&Variants<M>)) {
        let Some(cache) = &self.cache else { return };
        cache.retain(|_, variants| {
            gone(variants);
            false
        });
    }

    pub(crate) fn keys(&self) -> u64 {
        self.cache.as_ref().map_or(0, |cache| cache.len() as u64)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, Cache::weight)
    }
}

#[derive(Clone)]
struct Weight;

impl<M: Meta> Weighter<Key, Arc<Variants<M>>> for Weight {
    fn weight(&self, key: &Key, variants: &Arc<Variants<M>>) -> u64 {
        variants.weight() + OVERHEAD + 2 * key.as_bytes().len() as u64
    }
}

/// Counts evictions; frees what goes after the shard's lock.
#[derive(Clone)]
struct Evicted {
    counters: Arc<Counters>,
}

impl<M: Meta> Lifecycle<Key, Arc<Variants<M>>> for Evicted {
    type RequestState = Vec<Arc<Variants<M>>>;

    fn on_evict(&self, freed: &mut Self::RequestState, _: Key, variants: Arc<Variants<M>>) {
        self.counters.memory_evictions.add(variants.len() as u64);
        freed.push(variants);
    }
}
