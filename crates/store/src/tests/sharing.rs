//! Several runtimes use one store at once.

use std::sync::atomic::AtomicI64;

use super::*;
use crate::disk::{Fault, Op};

/// A body tells which text it belongs to, so that a mix-up shows.
fn body_of(text: &str) -> Vec<u8> {
    let seed = text.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte));
    let sizes = [0, 10, 3000, 70_000, 300_000];
    body(seed, sizes[seed as usize % sizes.len()])
}

fn on_its_own_runtime(
    work: impl Future<Output = ()> + Send + 'static,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work);
    })
}

async fn work(store: Store<Label>, worker: u64) {
    for step in 0..60_u64 {
        let dice = body(worker * 1000 + step, 8);
        let key = key(&format!("k{}", dice[1] % 3));
        let variant = format!("v{}", dice[2] % 2);
        let text = format!("{worker}.{step}");
        match dice[0] % 8 {
            0..3 => {
                let _ = put(&store, &key, label(&variant, &text), &body_of(&text)).await;
            }
            3 => drop(store.remove(&key)),
            4 if let Some(entry) = find(&store, &key, &variant).await => {
                let same = entry.meta().clone();
                store.replace_meta(&key, &entry, same);
            }
            5 if step % 20 == 0 => drop(store.clear()),
            _ => check(&store, &key).await,
        }
    }
}

async fn check(store: &Store<Label>, key: &Key) {
    let Some(found) = store.look_up(key).await else { return };
    for entry in found.iter() {
        // A file may go while we look; what it gave until then is right.
        if let Ok(found) = read(entry.reader()).await {
            assert!(found == body_of(&entry.meta().text), "a body of another answer");
        }
    }
}

#[test]
fn many_runtimes_never_see_a_body_of_another_answer() {
    for (memory, capacity) in [(8 * MIB, 0), (0, 16 * MIB), (256 * KIB, MIB), (8 * MIB, 16 * MIB)] {
        let setup = Setup::new(memory, capacity);
        let store = setup.open();
        let workers: Vec<_> =
            (0..4).map(|worker| on_its_own_runtime(work(store.clone(), worker))).collect();
        for worker in workers {
            worker.join().unwrap();
        }
        let stats = store.stats();
        assert_eq!(stats.damaged.iter().map(|(_, count)| count).sum::<u64>(), 0, "{stats:?}");
        assert_eq!(stats.disk_write_failures + stats.disk_timeouts, 0, "{stats:?}");
        drop(store);
        assert_eq!(setup.temporaries().len(), 0);
    }
}

#[tokio::test]
async fn look_ups_of_one_key_share_one_read() {
    let reads = Arc::new(AtomicU64::new(0));
    let mut setup = Setup::new(8 * MIB, 64 * MIB);
    stored(&setup.open(), &key("k"), label("v", ""), &body(1, 1000)).await;
    let counted = Arc::clone(&reads);
    setup.files = Files::failing(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        None
    });
    let store = setup.open();
    store.flush().await;
    reads.store(0, Ordering::SeqCst);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { get(&store, &key("k"), "v").await.unwrap().1 })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap() == body(1, 1000));
    }
    assert_eq!(reads.load(Ordering::SeqCst), 2, "one open, one read");
}

/// Files that are read at the gate from now on, but for the first `free` times.
fn stopped_after(free: &Arc<AtomicI64>, gate: &Arc<Gate>) -> Files {
    let (free, gate) = (Arc::clone(free), Arc::clone(gate));
    Files::failing(move |op| {
        if op == Op::Read && free.fetch_sub(1, Ordering::SeqCst) == 0 {
            gate.pass();
        }
        // All of it takes a read that may wait.
        let again = Fault::Errno(rustix::io::Errno::AGAIN.raw_os_error());
        (op == Op::ReadNow).then_some(again)
    })
}

#[tokio::test]
async fn what_is_removed_while_it_is_read_does_not_come_back() {
    let gate = Arc::new(Gate::default());
    let mut setup = Setup::new(8 * MIB, 64 * MIB);
    for variant in ["a", "b"] {
        stored(&setup.open(), &key("k"), label(variant, ""), b"x").await;
    }
    let free = Arc::new(AtomicI64::new(i64::MAX));
    setup.files = stopped_after(&free, &gate);
    let store = setup.open();
    free.store(1, Ordering::SeqCst);
    gate.set(true);
    let looking = tokio::spawn({
        let store = store.clone();
        async move { store.look_up(&key("k")).await.is_some() }
    });
    gate.reached().await;
    assert_eq!(store.remove(&key("k")), 2);
    assert!(store.look_up(&key("k")).await.is_none(), "later look-ups do not join the read");
    gate.set(false);
    assert!(!looking.await.unwrap());
    assert!(store.peek(b"k").is_none());
}

#[tokio::test]
async fn metadata_replaced_while_it_is_read_is_read_again() {
    let gate = Arc::new(Gate::default());
    for length in [1000, 300_000] {
        replaced_while_read(&gate, length).await;
    }
}

async fn replaced_while_read(gate: &Arc<Gate>, length: u64) {
    let mut setup = Setup::new(0, 64 * MIB);
    let free = Arc::new(AtomicI64::new(i64::MAX));
    setup.files = stopped_after(&free, gate);
    let store = setup.open();
    for variant in ["older", "newer"] {
        stored(&store, &key("k"), label(variant, "old"), &body(1, length)).await;
    }
    store.flush().await;
    let entry = find(&store, &key("k"), "newer").await.unwrap();
    free.store(1, Ordering::SeqCst);
    gate.set(true);
    let looking = tokio::spawn({
        let store = store.clone();
        async move { find(&store, &key("k"), "newer").await.unwrap().meta().text.clone() }
    });
    // The newer variant has been read, the older one is about to be.
    gate.reached().await;
    assert!(store.replace_meta(&key("k"), &entry, label("newer", "fresh")).is_some());
    store.flush().await;
    gate.set(false);
    assert_eq!(looking.await.unwrap(), "fresh");
}

#[test]
fn everything_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Store<Label>>();
    shared::<Entry<Label>>();
    shared::<Reader<Label>>();
    shared::<crate::Fill<Label>>();
    shared::<crate::Variants<Label>>();
}

#[test]
fn a_slow_wake_up_is_never_lost() {
    let setup = Setup::new(8 * MIB, 0);
    let store = setup.open();
    for round in 0..50 {
        let mut fill = store.begin(key("k"), label("v", ""), None).unwrap();
        let whole = body(round, 5000);
        let done = Arc::new(AtomicBool::new(false));
        let (reader, right, seen) = (fill.entry().reader(), whole.clone(), Arc::clone(&done));
        let thread = on_its_own_runtime(async move {
            assert!(read(reader).await.unwrap() == right);
            seen.store(true, Ordering::SeqCst);
        });
        for chunk in whole.chunks(50) {
            assert!(fill.try_write(&Bytes::copy_from_slice(chunk)));
        }
        assert!(fill.commit_now(b"").is_ok());
        thread.join().unwrap();
        assert!(done.load(Ordering::SeqCst));
    }
}
