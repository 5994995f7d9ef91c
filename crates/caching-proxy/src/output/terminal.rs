//! Lines for a person.

use proxy::Kind;

use super::escape::{printable, shortened};
use super::{Event, Ready, Served};
use crate::units::{Span, responses, rough_bytes, rough_time};

/// Longer paths are cut on a terminal; the JSON form has them whole.
const LONGEST_PATH: usize = 200;

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const FAINT: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";

/// Puts text between a colour and its end, where colours are wanted.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, colour: &str, text: &str) -> String {
        if self.0 { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The line without its end.
pub(super) fn line(event: &Event, colours: bool) -> String {
    let paint = Paint(colours);
    match event {
        Event::Ready(ready) => ready_line(ready, paint),
        Event::Request(served) => request_line(served, paint),
        Event::Draining { signal, limit } => {
            format!("{signal}: waiting up to {} for requests to end", Span(*limit))
        }
        Event::Replaced { pid, limit } => {
            let limit = Span(*limit);
            format!("process {pid} has taken over: waiting up to {limit} for requests to end")
        }
        Event::Stopped => "stopped".to_owned(),
        Event::Cleared { entries, bytes } => {
            format!("cache cleared: {}, {}", responses(*entries), rough_bytes(*bytes))
        }
        Event::Purged { what, soft: false } => format!("purged: {what}"),
        Event::Purged { what, soft: true } => format!("made stale: {what}"),
        Event::Hint(text) => text.clone(),
        Event::Notice { message, .. } => printable(message.as_bytes()).into_owned(),
        Event::Trouble { message, times: 1, .. } => warning(message, paint),
        Event::Trouble { message, times, .. } => {
            warning(&format!("{message} ({times} times)"), paint)
        }
        Event::Dropped { count } => {
            warning(&format!("{count} lines were not written in time"), paint)
        }
    }
}

fn warning(message: &str, paint: Paint) -> String {
    format!("{}: {}", paint.with(YELLOW, "warning"), printable(message.as_bytes()))
}

fn ready_line(ready: &Ready, paint: Paint) -> String {
    let answers = ready.answers.iter().filter(|place| place.kind != Kind::Redirect);
    let urls: Vec<_> = answers.map(|place| paint.with(BOLD, &place.url())).collect();
    let url = urls.join(" and ");
    let disk = ready.disk.map_or("no disk".to_owned(), |size| format!("{size} on disk"));
    let place = ready.directory.as_ref().filter(|_| ready.disk.is_some());
    let place = place.map_or(String::new(), |path| format!(" in {}", path.display()));
    let most =
        ready.connections.map_or(String::new(), |most| format!("at most {most} connections, "));
    let ttl = if ready.ttl.0.is_zero() { "none".to_owned() } else { ready.ttl.to_string() };
    let metrics = ready.metrics_url().map_or(String::new(), |url| format!(", metrics on {url}"));
    format!(
        "caching-proxy ready on {url} for {}, cache {} in memory, {disk}{place}, \
         {most}lifetime where the origin gives none: {ttl}{metrics}",
        ready.origin, ready.memory
    )
}

fn request_line(served: &Served, paint: Paint) -> String {
    let status = served.status.to_string();
    let status = match served.status {
        500.. => paint.with(RED, &status),
        400..=499 => paint.with(YELLOW, &status),
        _ => status,
    };
    let verdict = paint.with(if served.hit { GREEN } else { YELLOW }, served.verdict());
    let end = served.tunnel.map(|tunnel| format!(" {}", tunnel.end.code()));
    let cut = if served.cut { " cut" } else { "" };
    let end = end.as_deref().unwrap_or(cut);
    let end = if served.cut { paint.with(RED, end) } else { end.to_owned() };
    format!(
        "{} {} {status} {verdict} {} {} {}{end}",
        shortened(printable(&served.method), 32),
        shortened(printable(&served.target), LONGEST_PATH),
        paint.with(FAINT, served.reason),
        rough_bytes(served.bytes),
        rough_time(served.took)
    )
}
