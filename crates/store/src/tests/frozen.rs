//! A directory that goes from one process to another while the first still reads it.

use super::*;
use crate::{Fate, Matcher};

const SMALL: u64 = 5_000;

fn heir(setup: &Setup, store: &Store<Label>) -> Store<Label> {
    Store::open_held(setup.options.clone(), Some(store.lock().unwrap())).unwrap()
}

/// Small bodies, and a large one that has a file.
async fn fill(store: &Store<Label>) {
    for number in 0..20_u64 {
        let length = if number == 0 { MIB } else { SMALL };
        let name = key(&number.to_string());
        stored(store, &name, label("v", "first"), &body(number, length)).await;
    }
}

async fn count(store: &Store<Label>) -> usize {
    let mut found = 0;
    for number in 0..20_u64 {
        if let Some((text, read)) = get(store, &key(&number.to_string()), "v").await {
            let length = if number == 0 { MIB } else { SMALL };
            assert_eq!((text.as_str(), read), ("first", body(number, length)), "{number}");
            found += 1;
        }
    }
    found
}

/// All files with what is in them.
fn contents(setup: &Setup) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = files_below(&setup.root())
        .into_iter()
        .map(|path| (path.clone(), read_file(path)))
        .collect();
    found.sort();
    found
}

fn read_file(path: PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn a_frozen_store_is_read_and_nothing_changes_in_its_directory() {
    for memory in [0, 8 * MIB] {
        let setup = Setup::new(memory, 64 * MIB);
        let store = setup.open();
        fill(&store).await;
        let mut large = store.begin(key("under way"), label("v", ""), Some(2 * MIB)).unwrap();
        large.write(Bytes::from(body(1, MIB))).await.unwrap();
        assert!(store.freeze().await);
        let before = contents(&setup);
        assert_eq!(count(&store).await, 20);
        large.write(Bytes::from(body(2, MIB))).await.unwrap();
        let _ = large.commit(&[]).await;
        let new = put(&store, &key("new"), label("v", "new"), b"new").await;
        assert_eq!(new == Ok(Committed::Stored), memory > 0);
        store.remove(&key("1"));
        let ended = store.invalidate(&[Matcher::Key(b"2")], Fate::Dead);
        assert_eq!(count(&store).await, 18);
        store.flush().await;
        store.settle().await;
        assert!(contents(&setup) == before);
        store.leave();
        // What nobody will ever write is not waited for.
        ended.await;
        store.invalidate(&[Matcher::Key(b"3")], Fate::Dead).await;
        store.recorded().await;
        drop(store);
        assert!(contents(&setup) == before);
    }
}

#[tokio::test]
async fn another_process_goes_on_at_once_and_nobody_else_gets_in() {
    let setup = Setup::new(0, 64 * MIB);
    let store = setup.open();
    fill(&store).await;
    store.remove(&key("19"));
    assert!(store.freeze().await);
    let heir = heir(&setup, &store);
    assert_eq!(heir.stats().segments_to_recover, 0, "there was a snapshot");
    store.leave();
    assert_eq!((count(&heir).await, count(&store).await), (19, 19));
    for number in 0..20_u64 {
        stored(&heir, &key(&format!("new {number}")), label("v", ""), &body(1, SMALL)).await;
    }
    heir.remove(&key("1"));
    drop(store);
    let other = Store::<Label>::open(setup.options.clone());
    assert!(matches!(other, Err(crate::OpenError::InUse { .. })));
    drop(heir);
    let again = setup.open();
    assert_eq!(count(&again).await, 18);
    assert!(find(&again, &key("new 19"), "v").await.is_some());
    assert!(again.stats().damaged.iter().all(|(_, count)| *count == 0));
}

/// `ENTRIES=1000000 cargo test --release -p store goes_over_in -- --nocapture` does it with more.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how many is for who runs the test to say")]
async fn a_store_goes_over_in_little_time() {
    let entries = std::env::var("ENTRIES").ok().and_then(|text| text.parse().ok());
    let entries: u64 = entries.unwrap_or(5_000);
    let setup = Setup::new(MIB, 4 << 30);
    let store = setup.open();
    for number in 0..entries {
        let name = key(&format!("http://site.example/some/path/{number}"));
        let _ = put(&store, &name, label("v", "first"), &body(number, 1000)).await;
        if number % 2_000 == 0 {
            store.flush().await;
        }
    }
    store.flush().await;
    let began = tokio::time::Instant::now();
    assert!(store.freeze().await);
    let frozen = began.elapsed();
    let heir = heir(&setup, &store);
    let opened = began.elapsed();
    println!("{entries} entries: frozen after {frozen:?}, opened after {opened:?}");
    assert_eq!(heir.stats().disk_entries, entries);
    assert_eq!(heir.stats().segments_to_recover, 0);
    assert!(opened < Duration::from_secs(2), "{opened:?}");
}

#[tokio::test]
async fn a_process_that_has_left_does_not_keep_the_directory() {
    let setup = Setup::new(0, 64 * MIB);
    let store = setup.open();
    fill(&store).await;
    assert!(store.freeze().await);
    let heir = heir(&setup, &store);
    store.leave();
    // Its threads may need a moment to end.
    drop(heir);
    assert_eq!(count(&setup.open()).await, 20);
    assert_eq!(count(&store).await, 20, "what is open can be read");
}

#[tokio::test]
async fn a_store_that_is_taken_back_goes_on_as_before() {
    for has_opened in [false, true] {
        let setup = Setup::new(0, 64 * MIB);
        let store = setup.open();
        fill(&store).await;
        assert!(store.freeze().await);
        store.remove(&key("1"));
        if has_opened {
            drop(heir(&setup, &store));
        }
        let ended = store.invalidate(&[Matcher::Key(b"2")], Fate::Dead);
        store.thaw();
        ended.await;
        assert_eq!(count(&store).await, 18);
        for number in 0..20_u64 {
            stored(&store, &key(&format!("new {number}")), label("v", ""), &body(1, SMALL)).await;
        }
        store.remove(&key("3"));
        store.recorded().await;
        store.flush().await;
        // Were it killed now, and after a stop.
        assert_eq!(count(&recovered(setup.copy().open())).await, 17, "{has_opened}");
        drop(store);
        let again = setup.open();
        assert_eq!(count(&again).await, 17, "{has_opened}");
        assert_eq!(again.stats().segments_to_recover, 0);
    }
}
