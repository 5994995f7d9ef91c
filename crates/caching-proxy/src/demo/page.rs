//! What the built-in origin answers: a path and the time in, a page out.

use std::time::Duration;

use crate::output::rfc3339;

/// A response to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Status code and reason phrase.
    pub(super) status: &'static str,
    /// Field lines without their ends.
    pub(super) fields: Vec<String>,
    /// The content.
    pub(super) body: String,
    /// How long the answer takes.
    pub(super) delay: Duration,
}

impl Page {
    fn new(cache_control: &str, body: String) -> Self {
        let fields = vec![
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            format!("Cache-Control: {cache_control}"),
        ];
        Self { status: "200 OK", fields, body, delay: Duration::ZERO }
    }

    fn failure(status: &'static str) -> Self {
        Self { status, ..Self::new("no-store", format!("{status}\n")) }
    }

    /// The whole message; a response to HEAD has no content.
    pub(super) fn message(&self, head_only: bool) -> String {
        let mut message = format!("HTTP/1.1 {}\r\n", self.status);
        for field in &self.fields {
            message.extend([field, "\r\n"]);
        }
        // A 304 has no content, and a length would be that of the content it stands for.
        if !self.status.starts_with("304") {
            message.extend(["Content-Length: ", &self.body.len().to_string(), "\r\n"]);
        }
        message.push_str("\r\n");
        if !head_only {
            message.push_str(&self.body);
        }
        message
    }
}

/// The page at `target`. `known` is the request's `If-None-Match`, `now` is in milliseconds since
/// the Unix epoch.
pub(super) fn page(method: &str, target: &str, known: Option<&str>, now: i64) -> Page {
    if !matches!(method, "GET" | "HEAD") {
        return Page::failure("405 Method Not Allowed");
    }
    let time = rfc3339(now);
    match target.split('?').next().unwrap_or_default() {
        "/" => Page::new("max-age=60", "try /slow /time /news /private /big\n".to_owned()),
        "/slow" => {
            let page = Page::new("max-age=30", format!("worked on for a second at {time}\n"));
            Page { delay: Duration::from_secs(1), ..page }
        }
        "/time" => Page::new("max-age=5", format!("{time}\n")),
        "/private" => Page::new("private, max-age=60", format!("for you alone, at {time}\n")),
        "/news" => news(known, now),
        "/big" => Page::new("max-age=60", "sixteen letters\n".repeat(65_536)),
        _ => Page::failure("404 Not Found"),
    }
}

/// A new edition every 10 s, which may be kept for 2 s and then has to be asked for.
fn news(known: Option<&str>, now: i64) -> Page {
    let edition = now.div_euclid(10_000);
    let tag = format!("\"edition-{edition}\"");
    let mut page = Page::new("max-age=2", format!("edition {edition} of the news\n"));
    page.fields.push(format!("ETag: {tag}"));
    let matches = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    if matches {
        return Page { status: "304 Not Modified", body: String::new(), ..page };
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_say_how_long_they_may_be_kept() {
        let table = [
            ("/slow", "Cache-Control: max-age=30", 1),
            ("/time", "Cache-Control: max-age=5", 0),
            ("/private", "Cache-Control: private, max-age=60", 0),
            ("/news", "Cache-Control: max-age=2", 0),
            ("/big?x", "Cache-Control: max-age=60", 0),
        ];
        for (target, field, seconds) in table {
            let page = page("GET", target, None, 0);
            assert_eq!((page.status, page.delay), ("200 OK", Duration::from_secs(seconds)));
            assert!(page.fields.iter().any(|known| known == field), "{target}");
        }
    }

    #[test]
    fn news_are_not_sent_again_to_those_who_have_them() {
        let first = page("GET", "/news", None, 5_000);
        assert!(first.fields.contains(&"ETag: \"edition-0\"".to_owned()));
        let again = page("GET", "/news", Some("\"x\", \"edition-0\""), 9_999);
        assert_eq!((again.status, again.body.as_str()), ("304 Not Modified", ""));
        assert!(!again.message(false).contains("Content-Length"));
        assert_eq!(page("GET", "/news", Some("\"edition-0\""), 10_000).status, "200 OK");
    }

    #[test]
    fn big_is_a_mebibyte_and_head_sends_none_of_it() {
        let page = page("HEAD", "/big", None, 0);
        assert_eq!(page.body.len(), 1 << 20);
        let message = page.message(true);
        assert!(message.contains("Content-Length: 1048576\r\n") && message.ends_with("\r\n\r\n"));
    }

    #[test]
    fn other_methods_and_paths_are_refused() {
        assert_eq!(page("POST", "/time", None, 0).status, "405 Method Not Allowed");
        assert_eq!(page("GET", "/nowhere", None, 0).status, "404 Not Found");
    }
}
