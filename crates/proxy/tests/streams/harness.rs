//! Sends a script of frames to a proxy, and compares what its origin gets with what may be seen.

#[path = "../connection/model.rs"]
mod model;
#[path = "../connection/origin.rs"]
mod origin;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "script.rs"]
pub(crate) mod script;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use proxy::clock::Clock;
use proxy::{Limits, Running, Settings};
use testkit::frames::{Frame, Frames, flag, kind};

use self::model::Request;
use self::origin::{LAST, Origin};
use self::rig::Silent;
use self::script::{CONTROL_FRAMES, Op, STREAMS, Script};

const PATIENCE: Duration = Duration::from_secs(10);
/// RFC 9113 §4.2: nobody has said that larger ones are welcome.
const LARGEST: usize = 16 << 10;

/// A proxy and its origin, which serve one connection after the other.
struct Harness {
    origin: Origin,
    proxy: Running,
    rounds: u64,
}

fn harness() -> MutexGuard<'static, Harness> {
    static HARNESS: OnceLock<Mutex<Harness>> = OnceLock::new();
    HARNESS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Harness {
    fn default() -> Self {
        let origin = Origin::start();
        let mut limits = Limits::default();
        (limits.http2.streams, limits.http2.control_frames) = (STREAMS, CONTROL_FRAMES);
        let settings = rig::settings(&format!("http://{}", origin.address));
        let settings = Settings { limits, clock: Clock::default(), ..settings };
        Self { origin, proxy: proxy::start(settings, Arc::new(Silent)).unwrap(), rounds: 0 }
    }
}

/// Any bytes, taken for a script.
pub(crate) fn streams(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else { return };
    run(&script::parse(data), cut);
}

/// A whole connection: the origin gets what its frames mean and nothing else, and it ends. `cut` says
/// where its bytes are cut in two. Returns whether nothing was odd, so that the origin had to get all
/// that they mean.
pub(crate) fn run(ops: &[Op], cut: u8) -> bool {
    let mut harness = harness();
    harness.rounds += 1;
    let prefix = format!("/{}/", harness.rounds);
    let script = Script::of(ops, &prefix);
    let address = harness.proxy.local_addr();
    talk(address, &script, cut);
    last(address);
    let mut seen = harness.origin.round();
    // What was given up in an earlier round may come late.
    seen.retain(|request| request.target.starts_with(prefix.as_bytes()));
    compare(&seen, &script);
    !script.odd
}

/// A request that must be served whatever was before.
fn last(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = [b"GET ", LAST, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat();
    stream.write_all(&head).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the proxy still serves");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
}

fn talk(address: SocketAddr, script: &Script, cut: u8) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut frames = Frames::over(stream.try_clone().unwrap());
    frames.greet(&[]);
    let bytes: Vec<u8> = script.frames.iter().flat_map(Frame::bytes).collect();
    let (one, two) = bytes.split_at(bytes.len() * usize::from(cut) / 256);
    // A proxy that has closed the connection takes no more.
    let _ = frames.write(one) && frames.write(two);
    frames.send(&Frame::new(kind::PING, 0, 0).with(*b"the last"));
    let mut client = Client::new(script);
    while !client.is_content() {
        match frames.frame() {
            Some(frame) => client.take(&frame),
            None => break,
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    while let Some(frame) = frames.frame() {
        client.take(&frame);
    }
    client.check();
}

/// What a client knows of its connection.
struct Client<'a> {
    script: &'a Script,
    frames: usize,
    /// The frames that say what becomes of each stream.
    streams: HashMap<u32, Answer>,
    confirmed: bool,
    closed: bool,
}

#[derive(Debug, Default)]
struct Answer {
    heads: usize,
    content: Vec<u8>,
    ended: bool,
    reset: bool,
}

impl<'a> Client<'a> {
    fn new(script: &'a Script) -> Self {
        Self { script, frames: 0, streams: HashMap::new(), confirmed: false, closed: false }
    }

    /// Whether nothing else need come.
    fn is_content(&self) -> bool {
        let is_over = |number| self.streams.get(&number).is_some_and(|it| it.ended || it.reset);
        let mut answered = self.script.answered();
        self.closed
            || self.confirmed && (self.script.odd || answered.all(|(number, _)| is_over(number)))
    }

    fn take(&mut self, frame: &Frame) {
        self.frames += 1;
        assert!(frame.payload.len() <= LARGEST, "a frame of {} bytes", frame.payload.len());
        match frame.kind {
            kind::PING => self.confirmed |= frame.payload == b"the last",
            kind::GOAWAY => self.closed = true,
            kind::HEADERS | kind::DATA | kind::RST_STREAM | kind::CONTINUATION => {
                assert_eq!(frame.stream % 2, 1, "{frame:?}");
                let answer = self.streams.entry(frame.stream).or_default();
                let is_reset = frame.kind == kind::RST_STREAM;
                assert!(is_reset || !(answer.ended || answer.reset), "after the end: {frame:?}");
                answer.reset |= is_reset;
                answer.heads += usize::from(frame.kind == kind::HEADERS);
                if frame.kind == kind::DATA {
                    answer.content.extend_from_slice(&frame.payload);
                }
                answer.ended |= !is_reset && frame.flags & flag::END_STREAM != 0;
            }
            _ => {}
        }
    }

    fn check(&self) {
        // Nobody gets more frames out of the proxy than a few for each that he sends.
        let most = 4 * self.script.frames.len() + 16;
        assert!(self.frames <= most, "{} frames for {}", self.frames, self.script.frames.len());
        let is_served = self.confirmed && !self.closed;
        assert!(!self.script.is_abuse() || !is_served, "served all the same: {:?}", self.script);
        if self.script.odd {
            return;
        }
        assert!(is_served, "the connection was closed: {:?}", self.script);
        for (number, request) in self.script.answered() {
            let answer = &self.streams[&number];
            let content: &[u8] = if request.method == b"HEAD" { b"" } else { b"ok" };
            let is_right = answer.ended && answer.content == content && answer.heads == 1;
            assert!(is_right, "{number}: {answer:?} to {request:?}");
        }
    }
}

/// Each request that was seen is one of those that were meant, once.
fn compare(seen: &[Request], script: &Script) {
    let mut left: HashMap<&[u8], (&Request, Option<usize>)> =
        script.meant().map(|meant| (&meant.0.target[..], meant)).collect();
    for one in seen {
        let Some((meant, announced)) = left.remove(&one.target[..]) else {
            panic!("the origin saw {one:?}\nin {script:?}");
        };
        let is_all =
            announced == Some(one.content.len()) || meant.complete && one.content == meant.content;
        let is_same = one.method == meant.method
            && meant.content.starts_with(&one.content)
            && (!one.complete || is_all);
        assert!(is_same, "the origin saw {one:?}\nof {meant:?}\nin {script:?}");
    }
    if !script.odd {
        for (_, request) in script.answered() {
            assert!(seen.contains(request), "the origin did not see {request:?}");
        }
    }
}
