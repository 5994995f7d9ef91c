//! What waits for a disk that hangs is bounded, and what could not be removed meanwhile stays away.

use super::*;
use crate::NotStored;
use crate::disk::{MOST, Op};

/// Files on which a thread waits at its gate before these operations.
fn waiting_at<const N: usize>(gates: [(&Arc<Gate>, &'static str, &'static [Op]); N]) -> Files {
    let gates = gates.map(|(gate, thread, ops)| (Arc::clone(gate), thread, ops));
    Files::failing(move |op| {
        for (gate, thread, ops) in &gates {
            if std::thread::current().name() == Some(*thread) && ops.contains(&op) {
                gate.pass();
            }
        }
        None
    })
}

const CHANGES: &[Op] = &[Op::Create, Op::Write, Op::Rename, Op::Unlink, Op::Open];

fn put_now(store: &Store<Label>, key: Key, text: &str, body: &[u8]) {
    let mut fill = store.begin(key, label("v", text), None).unwrap();
    assert!(fill.try_write(&Bytes::copy_from_slice(body)));
    assert!(matches!(fill.commit_now(b""), Ok((_, Committed::Stored))));
}

/// What a process finds that starts after this one was killed, with room for all that is there; as
/// long as its directory is there.
fn killed(setup: &Setup) -> (Store<Label>, Setup) {
    let mut copy = setup.copy();
    copy.options.disk.as_mut().unwrap().capacity = 256 * MIB;
    (recovered(copy.open()), copy)
}

/// A store with a large body in a file, whose disk hangs from now on.
async fn hanging(setup: &mut Setup, gate: &Arc<Gate>) -> Store<Label> {
    setup.options.disk_patience = Duration::from_secs(2);
    setup.files = waiting_at([(gate, "store-writer", CHANGES)]);
    let store = setup.open();
    stored(&store, &key("large"), label("v", "older"), &body(1, 9 * MIB)).await;
    store.flush().await;
    gate.set(true);
    store
}

fn freshen(store: &Store<Label>, text: &str) {
    let found = store.peek(b"large").unwrap();
    let (large, fresh) = (found.iter().next().unwrap(), label("v", text));
    assert!(store.replace_meta(&key("large"), large, fresh).is_some());
}

#[tokio::test]
async fn a_hundred_thousand_changes_wait_in_little_memory_for_a_disk_that_hangs() {
    let gate = Arc::new(Gate::default());
    let mut setup = Setup::new(64 * MIB, 256 * MIB);
    let store = hanging(&mut setup, &gate).await;
    let (mut most_jobs, mut most_items) = (0, 0);
    for number in 0..100_000_u64 {
        let name = key(&format!("number {}", number / 4 % 10_000));
        match number % 4 {
            0 | 1 => put_now(&store, name, "", b"a short body"),
            2 => _ = store.remove(&name),
            _ => freshen(&store, &number.to_string()),
        }
        let (jobs, items) = store.waiting();
        (most_jobs, most_items) = (most_jobs.max(jobs), most_items.max(items));
    }
    // As many entries as may wait, the removals of each, one tail.
    assert!(most_jobs <= 1 && most_items <= 3 * 8192, "{most_jobs} jobs, {most_items} items");
    gate.set(false);
    store.flush().await;
    assert_eq!(store.waiting(), (0, 0));
    assert_eq!(get(&killed(&setup).0, &key("large"), "v").await.unwrap().0, "99999");
}

#[tokio::test]
async fn a_file_whose_new_metadata_finds_no_room_in_the_queue_is_forgotten() {
    let gate = Arc::new(Gate::default());
    let mut setup = Setup::new(64 * MIB, 256 * MIB);
    let store = hanging(&mut setup, &gate).await;
    (0..8192).for_each(|number| put_now(&store, key(&number.to_string()), "", b"x"));
    freshen(&store, "newer");
    assert_eq!(store.stats().queue_full_skips, 1);
    assert!(find(&store, &key("large"), "v").await.is_none(), "not with the older metadata");
    gate.set(false);
    store.flush().await;
    assert!(setup.objects().is_empty());
}

#[tokio::test]
async fn with_more_removals_than_may_wait_all_is_given_up_and_nothing_comes_back() {
    let setup = Setup::quick(0, 64 * MIB);
    let store = setup.open();
    for name in ["a", "b", "c"] {
        stored(&store, &key(name), label("v", ""), b"small").await;
    }
    stored(&store, &key("large"), label("v", ""), &body(1, MIB)).await;
    store.flush().await;
    // Until all is known every removal is told.
    let mut setup = setup.copy();
    setup.options.disk_patience = Duration::from_millis(100);
    let (unknown, unwritten) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    setup.files = waiting_at([
        (&unknown, "store-finder", &[Op::Read]),
        (&unwritten, "store-writer", CHANGES),
    ]);
    unknown.set(true);
    unwritten.set(true);
    let store = setup.open();
    store.remove(&key("first"));
    // What comes after that waits: the writer takes no more.
    unwritten.reached().await;
    let (mut removed, mut before) = (0_u64, 0);
    loop {
        store.remove(&key(&removed.to_string()));
        removed += 1;
        let (jobs, items) = store.waiting();
        assert!(jobs <= 1 && items <= MOST, "{jobs} jobs, {items} items");
        if before > 1000 && items < before / 2 {
            break;
        }
        before = items;
    }
    unwritten.set(false);
    store.flush().await;
    let (killed, _copy) = killed(&setup);
    for name in ["a", "b", "c", "large"] {
        assert!(find(&killed, &key(name), "v").await.is_none(), "{name}");
    }
    unknown.set(false);
    let store = recovered(store);
    store.flush().await;
    stored(&store, &key("a"), label("v", "again"), b"small").await;
    assert!(setup.objects().is_empty() && get(&store, &key("a"), "v").await.is_some());
}

#[tokio::test]
async fn what_was_evicted_and_then_removed_stays_away_although_its_file_is_still_there() {
    let gate = Arc::new(Gate::default());
    let mut setup = Setup::new(0, 4 * MIB);
    setup.options.disk_patience = Duration::from_secs(2);
    setup.files = waiting_at([(&gate, "store-writer", &[Op::Unlink])]);
    let store = setup.open();
    stored(&store, &key("evicted"), label("v", ""), &body(1, MIB)).await;
    gate.set(true);
    for number in 0..4 {
        stored(&store, &key(&number.to_string()), label("v", ""), &body(number, MIB)).await;
    }
    assert!(find(&store, &key("evicted"), "v").await.is_none());
    assert_eq!(setup.objects().len(), 5);
    assert_eq!(store.remove(&key("evicted")), 0);
    store.recorded().await;
    assert!(find(&killed(&setup).0, &key("evicted"), "v").await.is_none());
    gate.set(false);
    store.flush().await;
    assert_eq!(setup.objects().len(), 3);
}

/// A store that has so many large bodies, none of which is in memory, and a gate before its reads.
async fn with_many(number: u64, patience: Duration) -> (Setup, Store<Label>, Arc<Gate>) {
    let mut setup = Setup::quick(MIB, 64 * MIB);
    let store = setup.open();
    for number in 0..number {
        stored(&store, &key(&number.to_string()), label("v", ""), &body(number, 270_000)).await;
    }
    drop(store);
    let gate = Arc::new(Gate::default());
    setup.options.disk_patience = patience;
    setup.files = waiting_at([(&gate, "store-pool", &[Op::Open])]);
    let store = setup.open();
    gate.set(true);
    (setup, store, gate)
}

/// Looks for so many of them at once.
fn look_for(store: &Store<Label>, number: u64) -> Vec<tokio::task::JoinHandle<bool>> {
    let look = |number: u64| {
        let store = store.clone();
        tokio::spawn(async move { find(&store, &key(&number.to_string()), "v").await.is_some() })
    };
    (0..number).map(look).collect()
}

#[tokio::test]
async fn of_many_look_ups_at_once_each_finds_what_is_there() {
    let (_setup, store, gate) = with_many(100, Duration::from_mins(10)).await;
    let looks = look_for(&store, 100);
    gate.reached().await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    gate.set(false);
    for look in looks {
        assert!(look.await.unwrap());
    }
    assert_eq!(store.stats().queue_full_skips, 0);
}

#[tokio::test]
async fn of_a_disk_that_hangs_nobody_waits_for_a_turn_again_and_again() {
    const PATIENCE: Duration = Duration::from_secs(4);
    let (_setup, store, gate) = with_many(70, PATIENCE).await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for look in look_for(&store, 66) {
        assert!(!look.await.unwrap());
    }
    assert!(begun.elapsed() < PATIENCE + Duration::from_millis(100));
    assert_eq!(store.stats().queue_full_skips, 2);
    let begun = tokio::time::Instant::now();
    assert!(find(&store, &key("69"), "v").await.is_none(), "the origin is asked");
    assert_eq!((begun.elapsed(), store.stats().queue_full_skips), (Duration::ZERO, 3));
    tokio::time::resume();
    gate.set(false);
    while find(&store, &key("69"), "v").await.is_none() {
        tokio::task::yield_now().await;
    }
}

/// Stores so many bodies that go to files at once; what becomes of each.
fn store_many(
    store: &Store<Label>,
    numbers: std::ops::Range<u64>,
) -> Vec<tokio::task::JoinHandle<Committed>> {
    let fill = |number: u64| {
        let key = key(&number.to_string());
        let mut fill = store.begin(key, label("v", ""), Some(270_000)).unwrap();
        tokio::spawn(async move {
            fill.write(body(number, 270_000).into()).await.unwrap();
            fill.commit(b"").await
        })
    };
    numbers.map(fill).collect()
}

fn with_gate_before_writes(patience: Duration) -> (Setup, Store<Label>, Arc<Gate>) {
    let mut setup = Setup::quick(MIB, 64 * MIB);
    let gate = Arc::new(Gate::default());
    setup.options.disk_patience = patience;
    setup.files = waiting_at([(&gate, "store-pool", &[Op::Create])]);
    let store = setup.open();
    gate.set(true);
    (setup, store, gate)
}

#[tokio::test]
async fn of_many_bodies_at_once_each_is_stored() {
    let (_setup, store, gate) = with_gate_before_writes(Duration::from_mins(10));
    let fills = store_many(&store, 0..100);
    gate.reached().await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    gate.set(false);
    for fill in fills {
        assert_eq!(fill.await.unwrap(), Committed::Stored);
    }
    assert_eq!(store.stats().queue_full_skips, 0);
    for number in 0..100 {
        let found = get(&store, &key(&number.to_string()), "v").await.unwrap();
        assert!(found.1 == body(number, 270_000));
    }
}

#[tokio::test]
async fn a_body_waits_for_a_disk_that_hangs_no_longer_than_it_has_to() {
    const PATIENCE: Duration = Duration::from_secs(4);
    let (_setup, store, gate) = with_gate_before_writes(PATIENCE);
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let slow = Committed::NotStored(NotStored::DiskSlow);
    for fill in store_many(&store, 0..66) {
        assert_eq!(fill.await.unwrap(), slow);
    }
    assert!(begun.elapsed() < PATIENCE + Duration::from_millis(100), "{:?}", begun.elapsed());
    assert_eq!(store.stats().queue_full_skips, 2);
    let begun = tokio::time::Instant::now();
    for fill in store_many(&store, 66..67) {
        assert_eq!(fill.await.unwrap(), slow);
    }
    assert_eq!((begun.elapsed(), store.stats().queue_full_skips), (Duration::ZERO, 3));
    tokio::time::resume();
    gate.set(false);
    store.flush().await;
    for fill in store_many(&store, 67..68) {
        assert_eq!(fill.await.unwrap(), Committed::Stored);
    }
}

#[tokio::test]
async fn a_write_that_is_dropped_while_it_waits_for_its_turn_has_been_taken() {
    let (_setup, store, gate) = with_gate_before_writes(Duration::from_mins(10));
    let others = store_many(&store, 0..70);
    gate.reached().await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let whole = body(1, 3 * MIB);
    let mut fill = store.begin(key("k"), label("v", ""), Some(3 * MIB)).unwrap();
    let mut reader = fill.entry().reader();
    for chunk in whole.chunks(100_000) {
        let write = fill.write(Bytes::copy_from_slice(chunk));
        let _dropped = tokio::time::timeout(Duration::from_millis(2), write).await;
    }
    let mut first = Vec::new();
    while first.len() < 2 * MIB as usize {
        first.extend_from_slice(&reader.next().await.unwrap().unwrap());
    }
    assert_eq!(store.stats().disk_entries, 0, "nothing is written yet");
    gate.set(false);
    for fill in others {
        assert_eq!(fill.await.unwrap(), Committed::Stored);
    }
    assert_eq!(fill.commit(b"").await, Committed::Stored);
    first.extend_from_slice(&read(reader).await.unwrap());
    assert!(first == whole);
    assert!(get(&store, &key("k"), "v").await.unwrap().1 == whole);
    assert_eq!(store.stats().in_flight_bytes, 0);
}

#[tokio::test]
async fn what_waits_for_its_turn_when_the_store_freezes_goes_on_without_the_disk() {
    let (setup, store, gate) = with_gate_before_writes(Duration::from_secs(20));
    let fills = store_many(&store, 0..80);
    gate.reached().await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let freezing = {
        let store = store.clone();
        tokio::spawn(async move { store.freeze().await })
    };
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    gate.set(false);
    assert!(freezing.await.unwrap());
    let mut without = 0;
    for fill in fills {
        let done = fill.await.unwrap();
        let is_without = done == Committed::NotStored(NotStored::DiskFailed);
        assert!(done == Committed::Stored || is_without, "{done:?}");
        without += usize::from(is_without);
    }
    assert!(without >= 16, "those that had no turn yet: {without}");
    assert_eq!(store.stats().in_flight_bytes, 0);
    assert_eq!(setup.temporaries().len(), 0);
    store.thaw();
    for fill in store_many(&store, 100..140) {
        assert_eq!(fill.await.unwrap(), Committed::Stored);
    }
}
