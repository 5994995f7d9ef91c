//! Peers that have vanished from the network. The system asks a connection that is silent whether its
//! other end is still there, and gives up one that acknowledges nothing.
//!
//! Most of them would be found by a limit on what they do. A tunnel or a stream of events may be silent
//! for an hour, though, and what is sent to somebody who is gone is repeated by the system for a quarter
//! of an hour.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::settings::Limits;

/// How often it is asked before it is given up.
const PROBES: u32 = 3;
/// No system takes less.
const SHORTEST: Duration = Duration::from_secs(1);

/// When a peer counts as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vanished {
    /// Silence after which it is asked.
    silence: Duration,
    /// Time between two askings.
    pause: Duration,
    /// How long what was sent may stay without an acknowledgement. A peer that takes nothing because
    /// it is slow counts as such a one for the system.
    unacknowledged: Duration,
}

impl Vanished {
    /// A client: whoever the patience with slow ones bears with is not given up before.
    pub(crate) fn client(limits: &Limits) -> Self {
        Self::after(limits.probe, limits.write_timeout)
    }

    /// An origin.
    pub(crate) fn origin(limits: &Limits) -> Self {
        Self::after(limits.probe, limits.first_byte_timeout.max(limits.between_bytes_timeout))
    }

    fn after(silence: Duration, patience: Duration) -> Self {
        let silence = silence.max(SHORTEST);
        let pause = (silence / PROBES).max(SHORTEST);
        let unacknowledged = (silence + pause * PROBES).max(patience.saturating_mul(2));
        Self { silence, pause, unacknowledged }
    }

    /// Has the system look for it on this connection, or on all that a listener accepts from now on:
    /// they have what it has. Where the system does not know how, connections are as good without.
    pub(crate) fn look_for(self, socket: &impl AsFd) {
        let socket = SockRef::from(socket);
        let probes = TcpKeepalive::new().with_time(self.silence).with_interval(self.pause);
        let _ = socket.set_tcp_keepalive(&probes.with_retries(PROBES));
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(self.unacknowledged));
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

    fn is_set(socket: &impl AsFd, vanished: Vanished) -> bool {
        let socket = SockRef::from(socket);
        let probes =
            (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        socket.keepalive().unwrap()
            && probes == (vanished.silence, vanished.pause)
            && socket.tcp_keepalive_retries().unwrap() == PROBES
            && socket.tcp_user_timeout().unwrap() == Some(vanished.unacknowledged)
    }

    #[test]
    fn who_has_vanished_is_found_within_a_minute_and_who_may_be_slow_is_not() {
        let limits = Limits::default();
        let client = Vanished::client(&limits);
        let expected = Vanished { silence: secs(30), pause: secs(10), unacknowledged: secs(60) };
        assert_eq!(client, expected);
        assert_eq!(Vanished::origin(&limits).unacknowledged, secs(120));
        let patient = Limits { write_timeout: secs(300), ..limits.clone() };
        assert_eq!(Vanished::client(&patient).unacknowledged, secs(600));
        assert_eq!(Vanished::client(&patient).silence, secs(30));
        let hasty = Vanished::client(&Limits { probe: Duration::ZERO, ..limits });
        assert_eq!((hasty.silence, hasty.pause), (secs(1), secs(1)));
    }

    #[test]
    fn connections_are_asked_that_are_made_and_that_are_accepted() {
        let vanished = Vanished::client(&Limits::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        vanished.look_for(&listener);
        let made = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(is_set(&accepted, vanished));
        assert!(!is_set(&made, vanished));
        vanished.look_for(&made);
        assert!(is_set(&made, vanished));
    }
}
