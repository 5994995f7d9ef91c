//! Responses that answer for other URLs than their own, with a clock that moves only when told.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};

use policy::Rules;
use policy::rules::Profile;
use rig::{Site, hit, miss, told};
use testkit::Origin;

impl Site {
    /// Where the content came from, and the content.
    fn told(&self, path: &str) -> (String, String) {
        told(&self.request("GET", path, &[]))
    }
}

/// Answers with a number that rises and the query it saw, under these fields.
fn numbering(fields: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let content = format!("{number} {}", request.target);
        let length = content.len();
        let content = if request.method == "HEAD" { "" } else { &content };
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{content}"));
    })
}

const UTM: &str = "Cache-Control: max-age=10\r\nNo-Vary-Search: params=(\"utm\")\r\n";

#[test]
fn a_response_answers_for_urls_that_differ_in_what_the_origin_ignores() {
    for profile in [Profile::Safe, Profile::Rfc9111] {
        let origin = numbering(UTM);
        let site = Site::ruled(&origin, Rules { profile, ..Rules::default() });
        assert_eq!(site.told("/p?id=1&utm=a"), miss("1 /p?id=1&utm=a"));
        for other in ["/p?id=1&utm=b", "/p?id=1", "/p?utm=c&%69d=1&", "/p?id=1&utm=a"] {
            assert_eq!(site.told(other), hit("1 /p?id=1&utm=a"), "{other}");
        }
        assert_eq!(site.told("/p?id=2&utm=a"), miss("2 /p?id=2&utm=a"));
        assert_eq!(site.told("/q?id=1&utm=a"), miss("3 /q?id=1&utm=a"));
        assert_eq!(site.told("/p"), miss("4 /p"));
        assert_eq!(site.told("/p?utm"), hit("4 /p"));
        assert_eq!(origin.count(), 4);
    }
}

#[test]
fn the_reason_says_by_what_right_and_other_requests_are_answered_alike() {
    let origin =
        numbering("ETag: \"a\"\r\nCache-Control: max-age=10\r\nNo-Vary-Search: key-order\r\n");
    let site = Site::before(&origin);
    site.told("/p?a=1&b=2");
    let exact = site.request("GET", "/p?a=1&b=2", &[]);
    assert!(exact.field("Cache-Status").unwrap().ends_with("; detail=fresh"));
    let other = site.after(4).request("GET", "/p?b=2&a=1", &[]);
    assert_eq!(
        other.field("Cache-Status"),
        Some("caching-proxy; hit; ttl=6; detail=no-vary-search")
    );
    assert_eq!((other.field("Age"), other.text()), (Some("4"), "1 /p?a=1&b=2".to_owned()));
    assert_eq!(site.request("HEAD", "/p?b=2&a=1", &[]).field("X-Cache"), Some("HIT"));
    assert_eq!(site.request("GET", "/p?b=2&a=1", &[("If-None-Match", "\"a\"")]).status, 304);
    let only_stored = [("Cache-Control", "only-if-cached")];
    assert_eq!(site.request("GET", "/p?b=2&a=1", &only_stored).text(), "1 /p?a=1&b=2");
    assert_eq!(site.request("GET", "/p?b=2&a=3", &only_stored).status, 504);
    assert_eq!(origin.count(), 1);
}

#[test]
fn without_a_valid_rule_every_query_is_its_own() {
    for rule in ["", "params=?1", "params=(\"utm\"), except=(\"id\")", "params=(utm)"] {
        let field = format!("Cache-Control: max-age=10\r\nNo-Vary-Search: {rule}\r\n");
        let origin = numbering(field.leak());
        let site = Site::before(&origin);
        assert_eq!(site.told("/p?utm=a"), miss("1 /p?utm=a"));
        assert_eq!(site.told("/p?utm=b"), miss("2 /p?utm=b"), "{rule}");
    }
}

#[test]
fn a_rule_speaks_for_the_response_that_carries_it_and_for_no_other() {
    // The origin ignores `utm` only where there is no `id`.
    let origin = Origin::start(|request, conn| {
        let rule = if request.target.contains("id") { "" } else { "No-Vary-Search: except=()\r\n" };
        let target = &request.target;
        let fields = format!("Cache-Control: max-age=10\r\n{rule}Content-Length: {}", target.len());
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{target}"));
    });
    let site = Site::before(&origin);
    assert_eq!(site.told("/p?id=1"), miss("/p?id=1"));
    assert_eq!(site.told("/p?utm=1"), miss("/p?utm=1"));
    assert_eq!(site.told("/p?utm=2"), hit("/p?utm=1"));
    // Its own response comes first, though the other would do as well.
    assert_eq!(site.told("/p?id=1"), hit("/p?id=1"));
}

#[test]
fn a_stale_response_answers_for_its_own_url_alone() {
    let origin = numbering(UTM);
    let site = Site::before(&origin);
    assert_eq!(site.told("/p?utm=a"), miss("1 /p?utm=a"));
    assert_eq!(site.after(10).told("/p?utm=b"), miss("2 /p?utm=b"));
    // The one that was stored last is the one that answers.
    assert_eq!(site.told("/p?utm=c"), hit("2 /p?utm=b"));
    assert_eq!(site.told("/p?utm=a"), miss("3 /p?utm=a"));
    let fresher = site.after(3).request("GET", "/p?utm=c", &[("Cache-Control", "max-age=2")]);
    assert_eq!(fresher.text(), "4 /p?utm=c");
}

#[test]
fn a_refresh_behind_the_back_is_of_the_url_that_is_stored() {
    let origin = numbering(
        "Cache-Control: max-age=10, stale-while-revalidate=20\r\nNo-Vary-Search: except=()\r\n",
    );
    let site = Site::before(&origin);
    assert_eq!(site.told("/p?a"), miss("1 /p?a"));
    assert_eq!(site.after(15).told("/p?b"), hit("1 /p?a"));
    assert!(testkit::eventually(|| site.told("/p?b") == hit("2 /p?a")));
    assert_eq!(site.told("/p?a"), hit("2 /p?a"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn vary_counts_as_ever() {
    let origin = numbering(
        "Cache-Control: max-age=10\r\nVary: Accept-Language\r\nNo-Vary-Search: except=()\r\n",
    );
    let site = Site::before(&origin);
    let ask = |path, language| site.request("GET", path, &[("Accept-Language", language)]).text();
    assert_eq!(ask("/p?a", "de"), "1 /p?a");
    assert_eq!(ask("/p?b", "fr"), "2 /p?b");
    assert_eq!(ask("/p?b", "de"), "3 /p?b");
    assert_eq!(ask("/p?c", "de"), "3 /p?b");
    assert_eq!(ask("/p?c", "fr"), "2 /p?b");
}

#[test]
fn an_invalidated_url_is_not_answered_by_what_answered_for_it_before() {
    let origin = numbering(UTM);
    let site = Site::before(&origin);
    assert_eq!(site.told("/p?utm=a"), miss("1 /p?utm=a"));
    assert_eq!(site.told("/p"), hit("1 /p?utm=a"));
    assert_eq!(site.request("POST", "/p", &[("Content-Length", "0")]).status, 200);
    assert_eq!(site.told("/p"), miss("3 /p"));
    assert_eq!(site.told("/p?utm=a").0, "MISS");
}

#[test]
fn what_was_made_before_an_invalidation_never_answers_for_the_invalidated() {
    let origin = numbering(UTM);
    let site = Site::before(&origin);
    // Two for one canonical query: only the last of them is known for it.
    assert_eq!(site.told("/p?utm=a"), miss("1 /p?utm=a"));
    let no_cache = [("Cache-Control", "no-cache")];
    assert_eq!(site.request("GET", "/p?utm=b", &no_cache).text(), "2 /p?utm=b");
    assert_eq!(site.after(1).request("POST", "/p", &[("Content-Length", "0")]).status, 200);
    // The first is stored still, for its own URL, and is not that of the others again.
    assert_eq!(site.told("/p?utm=a"), hit("1 /p?utm=a"));
    assert_eq!(site.after(1).told("/p"), miss("4 /p"));
    assert_eq!(site.told("/p?utm=z"), hit("4 /p"));
}

#[test]
fn clearing_forgets_the_table_too() {
    let origin = numbering(UTM);
    let site = Site::before(&origin);
    assert_eq!(site.told("/p?utm=a"), miss("1 /p?utm=a"));
    site.running.handle().clear();
    assert_eq!(site.told("/p?utm=b"), miss("2 /p?utm=b"));
}

#[test]
fn a_whole_that_was_made_of_parts_answers_for_others_too() {
    let origin = Origin::start(|request, conn| {
        let fields = format!("{UTM}ETag: \"a\"\r\n");
        conn.send(match request.field("Range") {
            Some("bytes=0-3") => format!(
                "HTTP/1.1 206 P\r\n{fields}Content-Range: bytes 0-3/8\r\nContent-Length: 4\r\n\r\nhalf"
            ),
            Some("bytes=4-") => format!(
                "HTTP/1.1 206 P\r\n{fields}Content-Range: bytes 4-7/8\r\nContent-Length: 4\r\n\r\nfull"
            ),
            _ => format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 5\r\n\r\nother"),
        });
    });
    let site = Site::before(&origin);
    site.request("GET", "/p?id=1&utm=a", &[("Range", "bytes=0-3")]);
    assert_eq!(site.told("/p?id=1&utm=a"), miss("halffull"));
    assert_eq!(site.told("/p?id=1&utm=b"), hit("halffull"));
    assert_eq!(site.told("/p?id=2"), miss("other"));
}

#[test]
fn what_a_304_to_a_range_says_of_the_query_counts_from_then_on() {
    let origin = Origin::start(|request, conn| {
        conn.send(match request.field("If-None-Match") {
            Some(_) => format!("HTTP/1.1 304 Not Modified\r\n{UTM}ETag: \"a\"\r\n\r\n"),
            None => "HTTP/1.1 200 OK\r\nCache-Control: max-age=10\r\nETag: \"a\"\r\n\
                     Content-Length: 4\r\n\r\nfull"
                .to_owned(),
        });
    });
    let site = Site::before(&origin);
    assert_eq!(site.told("/p?utm=a"), miss("full"));
    let range = site.after(10).request("GET", "/p?utm=a", &[("Range", "bytes=0-1")]);
    assert_eq!((range.status, range.text()), (206, "fu".to_owned()));
    assert_eq!(site.told("/p?utm=b"), hit("full"));
}
