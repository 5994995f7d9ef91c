//! A crowd of clients that are slow in every way, and one that is not: alone in its program, so that
//! no other test is measured.

#![expect(clippy::disallowed_methods, reason = "tests measure real time")]
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use tempfile::TempDir;
use testkit::{Binary, Client, Launch, Origin};

/// Clients of each kind.
const EACH: usize = 250;
/// Each patience.
const LIMIT: &str = "4s";
/// Ninety-nine of a hundred hits of the client that is not slow take less.
const GOOD: Duration = Duration::from_millis(5);
/// The last are gone by then: who is still sending when it is told gets two seconds to hear it, and
/// the buffer that the system has for one who reads nothing may grow for a while.
const IN_TIME: Duration = Duration::from_secs(15);

/// A running proxy.
struct Proxy {
    binary: Binary,
    directory: TempDir,
}

impl Proxy {
    fn before(origin: &Origin) -> Self {
        let directory = TempDir::new().unwrap();
        let patience =
            ["--client-head-timeout", "--client-body-timeout", "--write-timeout", "--idle-timeout"];
        // Without a disk, whose checksums take their time in a build for tests.
        let launch = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
            .args(["--port", "0", "--origin", &origin.url(), "--no-disk", "--cache-dir"])
            .arg(directory.path())
            .args(patience.iter().flat_map(|name| [*name, LIMIT]));
        Self { binary: launch.start(), directory }
    }

    fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.binary.port())
    }

    /// Connections that are open.
    fn open(&self) -> usize {
        let mut socket = UnixStream::connect(self.directory.path().join("control.sock")).unwrap();
        socket.write_all(b"{\"command\":\"stats\"}\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["client_connections"]["open"].as_u64().unwrap() as usize
    }

    /// Its memory in KiB, without what is mapped from files.
    fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.binary.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn ok(body: &str) -> String {
    let fields = format!("Cache-Control: max-age=60\r\nContent-Length: {}", body.len());
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}")
}

fn is_hit(client: &mut Client, path: &str) -> bool {
    client.get(path).field("X-Cache") == Some("HIT")
}

struct Crowd {
    heads: Vec<TcpStream>,
    bodies: Vec<TcpStream>,
    /// Those who read nothing, and those who say nothing.
    _silent: [Vec<TcpStream>; 2],
}

impl Crowd {
    fn of(proxy: &Proxy) -> Self {
        let each = |text: &str| {
            let begin = |_| {
                let mut stream = TcpStream::connect(proxy.address()).unwrap();
                // So that a thousand of them do not use up what the system has for all.
                sockopt::set_socket_recv_buffer_size(&stream, 64 << 10).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
                stream.set_nonblocking(true).unwrap();
                stream
            };
            (0..EACH).map(begin).collect()
        };
        // More than the system takes for them.
        let readers = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(16);
        Self {
            heads: each("GET / HTTP/1.1\r\nHost: a\r\nX: "),
            bodies: each("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"),
            _silent: [each(&readers), each("")],
        }
    }

    /// One byte of each head and each body.
    fn drip(&mut self) {
        for stream in self.heads.iter_mut().chain(&mut self.bodies) {
            // One that has been cut takes no more.
            let _ = stream.write(b"x");
        }
    }

    /// What each head and body was answered with.
    fn answers(&mut self) -> (Vec<String>, Vec<String>) {
        let read = |stream: &mut TcpStream| {
            let mut answer = vec![0; 4096];
            match stream.read(&mut answer) {
                Ok(count) => String::from_utf8_lossy(&answer[..count]).into_owned(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => "nothing".to_owned(),
                Err(_) => String::new(),
            }
        };
        let heads = self.heads.iter_mut().map(read).collect();
        (heads, self.bodies.iter_mut().map(read).collect())
    }
}

/// The time below which all but one in a hundred of so many hits stay.
fn p99(client: &mut Client, requests: usize, mut between: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..requests)
        .map(|_| {
            between();
            let began = Instant::now();
            assert!(is_hit(client, "/"));
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[requests * 99 / 100]
}

#[test]
fn a_thousand_slow_clients_are_cut_in_time_and_harm_nobody() {
    testkit::raise_file_limit();
    let large = ok(&"x".repeat(1_000_000));
    let origin = Origin::start(move |request, conn| {
        let _ = conn.send(if request.target == "/large" { large.clone() } else { ok("small") });
    });
    let proxy = Proxy::before(&origin);
    let mut client = Client::connect(proxy.address());
    for path in ["/", "/large"] {
        assert!(testkit::eventually(|| is_hit(&mut client, path)), "{path}");
    }
    let before = proxy.memory();
    let mut crowd = Crowd::of(&proxy);
    let began = Instant::now();
    assert!(testkit::eventually(|| proxy.open() == 4 * EACH + 1));
    let taken = proxy.memory().saturating_sub(before) / (4 * EACH);
    assert!(taken <= 64, "{taken} KiB for each slow client");
    // The machine has other things to do: the best of some rounds is what the proxy is good for.
    let mut dripped = Instant::now();
    let mut round = || {
        p99(&mut client, 2000, || {
            if dripped.elapsed() > Duration::from_millis(400) {
                crowd.drip();
                dripped = Instant::now();
            }
        })
    };
    let mut rounds = vec![round()];
    while rounds.len() < 3 || (rounds.len() < 6 && rounds.iter().min() > Some(&GOOD)) {
        rounds.push(round());
    }
    assert!(rounds.iter().min() < Some(&GOOD), "{rounds:?}");
    while began.elapsed() < IN_TIME && proxy.open() > 1 {
        assert!(is_hit(&mut client, "/"));
        crowd.drip();
        sleep(Duration::from_millis(200));
    }
    assert_eq!(proxy.open(), 1);
    let gone = began.elapsed();
    println!("p99 {rounds:?}, {taken} KiB for each slow client, all cut after {gone:?}");
    let (heads, bodies) = crowd.answers();
    for answer in heads.iter().chain(&bodies) {
        // A reset may have overtaken the answer: their clients were still sending.
        assert!(answer.starts_with("HTTP/1.1 408 ") || answer.is_empty(), "{answer}");
    }
    let told = |answers: &[String]| answers.iter().filter(|answer| !answer.is_empty()).count();
    assert!(told(&heads) > EACH / 2 && told(&bodies) > EACH / 2);
    drop(crowd);
    assert!(is_hit(&mut client, "/large"));
}
