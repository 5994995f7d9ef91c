//! Parts of one body in one file, against a model: any order of steps, and a death at any of them.

use std::ops::Range;
use std::sync::atomic::AtomicI64;

use proptest::prelude::*;

use super::parts::*;
use super::*;
use crate::PartOf;
use crate::disk::{Fault, Op};

async fn try_part(store: &Store<Label>, text: &str, range: Range<u64>) {
    let (base, part) = (base(store).await, PartOf { range: range.clone(), complete: LENGTH });
    let begun = store.begin_part(name(), parts_label(text), &part, base.as_ref());
    let Ok(mut fill) = begun else { return };
    write(&mut fill, range).await;
    let _ = fill.commit(b"").await;
}

/// Dies at the operation that brings it to zero, torn if it is a write.
fn dying(after: i64, torn: bool) -> (Files, Arc<AtomicBool>) {
    let (left, dead) = (AtomicI64::new(after), Arc::new(AtomicBool::new(false)));
    let died = Arc::clone(&dead);
    let files = Files::failing(move |op| {
        let is_change = !matches!(op, Op::Open | Op::Read | Op::ReadNow);
        let last = is_change && left.fetch_sub(1, Ordering::SeqCst) == 0;
        let dead = died.fetch_or(last, Ordering::SeqCst);
        if last && torn && op == Op::Write {
            return Some(Fault::Short);
        }
        (dead || last).then_some(Fault::Errno(rustix::io::Errno::IO.raw_os_error()))
    });
    (files, dead)
}

const RANGES: [Range<u64>; 4] = [0..70_000, 100_000..LENGTH, 50_000..90_000, 90_000..100_000];

/// What a life of a process stores; what it has flushed when it dies.
async fn live(store: &Store<Label>, dead: &AtomicBool) -> Vec<Range<u64>> {
    let mut flushed = Vec::new();
    for (number, range) in RANGES.into_iter().enumerate() {
        try_part(store, &number.to_string(), range.clone()).await;
        if let Some(entry) = base(store).await {
            store.replace_meta(&name(), &entry, parts_label("confirmed"));
        }
        store.flush().await;
        if dead.load(Ordering::SeqCst) {
            return flushed;
        }
        flushed.push(range);
    }
    flushed
}

#[tokio::test]
async fn a_crash_at_any_operation_leaves_what_was_there_or_nothing() {
    for torn in [false, true] {
        for after in 0.. {
            let mut setup = Setup::quick(0, 64 * MIB);
            let (files, dead) = dying(after, torn);
            setup.files = files;
            let Ok(store) = Store::open_with(&setup.options, setup.files.clone()) else { continue };
            let flushed = live(&store, &dead).await;
            let died = dead.load(Ordering::SeqCst);
            let at = format!("after {after}, torn {torn}");
            let killed = setup.copy();
            let store = recovered(killed.open());
            let found = get_whole(&store).await;
            assert!(found.as_ref().is_none_or(|(_, found)| *found == whole()), "{at}");
            // Never both, never a byte that was not written, and nothing that was not brought.
            let parts = present(&store).await;
            assert!(found.is_none() || parts.is_none(), "{at}");
            let mut brought = flushed.clone();
            brought.extend(RANGES.get(flushed.len()).cloned());
            let (surely, maybe) = (with(&flushed), with(&brought));
            for (position, there) in parts.into_iter().flatten().enumerate() {
                assert!(there || !surely[position], "{at}: {position} was flushed");
                assert!(!there || maybe[position], "{at}: {position} was never brought");
            }
            if !died {
                assert!(found.is_some() && flushed.len() == 4);
                break;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Part(Range<u64>),
    /// Two at once; the first may break off.
    Two(Range<u64>, Range<u64>, bool),
    Freshen,
    Flush,
    Reopen,
}

fn range() -> impl Strategy<Value = Range<u64>> {
    (0..LENGTH, 1..100_000_u64).prop_map(|(start, length)| start..LENGTH.min(start + length))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => range().prop_map(Step::Part),
        3 => (range(), range(), any::<bool>()).prop_map(|(a, b, breaks)| Step::Two(a, b, breaks)),
        1 => Just(Step::Freshen),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

async fn any_order(steps: &[Step], memory: u64) {
    let setup = Setup::quick(memory, 64 * MIB);
    let mut store = setup.open();
    let mut ranges = Vec::new();
    for step in steps {
        match step {
            Step::Part(range) => {
                assert_eq!(put_part(&store, "", range.clone()).await, Committed::Stored);
                ranges.push(range.clone());
            }
            Step::Two(one, other, breaks) => {
                let mut first = begin(&store, parts_label(""), one).await;
                let mut second = begin(&store, parts_label(""), other).await;
                let middle = one.start.midpoint(one.end);
                write(&mut first, one.start..middle).await;
                write(&mut second, other.clone()).await;
                if !breaks {
                    write(&mut first, middle..one.end).await;
                    assert_eq!(first.commit(b"").await, Committed::Stored);
                    ranges.push(one.clone());
                }
                assert_eq!(second.commit(b"").await, Committed::Stored);
                ranges.push(other.clone());
            }
            Step::Freshen => {
                if let Some(entry) = base(&store).await {
                    let fresh = store.replace_meta(&name(), &entry, parts_label("fresh"));
                    assert_eq!(fresh.unwrap().present(), entry.present());
                }
            }
            Step::Flush => store.flush().await,
            Step::Reopen => {
                drop(store);
                store = setup.open();
            }
        }
        let expected = with(&ranges);
        if expected.iter().all(|there| *there) {
            assert_eq!(get_whole(&store).await.unwrap().1, whole());
            return;
        }
        assert!(get_whole(&store).await.is_none());
        assert!(present(&store).await.unwrap_or_else(|| with(&[])) == expected);
    }
    let stats = store.stats();
    assert_eq!(stats.damaged.iter().map(|(_, count)| count).sum::<u64>(), 0);
    store.flush().await;
    assert!(setup.objects().len() <= 1 && setup.temporaries().is_empty());
    assert_eq!(store.stats().in_flight_bytes, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn parts_in_any_order_are_served_as_they_were_written(
        steps in prop::collection::vec(step(), 1..20),
        has_memory in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(any_order(&steps, if has_memory { MIB } else { 0 }));
    }
}
