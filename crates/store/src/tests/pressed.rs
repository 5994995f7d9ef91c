//! What slow readers hold costs others no more than it has to.

use super::short::crowd;
use super::*;
use crate::{Fate, Matcher};

fn name(number: u64) -> Key {
    key(&format!("{number}"))
}

/// Loops over a set of keys that fits into memory, which is full of others: how many are hit in the
/// third round.
async fn hits_of_third_round(store: &Store<Label>) -> usize {
    for number in 100_000..105_000_u64 {
        stored(store, &name(number), label("v", ""), &body(number, 15 * KIB)).await;
    }
    let mut hits = 0;
    for _ in 0..3 {
        hits = 0;
        for number in 200_000..201_000_u64 {
            if store.peek(name(number).as_bytes()).is_some() {
                hits += 1;
            } else {
                stored(store, &name(number), label("v", ""), &body(number, 15 * KIB)).await;
            }
        }
    }
    hits
}

#[tokio::test]
async fn what_comes_back_is_recognised_however_often_readers_came_and_went() {
    let fresh = {
        let setup = Setup::new(64 * MIB, 0);
        hits_of_third_round(&setup.open()).await
    };
    let setup = Setup::new(64 * MIB, 0);
    let store = setup.open();
    // One slow client at a time, of a body that is purged while it reads.
    for number in 0..1_500_u64 {
        stored(&store, &name(1), label("v", ""), &body(1, MIB)).await;
        let reader = find(&store, &name(1), "v").await.unwrap().reader();
        assert_eq!(store.remove(&name(1)), 1);
        stored(&store, &name(2), label("v", ""), &body(number, KIB)).await;
        drop(reader);
        stored(&store, &name(2), label("v", ""), &body(number, KIB)).await;
    }
    let later = hits_of_third_round(&store).await;
    assert!(fresh > 500 && 2 * later > fresh, "{fresh} {later}");
}

/// Slow readers of bodies on disk: as many as may have whole ones.
async fn slow_readers(store: &Store<Label>, numbers: std::ops::Range<u64>) -> Vec<Reader<Label>> {
    let mut all = Vec::new();
    for number in numbers {
        let mut reader = find(store, &name(number), "v").await.unwrap().reader();
        reader.ready().await.unwrap();
        all.push(reader);
    }
    all
}

#[tokio::test]
async fn a_confirmation_of_what_was_read_from_disk_is_in_memory() {
    let setup = Setup::new(16 * MIB, 64 * MIB);
    let store = setup.open();
    stored(&store, &name(1), label("v", "old"), &body(1, 100 * KIB)).await;
    store.flush().await;
    drop(store);
    let store = setup.open();
    let entry = find(&store, &name(1), "v").await.unwrap();
    assert!(store.replace_meta(&name(1), &entry, label("v", "new")).is_some());
    store.flush().await;
    assert!(store.peek(name(1).as_bytes()).is_some());
}

#[tokio::test]
async fn what_is_confirmed_stays_although_it_is_on_disk_alone_and_that_takes_nothing() {
    let setup = Setup::new(16 * MIB, 512 * MIB);
    let store = setup.open();
    for number in 0..60 {
        stored(&store, &name(number), label("v", "old"), &body(number, 200 * KIB)).await;
        store.flush().await;
    }
    drop(store);
    let store = setup.open();
    let _held = slow_readers(&store, 0..50).await;
    assert!(store.freeze().await);
    let entry = find(&store, &name(55), "v").await.unwrap();
    assert!(!entry.is_in_memory());
    assert!(store.replace_meta(&name(55), &entry, label("v", "new")).is_none());
    assert_eq!(get(&store, &name(55), "v").await, Some(("old".into(), body(55, 200 * KIB))));
}

#[tokio::test]
async fn a_confirmation_is_kept_although_the_disk_takes_nothing() {
    let setup = Setup::new(16 * MIB, 64 * MIB);
    let store = setup.open();
    stored(&store, &name(1), label("v", "old"), &body(1, 100 * KIB)).await;
    store.flush().await;
    drop(store);
    let store = setup.open();
    assert!(store.freeze().await);
    let entry = find(&store, &name(1), "v").await.unwrap();
    assert!(store.replace_meta(&name(1), &entry, label("v", "new")).is_some());
    assert_eq!(get(&store, &name(1), "v").await, Some(("new".into(), body(1, 100 * KIB))));
}

/// Bytes of files of this store that have no name any more and are open.
#[cfg(target_os = "linux")]
fn nameless(setup: &Setup) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let root = setup.root();
    let mut seen = std::collections::HashMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if target.starts_with(&root) && target.to_string_lossy().ends_with("(deleted)") {
            // Another thread may have closed it.
            let Ok(about) = std::fs::metadata(entry.path()) else { continue };
            seen.insert(about.ino(), about.blocks() * 512);
        }
    }
    seen.values().sum()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn slow_readers_of_short_bodies_do_not_keep_the_disk() {
    const CAPACITY: u64 = 32 * MIB;
    let setup = Setup::new(MIB, CAPACITY);
    let store = setup.open();
    let mut number = 0;
    let mut held = Vec::new();
    for round in 0..4 {
        let from = number;
        for _ in 0..150 {
            stored(&store, &name(number), label("v", ""), &body(number, 200 * KIB)).await;
            store.flush().await;
            number += 1;
        }
        if round == 0 {
            held.extend(slow_readers(&store, from + 20..from + 60).await);
        }
        // One client for each segment of 2 MiB.
        for number in (from + 60..number).step_by(9) {
            held.extend(slow_readers(&store, number..number + 1).await);
        }
    }
    assert!(nameless(&setup) <= held.len() as u64 * 256 * KIB, "more than they read");
    assert!(setup.on_disk() + nameless(&setup) <= 3 * CAPACITY / 2);
}

/// A fetch that is late does not take the place of one that began after an event and came first.
async fn late_fetch(store: &Store<Label>, fate: Fate, length: u64) {
    let labels = |text: &str| {
        let labels = Labels::new(store.moment(), Vec::new());
        Label { labels, ..label("v", text) }
    };
    let mut late = store.begin(key("k"), labels("old"), Some(length)).unwrap();
    store.invalidate(&[Matcher::Everything], fate).await;
    let mut early = store.begin(key("k"), labels("new"), Some(length)).unwrap();
    early.write(body(1, length).into()).await.unwrap();
    assert_eq!(early.commit(b"").await, Committed::Stored);
    store.flush().await;
    late.write(body(2, length).into()).await.unwrap();
    let _ = late.commit(b"").await;
    let found = get(store, &key("k"), "v").await;
    let text = found.as_ref().map(|(text, _)| text.as_str());
    assert_eq!(text, Some("new"), "{fate:?}");
}

/// Bodies under way that take all that there is for them.
async fn many_under_way(store: &Store<Label>) -> Vec<crate::Fill<Label>> {
    let mut all = Vec::new();
    for number in 5000..5008 {
        let mut fill = store.begin(name(number), label("v", ""), Some(MIB)).unwrap();
        fill.write(body(number, MIB - 1).into()).await.unwrap();
        all.push(fill);
    }
    assert!(store.stats().in_flight_bytes >= 8 * MIB);
    all
}

#[tokio::test]
async fn a_late_fetch_is_outlived_where_many_are_under_way() {
    for fate in [Fate::Dead, Fate::Stale { since: 7 }] {
        let setup = Setup::new(64 * MIB, 256 * MIB);
        let store = setup.open();
        let _under_way = many_under_way(&store).await;
        late_fetch(&store, fate, 500 * KIB).await;
    }
}

#[tokio::test]
async fn a_late_fetch_is_outlived_where_readers_hold_much() {
    for fate in [Fate::Dead, Fate::Stale { since: 7 }] {
        let setup = Setup::new(64 * MIB, 256 * MIB);
        let store = setup.open();
        let _crowd = crowd(&store).await;
        late_fetch(&store, fate, 100 * KIB).await;
    }
}

#[tokio::test]
async fn short_bodies_are_records_where_memory_is_small_and_few_read() {
    // As little as may be asked for.
    let setup = Setup::new(MIB, 64 * MIB);
    let store = setup.open();
    let mut held = Vec::new();
    for number in 0..12 {
        stored(&store, &name(number), label("v", ""), &body(number, 60 * KIB)).await;
        held.extend(slow_readers(&store, number..number + 1).await);
        store.flush().await;
        store.remove(&name(number));
    }
    for number in 20..40 {
        stored(&store, &name(number), label("v", ""), &body(number, 60 * KIB)).await;
        store.flush().await;
    }
    assert_eq!(setup.objects().len(), 0, "files in place of records");
}

#[tokio::test]
async fn damage_of_one_body_does_not_have_the_disk_rest() {
    use std::os::unix::fs::FileExt;
    let setup = Setup::new(16 * MIB, 512 * MIB);
    let store = setup.open();
    for number in 0..60 {
        stored(&store, &name(number), label("v", "0"), &body(number, 200 * KIB)).await;
        store.flush().await;
    }
    drop(store);
    let store = setup.open();
    let _held = slow_readers(&store, 0..50).await;
    let entry = find(&store, &name(55), "v").await.unwrap();
    assert!(!entry.is_in_memory());
    let whole = body(55, 200 * KIB);
    for path in setup.segments() {
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(64).position(|w| w == &whole[100_000..100_064]) {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
        }
    }
    let text = "t".repeat(70_000);
    assert!(store.replace_meta(&name(55), &entry, label("v", &text)).is_some());
    store.flush().await;
    stored(&store, &name(100), label("v", ""), &body(1, 10 * KIB)).await;
    store.flush().await;
    assert_eq!(store.stats().disk_write_failures, 0);
    assert_eq!(store.stats().resting_skips, 0);
}

#[tokio::test]
async fn bodies_that_memory_could_not_take_do_not_shrink_it() {
    let setup = Setup::new(MIB, 64 * MIB);
    let store = setup.open();
    for number in 0..8 {
        stored(&store, &name(number), label("v", ""), &body(number, 200 * KIB)).await;
    }
    store.flush().await;
    let fill = async |from: u64| {
        for number in from..from + 200 {
            stored(&store, &name(number), label("v", ""), &body(number, 4 * KIB)).await;
        }
        store.flush().await;
        store.stats().memory_bytes
    };
    let before = fill(1000).await;
    // Each asked for twice: memory has never had room for one of them.
    drop(slow_readers(&store, 0..8).await);
    let _held = slow_readers(&store, 0..8).await;
    let after = fill(2000).await;
    assert!(after > before / 4 * 3, "{before} {after}");
}

/// Memory that is full of what is wanted, and who of that is there still.
async fn wanted(store: &Store<Label>) {
    for number in 10_000..13_000_u64 {
        stored(store, &name(number), label("v", ""), &body(number, 15 * KIB)).await;
        let _hit = store.peek(name(number).as_bytes());
    }
    store.flush().await;
}

fn still_there(store: &Store<Label>) -> usize {
    (10_000..13_000_u64).filter(|n| store.peek(name(*n).as_bytes()).is_some()).count()
}

#[tokio::test]
async fn a_look_at_a_key_with_more_variants_than_fit_costs_others_nothing() {
    let setup = Setup::new(64 * MIB, 512 * MIB);
    let store = setup.open();
    for number in 0..32 {
        let meta = label(&format!("{number}"), "");
        stored(&store, &key("many"), meta, &body(number, MIB)).await;
        store.flush().await;
    }
    wanted(&store).await;
    let before = still_there(&store);
    // Of these 32 MiB less than 5 go to memory, which has room for them.
    drop(store.look_up(&key("many")).await);
    drop(store.look_up(&key("many")).await);
    let after = still_there(&store);
    assert!(after + 500 >= before, "{before} {after}");
}

#[tokio::test]
async fn ranges_of_records_are_right_wherever_they_begin() {
    let setup = Setup::new(16 * MIB, 512 * MIB);
    let store = setup.open();
    let lengths = [(16 << 10) + 1, 64 << 10, (64 << 10) + 1, 128 << 10, 200_000, 190 << 10];
    for (number, length) in (0..).zip(lengths) {
        stored(&store, &name(number), label("v", ""), &body(number, length)).await;
    }
    store.flush().await;
    for most in [4 * MIB, 8 * MIB] {
        drop(store.clone());
        let again = setup.copy();
        let store = again.open();
        while store.stats().segments_to_recover > 0 {
            tokio::task::yield_now().await;
        }
        let _lent = store.lent().whole(4 * MIB, 0);
        for (number, length) in (0..).zip(lengths) {
            let whole = body(number, length);
            let entry = find(&store, &name(number), "v").await.unwrap();
            assert!(!entry.is_in_memory() && entry.present().is_none());
            let mut parts = Vec::new();
            for at in (0..length).step_by(4099).chain([length - 1, length, 64 << 10, 65_535]) {
                let mut reader = entry.reader();
                reader.skip_to(at);
                if most > 4 * MIB {
                    // Those before hold blocks until hardly anything is left.
                    if let Some(part) = reader.next_part().await.unwrap() {
                        let bytes = part.clone().into_bytes().unwrap();
                        assert!(bytes == whole[at as usize..][..bytes.len()]);
                        parts.push(part);
                    }
                } else {
                    assert!(
                        read(reader).await.unwrap() == whole[(at.min(length)) as usize..],
                        "{at}"
                    );
                }
            }
        }
        assert!(store.stats().lent_bytes <= 8 * MIB);
    }
}

#[tokio::test]
async fn pieces_that_are_kept_and_what_readers_hold_have_one_bound() {
    let setup = Setup::new(64 * MIB, 512 * MIB);
    let store = setup.open();
    stored(&store, &key("large"), label("v", ""), &body(0, 30 * MIB)).await;
    store.flush().await;
    for _ in 0..8 {
        let large = find(&store, &key("large"), "v").await.unwrap();
        assert!(read(large.reader()).await.unwrap() == body(0, 30 * MIB));
        store.divide_memory();
    }
    assert!(store.stats().kept_bytes > 16 * MIB);
    let mut held = Vec::new();
    for number in 0..60 {
        let mut fill = store.begin(name(number), label("v", ""), Some(MIB)).unwrap();
        fill.write(body(number, MIB).into()).await.unwrap();
        held.push(fill.entry());
        let _wherever = fill.commit(b"").await;
        store.flush().await;
        store.remove(&name(number));
    }
    for number in 10_000..13_000_u64 {
        stored(&store, &name(number), label("v", ""), &body(number, 15 * KIB)).await;
    }
    store.flush().await;
    let stats = store.stats();
    // What memory may have, and a step.
    assert!(stats.memory_bytes + stats.lent_bytes <= 64 * MIB, "{stats:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn slow_readers_of_what_an_earlier_process_wrote_do_not_keep_the_disk() {
    const CAPACITY: u64 = 32 * MIB;
    let setup = Setup::new(MIB, CAPACITY);
    let store = setup.open();
    let mut number = 0;
    let mut held = Vec::new();
    for _ in 0..150 {
        stored(&store, &name(number), label("v", ""), &body(number, 200 * KIB)).await;
        store.flush().await;
        number += 1;
    }
    drop(store);
    let store = recovered(setup.open());
    held.extend(slow_readers(&store, 20..60).await);
    // One client for each segment of 2 MiB.
    for number in (60..150).step_by(9) {
        held.extend(slow_readers(&store, number..number + 1).await);
    }
    for _ in 0..170 {
        stored(&store, &name(number), label("v", ""), &body(number, 200 * KIB)).await;
        store.flush().await;
        number += 1;
    }
    assert!(nameless(&setup) <= held.len() as u64 * 256 * KIB, "more than they read");
    assert!(setup.on_disk() + nameless(&setup) <= 3 * CAPACITY / 2);
    for (number, reader) in held.into_iter().enumerate() {
        assert!(read(reader).await.is_ok(), "{number}");
    }
}

#[tokio::test]
async fn what_an_earlier_process_still_reads_stays_when_the_next_takes_a_segment_away() {
    let setup = Setup::new(MIB, 32 * MIB);
    let store = setup.open();
    for number in 0..150 {
        stored(&store, &name(number), label("v", ""), &body(number, 200 * KIB)).await;
        store.flush().await;
    }
    drop(store);
    let store = recovered(setup.open());
    let older = slow_readers(&store, 10..70).await;
    assert!(store.freeze().await);
    let heir = Store::<Label>::open_held(setup.options.clone(), Some(store.lock().unwrap()));
    let heir = recovered(heir.unwrap());
    store.leave();
    // Fewer than those, in the same segments.
    let _newer = slow_readers(&heir, 40..65).await;
    let _newest = slow_readers(&heir, 20..22).await;
    for number in 200..370 {
        stored(&heir, &name(number), label("v", ""), &body(number, 200 * KIB)).await;
        heir.flush().await;
    }
    for (number, reader) in (10..).zip(older) {
        assert!(read(reader).await.is_ok_and(|all| all == body(number, 200 * KIB)), "{number}");
    }
}

/// Whatever is done in whatever order, nothing is counted when nobody has anything.
#[tokio::test]
async fn what_is_counted_is_balanced() {
    for (seed, disk) in [(1_u64, 0), (2, 64 * MIB), (3, 24 * MIB), (4, 0)] {
        let setup = Setup::new(16 * MIB, disk);
        let store = setup.open();
        let mut random = seed;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(12_345_677);
            (random >> 33) % below
        };
        let mut held = Vec::new();
        for step in 0..3_000_u64 {
            let number = next(40);
            let variant = if next(3) == 0 { "w" } else { "v" };
            match next(8) {
                0 | 1 => {
                    let length = [1_000, 20_000, 100_000, 300_000, 1_000_000][next(5) as usize];
                    let _ =
                        put(&store, &name(number), label(variant, "a"), &body(step, length)).await;
                }
                2 | 3 => {
                    if let Some(entry) = find(&store, &name(number), variant).await {
                        if next(2) == 0 {
                            held.push(entry);
                        } else {
                            let same = label(if next(4) == 0 { "x" } else { variant }, "b");
                            let _ = store.replace_meta(&name(number), &entry, same);
                        }
                    }
                }
                4 => _ = store.remove(&name(number)),
                5 => {
                    if let Some(entry) = find(&store, &name(number), variant).await {
                        store.remove_entry(&name(number), &entry);
                    }
                }
                6 => store.divide_memory(),
                _ => {
                    if held.len() > 60 {
                        let at = next(held.len() as u64) as usize;
                        held.swap_remove(at);
                        held.swap_remove(0);
                    }
                }
            }
            assert!(store.stats().lent_bytes < 1 << 40, "{seed} {step}");
        }
        store.flush().await;
        held.clear();
        assert_eq!(store.stats().lent_bytes, 0, "{seed}: kept entries count");
        store.clear();
        store.flush().await;
        assert_eq!(store.stats().lent_bytes, 0, "{seed}");
        assert_eq!(store.stats().in_flight_bytes, 0, "{seed}");
    }
}
