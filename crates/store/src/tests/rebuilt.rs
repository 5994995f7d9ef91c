//! Directories that somebody removes while the store is open are made again.

use std::fs;

use super::*;

async fn put_some(store: &Store<Label>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let small = key(&format!("small {number}"));
        let _ = put(store, &small, label("v", ""), &body(number, 30_000)).await;
        store.flush().await;
    }
}

async fn put_large(store: &Store<Label>, name: &str) {
    let _ = put(store, &key(name), label("v", ""), &body(7, MIB)).await;
    store.flush().await;
}

async fn has(store: &Store<Label>, name: &str) -> bool {
    find(store, &key(name), "v").await.is_some()
}

#[tokio::test]
async fn a_directory_that_is_removed_is_made_again_and_the_cache_works_on() {
    for gone in ["segments", "tmp", "objects", ""] {
        let setup = Setup::new(0, 4 * MIB);
        let store = setup.open();
        put_some(&store, 0..3).await;
        put_large(&store, "before").await;
        fs::remove_dir_all(setup.root().join(gone)).unwrap();
        put_large(&store, "lost, or not").await;
        put_large(&store, "after").await;
        // More than one segment.
        put_some(&store, 3..23).await;
        assert!(has(&store, "after").await && has(&store, "small 22").await, "{gone}");
        assert_eq!(has(&store, "before").await, !["objects", ""].contains(&gone), "{gone}");
        put_large(&store, "last").await;
        store.flush().await;
        let copy = setup.copy();
        drop(store);
        for store in [setup.open(), recovered(copy.open())] {
            let store = recovered(store);
            assert!(has(&store, "last").await && has(&store, "small 22").await, "{gone}");
            assert_eq!(store.stats().event_logs_lost, 0, "{gone}");
        }
    }
}

#[tokio::test]
async fn a_directory_that_another_process_has_taken_meanwhile_is_left_alone() {
    let setup = Setup::new(16 * MIB, 64 * MIB);
    let store = setup.open();
    put_large(&store, "before").await;
    fs::remove_dir_all(setup.root()).unwrap();
    let other = setup.open();
    put_large(&other, "of the other").await;
    fs::remove_dir(setup.root().join("tmp")).unwrap();
    put_large(&store, "seen").await;
    put_large(&store, "not stored").await;
    let before = setup.objects().len();
    put_large(&store, "nor this").await;
    assert_eq!(setup.objects().len(), before);
    assert_eq!(store.stats().disk_left_alone, 1);
    stored(&store, &key("small"), label("v", ""), b"in memory").await;
    assert!(store.peek(b"small").is_some());
    drop(store);
    put_large(&other, "goes on").await;
    assert!(has(&other, "goes on").await && has(&other, "of the other").await);
}
