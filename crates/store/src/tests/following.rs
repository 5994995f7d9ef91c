//! Readers of one body while it is on its way: who counts, who waits for whom, in which pieces.

use tokio::time::{Instant, sleep};

use super::*;
use crate::{Fill, NotStored};

/// A fill that can only be passed along, beyond the first 128 KiB.
fn begin(store: &Store<Label>) -> Fill<Label> {
    store.begin(key("k"), label("v", ""), None).unwrap()
}

/// Passes a body along in chunks of 20,000 bytes; returns how long the readers made that take.
async fn pass_along(mut fill: Fill<Label>, whole: Vec<u8>) -> (Duration, usize) {
    let since = Instant::now();
    for chunk in whole.chunks(20_000) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let readers = fill.readers();
    assert_eq!(fill.commit(b"").await, Committed::NotStored(NotStored::TooLarge));
    (since.elapsed(), readers)
}

/// Reads a body and rests after each piece.
async fn drip(mut reader: Reader<Label>, rest: Duration) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await? {
        all.extend_from_slice(&piece);
        sleep(rest).await;
    }
    Ok(all)
}

#[tokio::test]
async fn a_body_that_broke_off_cannot_be_joined() {
    for setup in [Setup::new(8 * MIB, 0), Setup::new(8 * MIB, 64 * MIB), Setup::new(MIB, 0)] {
        for length in [0, 100, 3 * MIB] {
            let store = setup.open();
            let mut fill = begin(&store);
            let entry = fill.entry();
            // It has the start, so that it does not get lost.
            let reader = entry.reader();
            let writer = tokio::spawn(async move { fill.write(body(1, length).into()).await });
            tokio::task::yield_now().await;
            writer.abort();
            let _ = writer.await;
            assert!(entry.try_reader().is_none(), "{length} bytes were there");
            assert!(matches!(entry.reader().next().await, Err(ReadError::Abandoned)));
            drop(reader);
        }
    }
}

#[tokio::test]
async fn a_fill_is_deserted_only_while_nobody_reads_and_takes_nobody_after() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let mut fill = begin(&store);
    let reader = fill.entry().reader();
    assert!(!fill.desert());
    assert!(fill.entry().try_reader().is_some());
    drop(reader);
    assert!(fill.desert());
    assert!(fill.entry().try_reader().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_nothing_is_broken_off_after_a_second() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let fill = begin(&store);
    let mut stuck: Vec<_> = (0..3).map(|_| fill.entry().reader()).collect();
    let others: Vec<_> = (0..2).map(|_| tokio::spawn(read(fill.entry().reader()))).collect();
    let whole = body(1, 3 * MIB);
    let (took, readers) = pass_along(fill, whole.clone()).await;
    assert!(took >= Duration::from_secs(1) && took < Duration::from_millis(1600), "{took:?}");
    assert_eq!(readers, 2, "who was broken off does not count");
    for other in others {
        assert!(other.await.unwrap().unwrap() == whole);
    }
    for reader in &mut stuck {
        assert!(matches!(reader.next().await, Err(ReadError::Abandoned)));
    }
    drop(stuck);
    assert_eq!(store.stats().in_flight_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_drips_is_broken_off_as_well() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let fill = begin(&store);
    let dripping = tokio::spawn(drip(fill.entry().reader(), Duration::from_millis(700)));
    let other = tokio::spawn(read(fill.entry().reader()));
    let whole = body(1, 3 * MIB);
    let (took, _) = pass_along(fill, whole.clone()).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(other.await.unwrap().unwrap() == whole);
    assert!(matches!(dripping.await.unwrap(), Err(ReadError::Abandoned)));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_only_slower_than_others_gets_everything() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let fill = begin(&store);
    // 100 KB a second: a window in two and a half.
    let slow = tokio::spawn(drip(fill.entry().reader(), Duration::from_millis(200)));
    let other = tokio::spawn(read(fill.entry().reader()));
    let whole = body(1, 3 * MIB);
    let (took, readers) = pass_along(fill, whole.clone()).await;
    assert!(took > Duration::from_secs(20), "{took:?}");
    assert_eq!(readers, 2);
    assert!(slow.await.unwrap().unwrap() == whole);
    assert!(other.await.unwrap().unwrap() == whole);
}

#[tokio::test(start_paused = true)]
async fn a_lone_reader_is_waited_for() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let fill = begin(&store);
    let slow = tokio::spawn(drip(fill.entry().reader(), Duration::from_secs(10)));
    let whole = body(1, MIB);
    let (took, _) = pass_along(fill, whole.clone()).await;
    assert!(took > Duration::from_mins(5), "{took:?}");
    assert!(slow.await.unwrap().unwrap() == whole);
}

#[tokio::test(start_paused = true)]
async fn readers_that_are_all_slow_hold_nobody_up() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let fill = begin(&store);
    let whole = body(1, MIB);
    let mut readers = [fill.entry().reader(), fill.entry().reader()];
    let writer = tokio::spawn(pass_along(fill, whole.clone()));
    let mut found = [Vec::new(), Vec::new()];
    while found[1].len() < whole.len() {
        for (reader, found) in readers.iter_mut().zip(&mut found) {
            found.extend_from_slice(&reader.next().await.unwrap().unwrap());
        }
        sleep(Duration::from_secs(10)).await;
    }
    assert!(found == [whole.clone(), whole]);
    writer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_looked_at_once_another_joins() {
    let setup = Setup::new(MIB, 0);
    let store = setup.open();
    let fill = begin(&store);
    let (entry, whole) = (fill.entry(), body(1, MIB));
    let mut stuck = entry.reader();
    let writer = tokio::spawn(pass_along(fill, whole.clone()));
    sleep(Duration::from_secs(5)).await;
    assert!(read(entry.try_reader().unwrap()).await.unwrap() == whole);
    assert!(writer.await.unwrap().0 < Duration::from_secs(7));
    assert!(matches!(stuck.next().await, Err(ReadError::Abandoned)));
}

#[tokio::test]
async fn tiny_chunks_are_read_in_large_pieces() {
    let setup = Setup::new(8 * MIB, 0);
    let store = setup.open();
    let whole = body(1, 60_000);
    let mut fill = begin(&store);
    let (mut early, mut first) = (fill.entry().reader(), Vec::new());
    for byte in whole.chunks(1) {
        assert!(fill.try_write(&Bytes::copy_from_slice(byte)));
        if first.len() < 10_000 {
            first.extend_from_slice(&early.next().await.unwrap().unwrap());
        }
    }
    assert!(first == whole[..10_000]);
    assert!(early.next().await.unwrap().unwrap() == whole[10_000..]);
    let mut late = fill.entry().reader();
    assert!(late.next().await.unwrap().unwrap() == whole);
    assert!((60_000..62_000).contains(&store.stats().in_flight_bytes), "with what the fill takes");
    assert_eq!(fill.commit(b"").await, Committed::Stored);
    assert!(get(&store, &key("k"), "v").await.unwrap().1 == whole);
}

#[tokio::test]
async fn short_chunks_on_their_way_to_disk_are_all_there_once() {
    let setup = Setup::new(64 * KIB, 64 * MIB);
    let (store, whole) = (setup.open(), body(1, 700_000));
    for length in [37, 1000, 5000, 16_383] {
        let mut fill = begin(&store);
        let reader = tokio::spawn(read(fill.entry().reader()));
        for chunk in whole.chunks(length) {
            fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        assert_eq!(fill.commit(b"").await, Committed::Stored);
        assert!(reader.await.unwrap().unwrap() == whole, "followed, {length}");
        assert!(get(&store, &key("k"), "v").await.unwrap().1 == whole, "stored, {length}");
    }
}

/// Lengths of chunks, from tiny to long, with runs of each.
fn lengths(seed: u64, total: u64) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut left = total as usize;
    for dice in body(seed, total).chunks(4) {
        let length = match dice[0] % 8 {
            0..4 => usize::from(dice[1] % 4) + 1,
            4..7 => usize::from(dice[1]) * 40 + 1,
            _ => usize::from(dice[1]) * 400 + 1,
        };
        let run = usize::from(dice[2] % 16) + 1;
        for _ in 0..run {
            lengths.push(length.min(left));
            left -= length.min(left);
            if left == 0 {
                return lengths;
            }
        }
    }
    lengths
}

#[tokio::test]
async fn a_body_arrives_right_however_it_is_cut_and_whoever_reads_when() {
    for (memory, capacity) in [(16 * MIB, 0), (MIB, 0), (64 * KIB, 64 * MIB)] {
        for seed in 0..8 {
            let store = Setup::new(memory, capacity);
            let (store, whole) = (store.open(), body(seed, 700_000));
            let mut fill = begin(&store);
            let mut readers: Vec<_> =
                (0..3).map(|_| tokio::spawn(read(fill.entry().reader()))).collect();
            let mut at = 0;
            for (number, length) in lengths(seed, 700_000).into_iter().enumerate() {
                fill.write(Bytes::copy_from_slice(&whole[at..at + length])).await.unwrap();
                at += length;
                if (number as u64).is_multiple_of(seed + 1) {
                    tokio::task::yield_now().await;
                }
                if number % 50 == 0 {
                    readers.extend(fill.entry().try_reader().map(|r| tokio::spawn(read(r))));
                }
            }
            let _ = fill.commit(b"").await;
            for reader in readers {
                assert!(reader.await.unwrap().unwrap() == whole, "seed {seed}, memory {memory}");
            }
            if let Some((_, found)) = get(&store, &key("k"), "v").await {
                assert!(found == whole, "stored, seed {seed}, memory {memory}");
            }
            assert_eq!(store.stats().in_flight_bytes, 0);
        }
    }
}

/// A body that is passed along to one reader who takes all at once, with a key and metadata of so many
/// bytes, while bodies under way have taken all that there is for them.
async fn is_passed_along(key_length: usize, text: usize) -> bool {
    let setup = Setup::new(64 * MIB, 0);
    let store = setup.open();
    let mut long =
        store.begin(key(&"k".repeat(key_length)), label("v", &"t".repeat(text)), None).unwrap();
    let mut under_way = Vec::new();
    for number in 0..20 {
        let Ok(mut fill) = store.begin(key(&number.to_string()), label("v", ""), None) else {
            break;
        };
        let reader = fill.entry().reader();
        // Its client takes nothing.
        let write = fill.write(body(number, MIB).into());
        let _ = tokio::time::timeout(Duration::from_millis(1), write).await;
        under_way.push((fill, reader));
        if store.stats().in_flight_bytes >= 8 * MIB {
            break;
        }
    }
    assert!(store.stats().in_flight_bytes >= 8 * MIB);
    let mut reader = long.entry().reader();
    let reading = tokio::spawn(async move {
        let mut all = 0;
        while let Ok(Some(bytes)) = reader.next().await {
            all += bytes.len();
        }
        all
    });
    let writing = async {
        for number in 0..40 {
            long.write(body(number, 16 * KIB).into()).await.unwrap();
        }
        assert!(long.passed_along().is_some());
        let _ = long.commit(b"").await;
    };
    let done = tokio::time::timeout(Duration::from_secs(5), writing).await.is_ok();
    if done {
        assert_eq!(reading.await.unwrap() as u64, 40 * 16 * KIB);
    }
    done
}

#[tokio::test]
async fn where_room_is_scarce_a_body_is_passed_along_however_long_its_key_and_head_are() {
    for (key, head) in [(100, 100), (8_000, 100), (100, 16_000)] {
        assert!(is_passed_along(key, head).await, "{key} {head}");
    }
}
