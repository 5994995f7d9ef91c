//! Tells a supervisor such as systemd how this process stands (`sd_notify`).
//!
//! A datagram of a few lines to the socket that `NOTIFY_SOCKET` names. Without that variable nothing
//! is said; a supervisor that does not listen is no fault of ours.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::cli::environment::Lookup;

const VARIABLE: &str = "NOTIFY_SOCKET";
/// Microseconds within which it wants to hear again, and of whom.
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHED: &str = "WATCHDOG_PID";
/// How long a supervisor may be too busy to be told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whoever has started this process and wants to know.
#[derive(Clone)]
pub(crate) struct Supervisor {
    address: Option<SocketAddr>,
    watchdog_interval: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn of(environment: Lookup<'_>) -> Self {
        let named = environment(VARIABLE);
        let address = named.and_then(|named| match named.as_bytes() {
            [b'@', name @ ..] => of_name(name).ok(),
            _ => SocketAddr::from_pathname(named).ok(),
        });
        Self { address, watchdog_interval: watchdog_interval(environment) }
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.address.is_some()
    }

    /// Within which time it wants to hear again and again that this process still does something.
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog_interval
    }

    /// This process still does something.
    pub(crate) fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// Clients can connect. `replaces`: this process is the main one from now on.
    pub(crate) fn ready(&self, url: &str, replaces: bool) {
        let main =
            if replaces { format!("MAINPID={}\n", std::process::id()) } else { String::new() };
        self.say(&format!("{main}READY=1\nSTATUS=serving on {url}"));
    }

    /// Files are read again, and then all is as before.
    pub(crate) fn reload(&self, reload: impl FnOnce()) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        reload();
        self.say("READY=1");
    }

    /// No connections are accepted any more.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=waiting for requests to end");
    }

    fn say(&self, lines: &str) {
        let Some(address) = &self.address else { return };
        // Nobody there: whoever has started this process does not mind.
        let _ = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.send_to_addr(lines.as_bytes(), address)
        });
    }
}

fn watchdog_interval(environment: Lookup<'_>) -> Option<Duration> {
    let number = |name: &str| environment(name)?.to_str()?.parse().ok();
    let is_ours = match environment(WATCHED) {
        Some(_) => number(WATCHED) == Some(u64::from(std::process::id())),
        None => true,
    };
    number(WATCHDOG).filter(|micros| is_ours && *micros > 0).map(Duration::from_micros)
}

#[cfg(target_os = "linux")]
fn of_name(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn of_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut datagram = [0; 512];
        let length = listener.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }

    fn of(named: &str) -> Supervisor {
        Supervisor::of(&|name: &str| (name == VARIABLE).then(|| named.into()))
    }

    #[test]
    fn it_is_told_how_this_process_stands() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let supervisor = of(path.to_str().unwrap());
        supervisor.ready("http://a/", false);
        assert_eq!(heard(&listener), "READY=1\nSTATUS=serving on http://a/");
        supervisor.ready("http://a/", true);
        assert!(heard(&listener).starts_with(&format!("MAINPID={}\n", std::process::id())));
        supervisor.reload(|| ());
        assert!(heard(&listener).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(heard(&listener), "READY=1");
        supervisor.alive();
        assert_eq!(heard(&listener), "WATCHDOG=1");
        supervisor.stopping();
        assert!(heard(&listener).starts_with("STOPPING=1\n"));
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names() {
        let ours = std::process::id().to_string();
        let rows = [
            (Some("2000000"), None, Some(2)),
            (Some("2000000"), Some(ours.as_str()), Some(2)),
            (Some("2000000"), Some("1"), None),
            (Some("2000000"), Some(""), None),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (None, Some(ours.as_str()), None),
        ];
        for (micros, pid, seconds) in rows {
            let supervisor = Supervisor::of(&|name: &str| match name {
                WATCHDOG => micros.map(Into::into),
                WATCHED => pid.map(Into::into),
                _ => None,
            });
            assert_eq!(
                supervisor.watchdog_interval(),
                seconds.map(Duration::from_secs),
                "{micros:?} {pid:?}"
            );
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_may_have_a_name_in_place_of_a_path() {
        let name = format!("caching-proxy-test-{}", std::process::id());
        let listener = UnixDatagram::bind_addr(&of_name(name.as_bytes()).unwrap()).unwrap();
        of(&format!("@{name}")).ready("http://a/", false);
        assert!(heard(&listener).starts_with("READY=1\n"));
    }

    #[test]
    fn nobody_who_listens_is_no_fault() {
        Supervisor::of(&|_: &str| None).stopping();
        of("/nowhere/to/be/found").stopping();
        of(&"long".repeat(100)).stopping();
        of("@").stopping();
    }
}
