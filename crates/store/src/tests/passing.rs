//! What could come back after a kill because something failed, or was not known, before.

use super::*;
use crate::disk::{Fault, Op};

/// So many operations of one kind fail from now on, of those that the writer does.
fn failing(op: Op, fault: Fault) -> (Files, Arc<AtomicU64>) {
    let left = Arc::new(AtomicU64::new(0));
    let due = Arc::clone(&left);
    let files = Files::failing(move |now| {
        let one_less = |left: u64| left.checked_sub(1);
        let is_it = now == op && std::thread::current().name() == Some("store-writer");
        let fails = is_it && due.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        fails.then_some(fault)
    });
    (files, left)
}

fn io_error() -> Fault {
    Fault::Errno(rustix::io::Errno::IO.raw_os_error())
}

fn name(number: u64) -> Key {
    key(&format!("number {number}"))
}

async fn put_some(store: &Store<Label>, numbers: std::ops::Range<u64>, length: u64) {
    for number in numbers {
        let _ = put(store, &name(number), label("v", ""), &body(number, length)).await;
    }
    store.flush().await;
}

/// What a process finds that starts after this one was killed, with more room than this one had; as
/// long as its directory is there.
fn killed(setup: &Setup) -> (Store<Label>, Setup) {
    let mut copy = setup.copy();
    copy.options.disk.as_mut().unwrap().capacity = 64 * MIB;
    (recovered(copy.open()), copy)
}

async fn text(store: &Store<Label>, number: u64) -> Option<String> {
    Some(get(store, &name(number), "v").await?.0)
}

#[tokio::test]
async fn what_was_evicted_and_then_removed_stays_away_if_its_segment_could_not_go() {
    let mut setup = Setup::new(0, 2 * MIB);
    let (files, left) = failing(Op::Unlink, io_error());
    setup.files = files;
    let store = setup.open();
    let mut number = 0;
    left.store(u64::MAX, Ordering::SeqCst);
    while store.stats().disk_write_failures == 0 {
        put_some(&store, number..number + 1, 8000).await;
        number += 1;
    }
    assert!(find(&store, &name(0), "v").await.is_none(), "evicted {number}");
    assert!(setup.segments()[0].ends_with("00000001"), "and still there");
    store.remove(&name(0));
    store.recorded().await;
    store.flush().await;
    assert!(text(&killed(&setup).0, 0).await.is_none(), "killed");
    drop(store);
    let stopped = setup.open();
    stopped.remove(&name(1));
    stopped.recorded().await;
    assert!(text(&killed(&setup).0, 1).await.is_none(), "stopped, then killed");
}

#[tokio::test]
async fn a_snapshot_counts_also_if_a_write_failed_before() {
    let mut setup = Setup::new(0, 64 * MIB);
    let (files, left) = failing(Op::Write, Fault::Short);
    setup.files = files;
    let store = setup.open();
    put_some(&store, 0..10, 5000).await;
    left.store(1, Ordering::SeqCst);
    put_some(&store, 10..11, 5000).await;
    setup.millis.store(10_000, Ordering::SeqCst);
    put_some(&store, 20..30, 5000).await;
    assert_eq!(setup.segments().len(), 2);
    drop(store);
    let store = setup.open();
    let stats = store.stats();
    assert_eq!((stats.segments_to_recover, stats.disk_entries), (0, 20), "{stats:?}");
    assert!(stats.damaged.iter().all(|(_, count)| *count == 0), "{stats:?}");
    assert_eq!(stats.segment_bytes, setup.on_disk());
}

/// The write of copies fails in the middle, and what it left cannot be cut off.
fn failing_copies(setup: &Setup, segment: &'static str) -> (Files, Arc<AtomicBool>) {
    let (writes, failed) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let (segment, done) = (setup.root().join("segments").join(segment), Arc::clone(&failed));
    let files = Files::failing(move |op| {
        let to_segment = op == Op::Write
            && std::thread::current().name() == Some("store-writer")
            && segment.exists();
        // Room for it, its header, and the marker come first.
        let fails = to_segment && (3..5).contains(&writes.fetch_add(1, Ordering::SeqCst));
        done.fetch_or(fails, Ordering::SeqCst);
        fails.then_some(Fault::Short)
    });
    (files, failed)
}

#[tokio::test]
async fn what_was_copied_in_vain_and_then_evicted_and_removed_stays_away() {
    let mut setup = Setup::new(0, 2 * MIB);
    let (files, failed) = failing_copies(&setup, "00000010");
    setup.files = files;
    let store = setup.open();
    let (before, mut number) = (setup.root().join("segments/0000000f"), 0);
    while !before.exists() {
        put_some(&store, number..number + 1, 8000).await;
        number += 1;
    }
    for hot in 0..number {
        assert!(text(&store, hot).await.is_some());
    }
    while !failed.load(Ordering::SeqCst) {
        put_some(&store, number..number + 1, 8000).await;
        number += 1;
    }
    assert!(store.stats().log_copied_bytes > 0);
    // Well again: the segment that they were copied from goes.
    for more in number..number + 40 {
        setup.millis.fetch_add(10_000, Ordering::SeqCst);
        put_some(&store, more..more + 1, 8000).await;
    }
    assert!(setup.segments().iter().any(|path| path.ends_with("00000010")));
    (0..number).for_each(|number| _ = store.remove(&name(number)));
    store.flush().await;
    let (killed, _copy) = killed(&setup);
    for gone in 0..number {
        assert!(text(&killed, gone).await.is_none(), "{gone}");
    }
}

#[tokio::test]
async fn a_file_stored_before_all_is_found_ends_the_older_record_for_good() {
    let setup = Setup::new(0, 4 * MIB);
    let store = setup.open();
    stored(&store, &key("k"), label("v", "older"), b"older").await;
    store.flush().await;
    let mut setup = setup.copy();
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    gate.set(true);
    setup.files = Files::failing(move |_| {
        if std::thread::current().name() == Some("store-finder") {
            held.pass();
        }
        None
    });
    let store = setup.open();
    stored(&store, &key("k"), label("v", "newer"), &body(1, 300_000)).await;
    gate.set(false);
    let store = recovered(store);
    let newer = find(&store, &key("k"), "v").await.unwrap();
    assert!(store.remove_entry(&key("k"), &newer));
    store.flush().await;
    let (killed, _copy) = killed(&setup);
    assert!(find(&killed, &key("k"), "v").await.is_none(), "not even the older one");
}
