//! New metadata of small entries: the body stays in the record that has it.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::Damage;
use crate::disk::Op;

async fn freshen(store: &Store<Label>, text: &str) -> bool {
    let Some(entry) = find(store, &key("k"), "v").await else { return false };
    store.replace_meta(&key("k"), &entry, label("v", text)).is_some()
}

/// Bytes that the log gets for new metadata.
async fn freshened(store: &Store<Label>, text: &str) -> u64 {
    store.flush().await;
    let before = store.stats().log_written_bytes;
    assert!(freshen(store, text).await);
    store.flush().await;
    store.stats().log_written_bytes - before
}

fn damaged(store: &Store<Label>) -> u64 {
    store.stats().damaged.iter().map(|(_, count)| count).sum()
}

fn is_in(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| *window == part).count()
}

#[tokio::test]
async fn the_body_is_written_once_whatever_comes_after() {
    for (memory, length) in [(0, 1100), (8 * MIB, 5000), (0, 100_000), (8 * MIB, 250_000)] {
        let setup = Setup::new(memory, 64 * MIB);
        let (store, whole) = (setup.open(), body(length, length));
        stored(&store, &key("k"), label("v", "0"), &whole).await;
        for text in ["1", "2", "3"] {
            let written = freshened(&store, text).await;
            assert!((80..130).contains(&written), "{written} for a body of {length}");
            assert_eq!(get(&store, &key("k"), "v").await, Some((text.to_owned(), whole.clone())));
        }
        let log = fs::read(&setup.segments()[0]).unwrap();
        assert_eq!((setup.segments().len(), is_in(&log, &whole[..64])), (1, 1));
        let stats = store.stats();
        let kept = stats.disk_bytes - length;
        assert!(stats.disk_entries == 1 && (130..300).contains(&kept), "{kept} beside the body");
        let killed = setup.copy();
        drop(store);
        for store in [setup.open(), recovered(killed.open())] {
            assert_eq!(store.stats().disk_bytes, stats.disk_bytes);
            let entry = find(&store, &key("k"), "v").await.unwrap();
            assert_eq!(entry.tail(), Some(&b"trailers of 0"[..]));
            assert_eq!(get(&store, &key("k"), "v").await, Some(("3".to_owned(), whole.clone())));
            assert_eq!(damaged(&store), 0);
        }
    }
}

#[tokio::test]
async fn a_body_that_is_hardly_longer_than_the_rest_comes_along() {
    for (text, length) in [(1, 1000), (5000, 4000), (70_000, 100_000)] {
        let setup = Setup::new(0, 64 * MIB);
        let (store, whole) = (setup.open(), body(length, length));
        stored(&store, &key("k"), label("v", "0"), &whole).await;
        let text = "t".repeat(text);
        assert!(freshened(&store, &text).await > length + text.len() as u64);
        assert_eq!(get(&store, &key("k"), "v").await, Some((text, whole)));
    }
}

#[tokio::test]
async fn both_records_are_read_on_the_spot() {
    let (now, waiting) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut setup = Setup::new(0, 64 * MIB);
    let counted = (Arc::clone(&now), Arc::clone(&waiting));
    setup.files = Files::failing(move |op| {
        counted.0.fetch_add(u64::from(op == Op::ReadNow), Ordering::SeqCst);
        counted.1.fetch_add(u64::from(op == Op::Read), Ordering::SeqCst);
        None
    });
    let store = setup.open();
    stored(&store, &key("k"), label("v", "0"), &body(1, 5000)).await;
    freshened(&store, "1").await;
    now.store(0, Ordering::SeqCst);
    assert!(find(&store, &key("k"), "v").await.is_some());
    if cfg!(target_os = "linux") {
        assert_eq!((now.load(Ordering::SeqCst), waiting.load(Ordering::SeqCst)), (2, 0));
    }
}

/// Ways to end an entry.
#[derive(Clone, Copy, Debug)]
enum End {
    Removed,
    EntryRemoved,
    Cleared,
    Replaced,
    ReplacedByLarge,
    ReplacedByLargeAndRemoved,
}

impl End {
    const ALL: [Self; 6] = [
        Self::Removed,
        Self::EntryRemoved,
        Self::Cleared,
        Self::Replaced,
        Self::ReplacedByLarge,
        Self::ReplacedByLargeAndRemoved,
    ];

    /// Says what is to be found after it.
    async fn happen(self, store: &Store<Label>) -> Option<(String, Vec<u8>)> {
        let length = if matches!(self, Self::Replaced) { 3000 } else { 300_000 };
        match self {
            Self::Removed => assert_eq!(store.remove(&key("k")), 1),
            Self::EntryRemoved => {
                let entry = find(store, &key("k"), "v").await.unwrap();
                assert!(store.remove_entry(&key("k"), &entry));
            }
            Self::Cleared => assert_eq!(store.clear().entries, 1),
            _ => stored(store, &key("k"), label("v", "last"), &body(9, length)).await,
        }
        if matches!(self, Self::ReplacedByLargeAndRemoved) {
            store.flush().await;
            assert_eq!(store.remove(&key("k")), 1);
        }
        let is_there = matches!(self, Self::Replaced | Self::ReplacedByLarge);
        is_there.then(|| ("last".to_owned(), body(9, length)))
    }
}

#[tokio::test]
async fn what_ends_an_entry_ends_its_body_and_all_its_metadata() {
    for end in End::ALL {
        for (before, apart) in [(0, false), (1, false), (1, true), (2, false), (2, true)] {
            let what = format!("{end:?} after {before}, apart {apart}");
            let setup = Setup::quick(0, 4 * MIB);
            let mut store = setup.open();
            stored(&store, &key("k"), label("v", "0"), &body(1, 5000)).await;
            for _ in 0..before {
                assert!(freshened(&store, "1").await < 200);
                if apart {
                    drop(store);
                    store = setup.open();
                }
            }
            let entry = find(&store, &key("k"), "v").await.unwrap();
            let expected = end.happen(&store).await;
            // What has ended gets no new metadata.
            assert!(store.replace_meta(&key("k"), &entry, label("v", "late")).is_none(), "{what}");
            assert_eq!(get(&store, &key("k"), "v").await, expected, "{what}");
            store.flush().await;
            let killed = setup.copy();
            drop(store);
            for store in [setup.open(), recovered(killed.open())] {
                assert_eq!(get(&store, &key("k"), "v").await, expected, "{what}");
                assert_eq!(damaged(&store), 0, "{what}");
            }
        }
    }
}

/// Fills the log until all segments that are there now have gone. `k` is hit all the time or never:
/// then it is there as long as the segment with its body. A kill in between finds what the store has.
async fn turn_over(setup: &Setup, store: &Store<Label>, hot: bool, right: &(String, Vec<u8>)) {
    let first = setup.segments();
    let has_body = |path: &&PathBuf| is_in(&fs::read(path).unwrap(), &right.1[..64]) > 0;
    let with_body = first.iter().rfind(has_body).unwrap();
    let mut number = 0;
    while first.iter().any(|path| path.exists()) {
        let other = key(&format!("other {number}"));
        stored(store, &other, label("v", ""), &body(number, 7000)).await;
        store.flush().await;
        let killed = setup.copy();
        let killed = recovered(killed.open());
        let found = get(&killed, &key("k"), "v").await;
        assert_eq!(found.as_ref(), (hot || with_body.exists()).then_some(right));
        assert_eq!(
            (killed.stats().disk_entries, damaged(&killed)),
            (store.stats().disk_entries, 0)
        );
        if hot {
            assert_eq!(get(store, &key("k"), "v").await.as_ref(), Some(right));
        }
        number += 1;
    }
}

/// Each letter is a step for one key: `p`ut, `f`reshen, go on in the next `s`egment.
async fn history(setup: &Setup, steps: &str) -> (Store<Label>, (String, Vec<u8>)) {
    let mut store = setup.open();
    let mut right = (String::new(), Vec::new());
    for (number, step) in steps.chars().enumerate() {
        right.0 = if step == 's' { right.0 } else { number.to_string() };
        match step {
            'p' => {
                right.1 = body(number as u64, 4000);
                stored(&store, &key("k"), label("v", &right.0), &right.1).await;
            }
            'f' => assert!(freshened(&store, &right.0).await < 200),
            _ => {
                drop(store);
                store = setup.open();
                let other = key(&format!("between {number}"));
                stored(&store, &other, label("v", ""), b"").await;
            }
        }
        store.flush().await;
    }
    (store, right)
}

#[tokio::test]
async fn a_hot_body_and_its_metadata_become_one_record_when_a_segment_goes_and_cold_ones_go() {
    let all = ["pf", "psf", "pff", "psff", "psfsf", "pfsf", "ppsf", "pspsf", "pfpsf", "psfpf"];
    for steps in all {
        for hot in [true, false] {
            let setup = Setup::quick(0, 256 * KIB);
            let (store, right) = history(&setup, steps).await;
            // Whoever freshened it looked at it, and left a mark that a start does not know.
            drop(store);
            let store = setup.open();
            if hot {
                assert_eq!(get(&store, &key("k"), "v").await.as_ref(), Some(&right));
            }
            turn_over(&setup, &store, hot, &right).await;
            let found = get(&store, &key("k"), "v").await;
            assert_eq!(found, hot.then(|| right.clone()), "{steps}, hot {hot}");
            let stats = store.stats();
            assert_eq!(stats.log_copied_bytes > 0, hot, "{steps}");
            assert!(hot || stats.disk_evictions > 0, "{steps}");
            // From here on it is a record like any other.
            if hot {
                turn_over(&setup, &store, true, &right).await;
                assert!(freshened(&store, "again").await < 200, "{steps}");
                turn_over(&setup, &store, true, &("again".to_owned(), right.1)).await;
            }
            assert_eq!(damaged(&store), 0, "{steps}");
        }
    }
}

/// A store whose writer waits at the gate.
fn gated(gate: &Arc<Gate>, capacity: u64) -> Setup {
    let (mut setup, gate) = (Setup::quick(0, capacity), Arc::clone(gate));
    setup.files = Files::failing(move |op| {
        if op == Op::Write && std::thread::current().name() == Some("store-writer") {
            gate.pass();
        }
        None
    });
    setup
}

#[tokio::test]
async fn metadata_whose_body_goes_before_it_is_written_brings_the_body_along() {
    // The last record alone goes, or the body and what refers to it, or the body alone.
    for (steps, others, left) in [("p", 40, 0), ("psf", 40, 0), ("psf", 22, 1)] {
        let gate = Arc::new(Gate::default());
        let mut setup = gated(&gate, 256 * KIB);
        let (store, (_, whole)) = history(&setup, steps).await;
        let mut first = setup.segments();
        let entry = find(&store, &key("k"), "v").await.unwrap();
        gate.set(true);
        for number in 0..others {
            let other = key(&number.to_string());
            stored(&store, &other, label("v", ""), &body(number, 7000)).await;
        }
        let fresh = store.replace_meta(&key("k"), &entry, label("v", "last"));
        assert!(fresh.is_some() && first.iter().all(|path| path.exists()));
        gate.set(false);
        store.flush().await;
        first.retain(|path| path.exists());
        assert_eq!(first.len(), left, "{steps}");
        setup.files = Files::default();
        let killed = setup.copy();
        for store in [store, recovered(killed.open())] {
            let found = get(&store, &key("k"), "v").await;
            assert_eq!(found, Some(("last".to_owned(), whole.clone())), "{steps}");
            assert_eq!(damaged(&store), 0);
        }
    }
}

#[tokio::test]
async fn metadata_that_waits_for_the_writer_is_not_referred_to() {
    let gate = Arc::new(Gate::default());
    let setup = gated(&gate, 64 * MIB);
    let (store, whole) = (setup.open(), body(1, 5000));
    gate.set(true);
    stored(&store, &key("k"), label("v", "0"), &whole).await;
    for text in ["1", "2", "3"] {
        assert!(freshen(&store, text).await);
        assert_eq!(get(&store, &key("k"), "v").await, Some((text.to_owned(), whole.clone())));
    }
    gate.set(false);
    store.flush().await;
    let killed = setup.copy();
    assert!(freshened(&store, "4").await < 200);
    for (store, text) in [(store, "4"), (recovered(killed.open()), "3")] {
        assert_eq!(get(&store, &key("k"), "v").await, Some((text.to_owned(), whole.clone())));
    }
}

/// A stopped store whose metadata is in a later segment than its body.
async fn apart() -> Setup {
    let setup = Setup::quick(0, 64 * MIB);
    let (store, _) = history(&setup, "psf").await;
    drop(store);
    assert_eq!(setup.segments().len(), 2);
    setup
}

#[tokio::test]
async fn a_body_that_is_damaged_or_lost_is_a_miss_and_takes_its_metadata_along() {
    for is_lost in [false, true] {
        let setup = apart().await;
        let path = setup.segments().remove(0);
        let mut bytes = fs::read(&path).unwrap();
        bytes[1000] ^= 1;
        if is_lost {
            fs::remove_file(&path).unwrap();
        } else {
            fs::write(&path, bytes).unwrap();
        }
        let store = recovered(setup.open());
        assert!(get(&store, &key("k"), "v").await.is_none());
        let why = if is_lost { Damage::Missing } else { Damage::Checksum };
        assert!(store.stats().damaged.contains(&(why, 1)), "{:?}", store.stats());
        // Its number has gone too: nothing is left to be found after a crash.
        store.flush().await;
        let killed = setup.copy();
        let store = recovered(killed.open());
        let entries = store.stats().disk_entries;
        assert!(get(&store, &key("k"), "v").await.is_none());
        assert_eq!((entries, damaged(&store)), (1, 0));
    }
}

#[tokio::test]
async fn a_sound_body_of_something_else_is_not_taken_for_the_one_that_was_meant() {
    for (name, variant, clears) in [("k", "v", 1), ("l", "v", 0), ("k", "w", 0), ("k", "v", 0)] {
        let setup = apart().await;
        // Another store whose first segment has a record just there.
        let other = Setup::quick(0, 64 * MIB);
        let store = other.open();
        for _ in 0..clears {
            store.clear();
        }
        stored(&store, &key(name), label(variant, "0"), &body(7, 4000)).await;
        drop(store);
        fs::copy(&other.segments()[0], &setup.segments()[0]).unwrap();
        let store = recovered(setup.open());
        assert!(get(&store, &key("k"), "v").await.is_none(), "{name}, {variant}, {clears}");
        // The snapshot is not of these segments, the body is not that of the metadata.
        let damaged = store.stats().damaged;
        assert!(damaged.contains(&(Damage::Identity, 2)), "{damaged:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u64),
    Freshen,
    Hit,
    Remove,
    /// So many other entries.
    Others(u64),
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (500..6000_u64).prop_map(Step::Put),
        8 => Just(Step::Freshen),
        4 => Just(Step::Hit),
        1 => Just(Step::Remove),
        6 => (1..20_u64).prop_map(Step::Others),
        2 => Just(Step::Reopen),
        2 => Just(Step::Kill),
    ]
}

async fn run(steps: &[Step]) {
    let mut setup = Setup::quick(0, 256 * KIB);
    let mut store = setup.open();
    let mut right: Option<(String, Vec<u8>)> = None;
    for (number, step) in (0..).zip(steps) {
        let text = number.to_string();
        match *step {
            Step::Put(length) => {
                right = Some((text.clone(), body(number, length)));
                stored(&store, &key("k"), label("v", &text), &body(number, length)).await;
            }
            Step::Freshen if freshen(&store, &text).await => right.as_mut().unwrap().0 = text,
            Step::Freshen => right = None,
            Step::Hit => _ = find(&store, &key("k"), "v").await,
            Step::Remove => {
                store.remove(&key("k"));
                right = None;
            }
            Step::Others(count) => {
                for other in 0..count {
                    let name = key(&format!("{number}, {other}"));
                    stored(&store, &name, label("v", ""), &body(other, 7000)).await;
                }
            }
            Step::Reopen => {
                drop(store);
                store = setup.open();
            }
            Step::Kill => {
                store.flush().await;
                setup = setup.copy();
                store = recovered(setup.open());
            }
        }
        if matches!(step, Step::Freshen | Step::Hit | Step::Kill) {
            let found = get(&store, &key("k"), "v").await;
            assert!(found.is_none() || found == right, "{number}: {:?}", found.map(|one| one.0));
            // What has gone does not come back.
            right = found;
        }
    }
    store.flush().await;
    let killed = recovered(setup.copy().open());
    assert_eq!(get(&killed, &key("k"), "v").await, get(&store, &key("k"), "v").await);
    assert_eq!((damaged(&killed), damaged(&store)), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn in_any_order_it_is_the_last_metadata_and_its_body_or_nothing(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&steps));
    }
}
