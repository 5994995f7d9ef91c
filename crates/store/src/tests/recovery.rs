//! What happens while the records of a killed process are still being looked for.

use super::*;

/// What was there when the process was killed.
#[derive(Clone, Copy, Debug)]
enum Before {
    Small,
    Large,
    SmallOverSmall,
    LargeOverSmall,
    SmallOverLarge,
    Removed,
    RemovedLarge,
    Cleared,
    LargeEvictedOverSmall,
    Freshened,
}

impl Before {
    const ALL: [Self; 10] = [
        Self::Small,
        Self::Large,
        Self::SmallOverSmall,
        Self::LargeOverSmall,
        Self::SmallOverLarge,
        Self::Removed,
        Self::RemovedLarge,
        Self::Cleared,
        Self::LargeEvictedOverSmall,
        Self::Freshened,
    ];

    /// Does it, each step in a segment of its own if `apart`; returns what is to be found.
    async fn happen(self, setup: &Setup, apart: bool) -> Option<&'static str> {
        let steps: &[(&'static str, u64)] = match self {
            Self::Small | Self::Removed | Self::Cleared => &[("small", 100)],
            Self::Large | Self::RemovedLarge => &[("large", 300_000)],
            Self::SmallOverSmall => &[("older", 100), ("small", 200)],
            Self::LargeOverSmall | Self::LargeEvictedOverSmall => {
                &[("older", 100), ("large", 300_000)]
            }
            Self::SmallOverLarge => &[("older", 300_000), ("small", 100)],
            Self::Freshened => &[("older", 5000)],
        };
        let mut store = setup.open();
        for (text, length) in steps {
            stored(&store, &key("k"), label("v", text), &body(*length, *length)).await;
            stored(&store, &key(text), label("v", text), &body(*length, *length)).await;
            store.flush().await;
            if apart {
                drop(store);
                store = setup.open();
            }
        }
        match self {
            Self::Removed | Self::RemovedLarge => assert_eq!(store.remove(&key("k")), 1),
            Self::Cleared => assert!(store.clear().entries > 0),
            Self::LargeEvictedOverSmall => {
                for number in 0..20 {
                    let other = key(&format!("other {number}"));
                    stored(&store, &other, label("v", ""), &body(number, 280_000)).await;
                }
            }
            Self::Freshened => {
                let entry = find(&store, &key("k"), "v").await.unwrap();
                assert!(store.replace_meta(&key("k"), &entry, label("v", "fresh")).is_some());
                return self.copied(store, setup, &[("fresh", 5000)]).await;
            }
            _ => return self.copied(store, setup, steps).await,
        }
        self.copied(store, setup, &[]).await
    }

    async fn copied(
        self,
        store: Store<Label>,
        setup: &Setup,
        steps: &[(&'static str, u64)],
    ) -> Option<&'static str> {
        store.flush().await;
        let killed = setup.root().with_file_name("killed");
        let _ = std::fs::remove_dir_all(&killed);
        copy_all(&setup.root(), &killed);
        drop(store);
        std::fs::remove_dir_all(setup.root()).unwrap();
        std::fs::rename(killed, setup.root()).unwrap();
        steps.last().map(|(text, _)| *text)
    }
}

/// What is done before it is found.
#[derive(Clone, Copy, Debug)]
enum During {
    Nothing,
    Put(u64),
    Removed,
    Cleared,
    PutAndRemoved(u64),
    RemovedAndPut(u64),
}

impl During {
    const ALL: [Self; 9] = [
        Self::Nothing,
        Self::Put(50),
        Self::Put(290_000),
        Self::Removed,
        Self::Cleared,
        Self::PutAndRemoved(50),
        Self::PutAndRemoved(290_000),
        Self::RemovedAndPut(50),
        Self::RemovedAndPut(290_000),
    ];

    async fn happen(
        self,
        store: &Store<Label>,
        found: Option<&'static str>,
    ) -> Option<&'static str> {
        // As long as not all is known nothing makes room: a full disk stores no large one then.
        let put = async |length| {
            let stored = put(store, &key("k"), label("v", "new"), &body(length, length)).await;
            (stored == Ok(Committed::Stored)).then_some("new")
        };
        match self {
            Self::Nothing => found,
            Self::Put(length) => put(length).await,
            Self::Removed => {
                store.remove(&key("k"));
                None
            }
            Self::Cleared => {
                store.clear();
                None
            }
            Self::PutAndRemoved(length) => {
                let was_stored = put(length).await.is_some();
                store.flush().await;
                assert_eq!(store.remove(&key("k")), usize::from(was_stored));
                None
            }
            Self::RemovedAndPut(length) => {
                store.remove(&key("k"));
                put(length).await
            }
        }
    }
}

/// A store whose records are looked for only when the gate opens.
fn open_waiting(setup: &mut Setup, gate: &Arc<Gate>) -> Store<Label> {
    let gate = Arc::clone(gate);
    setup.files = Files::failing(move |_| {
        if std::thread::current().name() == Some("store-finder") {
            gate.pass();
        }
        None
    });
    setup.open()
}

async fn text(store: &Store<Label>) -> Option<String> {
    Some(get(store, &key("k"), "v").await?.0)
}

async fn check(before: Before, during: During, apart: bool) {
    let what = format!("{before:?}, {during:?}, apart {apart}");
    let mut setup = Setup::quick(0, 4 * MIB);
    let found = before.happen(&setup, apart).await;
    let gate = Arc::new(Gate::default());
    gate.set(true);
    let store = open_waiting(&mut setup, &gate);
    if store.stats().segments_to_recover > 0 {
        assert_eq!(text(&store).await, None, "{what}: not known yet");
    }
    let expected = during.happen(&store, found).await;
    let so_far = text(&store).await;
    assert!(so_far.is_none() || so_far.as_deref() == expected, "{what}: {so_far:?} at once");
    if matches!(before, Before::Small) {
        store.flush().await;
        let killed = setup.copy();
        let again = recovered(killed.open());
        assert_eq!(text(&again).await.as_deref(), expected, "{what}, killed before it was found");
    }
    gate.set(false);
    let store = recovered(store);
    assert_eq!(text(&store).await.as_deref(), expected, "{what}");
    store.flush().await;
    let killed = setup.copy();
    drop(store);
    assert_eq!(text(&setup.open()).await.as_deref(), expected, "{what}, stopped");
    let store = recovered(killed.open());
    assert_eq!(text(&store).await.as_deref(), expected, "{what}, killed");
    assert_eq!(store.stats().damaged.iter().map(|(_, count)| count).sum::<u64>(), 0, "{what}");
}

#[tokio::test]
async fn what_is_done_before_all_is_found_counts_more_than_what_is_found() {
    for before in Before::ALL {
        for during in During::ALL {
            for apart in [false, true] {
                check(before, during, apart).await;
            }
        }
    }
}

#[tokio::test]
async fn a_removal_that_could_not_be_written_gives_up_what_a_crash_could_bring_back() {
    let on = Arc::new(AtomicBool::new(false));
    let mut setup = Setup::new(0, 64 * MIB);
    let switch = Arc::clone(&on);
    setup.files = Files::failing(move |op| {
        let fails = op == crate::disk::Op::Write && switch.load(Ordering::SeqCst);
        fails.then_some(crate::disk::Fault::Errno(rustix::io::Errno::NOSPC.raw_os_error()))
    });
    let store = setup.open();
    for name in ["k", "other"] {
        stored(&store, &key(name), label("v", name), b"x").await;
    }
    store.flush().await;
    on.store(true, Ordering::SeqCst);
    // One entry, which the log of events does not know of.
    let entry = find(&store, &key("k"), "v").await.unwrap();
    assert!(store.remove_entry(&key("k"), &entry));
    store.flush().await;
    assert!(store.stats().disk_write_failures > 0);
    let copy = setup.copy();
    let killed = recovered(copy.open());
    assert!(find(&killed, &key("k"), "v").await.is_none(), "killed while it was owed");
    // Well again, and rested: the removal is written, and nothing else is lost.
    on.store(false, Ordering::SeqCst);
    setup.millis.store(10_000, Ordering::SeqCst);
    stored(&store, &key("more"), label("v", ""), b"y").await;
    store.flush().await;
    let killed = setup.copy();
    let killed = recovered(killed.open());
    assert!(find(&killed, &key("k"), "v").await.is_none());
    assert!(find(&killed, &key("other"), "v").await.is_some());
    assert!(find(&killed, &key("more"), "v").await.is_some());
}

#[tokio::test]
async fn numbers_go_on_above_all_that_a_killed_process_gave_out() {
    let setup = Setup::new(0, 64 * MIB);
    let store = setup.open();
    for number in 0..100 {
        stored(&store, &key(&number.to_string()), label("v", ""), b"x").await;
    }
    store.flush().await;
    let killed = setup.copy();
    let before = store.moment();
    assert!(killed.open().moment() > before);
    drop(store);
    assert!(setup.open().moment() > before);
}
