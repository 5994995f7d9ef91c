//! Parts of one body in one file: in any order, at once, broken off, killed, and complete.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::disk::Op;
use crate::{Fate, Fill, Label as Name, Labels, Matcher, NotStored, PartOf, Refused};

pub(super) const LENGTH: u64 = 5 * 64 * KIB + 1000;

pub(super) fn parts_label(text: &str) -> Label {
    label("parts of v", text)
}

fn fetched(store: &Store<Label>, text: &str) -> Label {
    Label { labels: Labels::new(store.moment(), Vec::new()), ..parts_label(text) }
}

pub(super) fn name() -> Key {
    key("k")
}

fn setup() -> Setup {
    Setup::quick(MIB, 64 * MIB)
}

pub(super) fn whole() -> Vec<u8> {
    body(7, LENGTH)
}

pub(super) async fn base(store: &Store<Label>) -> Option<Arc<Entry<Label>>> {
    find(store, &name(), "parts of v").await
}

/// Begins a part of the body, on top of what is stored.
pub(super) async fn begin(store: &Store<Label>, label: Label, range: &Range<u64>) -> Fill<Label> {
    let base = base(store).await;
    let part = PartOf { range: range.clone(), complete: LENGTH };
    store.begin_part(name(), label, &part, base.as_ref()).unwrap()
}

pub(super) async fn write(fill: &mut Fill<Label>, range: Range<u64>) {
    let bytes = whole()[range.start as usize..range.end as usize].to_vec();
    for chunk in bytes.chunks(10_000) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
}

pub(super) async fn put_part(store: &Store<Label>, text: &str, range: Range<u64>) -> Committed {
    let mut fill = begin(store, parts_label(text), &range).await;
    let follower = fill.entry().reader();
    let entry = fill.entry();
    write(&mut fill, range.clone()).await;
    let committed = fill.commit(b"").await;
    let right = &whole()[range.start as usize..range.end as usize];
    assert!(read(follower).await.unwrap() == right, "it was followed");
    if committed == Committed::Stored {
        assert!(read(entry.reader()).await.unwrap() == right, "it is read from its file");
    }
    committed
}

/// The bytes of all runs, each verified against the body. `None` if there are no parts.
pub(super) async fn present(store: &Store<Label>) -> Option<Vec<bool>> {
    let entry = base(store).await?;
    assert_eq!(entry.length(), Some(LENGTH));
    present_in(&entry).await.ok()
}

async fn present_in(entry: &Arc<Entry<Label>>) -> Result<Vec<bool>, ReadError> {
    let mut there = vec![false; LENGTH as usize];
    let whole = whole();
    for Range { start, end } in entry.present().unwrap() {
        let mut reader = entry.reader();
        reader.skip_to(start);
        let mut at = start;
        while at < end {
            let chunk = reader.next().await?.unwrap();
            let to = at + chunk.len() as u64;
            assert!(to <= end && chunk == whole[at as usize..to as usize], "wrong bytes at {at}");
            at = to;
        }
        there[start as usize..end as usize].fill(true);
    }
    Ok(there)
}

pub(super) fn with(ranges: &[Range<u64>]) -> Vec<bool> {
    let mut there = vec![false; LENGTH as usize];
    for range in ranges {
        there[range.start as usize..range.end as usize].fill(true);
    }
    there
}

pub(super) fn one(range: Range<u64>) -> Vec<bool> {
    with(std::slice::from_ref(&range))
}

pub(super) async fn get_whole(store: &Store<Label>) -> Option<(String, Vec<u8>)> {
    get(store, &name(), "v").await
}

#[tokio::test]
async fn parts_are_found_in_one_file_also_after_a_restart_and_a_kill() {
    let setup = setup();
    let store = setup.open();
    let ranges = [200_000..210_000, 5..70_000, 300_000..LENGTH];
    for range in &ranges {
        assert_eq!(put_part(&store, "text", range.clone()).await, Committed::Stored);
    }
    store.flush().await;
    assert_eq!(setup.objects().len(), 1);
    let about = setup.objects()[0].metadata().unwrap();
    assert!(about.len() > LENGTH && about.blocks() * 512 < 130_000, "it has holes");
    let stats = store.stats();
    assert!(stats.disk_entries == 1 && stats.disk_bytes < 130_000, "{}", stats.disk_bytes);
    let killed = setup.copy();
    drop(store);
    for store in [setup.open(), recovered(killed.open())] {
        assert!(present(&store).await.unwrap() == with(&ranges));
        assert_eq!(get_whole(&store).await, None);
        assert_eq!(base(&store).await.unwrap().meta().text, "text");
    }
}

#[tokio::test]
async fn what_is_not_there_is_an_error_and_never_a_hole() {
    let setup = setup();
    let store = setup.open();
    put_part(&store, "", 100_000..200_000).await;
    let entry = base(&store).await.unwrap();
    assert!(matches!(entry.reader().next().await, Err(ReadError::Absent { offset: 0 })));
    let mut reader = entry.reader();
    reader.skip_to(150_000);
    while let Some(chunk) = reader.next().await.transpose() {
        match chunk {
            Ok(chunk) => assert!(!chunk.is_empty()),
            Err(ReadError::Absent { offset }) => return assert_eq!(offset, 200_000),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it came to an end");
}

/// Counts operations, and what they are.
fn counting(op: Op) -> (Files, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let files = Files::failing(move |now| {
        counted.fetch_add(u64::from(now == op), Ordering::SeqCst);
        None
    });
    (files, count)
}

#[tokio::test]
async fn what_is_complete_is_the_whole_and_was_not_copied() {
    let mut setup = setup();
    let (files, writes) = counting(Op::Write);
    setup.files = files;
    let store = setup.open();
    put_part(&store, "first", 100_000..LENGTH).await;
    store.flush().await;
    let inode = setup.objects()[0].metadata().unwrap().ino();
    let before = writes.load(Ordering::SeqCst);
    put_part(&store, "last", 0..100_000).await;
    store.flush().await;
    // Ten chunks of what was missing, and an end: written and cut to its length.
    assert_eq!(writes.load(Ordering::SeqCst) - before, 10 + 2);
    assert_eq!(setup.objects().len(), 1);
    let about = setup.objects()[0].metadata().unwrap();
    assert_eq!(about.ino(), inode, "it is the same file");
    assert_eq!(get_whole(&store).await, Some(("last".to_owned(), whole())));
    assert!(base(&store).await.is_none());
    assert_eq!(store.stats().disk_entries, 1);
    let killed = setup.copy();
    drop(store);
    for store in [setup.open(), recovered(killed.open())] {
        assert_eq!(get_whole(&store).await, Some(("last".to_owned(), whole())));
        assert!(base(&store).await.is_none());
    }
}

#[tokio::test]
async fn a_part_that_has_all_is_the_whole_at_once() {
    let setup = setup();
    let store = setup.open();
    assert_eq!(put_part(&store, "all", 0..LENGTH).await, Committed::Stored);
    assert_eq!(get_whole(&store).await, Some(("all".to_owned(), whole())));
    store.flush().await;
    assert_eq!((setup.objects().len(), store.stats().disk_entries), (1, 1));
    let killed = setup.copy();
    let store = recovered(killed.open());
    assert_eq!(get_whole(&store).await, Some(("all".to_owned(), whole())));
}

#[tokio::test]
async fn two_fills_write_into_one_file_and_one_that_breaks_leaves_nothing() {
    for named in [false, true] {
        let setup = setup();
        let store = setup.open();
        let mut expected = Vec::new();
        if named {
            put_part(&store, "", 0..1000).await;
            expected.push(0..1000);
        }
        let (one, other) = (50_000..200_000, 150_000..300_000);
        let mut first = begin(&store, parts_label("1"), &one).await;
        let mut second = begin(&store, parts_label("2"), &other).await;
        write(&mut first, one.start..one.start + 120_000).await;
        write(&mut second, other.clone()).await;
        drop(first);
        assert_eq!(second.commit(b"").await, Committed::Stored);
        expected.push(other);
        assert!(present(&store).await.unwrap() == with(&expected));
        // What is missing is written by whoever comes next.
        assert_eq!(put_part(&store, "3", one.clone()).await, Committed::Stored);
        expected.push(one);
        assert!(present(&store).await.unwrap() == with(&expected));
        store.flush().await;
        assert_eq!(setup.objects().len(), 1);
        assert!(setup.temporaries().is_empty());
        let killed = setup.copy();
        let store = recovered(killed.open());
        assert!(present(&store).await.unwrap() == with(&expected));
    }
}

#[tokio::test]
async fn who_comes_while_the_file_gets_its_name_or_knows_nothing_of_it_joins_it() {
    let mut setup = setup();
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    setup.files = Files::failing(move |op| {
        if op == Op::Rename {
            held.pass();
        }
        None
    });
    let store = setup.open();
    let ranges = [0..1000, 2000..3000, 4000..5000];
    let begin = |range: &Range<u64>| {
        let part = PartOf { range: range.clone(), complete: LENGTH };
        store.begin_part(name(), parts_label(""), &part, None).unwrap()
    };
    let mut first = begin(&ranges[0]);
    write(&mut first, ranges[0].clone()).await;
    gate.set(true);
    let first = tokio::spawn(first.commit(b""));
    gate.reached().await;
    let mut second = begin(&ranges[1]);
    write(&mut second, ranges[1].clone()).await;
    let second = tokio::spawn(second.commit(b""));
    gate.set(false);
    assert_eq!(first.await.unwrap(), Committed::Stored);
    assert_eq!(second.await.unwrap(), Committed::Stored);
    // Nobody writes any more, and the third has not looked.
    let mut third = begin(&ranges[2]);
    write(&mut third, ranges[2].clone()).await;
    assert_eq!(third.commit(b"").await, Committed::Stored);
    assert!(present(&store).await.unwrap() == with(&ranges));
    store.flush().await;
    assert_eq!(setup.objects().len(), 1);
}

#[tokio::test]
async fn two_fills_that_end_at_once_are_both_there() {
    let setup = setup();
    let store = setup.open();
    let ranges = [0..150_000, 150_000..300_000, 100_000..200_000];
    let mut fills = Vec::new();
    for range in &ranges {
        let mut fill = begin(&store, parts_label(""), range).await;
        write(&mut fill, range.clone()).await;
        fills.push(fill.commit(b""));
    }
    for committed in futures_all(fills).await {
        assert_eq!(committed, Committed::Stored);
    }
    assert!(present(&store).await.unwrap() == with(&ranges));
    store.flush().await;
    assert_eq!(setup.objects().len(), 1);
}

/// The results of all of these, which go on side by side.
async fn futures_all<F: Future + Send + 'static>(futures: Vec<F>) -> Vec<F::Output>
where
    F::Output: Send,
{
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test]
async fn what_a_broken_fill_leaves_behind_is_counted() {
    let setup = setup();
    let store = setup.open();
    put_part(&store, "", 0..1000).await;
    store.flush().await;
    let before = store.stats().disk_bytes;
    let mut fill = begin(&store, parts_label(""), &(1000..LENGTH)).await;
    write(&mut fill, 1000..300_000).await;
    // More than a write of its own has been handed over, and has to arrive.
    store.flush().await;
    drop(fill);
    store.flush().await;
    let after = store.stats().disk_bytes;
    assert!(after >= before + 200_000, "{before} {after}");
    let taken = setup.objects()[0].metadata().unwrap().blocks() * 512;
    assert!(after <= taken && taken <= after + 8192, "{after} {taken}");
    assert!(present(&store).await.unwrap() == one(0..1000));
}

#[tokio::test]
async fn newer_metadata_of_the_file_is_kept_whoever_ends_last() {
    let setup = setup();
    let store = setup.open();
    put_part(&store, "old", 0..1000).await;
    let mut early = begin(&store, fetched(&store, "early"), &(2000..3000)).await;
    store.invalidate(&[Matcher::Key(b"another")], Fate::Dead).await;
    let entry = base(&store).await.unwrap();
    let fresh = store.replace_meta(&name(), &entry, fetched(&store, "confirmed")).unwrap();
    assert!(present_in(&fresh).await.unwrap() == one(0..1000));
    write(&mut early, 2000..3000).await;
    assert_eq!(early.commit(b"").await, Committed::Stored);
    // The early one has brought bytes and no news.
    let expected = with(&[0..1000, 2000..3000]);
    assert!(present(&store).await.unwrap() == expected);
    assert_eq!(base(&store).await.unwrap().meta().text, "confirmed");
    // An entry from before has what has come since.
    let fresh = store.replace_meta(&name(), &entry, fetched(&store, "again")).unwrap();
    assert!(present_in(&fresh).await.unwrap() == expected);
    store.flush().await;
    drop(store);
    let store = setup.open();
    assert!(present(&store).await.unwrap() == expected);
    assert_eq!(base(&store).await.unwrap().meta().text, "again");
}

#[tokio::test]
async fn what_was_removed_or_ended_while_a_part_was_on_its_way_does_not_come_back() {
    type Change = fn(&Store<Label>, &Arc<Entry<Label>>);
    let changes: [(&str, Change); 5] = [
        ("removed", |store, _| assert_eq!(store.remove(&name()), 1)),
        ("cleared", |store, _| assert_eq!(store.clear().entries, 1)),
        ("forgotten", |store, entry| assert!(store.remove_entry(&name(), entry))),
        ("purged", |store, _| drop(store.invalidate(&[Matcher::Key(b"k")], Fate::Dead))),
        ("all purged", |store, _| drop(store.invalidate(&[Matcher::Everything], Fate::Dead))),
    ];
    for (what, change) in changes {
        for rest in [1000..2000, 1000..LENGTH] {
            let setup = setup();
            let store = setup.open();
            let mut first = begin(&store, fetched(&store, ""), &(0..1000)).await;
            write(&mut first, 0..1000).await;
            assert_eq!(first.commit(b"").await, Committed::Stored);
            let mut fill = begin(&store, fetched(&store, ""), &rest).await;
            write(&mut fill, rest.clone()).await;
            change(&store, &base(&store).await.unwrap());
            let committed = fill.commit(b"").await;
            assert_eq!(committed, Committed::NotStored(NotStored::Removed), "{what}");
            assert!(base(&store).await.is_none() && get_whole(&store).await.is_none(), "{what}");
            // Who comes after that begins anew, and is there.
            let mut next = begin(&store, fetched(&store, ""), &(0..500)).await;
            write(&mut next, 0..500).await;
            assert_eq!(next.commit(b"").await, Committed::Stored, "{what}");
            assert!(present(&store).await.unwrap() == one(0..500), "{what}");
            store.flush().await;
            assert_eq!(setup.objects().len(), 1, "{what}");
            let killed = setup.copy();
            let store = recovered(killed.open());
            assert!(present(&store).await.unwrap() == one(0..500), "{what}");
        }
    }
}

#[tokio::test]
async fn what_is_there_is_not_written_again() {
    let mut setup = setup();
    let (files, writes) = counting(Op::Write);
    setup.files = files;
    let store = setup.open();
    put_part(&store, "", 1000..200_000).await;
    store.flush().await;
    let before = writes.load(Ordering::SeqCst);
    assert_eq!(put_part(&store, "again", 5000..150_000).await, Committed::Stored);
    store.flush().await;
    // Its end alone: written and cut to its length.
    assert_eq!(writes.load(Ordering::SeqCst) - before, 2);
    assert_eq!(base(&store).await.unwrap().meta().text, "again");
    assert!(present(&store).await.unwrap() == one(1000..200_000));
}

#[tokio::test]
async fn who_comes_after_a_purge_does_not_join_what_it_has_ended() {
    let setup = setup();
    let store = setup.open();
    put_part(&store, "ended", 0..1000).await;
    let mut before = begin(&store, fetched(&store, "ended"), &(1000..2000)).await;
    write(&mut before, 1000..2000).await;
    store.invalidate(&[Matcher::Key(b"k")], Fate::Dead).await;
    // Without a look-up, which would have found out.
    let part = PartOf { range: 2000..3000, complete: LENGTH };
    let mut after = store.begin_part(name(), fetched(&store, "after"), &part, None).unwrap();
    write(&mut after, 2000..3000).await;
    assert_eq!(after.commit(b"").await, Committed::Stored);
    assert_eq!(before.commit(b"").await, Committed::NotStored(NotStored::Removed));
    assert!(present(&store).await.unwrap() == one(2000..3000));
    store.flush().await;
    assert_eq!(setup.objects().len(), 1);
}

#[tokio::test]
async fn a_part_does_not_keep_alive_what_a_label_of_others_has_ended() {
    let setup = setup();
    let store = setup.open();
    let of_group = |names: &[&str]| {
        let names = names.iter().map(|name| Name::of(name.as_bytes())).collect();
        Label { labels: Labels::new(store.moment(), names), ..parts_label("") }
    };
    let mut first = begin(&store, of_group(&["group"]), &(0..1000)).await;
    write(&mut first, 0..1000).await;
    assert_eq!(first.commit(b"").await, Committed::Stored);
    let mut second = begin(&store, of_group(&[]), &(1000..2000)).await;
    write(&mut second, 1000..2000).await;
    store.invalidate(&[Matcher::Label(Name::of(b"group"))], Fate::Dead).await;
    assert_eq!(second.commit(b"").await, Committed::NotStored(NotStored::Removed));
    assert!(base(&store).await.is_none());
}

#[tokio::test]
async fn a_whole_that_goes_before_its_file_has_its_name_leaves_no_file() {
    for (early, purge) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut setup = setup();
        let gate = Arc::new(Gate::default());
        let held = Arc::clone(&gate);
        setup.files = Files::failing(move |op| {
            let is_writer = std::thread::current().name() == Some("store-writer");
            if is_writer && matches!(op, Op::Write | Op::Rename | Op::Unlink) {
                held.pass();
            }
            None
        });
        let store = setup.open();
        stored(&store, &key("other"), label("v", ""), &body(1, LENGTH)).await;
        put_part(&store, "", 1000..LENGTH).await;
        store.flush().await;
        gate.set(true);
        if early {
            // The writer has something to do before.
            store.remove(&key("other"));
        }
        assert_eq!(put_part(&store, "", 0..1000).await, Committed::Stored);
        // It is found and read though its file has another name yet.
        assert_eq!(get_whole(&store).await.unwrap().1, whole());
        if purge {
            assert_eq!(store.remove(&name()), 1);
            store.recorded().await;
            let killed = setup.copy();
            let found = recovered(killed.open());
            assert!(base(&found).await.is_none() && get_whole(&found).await.is_none());
        } else {
            let entry = find(&store, &name(), "v").await.unwrap();
            assert!(store.remove_entry(&name(), &entry));
        }
        gate.set(false);
        store.flush().await;
        assert_eq!(setup.objects().len(), usize::from(!early), "{:?}", setup.objects());
        assert_eq!(store.stats().disk_entries, u64::from(!early));
    }
}

#[tokio::test]
async fn a_whole_is_no_older_than_what_its_last_part_confirmed() {
    let setup = setup();
    let store = setup.open();
    let put = async |text: &str, range: Range<u64>| {
        let mut fill = begin(&store, fetched(&store, text), &range).await;
        write(&mut fill, range).await;
        fill.commit(b"").await
    };
    assert_eq!(put("first", 0..1000).await, Committed::Stored);
    // It ends what was there, so the next part stands alone.
    store.invalidate(&[Matcher::Key(b"k")], Fate::Dead).await;
    assert_eq!(put("second", 1000..LENGTH).await, Committed::Stored);
    assert!(present(&store).await.unwrap() == one(1000..LENGTH));
    assert_eq!(put("third", 0..1000).await, Committed::Stored);
    assert_eq!(get_whole(&store).await.unwrap().0, "third");
    store.invalidate(&[Matcher::Key(b"k")], Fate::Dead).await;
    assert_eq!(get_whole(&store).await, None);
    store.flush().await;
    let killed = setup.copy();
    assert_eq!(get_whole(&recovered(killed.open())).await, None);
}

#[tokio::test]
async fn a_whole_that_came_meanwhile_is_not_replaced_by_older_parts() {
    let setup = setup();
    let store = setup.open();
    put_part(&store, "parts", 0..1000).await;
    let mut last = begin(&store, fetched(&store, "parts"), &(1000..LENGTH)).await;
    write(&mut last, 1000..LENGTH).await;
    let newer = body(8, LENGTH + 1);
    stored(&store, &name(), label("v", "newer"), &newer).await;
    assert_eq!(last.commit(b"").await, Committed::Stored);
    assert_eq!(get_whole(&store).await, Some(("newer".to_owned(), newer)));
    assert!(present(&store).await.unwrap() == one(0..LENGTH));
}

#[tokio::test]
async fn a_file_that_has_to_make_room_while_it_grows_is_gone_and_its_readers_go_on() {
    let setup = Setup::new(MIB, 2 * MIB);
    let store = setup.open();
    put_part(&store, "", 0..200_000).await;
    store.flush().await;
    let entry = base(&store).await.unwrap();
    let mut reader = entry.reader();
    reader.ready().await.unwrap();
    let mut fill = begin(&store, parts_label(""), &(200_000..LENGTH)).await;
    write(&mut fill, 200_000..300_000).await;
    for number in 0..8 {
        let other = key(&number.to_string());
        let _ = put(&store, &other, label("v", ""), &body(number, 700_000)).await;
        store.flush().await;
    }
    assert!(base(&store).await.is_none());
    write(&mut fill, 300_000..LENGTH).await;
    assert!(matches!(fill.commit(b"").await, Committed::NotStored(_)));
    assert!(base(&store).await.is_none() && get_whole(&store).await.is_none());
    assert!(reader.next().await.unwrap().unwrap() == whole()[..200_000]);
    drop(reader);
    drop(entry);
    store.flush().await;
    assert!(setup.on_disk() <= 2 * MIB);
    assert!(setup.temporaries().is_empty());
}

#[tokio::test]
async fn a_file_in_too_many_places_takes_what_touches_them_alone() {
    let setup = setup();
    let store = setup.open();
    let length = 64 * MIB - MIB;
    let begin = |range: Range<u64>, base: Option<Arc<Entry<Label>>>| {
        let part = PartOf { range, complete: length / 4 };
        store.begin_part(name(), parts_label(""), &part, base.as_ref())
    };
    let mut last = None;
    for number in 0..1024 {
        let mut fill = begin(number * 100..number * 100 + 1, last.clone()).unwrap();
        fill.write(Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(fill.commit(b"").await, Committed::Stored);
        last = base(&store).await;
    }
    assert_eq!(begin(50..51, last.clone()).err(), Some(Refused::TooScattered));
    let mut fill = begin(1..2, last.clone()).unwrap();
    fill.write(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(fill.commit(b"").await, Committed::Stored);
    let entry = base(&store).await.unwrap();
    let runs = entry.present().unwrap();
    assert_eq!((runs.len(), &runs[0]), (1024, &(0..2)));
}

#[tokio::test]
async fn what_can_be_no_part_is_refused() {
    let setup = setup();
    let store = setup.open();
    let begin = |range, complete| {
        store.begin_part(name(), parts_label(""), &PartOf { range, complete }, None).err()
    };
    assert_eq!(begin(0..11, 10), Some(Refused::TooLarge));
    assert_eq!(begin(5..5, 10), Some(Refused::TooLarge));
    assert_eq!(begin(0..1, 65 * MIB), Some(Refused::TooLarge));
    assert!(store.keeps_parts_of(LENGTH));
    assert!(!store.keeps_parts_of(256 * KIB) && !store.keeps_parts_of(65 * MIB));
    let memory = Setup::new(MIB, 0).open();
    let part = PartOf { range: 0..1, complete: LENGTH };
    assert_eq!(
        memory.begin_part(name(), parts_label(""), &part, None).err(),
        Some(Refused::NoRoom)
    );
    assert!(!memory.keeps_parts_of(LENGTH));
}

/// Every byte behind the body, and some of the body: what is there and what is not.
#[tokio::test]
async fn no_flipped_bit_of_a_file_with_holes_gives_a_wrong_byte() {
    let setup = Setup::quick(0, 64 * MIB);
    let store = setup.open();
    for range in [10..20, 70_000..140_000, 130_000..150_000] {
        put_part(&store, "text", range).await;
    }
    drop(store);
    let path = setup.objects().remove(0);
    let good = fs::read(&path).unwrap();
    let tail = LENGTH as usize..good.len();
    let inside = [0, 9, 10, 19, 20, 69_999, 70_000, 131_072, 149_999, 150_000];
    let expected = with(&[10..20, 70_000..150_000]);
    for position in inside.into_iter().chain(tail) {
        let copy = setup.copy();
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        fs::write(copy.objects_of(&path), bytes).unwrap();
        let store = copy.open();
        assert!(get_whole(&store).await.is_none());
        let found = present(&store).await;
        let damaged = store.stats().damaged.iter().map(|(_, count)| count).sum::<u64>();
        let matters = position >= LENGTH as usize || expected[position];
        assert_eq!(found.is_none() && damaged > 0, matters, "{position}");
        assert!(found.is_none_or(|found| found == expected), "{position}");
    }
    for length in (0..good.len()).step_by(997).chain(LENGTH as usize..good.len()) {
        let copy = setup.copy();
        fs::write(copy.objects_of(&path), &good[..length]).unwrap();
        let store = copy.open();
        assert!(present(&store).await.is_none(), "cut to {length}");
    }
}

#[tokio::test]
async fn a_part_of_any_length_takes_little_memory_also_behind_a_slow_reader() {
    let setup = Setup::new(512 * KIB, 256 * MIB);
    let store = setup.open();
    let complete = 128 * MIB;
    let part = PartOf { range: 1000..complete - 1, complete };
    let mut fill = store.begin_part(name(), parts_label(""), &part, None).unwrap();
    let mut slow = fill.entry().reader();
    let chunk = Bytes::from(body(3, MIB));
    let mut most = 0;
    for _ in 0..100 {
        fill.write(chunk.clone()).await.unwrap();
        most = most.max(store.stats().in_flight_bytes);
    }
    assert!(most < 3 * MIB, "{most}");
    let mut all = 0;
    while all < 100 * MIB {
        let piece = slow.next().await.unwrap().unwrap();
        let (from, length) = ((all % MIB) as usize, piece.len());
        let expected = chunk.iter().cycle().skip(from).take(length);
        assert!(piece.iter().eq(expected), "at {all}");
        all += length as u64;
    }
    most = most.max(store.stats().in_flight_bytes);
    assert!(most < 3 * MIB, "{most}");
}

/// A file that lacks something never passes for the whole, whatever its metadata says.
#[tokio::test]
async fn a_file_with_holes_whose_metadata_is_of_a_whole_is_damaged() {
    let setup = setup();
    let store = setup.open();
    let part = PartOf { range: 0..1000, complete: LENGTH };
    let mut fill = store.begin_part(name(), label("v", ""), &part, None).unwrap();
    write(&mut fill, 0..1000).await;
    fill.commit(b"").await;
    drop(store);
    let store = setup.open();
    assert!(find(&store, &name(), "v").await.is_none());
    assert_eq!(store.stats().damaged.iter().map(|(_, count)| count).sum::<u64>(), 1);
}
