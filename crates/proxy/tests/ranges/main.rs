//! Stored parts: when they answer, what the origin is asked for, and when they are given up.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod parts;
#[path = "../rig/mod.rs"]
mod rig;
mod under_way;
mod validators;
mod whole;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rig::Site;
use testkit::{Client, Origin, Response};

const DIGITS: &str = "0123456789";

/// With room for bodies of a few MiB.
fn site(origin: &Origin) -> Site {
    Site::with(origin, |settings| settings.store.largest_in_memory = Some(8 << 20))
}

/// With room for bodies under way, but for none with a large head afterwards.
fn with_small_memory(origin: &Origin) -> Site {
    Site::with(origin, |settings| {
        (settings.store.memory, settings.store.largest_in_memory) = (96 << 10, Some(64));
    })
}

impl Site {
    fn ask(&self, fields: &[(&str, &str)]) -> Response {
        self.request("GET", "/", fields)
    }

    fn get(&self) -> Response {
        self.ask(&[])
    }

    fn range(&self, range: &str) -> Response {
        self.ask(&[("Range", range)])
    }
}

/// Status, where it came from, Content-Range and content.
fn told(response: &Response) -> (u16, String, String, String) {
    let field = |name| response.field(name).unwrap_or_default().to_owned();
    (response.status, field("X-Cache"), field("Content-Range"), response.text())
}

#[track_caller]
fn expect(response: &Response, status: u16, cache: &str, range: &str, text: &str) {
    assert!(response.complete);
    let expected = (status, cache.to_owned(), range.to_owned(), text.to_owned());
    assert_eq!(told(response), expected, "{:?}", response.field("Cache-Status"));
}

/// What the origin was asked: Range, If-Range and If-None-Match of each request.
fn asked(origin: &Origin) -> Vec<[String; 3]> {
    let field = |request: &testkit::Received, name: &str| {
        request.field(name).unwrap_or_default().to_owned()
    };
    let fields = ["Range", "If-Range", "If-None-Match"];
    origin.requests().iter().map(|request| fields.map(|name| field(request, name))).collect()
}

fn was_asked(origin: &Origin, expected: &[[&str; 3]]) {
    assert_eq!(asked(origin), expected);
}

/// A representation, as origins that support ranges have it.
#[derive(Clone)]
struct Resource {
    body: &'static str,
    /// `ETag` and `Last-Modified` lines.
    validators: &'static str,
    fields: &'static str,
}

const TAGGED: Resource = Resource {
    body: DIGITS,
    validators: "ETag: \"a\"\r\n",
    fields: "Cache-Control: max-age=10\r\nContent-Type: text/plain\r\n",
};

/// Answers single ranges and conditions as RFC 9110 has it.
fn supporting(resource: &Arc<Mutex<Resource>>) -> Origin {
    let resource = Arc::clone(resource);
    Origin::start(move |request, conn| {
        let Resource { body, validators, fields } = resource.lock().unwrap().clone();
        let is_current = |name: &str| {
            request.field(name).is_some_and(|value| validators.contains(&format!(": {value}\r\n")))
        };
        if is_current("If-None-Match") {
            conn.send(format!("HTTP/1.1 304 Not Modified\r\n{validators}{fields}\r\n"));
            return;
        }
        let applies = request.field("If-Range").is_none() || is_current("If-Range");
        let whole = body.len();
        let Some(range) = request.field("Range").filter(|_| applies) else {
            let head = format!("HTTP/1.1 200 OK\r\n{validators}{fields}Content-Length: {whole}");
            conn.send(format!("{head}\r\n\r\n{body}"));
            return;
        };
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let (first, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => (first, whole.min(last + 1)),
            (Ok(first), Err(_)) => (first, whole),
            (Err(_), suffix) => (whole - suffix.unwrap(), whole),
        };
        if first >= whole {
            conn.send(format!(
                "HTTP/1.1 416 No\r\nContent-Range: bytes */{whole}\r\nContent-Length: 0\r\n\r\n"
            ));
            return;
        }
        conn.send(format!(
            "HTTP/1.1 206 Partial Content\r\n{validators}{fields}\
             Content-Range: bytes {first}-{}/{whole}\r\nContent-Length: {}\r\n\r\n{}",
            end - 1,
            end - first,
            &body[first..end]
        ));
    })
}

fn resource(resource: Resource) -> (Arc<Mutex<Resource>>, Origin) {
    let shared = Arc::new(Mutex::new(resource));
    let origin = supporting(&shared);
    (shared, origin)
}

/// A hundred bytes of which no ten are the same.
fn long_body() -> &'static str {
    let numbers: Vec<_> = (0..50).map(|number| format!("{number:02}")).collect();
    Box::leak(numbers.concat().into_boxed_str())
}
