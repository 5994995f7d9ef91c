//! Finds peers that have vanished from the network: the system probes a silent connection, and gives it
//! up if nothing is acknowledged.
//!
//! Most vanished peers would be found by a time-out. But a tunnel or a stream of events may be silent for
//! an hour, and the system goes on repeating what was sent to a vanished peer for a quarter of an hour.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::settings::Limits;

/// Probes that a peer may leave unanswered, where the user timeout does not apply.
const PROBES: u32 = 3;
/// No system takes less.
const SHORTEST: Duration = Duration::from_secs(1);

/// When a connection is probed, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keepalive {
    /// Silence before the first probe.
    time: Duration,
    /// Time between two probes.
    interval: Duration,
    /// How long data or probes may go unacknowledged (`TCP_USER_TIMEOUT`). Where the system supports it,
    /// it counts in place of [`PROBES`]. The system cannot tell a slow peer, whose window is closed, from
    /// one that is gone; so this is longer than the time-outs for slow peers.
    user_timeout: Duration,
}

impl Keepalive {
    /// For connections of clients: given up no earlier than slow clients are.
    pub(crate) fn with_client(limits: &Limits) -> Self {
        Self::after(limits.tcp_keepalive, limits.write_timeout)
    }

    /// For connections to the origin.
    pub(crate) fn with_origin(limits: &Limits) -> Self {
        let patience = limits.first_byte_timeout.max(limits.between_bytes_timeout);
        Self::after(limits.tcp_keepalive, patience)
    }

    fn after(time: Duration, patience: Duration) -> Self {
        let time = time.max(SHORTEST);
        let interval = (time / PROBES).max(SHORTEST);
        let user_timeout = (time + interval * PROBES).max(patience.saturating_mul(2));
        Self { time, interval, user_timeout }
    }

    /// Applies to this connection; or, on a listener, to all connections that it accepts from now on. A
    /// system that does not support it is no error.
    pub(crate) fn apply_to(self, socket: &impl AsFd) {
        let socket = SockRef::from(socket);
        let probes = TcpKeepalive::new().with_time(self.time).with_interval(self.interval);
        let _ = socket.set_tcp_keepalive(&probes.with_retries(PROBES));
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(self.user_timeout));
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn is_set(socket: &impl AsFd, keepalive: Keepalive) -> bool {
        let socket = SockRef::from(socket);
        let probes =
            (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        socket.keepalive().unwrap()
            && probes == (keepalive.time, keepalive.interval)
            && socket.tcp_keepalive_retries().unwrap() == PROBES
            && socket.tcp_user_timeout().unwrap() == Some(keepalive.user_timeout)
    }

    #[test]
    fn who_has_vanished_is_found_in_a_minute_or_twice_the_patience_with_who_is_slow() {
        let limits = Limits::default();
        let client = Keepalive::with_client(&limits);
        let expected = Keepalive { time: secs(30), interval: secs(10), user_timeout: secs(60) };
        assert_eq!(client, expected);
        assert_eq!(Keepalive::with_origin(&limits).user_timeout, secs(120));
        let patient = Limits { write_timeout: secs(300), ..limits.clone() };
        assert_eq!(Keepalive::with_client(&patient).user_timeout, secs(600));
        assert_eq!(Keepalive::with_client(&patient).time, secs(30));
        let hasty = Keepalive::with_client(&Limits { tcp_keepalive: Duration::ZERO, ..limits });
        assert_eq!((hasty.time, hasty.interval), (secs(1), secs(1)));
    }

    #[test]
    fn connections_are_asked_that_are_made_and_that_are_accepted() {
        let keepalive = Keepalive::with_client(&Limits::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        keepalive.apply_to(&listener);
        let made = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(is_set(&accepted, keepalive));
        assert!(!is_set(&made, keepalive));
        keepalive.apply_to(&made);
        assert!(is_set(&made, keepalive));
    }
}
