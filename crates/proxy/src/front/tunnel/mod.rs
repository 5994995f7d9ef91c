//! After a 101: bytes both ways, whatever they mean.

mod end;
mod lane;

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub use self::end::TunnelEnd;

use self::lane::{Broken, ClientSide, Lane};
use super::deliver;
use super::socket::{Inbound, Outbound};
use super::transport::{Incoming, Outgoing};
use super::waits::Waits;
use crate::clock::since;
use crate::events::Tunnelled;
use crate::origin::connection::Connection;
use crate::request::answer::{Answer, Report};
use crate::request::record::{self, Delivered};
use crate::request::upgrade::Tunnel;
use crate::request::{self, Request};
use crate::settings::Limits;
use crate::tally::add;
use crate::worker::Worker;

/// The request that led to a tunnel, and the head of its answer.
pub(super) struct Opening<'a> {
    pub(super) request: &'a Request,
    pub(super) answer: Answer,
    pub(super) began: Option<Instant>,
}

/// Sends the 101 and then carries bytes both ways until the tunnel ends. Whoever calls this closes the
/// client's connection, and learns whether the client has been told all that the origin has said; the
/// connection to the origin is closed here.
pub(super) async fn serve<R: Incoming, W: Outgoing>(
    worker: &Worker,
    client: (&mut Inbound<R>, &mut Outbound<W>),
    Opening { request, answer, began }: Opening<'_>,
    tunnel: Tunnel,
) -> bool {
    let (inbound, outbound) = client;
    let (written, status) = (outbound.written, answer.status());
    let report: Report = answer.report;
    let told = request::told(worker, request, &report);
    deliver::switching(&mut outbound.head, &answer, &tunnel.protocol, &told);
    let (mut received, mut is_told) = (0, false);
    let mut end = TunnelEnd::ClientGone;
    if outbound.write(&[]).await.is_ok() {
        add(&worker.counters.tunnels, 1);
        let mut both = Both::new(inbound, outbound, tunnel.connection);
        end = both.carry(worker).await;
        received = both.up.carried;
        is_told = both.down.is_ended() && !both.down.refused;
    }
    let cut = end != TunnelEnd::Closed;
    let delivered = Delivered { status, bytes: outbound.written - written, cut };
    let tunnelled = Some(Tunnelled { received, end });
    record::record_tunnel(worker, request, &report, delivered, tunnelled, began);
    is_told
}

/// Both directions.
struct Both<'c, R, W> {
    client: ClientSide<'c, R, W>,
    origin: Connection,
    /// From the client to the origin.
    up: Lane,
    /// From the origin to the client.
    down: Lane,
}

impl<'c, R: Incoming, W: Outgoing> Both<'c, R, W> {
    fn new(
        inbound: &'c mut Inbound<R>,
        outbound: &'c mut Outbound<W>,
        mut origin: Connection,
    ) -> Self {
        let up = Lane::new(inbound.buf.split());
        let down = Lane::new(origin.buf.split());
        (inbound.buf, origin.buf) = Default::default();
        Self { client: ClientSide { inbound, outbound }, origin, up, down }
    }

    /// Carries bytes until the tunnel ends, and lets the origin see how.
    async fn carry(&mut self, worker: &Worker) -> TunnelEnd {
        let end = {
            let mut cut = pin!(worker.shared.cuts());
            tokio::select! {
                biased;
                end = self.run(&worker.shared.limits) => end,
                () = &mut cut => TunnelEnd::Drained,
            }
        };
        if end != TunnelEnd::Closed {
            self.origin.reset_on_close();
        }
        end
    }

    async fn run(&mut self, limits: &Limits) -> TunnelEnd {
        let mut waits = Waits::new();
        loop {
            let limit = self.patience(limits);
            match waits.within(limit, |cx| self.poll_move(cx)).await {
                Ok(Ok(())) if self.up.is_ended() && self.down.is_ended() => return self.ended(),
                Ok(Ok(())) => {}
                Ok(Err(end)) => return end,
                Err(_) => return self.lost_patience(limits),
            }
            if self.stuck_for(limits.write_timeout).is_some() {
                return self.lost_patience(limits);
            }
        }
    }

    /// Waits until something moves.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TunnelEnd>> {
        let Self { client, origin, up, down } = self;
        let up = match up.advance(cx, client, origin) {
            Ok(moved) => moved,
            Err(Broken) => return Poll::Ready(Err(TunnelEnd::ClientGone)),
        };
        match down.advance(cx, origin, client) {
            Ok(moved) if up || moved => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
            Err(Broken) => Poll::Ready(Err(TunnelEnd::OriginGone)),
        }
    }

    /// How long nothing may move from now on.
    fn patience(&self, limits: &Limits) -> Duration {
        // A side that has ended has most often left: the other is not waited for that long.
        let is_whole = self.up.is_open() && self.down.is_open();
        let idle = limits.tunnel_idle;
        let idle = if is_whole { idle } else { idle.min(limits.idle_timeout) };
        let stuck = [&self.up, &self.down].into_iter().filter_map(|lane| lane.stuck_since);
        let stuck = stuck.map(|tick| limits.write_timeout.saturating_sub(since(tick)));
        stuck.chain([idle]).min().unwrap_or(idle)
    }

    /// Which side has taken nothing for so long.
    fn stuck_for(&self, limit: Duration) -> Option<TunnelEnd> {
        let is_stuck = |lane: &Lane| lane.stuck_since.is_some_and(|tick| since(tick) >= limit);
        if is_stuck(&self.down) {
            return Some(TunnelEnd::ClientStalled);
        }
        is_stuck(&self.up).then_some(TunnelEnd::OriginStalled)
    }

    fn lost_patience(&self, limits: &Limits) -> TunnelEnd {
        self.stuck_for(limits.write_timeout).unwrap_or(TunnelEnd::Idle)
    }

    /// How a tunnel ended of which neither direction goes on.
    fn ended(&self) -> TunnelEnd {
        match (self.up.refused, self.down.refused) {
            (_, true) => TunnelEnd::ClientGone,
            (true, false) => TunnelEnd::OriginGone,
            (false, false) => TunnelEnd::Closed,
        }
    }
}
