//! HTTP/2 in front of the proxy: by a client of the library, and by frames that no library sends.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use proxy::events::{Recorder, Served, Trouble};
use proxy::{Limits, OriginUrl};
use testkit::Origin;
use testkit::frames::{Frame, Frames, flag, kind};

mod abuse;
mod answers;
mod bounds;
mod content;
mod drain;
mod frames;
mod leftover;
mod malformed;
mod origin;
mod priorities;
#[path = "../rig/mod.rs"]
mod rig;
mod sharing;
mod silence;
#[cfg(target_os = "linux")]
mod stuck;
mod trailers;
mod windows;
mod wrong_origin;

/// Keeps what it is told.
#[derive(Default)]
struct Log {
    served: Mutex<Vec<String>>,
}

impl Recorder for Log {
    fn wants_requests(&self) -> bool {
        true
    }
    fn served(&self, served: &Served<'_>) {
        let cut = if served.cut { " cut" } else { "" };
        let line = format!("{} {}{cut}", served.status, served.reason);
        self.served.lock().unwrap().push(line);
    }
    fn trouble(&self, _: &Trouble<'_>) {}
}

/// A proxy in this process, in memory only.
type Site = rig::Heard<Log>;

impl Site {
    fn address(&self) -> SocketAddr {
        self.running.local_addr()
    }

    /// A client that speaks in frames.
    fn frames(&self) -> Frames {
        Frames::connect(self.address(), &[])
    }

    fn served(&self) -> Vec<String> {
        self.log.served.lock().unwrap().clone()
    }
}

/// Runs a test that speaks by the library.
fn speak(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { tokio::time::timeout(testkit::PATIENCE, test).await };
    runtime.block_on(test).expect("the test came to no end");
}

/// A client of the library, with its usual windows or others.
async fn client(site: &Site) -> SendRequest<Bytes> {
    client_with(site, &mut h2::client::Builder::new()).await
}

async fn client_with(site: &Site, builder: &mut h2::client::Builder) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(site.address()).await.unwrap();
    let (client, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://site.example{path}"))
}

/// A whole response.
#[derive(Debug)]
struct Got {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Got {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Reads a response to its end, or to where it breaks.
async fn read(response: Response<h2::RecvStream>) -> Result<Got, h2::Error> {
    let (parts, mut content) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = content.data().await {
        let data = data?;
        content.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = content.trailers().await?;
    Ok(Got { status: parts.status.as_u16(), fields: parts.headers, body, trailers })
}

/// Asks without content.
async fn ask(client: &mut SendRequest<Bytes>, request: http::request::Builder) -> Got {
    let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
    read(response.await.unwrap()).await.unwrap()
}

async fn get(client: &mut SendRequest<Bytes>, path: &str) -> Got {
    ask(client, request("GET", path)).await
}

/// A response with a length that may be stored.
fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The pseudo-fields of a GET.
const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "site.example"), (":path", "/")];
