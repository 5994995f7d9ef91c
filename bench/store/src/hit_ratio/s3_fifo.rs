//! S3-FIFO as its authors have it (Yang et al., SOSP 2023): a small queue filters what is asked for
//! once, a main queue keeps the rest, a ghost queue remembers what left the small one too early.

use std::collections::{HashMap, VecDeque};

/// Higher counts are not told apart.
const MOST: u8 = 3;

pub(crate) struct S3Fifo {
    capacity: usize,
    small_target: usize,
    /// How often each object was asked for since it was put in.
    counts: HashMap<u32, u8>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    /// Objects that left the small queue, with the number of that event.
    ghosts: HashMap<u32, u64>,
    ghost_order: VecDeque<(u64, u32)>,
    events: u64,
}

impl S3Fifo {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            small_target: (capacity / 10).max(1),
            counts: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: HashMap::new(),
            ghost_order: VecDeque::new(),
            events: 0,
        }
    }

    /// True for a hit; what is missing is put in.
    pub(crate) fn request(&mut self, object: u32) -> bool {
        if let Some(count) = self.counts.get_mut(&object) {
            *count = MOST.min(*count + 1);
            return true;
        }
        let is_ghost = self.ghosts.remove(&object).is_some();
        while self.counts.len() >= self.capacity {
            self.evict();
        }
        if is_ghost {
            self.main.push_back(object);
        } else {
            self.small.push_back(object);
        }
        self.counts.insert(object, 0);
        false
    }

    fn evict(&mut self) {
        if self.small.len() >= self.small_target { self.evict_small() } else { self.evict_main() }
    }

    fn evict_small(&mut self) {
        while let Some(object) = self.small.pop_front() {
            if self.counts.get(&object).is_some_and(|count| *count > 1) {
                self.main.push_back(object);
                continue;
            }
            self.counts.remove(&object);
            self.remember(object);
            return;
        }
    }

    fn evict_main(&mut self) {
        while let Some(object) = self.main.pop_front() {
            match self.counts.get_mut(&object) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    self.main.push_back(object);
                }
                _ => {
                    self.counts.remove(&object);
                    return;
                }
            }
        }
    }

    fn remember(&mut self, object: u32) {
        self.events += 1;
        self.ghosts.insert(object, self.events);
        self.ghost_order.push_back((self.events, object));
        while self.ghosts.len() > self.capacity - self.small_target
            && let Some((event, oldest)) = self.ghost_order.pop_front()
        {
            if self.ghosts.get(&oldest) == Some(&event) {
                self.ghosts.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_that_was_worked_out_by_hand() {
        let mut cache = S3Fifo::new(3);
        let mut hits = |objects: &[u32]| -> Vec<bool> {
            objects.iter().map(|object| cache.request(*object)).collect()
        };
        // Small 1 2 3, where 1 counts 2.
        assert_eq!(hits(&[1, 2, 3, 1, 1]), [false, false, false, true, true]);
        // 4: 1 moves to main, 2 becomes a ghost. 2: 3 becomes a ghost, and 2 goes to main.
        assert_eq!(hits(&[4, 2]), [false, false]);
        // 5: 4 becomes a ghost. 3: 5 becomes a ghost, and 3 goes to main, which is 1 2 3.
        assert_eq!(hits(&[5, 3]), [false, false]);
        // 6: nothing small is left, so 1 goes round and 2 goes, without becoming a ghost.
        assert_eq!(hits(&[6, 1, 3, 6]), [false, true, true, true]);
        // 2 is a stranger: 6, which counts 1, becomes a ghost for it.
        assert_eq!(hits(&[2, 6, 1, 3]), [false, false, true, true]);
        assert_eq!((cache.small.len(), cache.main.len()), (0, 3));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut cache = S3Fifo::new(10);
        (0..1000).for_each(|object| assert!(!cache.request(object)));
        assert_eq!((cache.counts.len(), cache.ghosts.len()), (10, 9));
        assert!(cache.ghost_order.len() <= 9);
    }
}
