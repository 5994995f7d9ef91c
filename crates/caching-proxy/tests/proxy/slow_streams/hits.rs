//! A thousand slow readers of one large body that is on disk, each somewhere else in it, or of one that
//! is in memory.

use socket2::SockRef;
use testkit::frames::{Frame, PREFACE, kind};
use tokio::net::TcpSocket;

use super::*;

/// The body.
#[derive(Clone, Copy)]
struct Stored {
    length: usize,
    /// What the reader that begins last has to read: each has a long way to go.
    rest: usize,
    memory: &'static str,
}

const ON_DISK: Stored = Stored { length: 24 << 20, rest: 4 << 20, memory: "8MiB" };
const IN_MEMORY: Stored = Stored { length: 1 << 20, rest: 1 << 20, memory: "64MiB" };
/// Bytes of a segment, as for clients far away: for larger ones the system has larger buffers.
const SEGMENT: u32 = 1400;
/// What each takes at a time...
const SIP: usize = 16 << 10;
/// ...and how often, after the first time.
const ROUNDS: usize = 1;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An origin that is asked for the body once.
async fn origin(listener: TcpListener, length: usize) {
    let (mut stream, _) = listener.accept().await.unwrap();
    head(&mut stream).await;
    let fields = format!("Cache-Control: max-age=3600\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}").as_bytes()).await.unwrap();
    for _ in 0..length / PIECE.len() {
        stream.write_all(&PIECE).await.unwrap();
    }
    // Until the proxy is stopped.
    let _ = stream.read_u8().await;
}

async fn ask(stream: &mut impl Stream, range: &str) -> String {
    let ask = format!("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    head(stream).await
}

async fn take(stream: &mut impl Stream, mut left: usize) {
    let mut buf = vec![0; 16 << 10];
    while left > 0 {
        let most = left.min(buf.len());
        left -= stream.read_exact(&mut buf[..most]).await.unwrap();
    }
}

/// Has the body stored: as soon as it is, a range of it is a hit.
async fn store(mut stream: Box<dyn Stream>, length: usize) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    head(&mut stream).await;
    take(&mut stream, length).await;
    for _ in 0..600 {
        let is_hit = ask(&mut stream, "0-0").await.contains("X-Cache: HIT");
        take(&mut stream, 1).await;
        if is_hit {
            return;
        }
        sleep(millis(100)).await;
    }
    panic!("the body is not stored");
}

/// Asks by HTTP/2, and lets everything come as fast as it can.
async fn ask_http2(stream: &mut impl Stream, range: &str) {
    let window = 1_u32 << 30;
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    let fields = [":method", ":scheme", ":authority", ":path", "range"];
    let fields: Vec<_> = fields.into_iter().zip(["GET", "http", "a", "/", range]).collect();
    let frames = [
        Frame::new(kind::SETTINGS, 0, 0).with(settings),
        Frame::new(kind::WINDOW_UPDATE, 0, 0).with(window.to_be_bytes()),
        Frame::headers(1, true, &fields),
    ];
    stream.write_all(PREFACE).await.unwrap();
    for frame in frames {
        stream.write_all(&frame.bytes()).await.unwrap();
    }
}

async fn connect(proxy: SocketAddr, connector: Option<TlsConnector>) -> Box<dyn Stream> {
    let socket = TcpSocket::new_v4().unwrap();
    SockRef::from(&socket).set_tcp_mss(SEGMENT).unwrap();
    let tcp = socket.connect(proxy).await.unwrap();
    narrow(&tcp);
    match connector {
        Some(connector) => Box::new(tls::secure(&connector, tcp).await),
        None => Box::new(tcp),
    }
}

/// A reader from `start` on, who has taken a little.
async fn reader(
    proxy: SocketAddr,
    connector: Option<TlsConnector>,
    by: By,
    start: usize,
) -> Box<dyn Stream> {
    let mut stream = connect(proxy, connector).await;
    let range = format!("{start}-");
    if by == By::Lines {
        ask_http2(&mut stream, &format!("bytes={range}")).await;
    } else {
        let head = ask(&mut stream, &range).await;
        assert!(head.starts_with("HTTP/1.1 206 ") && head.contains("X-Cache: HIT"), "{head}");
    }
    take(&mut stream, SIP).await;
    stream
}

/// The most that the proxy takes for all of them, in MiB.
async fn crowd(stored: Stored, by: By, front: Option<&tls::Front>) -> Option<u64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(origin(listener, stored.length));
    let args =
        ["--memory", stored.memory, "--disk", "256MiB", "--write-timeout", "5m", "--workers", "2"];
    let secure = front.map(tls::Front::args).unwrap_or_default();
    let secure: Vec<_> = secure.iter().map(String::as_str).collect();
    let mut proxy = Proxy::at(&url, &[&args[..], &secure].concat());
    let port = if front.is_some() { tls::port(&proxy) } else { proxy.address().1 };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connector = || front.map(tls::Front::connector);
    store(connect(address, connector()).await, stored.length).await;
    let mut readers = Vec::new();
    for number in 0..EACH {
        let start = number * ((stored.length - stored.rest) / EACH);
        readers.push(tokio::spawn(reader(address, connector(), by, start)));
        if number % 50 == 0 {
            sleep(millis(1)).await;
        }
    }
    for _ in 0..ROUNDS {
        let mut next = Vec::new();
        for reader in readers {
            let mut stream = reader.await.unwrap();
            next.push(tokio::spawn(async move {
                take(&mut stream, SIP).await;
                stream
            }));
        }
        readers = next;
    }
    for reader in &mut readers {
        reader.await.unwrap();
    }
    peak(proxy.binary().pid())
}

fn take_less_than(most: u64, stored: Stored, by: By, front: Option<&tls::Front>) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    testkit::raise_file_limit();
    check(run(crowd(stored, by, front)), most);
}

#[test]
fn a_thousand_slow_readers_of_what_is_on_disk_take_less_than_64_mib() {
    take_less_than(MOST, ON_DISK, By::Length, None);
}

#[test]
fn also_by_tls_but_for_a_record_of_each_reader() {
    let front = tls::Front::new(b"http/1.1");
    take_less_than(114, ON_DISK, By::Length, Some(&front));
}

#[test]
fn also_by_http2_but_for_the_buffers_of_each_connection() {
    take_less_than(140, ON_DISK, By::Lines, None);
}

#[test]
fn also_of_what_is_in_memory_by_tls() {
    let front = tls::Front::new(b"http/1.1");
    take_less_than(114, IN_MEMORY, By::Length, Some(&front));
}
