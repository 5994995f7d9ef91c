//! Large bodies on disk whose pieces are kept in memory once they are read again and again.

use std::fs;

use super::*;
use crate::disk::Op;
use crate::{Damage, Part};

/// A store with so much memory and one body of so many bytes on disk; and how often files were read
/// since.
async fn with_one(memory: u64, length: u64) -> (Setup, Store<Label>, Vec<u8>, Arc<AtomicU64>) {
    let mut setup = Setup::new(memory, 64 * MIB);
    let whole = body(1, length);
    stored(&setup.open(), &key("k"), label("v", ""), &whole).await;
    let reads = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&reads);
    setup.files = Files::failing(move |op| {
        if matches!(op, Op::Read | Op::ReadNow) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        None
    });
    let store = setup.open();
    (setup, store, whole, reads)
}

async fn entry(store: &Store<Label>) -> Arc<Entry<Label>> {
    find(store, &key("k"), "v").await.unwrap()
}

/// Reads the body until no piece of it that memory has room for is read from its file.
async fn warm(setup: &Setup, store: &Store<Label>, entry: &Arc<Entry<Label>>, whole: &[u8]) {
    for _ in 0..10 {
        assert!(read(entry.reader()).await.unwrap() == whole);
        store.divide_memory();
        let stats = store.stats();
        assert!(stats.memory_bytes + stats.in_flight_bytes <= setup.options.memory);
    }
}

/// What a reader gets, and how many bytes of that are in files in memory.
async fn parts(entry: &Arc<Entry<Label>>) -> (Vec<u8>, u64) {
    let (mut reader, mut all, mut in_files) = (entry.reader(), Vec::new(), 0);
    while let Some(part) = reader.next_part().await.unwrap() {
        in_files += if matches!(part, Part::InFile(..)) { part.len() } else { 0 };
        all.extend_from_slice(&part.into_bytes().unwrap());
    }
    (all, in_files)
}

#[tokio::test]
async fn what_is_read_again_and_again_is_neither_read_nor_verified_any_more() {
    let (setup, store, whole, reads) = with_one(16 * MIB, 3 * MIB + 100_000).await;
    let entry = entry(&store).await;
    warm(&setup, &store, &entry, &whole).await;
    let before = reads.load(Ordering::SeqCst);
    assert!(read(entry.reader()).await.unwrap() == whole);
    assert!(parts(&entry).await == (whole, 3 * MIB + 100_000));
    assert_eq!(reads.load(Ordering::SeqCst), before);
    let kept = store.stats().kept_bytes;
    assert!((3 * MIB + 100_000..4 * MIB).contains(&kept), "{kept}");
}

#[tokio::test]
async fn what_is_read_once_is_not_kept() {
    let (_setup, store, whole, _) = with_one(16 * MIB, 3 * MIB).await;
    let entry = entry(&store).await;
    for _ in 0..3 {
        store.divide_memory();
    }
    assert!(read(entry.reader()).await.unwrap() == whole);
    store.divide_memory();
    assert_eq!(store.stats().kept_bytes, 0);
}

#[tokio::test]
async fn a_body_larger_than_all_memory_is_right_and_memory_keeps_to_its_limit() {
    let (setup, store, whole, _) = with_one(3 * MIB, 4 * MIB).await;
    let entry = entry(&store).await;
    warm(&setup, &store, &entry, &whole).await;
    let (all, in_files) = parts(&entry).await;
    assert!(all == whole);
    assert!((MIB / 2..MIB).contains(&in_files), "{in_files} bytes were kept");
}

#[tokio::test]
async fn entries_make_way_for_them_and_get_their_room_back() {
    let (setup, store, whole, _) = with_one(8 * MIB, 3 * MIB).await;
    let put_more = async |from: u64| {
        for number in from..from + 400 {
            let name = number.to_string();
            stored(&store, &key(&name), label("v", ""), &body(number, 30_000)).await;
            let stats = store.stats();
            assert!(stats.memory_bytes + stats.in_flight_bytes <= 8 * MIB);
        }
        store.stats().memory_entries
    };
    let alone = put_more(0).await;
    let entry = entry(&store).await;
    warm(&setup, &store, &entry, &whole).await;
    assert!(store.stats().kept_bytes > 2 * MIB);
    let beside = put_more(1000).await;
    assert!(beside < alone * 3 / 4, "{beside} of {alone}");
    for _ in 0..100 {
        store.divide_memory();
    }
    assert_eq!(store.stats().kept_bytes, 0, "nobody has read it for a while");
    let again = put_more(2000).await;
    assert!(again > alone * 9 / 10, "{again} of {alone}");
}

#[tokio::test]
async fn a_range_gets_its_bytes_wherever_they_are() {
    let (_setup, store, whole, _) = with_one(4 * MIB, 2 * MIB + 12_345).await;
    let entry = entry(&store).await;
    let mut random = 1_u64;
    let mut next = |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % most
    };
    for round in 0..400 {
        let (mut reader, mut position) = (entry.reader(), 0);
        for _ in 0..=next(3) {
            let offset = (position + next(MIB)).min(whole.len() as u64 - 1);
            reader.skip_to(offset);
            let Some(mut part) = reader.next_part().await.unwrap() else { break };
            position = offset + part.len();
            // Cut as a range cuts it, in either order.
            let (skipped, left) = (next(part.len()), next(part.len()) + 1);
            part.skip(skipped);
            part.truncate(left);
            let start = (offset + skipped) as usize;
            let got = part.into_bytes().unwrap();
            assert!(got == whole[start..start + got.len()], "round {round}");
        }
        if round % 20 == 0 {
            store.divide_memory();
        }
    }
    assert!(store.stats().kept_bytes > MIB / 2);
}

#[tokio::test]
async fn a_kept_piece_is_right_and_a_changed_one_is_never_sent() {
    let (setup, store, whole, _) = with_one(16 * MIB, 2 * MIB).await;
    let entry = entry(&store).await;
    for _ in 0..4 {
        entry.reader().next().await.unwrap();
        store.divide_memory();
    }
    assert!((256 * KIB..300 * KIB).contains(&store.stats().kept_bytes));
    // Both the piece that is kept and the one behind it change on disk.
    let path = setup.objects().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    bytes[300_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut reader = entry.reader();
    let mut got = reader.next().await.unwrap().unwrap().to_vec();
    let end = loop {
        match reader.next().await {
            Ok(chunk) => got.extend_from_slice(&chunk.expect("it went unnoticed")),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, ReadError::Damaged { block: 4, why: Damage::Checksum }), "{end}");
    assert!(got == whole[..got.len()] && got.len() as u64 == 256 * KIB);
    assert!(store.look_up(&key("k")).await.is_none(), "dropped for good");
    drop((reader, entry));
    store.flush().await;
    assert_eq!(store.stats().kept_bytes, 0);
}

#[tokio::test]
async fn whatever_becomes_of_a_file_its_pieces_go_and_no_others() {
    for event in 0..4 {
        let (setup, store, whole, _) = with_one(32 * MIB, 2 * MIB).await;
        let entry = entry(&store).await;
        warm(&setup, &store, &entry, &whole).await;
        let mut reader = entry.reader();
        reader.ready().await.unwrap();
        match event {
            0 => assert_eq!(store.remove(&key("k")), 1),
            1 => assert_eq!(store.clear().entries, 1),
            2 => stored(&store, &key("k"), label("v", "new"), &body(2, 3 * MIB)).await,
            _ => {
                store.replace_meta(&key("k"), &entry, label("v", "fresh")).unwrap();
            }
        }
        store.flush().await;
        // Who has it reads on, and leaves nothing behind.
        for other in [entry.reader(), entry.reader(), reader] {
            assert!(read(other).await.unwrap() == whole, "{event}");
        }
        let kept = store.stats().kept_bytes;
        assert!(if event == 3 { kept > 2 * MIB } else { kept == 0 }, "{event}: {kept}");
    }
}

#[tokio::test]
async fn nothing_of_it_needs_a_file_in_memory() {
    let (mut setup, store, whole, _) = with_one(16 * MIB, 2 * MIB).await;
    drop(store);
    setup.files = Files::failing(|op| {
        let none = crate::disk::Fault::Errno(rustix::io::Errno::MFILE.raw_os_error());
        (op == Op::CreateInMemory).then_some(none)
    });
    let store = setup.open();
    let entry = entry(&store).await;
    warm(&setup, &store, &entry, &whole).await;
    assert!(parts(&entry).await == (whole, 0));
    assert!(store.stats().kept_bytes > 2 * MIB);
}
