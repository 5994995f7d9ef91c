//! Events that end entries by their labels: what is ended stays ended, whatever happens.

use std::fs;
use std::future::Future;
use std::sync::{Condvar, Mutex};

use super::*;
use crate::disk::{Fault, Op};
use crate::{Fate, Label as Name, Labels, Matcher, NotStored};

/// Memory alone, disk with hardly any memory, disk alone, and both.
pub(super) const SETUPS: [(u64, u64); 4] =
    [(8 * MIB, 0), (4 * KIB, 64 * MIB), (0, 64 * MIB), (8 * MIB, 64 * MIB)];
const LENGTHS: [u64; 2] = [100, 2 * MIB];

fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| Name::of(name.as_bytes())).collect()
}

/// Metadata of something that is fetched from now on.
fn labelled(store: &Store<Label>, variant: &str, labels: &[&str]) -> Label {
    let labels = Labels::new(store.moment(), names(labels));
    Label { labels, ..label(variant, "labelled") }
}

/// Stores a body under a key with these labels.
async fn tagged(store: &Store<Label>, name: &str, labels: &[&str], length: u64) {
    stored(store, &key(name), labelled(store, "v", labels), &body(1, length)).await;
}

async fn holds(store: &Store<Label>, name: &str) -> bool {
    let peeked = store.peek(name.as_bytes()).is_some();
    let found = find(store, &key(name), "v").await.is_some();
    assert!(found || !peeked, "{name} is in memory and not to be found");
    found
}

fn end(store: &Store<Label>, labels: &[&str]) -> impl Future<Output = ()> + use<> {
    let matchers: Vec<_> = names(labels).into_iter().map(Matcher::Label).collect();
    store.invalidate(&matchers, Fate::Dead)
}

#[tokio::test]
async fn an_event_ends_what_has_its_label_and_nothing_else() {
    for ((memory, disk), length) in SETUPS.into_iter().flat_map(|s| LENGTHS.map(|l| (s, l))) {
        let setup = Setup::new(memory, disk);
        if !setup.has_disk() && length > MIB {
            continue;
        }
        let store = setup.open();
        tagged(&store, "a", &["red", "round"], length).await;
        tagged(&store, "b", &["round"], length).await;
        tagged(&store, "c", &["green"], length).await;
        tagged(&store, "none", &[], length).await;
        if memory == 0 {
            store.flush().await;
        }
        end(&store, &["blue"]).await;
        assert!(holds(&store, "a").await && holds(&store, "b").await);
        end(&store, &["red"]).await;
        assert!(!holds(&store, "a").await && holds(&store, "b").await);
        end(&store, &["round", "blue"]).await;
        assert!(!holds(&store, "b").await);
        assert!(holds(&store, "c").await && holds(&store, "none").await);
        assert_eq!(store.stats().events, 3);
        // What is ended takes no room any more once somebody has asked for it.
        store.flush().await;
        let left = store.stats().disk_entries;
        assert_eq!(left, if setup.has_disk() { 2 } else { 0 });
        assert_eq!(setup.objects().len() as u64, if length > MIB { left } else { 0 });
        tagged(&store, "a", &["red"], length).await;
        assert!(holds(&store, "a").await, "what is fetched after the event lives");
    }
}

#[tokio::test]
async fn one_ended_variant_leaves_the_others() {
    for (memory, disk) in SETUPS {
        let setup = Setup::new(memory, disk);
        let store = setup.open();
        for (variant, tag) in [("x", "red"), ("y", "green"), ("z", "red")] {
            stored(&store, &key("k"), labelled(&store, variant, &[tag]), b"x").await;
        }
        end(&store, &["red"]).await;
        assert!(store.peek(b"k").is_none());
        let found = store.look_up(&key("k")).await.unwrap();
        let variants: Vec<_> = found.iter().map(|entry| entry.meta().variant.as_str()).collect();
        assert_eq!(variants, ["y"]);
    }
}

#[tokio::test]
async fn what_was_being_fetched_at_the_time_does_not_come_to_life() {
    for ((memory, disk), length) in SETUPS.into_iter().flat_map(|s| LENGTHS.map(|l| (s, l))) {
        let setup = Setup::new(memory, disk);
        if !setup.has_disk() && length > MIB {
            continue;
        }
        let store = setup.open();
        // One fetch has only just begun, the other one has its head and half of its body.
        let asked = labelled(&store, "v", &["red"]);
        let mut fill = store.begin(key("filling"), asked.clone(), None).unwrap();
        fill.write(body(1, length).into()).await.unwrap();
        end(&store, &["red"]).await;
        assert!(store.is_ended(&key("filling"), &fill.entry()));
        let reader = fill.entry().reader();
        assert_eq!(fill.commit(b"").await, Committed::NotStored(NotStored::Removed));
        assert!(read(reader).await.unwrap() == body(1, length), "who reads it gets all of it");
        let fill = store.begin(key("asked"), asked, None).unwrap();
        assert!(store.is_ended(&key("asked"), &fill.entry()));
        assert_eq!(fill.commit(b"").await, Committed::NotStored(NotStored::Removed));
        store.flush().await;
        assert!(!holds(&store, "filling").await && !holds(&store, "asked").await);
        assert!(setup.objects().is_empty());
    }
}

#[tokio::test]
async fn one_that_is_ended_does_not_take_the_place_of_what_came_after() {
    for (length, older) in LENGTHS.into_iter().flat_map(|l| [(l, false), (l, true)]) {
        let setup = Setup::new(8 * MIB, 64 * MIB);
        let store = setup.open();
        if older {
            tagged(&store, "k", &[], 100).await;
        }
        let mut slow = store.begin(key("k"), labelled(&store, "v", &["red"]), None).unwrap();
        slow.write(body(2, length).into()).await.unwrap();
        end(&store, &["red"]).await;
        if !older {
            tagged(&store, "k", &["red"], 100).await;
        }
        assert_eq!(slow.commit(b"").await, Committed::NotStored(NotStored::Removed));
        // What was there before it has had its day, whether or not it is replaced.
        assert_eq!(holds(&store, "k").await, !older);
    }
}

#[tokio::test]
async fn confirmed_again_it_outlives_the_events_before() {
    for length in LENGTHS {
        let setup = Setup::new(8 * MIB, 64 * MIB);
        let store = setup.open();
        tagged(&store, "k", &["red"], length).await;
        let old = find(&store, &key("k"), "v").await.unwrap();
        end(&store, &["green"]).await;
        let new = labelled(&store, "v", &["green"]);
        store.replace_meta(&key("k"), &old, new).unwrap();
        store.flush().await;
        end(&store, &["red"]).await;
        let kept = find(&store, &key("k"), "v").await;
        assert!(kept.is_some(), "also one whose file is from before the events");
        let store = restarted(&setup, store);
        end(&store, &["red"]).await;
        let late = find(&store, &key("k"), "v").await.unwrap();
        end(&store, &["green"]).await;
        // What is ended is not brought back by a confirmation that comes too late.
        let new = labelled(&store, "v", &[]);
        assert!(store.replace_meta(&key("k"), &late, new).is_none());
        assert!(!holds(&store, "k").await);
    }
}

#[tokio::test]
async fn a_restart_keeps_the_dead_dead() {
    for (length, stop) in LENGTHS.into_iter().flat_map(|l| [(l, true), (l, false)]) {
        let setup = Setup::new(8 * MIB, 64 * MIB);
        let store = setup.open();
        tagged(&store, "a", &["red"], length).await;
        tagged(&store, "b", &["green"], length).await;
        store.flush().await;
        end(&store, &["red"]).await;
        let store = if stop { restarted(&setup, store) } else { killed(&setup, store) };
        assert!(!holds(&store, "a").await);
        assert!(holds(&store, "b").await);
        // Later events count for what was stored before the restart, and for nothing after.
        end(&store, &["green"]).await;
        let store = restarted(&setup, store);
        assert!(!holds(&store, "b").await);
        tagged(&store, "b", &["green"], length).await;
        assert!(holds(&restarted(&setup, store), "b").await);
    }
}

#[tokio::test]
async fn metadata_that_is_newer_than_its_file_is_ended_after_a_restart_too() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    tagged(&store, "k", &["red"], 2 * MIB).await;
    // Numbers of which no file and no event is left.
    for _ in 0..20 {
        tagged(&store, "short-lived", &[], 2 * MIB).await;
    }
    let entry = find(&store, &key("k"), "v").await.unwrap();
    store.replace_meta(&key("k"), &entry, labelled(&store, "v", &["red"])).unwrap();
    let last = find(&store, &key("short-lived"), "v").await.unwrap();
    store.remove_entry(&key("short-lived"), &last);
    let store = restarted(&setup, store);
    assert!(holds(&store, "k").await);
    end(&store, &["red"]).await;
    assert!(!holds(&store, "k").await);
}

pub(super) fn restarted(setup: &Setup, store: Store<Label>) -> Store<Label> {
    drop(store);
    setup.open()
}

/// What a process finds that starts after the last one was killed now.
pub(super) fn killed(setup: &Setup, store: Store<Label>) -> Store<Label> {
    let copy = setup.root().with_file_name("copy");
    copy_all(&setup.root(), &copy);
    drop(store);
    fs::remove_dir_all(setup.root()).unwrap();
    fs::rename(&copy, setup.root()).unwrap();
    recovered(setup.open())
}

/// A stopped store in which one response is ended and two are alive, one of them without labels.
async fn with_a_dead_one() -> Setup {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    tagged(&store, "dead", &["red"], 100).await;
    tagged(&store, "alive", &["green"], 100).await;
    tagged(&store, "unlabelled", &[], 100).await;
    end(&store, &["red"]).await;
    drop(store);
    setup
}

#[tokio::test]
async fn no_damage_to_the_log_resurrects_anything() {
    let whole = fs::read(with_a_dead_one().await.root().join("events")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        Some(bytes)
    };
    let mut damaged = vec![None, Some(Vec::new()), Some([&whole[..], b"x"].concat())];
    damaged.extend((0..whole.len()).step_by(5).map(flipped));
    damaged.extend((1..24).map(|cut| Some(whole[..whole.len() - cut].to_vec())));
    for bytes in damaged {
        let setup = with_a_dead_one().await;
        let path = setup.root().join("events");
        match &bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let store = setup.open();
        assert_eq!(store.stats().event_logs_lost, 1, "{bytes:?}");
        assert!(!holds(&store, "dead").await, "{bytes:?}");
        for name in ["alive", "unlabelled"] {
            assert!(!holds(&store, name).await, "in doubt {name} is dead too");
        }
        store.flush().await;
        assert!(setup.objects().is_empty());
        tagged(&store, "new", &["red"], 100).await;
        let store = restarted(&setup, store);
        assert!(holds(&store, "new").await && !holds(&store, "dead").await);
        assert_eq!(store.stats().event_logs_lost, 0);
    }
}

#[tokio::test]
async fn a_log_that_grows_is_written_anew_and_says_the_same() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    tagged(&store, "dead", &["first"], 100).await;
    tagged(&store, "alive", &["other"], 100).await;
    end(&store, &["first"]).await;
    for _ in 0..9000 {
        drop(end(&store, &["again"]));
    }
    store.flush().await;
    let mut rewritten = fs::metadata(setup.root().join("events")).unwrap().len();
    if rewritten > 4200 * 40 {
        // Most were written in one go; the next one finds the log too long.
        end(&store, &["again"]).await;
        rewritten = fs::metadata(setup.root().join("events")).unwrap().len();
    }
    assert!(rewritten < 4200 * 40, "{rewritten} bytes");
    let store = killed(&setup, store);
    assert!(!holds(&store, "dead").await && holds(&store, "alive").await);
    assert_eq!((store.stats().events, store.stats().event_logs_lost), (2, 0));
}

#[tokio::test]
async fn a_clear_empties_the_log_and_ends_what_is_being_fetched() {
    for (memory, disk) in SETUPS {
        let setup = Setup::new(memory, disk);
        let mut store = setup.open();
        tagged(&store, "a", &["red"], 100).await;
        end(&store, &["red", "green"]).await;
        let asked = labelled(&store, "v", &["blue"]);
        store.clear();
        store.flush().await;
        assert_eq!(store.stats().events, 0);
        assert_eq!(
            put(&store, &key("b"), asked, b"x").await,
            Ok(Committed::NotStored(NotStored::Removed))
        );
        tagged(&store, "c", &["red"], 100).await;
        if setup.has_disk() {
            assert_eq!(fs::metadata(setup.root().join("events")).unwrap().len(), 56);
            store = restarted(&setup, store);
        }
        assert!(holds(&store, "c").await);
        assert!(!holds(&store, "a").await && !holds(&store, "b").await);
    }
}

#[tokio::test]
async fn the_log_of_an_empty_store_forgets_its_events_and_not_its_numbers() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    end(&store, &["red", "green"]).await;
    let moment = store.moment();
    let store = restarted(&setup, store);
    assert_eq!(store.stats().events, 0);
    assert!(store.moment() >= moment);
}

/// Operations of this kind fail while the switch is on.
fn failing(op: Op, fault: Fault, on: &Arc<AtomicBool>) -> Files {
    let on = Arc::clone(on);
    Files::failing(move |now| (now == op && on.load(Ordering::SeqCst)).then_some(fault))
}

#[tokio::test]
async fn an_event_is_acknowledged_when_it_is_safe_and_not_before() {
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let passing = Arc::clone(&gate);
    let mut setup = Setup::new(8 * MIB, 64 * MIB);
    setup.files = Files::failing(move |op| {
        if op == Op::Sync {
            let (open, opened) = &*passing;
            drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        }
        None
    });
    let store = setup.open();
    tagged(&store, "dead", &["red"], 100).await;
    store.flush().await;
    *gate.0.lock().unwrap() = false;
    let mut ended = std::pin::pin!(end(&store, &["red"]));
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), &mut ended).await;
    assert!(early.is_err(), "it was acknowledged while it was not safe");
    assert!(!holds(&store, "dead").await, "it holds at once");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    ended.await;
}

const FULL: Fault = Fault::Errno(rustix::io::Errno::NOSPC.raw_os_error());

#[tokio::test]
async fn an_event_that_cannot_be_written_holds_and_is_counted() {
    for fault in [FULL, Fault::Short] {
        let on = Arc::new(AtomicBool::new(false));
        let mut setup = Setup::new(8 * MIB, 64 * MIB);
        setup.files = failing(Op::Write, fault, &on);
        let store = setup.open();
        tagged(&store, "dead", &["red"], 100).await;
        tagged(&store, "alive", &["green"], 100).await;
        store.flush().await;
        on.store(true, Ordering::SeqCst);
        end(&store, &["red"]).await;
        assert_eq!(store.stats().event_write_failures, 1);
        assert!(!holds(&store, "dead").await && holds(&store, "alive").await);

        store.flush().await;
        let copy = setup.root().with_file_name("as it was");
        copy_all(&setup.root(), &copy);
        // A disk that is well again at the end gets all of it.
        on.store(false, Ordering::SeqCst);
        let store = restarted(&setup, store);
        assert!(!holds(&store, "dead").await && holds(&store, "alive").await);
        assert_eq!(store.stats().event_logs_lost, 0);
        drop(store);

        fs::remove_dir_all(setup.root()).unwrap();
        fs::rename(&copy, setup.root()).unwrap();
        let store = recovered(setup.open());
        assert!(!holds(&store, "dead").await, "killed while it could not be written");
        assert_eq!(store.stats().event_logs_lost, 1);
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_begun_is_begun_when_it_can() {
    for op in [Op::Write, Op::Open, Op::Create, Op::Rename, Op::Unlink] {
        let on = Arc::new(AtomicBool::new(true));
        let mut setup = Setup::new(8 * MIB, 64 * MIB);
        setup.files = failing(op, FULL, &on);
        let store = setup.open();
        assert_eq!(store.stats().event_write_failures, 1, "{op:?}");
        on.store(false, Ordering::SeqCst);
        tagged(&store, "dead", &["red"], 100).await;
        tagged(&store, "alive", &["green"], 100).await;
        store.flush().await;
        end(&store, &["red"]).await;
        let store = killed(&setup, store);
        assert!(!holds(&store, "dead").await && holds(&store, "alive").await, "{op:?}");
    }
}

#[tokio::test]
async fn a_disk_that_hangs_holds_no_event_up() {
    let gate = Arc::new(Gate::default());
    let mut setup = Setup::new(8 * MIB, 64 * MIB);
    let hanging = Arc::clone(&gate);
    setup.files = Files::failing(move |_| {
        hanging.pass();
        None
    });
    setup.options.disk_patience = Duration::from_millis(50);
    let store = setup.open();
    tagged(&store, "dead", &["red"], 100).await;
    gate.set(true);
    end(&store, &["red"]).await;
    assert!(store.peek(b"dead").is_none());
    assert_eq!(store.stats().disk_timeouts, 1);
    gate.set(false);
    store.flush().await;
    assert!(!holds(&killed(&setup, store), "dead").await);
}
