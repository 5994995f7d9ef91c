use super::*;

fn origin() -> proxy::OriginUrl {
    proxy::OriginUrl::parse("http://127.0.0.1:8000").unwrap()
}

#[test]
fn a_claim_creates_the_directory_for_this_user_alone_and_says_who_holds_it() {
    use std::os::unix::fs::PermissionsExt;
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("a/b");
    let claim = Claim::take(&directory).unwrap();
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(claim.store(), directory.canonicalize().unwrap().join("store"));
    let error = Claim::take(&directory).unwrap_err();
    let StateError::InUse { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(holder.pid, Some(std::process::id()));
    assert!(error.to_string().contains(&format!("is in use by pid {}", std::process::id())));
}

#[test]
fn a_claim_that_is_gone_frees_the_directory() {
    let base = tempfile::tempdir().unwrap();
    drop(Claim::take(base.path()).unwrap());
    assert!(Claim::take(base.path()).is_ok());
}

#[test]
fn whoever_only_looks_whether_a_directory_is_claimed_is_in_nobodys_way() {
    let base = tempfile::tempdir().unwrap();
    assert_eq!(holder_of(base.path()).unwrap(), None);
    let claim = Claim::take(base.path()).unwrap();
    assert_eq!(holder_of(base.path()).unwrap().unwrap().pid, Some(std::process::id()));
    drop(claim);
    let looking = std::fs::File::open(base.path().join(LOCK)).unwrap();
    looking.lock_shared().unwrap();
    assert_eq!(holder_of(base.path()).unwrap(), None);
    let looks = std::thread::spawn(move || {
        std::thread::sleep(2 * LOOK);
        drop(looking);
    });
    assert!(Claim::take(base.path()).is_ok());
    looks.join().unwrap();
}

#[test]
fn a_shorter_number_leaves_nothing_of_a_longer_one() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join(LOCK), "123456789012\n").unwrap();
    let _claim = Claim::take(base.path()).unwrap();
    let text = std::fs::read_to_string(base.path().join(LOCK)).unwrap();
    assert_eq!(text, format!("{}\n", std::process::id()));
}

#[test]
fn a_directory_that_was_never_used_is_not_touched_by_a_claim_on_an_existing_one() {
    let base = tempfile::tempdir().unwrap();
    assert!(Claim::take_existing(&base.path().join("missing")).unwrap().is_none());
    assert!(Claim::take_existing(base.path()).unwrap().is_none());
    assert_eq!(base.path().read_dir().unwrap().count(), 0);
    drop(Claim::take(base.path()).unwrap());
    assert!(Claim::take_existing(base.path()).unwrap().is_some());
}

#[test]
fn a_file_in_the_way_is_named() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let line = Claim::take(&file.join("below")).unwrap_err().to_string();
    assert!(line.starts_with("cannot create "), "{line}");
    assert!(line.contains("file/below") && line.contains("--cache-dir DIR"), "{line}");
}

#[test]
fn instances_that_ask_for_any_port_run_side_by_side_and_find_their_caches_again() {
    let base = tempfile::tempdir().unwrap();
    let name = InstanceName::new(&origin(), "127.0.0.1:0".parse().unwrap());
    let file_name =
        |claim: &Claim| claim.directory().file_name().unwrap().to_str().unwrap().to_owned();
    let first = claim_below(base.path(), &name).unwrap();
    let second = claim_below(base.path(), &name).unwrap();
    assert_eq!(file_name(&first), "http-127.0.0.1-8000.0");
    assert_eq!(file_name(&second), "http-127.0.0.1-8000.0-2");
    drop(first);
    assert_eq!(file_name(&claim_below(base.path(), &name).unwrap()), "http-127.0.0.1-8000.0");
}

#[test]
fn a_port_that_was_named_has_one_directory() {
    let base = tempfile::tempdir().unwrap();
    let name = InstanceName::new(&origin(), "127.0.0.1:3000".parse().unwrap());
    let _first = claim_below(base.path(), &name).unwrap();
    let second = claim_below(base.path(), &name);
    assert!(matches!(second, Err(StateError::InUse { .. })), "{second:?}");
}

#[test]
fn only_directories_of_instances_are_listed() {
    let base = tempfile::tempdir().unwrap();
    assert!(instances_below(&base.path().join("missing")).unwrap().is_empty());
    for port in [2, 1] {
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        claim_below(base.path(), &InstanceName::new(&origin(), listen)).unwrap();
    }
    std::fs::create_dir(base.path().join("http-other-80.3")).unwrap();
    std::fs::write(base.path().join("http-other-80.4"), "a file").unwrap();
    let ports: Vec<u16> =
        instances_below(base.path()).unwrap().iter().map(|(name, _)| name.port()).collect();
    assert_eq!(ports, [1, 2]);
}
