//! Cache groups over the life of a stored response, with a clock that moves only when told.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::{Arc, Mutex};

use rig::Site;
use testkit::Origin;

impl Site {
    /// What `X-Cache` and `Cache-Status` say.
    fn get(&self) -> (String, String) {
        let answer = self.client().get("/");
        let of = |name| answer.field(name).unwrap().to_owned();
        (of("X-Cache"), of("Cache-Status"))
    }

    fn hit(&self) -> bool {
        self.get().0 == "HIT"
    }

    fn end(&self, groups: &str) {
        let fields = [("Invalidate", groups)];
        self.client().request("POST", "/elsewhere", &fields);
    }
}

/// An origin whose one resource never changes and has these groups, which can be set. It fails
/// while they are `None`.
fn confirming(groups: &Arc<Mutex<Option<&'static str>>>) -> Origin {
    let groups = Arc::clone(groups);
    Origin::start(move |request, conn| {
        if let Some(ended) = request.field("Invalidate") {
            let field = format!("Cache-Group-Invalidation: {ended}");
            conn.send(format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 0\r\n\r\n"));
            return;
        }
        let Some(groups) = *groups.lock().unwrap() else {
            conn.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
            return;
        };
        let control = "Cache-Control: max-age=10, stale-if-error=600";
        let fields = format!("{control}\r\nETag: \"e\"\r\n{groups}");
        conn.send(match request.field("If-None-Match") {
            Some(_) => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
            None => format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\nx"),
        });
    })
}

#[test]
fn a_confirmation_that_changes_the_groups_changes_which_events_count() {
    let groups = Arc::new(Mutex::new(Some("Cache-Groups: \"a\", \"b\"\r\n")));
    let origin = confirming(&groups);
    let site = Site::before(&origin);
    assert!(!site.hit() && site.hit());
    *groups.lock().unwrap() = Some("Cache-Groups: \"b\", \"c\"\r\n");
    let (cache, status) = site.after(10).get();
    assert!(cache == "HIT" && status.contains("304"), "confirmed: {status}");
    site.end("\"a\"");
    assert!(site.hit(), "no longer a member");
    site.end("\"c\"");
    assert!(!site.hit() && site.hit(), "a member since the confirmation");
    // A confirmation without the field leaves the groups as they are.
    *groups.lock().unwrap() = Some("");
    assert!(site.after(10).hit());
    site.end("\"b\"");
    assert!(!site.hit());
}

#[test]
fn what_has_been_ended_is_neither_validated_nor_served_in_place_of_a_failure() {
    let groups = Arc::new(Mutex::new(Some("Cache-Groups: \"a\"\r\n")));
    let origin = confirming(&groups);
    let site = Site::before(&origin);
    site.get();
    *groups.lock().unwrap() = None;
    assert!(site.after(10).hit(), "stale, and the origin fails");
    site.end("\"a\"");
    let (cache, status) = site.get();
    assert!(cache == "MISS" && status.contains("503"), "{status}");
    *groups.lock().unwrap() = Some("Cache-Groups: \"a\"\r\n");
    assert!(!site.hit());
    let last = origin.requests().pop().unwrap();
    assert_eq!(last.field("If-None-Match"), None, "there is nothing to validate");
}
