//! Files that changed behind our back: the right bytes, or a miss, never wrong ones.

use std::fs;

use super::*;
use crate::Damage;

fn damaged(store: &Store<Label>) -> u64 {
    store.stats().damaged.iter().map(|(_, count)| count).sum()
}

/// Writes `bytes` as the only stored file and looks it up.
async fn serve(setup: &Setup, path: &Path, bytes: &[u8], right: &[u8], what: &str) {
    fs::write(path, bytes).unwrap();
    let store = setup.open();
    if let Some((text, found)) = get(&store, &key("k"), "v").await {
        assert!(text == "text" && found == right, "wrong bytes: {what}");
        return;
    }
    assert_eq!(damaged(&store), 1, "{what}");
    store.flush().await;
    assert!(!path.exists(), "kept: {what}");
}

#[tokio::test]
async fn no_single_changed_byte_of_a_file_gets_through() {
    // So small a disk that hardly anything goes into a segment.
    let setup = Setup::new(8 * MIB, 4 * KIB);
    let right = body(1, 150);
    stored(&setup.open(), &key("k"), label("v", "text"), &right).await;
    let path = setup.objects().remove(0);
    let good = fs::read(&path).unwrap();
    for position in 0..good.len() {
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        serve(&setup, &path, &bytes, &right, &format!("byte {position} changed")).await;
        assert!(!path.exists(), "a change at {position} went unnoticed");
    }
    for length in 0..good.len() {
        serve(&setup, &path, &good[..length], &right, &format!("cut to {length}")).await;
        assert!(!path.exists(), "a cut to {length} went unnoticed");
    }
    let longer = [&good[..], b"\0"].concat();
    serve(&setup, &path, &longer, &right, "one byte longer").await;
    serve(&setup, &path, &good, &right, "as it was").await;
    assert!(path.exists());
}

#[tokio::test]
async fn a_sound_file_in_the_wrong_place_is_dropped() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    let secret = body(1, 300_000);
    stored(&store, &key("a"), label("v", "a"), &secret).await;
    store.flush().await;
    let a = setup.objects().remove(0);
    stored(&store, &key("b"), label("v", "b"), &body(2, 300_000)).await;
    store.flush().await;
    let b = setup.objects().into_iter().find(|path| *path != a).unwrap();
    drop(store);
    fs::copy(&a, &b).unwrap();
    let store = setup.open();
    assert_eq!(get(&store, &key("b"), "v").await, None);
    assert!(store.stats().damaged.contains(&(Damage::Identity, 1)));
    assert!(get(&store, &key("a"), "v").await.unwrap().1 == secret);
}

#[tokio::test]
async fn a_file_that_vanished_is_a_miss() {
    for length in [1, 300_000] {
        let setup = Setup::new(8 * MIB, 64 * MIB);
        stored(&setup.open(), &key("k"), label("v", ""), &body(1, length)).await;
        let store = setup.open();
        let all = setup.objects().into_iter().chain(setup.segments());
        all.for_each(|path| fs::remove_file(path).unwrap());
        assert!(store.look_up(&key("k")).await.is_none());
        assert!(store.stats().damaged.contains(&(Damage::Missing, 1)));
        assert_eq!(store.stats().disk_bytes, 0);
    }
}

#[tokio::test]
async fn a_large_body_is_cut_before_its_damaged_block() {
    let setup = Setup::new(8 * KIB, 64 * MIB);
    let right = body(1, 600_000);
    stored(&setup.open(), &key("k"), label("v", "text"), &right).await;
    let path = setup.objects().remove(0);
    let good = fs::read(&path).unwrap();
    for position in [0, 65_535, 65_536, 262_143, 262_144, 500_000, 599_999] {
        let mut bytes = good.clone();
        bytes[position] ^= 0x40;
        fs::write(&path, bytes).unwrap();
        let store = setup.open();
        let mut reader = find(&store, &key("k"), "v").await.unwrap().reader();
        let mut got = Vec::new();
        let end = loop {
            match reader.next().await {
                Ok(Some(chunk)) => got.extend_from_slice(&chunk),
                Ok(None) => panic!("{position} went unnoticed"),
                Err(error) => break error,
            }
        };
        let block = position as u64 / (64 * KIB);
        assert!(end.to_string() == format!("block {block} has a wrong checksum"), "{end}");
        assert!(got.len() <= position && got == right[..got.len()]);
        assert!(store.stats().damaged.contains(&(Damage::Checksum, 1)));
        assert!(store.look_up(&key("k")).await.is_none(), "dropped for good");
        store.flush().await;
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_file_that_is_cut_short_while_it_is_read_says_where() {
    let setup = Setup::new(8 * KIB, 64 * MIB);
    stored(&setup.open(), &key("k"), label("v", ""), &body(1, 600_000)).await;
    let store = setup.open();
    let reader = find(&store, &key("k"), "v").await.unwrap().reader();
    let path = setup.objects().remove(0);
    fs::File::options().write(true).open(path).unwrap().set_len(5 * 65_536 + 10).unwrap();
    let trouble = read(reader).await.unwrap_err();
    assert_eq!(trouble.to_string(), "block 5 is cut short");
    assert!(store.stats().damaged.contains(&(Damage::Size, 1)));
}

#[tokio::test]
async fn trouble_with_a_large_body_shows_before_its_first_byte_is_needed() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    stored(&setup.open(), &key("k"), label("v", ""), &body(1, 3 * MIB)).await;
    let store = setup.open();
    let mut reader = find(&store, &key("k"), "v").await.unwrap().reader();
    fs::remove_file(setup.objects().remove(0)).unwrap();
    let trouble = reader.ready().await.unwrap_err();
    assert!(trouble.to_string().starts_with("opening the file: No such file"), "{trouble}");
    assert!(store.peek(b"k").is_none() && store.look_up(&key("k")).await.is_none());
}

#[tokio::test]
async fn a_torn_change_of_metadata_is_a_miss() {
    let setup = Setup::new(8 * KIB, 64 * MIB);
    let right = body(1, 300_000);
    let store = setup.open();
    stored(&store, &key("k"), label("v", "old"), &right).await;
    let path = setup.objects().remove(0);
    let old = fs::read(&path).unwrap();
    let entry = find(&store, &key("k"), "v").await.unwrap();
    store.replace_meta(&key("k"), &entry, label("v", "new and longer")).unwrap();
    drop((entry, store));
    let new = fs::read(&path).unwrap();
    for written in [1, 20, 60, new.len() - right.len() - 1] {
        let torn = right.len() + written;
        let bytes = [&new[..torn], old.get(torn..).unwrap_or_default()].concat();
        fs::write(&path, bytes).unwrap();
        let store = setup.open();
        if let Some((text, found)) = get(&store, &key("k"), "v").await {
            assert!(found == right && text == "old", "{written} of the new tail: {text}");
        }
    }
}
