//! Both tiers keep to their limits, and a full one never fails a request.

use super::*;
use crate::disk::{Fault, Op};
use crate::{NotStored, Refused};

#[tokio::test]
async fn memory_keeps_to_its_limit() {
    let setup = Setup::new(2 * MIB, 0);
    let store = setup.open();
    for number in 0..300_u64 {
        stored(&store, &key(&number.to_string()), label("v", ""), &body(number, 20_000)).await;
        let stats = store.stats();
        assert!(stats.memory_bytes + stats.in_flight_bytes <= 2 * MIB);
    }
    let stats = store.stats();
    assert!(stats.memory_bytes > MIB && stats.memory_evictions > 100, "{stats:?}");
    assert!(get(&store, &key("299"), "v").await.is_some());
}

#[tokio::test]
async fn the_index_of_many_small_objects_is_part_of_the_limit() {
    let setup = Setup::new(4 * MIB, 0);
    let store = setup.open();
    for number in 0..20_000_u64 {
        stored(&store, &key(&number.to_string()), label("v", ""), b"x").await;
    }
    assert!(store.stats().memory_entries > 5_000);
    // What comes in their place finds the index as large as it was.
    store.clear();
    for number in 0..200_u64 {
        stored(&store, &key(&number.to_string()), label("v", ""), &body(number, 40_000)).await;
        assert!(number < 64 || store.stats().memory_bytes <= 7 * MIB / 2);
    }
    assert!(store.stats().memory_bytes > 3 * MIB);
}

#[tokio::test]
async fn a_small_object_that_comes_back_after_it_was_given_up_stays() {
    let setup = Setup::new(8 * MIB, 0);
    let store = setup.open();
    let put_strangers = async |numbers: std::ops::Range<u64>| {
        for number in numbers {
            stored(&store, &key(&number.to_string()), label("v", ""), &body(number, KIB)).await;
        }
    };
    put_strangers(0..8_000).await;
    for (after, stays) in [(1_000, 15..=20), (20_000, 0..=5)] {
        let names: Vec<_> = (0..20).map(|number| format!("{number} after {after}")).collect();
        let put_all = async || {
            for name in &names {
                stored(&store, &key(name), label("v", ""), &body(1, 1_200)).await;
            }
        };
        let here = || names.iter().filter(|name| store.peek(name.as_bytes()).is_some()).count();
        put_all().await;
        // Far more than the cache itself remembers of what it gave up.
        put_strangers(100_000 + after..100_000 + 2 * after).await;
        // A filter may take one for another, and sketches are not exact.
        assert!(here() <= 3, "{} are here", here());
        put_all().await;
        put_strangers(200_000 + after..201_500 + after).await;
        assert!(stays.contains(&here()), "{} stay after {after}", here());
    }
    assert!(store.stats().memory_bytes <= 8 * MIB);
}

#[tokio::test]
async fn the_disk_keeps_to_its_limit_and_the_first_in_goes_first() {
    // In segments, in files, and the one after the other in the same store.
    for lengths in [[10_000, 10_000], [20_000, 20_000], [20_000, 10_000], [10_000, 20_000]] {
        let setup = Setup::new(0, 2 * MIB);
        let store = setup.open();
        for number in 0..400_u64 {
            let length = lengths[number as usize / 200];
            let name = number.to_string();
            stored(&store, &key(&name), label("v", ""), &body(number, length)).await;
            store.flush().await;
            assert!(setup.on_disk() <= 2 * MIB && store.stats().disk_bytes <= 2 * MIB);
        }
        let stats = store.stats();
        assert!(stats.disk_bytes > MIB && stats.disk_evictions > 90, "{lengths:?}: {stats:?}");
        assert!(find(&store, &key("0"), "v").await.is_none());
        assert!(get(&store, &key("399"), "v").await.is_some());
    }
}

#[tokio::test]
async fn what_is_hit_stays_longer() {
    for (memory, length) in [(0, 10_000), (0, 20_000), (64 * MIB, 10_000), (64 * MIB, 20_000)] {
        let setup = Setup::new(memory, 2 * MIB);
        let store = setup.open();
        for number in 0..500_u64 {
            let name = number.to_string();
            stored(&store, &key(&name), label("v", ""), &body(number, length)).await;
            store.flush().await;
            assert!(find(&store, &key("0"), "v").await.is_some(), "{number}");
        }
        drop(store);
        let store = setup.open();
        assert!(find(&store, &key("0"), "v").await.is_some(), "with {memory} of memory");
        assert!(find(&store, &key("1"), "v").await.is_none());
    }
}

#[tokio::test]
async fn a_smaller_disk_after_a_restart_is_kept_to() {
    let mut setup = Setup::new(0, 4 * MIB);
    let store = setup.open();
    for number in 0..100_u64 {
        stored(&store, &key(&number.to_string()), label("v", ""), &body(number, 20_000)).await;
    }
    drop(store);
    setup.options.disk.as_mut().unwrap().capacity = MIB;
    let store = setup.open();
    store.flush().await;
    assert!(store.stats().disk_bytes <= MIB && setup.on_disk() <= MIB);
    assert!(find(&store, &key("99"), "v").await.is_some());
}

#[tokio::test]
async fn a_body_too_large_for_memory_is_passed_along_to_who_is_there() {
    let setup = Setup::new(4 * MIB, 0);
    let store = setup.open();
    let whole = body(1, 5 * MIB);
    let mut fill = store.begin(key("k"), label("v", ""), None).unwrap();
    let entry = fill.entry();
    let readers: Vec<_> = (0..3).map(|_| tokio::spawn(read(fill.entry().reader()))).collect();
    let mut most = 0;
    for chunk in whole.chunks(50_000) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        most = most.max(store.stats().in_flight_bytes);
    }
    assert!(most <= MIB, "{most} bytes in flight");
    assert_eq!(fill.commit(b"t").await, Committed::NotStored(NotStored::TooLarge));
    assert!(entry.is_complete() && !entry.is_kept());
    for reader in readers {
        assert!(reader.await.unwrap().unwrap() == whole);
    }
    assert_eq!((store.stats().in_flight_bytes, store.stats().passed_along), (0, 1));
    assert!(store.look_up(&key("k")).await.is_none());
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_passed_along_without_waiting() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let committed = put(&store, &key("k"), label("v", ""), &body(1, 3 * MIB)).await;
    assert_eq!(committed, Ok(Committed::NotStored(NotStored::TooLarge)));
}

#[tokio::test]
async fn a_reader_that_leaves_lets_the_writer_go_on() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let mut fill = store.begin(key("k"), label("v", ""), None).unwrap();
    let mut slow = fill.entry().reader();
    let writer = tokio::spawn(async move {
        fill.write(body(1, 2 * MIB).into()).await.unwrap();
        fill.abandoned_by_readers().await;
        fill.commit(b"").await
    });
    assert!(slow.next().await.unwrap().is_some());
    assert!(!writer.is_finished());
    drop(slow);
    assert_eq!(writer.await.unwrap(), Committed::NotStored(NotStored::TooLarge));
    assert_eq!(store.stats().in_flight_bytes, 0);
}

#[tokio::test]
async fn a_large_body_on_its_way_to_disk_takes_little_memory() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    let whole = body(1, 12 * MIB);
    let mut fill = store.begin(key("k"), label("v", ""), Some(12 * MIB)).unwrap();
    // It reads nothing until the end: it must not slow the fill down.
    let slow = fill.entry().reader();
    let mut most = 0;
    for chunk in whole.chunks(100_000) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        most = most.max(store.stats().in_flight_bytes);
    }
    assert!(most <= 3 * MIB, "{most} bytes in flight");
    let behind = tokio::spawn(read(fill.entry().reader()));
    tokio::task::yield_now().await;
    assert_eq!(fill.commit(b"").await, Committed::Stored);
    assert!(read(slow).await.unwrap() == whole);
    assert!(behind.await.unwrap().unwrap() == whole);
    assert!(store.stats().memory_bytes < MIB);
}

#[tokio::test]
async fn bodies_under_way_keep_to_their_share_of_memory() {
    let setup = Setup::new(8 * MIB, 0);
    let store = setup.open();
    let mut fills = Vec::new();
    for number in 0..4_u64 {
        let name = number.to_string();
        let mut fill = store.begin(key(&name), label("v", ""), None).unwrap();
        fill.write(body(number, 300_000).into()).await.unwrap();
        fills.push(fill);
    }
    assert!(store.stats().in_flight_bytes <= MIB);
    assert_eq!(fills[3].passed_along(), Some(NotStored::NoRoom));
    let refused = store.begin(key("one more"), label("v", ""), Some(300_000)).err();
    assert_eq!(refused, Some(Refused::NoRoom));
    drop(fills);
    assert!(store.begin(key("one more"), label("v", ""), Some(300_000)).is_ok());
}

#[tokio::test]
async fn bodies_over_their_share_of_memory_go_to_disk() {
    let setup = Setup::new(4 * MIB, 64 * MIB);
    let store = setup.open();
    let mut fills = Vec::new();
    for number in 0..12_u64 {
        let mut fill = store.begin(key(&number.to_string()), label("v", ""), None).unwrap();
        fill.write(body(number, 300_000).into()).await.unwrap();
        fills.push(fill);
    }
    for fill in fills {
        assert_eq!(fill.commit(b"").await, Committed::Stored);
    }
    for number in 0..12_u64 {
        assert!(
            get(&store, &key(&number.to_string()), "v").await.unwrap().1 == body(number, 300_000)
        );
    }
}

#[tokio::test]
async fn what_memory_holds_is_its_own_and_no_read_buffer() {
    let setup = Setup::new(8 * MIB, 0);
    let store = setup.open();
    let buffer = Bytes::from(body(1, MIB));
    for length in [10_usize, 20_000, 300_000] {
        let mut fill = store.begin(key("k"), label("v", ""), None).unwrap();
        assert!(fill.try_write(&buffer.slice(..length)));
        let Ok((entry, Committed::Stored)) = fill.commit_now(b"") else { panic!("not stored") };
        assert!(entry.is_in_memory());
        assert!(read(entry.reader()).await.unwrap() == buffer[..length]);
    }
    assert!(buffer.is_unique(), "the store holds on to the read buffer");
}

#[tokio::test]
async fn an_object_of_a_quarter_of_the_disk_and_more_can_be_stored_and_replaced() {
    let setup = Setup::new(MIB, 8 * MIB);
    let store = setup.open();
    for round in 0..3 {
        let whole = body(round, 5 * MIB);
        stored(&store, &key("k"), label("v", ""), &whole).await;
        assert!(get(&store, &key("k"), "v").await.unwrap().1 == whole);
        store.flush().await;
        assert_eq!(setup.objects().len(), 1);
    }
}

#[tokio::test]
async fn slices_of_a_body_in_memory_are_slices_of_the_whole() {
    const PIECE: u64 = 256 << 10;
    let mut setup = Setup::new(16 * MIB, 0);
    // On the heap, where a body of this length is only if the system gives no file.
    setup.files = Files::failing(|op| {
        (op == Op::CreateInMemory).then_some(Fault::Errno(rustix::io::Errno::MFILE.raw_os_error()))
    });
    let store = setup.open();
    let whole = body(1, 2 * PIECE + 1000);
    stored(&store, &key("k"), label("v", ""), &whole).await;
    let entry = find(&store, &key("k"), "v").await.unwrap();
    let edges = [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 999, u64::MAX];
    for (from, to) in edges.iter().flat_map(|from| edges.iter().map(move |to| (*from, *to))) {
        let slices: Vec<_> = entry.slices(from..to).unwrap().collect();
        let expected = whole.get(from as usize..(to as usize).min(whole.len()));
        assert!(slices.concat() == expected.unwrap_or_default(), "{from}..{to}");
        assert!(slices.len() <= 3 && slices.iter().all(|slice| !slice.is_empty()));
    }
}

#[tokio::test]
async fn a_scan_of_the_disk_leaves_memory_to_what_is_hit() {
    let setup = Setup::new(2 * MIB, 64 * MIB);
    let store = setup.open();
    let keys: Vec<_> = (0..300_u64).map(|number| key(&number.to_string())).collect();
    for key in &keys {
        stored(&store, key, label("v", ""), &body(1, 20_000)).await;
    }
    store.flush().await;
    drop(store);
    let store = setup.open();
    let (hot, others) = keys.split_at(20);
    for key in hot.iter().chain(hot) {
        assert!(find(&store, key, "v").await.is_some());
    }
    let held = |keys: &[Key]| keys.iter().filter(|k| store.peek(k.as_bytes()).is_some()).count();
    assert_eq!((held(hot), held(others)), (20, 0), "those that were read twice");
    for key in others {
        assert!(get(&store, key, "v").await.unwrap().1 == body(1, 20_000));
    }
    // One in a hundred strangers is taken for known.
    assert_eq!(held(hot), 20);
    assert!(held(others) < 20, "{}", held(others));
}

#[tokio::test]
async fn where_room_is_scarce_so_many_bodies_go_to_disk_and_not_one_more() {
    let setup = Setup::new(8 * MIB, 1024 * MIB);
    let store = setup.open();
    let begin = |number: u64| store.begin(key(&number.to_string()), label("v", ""), Some(MIB));
    let mut fills: Vec<_> = (0..128).map(|number| begin(number).unwrap()).collect();
    // As long as there is room, more may.
    assert!(begin(128).is_ok());
    let most = MIB + 128 * (256 << 10);
    for _ in 0..25 {
        for fill in &mut fills {
            fill.write(vec![b'x'; 10_000].into()).await.unwrap();
            // Not more at once than may wait for the disk.
            store.flush().await;
        }
        assert!(store.stats().in_flight_bytes <= most, "{}", store.stats().in_flight_bytes);
    }
    assert!(store.stats().in_flight_bytes >= MIB);
    assert_eq!(begin(128).err(), Some(Refused::NoRoom));
    fills.pop();
    assert!(begin(128).is_ok());
}

#[tokio::test]
async fn where_room_is_scarce_bodies_that_wait_for_the_disk_share_what_may() {
    const CHUNK: u64 = 10_000;
    // As many as may have a write queued.
    let mut setup = Setup::new(8 * MIB, 1024 * MIB);
    setup.options.disk_patience = Duration::from_mins(1);
    let stands = Arc::new((Mutex::new(false), Condvar::new()));
    let gate = Arc::clone(&stands);
    setup.files = Files::failing(move |op| {
        let stands = gate.0.lock().unwrap();
        drop(gate.1.wait_while(stands, |stands| *stands && op == Op::Write).unwrap());
        None
    });
    let store = setup.open();
    *stands.0.lock().unwrap() = true;
    let fill = |number: u64| {
        let mut fill = store.begin(key(&number.to_string()), label("v", ""), Some(MIB)).unwrap();
        tokio::spawn(async move {
            for at in (0..MIB).step_by(CHUNK as usize) {
                fill.write(vec![b'x'; CHUNK.min(MIB - at) as usize].into()).await.unwrap();
            }
            fill.commit(b"").await
        })
    };
    let fills: Vec<_> = (0..64).map(fill).collect();
    // Each goes on until it has to wait for the disk.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let bytes = store.stats().in_flight_bytes;
    // Before anything else: the store waits for its threads when it goes.
    *stands.0.lock().unwrap() = false;
    stands.1.notify_all();
    assert!(bytes <= 9 * MIB + 64 * (CHUNK + 2 * KIB), "{bytes}");
    assert!(bytes > 7 * MIB, "{bytes}");
    for fill in fills {
        assert_eq!(fill.await.unwrap(), Committed::Stored);
    }
}

#[tokio::test]
async fn a_body_has_as_many_bytes_as_a_tier_takes_of_one_and_not_one_more() {
    let in_memory = Setup::new(32 * MIB, 0);
    let mut on_disk = Setup::new(MIB, 64 * MIB);
    on_disk.options.largest_on_disk = Some(2 * MIB);
    for (setup, most) in [(in_memory, MIB), (on_disk, 2 * MIB)] {
        let store = setup.open();
        let put = async |length| put(&store, &key("k"), label("v", ""), &body(1, length)).await;
        assert_eq!(put(most).await, Ok(Committed::Stored));
        let too_large = Ok(Committed::NotStored(NotStored::TooLarge));
        assert_eq!(put(most + 1).await, too_large);
    }
}
