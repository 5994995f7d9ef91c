use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use super::*;

fn served() -> Served {
    Served {
        method: "GET".into(),
        host: "a".into(),
        target: "/path".into(),
        status: 200,
        hit: true,
        reason: "fresh",
        bytes: 1024,
        took: Duration::from_micros(100),
        client: "127.0.0.1".parse().unwrap(),
        request_id: "r1".into(),
        cut: false,
        tunnel: None,
    }
}

fn ready() -> Ready {
    Ready {
        answers: vec![Place { kind: Kind::Http, address: "0.0.0.0:3000".parse().unwrap() }],
        origin: "http://127.0.0.1:8000".into(),
        directory: Some("/cache/x".into()),
        memory: ByteSize(256 << 20),
        disk: Some(ByteSize(1 << 30)),
        ttl: Span(Duration::from_mins(5)),
        workers: 2,
        connections: Some(819),
        metrics: None,
    }
}

fn readable(event: &Event) -> String {
    terminal::line(event, false)
}

fn parsed(event: &Event) -> Value {
    serde_json::from_str(&json::line(event, "T")).unwrap()
}

/// What came through a sink, and whether it is held.
#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    held: bool,
}

/// A sink that can be read, and that can be held so that nothing goes through.
#[derive(Clone, Default)]
struct Sink(Arc<(Mutex<Taken>, Condvar)>);

impl Sink {
    fn hold(&self, held: bool) {
        self.0.0.lock().unwrap().held = held;
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().bytes.clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.0.0.lock().unwrap();
        let mut taken = self.0.1.wait_while(taken, |taken| taken.held).unwrap();
        taken.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_request_is_one_readable_line() {
    let line = readable(&Event::Request(Box::new(served())));
    assert_eq!(line, "GET /path 200 HIT fresh 1.0 KiB 0.1 ms");
}

#[test]
fn a_tunnel_is_told_with_how_it_ended() {
    use proxy::TunnelEnd;
    use proxy::events::Tunnelled;
    let tunnel = |end| Some(Tunnelled { received: 7, end });
    let event = |end, cut| {
        let served = Served { status: 101, hit: false, reason: "upgrade", ..served() };
        Event::Request(Box::new(Served { tunnel: tunnel(end), cut, ..served }))
    };
    let closed = event(TunnelEnd::Closed, false);
    let line = "GET /path 101 MISS upgrade 1.0 KiB 0.1 ms tunnel-closed";
    assert_eq!(readable(&closed), line);
    assert!(readable(&event(TunnelEnd::Idle, true)).ends_with(" 0.1 ms tunnel-idle"));
    let told = parsed(&closed);
    assert_eq!((&told["end"], &told["received_bytes"]), (&"tunnel-closed".into(), &7.into()));
    assert_eq!(parsed(&Event::Request(Box::new(served())))["end"], Value::Null);
}

#[test]
fn colours_come_only_when_asked_for() {
    let event = Event::Request(Box::new(served()));
    assert!(!readable(&event).contains('\x1b'));
    assert!(terminal::line(&event, true).contains("\x1b[32mHIT\x1b[0m"));
}

#[test]
fn the_ready_line_says_url_origin_directory_sizes_and_lifetime() {
    let line = readable(&Event::Ready(Box::new(ready())));
    let parts = [
        "http://127.0.0.1:3000 ",
        "http://127.0.0.1:8000,",
        "256MiB in memory",
        "1GiB on disk in /cache/x",
        "at most 819 connections",
        ": 5m",
    ];
    for part in parts {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let metrics = Some("[::]:9464".parse().unwrap());
    let with = Ready { metrics, ..ready() };
    assert!(with.metrics_url() == Some("http://[::1]:9464/metrics".to_owned()));
    let line = readable(&Event::Ready(Box::new(with)));
    assert!(line.ends_with(", metrics on http://[::1]:9464/metrics"), "{line}");
    let without = Ready { disk: None, ttl: Span(Duration::ZERO), ..ready() };
    let line = readable(&Event::Ready(Box::new(without)));
    assert!(line.contains("no disk,") && line.ends_with(": none"), "{line}");
}

#[test]
fn the_ready_event_can_be_found_and_followed_by_a_program() {
    let value = parsed(&Event::Ready(Box::new(ready())));
    assert_eq!(value["event"], "ready");
    assert_eq!(value["url"], "http://127.0.0.1:3000");
    assert_eq!(value["pid"], std::process::id());
    assert_eq!((&value["level"], &value["time"]), (&"info".into(), &"T".into()));
    assert_eq!(ByteSize::parse(value["memory"].as_str().unwrap()), Ok(ready().memory));
    assert_eq!(Span::parse(value["cache_ttl"].as_str().unwrap()), Ok(ready().ttl));
}

#[test]
fn a_path_cannot_forge_a_line_or_steer_the_terminal() {
    let path = "/a\x1b[2Jb\r\nGET /\u{202e}\u{9b}\x7f";
    let event = Event::Request(Box::new(Served { target: path.into(), ..served() }));
    let shown = r"/a\x1b[2Jb\x0d\x0aGET /\xe2\x80\xae\xc2\x9b\x7f";
    assert!(readable(&event).contains(shown), "{}", readable(&event));
    assert_eq!(parsed(&event)["path"], shown);
    assert!(json::line(&event, "T").bytes().all(|byte| (b' '..=b'~').contains(&byte)));
}

#[test]
fn a_long_path_is_cut_on_a_terminal_and_whole_in_json() {
    let path = format!("/{}", "x".repeat(5000));
    let event = Event::Request(Box::new(Served { target: path.clone().into(), ..served() }));
    assert!(readable(&event).len() < 300);
    assert_eq!(parsed(&event)["path"], path);
}

#[test]
fn a_level_says_what_those_before_it_say() {
    let events = || {
        [
            Event::Trouble { code: "w", message: String::new(), times: 1 },
            Event::Stopped,
            Event::Request(Box::new(served())),
        ]
    };
    for (level, said) in Level::ALL.into_iter().zip([0, 0, 1, 2, 3]) {
        let sink = Sink::default();
        let (log, writer) = start(level, Style::Json, || 0, sink.clone()).unwrap();
        for event in events() {
            log.say(event);
        }
        writer.finish();
        assert_eq!(sink.text().lines().count(), said, "{level:?}");
    }
}

#[test]
fn a_full_queue_drops_counts_and_never_waits() {
    let sink = Sink::default();
    sink.hold(true);
    let (log, writer) = start(Level::Requests, Style::Json, || 0, sink.clone()).unwrap();
    let said = 30_000;
    for _ in 0..said {
        log.say(Event::Request(Box::new(served())));
    }
    sink.hold(false);
    log.say_surely(Event::Stopped);
    writer.finish();
    let lines: Vec<Value> =
        sink.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count() as u64;
    let dropped: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
    assert!(dropped > 0, "nothing was dropped");
    assert_eq!(of("request") + dropped, said);
    assert_eq!(of("stopped"), 1);
}

#[test]
fn times_are_written_as_rfc_3339_has_them() {
    let table = [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_795_164_577_123, "2026-11-20T08:49:37.123Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (-1, "1970-01-01T00:00:00.000Z"),
    ];
    for (millis, text) in table {
        assert_eq!(rfc3339(millis), text);
    }
}
