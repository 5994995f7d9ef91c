//! What every store does, whatever its tiers.

use bytes::Bytes;

use super::*;
use crate::{NotStored, Refused, WriteError};

/// Runs each case on memory alone, on a disk with hardly any memory, and on both.
macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod memory { $(contract!(@one $case, 16 * super::MIB, 0);)* }
        mod disk { $(contract!(@one $case, 4 * super::KIB, 64 * super::MIB);)* }
        mod no_memory_at_all { $(contract!(@one $case, 0, 64 * super::MIB);)* }
        mod both { $(contract!(@one $case, 16 * super::MIB, 64 * super::MIB);)* }
    };
    (@one $case:ident, $memory:expr, $disk:expr) => {
        #[tokio::test]
        async fn $case() {
            let setup = super::Setup::new($memory, $disk);
            let store = setup.open();
            super::$case(&setup, &store).await;
            store.flush().await;
            assert_eq!(store.stats().in_flight_bytes, 0, "bytes left in flight");
            assert_eq!(setup.temporaries().len(), 0, "temporary files left behind");
        }
    };
}

contract!(
    a_body_comes_back_with_metadata_and_trailers,
    an_unknown_key_is_a_miss,
    equal_variants_replace_each_other_and_others_stay,
    the_least_recently_stored_variant_goes,
    readers_on_other_threads_follow_the_writer,
    a_reader_may_start_in_the_middle,
    an_abandoned_body_is_not_stored_and_its_readers_know,
    a_removed_key_is_gone_and_stays_gone,
    one_entry_can_be_removed_and_those_who_have_it_open_still_read_it,
    a_clear_forgets_everything_also_on_its_way,
    fresh_metadata_keeps_the_body,
    metadata_of_what_was_replaced_is_not_replaced,
    a_body_of_another_length_than_declared_is_not_stored,
    the_last_of_many_writers_wins,
    a_cancelled_look_up_leaves_nothing_behind,
);

async fn a_body_comes_back_with_metadata_and_trailers(_: &Setup, store: &Store<Label>) {
    for length in [0, 1, 1000, 65_535, 65_536, 65_537, 300_000, MIB] {
        let key = key(&format!("of {length}"));
        let body = body(length, length);
        stored(store, &key, label("v", "hello"), &body).await;
        for _ in 0..2 {
            let (text, found) = get(store, &key, "v").await.unwrap();
            assert!(text == "hello" && found == body, "a body of {length}");
            let entry = find(store, &key, "v").await.unwrap();
            assert_eq!(entry.tail(), Some(&b"trailers of hello"[..]));
            store.flush().await;
        }
    }
}

async fn one_entry_can_be_removed_and_those_who_have_it_open_still_read_it(
    _: &Setup,
    store: &Store<Label>,
) {
    let key = key("k");
    let (first, second) = (body(1, 300_000), body(2, 300_000));
    stored(store, &key, label("a", "1"), &first).await;
    stored(store, &key, label("b", "2"), &second).await;
    store.flush().await;
    let entry = find(store, &key, "a").await.unwrap();
    assert_eq!(entry.written(), 300_000);
    let mut reader = entry.reader();
    reader.open().await.unwrap();
    assert!(store.remove_entry(&key, &entry));
    assert!(!store.remove_entry(&key, &entry));
    store.flush().await;
    assert!(find(store, &key, "a").await.is_none());
    assert!(get(store, &key, "b").await.unwrap().1 == second);
    let mut read = Vec::new();
    while let Some(chunk) = reader.next().await.unwrap() {
        read.extend_from_slice(&chunk);
    }
    assert!(read == first, "{} bytes", read.len());
    // One that was replaced is not what is stored.
    let old = find(store, &key, "b").await.unwrap();
    stored(store, &key, label("b", "3"), &first).await;
    assert!(!store.remove_entry(&key, &old));
    assert_eq!(get(store, &key, "b").await.unwrap().0, "3");
}

async fn an_unknown_key_is_a_miss(_: &Setup, store: &Store<Label>) {
    assert!(store.peek(b"nothing").is_none());
    assert!(store.look_up(&key("nothing")).await.is_none());
    assert_eq!(store.remove(&key("nothing")), 0);
}

async fn equal_variants_replace_each_other_and_others_stay(_: &Setup, store: &Store<Label>) {
    let key = key("k");
    for (variant, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
        stored(store, &key, label(variant, text), text.as_bytes()).await;
        store.flush().await;
    }
    let found = store.look_up(&key).await.unwrap();
    let texts: Vec<_> = found.iter().map(|entry| entry.meta().text.as_str()).collect();
    assert_eq!(texts, ["4", "3", "2"]);
    assert_eq!(get(store, &key, "a").await.unwrap().1, b"3");
}

async fn the_least_recently_stored_variant_goes(_: &Setup, store: &Store<Label>) {
    let key = key("k");
    for number in 0..40 {
        stored(store, &key, label(&format!("v{number}"), ""), b"x").await;
    }
    let found = store.look_up(&key).await.unwrap();
    let variants: Vec<_> = found.iter().map(|entry| entry.meta().variant.clone()).collect();
    let newest: Vec<_> = (8..40).rev().map(|number| format!("v{number}")).collect();
    assert_eq!(variants, newest);
}

async fn readers_on_other_threads_follow_the_writer(_: &Setup, store: &Store<Label>) {
    let whole = body(7, 900_000);
    let mut fill = store.begin(key("k"), label("v", ""), Some(900_000)).unwrap();
    let threads: Vec<_> = (0..4).map(|_| read_elsewhere(fill.entry().reader())).collect();
    let (first, rest) = whole.split_at(123_456);
    fill.write(Bytes::copy_from_slice(first)).await.unwrap();
    let mut here = fill.entry().reader();
    let begun = here.next().await.unwrap().unwrap();
    assert!(first.starts_with(&begun));
    assert_eq!(fill.readers(), 5);
    for chunk in rest.chunks(7777) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let late = read_elsewhere(fill.entry().reader());
    let entry = fill.entry();
    assert!(!entry.is_complete() && entry.tail().is_none() && entry.in_memory().is_none());
    assert_eq!(fill.commit(b"").await, Committed::Stored);
    assert!(read(here).await.unwrap() == whole[begun.len()..]);
    for thread in threads.into_iter().chain([late]) {
        assert!(thread.join().unwrap().unwrap() == whole);
    }
}

fn read_elsewhere(reader: Reader<Label>) -> std::thread::JoinHandle<Result<Vec<u8>, ReadError>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(read(reader))
    })
}

async fn a_reader_may_start_in_the_middle(_: &Setup, store: &Store<Label>) {
    let whole = body(3, 400_000);
    stored(store, &key("k"), label("v", ""), &whole).await;
    let entry = find(store, &key("k"), "v").await.unwrap();
    for offset in [0, 1, 65_536, 100_000, 262_144, 399_999, 400_000, 500_000] {
        let mut reader = entry.reader();
        reader.skip_to(offset);
        let rest = whole.get(offset as usize..).unwrap_or_default();
        assert!(read(reader).await.unwrap() == rest, "from {offset}");
    }
    let mut reader = entry.reader();
    reader.ready().await.unwrap();
    reader.skip_to(10);
    assert!(read(reader).await.unwrap() == whole[10..]);
    follow_from_the_middle(store, &whole).await;
}

async fn follow_from_the_middle(store: &Store<Label>, whole: &[u8]) {
    let mut fill = store.begin(key("other"), label("v", ""), None).unwrap();
    let mut reader = fill.entry().reader();
    reader.skip_to(250_000);
    let reader = read_elsewhere(reader);
    for chunk in whole.chunks(10_001) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(fill.commit(b"").await, Committed::Stored);
    assert!(reader.join().unwrap().unwrap() == whole[250_000..]);
}

async fn an_abandoned_body_is_not_stored_and_its_readers_know(_: &Setup, store: &Store<Label>) {
    for length in [100, 300_000, 3_000_000] {
        let mut fill = store.begin(key("k"), label("v", ""), None).unwrap();
        let early = read_elsewhere(fill.entry().reader());
        let entry = fill.entry();
        for chunk in body(1, length).chunks(50_000) {
            fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        drop(fill);
        assert!(matches!(early.join().unwrap(), Err(ReadError::Abandoned)));
        assert!(matches!(read(entry.reader()).await, Err(ReadError::Abandoned)));
        assert!(!entry.is_complete());
        assert!(store.look_up(&key("k")).await.is_none());
    }
}

async fn a_removed_key_is_gone_and_stays_gone(setup: &Setup, store: &Store<Label>) {
    let large = body(1, 500_000);
    for body in [&b"small"[..], &large] {
        stored(store, &key("k"), label("a", ""), body).await;
        stored(store, &key("k"), label("b", ""), body).await;
        stored(store, &key("other"), label("a", ""), body).await;
        let mut fill = store.begin(key("k"), label("c", ""), None).unwrap();
        fill.write(Bytes::copy_from_slice(body)).await.unwrap();
        assert_eq!(store.remove(&key("k")), 2);
        assert!(store.look_up(&key("k")).await.is_none());
        let reader = fill.entry().reader();
        assert_eq!(fill.commit(b"").await, Committed::NotStored(NotStored::Removed));
        assert!(read(reader).await.unwrap() == body, "readers still get it");
        store.flush().await;
        assert!(store.look_up(&key("k")).await.is_none());
        assert!(get(store, &key("other"), "a").await.unwrap().1 == body);
        let is_large = body.len() > 5;
        assert_eq!(setup.objects().len(), usize::from(setup.has_disk() && is_large));
    }
}

async fn a_clear_forgets_everything_also_on_its_way(setup: &Setup, store: &Store<Label>) {
    for number in 0..20 {
        stored(store, &key(&number.to_string()), label("v", ""), &body(number, 20_000)).await;
    }
    let mut fills = Vec::new();
    for length in [10, 700_000] {
        let mut fill = store.begin(key("on its way"), label("v", ""), None).unwrap();
        fill.write(body(1, length).into()).await.unwrap();
        fills.push(fill);
    }
    let cleared = store.clear();
    assert_eq!(cleared.entries, 20);
    assert!(cleared.bytes >= 20 * 20_000);
    for fill in fills {
        assert_eq!(fill.commit(b"").await, Committed::NotStored(NotStored::Removed));
    }
    store.flush().await;
    for name in (0..20).map(|number| number.to_string()).chain(["on its way".to_owned()]) {
        assert!(store.look_up(&key(&name)).await.is_none());
    }
    let stats = store.stats();
    assert_eq!((stats.memory_entries, stats.disk_bytes, stats.disk_entries), (0, 0, 0));
    // That all is gone stays written if a file was on its way to its name.
    assert!(setup.objects().is_empty() && setup.segments().len() <= 1);
    stored(store, &key("0"), label("v", "again"), b"again").await;
    assert!(find(store, &key("0"), "v").await.is_some());
}

async fn fresh_metadata_keeps_the_body(setup: &Setup, store: &Store<Label>) {
    for length in [10, 700_000] {
        let (key, whole) = (key(&format!("k{length}")), body(1, length));
        stored(store, &key, label("v", "old"), &whole).await;
        for text in ["new and longer than before", "n"] {
            let entry = find(store, &key, "v").await.unwrap();
            let fresh = store.replace_meta(&key, &entry, label("v", text)).unwrap();
            assert_eq!(fresh.meta().text, text);
            assert_eq!(get(store, &key, "v").await, Some((text.to_owned(), whole.clone())));
            store.flush().await;
            assert_eq!(get(store, &key, "v").await, Some((text.to_owned(), whole.clone())));
            let entry = find(store, &key, "v").await.unwrap();
            assert_eq!(entry.tail(), Some(&b"trailers of old"[..]));
        }
        assert_eq!(store.look_up(&key).await.unwrap().iter().count(), 1);
    }
    let large: u64 = setup.objects().iter().map(|path| path.metadata().unwrap().len()).sum();
    let small = if setup.has_disk() { small_record("k10", "n", 10, "trailers of old") } else { 0 };
    assert_eq!(store.stats().disk_bytes, large + small);
}

/// Bytes of the record of an entry of the variant `v`.
fn small_record(key: &str, text: &str, body: u64, trailers: &str) -> u64 {
    let labels = 16;
    64 + (key.len() + labels + 2 + text.len() + trailers.len()) as u64 + body
}

async fn metadata_of_what_was_replaced_is_not_replaced(_: &Setup, store: &Store<Label>) {
    stored(store, &key("k"), label("v", "1"), b"1").await;
    let old = find(store, &key("k"), "v").await.unwrap();
    stored(store, &key("k"), label("v", "2"), b"2").await;
    assert!(store.replace_meta(&key("k"), &old, label("v", "fresh 1")).is_none());
    assert_eq!(get(store, &key("k"), "v").await, Some(("2".to_owned(), b"2".to_vec())));
    store.remove(&key("k"));
    assert!(store.replace_meta(&key("k"), &old, label("v", "fresh 1")).is_none());
    assert!(store.look_up(&key("k")).await.is_none());
}

async fn a_body_of_another_length_than_declared_is_not_stored(_: &Setup, store: &Store<Label>) {
    for length in [100, 500_000] {
        let mut fill = store.begin(key("k"), label("v", ""), Some(length)).unwrap();
        let reader = fill.entry().reader();
        assert_eq!(fill.entry().length(), Some(length));
        fill.write(body(1, length - 1).into()).await.unwrap();
        let more = fill.write(Bytes::from_static(b"xx")).await;
        assert_eq!(more, Err(WriteError::LongerThanDeclared));
        assert_eq!(fill.commit(b"").await, Committed::NotStored(NotStored::WrongLength));
        assert!(matches!(read(reader).await, Err(ReadError::Abandoned)));
        assert!(store.look_up(&key("k")).await.is_none());
    }
    let huge = store.begin(key("k"), label("v", ""), Some(1 << 40));
    assert_eq!(huge.err(), Some(Refused::TooLarge));
}

async fn the_last_of_many_writers_wins(_: &Setup, store: &Store<Label>) {
    let mut fills = Vec::new();
    for number in 0..5 {
        let mut fill = store.begin(key("k"), label("v", &number.to_string()), None).unwrap();
        fill.write(Bytes::from(format!("body {number}"))).await.unwrap();
        fills.push(fill);
    }
    for fill in fills.into_iter().rev() {
        assert_eq!(fill.commit(b"").await, Committed::Stored);
    }
    store.flush().await;
    assert_eq!(get(store, &key("k"), "v").await, Some(("0".to_owned(), b"body 0".to_vec())));
}

async fn a_cancelled_look_up_leaves_nothing_behind(_: &Setup, store: &Store<Label>) {
    stored(store, &key("k"), label("v", "t"), b"x").await;
    store.flush().await;
    for polls in 1..4 {
        let (store, key) = (store.clone(), key("k"));
        let task = tokio::spawn(async move { store.look_up(&key).await.is_some() });
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
        task.abort();
        drop(task.await);
    }
    assert!(get(store, &key("k"), "v").await.is_some());
    assert!(store.look_up(&key("k")).await.is_some());
}
