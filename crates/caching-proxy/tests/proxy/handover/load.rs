//! Under load, by clients that never ask twice.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use testkit::frames::{Frame, Frames, flag, kind};
use testkit::{Origin, PATIENCE};

use super::has_ended;
use crate::{Proxy, cache, millis, ok};

const PAGES: u64 = 50;
/// Threads, each with one client: that keeps its connections, or makes one for each request.
const THREADS: u64 = 8;
/// Connections that a client keeps, and uses one after the other.
const KEPT: usize = 16;

fn set(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn body(page: u64) -> String {
    format!("page {page} ").repeat(100)
}

fn path(page: u64) -> String {
    format!("/{page}")
}

fn site() -> Origin {
    Origin::start(|request, conn| {
        let page = request.target.trim_start_matches('/').parse().unwrap();
        conn.send(ok("Cache-Control: max-age=3600\r\n", &body(page)));
    })
}

/// What all clients together have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    answered: AtomicU64,
    by_http2: AtomicU64,
    connections: AtomicU64,
    failed: AtomicU64,
    slowest: AtomicU64,
}

impl Seen {
    fn note(&self, began: Instant, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                let took = began.elapsed().as_micros();
                self.slowest.fetch_max(u64::try_from(took).unwrap(), Ordering::Relaxed);
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                eprintln!("FAILED: {error}");
            }
        }
    }
}

/// A client by HTTP/1.1 that makes nothing good by asking again.
struct Plain {
    address: SocketAddr,
    streams: VecDeque<TcpStream>,
    buffer: Vec<u8>,
}

impl Plain {
    fn connect(&self, seen: &Seen) -> io::Result<TcpStream> {
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn ask(&mut self, page: u64, keeps: bool, seen: &Seen) -> io::Result<()> {
        let kept = if self.streams.len() < KEPT { None } else { self.streams.pop_front() };
        let mut stream = kept.map_or_else(|| self.connect(seen), Ok)?;
        let close = if keeps { "" } else { "Connection: close\r\n" };
        let path = path(page);
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n{close}\r\n").as_bytes(),
        )?;
        let body = body(page);
        self.buffer.clear();
        let head = loop {
            let end = self.buffer.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end.filter(|end| self.buffer.len() >= end + 4 + body.len()) {
                break end;
            }
            let mut chunk = [0; 8192];
            match stream.read(&mut chunk)? {
                0 => return Err(io::Error::other(format!("the end after {}", self.buffer.len()))),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        };
        let (head, rest) =
            (String::from_utf8_lossy(&self.buffer[..head]), &self.buffer[head + 4..]);
        if !head.starts_with("HTTP/1.1 200 ") || rest != body.as_bytes() {
            return Err(io::Error::other(format!("not the page: {head}")));
        }
        if keeps && !head.contains("\r\nConnection: close") {
            self.streams.push_back(stream);
        }
        Ok(())
    }
}

/// Asks every `interval`, or as fast as it can to make up for what it is behind.
fn client(number: u64, address: SocketAddr, interval: Duration, seen: Arc<Seen>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut plain = Plain { address, streams: VecDeque::new(), buffer: Vec::new() };
        let mut due = Instant::now();
        for step in 0.. {
            if seen.stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            due += interval;
            let began = Instant::now();
            let outcome = plain.ask((number + step) % PAGES, number.is_multiple_of(2), &seen);
            seen.note(began, outcome);
        }
    })
}

/// By HTTP/2, one request after the other; one that the server says it has not looked at is sent
/// again, as the standard has it.
fn http2_client(address: SocketAddr, seen: Arc<Seen>) -> JoinHandle<()> {
    thread::spawn(move || {
        while !seen.stop.load(Ordering::Relaxed) {
            let mut frames = Frames::connect(address, &[]);
            let mut last = u32::MAX;
            for stream in (1..).step_by(2) {
                if stream > last || seen.stop.load(Ordering::Relaxed) {
                    break;
                }
                let page = u64::from(stream) % PAGES;
                match by_http2(&mut frames, stream, page, &mut last) {
                    Some(Ok(())) => _ = seen.by_http2.fetch_add(1, Ordering::Relaxed),
                    Some(Err(error)) => seen.note(Instant::now(), Err(error)),
                    None => break,
                }
                thread::sleep(millis(2));
            }
        }
    })
}

/// `None` if the server has not looked at the request. `last` is the last stream that it looks at.
fn by_http2(frames: &mut Frames, stream: u32, page: u64, last: &mut u32) -> Option<io::Result<()>> {
    let path = path(page);
    let fields =
        [(":method", "GET"), (":scheme", "http"), (":authority", "site.example"), (":path", &path)];
    frames.send(&Frame::headers(stream, true, &fields));
    let mut content = Vec::new();
    loop {
        let Some(frame) = frames.frame() else {
            let broken = || Err(io::Error::other(format!("stream {stream}: the end")));
            return (stream <= *last && *last != u32::MAX >> 1).then(broken);
        };
        match frame.kind {
            kind::GOAWAY => {
                *last = frame.number_at(0);
                if stream > *last {
                    return None;
                }
            }
            kind::DATA if frame.stream == stream => {
                content.extend_from_slice(&frame.payload);
                let taken = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
                frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with(taken));
            }
            kind::RST_STREAM => return Some(Err(io::Error::other("a reset"))),
            kind::PING if frame.flags == 0 => {
                frames.send(&Frame::new(kind::PING, flag::ACK, 0).with(frame.payload.clone()));
            }
            _ => {}
        }
        if frame.stream == stream && frame.kind == kind::DATA && frame.flags & flag::END_STREAM > 0
        {
            let whole = content == body(page).as_bytes();
            return Some(if whole { Ok(()) } else { Err(io::Error::other("not the page")) });
        }
    }
}

#[test]
fn no_request_fails_however_often_a_newer_process_takes_over() {
    testkit::raise_file_limit();
    let (restarts, rate, every) = (set("RESTARTS", 3), set("RATE", 400), set("EVERY", 300));
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    for page in 0..PAGES {
        let answer = fetch(&proxy, page);
        assert_eq!(cache(&answer), "MISS");
    }
    let address = SocketAddr::from(([127, 0, 0, 1], proxy.address().1));
    let seen = Arc::new(Seen::default());
    let interval =
        Duration::from_secs(1) * u32::try_from(THREADS).unwrap() / u32::try_from(rate).unwrap();
    let mut clients: Vec<_> =
        (0..THREADS).map(|number| client(number, address, interval, Arc::clone(&seen))).collect();
    clients.push(http2_client(address, Arc::clone(&seen)));
    let began = Instant::now();
    let mut older = Vec::new();
    for _ in 0..restarts {
        thread::sleep(millis(every));
        older.push(proxy.take_over());
    }
    thread::sleep(millis(300));
    seen.stop.store(true, Ordering::Relaxed);
    let took = began.elapsed();
    for client in clients {
        client.join().unwrap();
    }
    older.into_iter().for_each(has_ended);
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (answered, failed) = (read(&seen.answered), read(&seen.failed));
    println!(
        "{restarts} times another process: {answered} requests answered by HTTP/1.1 in {took:?} \
         ({:.0} a second, slowest {} ms), over {} connections; {} by HTTP/2; {failed} failed",
        answered as f64 / took.as_secs_f64(),
        read(&seen.slowest) / 1000,
        read(&seen.connections),
        read(&seen.by_http2),
    );
    assert_eq!(failed, 0);
    assert!(answered > 0 && read(&seen.by_http2) > 0);
    assert_eq!(origin.count() as u64, PAGES, "each was a hit all the time");
    proxy.terminate();
}

fn fetch(proxy: &Proxy, page: u64) -> testkit::Response {
    let mut client = proxy.client();
    client.send(format!("GET {} HTTP/1.1\r\nHost: site.example\r\n\r\n", path(page)));
    client.response()
}
