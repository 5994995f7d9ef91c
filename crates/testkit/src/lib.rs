//! A scripted origin and client that speak bytes, and the real binary as a child; for tests only.
//!
//! Nothing here shares code with what is shipped, so a fault in the codec cannot hide in the tests.
//! Plain threads and blocking sockets: what is written is what goes over the wire, in that order.
//! Every read ends after [`PATIENCE`] at the latest, so no test hangs.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test ends where its set-up fails"
)]
#![expect(clippy::disallowed_methods, reason = "tests measure real time and start real processes")]

use std::time::Duration;

mod binary;
mod client;
mod deaf;
pub mod frames;
mod origin;
mod wire;

pub use binary::{Binary, Launch, Output};
pub use client::{Client, Response};
pub use deaf::Deaf;
pub use origin::{Conn, Origin, Received};
pub use wire::Cut;

/// How long anything here waits for bytes, a process or a connection before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Fields in the order of the wire, names as they were written.
pub type Fields = Vec<(String, String)>;

/// The value of the first field with this name, compared without case.
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Waits until `condition` holds, at most [`PATIENCE`]; says whether it did.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    condition()
}

/// Lets this process have as many files open as the system permits: a crowd of connections needs
/// more than the usual 1,024.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more files");
}
