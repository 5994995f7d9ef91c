//! Parts of a large response on disk: all in one file, which is the whole's once nothing is missing.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxy::clock::Clock;
use proxy::{Running, Settings};
use store::DiskOptions;
use tempfile::TempDir;
use testkit::{Client, Origin, Response, eventually};

const MIB: u64 = 1 << 20;
const FIELDS: &str = "Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n";

/// A proxy in this process with a disk, and with memory for nothing large.
struct Site {
    running: Running,
    clock: Clock,
    directory: TempDir,
}

impl Site {
    fn before(origin: &Origin) -> Self {
        let directory = TempDir::new().unwrap();
        let disk = DiskOptions { directory: directory.path().join("store"), capacity: 256 * MIB };
        let store = store::Options { memory: MIB, disk: Some(disk), ..Default::default() };
        let settings = Settings { workers: 2, store, ..rig::settings(&origin.url()) };
        let rig::Site { running, clock } = rig::Site::start(settings);
        Self { running, clock, directory }
    }

    fn ask(&self, fields: &[(&str, &str)]) -> Response {
        Client::connect(self.running.local_addr()).request("GET", "/", fields)
    }

    fn get(&self) -> Response {
        self.ask(&[])
    }

    fn range(&self, range: &Range<u64>) -> Response {
        self.ask(&[("Range", &bytes(range))])
    }

    /// Asks for a range until it comes from the store. A request that comes before it is there waits
    /// for the fetch that brings it.
    fn stored(&self, range: &Range<u64>) {
        assert!(eventually(|| is_hit(&self.range(range))), "{range:?}");
    }

    fn files(&self) -> Vec<PathBuf> {
        let objects = self.directory.path().join("store").join("objects");
        let directories = std::fs::read_dir(objects).unwrap().map(|entry| entry.unwrap().path());
        directories
            .flat_map(|path| std::fs::read_dir(path).unwrap())
            .map(|e| e.unwrap().path())
            .collect()
    }
}

fn bytes(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

fn is_hit(response: &Response) -> bool {
    response.field("X-Cache") == Some("HIT")
}

/// A representation that is different everywhere and from every other.
fn body(seed: u64, length: u64) -> Vec<u8> {
    let word = |at: u64| (at ^ (seed << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    (0..length / 8).flat_map(word).collect()
}

/// What the origin has: an entity tag and a body.
type Has = Arc<Mutex<(&'static str, Arc<Vec<u8>>)>>;

/// Answers single ranges and conditions as RFC 9110 has it.
fn origin(has: &Has) -> Origin {
    let has = Arc::clone(has);
    Origin::start(move |request, conn| {
        let (tag, body) = has.lock().unwrap().clone();
        let tagged = format!("ETag: {tag}\r\n{FIELDS}");
        if request.field("If-None-Match") == Some(tag) {
            conn.send(format!("HTTP/1.1 304 Not Modified\r\n{tagged}\r\n"));
            return;
        }
        let applies = request.field("If-Range").is_none_or(|condition| condition == tag);
        let length = body.len();
        let Some(range) = request.field("Range").filter(|_| applies) else {
            conn.send(format!("HTTP/1.1 200 OK\r\n{tagged}Content-Length: {length}\r\n\r\n"));
            conn.send(&body[..]);
            return;
        };
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let last = last.parse().map_or(length - 1, |last: usize| last.min(length - 1));
        conn.send(format!(
            "HTTP/1.1 206 Partial Content\r\n{tagged}Content-Range: bytes {first}-{last}/{length}\r\n\
             Content-Length: {}\r\n\r\n",
            last + 1 - first
        ));
        conn.send(&body[first..=last]);
    })
}

fn with(tag: &'static str, body: Vec<u8>) -> (Has, Arc<Vec<u8>>, Origin) {
    let body = Arc::new(body);
    let has = Arc::new(Mutex::new((tag, Arc::clone(&body))));
    let origin = origin(&has);
    (has, body, origin)
}

#[track_caller]
fn expect(response: &Response, range: &Range<u64>, body: &[u8]) {
    let (first, end) = (range.start, range.end);
    let content_range = format!("bytes {first}-{}/{}", end - 1, body.len());
    assert_eq!((response.status, response.field("Content-Range")), (206, Some(&*content_range)));
    assert!(response.complete && response.body == body[first as usize..end as usize]);
}

/// Ranges as somebody picks them who looks here and there.
fn scattered(count: u64, length: u64) -> impl Iterator<Item = Range<u64>> {
    let mut state = 7_u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..count).map(move |_| {
        let start = next() % length;
        start..length.min(start + 1 + next() % (600 << 10))
    })
}

#[test]
fn forty_ranges_anywhere_are_served_later_without_the_origin_and_become_the_whole() {
    let (_, body, origin) = with("\"a\"", body(1, 20 * MIB));
    let site = Site::before(&origin);
    let ranges: Vec<_> = scattered(40, 20 * MIB).collect();
    for range in &ranges {
        expect(&site.range(range), range, &body);
        site.stored(range);
    }
    let asked = origin.count();
    assert!(asked <= 40, "{asked}");
    for range in ranges.iter().rev() {
        let inside = range.start..range.start.midpoint(range.end) + 1;
        for range in [range, &inside] {
            let response = site.range(range);
            expect(&response, range, &body);
            assert!(is_hit(&response));
        }
    }
    assert_eq!(origin.count(), asked);
    assert_eq!(site.files().len(), 1);
    // Nothing of it passes for the whole.
    let only = [("Cache-Control", "only-if-cached")];
    assert_eq!(site.ask(&only).status, 504);
    // A piece at a time; what is there already is not asked for, unless it lies between gaps.
    for start in (0..20).map(|number| number * MIB) {
        let range = start..start + MIB;
        expect(&site.range(&range), &range, &body);
        site.stored(&range);
    }
    let asked = origin.count();
    assert!(eventually(|| site.ask(&only).status == 200));
    let whole = site.get();
    assert!(is_hit(&whole) && whole.status == 200 && whole.field("Content-Range").is_none());
    assert!(whole.body == *body);
    assert_eq!(whole.all("Content-Length"), [body.len().to_string()]);
    assert_eq!((origin.count(), site.files().len()), (asked, 1));
}

#[test]
fn the_whole_is_asked_for_what_is_missing_alone_and_not_copied() {
    let (_, body, origin) = with("\"a\"", body(1, 4 * MIB));
    let site = Site::before(&origin);
    let missing = MIB + 5..2 * MIB + 77;
    for range in [0..missing.start, missing.end..4 * MIB] {
        expect(&site.range(&range), &range, &body);
        site.stored(&range);
    }
    let before = site.files();
    let length = |path: &PathBuf| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let inode = length(&before[0]);
    let whole = site.get();
    assert_eq!((whole.status, whole.field("Content-Range")), (200, None));
    assert!(whole.complete && whole.body == *body);
    let status = whole.field("Cache-Status").unwrap();
    assert!(status.contains("fwd=partial; fwd-status=206; stored"), "{status}");
    let last = origin.requests().pop().unwrap();
    assert_eq!(last.field("Range"), Some(&*bytes(&missing)));
    assert_eq!(last.field("If-Range"), Some("\"a\""));
    let asked = origin.count();
    assert!(eventually(|| {
        let again = site.get();
        again.body == *body && again.field("Cache-Status").unwrap().ends_with("detail=fresh")
    }));
    assert_eq!(origin.count(), asked);
    assert!(eventually(|| site.files() != before));
    let after = site.files();
    assert_eq!(after.len(), 1);
    assert_eq!(length(&after[0]), inode, "it is the same file under another name");
}

#[test]
fn a_range_of_all_is_stored_as_the_whole() {
    let (_, body, origin) = with("\"a\"", body(1, 2 * MIB));
    let site = Site::before(&origin);
    let first = site.ask(&[("Range", "bytes=0-")]);
    assert_eq!(first.field("Content-Range"), Some("bytes 0-2097151/2097152"));
    assert!(first.status == 206 && first.body == *body);
    let only = [("Cache-Control", "only-if-cached")];
    assert!(eventually(|| site.ask(&only).status == 200));
    let whole = site.get();
    assert!(is_hit(&whole) && whole.status == 200 && whole.body == *body);
    assert_eq!(whole.field("Content-Type"), Some("text/plain"));
    let range = site.range(&(5..10));
    expect(&range, &(5..10), &body);
    assert!(is_hit(&range) && origin.count() == 1);
}

#[test]
fn clients_that_ask_for_overlapping_ranges_at_once_share_one_file() {
    let (_, body, origin) = with("\"a\"", body(1, 6 * MIB));
    let site = Site::before(&origin);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (site, body) = (&site, &body);
            scope.spawn(move || {
                for turn in 0..6 {
                    let start = (client * 379 + turn * 991) * 7919 % (5 * MIB);
                    let range = start..start + 700_001;
                    expect(&site.range(&range), &range, body);
                }
            });
        }
    });
    let asked = origin.count();
    assert!(eventually(|| {
        (0..8).all(|client| {
            let start = client * 379 * 7919 % (5 * MIB);
            let range = start..start + 700_001;
            is_hit(&site.range(&range))
        })
    }));
    assert!(origin.count() <= asked + 8);
    assert!(eventually(|| site.files().len() == 1), "{:?}", site.files());
}

#[test]
fn a_part_joins_what_was_stored_while_the_origin_was_asked() {
    let body = Arc::new(body(1, 3 * MIB));
    let sent = Arc::clone(&body);
    let (late, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |request, conn| {
        let (first, last) = request.field("Range").unwrap()[6..].split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        if first > 0 {
            // Not before the other part is stored.
            let _ = wait.lock().unwrap().recv();
        }
        let (length, whole) = (last + 1 - first, sent.len());
        conn.send(format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\n{FIELDS}\
             Content-Range: bytes {first}-{last}/{whole}\r\nContent-Length: {length}\r\n\r\n"
        ));
        conn.send(&sent[first..=last]);
    });
    let site = Site::before(&origin);
    let ranges = [0..1000, 2 * MIB..2 * MIB + 1000];
    std::thread::scope(|scope| {
        let second = scope.spawn(|| site.range(&ranges[1]));
        assert!(eventually(|| origin.count() == 1));
        expect(&site.range(&ranges[0]), &ranges[0], &body);
        site.stored(&ranges[0]);
        late.send(()).unwrap();
        expect(&second.join().unwrap(), &ranges[1], &body);
    });
    site.stored(&ranges[1]);
    site.stored(&ranges[0]);
    assert_eq!((origin.count(), site.files().len()), (2, 1));
}

#[test]
fn a_304_freshens_all_parts_at_once() {
    let (_, body, origin) = with("\"a\"", body(1, 3 * MIB));
    let site = Site::before(&origin);
    let ranges = [0..MIB, 2 * MIB..2 * MIB + 100];
    for range in &ranges {
        expect(&site.range(range), range, &body);
        site.stored(range);
    }
    site.clock.advance(Duration::from_secs(61));
    let confirmed = site.range(&ranges[1]);
    expect(&confirmed, &ranges[1], &body);
    assert_eq!(origin.requests().pop().unwrap().field("If-None-Match"), Some("\"a\""));
    let asked = origin.count();
    for range in &ranges {
        let response = site.range(range);
        expect(&response, range, &body);
        assert!(is_hit(&response), "{:?}", response.field("Cache-Status"));
    }
    assert_eq!((origin.count(), site.files().len()), (asked, 1));
}

#[test]
fn a_new_representation_takes_the_place_of_all_parts_of_the_old() {
    let (has, old, origin) = with("\"a\"", body(1, 3 * MIB));
    let site = Site::before(&origin);
    let ranges = [0..MIB, 2 * MIB..2 * MIB + 100];
    for range in &ranges {
        expect(&site.range(range), range, &old);
        site.stored(range);
    }
    let new = Arc::new(body(2, 3 * MIB));
    *has.lock().unwrap() = ("\"b\"", Arc::clone(&new));
    // Half of what is asked for is there, of the old one.
    let across = MIB / 2..MIB + MIB / 2;
    expect(&site.range(&across), &across, &new);
    site.stored(&across);
    for range in &ranges {
        expect(&site.range(range), range, &new);
        site.stored(range);
    }
    assert!(eventually(|| site.files().len() == 1));
}

#[test]
fn without_a_strong_validator_each_part_stays_alone() {
    let (_, body, origin) = with("W/\"a\"", body(1, 3 * MIB));
    let site = Site::before(&origin);
    let ranges = [0..MIB, MIB..2 * MIB];
    for range in &ranges {
        expect(&site.range(range), range, &body);
        site.stored(range);
    }
    assert_eq!(site.files().len(), 2);
    let asked = origin.count();
    let both = 0..2 * MIB;
    expect(&site.range(&both), &both, &body);
    assert_eq!(origin.count(), asked + 1);
}
