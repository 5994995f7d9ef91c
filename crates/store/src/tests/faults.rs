//! A disk that fails, fills up or hangs: requests do not notice.

use super::*;
use crate::NotStored;
use crate::disk::{Fault, Op};

const OPS: [Op; 9] = [
    Op::Create,
    Op::CreateInMemory,
    Op::Open,
    Op::Read,
    Op::ReadNow,
    Op::Write,
    Op::Sync,
    Op::Rename,
    Op::Unlink,
];

fn errno(code: rustix::io::Errno) -> Fault {
    Fault::Errno(code.raw_os_error())
}

/// The `nth` operation of this kind fails, and all after it as long as the switch is on.
fn failing_from(op: Op, nth: u64, fault: Fault, on: &Arc<AtomicBool>) -> Files {
    let (count, on) = (AtomicU64::new(0), Arc::clone(on));
    Files::failing(move |now| {
        // What fails to be read is not in memory either.
        if (op, now) == (Op::Read, Op::ReadNow) {
            return Some(errno(rustix::io::Errno::AGAIN));
        }
        let due = now == op && count.fetch_add(1, Ordering::SeqCst) >= nth;
        (due && on.load(Ordering::SeqCst)).then_some(fault)
    })
}

const BODIES: [(&str, u64); 3] = [("small", 500), ("middle", 100_000), ("large", 700_000)];

/// Stores and reads small and large bodies. Every answer must be right or a miss, and a follower
/// must get all of it, unless it is reading that fails.
async fn use_it(store: &Store<Label>, reads_fail: bool) {
    for round in 0..2 {
        for (name, length) in BODIES {
            let (key, text) = (key(name), format!("{name} {round}"));
            let whole = body(length + round, length);
            let mut fill = store.begin(key.clone(), label("v", &text), None).unwrap();
            let follower = tokio::spawn(read(fill.entry().reader()));
            for chunk in whole.chunks(30_000) {
                fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
                tokio::task::yield_now().await;
            }
            let _ = fill.commit(b"").await;
            let got = follower.await.unwrap();
            assert!(got.map_or(reads_fail, |found| found == whole), "{text} was followed");
            store.flush().await;
            right_or_miss(store, &key, &whole, &text).await;
        }
    }
}

async fn right_or_miss(store: &Store<Label>, key: &Key, whole: &[u8], text: &str) {
    let Some(entry) = find(store, key, "v").await else { return };
    let found = entry.meta().text.as_str();
    assert_eq!(found, text, "an older answer than the last one");
    if let Ok(found) = read(entry.reader()).await {
        assert!(found == whole, "wrong bytes of {text}");
    }
}

#[tokio::test]
async fn no_failing_operation_makes_a_wrong_answer() {
    let faults = [errno(rustix::io::Errno::NOSPC), errno(rustix::io::Errno::IO), Fault::Short];
    for op in OPS {
        for nth in [0, 1, 3, 7] {
            for fault in faults {
                for memory in [0, 4 * MIB] {
                    fail_and_restart(memory, op, nth, fault).await;
                }
            }
        }
    }
}

async fn fail_and_restart(memory: u64, op: Op, nth: u64, fault: Fault) {
    let on = Arc::new(AtomicBool::new(true));
    let mut setup = Setup::new(memory, 64 * MIB);
    setup.files = failing_from(op, nth, fault, &on);
    let store = setup.open();
    use_it(&store, matches!(op, Op::Read | Op::Open)).await;
    assert_eq!(store.stats().in_flight_bytes, 0, "{op:?} {nth} {fault:?}");
    drop(store);
    setup.files = Files::default();
    let store = setup.open();
    for (name, length) in BODIES {
        let Some((text, found)) = get(&store, &key(name), "v").await else { continue };
        let round = u64::from(text.ends_with('1'));
        assert!(found == body(length + round, length), "{op:?} {nth} {fault:?}");
    }
}

#[tokio::test]
async fn a_full_disk_rests_and_comes_back() {
    let on = Arc::new(AtomicBool::new(true));
    let mut setup = Setup::new(4 * MIB, 64 * MIB);
    setup.files = failing_from(Op::Write, 0, errno(rustix::io::Errno::NOSPC), &on);
    let store = setup.open();
    let large = body(1, 3 * MIB);
    let committed = put(&store, &key("large"), label("v", ""), &large).await;
    assert_eq!(committed, Ok(Committed::NotStored(NotStored::DiskFailed)));
    assert_eq!(store.stats().disk_write_failures, 1);

    on.store(false, Ordering::SeqCst);
    setup.millis.store(9_999, Ordering::SeqCst);
    let refused = store.begin(key("large"), label("v", ""), Some(3 * MIB)).err();
    assert_eq!(refused.map(crate::Refused::code), Some("disk-resting"));
    stored(&store, &key("small"), label("v", ""), b"in memory all the same").await;
    assert_eq!(store.stats().disk_entries, 0);

    setup.millis.store(10_000, Ordering::SeqCst);
    stored(&store, &key("large"), label("v", ""), &large).await;
    assert!(get(&store, &key("large"), "v").await.unwrap().1 == large);
}

#[tokio::test]
async fn a_disk_that_fails_in_the_middle_does_not_show_to_readers() {
    for nth in [0, 1, 3] {
        let on = Arc::new(AtomicBool::new(true));
        let mut setup = Setup::new(4 * MIB, 64 * MIB);
        setup.files = failing_from(Op::Write, nth, Fault::Short, &on);
        let store = setup.open();
        let whole = body(nth, 6 * MIB);
        let mut fill = store.begin(key("k"), label("v", ""), None).unwrap();
        let reader = tokio::spawn(read(fill.entry().reader()));
        for chunk in whole.chunks(100_000) {
            fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(fill.passed_along(), Some(NotStored::DiskFailed));
        assert!(fill.entry().try_reader().is_none(), "too late to join");
        let committed = fill.commit(b"").await;
        assert_eq!(committed, Committed::NotStored(NotStored::DiskFailed));
        assert!(reader.await.unwrap().unwrap() == whole);
        assert_eq!(store.stats().in_flight_bytes, 0);
    }
}

fn hanging(gate: &Arc<Gate>) -> Files {
    let gate = Arc::clone(gate);
    Files::failing(move |op| {
        match op {
            // Memory does not hang when the disk does, and has nothing of the disk here.
            Op::CreateInMemory => return None,
            Op::ReadNow => return Some(errno(rustix::io::Errno::AGAIN)),
            _ => gate.pass(),
        }
        None
    })
}

#[tokio::test]
async fn a_disk_that_hangs_holds_nobody_up() {
    let gate = Arc::new(Gate::default());
    let mut setup = Setup::new(4 * MIB, 64 * MIB);
    setup.files = hanging(&gate);
    setup.options.disk_patience = Duration::from_millis(50);
    stored(&setup.open(), &key("on disk"), label("v", ""), b"x").await;
    let store = setup.open();
    gate.set(true);

    assert!(store.look_up(&key("on disk")).await.is_none(), "a miss, after a while");
    assert_eq!(store.stats().disk_timeouts, 1);
    stored(&store, &key("small"), label("v", ""), b"in memory").await;
    assert!(store.peek(b"small").is_some());
    let whole = body(1, 6 * MIB);
    let mut fill = store.begin(key("large"), label("v", ""), None).unwrap();
    let reader = tokio::spawn(read(fill.entry().reader()));
    for chunk in whole.chunks(100_000) {
        fill.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    assert_eq!(fill.commit(b"").await, Committed::NotStored(NotStored::DiskSlow));
    assert!(reader.await.unwrap().unwrap() == whole);

    gate.set(false);
    store.flush().await;
    assert!(get(&store, &key("on disk"), "v").await.is_some(), "well again");
}

#[tokio::test]
async fn a_full_queue_skips_the_disk_and_no_look_up_finds_an_older_answer() {
    let gate = Arc::new(Gate::default());
    let mut setup = Setup::new(64 * MIB, 512 * MIB);
    setup.files = hanging(&gate);
    let store = setup.open();
    stored(&store, &key("k"), label("v", "old"), b"old").await;
    store.flush().await;
    gate.set(true);
    let whole = body(1, MIB);
    for number in 0..40 {
        let mut fill = store.begin(key(&number.to_string()), label("v", ""), None).unwrap();
        assert!(fill.try_write(&Bytes::copy_from_slice(&whole)));
        assert!(matches!(fill.commit_now(b""), Ok((_, Committed::Stored))));
    }
    stored(&store, &key("k"), label("v", "new"), &whole).await;
    let stats = store.stats();
    assert!(stats.queue_full_skips >= 8 && stats.queued_bytes <= 32 * MIB, "{stats:?}");
    gate.set(false);
    drop(store);
    let store = setup.open();
    assert!(find(&store, &key("k"), "v").await.is_none(), "neither the old nor half the new one");
    assert!(get(&store, &key("3"), "v").await.unwrap().1 == whole);
}
