//! Bodies on their way to the disk, whose origins or readers are slow, and one of which nobody is.

use super::*;

/// What each body is announced to be: too much for memory.
const WHOLE: usize = 4 << 20;
/// What comes of it before the origin pauses: less than is written at once.
const BEGUN: usize = 250_000;
/// What comes of one whose origin does not.
const FAST: usize = 64 << 20;

/// An origin that sends some of what it is asked for, or all.
async fn origin(listener: TcpListener, all: Arc<Progress>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let all = Arc::clone(&all);
        tokio::spawn(async move {
            let is_fast = head(&mut stream).await.starts_with("GET /fast ");
            let (length, sent) = if is_fast { (FAST, FAST) } else { (WHOLE, BEGUN) };
            let fields = format!("Cache-Control: max-age=60\r\nContent-Length: {length}\r\n\r\n");
            let head = format!("HTTP/1.1 200 OK\r\n{fields}");
            stream.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..sent / PIECE.len() {
                stream.write_all(&PIECE).await.unwrap();
            }
            all.under_way.fetch_add(1, Ordering::Relaxed);
            // Until the proxy is stopped.
            let _ = stream.read_u8().await;
        });
    }
}

/// A client that takes so much, and holds on.
async fn taken(proxy: SocketAddr, path: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    let mut buf = vec![0; 64 << 10];
    let mut left = length;
    while left > 0 {
        let most = left.min(buf.len());
        left -= stream.read_exact(&mut buf[..most]).await.unwrap();
    }
    stream
}

/// The most that the proxy takes for all of them, in MiB.
async fn crowd() -> Option<u64> {
    let all = Arc::new(Progress::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(origin(listener, Arc::clone(&all)));
    let patience = ["--between-bytes-timeout", "5m", "--write-timeout", "5m"];
    let args = ["--memory", "8MiB", "--disk", "8GiB", "--origin-connections", "4096"];
    let mut proxy = Proxy::at(&url, &[&args[..], &patience].concat());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.address().1));
    let mut clients = Vec::new();
    for number in 0..EACH {
        clients.push(tokio::spawn(async move { taken(address, &format!("/{number}"), SIP).await }));
        while all.under_way.load(Ordering::Relaxed) + 50 <= number {
            sleep(millis(1)).await;
        }
    }
    for client in &mut clients {
        client.await.unwrap();
    }
    taken(address, "/fast", FAST).await;
    peak(proxy.binary().pid())
}

#[test]
fn bodies_on_their_way_to_the_disk_take_as_little_whoever_is_slow() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    testkit::raise_file_limit();
    check(run(crowd()), MOST);
}
