//! A process that dies at any moment: what is found after it is the last that was stored, or nothing,
//! and what was removed and flushed stays removed.

use std::collections::HashMap;
use std::sync::atomic::AtomicI64;

use super::*;
use crate::disk::{Fault, Op};

/// A process that dies at the operation that brings `left` to zero, in the middle of it if `torn`.
struct Death {
    left: AtomicI64,
    torn: bool,
    dead: AtomicBool,
}

impl Death {
    fn after(operations: i64, torn: bool) -> Arc<Self> {
        let (left, dead) = (AtomicI64::new(operations), AtomicBool::new(false));
        Arc::new(Self { left, torn, dead })
    }

    fn files(self: &Arc<Self>) -> Files {
        let death = Arc::clone(self);
        Files::failing(move |op| {
            let last = !matches!(op, Op::Open | Op::Read)
                && death.left.fetch_sub(1, Ordering::SeqCst) == 0;
            if last && death.torn && op == Op::Write {
                death.dead.store(true, Ordering::SeqCst);
                return Some(Fault::Short);
            }
            let dead = death.dead.fetch_or(last, Ordering::SeqCst) || last;
            dead.then_some(Fault::Errno(rustix::io::Errno::IO.raw_os_error()))
        })
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
}

type Value = Option<(String, Vec<u8>)>;

/// What each key and variant may hold: the last state that is surely on disk, and all since.
#[derive(Default)]
struct Model(HashMap<(u64, u64), Vec<Value>>);

const KEYS: u64 = 5;
const VARIANTS: u64 = 2;
/// Steps of a process that lives.
const STEPS: u64 = 60;
/// Runs, every other one with a write that is torn.
const SEEDS: u64 = 6;

fn places() -> impl Iterator<Item = (u64, u64)> {
    (0..KEYS).flat_map(|key| (0..VARIANTS).map(move |variant| (key, variant)))
}

impl Model {
    fn now(&mut self, place: (u64, u64), value: Value) {
        self.0.entry(place).or_insert_with(|| vec![None]).push(value);
    }

    /// Everything is on disk.
    fn flushed(&mut self) {
        for states in self.0.values_mut() {
            states.drain(..states.len() - 1);
        }
    }

    fn allows(&self, place: (u64, u64), found: &Value) -> bool {
        found.is_none() || self.0.get(&place).is_some_and(|states| states.contains(found))
    }

    fn has_last(&self, place: (u64, u64), found: &Value) -> bool {
        found.is_none() || self.0.get(&place).and_then(|states| states.last()) == Some(found)
    }
}

fn name(key: u64) -> Key {
    Key::new(format!("key {key}").as_bytes())
}

async fn value(store: &Store<Label>, (key, variant): (u64, u64)) -> Value {
    let entry = find(store, &name(key), &format!("v{variant}")).await?;
    let body = read(entry.reader()).await.ok()?;
    Some((entry.meta().text.clone(), body))
}

/// Small enough that segments are reclaimed and files evicted all the time.
fn setup() -> Setup {
    Setup::quick(0, 256 * KIB)
}

fn dice(seed: u64, step: u64) -> [u64; 4] {
    let bytes = body(seed * 10_007 + step, 32);
    [0, 8, 16, 24].map(|at| u64::from(bytes[at]) << 8 | u64::from(bytes[at + 1]))
}

/// One random step; after it all is flushed.
async fn step(store: &Store<Label>, model: &mut Model, seed: u64, number: u64, death: &Death) {
    let [what, key, variant, size] = dice(seed, number);
    let place @ (key, variant) = (key % KEYS, variant % VARIANTS);
    let text = format!("{seed}.{number}");
    match what % 16 {
        0 => {
            let known = store.remove(&name(key));
            assert!(known as u64 <= VARIANTS);
            (0..VARIANTS).for_each(|variant| model.now((key, variant), None));
        }
        1 => {
            let entry = find(store, &name(key), &format!("v{variant}")).await;
            if entry.is_some_and(|entry| store.remove_entry(&name(key), &entry)) {
                model.now(place, None);
            }
        }
        2 if number.is_multiple_of(3) => {
            store.clear();
            places().for_each(|place| model.now(place, None));
        }
        3..7 => {
            let Some(entry) = find(store, &name(key), &format!("v{variant}")).await else { return };
            let Ok(body) = read(entry.reader()).await else { return };
            let fresh = label(&format!("v{variant}"), &text);
            if store.replace_meta(&name(key), &entry, fresh).is_some() {
                model.now(place, Some((text, body)));
            }
        }
        _ => {
            let length = if size % 4 == 0 { 20_000 + size % 10_000 } else { size % 7000 };
            let whole = body(seed ^ number, length);
            let label = label(&format!("v{variant}"), &text);
            let stored = put(store, &name(key), label, &whole).await;
            model.now(place, Some((text, whole)));
            if stored != Ok(Committed::Stored) {
                model.now(place, None);
            }
        }
    }
    // Sometimes a few steps go to the disk together.
    if size % 3 > 0 {
        store.flush().await;
        if !death.is_dead() {
            model.flushed();
        }
    }
}

/// Runs until the process dies, or to the end. True if it died.
async fn run(setup: &mut Setup, model: &mut Model, seed: u64, death: &Arc<Death>) -> bool {
    setup.files = death.files();
    let mut store = setup.open();
    for number in 0..STEPS {
        if number % 16 == 15 {
            // A clean stop in between.
            drop(store);
            if death.is_dead() {
                return true;
            }
            model.flushed();
            store = setup.open();
        }
        step(&store, model, seed, number, death).await;
        let at = places().nth(number as usize % 10).unwrap();
        let found = value(&store, at).await;
        assert!(model.has_last(at, &found), "while it lives, {seed}.{number}: {found:?}");
        if death.is_dead() {
            return true;
        }
    }
    assert!(store.stats().log_stored_bytes > 0, "records, not only files");
    false
}

async fn dies(seed: u64, operations: i64, torn: bool) -> bool {
    let (mut setup, mut model) = (setup(), Model::default());
    let death = Death::after(operations, torn);
    let died = run(&mut setup, &mut model, seed, &death).await;
    setup.files = Files::default();
    let at = format!("{seed} after {operations}, torn {torn}");
    let store = setup.open();
    for place in places() {
        let found = value(&store, place).await;
        assert!(model.allows(place, &found), "{at}, at once: {place:?} is {found:?}");
    }
    let store = recovered(store);
    let mut after = Model::default();
    for place in places() {
        let found = value(&store, place).await;
        assert!(model.allows(place, &found), "{at}: {place:?} is {found:?}");
        after.now(place, found);
    }
    assert!(setup.on_disk() <= 256 * KIB);
    // What one start found, the next one finds, or less; also if the first was killed.
    after.flushed();
    stored(&store, &name(0), label("v0", "again"), b"again").await;
    after.now((0, 0), Some(("again".to_owned(), b"again".to_vec())));
    store.remove(&name(1));
    (0..VARIANTS).for_each(|variant| after.now((1, variant), None));
    store.flush().await;
    after.flushed();
    let killed = setup.copy();
    let store = recovered(killed.open());
    for place in places() {
        let found = value(&store, place).await;
        assert!(after.allows(place, &found), "{at}, killed again: {place:?} is {found:?}");
    }
    died
}

fn dies_anywhere(seed: u64, torn: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut operations = 0;
        while dies(seed, operations, torn).await {
            operations += 1;
        }
        assert!(operations > STEPS as i64, "{operations}");
    });
}

/// Each operation of each run is one at which it dies. `SEEDS=6..100` are other runs than these.
#[test]
#[expect(clippy::disallowed_methods, reason = "how long to go on is for who runs the test to say")]
fn a_crash_at_any_operation_brings_nothing_back() {
    let wanted = std::env::var("SEEDS").ok();
    let range = wanted.as_deref().and_then(|range| range.split_once(".."));
    let (first, end) =
        range.map_or((0, SEEDS), |(first, end)| (first.parse().unwrap(), end.parse().unwrap()));
    let dies = |seed: u64| std::thread::spawn(move || dies_anywhere(seed, seed % 2 == 1));
    for some in (first..end).collect::<Vec<_>>().chunks(SEEDS as usize) {
        let threads: Vec<_> = some.iter().map(|seed| (*seed, dies(*seed))).collect();
        for (seed, thread) in threads {
            assert!(thread.join().is_ok(), "seed {seed}");
        }
    }
}
