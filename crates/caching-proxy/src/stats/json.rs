//! The counters as the control socket tells them.

use std::net::SocketAddr;

use proxy::{Answered, CertificateInfo, ConnectionCounts, HandshakeFailure};
use serde_json::{Map, Value, json};
use store::Stats;

use crate::metrics::Snapshot;
use crate::output::rfc3339;

/// All of them.
pub(crate) fn to_json(now: &Snapshot) -> Value {
    let counts = &now.counts;
    json!({
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "started_seconds": now.started.as_secs(),
        "takeovers": { "done": now.takeovers, "failed": now.failed_takeovers },
        "requests": counts.requests,
        "hits": counts.hits,
        "outcomes": outcomes(now),
        "origin_failures": counts.origin_failures,
        "origin": {
            "failures": numbers(now.origin_failures()),
            "retries": counts.origin_retries,
            "connections": now.origin_connections,
        },
        "refused": counts.refused,
        "cut": counts.cut,
        "connections": counts.connections,
        "tunnels": { "begun": counts.tunnels, "open": now.open_tunnels },
        "client_connections": client_connections(now),
        "listeners": now.listeners.iter().map(listener).collect::<Vec<_>>(),
        "bytes": counts.bytes,
        "tls": tls(now),
        "troubles": numbers(now.troubles.iter().copied()),
        "store": store(&now.store),
    })
}

/// Each count under its name.
fn numbers<'n>(counts: impl Iterator<Item = (&'n str, u64)>) -> Value {
    Value::Object(counts.map(|(name, count)| (name.to_owned(), count.into())).collect())
}

/// By how requests were answered, and why; what has not come up is left out.
fn outcomes(now: &Snapshot) -> Value {
    let of = |answered: Answered| {
        let outcomes = now.counts.outcomes.iter();
        let seen = outcomes.filter(|one| one.answered == answered && one.requests > 0);
        let seen = seen.map(|one| (one.code.to_owned(), json!(one.requests)));
        (answered.word().to_owned(), Value::Object(seen.collect()))
    };
    Value::Object(Answered::ALL.into_iter().map(of).collect())
}

fn client_connections(now: &Snapshot) -> Value {
    let all = now.listeners.iter().map(|(_, counts)| *counts);
    let ConnectionCounts { open, refused, dropped, made_way, .. } =
        all.fold(ConnectionCounts::default(), ConnectionCounts::plus);
    json!({ "open": open, "refused": refused, "dropped": dropped, "made_way": made_way })
}

fn listener((address, counts): &(SocketAddr, ConnectionCounts)) -> Value {
    json!({
        "address": address.to_string(),
        "accepted": counts.accepted,
        "open": counts.open,
        "refused": counts.refused,
        "dropped": counts.dropped,
        "made_way": counts.made_way,
    })
}

/// What happened in TLS, and what is served there.
fn tls(now: &Snapshot) -> Value {
    let codes = HandshakeFailure::ALL.iter().map(|why| why.code());
    json!({
        "handshakes": now.counts.handshakes,
        "failures": numbers(codes.zip(now.counts.handshake_failures)),
        "certificates": now.certificates.iter().map(certificate).collect::<Vec<_>>(),
        "origin_certificate": now.origin_certificate.as_ref().map(certificate),
    })
}

fn certificate(certificate: &CertificateInfo) -> Value {
    json!({
        "file": certificate.file.display().to_string(),
        "names": certificate.names,
        "not_after": rfc3339(certificate.not_after.as_millis()),
        "not_after_seconds": certificate.not_after.as_secs(),
    })
}

fn store(store: &Stats) -> Value {
    let damaged = store.damaged.iter().map(|(why, count)| (why.code().to_owned(), json!(count)));
    json!({
        "memory_entries": store.memory_entries,
        "memory_bytes": store.memory_bytes,
        "kept_bytes": store.kept_bytes,
        "lent_bytes": store.lent_bytes,
        "disk_entries": store.disk_entries,
        "disk_bytes": store.disk_bytes,
        "segment_bytes": store.segment_bytes,
        "index_bytes": store.index_bytes,
        "segments_to_recover": store.segments_to_recover,
        "log_stored_bytes": store.log_stored_bytes,
        "log_copied_bytes": store.log_copied_bytes,
        "log_written_bytes": store.log_written_bytes,
        "in_flight_bytes": store.in_flight_bytes,
        "queued_bytes": store.queued_bytes,
        "memory_evictions": store.memory_evictions,
        "disk_evictions": store.disk_evictions,
        "disk_write_failures": store.disk_write_failures,
        "disk_read_errors": store.disk_read_errors,
        "disk_left_alone": store.disk_left_alone,
        "disk_timeouts": store.disk_timeouts,
        "queue_full_skips": store.queue_full_skips,
        "resting_skips": store.resting_skips,
        "passed_along": store.passed_along,
        "events": store.events,
        "event_write_failures": store.event_write_failures,
        "event_logs_lost": store.event_logs_lost,
        "damaged": Value::Object(damaged.collect::<Map<_, _>>()),
    })
}
