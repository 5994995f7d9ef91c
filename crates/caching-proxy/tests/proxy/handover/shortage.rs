//! A newer process that lacks something leaves the older one as it was.

use testkit::eventually;

use super::{get, has_ended, site};
use crate::{Proxy, cache, count};

#[test]
fn whatever_it_cannot_open_it_finds_out_before_the_older_one_stops() {
    let origin = site();
    let mut proxy = Proxy::with(&origin, &["--workers", "3"]);
    let mut reasons = String::new();
    // With some files more each time something else is the first that cannot be had.
    let mut stored = Vec::new();
    let newer = (10..200).step_by(10).find_map(|files| {
        let mut newer = proxy.launch().arg("--take-over").within_files(files).begin();
        if newer.is_ready() {
            return Some(newer);
        }
        assert_eq!(newer.exited().code(), Some(1), "{files} files: {}", newer.stderr());
        reasons.push_str(&newer.stderr());
        let path = format!("/{files}");
        let on_disk = || count(&proxy, "store.disk_entries");
        let before = on_disk();
        assert_eq!(get(&proxy, &path), "MISS");
        assert_eq!(get(&proxy, &path), "HIT");
        // What is stored before the older one has its disk back is in memory alone.
        if on_disk() > before {
            stored.push(path);
        }
        None
    });
    let (newer, asked) = (newer.unwrap(), origin.count());
    for stage in ["Too many open files", "starting a worker", "no room for clients"] {
        assert!(reasons.contains(stage), "{stage} is not among {reasons}");
    }
    let older = proxy.binary.replace(newer).unwrap();
    proxy.settles();
    assert!(stored.len() > 5, "{stored:?}");
    assert!(older.stderr().contains("ended before it served"), "{}", older.stderr());
    // What was stored meanwhile is on disk. Who comes too fast for so few files comes again.
    let is_hit = |path: &str| {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n"));
        client.try_response().is_ok_and(|answer| cache(&answer) == "HIT")
    };
    assert!(stored.iter().all(|path| eventually(|| is_hit(path))));
    assert_eq!(origin.count(), asked, "none was asked for again");
    has_ended(older);
}
