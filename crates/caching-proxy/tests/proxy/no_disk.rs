//! A process without a disk on the directory of one that had it: what is stored there would become
//! outdated, since nothing that is purged meanwhile is noted there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::{Client, Launch, Origin};

use crate::handover::has_ended;
use crate::purging::purge;
use crate::{Proxy, cache, ok};

/// How one process follows another.
#[derive(Clone, Copy, Debug)]
enum Change {
    Stop,
    Kill,
    TakeOver,
}

impl Change {
    fn carry_out(self, proxy: &mut Proxy, args: &[&str]) {
        proxy.args = args.iter().map(ToString::to_string).collect();
        match self {
            Self::Stop => proxy.terminate(),
            Self::Kill => proxy.kill9(),
            Self::TakeOver => return has_ended(proxy.take_over()),
        }
        proxy.start();
    }
}

/// Tells with each response how many there have been.
fn site() -> Origin {
    let number = Arc::new(AtomicU64::new(1));
    Origin::start(move |_, conn| {
        let text = number.fetch_add(1, Ordering::SeqCst).to_string();
        conn.send(ok("Cache-Control: max-age=600\r\n", &text));
    })
}

#[test]
fn what_was_stored_before_a_process_without_a_disk_does_not_come_back() {
    for change in [Change::Stop, Change::Kill, Change::TakeOver] {
        let origin = site();
        let mut proxy = Proxy::before(&origin);
        assert_eq!(proxy.get("/").text(), "1");
        change.carry_out(&mut proxy, &["--no-disk"]);
        // After a kill it is not known yet what there was.
        let is_known = !matches!(change, Change::Kill);
        assert!(!is_known || proxy.binary().says(r#""event":"disk-emptied""#), "{change:?}");
        assert_eq!(proxy.get("/").text(), "2");
        assert_eq!(purge(&proxy, &["--all"]).code, Some(0));
        change.carry_out(&mut proxy, &[]);
        let answer = proxy.get("/");
        assert_eq!((answer.text().as_str(), cache(&answer)), ("3", "MISS"), "{change:?}");
        assert_eq!(proxy.get("/").text(), "3");
    }
}

#[test]
fn where_it_cannot_be_emptied_there_is_no_process_without_a_disk() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    proxy.terminate();
    let store = proxy.directory.path().join("cache/store");
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::create_dir(&store).unwrap();
    std::fs::write(store.join("precious"), "mine").unwrap();
    let mut binary = proxy.launch().arg("--no-disk").begin();
    assert_eq!(binary.exited().code(), Some(1));
    assert!(binary.says("give another --cache-dir"), "{}", binary.stderr());
    assert!(store.join("precious").exists());
}

#[test]
fn without_room_for_clients_nobody_is_said_to_be_served() {
    let (origin, directory) = (site(), tempfile::TempDir::new().unwrap());
    let launch = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--port", "0", "--workers", "1", "--origin", &origin.url(), "--cache-dir"])
        .arg(directory.path());
    let mut reasons = String::new();
    // With one file more each time: the first that is ready answers.
    let binary = (30..200).find_map(|files| {
        let mut binary = launch.clone().within_files(files).begin();
        if binary.is_ready() {
            return Some(binary);
        }
        assert_eq!(binary.exited().code(), Some(1), "{files} files: {}", binary.stderr());
        assert!(binary.says("caching-proxy: "), "{}", binary.stderr());
        reasons.push_str(&binary.stderr());
        None
    });
    let binary = binary.unwrap();
    let mut client = Client::connect(("127.0.0.1", binary.port()));
    assert_eq!(client.get("/").status, 200);
    assert!(reasons.contains("no room for clients"), "{reasons}");
}
