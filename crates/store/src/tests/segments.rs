//! Small entries in segments: how much they take, and what is found after a stop and after a crash.

use std::fs;

use super::*;
use crate::Damage;
use crate::disk::Op;

fn name(number: u64) -> Key {
    key(&format!("https://example.org/a/longer/path/than/most/{number}"))
}

async fn put_many(store: &Store<Label>, numbers: std::ops::Range<u64>, length: u64) {
    for number in numbers {
        let text = number.to_string();
        stored(store, &name(number), label("v", &text), &body(number, length)).await;
        if number % 1000 == 0 {
            store.flush().await;
        }
    }
    store.flush().await;
}

/// How many of these are found; each has to be right.
async fn count(store: &Store<Label>, numbers: std::ops::Range<u64>, length: u64) -> usize {
    let mut found = 0;
    for number in numbers {
        if let Some((text, got)) = get(store, &name(number), "v").await {
            assert!(text == number.to_string() && got == body(number, length));
            found += 1;
        }
    }
    found
}

#[tokio::test]
async fn small_entries_share_a_segment_and_large_ones_have_files() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    put_many(&store, 0..100, 1000).await;
    stored(&store, &key("large"), label("v", ""), &body(1, 300_000)).await;
    store.flush().await;
    assert_eq!((setup.segments().len(), setup.objects().len()), (1, 1));
    assert_eq!(store.stats().disk_entries, 101);
}

#[tokio::test]
async fn a_hit_writes_nothing() {
    let writes = Arc::new(AtomicU64::new(0));
    let mut setup = Setup::new(0, 64 * MIB);
    let counted = Arc::clone(&writes);
    setup.files = Files::failing(move |op| {
        let writes = !matches!(op, Op::Open | Op::Read | Op::ReadNow);
        counted.fetch_add(u64::from(writes), Ordering::SeqCst);
        None
    });
    let store = setup.open();
    put_many(&store, 0..50, 1000).await;
    writes.store(0, Ordering::SeqCst);
    assert_eq!(count(&store, 0..50, 1000).await, 50);
    store.flush().await;
    assert_eq!(writes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_record_that_the_system_has_in_memory_is_read_on_the_spot() {
    let (now, waiting) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut setup = Setup::new(0, 64 * MIB);
    let counted = (Arc::clone(&now), Arc::clone(&waiting));
    setup.files = Files::failing(move |op| {
        counted.0.fetch_add(u64::from(op == Op::ReadNow), Ordering::SeqCst);
        counted.1.fetch_add(u64::from(op == Op::Read), Ordering::SeqCst);
        None
    });
    let store = setup.open();
    put_many(&store, 0..50, 1000).await;
    assert_eq!(count(&store, 0..50, 1000).await, 50);
    if cfg!(target_os = "linux") {
        assert_eq!((now.load(Ordering::SeqCst), waiting.load(Ordering::SeqCst)), (50, 0));
    }
}

#[tokio::test]
async fn many_records_are_written_in_one_go() {
    let (gate, writes) = (Arc::new(Gate::default()), Arc::new(AtomicU64::new(0)));
    let mut setup = Setup::new(8 * MIB, 64 * MIB);
    let (held, counted) = (Arc::clone(&gate), Arc::clone(&writes));
    setup.files = Files::failing(move |op| {
        if op == Op::Write {
            held.pass();
            counted.fetch_add(1, Ordering::SeqCst);
        }
        None
    });
    let store = setup.open();
    put_many(&store, 0..1, 1000).await;
    gate.set(true);
    for number in 1..600 {
        stored(&store, &name(number), label("v", ""), &body(number, 1000)).await;
    }
    writes.store(0, Ordering::SeqCst);
    gate.set(false);
    store.flush().await;
    let writes = writes.load(Ordering::SeqCst);
    assert!(writes <= 3, "{writes} writes for 600 KB");
}

#[tokio::test]
async fn everything_is_found_after_a_stop_and_after_a_crash() {
    let setup = Setup::new(0, 32 * MIB);
    let store = setup.open();
    put_many(&store, 0..5000, 1000).await;
    assert!(setup.segments().len() > 2);
    let killed = setup.copy();
    drop(store);
    let store = setup.open();
    assert_eq!(store.stats().segments_to_recover, 0);
    assert_eq!(count(&store, 0..5000, 1000).await, 5000);
    let store = recovered(killed.open());
    assert_eq!(store.stats().disk_entries, 5000);
    assert_eq!(count(&store, 0..5000, 1000).await, 5000);
    assert_eq!(store.stats().damaged.iter().map(|(_, count)| count).sum::<u64>(), 0);
}

#[tokio::test]
async fn an_old_snapshot_is_never_trusted() {
    let setup = Setup::new(0, 32 * MIB);
    put_many(&setup.open(), 0..10, 100).await;
    let snapshot = fs::read(setup.root().join("snapshot")).unwrap();
    let store = setup.open();
    assert!(!setup.root().join("snapshot").exists());
    store.remove(&name(3));
    stored(&store, &name(4), label("v", "new"), b"new").await;
    store.flush().await;
    let killed = setup.copy();
    fs::write(killed.root().join("snapshot"), &snapshot).unwrap();
    let store = recovered(killed.open());
    assert!(get(&store, &name(3), "v").await.is_none());
    assert_eq!(get(&store, &name(4), "v").await.unwrap().1, b"new");
    assert_eq!(get(&store, &name(5), "v").await.unwrap().1, body(5, 100));
    assert!(store.stats().damaged.contains(&(Damage::Identity, 1)));
}

#[tokio::test]
async fn an_entry_takes_at_most_a_hundred_bytes_of_memory() {
    let setup = Setup::new(0, 512 * MIB);
    let store = setup.open();
    let mut most = 0.0_f64;
    for from in (0..60_000).step_by(500) {
        put_many(&store, from..from + 500, 10).await;
        if from > 10_000 {
            let stats = store.stats();
            most = most.max(stats.index_bytes as f64 / stats.disk_entries as f64);
        }
    }
    // The list of the open segment and what is held are bounded whatever is stored: here all is in
    // one segment, so the list counts in full.
    assert!(most < 100.0 + 80.0, "{most}");
    drop(store);
    let stats = setup.open().stats();
    let each = stats.index_bytes as f64 / stats.disk_entries as f64;
    assert!(each < 100.0, "{each}");
}

#[tokio::test]
async fn the_log_writes_little_more_than_what_is_stored() {
    let setup = Setup::new(0, 8 * MIB);
    let store = setup.open();
    put_many(&store, 0..20_000, 1000).await;
    let cold = store.stats();
    let ratio = cold.log_written_bytes as f64 / cold.log_stored_bytes as f64;
    assert!(ratio < 1.05 && cold.log_copied_bytes == 0, "{ratio}");
    for number in 20_000..40_000 {
        stored(&store, &name(number), label("v", ""), &body(number, 1000)).await;
        if number % 100 == 0 {
            store.flush().await;
            assert!(setup.on_disk() <= 8 * MIB);
            // A tenth of what is stored is hit all the time.
            for hot in (15_000..20_000).step_by(10) {
                store.look_up(&name(hot)).await;
            }
        }
    }
    store.flush().await;
    let stats = store.stats();
    let ratio = (stats.log_written_bytes - cold.log_written_bytes) as f64
        / (stats.log_stored_bytes - cold.log_stored_bytes) as f64;
    assert!((1.05..1.3).contains(&ratio), "{ratio}");
    let mut kept = 0;
    for hot in (15_000..20_000).step_by(10) {
        kept += count(&store, hot..hot + 1, 1000).await;
    }
    // Two that share a mark share it with each other: the first that asks has it.
    assert!(kept >= 490, "{kept} of 500 that are hit stay");
}

#[tokio::test]
async fn if_all_is_hit_there_is_still_room_for_what_is_new() {
    let setup = Setup::new(0, 2 * MIB);
    let store = setup.open();
    for number in 0..4000 {
        stored(&store, &name(number), label("v", &number.to_string()), &body(number, 1000)).await;
        store.flush().await;
        assert!(setup.on_disk() <= 2 * MIB);
        assert!(get(&store, &name(number), "v").await.is_some());
        if number % 50 == 0 {
            count(&store, number.saturating_sub(2000)..number, 1000).await;
        }
    }
    let stats = store.stats();
    assert!(stats.log_written_bytes < 3 * stats.log_stored_bytes, "{stats:?}");
}
