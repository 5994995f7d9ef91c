//! Short bodies that slow readers hold: in memory as long as there is room, then a little at a time.

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::Part;

/// What readers may hold together where memory is small, and how much of it in whole bodies.
const MOST: u64 = 8 * MIB;
const WHOLE: u64 = MOST / 2;
const LITTLE: u64 = 16 * KIB;
/// A body in a record, and one in a file, of which so many are whole.
const RECORD: u64 = 200 * KIB;
const FILE: u64 = MIB;

fn name(number: u64) -> Key {
    key(&format!("{number}"))
}

/// A store with so many bodies of this length on disk, none of them in memory.
async fn with_many(number: u64, length: u64) -> (Setup, Store<Label>) {
    let setup = Setup::new(16 * MIB, 512 * MIB);
    let store = setup.open();
    for number in 0..number {
        stored(&store, &name(number), label("v", "0"), &body(number, length)).await;
        store.flush().await;
    }
    drop(store);
    let store = setup.open();
    assert_eq!(store.stats().memory_entries, 0);
    (setup, store)
}

async fn reader(store: &Store<Label>, number: u64) -> Reader<Label> {
    find(store, &name(number), "v").await.unwrap().reader()
}

/// A reader that holds what it got first.
async fn slow(store: &Store<Label>, number: u64) -> (Reader<Label>, Part) {
    let mut reader = reader(store, number).await;
    let part = reader.next_part().await.unwrap().unwrap();
    (reader, part)
}

async fn many_slow(store: &Store<Label>, numbers: u64) -> Vec<(Reader<Label>, Part)> {
    let mut all = Vec::new();
    for number in 0..numbers {
        all.push(slow(store, number).await);
    }
    all
}

#[tokio::test]
async fn whole_bodies_are_held_within_a_bound_and_a_little_of_others() {
    for (number, length) in [(100, RECORD), (80, FILE)] {
        let (setup, mut store) = with_many(number, length).await;
        for _ in 0..2 {
            let held = many_slow(&store, number).await;
            let whole = (WHOLE / length) as usize;
            let is_whole = |(reader, _): &(Reader<Label>, Part)| reader.entry().is_in_memory();
            assert!(held[..whole].iter().all(is_whole) && !held[whole..].iter().any(is_whole));
            let lent = store.stats().lent_bytes;
            assert!((WHOLE..=MOST).contains(&lent), "{lent}");
            assert!(held.last().unwrap().1.len() <= LITTLE, "beyond the bound");
            for (number, (reader, part)) in (0..).zip(held) {
                let first = part.into_bytes().unwrap();
                let all = [&first[..], &read(reader).await.unwrap()].concat();
                assert!(all == body(number, length), "{number}");
            }
            assert_eq!(store.stats().lent_bytes, 0);
            // Who came once is not known to this one.
            drop(store);
            store = setup.open();
        }
    }
}

#[tokio::test]
async fn who_is_asked_for_again_comes_to_memory_whatever_readers_have_of_others() {
    for length in [RECORD, FILE] {
        let (_setup, store) = with_many(100, length).await;
        let held = many_slow(&store, 99).await;
        let lent = store.stats().lent_bytes;
        assert!(!find(&store, &name(99), "v").await.unwrap().is_in_memory());
        assert!(store.peek(name(99).as_bytes()).is_none(), "nor is it known there");
        assert!(find(&store, &name(99), "v").await.unwrap().is_in_memory());
        assert!(store.peek(name(99).as_bytes()).is_some());
        assert_eq!(store.stats().lent_bytes, lent, "memory keeps it");
        drop(held);
        assert_eq!(store.stats().lent_bytes, 0);
    }
}

#[tokio::test]
async fn little_bodies_are_not_counted() {
    let (_setup, store) = with_many(50, LITTLE).await;
    let held = many_slow(&store, 50).await;
    assert_eq!(store.stats().lent_bytes, 0);
    assert!(held.iter().all(|(reader, _)| reader.entry().is_in_memory()));
}

#[tokio::test]
async fn what_memory_gives_up_under_readers_counts_until_they_have_done() {
    let setup = Setup::new(16 * MIB, 0);
    let store = setup.open();
    // However their keys fall, each finds room.
    let bodies = 4;
    for number in 0..bodies {
        stored(&store, &name(number), label("v", ""), &body(number, MIB)).await;
    }
    let held = many_slow(&store, bodies).await;
    assert_eq!(store.stats().lent_bytes, 0, "memory keeps them");
    assert_eq!(store.remove(&name(0)), 1);
    assert_eq!(store.stats().lent_bytes, MIB);
    stored(&store, &name(1), label("v", ""), b"another").await;
    assert_eq!(store.stats().lent_bytes, 2 * MIB);
    push_out(&store).await;
    assert_eq!(store.stats().lent_bytes, bodies * MIB);
    for (number, (reader, part)) in (0..).zip(held) {
        let first = part.into_bytes().unwrap();
        assert!([&first[..], &read(reader).await.unwrap()].concat() == body(number, MIB));
        assert_eq!(store.stats().lent_bytes, (bodies - number - 1) * MIB);
    }
    store.clear();
    assert_eq!((store.stats().lent_bytes, store.stats().memory_entries), (0, 0));
}

/// Fills memory with little bodies, each wanted again and again.
async fn push_out(store: &Store<Label>) {
    for number in 100..10_000 {
        stored(store, &name(number), label("v", ""), &body(number, LITTLE)).await;
        for _ in 0..2 {
            let _hit = store.peek(name(number).as_bytes());
        }
    }
}

#[tokio::test]
async fn slices_of_a_body_on_the_heap_count_as_long_as_they_are_there() {
    let setup = Setup::new(16 * MIB, 0);
    let store = setup.open();
    stored(&store, &key("k"), label("v", ""), &body(1, 30 * KIB)).await;
    let entry = find(&store, &key("k"), "v").await.unwrap();
    let slices: Vec<Bytes> = entry.slices(10..20 * KIB).unwrap().collect();
    drop(entry);
    store.remove(&key("k"));
    assert_eq!(store.stats().lent_bytes, 30 * KIB);
    assert!(slices.concat() == body(1, 30 * KIB)[10..20 << 10]);
    drop(slices);
    assert_eq!(store.stats().lent_bytes, 0);
}

/// Has memory give up so much under readers that nothing more may go there as a whole.
pub(super) async fn crowd(store: &Store<Label>) -> Vec<Arc<Entry<Label>>> {
    let mut held = Vec::new();
    for number in 1000..1046 {
        let mut fill = store.begin(name(number), label("v", ""), Some(MIB)).unwrap();
        fill.write(body(number, MIB).into()).await.unwrap();
        held.push(fill.entry());
        let _wherever = fill.commit(b"").await;
    }
    store.flush().await;
    store.clear();
    assert!(store.stats().lent_bytes > 42 * MIB, "{:?}", store.stats());
    held
}

#[tokio::test]
async fn where_readers_hold_too_much_bodies_go_to_the_disk_and_are_read_from_there() {
    let setup = Setup::new(64 * MIB, 256 * MIB);
    let store = setup.open();
    let crowd = crowd(&store).await;
    let before = store.stats().lent_bytes;
    for (number, length, declared) in
        [(0, LITTLE, true), (1, RECORD, true), (2, RECORD, false), (3, MIB, true), (4, MIB, false)]
    {
        let whole = body(number, length);
        let declared = declared.then_some(length);
        let mut fill = store.begin(name(number), label("v", ""), declared).unwrap();
        let follower = fill.entry().reader();
        for chunk in whole.chunks(10_000) {
            fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        let entry = fill.entry();
        assert_eq!(fill.commit(b"").await, Committed::Stored);
        assert_eq!(entry.is_in_memory(), length <= LITTLE, "{number}");
        assert!(read(follower).await.unwrap() == whole);
        for _ in 0..3 {
            assert!(get(&store, &name(number), "v").await.unwrap().1 == whole);
        }
        assert_eq!(store.stats().lent_bytes, before);
    }
    drop(store);
    let store = setup.open();
    for (number, length) in [(0, LITTLE), (1, RECORD), (2, RECORD), (3, MIB), (4, MIB)] {
        for _ in 0..2 {
            let entry = find(&store, &name(number), "v").await.unwrap();
            assert!(read(entry.reader()).await.unwrap() == body(number, length));
        }
        assert!(store.peek(name(number).as_bytes()).unwrap().iter().all(|e| e.is_in_memory()));
    }
    drop(crowd);
}

#[tokio::test]
async fn without_a_disk_little_bodies_are_stored_and_others_passed_along() {
    let setup = Setup::new(64 * MIB, 0);
    let store = setup.open();
    let crowd = crowd(&store).await;
    stored(&store, &key("little"), label("v", ""), &body(1, LITTLE)).await;
    assert!(store.begin(key("k"), label("v", ""), Some(RECORD)).is_err());
    let mut fill = store.begin(key("k"), label("v", ""), None).unwrap();
    let whole = body(2, LITTLE + 1);
    let follower = fill.entry().reader();
    for chunk in whole.chunks(10_000) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    assert!(matches!(fill.commit(b"").await, Committed::NotStored(_)));
    assert!(read(follower).await.unwrap() == whole);
    drop(crowd);
    stored(&store, &key("k"), label("v", ""), &body(2, RECORD)).await;
}

#[tokio::test]
async fn memory_keeps_as_much_less_as_it_has_given_up_under_readers() {
    let setup = Setup::new(64 * MIB, 0);
    let store = setup.open();
    let mut held = Vec::new();
    for number in 0..32 {
        stored(&store, &name(number), label("v", ""), &body(number, MIB)).await;
        held.extend(find(&store, &name(number), "v").await);
    }
    push_out(&store).await;
    let stats = store.stats();
    assert_eq!(stats.lent_bytes, held.len() as u64 * MIB, "all are given up");
    assert!(stats.lent_bytes > 24 * MIB && stats.memory_bytes > 16 * MIB, "{stats:?}");
    let all = stats.memory_bytes + stats.lent_bytes;
    // What memory may have, and a step.
    assert!(all <= 64 * MIB, "{all}");
    drop(held);
    push_out(&store).await;
    assert!(store.stats().memory_bytes > 48 * MIB, "{}", store.stats().memory_bytes);
}

#[tokio::test]
async fn what_waits_to_be_written_is_counted_there_and_not_as_lent() {
    let mut setup = Setup::new(16 * MIB, 64 * MIB);
    let gate = Arc::new(Gate::default());
    let shut = Arc::clone(&gate);
    setup.files = Files::failing(move |op| {
        if op == crate::disk::Op::Write {
            shut.pass();
        }
        None
    });
    let store = setup.open();
    gate.set(true);
    let mut fill = store.begin(key("k"), label("v", ""), Some(RECORD)).unwrap();
    fill.write(body(1, RECORD).into()).await.unwrap();
    let entry = fill.entry();
    assert_eq!(fill.commit(b"").await, Committed::Stored);
    push_out(&store).await;
    assert!(store.peek(b"k").is_none() && store.stats().queued_bytes > RECORD);
    assert_eq!((entry.is_in_memory(), store.stats().lent_bytes), (true, 0));
    gate.set(false);
    store.flush().await;
    assert_eq!((store.stats().queued_bytes, store.stats().lent_bytes), (0, RECORD));
    drop(entry);
    assert_eq!(store.stats().lent_bytes, 0);
}

#[tokio::test]
async fn new_metadata_of_a_body_that_is_lent_is_stored() {
    // It refers to the body, or comes with it where it is too long for that, in a record or a file.
    for text in [10, 40_000, 70_000] {
        let (setup, store) = with_many(100, RECORD).await;
        let held = many_slow(&store, 99).await;
        let entry = find(&store, &name(99), "v").await.unwrap();
        assert!(!entry.is_in_memory());
        let text = "t".repeat(text);
        assert!(store.replace_meta(&name(99), &entry, label("v", &text)).is_some());
        drop(entry);
        let right = Some((text, body(99, RECORD)));
        assert!(get(&store, &name(99), "v").await == right, "before it is written");
        store.flush().await;
        assert!(get(&store, &name(99), "v").await == right);
        drop((held, store));
        let store = setup.open();
        let _held = many_slow(&store, 99).await;
        let entry = find(&store, &name(99), "v").await.unwrap();
        assert!(!entry.is_in_memory(), "a little at a time");
        assert!(read(entry.reader()).await.unwrap() == body(99, RECORD));
        assert!(get(&store, &name(99), "v").await == right, "as a whole");
    }
}

#[tokio::test]
async fn whoever_reads_on_does_not_need_the_segment_to_stay() {
    let (setup, store) = with_many(100, RECORD).await;
    let held = many_slow(&store, 99).await;
    let last = slow(&store, 99).await;
    assert!(!last.0.entry().is_in_memory());
    store.clear();
    store.flush().await;
    assert!(setup.segments().is_empty());
    drop(held);
    let (first, rest) = (last.1.into_bytes().unwrap(), read(last.0).await.unwrap());
    assert!([&first[..], &rest].concat() == body(99, RECORD));
}

#[tokio::test]
async fn damage_under_a_reader_ends_its_body_and_the_entry() {
    let (setup, store) = with_many(100, RECORD).await;
    let held = many_slow(&store, 99).await;
    let mut last = slow(&store, 99).await;
    assert!(!last.0.entry().is_in_memory());
    let whole = body(99, RECORD);
    let mut changed = 0;
    for path in setup.segments() {
        let mut bytes = fs::read(&path).unwrap();
        let found = bytes.windows(64).position(|window| window == &whole[100_000..100_064]);
        if let Some(found) = found {
            bytes[found] ^= 1;
            // In place: the reader has it open.
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.write_all_at(&bytes[found..=found], found as u64).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    let mut all = last.1.into_bytes().unwrap().to_vec();
    let error = loop {
        match last.0.next().await {
            Ok(more) => all.extend_from_slice(&more.unwrap()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Damaged { block: 1, .. }), "{error:?}");
    assert!(all == whole[..all.len()] && all.len() == 64 << 10);
    drop(held);
    assert!(store.look_up(&name(99)).await.is_none());
    assert!(store.look_up(&name(98)).await.is_some());
}
