//! Sends bytes to a proxy, and compares what its origin gets with what the model has of it.

#[path = "model.rs"]
mod model;
#[path = "origin.rs"]
mod origin;
#[path = "../rig/mod.rs"]
mod rig;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use proxy::clock::Clock;
use proxy::{Running, Settings};

use self::model::Request;
use self::origin::{LAST, Origin};
use self::rig::Silent;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A proxy and its origin, which serve one connection after the other.
struct Harness {
    origin: Origin,
    proxy: Running,
}

fn harness() -> MutexGuard<'static, Harness> {
    static HARNESS: OnceLock<Mutex<Harness>> = OnceLock::new();
    HARNESS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Harness {
    fn default() -> Self {
        let origin = Origin::start();
        let settings = rig::settings(&format!("http://{}", origin.address));
        let settings = Settings { clock: Clock::default(), ..settings };
        Self { origin, proxy: proxy::start(settings, Arc::new(Silent)).unwrap() }
    }
}

/// The bytes of a client's connection: the origin gets what they mean, and nothing else. The first
/// byte says how they are cut up. Returns whether the origin got all that they mean.
pub(crate) fn connection(data: &[u8]) -> bool {
    let Some((&cut, bytes)) = data.split_first() else { return true };
    if bytes.starts_with(PREFACE) {
        return true;
    }
    let harness = harness();
    let address = harness.proxy.local_addr();
    talk(address, bytes, cut);
    let last = [b"GET ", LAST, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat();
    assert!(!talk(address, &last, 0).is_empty(), "the proxy serves no more");
    let seen = harness.origin.round();
    let (meant, _) = model::requests(bytes);
    compare(&seen, &meant, bytes);
    seen == meant
}

/// Sends these bytes, then that there are no more, and returns what comes back.
fn talk(address: SocketAddr, bytes: &[u8], cut: u8) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let middle = bytes.len() * usize::from(cut) / 256;
    let (one, two) = bytes.split_at(middle);
    // A proxy that has refused the first part need not take the second.
    let _ = stream.write_all(one).and_then(|()| stream.write_all(two));
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
            Err(error) => panic!("no end: {error}: {:?}", String::from_utf8_lossy(bytes)),
        }
    }
}

/// What was seen is some of what was meant, in its order; what broke off is the beginning of it.
fn compare(seen: &[Request], meant: &[Request], bytes: &[u8]) {
    let mut left = meant.iter();
    for one in seen {
        let is_same = |other: &&Request| {
            (&one.method, &one.target) == (&other.method, &other.target)
                && if one.complete {
                    other.complete && one.content == other.content
                } else {
                    other.content.starts_with(&one.content)
                }
        };
        assert!(
            left.any(|other| is_same(&other)),
            "the origin saw {one:?}\nof {meant:?}\nin {:?}",
            String::from_utf8_lossy(bytes)
        );
    }
}
