//! QUERY, with a clock that moves only when told.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use policy::Rules;
use policy::rules::Profile;
use proxy::Limits;
use rig::{Site, hit, miss, told};
use testkit::{Client, Origin, Response};

impl Site {
    fn ask(&self, method: &str, fields: &[(&str, &str)], content: &str) -> Response {
        ask(&mut self.client(), method, fields, content)
    }

    fn query(&self, content: &str) -> Response {
        self.ask("QUERY", &[("Content-Type", "text/plain")], content)
    }

    /// Where the content came from, and the content.
    fn told(&self, content: &str) -> (String, String) {
        told(&self.query(content))
    }
}

fn ask(client: &mut Client, method: &str, fields: &[(&str, &str)], content: &str) -> Response {
    let mut head = format!("{method} /q HTTP/1.1\r\nHost: a\r\n");
    for (name, value) in fields {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let length = content.len().to_string();
    if method != "GET" && method != "HEAD" {
        head.extend(["Content-Length: ", &length, "\r\n"]);
    }
    client.send(head + "\r\n" + content);
    client.response_to(method)
}

fn detail(response: &Response) -> &str {
    response.field("Cache-Status").unwrap().rsplit("detail=").next().unwrap()
}

/// Answers with a number that rises, the method and the content it saw, under these fields.
fn numbering(fields: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let asked = String::from_utf8_lossy(&request.body);
        let content = format!("{number} {} {asked}", request.method);
        let length = content.len();
        let content = if request.method == "HEAD" { "" } else { &content };
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{content}"));
    })
}

const MINUTE: &str = "Cache-Control: max-age=60\r\n";

#[test]
fn the_same_query_is_answered_from_the_store_and_another_is_not() {
    for profile in [Profile::Safe, Profile::Rfc9111] {
        let origin = numbering(MINUTE);
        let rules = Rules { profile, ..Rules::default() };
        let site = Site::ruled(&origin, rules);
        let first = site.query("a");
        assert_eq!((told(&first), detail(&first)), (miss("1 QUERY a"), "absent"));
        let other = site.query("b");
        assert_eq!((told(&other), detail(&other)), (miss("2 QUERY b"), "absent"));
        let again = site.after(9).query("a");
        assert_eq!((told(&again), detail(&again)), (hit("1 QUERY a"), "fresh"));
        assert_eq!(again.field("Age"), Some("9"));
        assert_eq!(site.told("b"), hit("2 QUERY b"));
        assert_eq!(site.told(""), miss("3 QUERY "));
        assert_eq!(site.told(""), hit("3 QUERY "));
        assert_eq!(site.after(51).told("a"), miss("4 QUERY a"));
        let sent = &origin.requests()[0];
        assert_eq!(sent.all("Content-Length"), ["1"]);
        assert_eq!(sent.all("Content-Type"), ["text/plain"]);
    }
}

#[test]
fn a_query_and_a_get_never_answer_for_each_other() {
    let origin = numbering(MINUTE);
    let site = Site::before(&origin);
    assert_eq!(site.told(""), miss("1 QUERY "));
    assert_eq!(told(&site.ask("GET", &[], "")), miss("2 GET "));
    assert_eq!(site.told(""), hit("1 QUERY "));
    assert_eq!(told(&site.ask("GET", &[], "")), hit("2 GET "));
    assert_eq!(site.ask("HEAD", &[], "").field("Content-Length"), Some("6"));
    assert_eq!(told(&site.ask("GET", &[("Content-Type", "text/plain")], "")), hit("2 GET "));
}

#[test]
fn only_what_cannot_change_the_meaning_is_left_out_of_the_key() {
    let origin = numbering(MINUTE);
    let site = Site::before(&origin);
    let json = |kind, content| site.ask("QUERY", &[("Content-Type", kind)], content).text();
    assert_eq!(json("application/json", "{ \"a\": 1 }"), "1 QUERY { \"a\": 1 }");
    assert_eq!(json("Application/JSON", "{\"a\":1}\n"), "1 QUERY { \"a\": 1 }");
    assert_eq!(json("application/json", "{\"a\":2}"), "2 QUERY {\"a\":2}");
    assert_eq!(json("text/plain", "{\"a\":2}"), "3 QUERY {\"a\":2}");
    assert_eq!(json("text/plain", "{\"a\": 2}"), "4 QUERY {\"a\": 2}");
    let coded = [("Content-Type", "text/plain"), ("Content-Encoding", "gzip")];
    assert_eq!(site.ask("QUERY", &coded, "{\"a\":2}").text(), "5 QUERY {\"a\":2}");
    let language = [("Content-Type", "text/plain"), ("Content-Language", "de")];
    assert_eq!(site.ask("QUERY", &language, "{\"a\":2}").text(), "6 QUERY {\"a\":2}");
}

#[test]
fn vary_tells_the_responses_to_one_query_apart() {
    let origin = numbering("Cache-Control: max-age=60\r\nVary: Accept\r\n");
    let site = Site::before(&origin);
    let accept = |kind, content| told(&site.ask("QUERY", &[("Accept", kind)], content));
    assert_eq!(accept("text/csv", "a"), miss("1 QUERY a"));
    assert_eq!(accept("text/html", "a"), miss("2 QUERY a"));
    assert_eq!(accept("text/csv", "b"), miss("3 QUERY b"));
    assert_eq!(accept("text/csv", "a"), hit("1 QUERY a"));
    assert_eq!(accept("text/html", "a"), hit("2 QUERY a"));
    let other = site.ask("QUERY", &[("Accept", "text/plain")], "a");
    assert_eq!(detail(&other), "vary-mismatch");
}

#[test]
fn what_makes_the_url_invalid_takes_all_its_queries_along() {
    let origin = numbering(MINUTE);
    let site = Site::before(&origin);
    assert_eq!(site.told("a"), miss("1 QUERY a"));
    assert_eq!(site.told("b"), miss("2 QUERY b"));
    assert_eq!(site.ask("POST", &[], "x").status, 200);
    assert_eq!(site.told("a"), miss("4 QUERY a"));
    assert_eq!(site.told("b"), miss("5 QUERY b"));
    // A QUERY is safe itself.
    assert_eq!(site.told("a"), hit("4 QUERY a"));
    site.running.handle().clear();
    assert_eq!(site.told("a"), miss("6 QUERY a"));
}

#[test]
fn nobody_waits_for_a_query_that_began_before_an_invalidation() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if number == 1 {
            conn.pause(Duration::from_millis(600));
        }
        let fields = if request.method == "QUERY" { MINUTE } else { "" };
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\n{number}"));
    });
    let site = Site::before(&origin);
    let mut slow = site.client();
    slow.send("QUERY /q HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na");
    assert!(testkit::eventually(|| origin.count() == 1));
    assert_eq!(site.ask("POST", &[], "x").text(), "2");
    assert_eq!(site.ask("QUERY", &[], "a").text(), "3");
    assert_eq!(slow.response().text(), "1");
    assert_eq!(told(&site.ask("QUERY", &[], "a")), hit("3"));
}

#[test]
fn concurrent_queries_that_ask_the_same_are_one_for_the_origin() {
    let origin = Origin::start(|request, conn| {
        conn.pause(Duration::from_millis(200));
        let asked = String::from_utf8_lossy(&request.body);
        let length = asked.len();
        conn.send(format!("HTTP/1.1 200 OK\r\n{MINUTE}Content-Length: {length}\r\n\r\n{asked}"));
    });
    let site = Site::before(&origin);
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (site, asked) = (&site, ["one", "two", "three"][number % 3]);
            scope.spawn(move || assert_eq!(site.query(asked).text(), asked));
        }
    });
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_stale_query_is_validated_with_its_content() {
    let origin = Origin::start(|request, conn| {
        let asked = String::from_utf8_lossy(&request.body);
        let fields = format!("ETag: \"{asked}\"\r\n{MINUTE}");
        conn.send(if request.field("If-None-Match").is_some() {
            assert_eq!(asked, "a");
            format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")
        } else {
            format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{asked}", asked.len())
        });
    });
    let site = Site::before(&origin);
    assert_eq!(site.told("a"), miss("a"));
    let validated = site.after(60).query("a");
    assert_eq!((told(&validated), detail(&validated)), (hit("a"), "validated"));
    assert_eq!(site.after(59).told("a"), hit("a"));
    assert_eq!(origin.count(), 2);
    // The client's own condition is answered from the store.
    let known = [("Content-Type", "text/plain"), ("If-None-Match", "\"a\"")];
    let not_modified = site.ask("QUERY", &known, "a");
    assert_eq!((not_modified.status, not_modified.field("X-Cache")), (304, Some("HIT")));
    assert_eq!(site.ask("QUERY", &known, "b").status, 200);
    assert_eq!(origin.requests()[2].field("If-None-Match"), None);
}

#[test]
fn a_refresh_behind_the_back_asks_the_same() {
    let origin = numbering("Cache-Control: max-age=10, stale-while-revalidate=60\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told("a"), miss("1 QUERY a"));
    assert_eq!(site.after(15).told("a"), hit("1 QUERY a"));
    assert!(testkit::eventually(|| site.told("a") == hit("2 QUERY a")));
    assert_eq!(origin.requests()[1].field("Content-Type"), Some("text/plain"));
}

#[test]
fn a_query_that_found_its_connection_closed_is_sent_again_with_its_content() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        // The second request on the first connection finds it closed without a word.
        if count.fetch_add(1, Ordering::SeqCst) == 1 {
            return conn.close();
        }
        let asked = String::from_utf8_lossy(&request.body);
        let length = asked.len();
        conn.send(format!("HTTP/1.1 200 OK\r\n{MINUTE}Content-Length: {length}\r\n\r\n{asked}"));
    });
    let site = Site::before(&origin);
    assert_eq!(site.told("a"), miss("a"));
    assert_eq!(site.told("b"), miss("b"));
    assert_eq!(origin.count(), 3);
}

#[test]
fn what_is_too_large_is_passed_on_whole_and_not_stored() {
    let origin = numbering(MINUTE);
    let limits = Limits { query_content: 4, ..Limits::default() };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    assert_eq!(site.told("four"), miss("1 QUERY four"));
    assert_eq!(site.told("four"), hit("1 QUERY four"));
    let mut client = site.client();
    for number in [2, 3] {
        let large = ask(&mut client, "QUERY", &[], "five!");
        assert_eq!(told(&large), miss(&format!("{number} QUERY five!")));
        assert_eq!(detail(&large), "query-content-too-large");
    }
    for number in [4, 5] {
        client
            .send("QUERY /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        std::thread::sleep(Duration::from_millis(20));
        client.send("3\r\ndef\r\n2\r\ngh\r\n0\r\n\r\n");
        let large = client.response();
        assert_eq!(told(&large), miss(&format!("{number} QUERY abcdefgh")));
        assert_eq!(detail(&large), "query-content-too-large");
    }
    assert_eq!(origin.requests()[4].field("Transfer-Encoding"), Some("chunked"));
}

#[test]
fn with_a_limit_of_zero_and_for_parts_or_preconditions_a_query_is_passed_on() {
    let origin = numbering(MINUTE);
    let limits = Limits { query_content: 0, ..Limits::default() };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    for _ in 0..2 {
        let passed = site.query("a");
        assert_eq!((told(&passed).0, detail(&passed)), ("MISS".to_owned(), "method-not-cacheable"));
    }
    let site = Site::before(&origin);
    for (field, why) in [
        (("Range", "bytes=0-1"), "request-range"),
        (("If-Match", "\"a\""), "request-precondition"),
        (("If-Unmodified-Since", "Mon, 23 Nov 2026 11:58:20 GMT"), "request-precondition"),
    ] {
        let passed = site.ask("QUERY", &[field], "a");
        assert_eq!((told(&passed).0, detail(&passed)), ("MISS".to_owned(), why));
        assert_eq!(origin.requests().last().unwrap().field(field.0), Some(field.1));
    }
    assert_eq!(detail(&site.ask("QUERY", &[], "a")), "absent");
}

#[test]
fn content_in_chunks_is_the_same_content_and_keeps_the_connection() {
    let origin = numbering(MINUTE);
    let site = Site::before(&origin);
    assert_eq!(told(&site.ask("QUERY", &[], "hello")), miss("1 QUERY hello"));
    let mut client = site.client();
    for _ in 0..2 {
        client.send(
            "QUERY /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
        );
        client.send("2\r\nhe\r\n3\r\nllo\r\n0\r\nX: 1\r\n\r\n");
        assert_eq!(told(&client.response()), hit("1 QUERY hello"));
    }
    client.send("QUERY /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n");
    client.send("1\r\nx\r\n0\r\nX: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(told(&client.response()), miss("2 QUERY x"));
    assert_eq!(told(&client.response()), miss("3 GET "));
    let sent = &origin.requests()[1];
    assert_eq!((sent.field("Trailer"), sent.field("Transfer-Encoding")), (None, None));
    assert!(sent.trailers.is_empty());
}

#[test]
fn content_is_asked_for_before_anything_is_looked_up() {
    let origin = numbering(MINUTE);
    let site = Site::before(&origin);
    let mut client = site.client();
    for expected in [miss("1 QUERY hello"), hit("1 QUERY hello")] {
        client.send(
            "QUERY /q HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        );
        assert_eq!(client.informational().0, 100);
        client.send("hello");
        assert_eq!(told(&client.response()), expected);
    }
}

#[test]
fn content_that_cannot_be_read_is_answered_as_for_any_method() {
    let origin = numbering(MINUTE);
    let limits = Limits { body_timeout: Duration::from_millis(100), ..Limits::default() };
    let site = Site::with(&origin, |settings| settings.limits = limits);
    let chunked = "QUERY /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (content, status, code) in
        [("x\r\n", 400, "client-bad-content"), ("5\r\nab", 408, "client-stalled")]
    {
        let mut client = site.client();
        client.send(format!("{chunked}{content}"));
        let refused = client.response();
        assert_eq!((refused.status, detail(&refused)), (status, code));
        assert!(client.at_eof());
    }
    let mut client = site.client();
    client.send(format!("{chunked}5\r\nab"));
    client.finish();
    let refused = client.response();
    assert_eq!((refused.status, detail(&refused)), (400, "client-cut"));
    assert_eq!(origin.count(), 0);
}

#[test]
fn what_is_one_users_is_not_shared() {
    let origin = numbering("Cache-Control: private, max-age=60\r\n");
    let site = Site::before(&origin);
    assert_eq!(site.told("a"), miss("1 QUERY a"));
    assert_eq!(site.told("a"), miss("2 QUERY a"));
    let origin = numbering(MINUTE);
    let site = Site::before(&origin);
    for number in [1, 2] {
        let asked = site.ask("QUERY", &[("Authorization", "Basic dTpw")], "a");
        assert_eq!(told(&asked), miss(&format!("{number} QUERY a")));
    }
    assert_eq!(site.ask("QUERY", &[("Cache-Control", "only-if-cached")], "a").status, 504);
}

#[test]
fn the_number_of_queries_kept_for_one_url_is_bounded() {
    let origin = numbering(MINUTE);
    let site = Site::before(&origin);
    let most = store::Options::default().variants_per_key;
    (0..=most).for_each(|number| drop(site.query(&number.to_string())));
    assert_eq!(site.running.handle().store_stats().memory_entries, 1);
    assert_eq!(site.told(&most.to_string()).0, "HIT");
    assert_eq!(site.told("0").0, "MISS");
}
