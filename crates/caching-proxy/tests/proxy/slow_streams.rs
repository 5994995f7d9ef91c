//! Thousands of large bodies on their way at once, all slower than who sends them: what the process
//! takes for that is bounded.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::{Proxy, millis};

/// Bodies in each direction.
const EACH: usize = 1_000;
/// What each body is announced to be.
const LENGTH: u64 = 100 << 20;
/// What a slow side takes at a time.
const SIP: usize = 64 << 10;
/// What the process may take for all of it, in MiB.
const MOST: u64 = 64;

static PIECE: [u8; 16 << 10] = [b'x'; 16 << 10];

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
    /// Waits until all are under way and nobody can send any more.
    async fn settle(&self) {
        let mut before = u64::MAX;
        for _ in 0..1_200 {
            sleep(millis(100)).await;
            let sent = self.sent.load(Ordering::Relaxed);
            if sent == before && self.under_way.load(Ordering::Relaxed) == 2 * EACH {
                return;
            }
            before = sent;
        }
        let under_way = self.under_way.load(Ordering::Relaxed);
        panic!("{under_way} of {} are under way, or someone can still send", 2 * EACH);
    }
}

/// Sends as fast as it can.
async fn pour(stream: &mut TcpStream, progress: &Progress) {
    let mut left = LENGTH;
    while left > 0 {
        let Ok(count) = stream.write(&PIECE).await else { break };
        progress.sent.fetch_add(count as u64, Ordering::Relaxed);
        left = left.saturating_sub(count as u64);
    }
    progress.ended.fetch_add(1, Ordering::Relaxed);
}

/// Takes a little each time that it is told to, and then nothing more.
async fn sip(stream: &mut TcpStream, mut told: watch::Receiver<u32>) {
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

async fn head(stream: &mut TcpStream) -> String {
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
            let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {LENGTH}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            pour(&mut stream, &all).await;
        });
    }
}

async fn client(proxy: SocketAddr, number: usize, told: watch::Receiver<u32>, all: Arc<Progress>) {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    narrow(&stream);
    if number.is_multiple_of(2) {
        let ask = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        sip(&mut stream, told).await;
    } else {
        let ask = format!("PUT /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        pour(&mut stream, &all).await;
    }
}

/// The most that the process has taken, in MiB; `None` where the system does not tell.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? >> 10)
}

/// The most that the proxy takes for all of them, in MiB.
async fn crowd(fields: &'static str, args: &[&str]) -> Option<u64> {
    testkit::raise_file_limit();
    let (tell, told) = watch::channel(0);
    let all = Arc::new(Progress::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(origin(listener, fields, told.clone(), Arc::clone(&all)));
    let usual = ["--memory", "8MiB", "--origin-connections", "4096", "--workers", "2"];
    // However slow the machine is: nobody's patience is what is measured.
    let patience = ["--connect-timeout", "--write-timeout", "--client-body-timeout"];
    let patience = patience.iter().chain(&["--first-byte-timeout", "--between-bytes-timeout"]);
    let patience = patience.flat_map(|option| [*option, "5m"]);
    let usual = usual.into_iter().chain(patience).collect::<Vec<_>>();
    let mut proxy = Proxy::at(&url, &[&usual, args].concat());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.address().1));
    for number in 0..2 * EACH {
        tokio::spawn(client(address, number, told.clone(), Arc::clone(&all)));
        // In small groups: this one thread has to accept them all, too.
        while all.under_way.load(Ordering::Relaxed) + 50 <= number {
            sleep(millis(1)).await;
        }
    }
    all.settle().await;
    // What has been taken makes room for more, more than once.
    for round in 1..4 {
        tell.send(round).unwrap();
        all.settle().await;
    }
    assert_eq!(all.ended.load(Ordering::Relaxed), 0, "all are still under way");
    peak(proxy.binary().pid())
}

/// One crowd at a time.
static TURN: Mutex<()> = Mutex::new(());

fn takes_little(fields: &'static str, args: &[&str]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(crowd(fields, args)) {
        Some(peak) => {
            println!("{peak} MiB for {EACH} uploads and {EACH} downloads");
            assert!(peak < MOST, "{peak} MiB for {EACH} uploads and {EACH} downloads");
        }
        None => println!("NOT compared: this system does not tell what a process takes"),
    }
}

#[test]
fn a_thousand_slow_uploads_and_downloads_take_less_than_64_mib() {
    takes_little("Cache-Control: no-store\r\n", &["--no-disk"]);
}

#[test]
fn also_where_each_download_could_be_stored_but_for_its_size() {
    takes_little("Cache-Control: max-age=60\r\n", &["--disk", "64MiB"]);
}
