//! Bodies that fit memory, and clients that are slow to take them: from the disk, from the origin,
//! and from memory that has given them up meanwhile.

use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use socket2::SockRef;
use tempfile::TempDir;
use testkit::Launch;
use tokio::io::BufReader;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::count;

/// Bytes of a TCP segment, as for clients far away: for larger ones the system has larger buffers.
const SEGMENT: u32 = 1400;
/// What a slow client takes at a time.
const SIP: usize = 16 << 10;
/// Bytes that the system is to hold for each of them on both sides: by itself it takes so much that
/// the proxy has nothing of a short body any more.
const NARROW: u32 = 16 << 10;
/// Clients that begin at once: the proxy has to accept them all.
const AT_ONCE: usize = 4;
/// By how much each body is another part of [`BYTES`] than the one before: no whole block of it is
/// where the same bytes are in another one.
const SHIFT: usize = 1009;
/// The longest body, and how many there are.
const LONGEST: usize = 1 << 20;
const BODIES: usize = 1 << 13;

/// All bodies are parts of these.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let length = LONGEST + BODIES * SHIFT;
    let mut bytes = Vec::with_capacity(length + 8);
    for at in 1..=length as u64 / 8 + 1 {
        bytes.extend_from_slice(&at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    }
    bytes
});

/// What is asked for.
#[derive(Clone, Copy)]
struct Wanted {
    number: usize,
    length: usize,
}

impl Wanted {
    fn path(self) -> String {
        format!("/{}/{}", self.number, self.length)
    }

    fn of(head: &str) -> Self {
        let numbers: Vec<_> = head.split([' ', '/']).flat_map(str::parse).collect();
        Self { number: numbers[0], length: numbers[1] }
    }

    fn body(self) -> &'static [u8] {
        &BYTES[self.number * SHIFT..][..self.length]
    }
}

/// An origin that sends each body as fast as it can.
async fn origin(listener: TcpListener, by: By, all: Arc<Progress>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        narrow(&stream);
        let mut stream = BufReader::new(stream);
        let all = Arc::clone(&all);
        tokio::spawn(async move {
            let wanted = Wanted::of(&head(&mut stream).await);
            let framing = match by {
                By::Chunks => "Transfer-Encoding: chunked".to_owned(),
                _ => format!("Content-Length: {}", wanted.length),
            };
            let fields = format!("Cache-Control: max-age=3600\r\nConnection: close\r\n{framing}");
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            for piece in wanted.body().chunks(SIP) {
                let sent = match by {
                    By::Chunks => {
                        let size = format!("{:x}\r\n", piece.len());
                        stream.write_all(&[size.as_bytes(), piece, b"\r\n"].concat()).await
                    }
                    _ => stream.write_all(piece).await,
                };
                sent.unwrap();
                all.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            if by == By::Chunks {
                stream.write_all(b"0\r\n\r\n").await.unwrap();
            }
        });
    }
}

type Stream = BufReader<TcpStream>;

async fn connect(proxy: SocketAddr) -> Stream {
    let socket = TcpSocket::new_v4().unwrap();
    SockRef::from(&socket).set_tcp_mss(SEGMENT).unwrap();
    // Afterwards it is too late: the system has told how much may come.
    socket.set_recv_buffer_size(NARROW).unwrap();
    BufReader::with_capacity(4 << 10, socket.connect(proxy).await.unwrap())
}

/// A client, and how far it is.
struct Reader {
    stream: Stream,
    wanted: Wanted,
    is_hit: bool,
    at: usize,
    /// What is left of a chunk, if the body comes in chunks.
    chunk: Option<usize>,
}

impl Reader {
    async fn ask(mut stream: Stream, wanted: Wanted) -> Self {
        let ask = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", wanted.path());
        stream.write_all(ask.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let is_chunked = head.contains("Transfer-Encoding: chunked\r\n");
        let announced = format!("Content-Length: {}\r\n", wanted.length);
        assert!(is_chunked || head.contains(&announced), "{head}");
        let is_hit = head.contains("X-Cache: HIT\r\n");
        Self { stream, wanted, is_hit, at: 0, chunk: is_chunked.then_some(0) }
    }

    /// Takes so much more of it, which is what the origin has sent.
    async fn take(&mut self, count: usize) {
        let (path, body, mut buf) = (self.wanted.path(), self.wanted.body(), vec![0; SIP]);
        let end = self.at + count;
        while self.at < end {
            if self.chunk == Some(0) {
                self.chunk = Some(self.next_chunk().await);
            }
            let most = (end - self.at).min(self.chunk.unwrap_or(SIP)).min(SIP);
            let taken = self.stream.read(&mut buf[..most]).await.unwrap();
            assert!(taken > 0, "{path} ends at {}", self.at);
            assert!(body[self.at..].starts_with(&buf[..taken]), "{path} is wrong from {}", self.at);
            self.at += taken;
            if let Some(left) = &mut self.chunk {
                *left -= taken;
                if *left == 0 {
                    self.line_end().await;
                }
            }
        }
    }

    /// The size of the chunk that begins here.
    async fn next_chunk(&mut self) -> usize {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(self.stream.read_u8().await.unwrap().into());
        }
        usize::from_str_radix(line.trim_end(), 16).unwrap()
    }

    async fn line_end(&mut self) {
        assert_eq!(self.stream.read_u16().await.unwrap().to_be_bytes(), *b"\r\n");
    }

    /// Takes the rest, behind which nothing is left.
    async fn finish(&mut self) {
        self.take(self.wanted.length - self.at).await;
        if self.chunk.is_some() {
            assert_eq!(self.next_chunk().await, 0);
            self.line_end().await;
        }
    }

    /// The same, and nothing else comes.
    async fn end(mut self) {
        self.finish().await;
        self.stream.shutdown().await.unwrap();
        let end = self.stream.read(&mut [0]).await.unwrap();
        assert_eq!(end, 0, "{} is too long", self.wanted.path());
    }
}

/// Opens the socket to listen to, with such a buffer for what each connection sends, and becomes the
/// program in its arguments.
const SUPERVISOR: &str = r#"
    use IO::Socket::INET;
    use Socket;
    $^F = 100;
    my $narrow = shift(@ARGV);
    my $socket = IO::Socket::INET->new(Listen => 128, LocalAddr => "127.0.0.1", Proto => "tcp");
    fileno($socket) == 3 or die;
    setsockopt($socket, SOL_SOCKET, SO_SNDBUF, pack("i", $narrow)) or die;
    $ENV{LISTEN_FDS} = 1;
    $ENV{LISTEN_PID} = $$;
    exec(@ARGV) or die;
"#;

fn launch(origin: String, args: &[&str]) -> Proxy {
    let directory = TempDir::new().unwrap();
    let launch = Launch::new("perl")
        .args(["-e", SUPERVISOR, &NARROW.to_string(), env!("CARGO_BIN_EXE_caching-proxy")])
        .args(["--origin", &origin, "--cache-dir"])
        .arg(directory.path().join("cache"))
        .args(args);
    Proxy { binary: Some(launch.start()), directory, origin, args: Vec::new() }
}

/// A proxy, and what it is asked for.
struct Site {
    proxy: Proxy,
    address: SocketAddr,
    all: Arc<Progress>,
}

impl Site {
    async fn start(by: By, args: &[&str]) -> Self {
        let all = Arc::new(Progress::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(origin(listener, by, Arc::clone(&all)));
        let patience = ["--write-timeout", "5m", "--between-bytes-timeout", "5m"];
        let usual =
            ["--first-byte-timeout", "5m", "--origin-connections", "4096", "--workers", "2"];
        let proxy = launch(url, &[&patience[..], &usual, args].concat());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.address().1));
        Self { proxy, address, all }
    }

    /// Has all of them stored on disk, by a client that is quick.
    async fn store(&self, bodies: impl Iterator<Item = Wanted>) {
        let (mut stream, mut many) = (connect(self.address).await, 0);
        for wanted in bodies {
            stream = quick(stream, wanted).await.0;
            many += 1;
            if many % 16 == 0 {
                self.written(many).await;
            }
        }
        self.written(many).await;
    }

    /// Waits until so many are on disk.
    async fn written(&self, many: u64) {
        self.counts("store.disk_entries", many).await;
        self.counts("store.queued_bytes", 0).await;
    }

    /// Waits until it counts so many of them.
    async fn counts(&self, name: &str, number: u64) {
        for _ in 0..6_000 {
            if count(&self.proxy, name) == number {
                return;
            }
            sleep(millis(10)).await;
        }
        panic!("{name} is {}, not {number}", count(&self.proxy, name));
    }

    /// A client for each of these, which takes a little.
    async fn begin(&self, bodies: impl Iterator<Item = Wanted>) -> Vec<Reader> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut readers = JoinSet::new();
        for wanted in bodies {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let (address, all) = (self.address, Arc::clone(&self.all));
            readers.spawn(async move {
                let mut reader = Reader::ask(connect(address).await, wanted).await;
                reader.take(SIP).await;
                all.under_way.fetch_add(1, Ordering::Relaxed);
                drop(place);
                reader
            });
        }
        readers.join_all().await
    }

    /// The most that the process has taken, with the files that it has in memory now, in MiB.
    fn peak(&mut self) -> Option<u64> {
        let pid = self.proxy.binary().pid();
        Some(peak(pid)? + files(pid))
    }
}

/// All of it at once; and whether it was a hit.
async fn quick(stream: Stream, wanted: Wanted) -> (Stream, bool) {
    let mut reader = Reader::ask(stream, wanted).await;
    reader.finish().await;
    (reader.stream, reader.is_hit)
}

fn hits(readers: &[Reader]) -> usize {
    readers.iter().filter(|reader| reader.is_hit).count()
}

/// What files in memory that the process has open take, in MiB: they are not resident in it.
fn files(pid: u32) -> u64 {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let paths = open.map(|file| file.path());
    let in_memory = paths.filter(|path| {
        fs::read_link(path).is_ok_and(|name| name.to_string_lossy().starts_with("/memfd:"))
    });
    let blocks = in_memory.filter_map(|path| Some(fs::metadata(path).ok()?.blocks()));
    blocks.sum::<u64>() >> 11
}

/// Everyone takes a little more.
async fn go_on(readers: Vec<Reader>) -> Vec<Reader> {
    let more = readers.into_iter().map(async |mut reader| {
        reader.take(SIP).await;
        reader
    });
    more.collect::<JoinSet<_>>().join_all().await
}

/// Everyone takes the rest.
async fn end(readers: Vec<Reader>) {
    readers.into_iter().map(Reader::end).collect::<JoinSet<_>>().join_all().await;
}

/// What may be stored in memory, in MiB, and what may wait to be written, as far as these bodies do: it
/// takes that beside what is for slow clients.
const MEMORY: u64 = 8;
const UNWRITTEN: u64 = 16;

/// A thousand clients, each of which wants one of so many bodies of such a length.
struct Crowd {
    bodies: usize,
    length: usize,
    by: By,
    /// Whether all are on disk before.
    stored: bool,
    args: &'static [&'static str],
}

const HITS: Crowd = Crowd {
    bodies: EACH,
    length: 200 << 10,
    by: By::Length,
    stored: true,
    args: &["--memory", "8MiB", "--disk", "512MiB"],
};
const MISSES: Crowd = Crowd { length: 400 << 10, stored: false, ..HITS };
const CHUNKED: Crowd = Crowd { length: 120 << 10, by: By::Chunks, ..MISSES };
const NO_DISK: &[&str] = &["--memory", "8MiB", "--no-disk"];

impl Crowd {
    /// What the proxy takes at the most while they are slow, and in the end.
    async fn peaks(self) -> [Option<u64>; 2] {
        let mut site = Site::start(self.by, self.args).await;
        let wanted = |number| Wanted { number: number % self.bodies, length: self.length };
        if self.stored {
            site.store((0..self.bodies).map(wanted)).await;
        }
        let readers = site.begin((0..EACH).map(wanted)).await;
        assert_eq!(hits(&readers), if self.stored { EACH } else { 0 });
        let readers = go_on(readers).await;
        site.all.settle(EACH).await;
        let ended = if self.stored { self.bodies as u64 } else { 0 };
        assert!(
            count(&site.proxy, "requests") <= ended,
            "the system holds all that is left of some"
        );
        let slow = site.peak();
        end(readers).await;
        [slow, site.peak()]
    }

    fn takes_little(self) {
        self.takes_little_beside(MEMORY);
    }

    fn takes_little_beside(self, others: u64) {
        takes_less_than(MOST + others, self.peaks());
    }
}

fn takes_less_than(most: u64, peaks: impl Future<Output = [Option<u64>; 2]>) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    testkit::raise_file_limit();
    for peak in run(peaks) {
        check(peak, most);
    }
}

#[test]
fn a_thousand_slow_readers_of_records_take_less_than_64_mib() {
    HITS.takes_little();
}

#[test]
fn also_of_bodies_with_a_file_and_some_readers_each() {
    Crowd { bodies: EACH / 5, length: 500 << 10, ..HITS }.takes_little();
}

#[test]
fn also_of_what_is_fetched_for_them() {
    MISSES.takes_little();
}

#[test]
fn also_where_nobody_knew_its_length() {
    CHUNKED.takes_little_beside(MEMORY + UNWRITTEN);
}

#[test]
fn also_of_what_is_fetched_for_them_without_a_disk() {
    Crowd { args: NO_DISK, ..MISSES }.takes_little();
}

#[test]
fn also_where_nobody_knew_its_length_without_a_disk() {
    Crowd { args: NO_DISK, ..CHUNKED }.takes_little();
}

/// Bodies that memory gives up while they are read; without a disk no more than it still takes in with
/// what it has given up. And how many read each.
const GIVEN_UP: usize = 100;
const GIVEN_UP_FOR_GOOD: usize = 40;
const SHARED_BY: usize = 2;
/// What the process may take for that with 64 MiB of memory, in MiB: a quarter more, the 8 MiB that they
/// may hold anyway, and the program. Without a disk there is none of what is read from there.
const MOST_GIVEN_UP: u64 = 120;
const MOST_GIVEN_UP_FOR_GOOD: u64 = 100;
/// Bytes of what comes after them, and how much of that.
const AFTER: usize = 16 << 10;
const MANY_AFTER: usize = (80 << 20) / AFTER;

async fn given_up(bodies: usize, args: &[&str]) -> [Option<u64>; 2] {
    let mut site = Site::start(By::Length, args).await;
    let mut stream = connect(site.address).await;
    let mut readers = Vec::new();
    let large = |number| Wanted { number, length: LONGEST };
    for wanted in (0..bodies).map(large) {
        for _ in 0..100 {
            site.counts("store.queued_bytes", 0).await;
            let is_hit;
            (stream, is_hit) = quick(stream, wanted).await;
            if is_hit {
                break;
            }
        }
        readers.extend(site.begin([wanted; SHARED_BY].into_iter()).await);
    }
    assert_eq!(hits(&readers), bodies * SHARED_BY);
    for number in bodies..bodies + MANY_AFTER {
        if number % 64 == 0 {
            // What waits to be written is not what is measured, and no connection lives for ever.
            site.counts("store.queued_bytes", 0).await;
            stream = connect(site.address).await;
        }
        // What is hit stays: what was there before has to go.
        for _ in 0..2 {
            stream = quick(stream, Wanted { number, length: AFTER }).await.0;
        }
    }
    let readers = go_on(readers).await;
    let lent = count(&site.proxy, "store.lent_bytes");
    assert!(lent > 20 << 20, "{lent} bytes are given up under readers");
    let slow = site.peak();
    end(readers).await;
    let peaks = [slow, site.peak()];
    let again = site.begin((0..bodies).map(large)).await;
    if args.contains(&"--no-disk") {
        assert!(hits(&again) < bodies / 2, "memory has not given them up");
    }
    end(again).await;
    peaks
}

#[test]
fn what_memory_gives_up_while_it_is_read_takes_little_more_than_memory() {
    takes_less_than(MOST_GIVEN_UP, given_up(GIVEN_UP, &["--memory", "64MiB", "--disk", "512MiB"]));
}

#[test]
fn also_without_a_disk() {
    takes_less_than(
        MOST_GIVEN_UP_FOR_GOOD,
        given_up(GIVEN_UP_FOR_GOOD, &["--memory", "64MiB", "--no-disk"]),
    );
}
