//! Readers of bodies on disk who do not take what they get, and others beside them.

use super::*;
use crate::Part;

/// Whole pieces that are lent, and blocks beside them, where memory is small.
const PIECES: usize = 16;
const BLOCKS: usize = 64;
const LITTLE: u64 = 16 * KIB;

async fn with_one(length: u64) -> (Setup, Store<Label>, Vec<u8>) {
    let setup = Setup::new(16 * MIB, 64 * MIB);
    let whole = body(1, length);
    let store = setup.open();
    stored(&store, &key("k"), label("v", ""), &whole).await;
    (setup, store, whole)
}

async fn reader(store: &Store<Label>) -> Reader<Label> {
    find(store, &key("k"), "v").await.unwrap().reader()
}

/// What so many readers got first, and how much that is of each.
async fn held(store: &Store<Label>, readers: usize) -> (Vec<Part>, Vec<u64>) {
    let mut held = Vec::new();
    for _ in 0..readers {
        held.push(reader(store).await.next_part().await.unwrap().unwrap());
    }
    let lengths = held.iter().map(Part::len).collect();
    (held, lengths)
}

#[tokio::test]
async fn the_more_they_are_the_less_each_gets_and_what_is_given_back_is_lent_again() {
    let (_setup, store, _) = with_one(2 * MIB).await;
    let pieces = [256 * KIB; PIECES].to_vec();
    let expected = [pieces.clone(), [64 * KIB; BLOCKS].to_vec(), vec![LITTLE; 10]].concat();
    for _ in 0..3 {
        let (held, lengths) = held(&store, PIECES + BLOCKS + 10).await;
        assert_eq!(lengths, expected);
        drop(held);
    }
    // Who has but the end of a piece has all of it.
    let (mut all, _) = held(&store, PIECES).await;
    for part in &mut all {
        part.skip(200 * KIB);
    }
    assert_eq!(held(&store, 1).await.1, [64 * KIB]);
}

#[tokio::test]
async fn what_is_read_little_by_little_is_the_same_and_counts_as_read_once() {
    let (_setup, store, whole) = with_one(2 * MIB + 100_001).await;
    let (held, _) = held(&store, PIECES + BLOCKS).await;
    // They asked for the first piece, and for no other.
    let mut first = reader(&store).await;
    first.skip_to(256 * KIB + 5);
    let mut all = whole[..(256 << 10) + 5].to_vec();
    while let Some(part) = first.next_part().await.unwrap() {
        assert!(part.len() <= LITTLE);
        all.extend_from_slice(&part.into_bytes().unwrap());
        store.divide_memory();
    }
    assert!(all == whole);
    assert_eq!(store.stats().kept_bytes, 0);
    for _ in 0..3 {
        assert!(read(reader(&store).await).await.unwrap() == whole);
        store.divide_memory();
    }
    assert!(store.stats().kept_bytes > 2 * MIB, "now it is read again and again");
    drop(held);
}

#[tokio::test]
async fn those_who_follow_a_body_to_its_file_are_among_them() {
    let (_setup, store, _) = with_one(2 * MIB).await;
    let whole = body(2, 6 * MIB);
    let mut fill = store.begin(key("f"), label("v", ""), None).unwrap();
    let mut first = fill.entry().reader();
    for chunk in whole.chunks(100_000) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let part = first.next_part().await.unwrap().unwrap();
    assert_eq!(part.len(), 256 * KIB);
    drop(part);
    let (_held, _) = held(&store, PIECES + BLOCKS).await;
    let got = first.next_part().await.unwrap().unwrap();
    assert_eq!(got.len(), LITTLE);
    let at = 256 << 10;
    assert!(got.into_bytes().unwrap() == whole[at..at + LITTLE as usize]);
    assert_eq!(fill.commit(b"").await, Committed::Stored);
    assert!(read(first).await.unwrap() == whole[at + LITTLE as usize..]);
}
