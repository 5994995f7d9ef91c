//! A start for which the system has too little of something, and a stop that looks are not held up by.

use std::sync::atomic::AtomicI64;

use super::*;
use crate::OpenError;
use crate::disk::{Fault, Op};

fn errno(errno: rustix::io::Errno) -> Fault {
    Fault::Errno(errno.raw_os_error())
}

/// So many operations of this kind fail, after some that do not, on one thread if it is named.
fn failing(op: Op, fault: Fault, thread: Option<&'static str>, from: i64, count: i64) -> Files {
    let done = AtomicI64::new(0);
    Files::failing(move |now| {
        let here = std::thread::current().name() == thread || thread.is_none();
        let is_due = || (from..from + count).contains(&done.fetch_add(1, Ordering::SeqCst));
        (now == op && here && is_due()).then_some(fault)
    })
}

/// What a killed process left: five segments of records and a large file.
async fn left_behind() -> Setup {
    let mut setup = Setup::new(0, 4 * MIB);
    setup.options.disk_patience = Duration::from_secs(2);
    let store = setup.open();
    for number in 0..20_u64 {
        let name = key(&number.to_string());
        stored(&store, &name, label("v", ""), &body(number, 30_000)).await;
        store.flush().await;
    }
    stored(&store, &key("large"), label("v", ""), &body(1, MIB)).await;
    store.flush().await;
    assert!(setup.segments().len() >= 3);
    setup.copy()
}

async fn has_all(store: &Store<Label>) {
    for number in 0..20_u64 {
        assert!(find(store, &key(&number.to_string()), "v").await.is_some(), "{number}");
    }
    assert!(find(store, &key("large"), "v").await.is_some());
}

#[tokio::test]
async fn a_shortage_while_records_are_looked_for_forgets_none_of_them() {
    use rustix::io::Errno;
    for (op, shortage) in
        [(Op::Open, Errno::MFILE), (Op::Read, Errno::NOMEM), (Op::Open, Errno::NFILE)]
    {
        for from in 0..3 {
            let mut setup = left_behind().await;
            setup.files = failing(op, errno(shortage), Some("store-finder"), from, 3);
            let store = recovered(setup.open());
            let stats = store.stats();
            assert_eq!(stats.disk_read_errors, 3, "{op:?}, {shortage:?}, {from}");
            assert!(stats.damaged.iter().all(|(_, count)| *count == 0), "{stats:?}");
            has_all(&store).await;
        }
    }
}

#[tokio::test]
async fn a_store_can_be_closed_while_it_waits_for_a_file_to_open() {
    let mut setup = left_behind().await;
    let files =
        failing(Op::Open, errno(rustix::io::Errno::MFILE), Some("store-finder"), 0, i64::MAX);
    setup.files = files;
    drop(setup.open());
    setup.files = Files::default();
    has_all(&recovered(setup.open())).await;
}

#[tokio::test]
async fn a_start_that_can_open_no_file_gives_nothing_up() {
    let mut setup = left_behind().await;
    let mut refused = 0;
    for op in [Op::Open, Op::Read] {
        for from in 0..12 {
            setup.files = failing(op, errno(rustix::io::Errno::MFILE), None, from, 1);
            let opened = Store::<Label>::open_with(&setup.options, setup.files.clone());
            refused += u64::from(matches!(opened, Err(OpenError::Io { .. })));
            drop(opened);
            let copy = setup.copy();
            let store = recovered(copy.open());
            assert_eq!(store.stats().event_logs_lost, 0);
            has_all(&store).await;
        }
    }
    assert!(refused >= 4, "{refused}");
}

#[tokio::test]
async fn a_removal_that_cannot_be_written_empties_a_marker_that_cannot_be_removed() {
    let mut setup = Setup::new(0, 64 * MIB);
    let (on, writes) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
    let failing = Arc::clone(&on);
    setup.files = Files::failing(move |op| {
        let fails = failing.load(Ordering::SeqCst)
            && std::thread::current().name() == Some("store-writer")
            && (op == Op::Unlink || op == Op::Write && writes.fetch_add(1, Ordering::SeqCst) == 0);
        fails.then_some(errno(rustix::io::Errno::NOSPC))
    });
    let store = setup.open();
    stored(&store, &key("k"), label("v", ""), b"x").await;
    store.flush().await;
    on.store(true, Ordering::SeqCst);
    let entry = find(&store, &key("k"), "v").await.unwrap();
    assert!(store.remove_entry(&key("k"), &entry));
    store.flush().await;
    let copy = setup.copy();
    assert!(copy.root().join("newest").exists());
    let killed = recovered(copy.open());
    assert!(find(&killed, &key("k"), "v").await.is_none());
    // Well again, the removal is written, and what comes then is found.
    on.store(false, Ordering::SeqCst);
    setup.millis.store(10_000, Ordering::SeqCst);
    stored(&store, &key("more"), label("v", ""), b"y").await;
    store.flush().await;
    let copy = setup.copy();
    let killed = recovered(copy.open());
    assert!(find(&killed, &key("k"), "v").await.is_none());
    assert!(find(&killed, &key("more"), "v").await.is_some());
}

/// The write of a snapshot waits at a gate.
async fn settling(setup: &mut Setup) -> (Store<Label>, Arc<Gate>, tokio::task::JoinHandle<()>) {
    let gate = Arc::new(Gate::default());
    let at = Arc::clone(&gate);
    let aside = setup.root().join("snapshot.new");
    setup.files = Files::failing(move |op| {
        if op == Op::Write && aside.exists() {
            at.pass();
        }
        None
    });
    let store = setup.open();
    for number in 0..100_u64 {
        stored(&store, &key(&number.to_string()), label("v", ""), b"short").await;
    }
    store.flush().await;
    gate.set(true);
    let settled = store.clone();
    let settled = tokio::spawn(async move { settled.settle().await });
    gate.reached().await;
    (store, gate, settled)
}

#[tokio::test]
async fn look_ups_go_on_while_a_snapshot_is_written() {
    let mut setup = Setup::new(0, 64 * MIB);
    let (store, gate, settled) = settling(&mut setup).await;
    for number in 0..100_u64 {
        assert!(find(&store, &key(&number.to_string()), "v").await.is_some());
    }
    gate.set(false);
    settled.await.unwrap();
    let copy = setup.copy();
    let stats = copy.open().stats();
    assert_eq!((stats.segments_to_recover, stats.disk_entries), (0, 100), "it is whole");
}

#[tokio::test]
async fn a_snapshot_under_which_something_was_removed_does_not_count() {
    let mut setup = Setup::new(0, 64 * MIB);
    let (store, gate, settled) = settling(&mut setup).await;
    let entry = find(&store, &key("7"), "v").await.unwrap();
    assert!(store.remove_entry(&key("7"), &entry));
    gate.set(false);
    settled.await.unwrap();
    assert!(!setup.root().join("snapshot").exists());
    store.flush().await;
    let copy = setup.copy();
    let killed = recovered(copy.open());
    assert!(find(&killed, &key("7"), "v").await.is_none());
    assert!(find(&killed, &key("8"), "v").await.is_some());
}
