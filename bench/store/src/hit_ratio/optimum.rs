//! The most hits that any policy can have, which knows the future: the object whose next request is
//! furthest away goes (Belady 1966), or is not put in at all.

use std::collections::{BinaryHeap, HashMap};

/// Hits of the best policy with so much room.
pub(crate) fn hits(requests: &[u32], capacity: usize) -> u64 {
    let next = next_requests(requests);
    // Which request each object that is held waits for.
    let mut held: HashMap<u32, usize> = HashMap::new();
    // The same, furthest first, with leftovers of requests that have come.
    let mut furthest: BinaryHeap<(usize, u32)> = BinaryHeap::new();
    let mut hits = 0;
    for (&object, &next) in requests.iter().zip(&next) {
        hits += u64::from(held.insert(object, next).is_some());
        furthest.push((next, object));
        while held.len() > capacity
            && let Some((next, object)) = furthest.pop()
        {
            if held.get(&object) == Some(&next) {
                held.remove(&object);
            }
        }
    }
    hits
}

/// For each request, which one is the next for the same object.
fn next_requests(requests: &[u32]) -> Vec<usize> {
    let mut next = vec![usize::MAX; requests.len()];
    let mut later = HashMap::new();
    for (number, object) in requests.iter().enumerate().rev() {
        if let Some(at) = later.insert(object, number) {
            next[number] = at;
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_that_were_worked_out_by_hand() {
        // 3 is never asked for again, so 1 and 2 stay.
        assert_eq!(hits(&[1, 2, 1, 3, 2, 1], 2), 3);
        assert_eq!(hits(&[1, 2, 3, 1, 2, 3], 1), 1);
        assert_eq!(hits(&[1, 1, 1], 1), 2);
        assert_eq!(hits(&[1, 1, 1], 0), 0);
        // The example of the textbooks has nine faults with room for three. That 4 need not be let
        // in, for which 0 would have to go, saves one of them.
        let example = [7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1];
        assert_eq!(hits(&example, 3), 20 - 8);
    }
}
