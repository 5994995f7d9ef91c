//! Fields that are withheld from storage reach the client whose request brought them, and no other.

use policy::Rules;
use policy::rules::SetCookie;
use testkit::{Origin, Response};

use super::rig::Site;

const DIGITS: &str = "0123456789";

/// What must not be stored: by the origin's word, or by the rule that strips cookies.
fn withholding() -> [(&'static str, Rules); 3] {
    let strip = Rules { set_cookie: SetCookie::Strip, ..Rules::default() };
    [
        ("Cache-Control: max-age=10, private=\"Set-Cookie\"\r\n", Rules::default()),
        ("Cache-Control: max-age=10, no-cache=\"set-cookie\"\r\n", Rules::default()),
        ("Cache-Control: max-age=10\r\n", strip),
    ]
}

/// Sends ranges, wholes and confirmations, each with a cookie that has the number of its request.
fn baking(control: &'static str, age: &'static str) -> Origin {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Origin::start(move |request, conn| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let fields = format!("{control}ETag: \"a\"\r\nSet-Cookie: n={number}\r\n");
        if request.field("If-None-Match") == Some("\"a\"") {
            conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}{age}\r\n"));
            return;
        }
        let range = request.field("Range").map(|range| range.trim_start_matches("bytes="));
        let (first, last) = range.and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap_or(9));
        let content = &DIGITS[first..=last];
        let length = content.len();
        conn.send(match range {
            Some(_) => format!(
                "HTTP/1.1 206 Partial Content\r\n{fields}Content-Range: bytes {first}-{last}/10\r\n\
                 Content-Length: {length}\r\n\r\n{content}"
            ),
            None => format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{content}"),
        });
    })
}

/// Status, content and cookies.
fn told(response: &Response) -> (u16, String, Vec<&str>) {
    (response.status, response.text(), response.all("Set-Cookie"))
}

fn get(site: &Site, fields: &[(&str, &str)]) -> Response {
    site.request("GET", "/", fields)
}

#[test]
fn a_range_of_stored_and_new_bytes_has_the_cookie_of_the_new_ones() {
    for (control, rules) in withholding() {
        let origin = baking(control, "");
        let site = Site::ruled(&origin, rules);
        let range = |range| get(&site, &[("Range", range)]);
        assert_eq!(told(&range("bytes=0-3")), (206, "0123".to_owned(), vec!["n=1"]));
        assert_eq!(told(&range("bytes=2-6")), (206, "23456".to_owned(), vec!["n=2"]), "{control}");
        assert_eq!(told(&range("bytes=2-6")), (206, "23456".to_owned(), vec![]), "{control}");
        assert_eq!(origin.count(), 2);
    }
}

#[test]
fn a_whole_that_was_completed_has_the_cookie_of_its_last_part() {
    for (control, rules) in withholding() {
        let origin = baking(control, "");
        let site = Site::ruled(&origin, rules);
        get(&site, &[("Range", "bytes=0-3")]);
        let whole = get(&site, &[]);
        assert_eq!(told(&whole), (200, DIGITS.to_owned(), vec!["n=2"]), "{control}");
        assert_eq!(whole.all("ETag"), ["\"a\""]);
        assert_eq!(told(&get(&site, &[])), (200, DIGITS.to_owned(), vec![]), "{control}");
        assert_eq!(origin.requests()[1].field("Range"), Some("bytes=4-"));
    }
}

#[test]
fn what_was_missing_and_is_not_stored_has_its_cookie_too() {
    let origin = baking("Cache-Control: max-age=10, private=\"set-cookie\"\r\n", "");
    let site = Site::before(&origin);
    get(&site, &[("Range", "bytes=0-3")]);
    let fields = [("Range", "bytes=2-6"), ("Cache-Control", "no-store")];
    assert_eq!(told(&get(&site, &fields)), (206, "23456".to_owned(), vec!["n=2"]));
}

#[test]
fn confirmed_parts_have_the_cookie_of_the_confirmation() {
    for (control, rules) in withholding() {
        let origin = baking(control, "Age: 3\r\n");
        let site = Site::ruled(&origin, rules);
        let range = |range| get(&site, &[("Range", range)]);
        range("bytes=0-3");
        let confirmed = range_after(&site, 10);
        assert_eq!(told(&confirmed), (206, "12".to_owned(), vec!["n=2"]), "{control}");
        // Another cache confirmed it.
        assert_eq!(confirmed.all("Age"), ["3"]);
        assert_eq!(told(&range("bytes=1-2")), (206, "12".to_owned(), vec![]), "{control}");
    }
}

fn range_after(site: &Site, seconds: u64) -> Response {
    get(site.after(seconds), &[("Range", "bytes=1-2")])
}

#[test]
fn what_is_confirmed_and_used_once_has_the_cookie_of_the_confirmation() {
    // The request forbids to store what comes of it; the stored response stays as it was.
    let origin = baking("Cache-Control: max-age=10, private=\"set-cookie\"\r\n", "Age: 3\r\n");
    let site = Site::before(&origin);
    get(&site, &[]);
    let once = get(site.after(10), &[("Cache-Control", "no-store")]);
    assert_eq!(told(&once), (200, DIGITS.to_owned(), vec!["n=2"]));
    assert_eq!((once.field("X-Cache"), once.all("Age")), (Some("HIT"), vec!["3"]));
    assert_eq!(told(&get(&site, &[])), (200, DIGITS.to_owned(), vec!["n=3"]));
}

#[test]
fn another_variant_that_the_origin_names_has_the_cookie_of_the_confirmation() {
    let control = "Cache-Control: max-age=10, private=\"set-cookie\"\r\nVary: X-V\r\n";
    let origin = baking(control, "Age: 3\r\n");
    let site = Site::before(&origin);
    get(&site, &[("X-V", "1")]);
    let named = get(&site, &[("X-V", "2")]);
    assert_eq!(told(&named), (200, DIGITS.to_owned(), vec!["n=2"]));
    assert_eq!(named.all("Age"), ["3"]);
    assert_eq!(told(&get(&site, &[("X-V", "2")])), (200, DIGITS.to_owned(), vec![]));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_client_that_has_it_already_gets_the_cookie_with_its_304() {
    for (control, rules) in withholding() {
        let origin = baking(control, "Age: 3\r\n");
        let site = Site::ruled(&origin, rules);
        let known = [("If-None-Match", "\"a\"")];
        get(&site, &[]);
        assert_eq!(told(&get(&site, &known)), (304, String::new(), vec![]), "{control}");
        let confirmed = get(site.after(10), &known);
        assert_eq!(told(&confirmed), (304, String::new(), vec!["n=2"]), "{control}");
        assert_eq!((confirmed.all("ETag"), confirmed.all("Age")), (vec!["\"a\""], vec!["3"]));
    }
}

#[test]
fn a_304_tells_the_age_of_a_confirmation_that_is_used_once() {
    let origin = baking("Cache-Control: max-age=10, private=\"set-cookie\"\r\n", "Age: 3\r\n");
    let site = Site::before(&origin);
    get(&site, &[]);
    let fields = [("Cache-Control", "no-store"), ("If-None-Match", "\"a\"")];
    let once = get(site.after(10), &fields);
    assert_eq!(told(&once), (304, String::new(), vec!["n=2"]));
    assert_eq!(once.all("Age"), ["3"]);
}

#[test]
fn what_becomes_withheld_by_a_confirmation_is_told_once_and_to_the_asker_alone() {
    for field in ["Cache-Control", "CDN-Cache-Control"] {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let origin = Origin::start(move |_, conn| {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            conn.send(if number == 1 {
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=10\r\nETag: \"a\"\r\nX-User: 1\r\n\
                 Content-Length: 2\r\n\r\nhi"
                    .to_owned()
            } else {
                format!(
                    "HTTP/1.1 304 Not Modified\r\n{field}: max-age=10, private=\"x-user\"\r\n\
                     ETag: \"a\"\r\nX-User: {number}\r\n\r\n"
                )
            });
        });
        let site = Site::before(&origin);
        assert_eq!(get(&site, &[]).all("X-User"), ["1"]);
        assert_eq!(get(site.after(10), &[]).all("X-User"), ["2"], "{field}");
        assert!(get(&site, &[]).all("X-User").is_empty(), "{field}");
        let known = [("If-None-Match", "\"a\"")];
        assert_eq!(get(site.after(10), &known).all("X-User"), ["3"], "{field}");
        assert_eq!(origin.count(), 3);
    }
}
