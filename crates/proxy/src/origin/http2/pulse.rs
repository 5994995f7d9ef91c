//! Whether the origin at the other end of a connection is still there.
//!
//! A connection that is dead without having been closed (a machine that hangs, a firewall that forgot
//! it) looks like an origin that takes its time. PING tells one from the other: whoever is at work on
//! an answer still confirms that he is there.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, sleep, timeout};

use super::heard::Heard;
use crate::settings::Limits;

/// PINGs in one silence at the usual pace. Some servers close the connection of a client that sends a
/// few more while they say nothing...
const IN_A_ROW: u32 = 3;
/// ...unless they are so far apart, as those of gRPC have it (five minutes).
const RARELY: Duration = Duration::from_mins(6);

/// What is known of a connection, and how long it may be silent.
pub(super) struct Pulse {
    /// Bytes that have come.
    heard: Arc<AtomicU64>,
    /// Requests under way.
    used: Arc<AtomicUsize>,
    after: Duration,
    within: Duration,
}

impl Pulse {
    /// With the carrier that it feels.
    pub(super) fn of<S>(io: S, used: &Arc<AtomicUsize>, limits: &Limits) -> (Self, Heard<S>) {
        let count = Arc::<AtomicU64>::default();
        let pulse = Self {
            heard: Arc::clone(&count),
            used: Arc::clone(used),
            after: limits.origin_ping,
            within: limits.origin_pong,
        };
        (pulse, Heard::new(io, count, limits))
    }

    /// How many bytes have come.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.heard)
    }

    /// Drives a connection until it ends, or is found dead. Those who have requests on it learn how:
    /// a dead one ends for them as one that was closed.
    pub(super) async fn keep(self, connection: impl Future, pings: Option<PingPong>) {
        let Some(pings) = pings else { return drop(connection.await) };
        tokio::select! {
            biased;
            _ = connection => {}
            () = self.stops(pings) => {}
        }
    }

    /// Waits until a PING is not answered. None is sent while the origin says anything at all, or
    /// while nobody waits for it.
    async fn stops(self, mut pings: PingPong) {
        let (mut in_a_row, mut asked) = (0, Instant::now());
        loop {
            let before = self.heard();
            sleep(self.after).await;
            if self.heard() != before {
                in_a_row = 0;
                continue;
            }
            let is_early = in_a_row >= IN_A_ROW && asked.elapsed() < RARELY;
            if is_early || self.used.load(Ordering::Relaxed) == 0 {
                continue;
            }
            in_a_row += 1;
            asked = Instant::now();
            // It fails while another is on its way, and then that will do.
            let _ = pings.send_ping(Ping::opaque());
            let pong = timeout(self.within, poll_fn(|cx| pings.poll_pong(cx))).await;
            if pong.is_err() && self.heard() == before {
                return;
            }
        }
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
