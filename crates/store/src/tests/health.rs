//! A file system that is full before the cache is, and a device that fails again and again.

use super::*;
use crate::disk::{Fault, Op};
use crate::{Committed, NotStored};

fn fault(errno: rustix::io::Errno) -> Fault {
    Fault::Errno(errno.raw_os_error())
}

/// A file system that has room for so many bytes below the store.
fn full_beyond(setup: &Setup, limit: u64) -> Files {
    let root = setup.root();
    Files::failing(move |op| {
        let size = |path: PathBuf| path.metadata().map_or(0, |about| about.len());
        let below = |name| files_below(&root.join(name)).into_iter().map(size).sum::<u64>();
        let is_full = op == Op::Write
            && ["objects", "segments", "tmp"].map(below).iter().sum::<u64>() >= limit;
        is_full.then_some(fault(rustix::io::Errno::NOSPC))
    })
}

/// Stores a body, and says whether the disk took it.
async fn takes(store: &Store<Label>, setup: &Setup, number: u64, length: u64) -> bool {
    let name = key(&format!("number {number}"));
    let _ = put(store, &name, label("v", ""), &body(number, length)).await;
    store.flush().await;
    let is_there = find(store, &name, "v").await.is_some();
    setup.millis.fetch_add(10_000, Ordering::SeqCst);
    is_there
}

#[tokio::test]
async fn a_cache_of_large_files_makes_room_for_itself_when_the_file_system_is_full() {
    for memory in [0, 64 * MIB] {
        let mut setup = Setup::new(memory, 256 * MIB);
        setup.files = full_beyond(&setup, 8 * MIB);
        let store = setup.open();
        let mut taken = 0;
        for number in 0..40 {
            taken += u64::from(takes(&store, &setup, number, MIB + MIB / 2).await);
        }
        let stats = store.stats();
        assert!(taken >= 15 && stats.disk_write_failures > 0, "{taken} taken, {stats:?}");
        // Of each failure one or two go.
        assert!(stats.disk_evictions <= 3 * stats.disk_write_failures, "{stats:?}");
        assert!(stats.disk_entries >= 3, "not all goes: {stats:?}");
    }
}

#[tokio::test]
async fn a_cache_of_small_entries_makes_room_for_itself_when_the_file_system_is_full() {
    let mut setup = Setup::new(0, 32 * MIB);
    setup.files = full_beyond(&setup, 8 * MIB);
    let store = setup.open();
    let mut taken = 0;
    for number in 0..400 {
        taken += u64::from(takes(&store, &setup, number, 100_000).await);
    }
    let stats = store.stats();
    assert!(taken >= 200 && stats.disk_write_failures > 0, "{taken} taken, {stats:?}");
}

#[tokio::test]
async fn new_metadata_that_finds_the_file_system_full_makes_room() {
    let (mut setup, on) = (Setup::new(64 * MIB, 256 * MIB), Arc::new(AtomicBool::new(false)));
    let is_full = Arc::clone(&on);
    setup.files = Files::failing(move |op| {
        let fails = op == Op::Write && is_full.load(Ordering::SeqCst);
        fails.then_some(fault(rustix::io::Errno::NOSPC))
    });
    let store = setup.open();
    for name in ["oldest", "large"] {
        stored(&store, &key(name), label("v", ""), &body(1, 9 * MIB)).await;
    }
    store.flush().await;
    on.store(true, Ordering::SeqCst);
    let large = find(&store, &key("large"), "v").await.unwrap();
    store.replace_meta(&key("large"), &large, label("v", "newer"));
    store.flush().await;
    assert!(setup.objects().is_empty(), "the one whose tail may be torn, and the oldest");
    assert_eq!(store.stats().disk_evictions, 1);
}

#[tokio::test]
async fn a_device_that_cannot_be_read_five_times_in_a_row_is_left_alone_for_a_while() {
    let (mut setup, on) = (Setup::new(0, 64 * MIB), Arc::new(AtomicBool::new(false)));
    let is_broken = Arc::clone(&on);
    setup.files = Files::failing(move |op| match op {
        Op::ReadNow => Some(fault(rustix::io::Errno::AGAIN)),
        Op::Read if is_broken.load(Ordering::SeqCst) => Some(fault(rustix::io::Errno::IO)),
        _ => None,
    });
    let store = setup.open();
    for number in 0..8_u64 {
        stored(&store, &key(&number.to_string()), label("v", ""), b"short").await;
    }
    store.flush().await;
    on.store(true, Ordering::SeqCst);
    for number in 0..8_u64 {
        assert!(find(&store, &key(&number.to_string()), "v").await.is_none());
    }
    let stats = store.stats();
    assert_eq!((stats.disk_read_errors, stats.disk_left_alone, stats.disk_entries), (5, 1, 3));
    assert_eq!(
        put(&store, &key("new"), label("v", ""), b"short").await,
        Ok(Committed::NotStored(NotStored::DiskFailed))
    );
    on.store(false, Ordering::SeqCst);
    assert!(find(&store, &key("7"), "v").await.is_none(), "not yet");
    setup.millis.store(60_000, Ordering::SeqCst);
    assert!(find(&store, &key("7"), "v").await.is_some(), "it was not given up");
    stored(&store, &key("new"), label("v", ""), b"short").await;
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_make_the_disk_rest_for_longer() {
    let (mut setup, on) = (Setup::new(0, 64 * MIB), Arc::new(AtomicBool::new(true)));
    let is_full = Arc::clone(&on);
    setup.files = Files::failing(move |op| {
        let fails = op == Op::Write && is_full.load(Ordering::SeqCst);
        fails.then_some(fault(rustix::io::Errno::NOSPC))
    });
    let day = 24 * 3_600_000;
    setup.millis.store(2 * day, Ordering::SeqCst);
    let store = setup.open();
    stored_nowhere(&store, &key("k")).await;
    on.store(false, Ordering::SeqCst);
    stored_nowhere(&store, &key("k")).await;
    setup.millis.store(day, Ordering::SeqCst);
    stored(&store, &key("k"), label("v", ""), b"x").await;
    store.flush().await;
    drop(store);
    setup.millis.store(0, Ordering::SeqCst);
    let store = setup.open();
    assert!(find(&store, &key("k"), "v").await.is_some(), "also after a restart");
}

async fn stored_nowhere(store: &Store<Label>, key: &Key) {
    let _ = put(store, key, label("v", ""), b"x").await;
    store.flush().await;
    assert!(find(store, key, "v").await.is_none());
}
