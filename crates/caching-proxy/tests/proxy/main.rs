//! The binary as its users meet it: a real process between a scripted origin and a scripted client.

#![expect(clippy::disallowed_methods, reason = "tests measure real time")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::io::{Read, Write};
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Binary, Client, Launch, Origin, Response};

mod caching;
mod clients;
mod collapsing;
mod conformity;
mod contents;
mod control;
mod crowds;
mod demands;
mod farewells;
mod faults;
mod forwarding;
mod groups;
mod handover;
mod herds;
mod http2;
mod https;
mod interim;
mod keys;
mod kills;
mod large;
mod loops;
mod memory_files;
mod metrics;
mod no_disk;
mod no_vary_search;
mod purging;
mod query;
mod ranges;
mod refreshing;
mod refusals;
mod restart;
mod shutdown;
mod slow_streams;
mod status;
mod strict;
mod supervised;
mod tls;
mod updates;
mod variants;

/// A running proxy with a cache directory of its own.
struct Proxy {
    binary: Option<Binary>,
    directory: TempDir,
    origin: String,
    args: Vec<String>,
}

impl Proxy {
    fn before(origin: &Origin) -> Self {
        Self::with(origin, &[])
    }

    fn with(origin: &Origin, args: &[&str]) -> Self {
        Self::at(&origin.url(), args)
    }

    fn at(origin: &str, args: &[&str]) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        let mut proxy = Self {
            binary: None,
            directory: TempDir::new().unwrap(),
            origin: origin.to_owned(),
            args,
        };
        proxy.start();
        proxy
    }

    fn launch(&self) -> Launch {
        Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
            .args(["--port", "0", "--origin", &self.origin])
            .arg("--cache-dir")
            .arg(self.directory.path().join("cache"))
            .args(&self.args)
    }

    /// Starts it on the same directory as before.
    fn start(&mut self) {
        self.binary = Some(self.launch().start());
    }

    fn binary(&mut self) -> &mut Binary {
        self.binary.as_mut().unwrap()
    }

    fn kill9(&mut self) {
        self.binary.take().unwrap().kill9();
    }

    fn terminate(&mut self) {
        let status = self.binary.take().unwrap().terminate();
        assert!(status.success(), "{status}");
    }

    fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.binary.as_ref().unwrap().port())
    }

    fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    fn get(&self, path: &str) -> Response {
        self.client().get(path)
    }

    fn request(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        self.client().request(method, path, fields)
    }
}

/// What `name` counts, as a running proxy tells it: `requests`, or `client_connections.open`.
fn count(proxy: &Proxy, name: &str) -> u64 {
    let stats = stats(&proxy.directory);
    let at = format!("/{}", name.replace('.', "/"));
    stats.pointer(&at).and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("{stats}"))
}

/// All that the proxy in this directory counts.
fn stats(directory: &TempDir) -> serde_json::Value {
    let socket = directory.path().join("cache/control.sock");
    let mut socket = std::os::unix::net::UnixStream::connect(socket).unwrap();
    socket.write_all(b"{\"command\":\"stats\"}\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

/// Whether a client is told to come back soon.
fn retry_after(response: &Response) -> bool {
    let seconds = response.field("Retry-After").and_then(|seconds| seconds.parse().ok());
    seconds.is_some_and(|seconds: u64| (1..=5).contains(&seconds))
}

/// A response with a length.
fn ok(fields: &str, body: &str) -> String {
    response("200 OK", fields, body)
}

fn response(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn cache(response: &Response) -> &str {
    response.field("X-Cache").unwrap_or("no X-Cache")
}

/// What `Cache-Status` says, without the proxy's name.
fn cache_status(response: &Response) -> String {
    let all = response.all("Cache-Status");
    let ours = all.last().copied().unwrap_or("none");
    ours.trim_start_matches("caching-proxy; ").to_owned()
}

fn age(response: &Response) -> u64 {
    response.field("Age").expect("an Age field").parse().unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
