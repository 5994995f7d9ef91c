//! The least recently used object goes.

use std::collections::{BTreeMap, HashMap};

pub(crate) struct Lru {
    capacity: usize,
    now: u64,
    /// When each object was last asked for.
    last: HashMap<u32, u64>,
    order: BTreeMap<u64, u32>,
}

impl Lru {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, now: 0, last: HashMap::new(), order: BTreeMap::new() }
    }

    /// True for a hit; what is missing is put in.
    pub(crate) fn request(&mut self, object: u32) -> bool {
        self.now += 1;
        self.order.insert(self.now, object);
        let before = self.last.insert(object, self.now);
        if let Some(before) = before {
            self.order.remove(&before);
        } else if self.last.len() > self.capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.last.remove(&oldest);
        }
        before.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let mut lru = Lru::new(2);
        let hits: Vec<_> = [1, 2, 1, 3, 1, 2, 3].map(|object| lru.request(object)).into();
        assert_eq!(hits, [false, false, true, false, true, false, false]);
    }
}
