//! HEAD that updates, variants that are asked about, POST that is stored, and which variant is used:
//! with a clock that moves only when told.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxy::Settings;
use rig::{Site, hit, miss, told};
use testkit::{Origin, Received, Response};

/// With two workers.
fn site(origin: &Origin) -> Site {
    Site::with(origin, |settings| settings.workers = 2)
}

impl Site {
    /// What a GET is told: where the content came from, and the content.
    fn told(&self, fields: &[(&str, &str)]) -> (String, String) {
        told(&self.request("GET", "/", fields))
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.request("POST", path, &[fields, &[("Content-Length", "0")]].concat())
    }
}

/// Answers GET with the number of the request as content, and HEAD with this.
fn answering_head(get: &'static str, head: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if request.method == "HEAD" {
            conn.send(format!("HTTP/1.1 {head}\r\n"));
        } else {
            let length = number.to_string().len();
            conn.send(format!("HTTP/1.1 200 OK\r\n{get}Content-Length: {length}\r\n\r\n{number}"));
        }
    })
}

#[test]
fn a_head_that_confirms_a_stale_response_makes_it_fresh() {
    for (get, head) in [
        ("ETag: \"a\"\r\n", "ETag: \"a\"\r\n"),
        ("ETag: \"a\"\r\n", "ETag: \"a\"\r\nContent-Length: 1\r\n"),
    ] {
        let get = format!("Cache-Control: max-age=10\r\nX-Old: 1\r\nX-Both: 1\r\n{get}").leak();
        let head = format!("200 OK\r\nCache-Control: max-age=60\r\nX-Both: 2\r\n{head}").leak();
        let origin = answering_head(get, head);
        let site = site(&origin);
        assert_eq!(site.told(&[]), miss("1"));
        let asked = site.after(20).request("HEAD", "/", &[]);
        assert_eq!(origin.requests()[1].method, "HEAD");
        assert_eq!((asked.status, asked.field("X-Cache")), (200, Some("MISS")));
        // The HEAD is told what a GET is told from now on.
        let updated = site.after(59).request("GET", "/", &[]);
        assert_eq!(told(&updated), hit("1"), "{head}");
        assert_eq!((asked.field("Age"), updated.field("Age")), (None, Some("59")));
        for answer in [asked, updated, site.request("HEAD", "/", &[])] {
            assert_eq!((answer.field("X-Old"), answer.field("X-Both")), (Some("1"), Some("2")));
            assert_eq!(answer.field("Content-Length"), Some("1"));
        }
        assert_eq!(origin.count(), 2, "{head}");
        assert_eq!(site.after(1).told(&[]), miss("3"));
    }
}

#[test]
fn a_head_that_was_answered_out_of_another_cache_has_the_age_that_it_had_there() {
    let get = "Cache-Control: max-age=10\r\nETag: \"a\"\r\n";
    let head = "200 OK\r\nCache-Control: max-age=60\r\nAge: 7\r\nETag: \"a\"\r\n";
    let origin = answering_head(get, head);
    let site = site(&origin);
    assert_eq!(site.told(&[]), miss("1"));
    assert_eq!(site.after(20).request("HEAD", "/", &[]).all("Age"), ["7"]);
    assert_eq!(site.after(1).request("GET", "/", &[]).all("Age"), ["8"]);
}

#[test]
fn a_head_without_a_validator_updates_the_fields_but_makes_nothing_younger() {
    for head in ["", "Content-Length: 1\r\n"] {
        let get = "Cache-Control: max-age=10\r\nX-Both: 1\r\n";
        let head = format!("200 OK\r\nCache-Control: max-age=60\r\nX-Both: 2\r\n{head}").leak();
        let origin = answering_head(get, head);
        let site = site(&origin);
        assert_eq!(site.told(&[]), miss("1"));
        let asked = site.after(20).request("HEAD", "/", &[]);
        assert_eq!((asked.field("X-Both"), asked.field("Age")), (Some("2"), Some("20")));
        assert_eq!(site.after(39).told(&[]), hit("1"));
        // Sixty seconds after it was made, however often its fields are asked for.
        site.request("HEAD", "/", &[("Cache-Control", "no-cache")]);
        assert_eq!(origin.count(), 3);
        assert_eq!(site.after(1).told(&[]), miss("4"));
    }
}

#[test]
fn a_head_that_shows_something_else_makes_a_fresh_response_stale() {
    for (head, expected) in [
        ("200 OK\r\nETag: \"b\"\r\n", miss("3")),
        ("200 OK\r\nETag: \"a\"\r\nContent-Length: 7\r\n", miss("3")),
        ("410 Gone\r\nContent-Length: 0\r\n", miss("3")),
        ("200 OK\r\nETag: \"a\"\r\nCache-Control: no-store\r\n", miss("3")),
        // These say nothing about what others get.
        ("200 OK\r\n", hit("1")),
        ("403 Forbidden\r\nContent-Length: 0\r\n", hit("1")),
        ("503 Busy\r\nETag: \"b\"\r\nContent-Length: 0\r\n", hit("1")),
        ("304 Not Modified\r\nETag: \"b\"\r\n", hit("1")),
    ] {
        let origin = answering_head("Cache-Control: max-age=60\r\nETag: \"a\"\r\n", head);
        let site = site(&origin);
        assert_eq!(site.told(&[]), miss("1"));
        // A client that insists; nothing else goes to the origin while the response is fresh.
        site.request("HEAD", "/", &[("Cache-Control", "no-cache")]);
        assert_eq!(origin.count(), 2);
        assert_eq!(site.told(&[]), expected, "{head}");
    }
}

#[test]
fn a_head_of_one_user_or_of_another_variant_changes_nothing() {
    for (fields, expected) in [
        ([("Authorization", "Basic dTpw"), ("X-V", "1")], hit("1")),
        ([("Cache-Control", "no-store, max-age=0"), ("X-V", "1")], hit("1")),
        ([("Cache-Control", "no-cache"), ("X-V", "2")], hit("1")),
        ([("Cache-Control", "no-cache"), ("X-V", "1")], miss("3")),
    ] {
        let get = "Cache-Control: max-age=60\r\nVary: X-V\r\nETag: \"a\"\r\n";
        let origin = answering_head(get, "200 OK\r\nVary: X-V\r\nETag: \"b\"\r\n");
        let site = site(&origin);
        assert_eq!(site.told(&[("X-V", "1")]), miss("1"));
        site.request("HEAD", "/", &fields);
        assert_eq!(origin.count(), 2);
        assert_eq!(site.told(&[("X-V", "1")]), expected, "{fields:?}");
    }
}

#[test]
fn a_stored_response_that_a_head_outdated_is_validated_and_not_fetched_anew() {
    let origin = Origin::start(|request, conn| {
        conn.send(match (request.method.as_str(), request.field("If-None-Match")) {
            ("HEAD", _) => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            (_, Some("\"a\"")) => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
            _ => {
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\n\
                  Content-Length: 4\r\n\r\nbody"
            }
        });
    });
    let site = site(&origin);
    let mut client = site.client();
    assert_eq!(told(&client.get("/")), miss("body"));
    client.request("HEAD", "/", &[("Cache-Control", "no-cache")]);
    assert_eq!(told(&client.get("/")), hit("body"));
    assert_eq!(told(&client.get("/")), hit("body"));
    assert_eq!(told(&client.request("GET", "/", &[("Cache-Control", "no-cache")])), hit("body"));
    assert_eq!(origin.count(), 4);
    // Each 304 leaves its connection ready for the next request.
    assert_eq!(origin.connections(), 1);
}

/// Two representations, told apart by strong tags: `X-V: 1` and `X-V: 2` get the one, others the
/// other. The request's `X-Tag` replaces the tag of a 304.
fn two_representations(vary: &'static str) -> Origin {
    Origin::start(move |request, conn| {
        let (tag, body) = match request.field("X-V") {
            Some("1" | "2") => ("\"low\"", "low"),
            _ => ("\"high\"", "high"),
        };
        let listed = request.field("If-None-Match").unwrap_or_default();
        if listed.split(", ").any(|listed| listed == tag) {
            let tag = request.field("X-Tag").unwrap_or(tag);
            conn.send(format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\nX-Told: 1\r\n\r\n"));
        } else {
            let length = body.len();
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: {vary}\r\nETag: {tag}\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            ));
        }
    })
}

fn tags(origin: &Origin) -> Vec<Option<String>> {
    origin.requests().iter().map(|r| r.field("If-None-Match").map(str::to_owned)).collect()
}

#[test]
fn the_origin_is_asked_which_of_the_stored_variants_answers_a_request_that_selects_none() {
    let origin = two_representations("X-V");
    let site = site(&origin);
    assert_eq!(site.told(&[("X-V", "1")]), miss("low"));
    assert_eq!(site.told(&[("X-V", "3")]), miss("high"));
    let confirmed = site.request("GET", "/", &[("X-V", "2")]);
    assert_eq!(told(&confirmed), hit("low"));
    assert_eq!(confirmed.field("X-Told"), Some("1"));
    let status = confirmed.field("Cache-Status").unwrap();
    assert!(status.contains("fwd=vary-miss; fwd-status=304; ttl=60; stored"), "{status}");
    let offered = tags(&origin);
    assert_eq!(offered[..2], [None, Some("\"low\"".to_owned())]);
    assert_eq!(offered[2].as_deref(), Some("\"high\", \"low\""));
    // From now on each is a variant of its own, and the first one is as it was.
    for (value, body, is_told) in [("1", "low", None), ("2", "low", Some("1")), ("3", "high", None)]
    {
        let again = site.request("GET", "/", &[("X-V", value)]);
        assert_eq!((told(&again), again.field("X-Told")), (hit(body), is_told), "{value}");
    }
    assert_eq!(origin.count(), 3);
}

#[test]
fn the_condition_of_the_client_is_evaluated_against_the_variant_that_the_origin_confirmed() {
    let origin = two_representations("X-V");
    let site = site(&origin);
    assert_eq!(site.told(&[("X-V", "1")]), miss("low"));
    for (tag, status) in [("\"low\"", 304), ("\"else\"", 200)] {
        let asked = site.request("GET", "/", &[("X-V", "2"), ("If-None-Match", tag)]);
        assert_eq!(asked.status, status, "{tag}");
    }
    assert_eq!(tags(&origin)[1].as_deref(), Some("\"low\""));
}

#[test]
fn a_304_that_does_not_say_which_variant_it_means_is_asked_again_without_conditions() {
    for tag in ["\"else\"", "W/\"low\"", ""] {
        let origin = two_representations("X-V");
        let site = site(&origin);
        assert_eq!(site.told(&[("X-V", "1")]), miss("low"));
        assert_eq!(site.told(&[("X-V", "2"), ("X-Tag", tag)]), miss("low"), "{tag}");
        let expected = [None, Some("\"low\"".to_owned()), None];
        assert_eq!(tags(&origin), expected, "{tag}");
    }
}

#[test]
fn what_was_selected_by_who_asks_is_not_offered_to_anyone_else() {
    for vary in ["Cookie, X-V", "Authorization, X-V"] {
        let origin = two_representations(vary);
        let site = site(&origin);
        assert_eq!(site.told(&[("X-V", "1")]), miss("low"));
        assert_eq!(site.told(&[("X-V", "2")]), miss("low"));
        assert_eq!(tags(&origin), [None, None], "{vary}");
    }
}

#[test]
fn no_more_than_eight_variants_are_offered() {
    let origin = Origin::start(|request, conn| {
        let value = request.field("X-V").unwrap();
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: X-V\r\nETag: \"{value}\"\r\n\
             Content-Length: 1\r\n\r\nx"
        ));
    });
    let site = site(&origin);
    for value in 0..12 {
        assert_eq!(site.told(&[("X-V", &value.to_string())]), miss("x"));
    }
    let most = tags(&origin).iter().flatten().map(|tags| tags.split(", ").count()).max();
    assert_eq!(most, Some(8));
}

/// Stores the response to a POST under its target, if it is like this.
fn posting(post: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |request: &Received, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = match request.method.as_str() {
            "POST" => post.replace("TARGET", &request.target),
            _ => "Cache-Control: max-age=60\r\n".to_owned(),
        };
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\n{number}"));
    })
}

#[test]
fn the_response_to_a_post_answers_later_gets_if_it_says_that_it_can() {
    let storable = "Content-Location: TARGET\r\nCache-Control: max-age=60\r\n";
    let origin = posting(storable);
    let site = site(&origin);
    assert_eq!(site.told(&[]), miss("1"));
    // It replaces what was stored, and is itself never the answer to a POST.
    for number in ["2", "3"] {
        let posted = site.post("/", &[]);
        assert_eq!(told(&posted), miss(number));
        let status = posted.field("Cache-Status").unwrap();
        assert!(status.contains("fwd=method; fwd-status=200; ttl=60; stored"), "{status}");
    }
    assert_eq!(site.told(&[]), hit("3"));
    assert_eq!(site.request("HEAD", "/", &[]).field("X-Cache"), Some("HIT"));
    assert_eq!(site.after(60).told(&[]), miss("4"));
}

#[test]
fn what_does_not_say_so_is_not_stored() {
    for (post, fields) in [
        ("Cache-Control: max-age=60\r\n", None),
        ("Content-Location: /else\r\nCache-Control: max-age=60\r\n", None),
        ("Content-Location: http://else.example/\r\nCache-Control: max-age=60\r\n", None),
        ("Content-Location: TARGET\r\n", None),
        ("Content-Location: TARGET\r\nCache-Control: max-age=60, private\r\n", None),
        ("Content-Location: TARGET\r\nCache-Control: max-age=60\r\nSet-Cookie: a=b\r\n", None),
        ("Content-Location: TARGET\r\nCache-Control: max-age=60\r\n", Some("Authorization")),
    ] {
        let origin = posting(post);
        let site = site(&origin);
        let fields: Vec<_> = fields.into_iter().map(|name| (name, "x")).collect();
        assert_eq!(told(&site.post("/", &fields)), miss("1"));
        assert_eq!(site.told(&[]), miss("2"), "{post} {fields:?}");
    }
}

#[test]
fn a_post_below_a_path_prefix_is_stored_under_the_target_that_its_client_asked_for() {
    let storable = "Content-Location: TARGET\r\nCache-Control: max-age=60\r\n";
    let origin = posting(storable);
    let site =
        Site::start(Settings { workers: 2, ..rig::settings(&format!("{}/v1", origin.url())) });
    assert_eq!(told(&site.post("/", &[])), miss("1"));
    assert_eq!(origin.requests()[0].target, "/v1/");
    assert_eq!(site.told(&[]), hit("1"));
}

#[test]
fn half_a_response_to_a_post_is_never_stored() {
    let origin = Origin::start(|request, conn| {
        let fields = "Cache-Control: max-age=60\r\nContent-Location: /\r\nContent-Length: 8\r\n";
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\nhalf"));
        match request.method.as_str() {
            "POST" => conn.close(),
            _ => assert!(conn.send("full")),
        }
    });
    let site = site(&origin);
    let posted = site.post("/", &[]);
    assert!(!posted.complete);
    assert_eq!(site.told(&[]), miss("halffull"));
}

#[test]
fn a_client_that_leaves_its_post_leaves_no_half_of_it() {
    let origin = Origin::start(|_, conn| {
        let fields = "Cache-Control: max-age=60\r\nContent-Location: /\r\nContent-Length: 8\r\n";
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\nhalf"));
        conn.pause(Duration::from_millis(200));
        conn.send("full");
    });
    let site = site(&origin);
    let mut client = site.client();
    let host = site.running.local_addr();
    client.send(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
    client.head_to("POST").unwrap();
    client.reset();
    // Little was missing, so it was finished without its client.
    assert!(testkit::eventually(|| site.told(&[]) == hit("halffull")));
}

#[test]
fn of_two_posts_at_once_none_is_stored_whose_outcome_may_be_older() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let wait = request.field("X-Wait").map_or(0, |wait| wait.parse().unwrap());
        conn.pause(Duration::from_millis(wait));
        let fields = "Cache-Control: max-age=60\r\nContent-Location: /\r\nContent-Length: 1\r\n";
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{number}"));
    });
    let site = site(&origin);
    let mut first = site.client();
    let host = site.running.local_addr();
    first.send(format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nX-Wait: 300\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(testkit::eventually(|| origin.count() == 1));
    // Done after the first, and answered before it.
    assert_eq!(told(&site.post("/", &[])), miss("2"));
    assert_eq!(first.response().text(), "1");
    assert_eq!(site.told(&[]), miss("3"));
}

#[test]
fn of_several_stored_responses_that_match_the_one_with_the_latest_date_is_used() {
    let origin = Origin::start(|request, conn| {
        let (vary, date, body) = match (request.field("X-A"), request.field("X-B")) {
            (Some(_), None) => ("X-B", "11:59:50", "early"),
            (None, Some(_)) => ("X-A", "11:59:30", "late"),
            _ => ("X-A, X-B", "11:59:00", "none"),
        };
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nVary: {vary}\r\n\
             Date: Mon, 23 Nov 2026 {date} GMT\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    });
    let site = site(&origin);
    assert_eq!(site.told(&[("X-A", "1")]), miss("early"));
    // Stored later, but made earlier.
    assert_eq!(site.told(&[("X-B", "1")]), miss("late"));
    // Without either field both match: the one wants no X-B, the other no X-A.
    assert_eq!(site.told(&[]), hit("early"));
}

#[test]
fn a_location_by_the_origins_own_name_is_invalidated_under_the_name_that_clients_use() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |request, conn| {
        if request.method == "POST" {
            let own = request.field("Host").unwrap();
            let location = request.field("X-Location").unwrap().replace("OWN", own);
            conn.send(format!("HTTP/1.1 204 No Content\r\n{location}\r\n\r\n"));
        } else {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\n{number}"
            ));
        }
    });
    for (location, is_gone) in [
        ("Location: http://OWN/other", true),
        ("Content-Location: //OWN/other", true),
        ("Location: /other", true),
        ("Location: http://www.example/other", true),
        ("Location: http://else.example/other", false),
        ("Location: https://OWN/other", false),
    ] {
        let site = site(&origin);
        let ask = |method: &str, path: &str| {
            let mut client = site.client();
            client.send(format!(
                "{method} {path} HTTP/1.1\r\nHost: www.example\r\nX-Location: {location}\r\n\
                 Content-Length: 0\r\n\r\n"
            ));
            client.response_to(method).field("X-Cache").unwrap().to_owned()
        };
        assert_eq!((ask("GET", "/other"), ask("GET", "/kept")), ("MISS".into(), "MISS".into()));
        ask("POST", "/");
        assert_eq!(ask("GET", "/other") == "MISS", is_gone, "{location}");
        assert_eq!(ask("GET", "/kept"), "HIT", "{location}");
    }
}

#[test]
fn a_crowd_that_meets_a_stale_response_has_it_refreshed_once() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = "Cache-Control: max-age=10, stale-while-revalidate=60";
        conn.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: 2\r\n\r\n{number:02}"));
    });
    let site = site(&origin);
    assert_eq!(site.told(&[]), miss("01"));
    // The refresh ends while many are at it, on two threads.
    let mut clients: Vec<_> = (0..8).map(|_| site.client()).collect();
    let asked = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(40);
    let host = site.running.local_addr().to_string();
    let asked = asked.replace("Host: a", &format!("Host: {host}"));
    for refreshes in 1..=90 {
        site.after(15);
        std::thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| {
                    client.send(&asked);
                    for _ in 0..40 {
                        assert_eq!(client.response().field("X-Cache"), Some("HIT"));
                    }
                });
            }
        });
        let renewed = hit(&format!("{:02}", refreshes + 1));
        assert!(testkit::eventually(|| site.told(&[]) == renewed));
        assert_eq!(origin.count(), 1 + refreshes);
    }
}

#[test]
fn a_post_that_ends_a_group_of_its_own_response_says_that_it_is_not_stored() {
    let storable = "Content-Location: TARGET\r\nCache-Control: max-age=60\r\n";
    for (groups, expected) in [
        ("Cache-Groups: \"a\"\r\nCache-Group-Invalidation: \"a\"\r\n", None),
        ("Cache-Groups: \"a\"\r\nCache-Group-Invalidation: \"b\"\r\n", Some("1")),
    ] {
        let origin = posting(format!("{storable}{groups}").leak());
        let site = site(&origin);
        let posted = site.post("/", &[]);
        assert_eq!(told(&posted), miss("1"));
        let status = posted.field("Cache-Status").unwrap();
        if let Some(number) = expected {
            assert!(status.ends_with("stored; detail=method-unsafe"), "{status}");
            assert_eq!(site.told(&[]), hit(number));
        } else {
            let expected = "caching-proxy; fwd=method; fwd-status=200; detail=group-invalidated";
            assert_eq!(status, expected);
            assert_eq!(site.told(&[]), miss("2"));
        }
    }
}
