//! Events about keys, prefixes and everything, hard and soft; and removals.

use std::fs;

use super::events::{SETUPS, killed, restarted};
use super::*;
use crate::disk::Op;
use crate::{Fate, Label as Name, Labels, Matcher, NotStored};

const SOFT: Fate = Fate::Stale { since: 1999 };

fn fetched(store: &Store<Label>, variant: &str) -> Label {
    Label { labels: Labels::new(store.moment(), Vec::new()), ..label(variant, "") }
}

async fn fill(store: &Store<Label>, names: &[&str], length: u64) {
    for name in names {
        stored(store, &key(name), fetched(store, "v"), &body(1, length)).await;
    }
}

/// Which of these are found, each in upper case if it is stale.
async fn found(store: &Store<Label>, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        let Some(entry) = find(store, &key(name), "v").await else { continue };
        let since = entry.stale_since();
        assert!(since.is_none_or(|since| since == 1000));
        found.push(if since.is_some() { name.to_uppercase() } else { (*name).to_owned() });
    }
    found
}

const NAMES: [&str; 4] = ["a/x", "a/xy", "a/z", "b/x"];

#[tokio::test]
async fn keys_prefixes_and_everything_end_in_every_tier_and_after_a_restart() {
    let rows: [(Matcher<'_>, &[&str]); 4] = [
        (Matcher::Key(b"a/x"), &["a/xy", "a/z", "b/x"]),
        (Matcher::Prefix(b"a/x"), &["a/z", "b/x"]),
        (Matcher::Prefix(b"a/"), &["b/x"]),
        (Matcher::Everything, &[]),
    ];
    for (memory, disk) in SETUPS {
        for (matcher, left) in rows {
            let setup = Setup::new(memory, disk);
            let mut store = setup.open();
            fill(&store, &NAMES, 100).await;
            store.flush().await;
            let late = fetched(&store, "v");
            store.invalidate(&[matcher], Fate::Dead).await;
            assert_eq!(found(&store, &NAMES).await, left, "{matcher:?}");
            if setup.has_disk() {
                store = killed(&setup, store);
                assert_eq!(found(&store, &NAMES).await, left, "{matcher:?}");
            }
            let ended = put(&store, &key("a/x"), late, b"x").await;
            assert!(ended != Ok(Committed::Stored), "what was being fetched");
            fill(&store, &NAMES, 100).await;
            assert_eq!(found(&store, &NAMES).await, NAMES);
        }
    }
}

#[tokio::test]
async fn all_variants_of_a_key_end() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    for variant in ["x", "y"] {
        stored(&store, &key("k"), fetched(&store, variant), b"x").await;
    }
    store.invalidate(&[Matcher::Key(b"k")], Fate::Dead).await;
    assert!(store.look_up(&key("k")).await.is_none());
    store.flush().await;
    assert!(setup.objects().is_empty());
}

#[tokio::test]
async fn a_soft_event_makes_stale_until_it_is_fetched_or_confirmed_again() {
    for ((memory, disk), length) in SETUPS.into_iter().flat_map(|s| [(s, 100), (s, 2 * MIB)]) {
        let setup = Setup::new(memory, disk);
        if !setup.has_disk() && length > MIB {
            continue;
        }
        let mut store = setup.open();
        fill(&store, &NAMES, length).await;
        store.flush().await;
        let late = fetched(&store, "v");
        store.invalidate(&[Matcher::Prefix(b"a/")], SOFT).await;
        assert_eq!(found(&store, &NAMES).await, ["A/X", "A/XY", "A/Z", "b/x"]);
        if setup.has_disk() {
            store = killed(&setup, store);
            assert_eq!(found(&store, &NAMES).await, ["A/X", "A/XY", "A/Z", "b/x"]);
        }
        fill(&store, &["a/xy"], length).await;
        for (name, meta) in [("a/x", fetched(&store, "v")), ("a/z", late)] {
            let old = find(&store, &key(name), "v").await.unwrap();
            store.replace_meta(&key(name), &old, meta).unwrap();
        }
        // The last was confirmed by a request from before the event, which says nothing.
        let now = ["a/x", "a/xy", "A/Z", "b/x"];
        assert_eq!(found(&store, &NAMES).await, now, "{memory} {disk} {length}");
        if setup.has_disk() {
            store.flush().await;
            store = restarted(&setup, store);
            assert_eq!(found(&store, &NAMES).await, now);
        }
        store.invalidate(&[Matcher::Everything], SOFT).await;
        assert_eq!(found(&store, &NAMES).await, ["A/X", "A/XY", "A/Z", "B/X"]);
        store.invalidate(&[Matcher::Everything], Fate::Dead).await;
        assert!(found(&store, &NAMES).await.is_empty());
    }
}

#[tokio::test]
async fn one_that_is_stale_by_an_event_does_not_take_the_place_of_what_came_after() {
    for (length, older) in [100, 2 * MIB].into_iter().flat_map(|l| [(l, false), (l, true)]) {
        let setup = Setup::new(8 * MIB, 64 * MIB);
        let store = setup.open();
        let mut slow = store.begin(key("k"), fetched(&store, "v"), None).unwrap();
        slow.write(body(2, length).into()).await.unwrap();
        if older {
            fill(&store, &["k"], 100).await;
        }
        store.invalidate(&[Matcher::Key(b"k")], SOFT).await;
        if !older {
            fill(&store, &["k"], 100).await;
        }
        // Where there is none, it is better than nothing.
        let expected =
            if older { Committed::Stored } else { Committed::NotStored(NotStored::Removed) };
        assert_eq!(slow.commit(b"").await, expected);
        let left = if older { ["K"] } else { ["k"] };
        assert_eq!(found(&store, &["k"]).await, left, "{length}");
    }
}

#[tokio::test]
async fn what_is_removed_stays_removed_when_the_process_is_killed_with_the_file_still_there() {
    for length in [300_000, 2 * MIB] {
        let mut setup = Setup::new(8 * MIB, 64 * MIB);
        let (stuck, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (held, counted) = (Arc::clone(&stuck), Arc::clone(&writes));
        setup.files = Files::failing(move |op| {
            let is_event = std::thread::current().name() == Some("store-events");
            counted.fetch_add(u64::from(op == Op::Write && is_event), Ordering::SeqCst);
            let fails = op == Op::Unlink && held.load(Ordering::SeqCst);
            fails.then_some(crate::disk::Fault::Errno(5))
        });
        let store = setup.open();
        fill(&store, &NAMES, length).await;
        store.flush().await;
        stuck.store(true, Ordering::SeqCst);
        let before = writes.load(Ordering::SeqCst);
        assert_eq!(store.remove(&key("a/x")), 1);
        store.recorded().await;
        assert_eq!(writes.load(Ordering::SeqCst), before + 1, "written, and not synced");
        assert_eq!(store.remove(&key("nothing")), 0);
        store.recorded().await;
        assert_eq!(writes.load(Ordering::SeqCst), before + 1, "nothing there, nothing to write");
        fill(&store, &["a/x"], length).await;
        store.remove(&key("b/x"));
        store.flush().await;
        assert_eq!(setup.objects().len(), 5);
        stuck.store(false, Ordering::SeqCst);
        let store = killed(&setup, store);
        assert_eq!(found(&store, &NAMES).await, ["a/x", "a/xy", "a/z"], "stored since it lives");
        store.flush().await;
        assert_eq!(setup.objects().len(), 3);
        let store = restarted(&setup, store);
        assert_eq!(found(&store, &NAMES).await, ["a/x", "a/xy", "a/z"]);
    }
}

#[tokio::test]
async fn what_was_cleared_stays_cleared_with_the_files_still_there() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    fill(&store, &NAMES, 300_000).await;
    store.flush().await;
    let files: Vec<_> =
        setup.objects().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    store.clear();
    store.flush().await;
    drop(store);
    for (bytes, path) in &files {
        fs::write(path, bytes).unwrap();
    }
    let store = setup.open();
    assert!(found(&store, &NAMES).await.is_empty());
    store.flush().await;
    assert!(setup.objects().is_empty());
}

#[tokio::test]
async fn events_are_forgotten_when_the_last_older_entry_is_replaced_or_removed() {
    for (memory, disk) in SETUPS {
        let setup = Setup::new(memory, disk);
        let store = setup.open();
        fill(&store, &["old", "dead", "red"], 100).await;
        store.flush().await;
        let red = Matcher::Label(Name::of(b"red"));
        store.invalidate(&[Matcher::Key(b"dead"), red], Fate::Dead).await;
        store.invalidate(&[Matcher::Prefix(b"o")], SOFT).await;
        for _ in 0..700 {
            // Each takes the place of the one before, and so of "dead" and "red".
            fill(&store, &["dead", "red"], 1).await;
            store.prune_events();
            assert_eq!(store.stats().events, 3, "there is an older one");
        }
        store.flush().await;
        assert_eq!(found(&store, &["old", "dead"]).await, ["OLD", "dead"]);
        store.remove(&key("old"));
        if !setup.has_disk() {
            // Without files only events have numbers.
            for _ in 0..2000 {
                drop(store.invalidate(&[red], Fate::Dead));
            }
            fill(&store, &["dead", "red"], 1).await;
        }
        store.flush().await;
        store.prune_events();
        // The removal itself is young, as is the last event.
        assert!(store.stats().events <= 1, "{:?}", store.stats());
        assert_eq!(found(&store, &["dead"]).await, ["dead"]);
        if setup.has_disk() {
            let store = restarted(&setup, store);
            assert_eq!(found(&store, &["dead", "old", "red"]).await, ["dead", "red"]);
        }
    }
}

/// Whatever is asked of stored metadata.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Metadata that counts how often it is looked at.
struct Watched(Vec<u8>);

impl crate::Meta for Watched {
    fn encode(&self, out: &mut Vec<u8>) {
        ASKED.fetch_add(1, Ordering::SeqCst);
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        Some(Self(bytes.to_vec()))
    }

    fn weight(&self) -> usize {
        ASKED.fetch_add(1, Ordering::SeqCst);
        self.0.len()
    }

    fn variant(&self) -> &[u8] {
        ASKED.fetch_add(1, Ordering::SeqCst);
        &self.0
    }

    fn labels(&self) -> &Labels {
        ASKED.fetch_add(1, Ordering::SeqCst);
        Labels::NONE
    }
}

#[tokio::test]
async fn to_end_a_hundred_thousand_takes_as_much_as_to_end_ten() {
    let mut costs = Vec::new();
    for (count, disk) in [(10_u32, 0), (100_000, 0), (10, 64 * MIB), (1000, 64 * MIB)] {
        let mut setup = Setup::new(256 * MIB, disk);
        let operations = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&operations);
        setup.files = Files::failing(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            None
        });
        let store = Store::<Watched>::open_with(&setup.options, setup.files.clone()).unwrap();
        for number in 0..count {
            let name = Key::new(format!("GET|{number}").as_bytes());
            let fill = store.begin(name, Watched(vec![1]), None).unwrap();
            assert_eq!(fill.commit(b"").await, Committed::Stored);
        }
        store.flush().await;
        let before = (ASKED.load(Ordering::SeqCst), operations.load(Ordering::SeqCst));
        let matchers = [Matcher::Prefix(b"GET|"), Matcher::Key(b"GET|1")];
        store.invalidate(&matchers, Fate::Dead).await;
        let after = (ASKED.load(Ordering::SeqCst), operations.load(Ordering::SeqCst));
        assert_eq!(before.0, after.0, "no entry is looked at");
        costs.push(after.1 - before.1);
        for number in [0, count / 2, count - 1] {
            assert!(store.peek(format!("GET|{number}").as_bytes()).is_none());
        }
    }
    assert_eq!(costs, [0, 0, 2, 2], "a write and a sync");
}
