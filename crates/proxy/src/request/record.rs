//! Step 13: counters and the access log.

use std::time::Instant;

use super::Request;
use super::answer::{Report, Source};
use crate::events::{Served, Tunnelled};
use crate::tally::add;
use crate::worker::Worker;

/// How a response was delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered {
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) cut: bool,
}

/// Counts a request and hands it to the log, if anyone reads that. `began` is when its head had
/// arrived; it is only measured for the log.
pub(crate) fn record(
    worker: &Worker,
    request: &Request,
    report: &Report,
    delivered: Delivered,
    began: Option<Instant>,
) {
    record_tunnel(worker, request, report, delivered, None, began);
}

/// The same of a request that led to a tunnel, when that has ended.
pub(crate) fn record_tunnel(
    worker: &Worker,
    request: &Request,
    report: &Report,
    delivered: Delivered,
    tunnel: Option<Tunnelled>,
    began: Option<Instant>,
) {
    let counters = &worker.counters;
    add(&counters.requests, 1);
    add(&counters.bytes, delivered.bytes);
    match report.source {
        Source::Store { why, .. } => counters.outcomes.hit(why),
        Source::Origin(_) | Source::Proxy => counters.outcomes.other(report.code),
    }
    if delivered.cut {
        add(&counters.cut, 1);
    }
    let Some(began) = began else { return };
    let head = &*request.head;
    worker.shared.recorder.served(&Served {
        request_id: request.id.as_str(),
        client: request.way.client(),
        method: head.method.as_bytes(),
        host: &head.authority,
        target: &head.target,
        status: delivered.status,
        hit: report.is_hit(),
        reason: report.code,
        bytes: delivered.bytes,
        took: began.elapsed(),
        cut: delivered.cut,
        tunnel,
    });
}
