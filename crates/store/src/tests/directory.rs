//! Opening, restarting, and what is left by a process that was killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::OpenError;

#[tokio::test]
async fn a_restart_keeps_everything() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    for number in 0..30 {
        let name = number.to_string();
        stored(&store, &key(&name), label("a", &name), &body(number, number * 5000)).await;
        stored(&store, &key(&name), label("b", &name), &body(number, 10)).await;
    }
    stored(&store, &key("large"), label("v", "large"), &body(1, 3 * MIB)).await;
    let before = store.stats();
    // Without a flush: the last owner finishes what is queued.
    drop(store);
    let store = setup.open();
    let after = store.stats();
    assert_eq!((after.disk_entries, after.disk_bytes), (before.disk_entries, before.disk_bytes));
    for number in 0..30 {
        let name = number.to_string();
        let found = get(&store, &key(&name), "a").await;
        assert_eq!(found, Some((name.clone(), body(number, number * 5000))));
        assert_eq!(get(&store, &key(&name), "b").await, Some((name, body(number, 10))));
    }
    assert!(get(&store, &key("large"), "v").await.unwrap().1 == body(1, 3 * MIB));
    let entry = find(&store, &key("1"), "a").await.unwrap();
    assert_eq!(entry.tail(), Some(&b"trailers of 1"[..]));
}

#[tokio::test]
async fn what_a_killed_process_left_is_harmless() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    stored(&setup.open(), &key("k"), label("v", "t"), &body(1, 300_000)).await;
    let [whole] = &setup.objects()[..] else { panic!("one file") };
    let bytes = fs::read(whole).unwrap();
    fs::write(setup.root().join("tmp/0000000000000007"), &bytes[..500]).unwrap();
    // A name of ours with half a file, as after a power cut, and one that is not ours.
    let torn = whole
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .replace("-0000000000000002", "-0000000000000009");
    fs::write(whole.with_file_name(torn), &bytes[..900]).unwrap();
    let foreign = whole.with_file_name("README");
    fs::write(&foreign, "mine").unwrap();

    let store = setup.open();
    assert_eq!(setup.temporaries().len(), 0);
    // The torn file is the newer one of the variant, so the older is given up with it.
    assert!(get(&store, &key("k"), "v").await.is_none());
    assert_eq!(store.stats().damaged.iter().map(|(_, count)| count).sum::<u64>(), 1);
    store.flush().await;
    assert_eq!(setup.objects(), [foreign]);
}

#[tokio::test]
async fn the_newer_of_two_files_of_a_variant_counts() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    let (first, second) = (body(1, 300_000), body(2, 300_000));
    stored(&store, &key("k"), label("v", "old"), &first).await;
    store.flush().await;
    let [old] = &setup.objects()[..] else { panic!("one file") };
    let bytes = fs::read(old).unwrap();
    for (new, files) in [(&second[..], 1), (b"small", 0)] {
        stored(&store, &key("k"), label("v", "new"), new).await;
        store.flush().await;
        let copy = setup.copy();
        fs::create_dir_all(copy.objects_of(old).parent().unwrap()).unwrap();
        fs::write(copy.objects_of(old), &bytes).unwrap();
        let store = recovered(copy.open());
        assert_eq!(get(&store, &key("k"), "v").await, Some(("new".to_owned(), new.to_vec())));
        store.flush().await;
        assert_eq!(copy.objects().len(), files);
    }
}

#[tokio::test]
async fn a_removed_key_stays_removed_after_a_restart() {
    let setup = Setup::new(8 * MIB, 64 * MIB);
    let store = setup.open();
    stored(&store, &key("k"), label("v", ""), b"x").await;
    stored(&store, &key("large"), label("v", ""), &body(1, 2 * MIB)).await;
    store.remove(&key("k"));
    store.remove(&key("large"));
    drop(store);
    let store = setup.open();
    assert!(store.look_up(&key("k")).await.is_none());
    assert!(store.look_up(&key("large")).await.is_none());
}

#[test]
fn a_second_owner_is_told_who_has_the_store() {
    let setup = Setup::new(MIB, MIB);
    let store = setup.open();
    match Store::<Label>::open(setup.options.clone()).err() {
        Some(OpenError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(store);
    setup.open();
}

#[test]
fn a_directory_that_is_not_a_store_is_left_alone() {
    let setup = Setup::new(MIB, MIB);
    fs::create_dir(setup.root()).unwrap();
    fs::write(setup.root().join("thesis.tex"), "years of work").unwrap();
    let refused = Store::<Label>::open(setup.options.clone()).err();
    assert!(matches!(refused, Some(OpenError::Foreign { .. })), "{refused:?}");
    let names: Vec<_> =
        fs::read_dir(setup.root()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.tex"]);
}

#[test]
fn a_directory_with_a_format_file_of_somebody_else_is_left_alone() {
    let setup = Setup::new(MIB, MIB);
    drop(setup.open());
    for (name, text) in [("format", "A4, landscape"), ("thesis.tex", "years of work")] {
        fs::write(setup.root().join(name), text).unwrap();
    }
    for _ in ["with it", "without it"] {
        let refused = Store::<Label>::open(setup.options.clone()).err();
        assert!(matches!(refused, Some(OpenError::Foreign { .. })), "{refused:?}");
        let _ = fs::remove_file(setup.root().join("format"));
    }
    assert!(setup.root().join("thesis.tex").exists() && !setup.root().join("format").exists());
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let setup = Setup::new(MIB, MIB);
    drop(setup.open());
    fs::write(setup.root().join("format"), "caching-proxy store 99\n").unwrap();
    match Store::<Label>::open(setup.options.clone()).err() {
        Some(OpenError::Version { found, .. }) => assert_eq!(found, "caching-proxy store 99"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_store_of_the_version_before_is_read_and_becomes_one_of_this() {
    for killed in [false, true] {
        let mut setup = Setup::new(0, 64 * MIB);
        let store = setup.open();
        stored(&store, &key("small"), label("v", "s"), &body(1, 5000)).await;
        stored(&store, &key("large"), label("v", "l"), &body(2, 300_000)).await;
        store.flush().await;
        if killed {
            setup = setup.copy();
        }
        drop(store);
        let format = setup.root().join("format");
        fs::write(&format, "caching-proxy store 2\n").unwrap();
        let store = recovered(setup.open());
        // Who only knows the version before has to refuse it from now on.
        assert!(fs::read_to_string(&format).unwrap().starts_with("caching-proxy store 3\n"));
        assert_eq!(get(&store, &key("small"), "v").await, Some(("s".to_owned(), body(1, 5000))));
        assert_eq!(get(&store, &key("large"), "v").await, Some(("l".to_owned(), body(2, 300_000))));
    }
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let setup = Setup::new(MIB, 64 * MIB);
    let store = setup.open();
    stored(&store, &key("small"), label("v", ""), b"x").await;
    stored(&store, &key("large"), label("v", ""), &body(1, 2 * MIB)).await;
    store.flush().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["", "tmp", "objects", "segments"] {
        assert_eq!(mode(&setup.root().join(name)), 0o700, "{name}");
    }
    let (objects, segments) = (setup.objects(), setup.segments());
    assert_eq!((objects.len(), segments.len()), (1, 1));
    for path in objects.into_iter().chain(segments) {
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
    drop(store);
    for name in ["format", "newest", "snapshot", "events"] {
        assert_eq!(mode(&setup.root().join(name)), 0o600, "{name}");
    }
}
