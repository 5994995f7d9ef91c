//! Thousands of large bodies on their way at once, all slower than who sends them: what the process
//! takes for that is bounded.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::{Proxy, millis};

mod disk;
mod hits;
mod http2;
mod short;
mod tls;

/// Bodies in each direction.
const EACH: usize = 1_000;
/// What each body is announced to be.
const LENGTH: u64 = 100 << 20;
/// What a slow side takes at a time.
const SIP: usize = 64 << 10;
/// What the process may take for all of it, in MiB.
const MOST: u64 = 64;

static PIECE: [u8; 16 << 10] = [b'x'; 16 << 10];

/// How the bodies are on their way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Each on a connection of its own, with its length announced.
    Length,
    /// The same, and nobody knows how long they are.
    Chunks,
    /// By HTTP/2, many on each connection.
    Streams,
    /// By HTTP/2, each on a connection of its own.
    Lines,
}

impl By {
    const fn is_http2(self) -> bool {
        matches!(self, Self::Streams | Self::Lines)
    }

    /// The field that frames a body by HTTP/1.1.
    fn framing(self) -> String {
        match self {
            Self::Chunks => "Transfer-Encoding: chunked".to_owned(),
            _ => format!("Content-Length: {LENGTH}"),
        }
    }

    /// What is sent of it again and again.
    fn piece(self) -> Vec<u8> {
        match self {
            Self::Chunks => [b"4000\r\n", &PIECE[..], b"\r\n"].concat(),
            _ => PIECE.to_vec(),
        }
    }
}

/// How far both sides of the proxy are.
#[derive(Default)]
struct Progress {
    /// Bytes that anyone could send.
    sent: AtomicU64,
    /// Bodies that are on their way to or from the origin.
    under_way: AtomicUsize,
    /// Bodies that have ended.
    ended: AtomicUsize,
}

impl Progress {
    /// Waits until so many are under way and nobody can send any more.
    async fn settle(&self, all: usize) {
        let (mut before, mut quiet) = (u64::MAX, 0);
        for _ in 0..1_200 {
            sleep(millis(100)).await;
            let sent = self.sent.load(Ordering::Relaxed);
            quiet = if sent == before { quiet + 1 } else { 0 };
            // On a busy machine nothing may happen for a moment.
            if quiet >= 3 && self.under_way.load(Ordering::Relaxed) == all {
                return;
            }
            before = sent;
        }
        let under_way = self.under_way.load(Ordering::Relaxed);
        panic!("{under_way} of {all} are under way, or someone can still send");
    }
}

/// Sends as fast as it can.
async fn pour(stream: &mut (impl AsyncWrite + Unpin), by: By, progress: &Progress) {
    let piece = by.piece();
    let (mut left, mut at) = (LENGTH, 0);
    while left > 0 {
        let Ok(count) = stream.write(&piece[at..]).await else { break };
        progress.sent.fetch_add(count as u64, Ordering::Relaxed);
        at = (at + count) % piece.len();
        left = left.saturating_sub(count as u64);
    }
    progress.ended.fetch_add(1, Ordering::Relaxed);
}

/// Takes a little each time that it is told to, and then nothing more.
async fn sip(stream: &mut (impl AsyncRead + Unpin), mut told: watch::Receiver<u32>) {
    let mut buf = vec![0; 4096];
    while told.changed().await.is_ok() {
        let mut taken = 0;
        while taken < SIP {
            match stream.read(&mut buf).await {
                Ok(count) if count > 0 => taken += count,
                _ => panic!("a body ended early"),
            }
        }
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Small buffers in the system: what fills is what the proxy has.
fn narrow(stream: &TcpStream) {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
    set_socket_recv_buffer_size(stream, 16 << 10).unwrap();
    set_socket_send_buffer_size(stream, 16 << 10).unwrap();
}

/// An origin that pours out what it is asked for, and sips what it is sent.
async fn origin(
    listener: TcpListener,
    fields: &'static str,
    by: By,
    told: watch::Receiver<u32>,
    all: Arc<Progress>,
) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        narrow(&stream);
        let (told, all) = (told.clone(), Arc::clone(&all));
        tokio::spawn(async move {
            let head = head(&mut stream).await;
            all.under_way.fetch_add(1, Ordering::Relaxed);
            if head.starts_with("PUT") {
                return sip(&mut stream, told).await;
            }
            let head = format!("HTTP/1.1 200 OK\r\n{fields}{}\r\n\r\n", by.framing());
            stream.write_all(head.as_bytes()).await.unwrap();
            pour(&mut stream, by, &all).await;
        });
    }
}

/// A connection of a client, on which it is told how far it may go.
struct Client {
    number: usize,
    by: By,
    told: watch::Receiver<u32>,
    all: Arc<Progress>,
}

impl Client {
    async fn run(self, proxy: SocketAddr, connector: Option<TlsConnector>) {
        let stream = TcpStream::connect(proxy).await.unwrap();
        narrow(&stream);
        match connector {
            Some(connector) => {
                self.exchange("https", tls::secure(&connector, stream).await).await;
            }
            None => self.exchange("http", stream).await,
        }
    }

    async fn exchange(self, scheme: &'static str, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Self { number, by, told, all } = self;
        if by.is_http2() {
            http2::line(stream, number, by, scheme, told, all).await;
        } else if number.is_multiple_of(2) {
            let ask = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(ask.as_bytes()).await.unwrap();
            let head = head(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            sip(&mut stream, told).await;
        } else {
            let ask = format!("PUT /{number} HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", by.framing());
            stream.write_all(ask.as_bytes()).await.unwrap();
            pour(&mut stream, by, &all).await;
        }
    }
}

/// The most that the process has taken, in MiB; `None` where the system does not tell.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? >> 10)
}

/// The most that the proxy takes for all of them, in MiB; by TLS with this front.
async fn crowd(
    fields: &'static str,
    by: By,
    front: Option<&tls::Front>,
    args: &[&str],
) -> Option<u64> {
    let (tell, told) = watch::channel(0);
    let all = Arc::new(Progress::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(origin(listener, fields, by, told.clone(), Arc::clone(&all)));
    let usual = ["--memory", "8MiB", "--origin-connections", "4096", "--workers", "2"];
    // However slow the machine is: nobody's patience is what is measured.
    let patience = ["--connect-timeout", "--write-timeout", "--client-body-timeout"];
    let patience = patience.iter().chain(&["--first-byte-timeout", "--between-bytes-timeout"]);
    let patience = patience.flat_map(|option| [*option, "5m"]);
    let usual = usual.into_iter().chain(patience).collect::<Vec<_>>();
    let secure = front.map(tls::Front::args).unwrap_or_default();
    let secure: Vec<_> = secure.iter().map(String::as_str).collect();
    let mut proxy = Proxy::at(&url, &[&usual, &secure, args].concat());
    let port = if front.is_some() { tls::port(&proxy) } else { proxy.address().1 };
    let many = if by == By::Streams { http2::LINES } else { 2 * EACH };
    for number in 0..many {
        let client = Client { number, by, told: told.clone(), all: Arc::clone(&all) };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        tokio::spawn(client.run(address, front.map(tls::Front::connector)));
        // In small groups: this one thread has to accept them all, too.
        while all.under_way.load(Ordering::Relaxed) + 50 <= number * (2 * EACH / many) {
            sleep(millis(1)).await;
        }
    }
    all.settle(2 * EACH).await;
    // What has been taken makes room for more.
    let rounds = if by == By::Length { 3 } else { 1 };
    for round in 1..=rounds {
        tell.send(round).unwrap();
        all.settle(2 * EACH).await;
    }
    assert_eq!(all.ended.load(Ordering::Relaxed), 0, "all are still under way");
    peak(proxy.binary().pid())
}

/// One crowd at a time.
static TURN: Mutex<()> = Mutex::new(());

fn run<T>(crowd: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(crowd)
}

fn check(peak: Option<u64>, most: u64) {
    match peak {
        Some(peak) => {
            println!("{peak} MiB");
            assert!(peak < most, "{peak} MiB");
        }
        None => println!("NOT compared: this system does not tell what a process takes"),
    }
}

fn takes_little(fields: &'static str, by: By, args: &[&str]) {
    takes_less_than(MOST, fields, by, None, args);
}

fn takes_less_than(
    most: u64,
    fields: &'static str,
    by: By,
    front: Option<&tls::Front>,
    args: &[&str],
) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    testkit::raise_file_limit();
    check(run(crowd(fields, by, front, args)), most);
}

const NOT_STORED: &str = "Cache-Control: no-store\r\n";

#[test]
fn a_thousand_slow_uploads_and_downloads_take_less_than_64_mib() {
    takes_little(NOT_STORED, By::Length, &["--no-disk"]);
}

#[test]
fn also_where_nobody_knows_how_long_they_are() {
    takes_little(NOT_STORED, By::Chunks, &["--no-disk"]);
}

#[test]
fn also_by_http2() {
    takes_little(NOT_STORED, By::Streams, &["--no-disk"]);
}

/// Each connection has buffers of the codec, and a client may send 64 KiB before it is told anything.
#[test]
fn also_by_http2_with_a_connection_each_but_for_what_that_takes() {
    takes_less_than(208, NOT_STORED, By::Lines, None, &["--no-disk"]);
}

#[test]
fn also_by_tls_but_for_a_record_of_each() {
    let front = tls::Front::new(b"http/1.1");
    takes_less_than(114, NOT_STORED, By::Length, Some(&front), &["--no-disk"]);
}

#[test]
fn also_by_http2_inside_tls_but_for_both() {
    let front = tls::Front::new(b"h2");
    takes_less_than(240, NOT_STORED, By::Lines, Some(&front), &["--no-disk"]);
}

#[test]
fn also_where_each_download_could_be_stored_but_for_its_size() {
    takes_little("Cache-Control: max-age=60\r\n", By::Length, &["--disk", "64MiB"]);
}
