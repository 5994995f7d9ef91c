use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use store::Key;

use super::*;
use crate::control::{Commands, Server};
use crate::state::InstanceName;

struct Running;

impl Commands for Running {
    fn answer(&self, request: Request) -> Value {
        assert_eq!(request, Request::Clear);
        json!({ "entries": 12, "bytes": 3456 })
    }

    fn let_take_over(&self, _: std::os::unix::net::UnixStream) {}
}

fn instance(base: &Path, origin: &str, port: u16) -> Claim {
    let origin = proxy::OriginUrl::parse(origin).unwrap();
    let name = InstanceName::new(&origin, ([127, 0, 0, 1], port).into());
    state::claim_below(base, &name).unwrap()
}

/// Puts `count` responses of 1,000 bytes into the disk tier.
fn fill(claim: &Claim, count: u8) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let disk = Some(DiskOptions { directory: claim.store(), capacity: 1 << 20 });
    let store = Store::<Opaque>::open(Options { disk, ..Options::default() }).unwrap();
    runtime.block_on(async {
        for n in 0..count {
            let mut fill = store.begin(Key::new(&[n]), Opaque(vec![n]), Some(1000)).unwrap();
            fill.write(Bytes::from(vec![n; 1000])).await.unwrap();
            fill.commit(b"").await;
        }
        store.flush().await;
    });
}

/// Regular files below, however deep, that may hold responses.
fn objects(directory: &Path) -> usize {
    let entries = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let (deeper, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let names = ["format", "lock", "events", "newest", "snapshot"];
    let own = |path: &&PathBuf| names.iter().any(|own| path.ends_with(own));
    let own = files.iter().filter(own).count();
    files.len() - own + deeper.iter().map(|path| objects(path)).sum::<usize>()
}

fn cleared(what: &Instances, base: &Path) -> Result<String, ClearError> {
    let mut out = Vec::new();
    run(what, Some(base.to_owned()), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn nothing_there_is_nothing_to_clear() {
    let base = tempfile::tempdir().unwrap();
    let missing = base.path().join("missing");
    assert_eq!(cleared(&Instances::default(), &missing).unwrap(), "nothing to clear\n");
    let named = Instances { directory: Some(missing.clone()), ..Instances::default() };
    assert_eq!(cleared(&named, base.path()).unwrap(), "nothing to clear\n");
    assert!(!missing.exists());
}

#[test]
fn a_running_instance_is_told() {
    let base = tempfile::tempdir().unwrap();
    let claim = instance(base.path(), "http://a", 1);
    let _server = Server::start(&claim, Arc::new(Running)).unwrap();
    let line = cleared(&Instances::default(), base.path()).unwrap();
    assert!(line.starts_with("cleared 12 responses (3.4 KiB) in "), "{line}");
    assert!(line.ends_with("http-a-80.1, in use by a running instance\n"), "{line}");
}

#[test]
fn an_instance_that_is_still_starting_is_waited_for() {
    let base = tempfile::tempdir().unwrap();
    let claim = instance(base.path(), "http://a", 1);
    let asking = std::thread::spawn({
        let base = base.path().to_owned();
        move || cleared(&Instances::default(), &base)
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    let _server = Server::start(&claim, Arc::new(Running)).unwrap();
    assert!(asking.join().unwrap().unwrap().contains("12 responses"));
}

#[test]
fn without_an_instance_the_files_are_removed_and_counted() {
    let base = tempfile::tempdir().unwrap();
    let claim = instance(base.path(), "http://a", 1);
    let store = claim.store();
    fill(&claim, 3);
    drop(claim);
    assert_eq!(objects(&store), 1, "all three in a segment");
    let line = cleared(&Instances::default(), base.path()).unwrap();
    assert!(line.starts_with("cleared 3 responses ("), "{line}");
    assert!(line.contains(" KiB) in "), "{line}");
    assert_eq!(objects(&store), 0);
    let again = cleared(&Instances::default(), base.path()).unwrap();
    assert!(again.starts_with("cleared 0 responses (0 B) in "), "{again}");
}

#[test]
fn a_cache_of_another_version_is_removed_whole() {
    let base = tempfile::tempdir().unwrap();
    let claim = instance(base.path(), "http://a", 1);
    let store = claim.store();
    fill(&claim, 1);
    drop(claim);
    std::fs::write(store.join("format"), "caching-proxy store 99\n").unwrap();
    let line = cleared(&Instances::default(), base.path()).unwrap();
    assert!(line.starts_with("cleared a cache of another version in "), "{line}");
    assert!(!store.exists());
}

#[test]
fn only_the_selected_instances_are_cleared() {
    let base = tempfile::tempdir().unwrap();
    for (origin, port) in [("http://a", 1), ("http://a", 2), ("http://b", 1)] {
        let claim = instance(base.path(), origin, port);
        fill(&claim, 0);
    }
    let origin = |url: &str| proxy::OriginUrl::parse(url).ok();
    let table = [
        (Instances::default(), vec!["http-a-80.1", "http-a-80.2", "http-b-80.1"]),
        (Instances { port: Some(1), ..Instances::default() }, vec!["http-a-80.1", "http-b-80.1"]),
        (
            Instances { origin: origin("http://a"), ..Instances::default() },
            vec!["http-a-80.1", "http-a-80.2"],
        ),
        (
            Instances { origin: origin("http://b"), port: Some(1), directory: None },
            vec!["http-b-80.1"],
        ),
    ];
    for (what, names) in table {
        let text = cleared(&what, base.path()).unwrap();
        let seen: Vec<&str> = text.lines().filter_map(|line| line.rsplit('/').next()).collect();
        assert_eq!(seen, names, "{what:?}");
        assert!(
            text.lines().all(|line| line.starts_with("cleared 0 responses (0 B) in ")),
            "{text}"
        );
    }
}

#[test]
fn foreign_files_are_never_removed() {
    let base = tempfile::tempdir().unwrap();
    let claim = instance(base.path(), "http://a", 1);
    let precious = claim.store().join("precious.txt");
    std::fs::create_dir(claim.store()).unwrap();
    std::fs::write(&precious, "x").unwrap();
    drop(claim);
    let error = cleared(&Instances::default(), base.path()).unwrap_err();
    assert!(matches!(error, ClearError::Open(OpenError::Foreign { .. })), "{error}");
    assert!(precious.exists());
}

#[test]
fn without_a_home_there_is_no_place_to_look() {
    let error = run(&Instances::default(), None, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ClearError::State(StateError::NoHome)));
}
