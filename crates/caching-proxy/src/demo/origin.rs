//! The built-in origin: as much HTTP/1.1 as the proxy in front of it needs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::page::page;

/// The proxy's heads are far smaller.
const LONGEST_HEAD: usize = 64 * 1024;
/// For each request, waiting for it included.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts it on a port of its own on loopback; it runs until the program ends. `now` gives
/// milliseconds since the Unix epoch.
pub(crate) fn start(now: fn() -> i64) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let named = thread::Builder::new().name("demo-origin".to_owned());
    named.spawn(move || runtime.block_on(accept(listener, now)))?;
    Ok(address)
}

async fn accept(listener: std::net::TcpListener, now: fn() -> i64) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, now))),
            // Out of file descriptors: without a rest this would spin.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Answers request after request until the peer is done or says something else than HTTP.
async fn serve(mut stream: TcpStream, now: fn() -> i64) {
    let mut unused = Vec::new();
    while let Ok(Some(head)) = timeout(PATIENCE, read_head(&mut stream, &mut unused)).await {
        let Some(asked) = Asked::of(&head) else { return };
        let page = page(asked.method, asked.target, asked.known, now());
        sleep(page.delay).await;
        let message = page.message(asked.method == "HEAD");
        let sent = timeout(PATIENCE, stream.write_all(message.as_bytes())).await;
        // Content is not read, so the next request could not be told from it.
        if !matches!(sent, Ok(Ok(()))) || asked.has_content {
            return;
        }
    }
}

/// The bytes of the next head; `None` at the end of the stream.
async fn read_head(stream: &mut TcpStream, unused: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = unused.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = unused.drain(..at + 4).collect();
            return String::from_utf8(head).ok();
        }
        if unused.len() > LONGEST_HEAD || stream.read_buf(unused).await.ok()? == 0 {
            return None;
        }
    }
}

/// What a request asks for.
struct Asked<'a> {
    method: &'a str,
    target: &'a str,
    known: Option<&'a str>,
    has_content: bool,
}

impl<'a> Asked<'a> {
    fn of(head: &'a str) -> Option<Self> {
        let (line, rest) = head.split_once("\r\n")?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let field = |name: &str| {
            let fields = rest.split("\r\n").filter_map(|line| line.split_once(':'));
            let mut named = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            named.next().map(|(_, value)| value.trim())
        };
        let content = field("transfer-encoding").is_some()
            || field("content-length").is_some_and(|length| length != "0");
        Some(Self { method, target, known: field("if-none-match"), has_content: content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> testkit::Client {
        testkit::Client::connect(start(|| 5_000).unwrap())
    }

    #[test]
    fn one_connection_carries_many_requests() {
        let mut client = client();
        for _ in 0..3 {
            let response = client.get("/time");
            assert_eq!(response.text(), "1970-01-01T00:00:05.000Z\n");
        }
        assert_eq!(client.get("/big").body.len(), 1 << 20);
        let head = client.request("HEAD", "/big", &[]);
        assert_eq!((head.status, head.body.len()), (200, 0));
    }

    #[test]
    fn news_are_revalidated() {
        let fields = [("If-None-Match", "\"edition-0\"")];
        assert_eq!(client().request("GET", "/news", &fields).status, 304);
    }

    #[test]
    fn content_is_refused_and_ends_the_connection() {
        let mut client = client();
        client.send("POST /time HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(client.response().status, 405);
        assert!(client.at_eof());
    }
}
