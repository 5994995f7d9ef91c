//! Damage anywhere in the files of a store: the last that was stored, or nothing.

use std::fs;

use super::*;

const NAMES: [&str; 8] =
    ["kept", "replaced", "removed", "late", "removed late", "grown", "shrunk", "freshened"];
/// So many of them are there in the end.
const THERE: usize = 6;

/// A store of several short segments: most sealed, the last one not if it is killed.
async fn filled() -> (Setup, Setup) {
    let setup = Setup::quick(0, 128 * KIB);
    let put = async |store: &Store<Label>, name: &str, text: &str, length: u64| {
        stored(store, &key(name), label("v", text), &body(length, length)).await;
    };
    let store = setup.open();
    for name in ["kept", "replaced", "removed", "removed late", "grown"] {
        put(&store, name, "first", 30).await;
    }
    put(&store, "shrunk", "first", 20_000).await;
    put(&store, "freshened", "first", 1025).await;
    drop(store);
    let store = setup.open();
    freshen(&store, "freshened", "second").await;
    put(&store, "replaced", "second", 40).await;
    put(&store, "grown", "second", 20_001).await;
    put(&store, "shrunk", "second", 31).await;
    store.remove(&key("removed"));
    drop(store);
    let store = setup.open();
    put(&store, "late", "first", 50).await;
    freshen(&store, "freshened", "third").await;
    store.remove(&key("removed late"));
    put(&store, "replaced", "third", 35).await;
    store.flush().await;
    let killed = setup.copy();
    drop(store);
    (setup, killed)
}

async fn freshen(store: &Store<Label>, name: &str, text: &str) {
    let before = store.stats().log_written_bytes;
    let entry = find(store, &key(name), "v").await.unwrap();
    assert!(store.replace_meta(&key(name), &entry, label("v", text)).is_some());
    store.flush().await;
    assert!(store.stats().log_written_bytes - before < 500, "without the body");
}

fn last(name: &str) -> Option<(&'static str, u64)> {
    match name {
        "kept" => Some(("first", 30)),
        "replaced" => Some(("third", 35)),
        "late" => Some(("first", 50)),
        "grown" => Some(("second", 20_001)),
        "shrunk" => Some(("second", 31)),
        "freshened" => Some(("third", 1025)),
        _ => None,
    }
}

/// Opens the store; what it finds is right or missing, and damage is counted. Returns how much it
/// finds.
async fn right_and_counted(setup: &Setup, what: &str) -> usize {
    let (found, damaged) = right_or_missing(setup, what).await;
    assert!(found == THERE || damaged, "{what}: not counted");
    found
}

async fn right_or_missing(setup: &Setup, what: &str) -> (usize, bool) {
    let opened = Store::<Label>::open_with(&setup.options, Files::default());
    let store = recovered(opened.unwrap_or_else(|error| panic!("{what}: {error}")));
    let mut found = 0;
    for name in NAMES {
        let Some(entry) = find(&store, &key(name), "v").await else { continue };
        let Ok(got) = read(entry.reader()).await else { continue };
        let right = last(name).map(|(text, length)| (text.to_owned(), body(length, length)));
        assert!(right == Some((entry.meta().text.clone(), got)), "{what}: wrong {name}");
        found += 1;
    }
    let stats = store.stats();
    let damaged = stats.damaged.iter().map(|(_, count)| count).sum::<u64>();
    (found, damaged > 0 || stats.event_logs_lost > 0 || stats.disk_entries == 0)
}

/// The files of a store that matter, and those of their bytes that were written.
fn targets(setup: &Setup) -> Vec<(PathBuf, usize)> {
    let names = ["newest", "snapshot", "events", "format"].map(|name| setup.root().join(name));
    let all = names.into_iter().filter(|path| path.exists()).chain(setup.segments());
    let written = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 80).min(bytes.len())
    };
    all.map(|path| (path.clone(), written(&path))).collect()
}

/// Does something to each file of a store in turn, on a copy.
async fn with_each(
    setup: &Setup,
    step: usize,
    change: impl Fn(&mut Vec<u8>, usize),
    least: impl Fn(&Path) -> usize,
) {
    for (path, length) in targets(setup) {
        let file = path.file_name().unwrap().to_owned();
        let inside = path.strip_prefix(setup.root()).unwrap().to_owned();
        for position in (0..length).step_by(step) {
            let copy = setup.copy();
            let target = copy.root().join(&inside);
            let mut bytes = fs::read(&target).unwrap();
            change(&mut bytes, position);
            fs::write(&target, bytes).unwrap();
            let what = format!("{} at {position}", file.display());
            let found = right_and_counted(&copy, &what).await;
            assert!(found >= least(&inside), "{what}: only {found} found");
        }
    }
}

#[expect(clippy::ptr_arg, reason = "others change the length")]
fn flip(bytes: &mut Vec<u8>, position: usize) {
    bytes[position] ^= 1 << (position % 8);
}

#[tokio::test]
async fn no_flipped_bit_brings_anything_back() {
    let (stopped, killed) = filled().await;
    // What is flipped are records, not files.
    assert!(stopped.segments().len() == 3 && stopped.objects().len() == 1);
    assert_eq!(right_and_counted(&stopped.copy(), "as it was").await, THERE);
    assert_eq!(right_and_counted(&killed.copy(), "as it was").await, THERE);
    // A damaged record costs itself, or the one entry that has its body there.
    let one = |path: &Path| match path.to_str() {
        Some("format") => THERE,
        _ if path.starts_with("segments") => THERE - 1,
        _ => 0,
    };
    with_each(&stopped, 1, flip, one).await;
    // Where a removal may have stood, all before it is in doubt; in sealed segments nothing is.
    let newest = killed.segments().len();
    let sealed = move |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let number = usize::from_str_radix(name, 16).unwrap_or(0);
        if path.starts_with("segments") && number < newest { THERE - 1 } else { 0 }
    };
    with_each(&killed, 1, flip, sealed).await;
}

#[tokio::test]
async fn no_file_that_was_cut_or_grew_brings_anything_back() {
    let (stopped, killed) = filled().await;
    for setup in [stopped, killed] {
        let all = |path: &Path| if path == Path::new("format") { THERE } else { 0 };
        with_each(&setup, 5, Vec::truncate, all).await;
        with_each(&setup, 97, |bytes, length| bytes.resize(bytes.len() + length, 7), all).await;
    }
}

#[tokio::test]
async fn no_file_that_vanished_brings_anything_back() {
    let (stopped, killed) = filled().await;
    for setup in [stopped, killed] {
        for (path, _) in targets(&setup) {
            let copy = setup.copy();
            let inside = path.strip_prefix(setup.root()).unwrap();
            fs::remove_file(copy.root().join(inside)).unwrap();
            if inside.ends_with("format") {
                assert_eq!(right_and_counted(&copy, "without format").await, THERE);
                continue;
            }
            // The oldest segment may have gone as it should: that cannot be told.
            right_or_missing(&copy, &format!("without {}", inside.display())).await;
        }
    }
}
