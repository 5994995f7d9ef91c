//! The name of each number. docs/metrics.md has the same list; a test holds them together.

use proxy::{CertificateInfo, ConnectionCounts, HandshakeFailure};
use store::Stats;

use super::family::{Family, counter, gauge};
use super::snapshot::Snapshot;

/// All families, in the order in which they are told.
pub(crate) fn families(now: &Snapshot) -> Vec<Family> {
    let mut all = process(now);
    all.extend(requests(now));
    all.extend(connections(now));
    all.extend(origin(now));
    all.extend(stored(&now.store));
    all.extend(store_work(&now.store));
    all
}

fn process(now: &Snapshot) -> Vec<Family> {
    let started = u64::try_from(now.started.as_secs()).unwrap_or(0);
    let version = env!("CARGO_PKG_VERSION");
    vec![
        gauge("caching_proxy_build_info", "The version of the program; always 1.")
            .by(&["version"], [([version], 1)]),
        gauge("caching_proxy_start_time_seconds", "When the process began, in seconds since 1970.")
            .is(started),
        counter(
            "caching_proxy_takeovers_total",
            "Processes that have taken over from the one before, in the line that leads to this one.",
        )
        .is(now.takeovers),
        counter(
            "caching_proxy_takeovers_failed_total",
            "Processes that wanted to take over from this one and gave up. Those that try again are not counted.",
        )
        .is(now.failed_takeovers),
        counter(
            "caching_proxy_troubles_total",
            "What the log warns of, by the code that it has there. A code appears with its first time.",
        )
        .by(&["code"], now.troubles.iter().map(|(code, times)| ([*code], *times))),
    ]
}

fn requests(now: &Snapshot) -> Vec<Family> {
    let counts = &now.counts;
    let outcomes = counts.outcomes.iter();
    let outcomes = outcomes.map(|one| ([one.answered.word(), one.code], one.requests));
    vec![
        counter(
            "caching_proxy_requests_total",
            "Requests that were answered, by how (hit, stale, miss, pass, failed, refused) and by the \
             code of the reason.",
        )
        .by(&["outcome", "reason"], outcomes),
        counter(
            "caching_proxy_responses_cut_total",
            "Responses that could not be sent to their end.",
        )
        .is(counts.cut),
        counter("caching_proxy_sent_bytes_total", "Bytes sent to clients, heads included.")
            .is(counts.bytes),
    ]
}

fn connections(now: &Snapshot) -> Vec<Family> {
    let counts = &now.counts;
    let by_listener = |family: Family, number: fn(&ConnectionCounts) -> u64| {
        let rows = now.listeners.iter();
        family.by(&["listener"], rows.map(|(at, counts)| ([at.to_string()], number(counts))))
    };
    let failures = HandshakeFailure::ALL.iter().zip(counts.handshake_failures);
    vec![
        by_listener(
            counter(
                "caching_proxy_connections_total",
                "Connections of clients that came in, those that are turned away included.",
            ),
            |counts| counts.accepted,
        ),
        by_listener(
            gauge("caching_proxy_connections_open", "Connections of clients that are open."),
            |counts| counts.open,
        ),
        by_listener(
            counter(
                "caching_proxy_connections_refused_total",
                "Connections that were answered with a 503 because there were too many.",
            ),
            |counts| counts.refused,
        ),
        by_listener(
            counter(
                "caching_proxy_connections_dropped_total",
                "Connections that were closed without an answer because there were too many.",
            ),
            |counts| counts.dropped,
        ),
        by_listener(
            counter(
                "caching_proxy_connections_made_way_total",
                "Idle connections that were closed to make room for others.",
            ),
            |counts| counts.made_way,
        ),
        counter(
            "caching_proxy_tunnels_total",
            "Connections that went on in another protocol, such as WebSocket.",
        )
        .is(counts.tunnels),
        gauge("caching_proxy_tunnels_open", "Tunnels that are open or asked for.")
            .is(now.open_tunnels),
        counter(
            "caching_proxy_tls_handshakes_total",
            "TLS handshakes with clients that succeeded.",
        )
        .is(counts.handshakes),
        counter(
            "caching_proxy_tls_handshake_failures_total",
            "TLS handshakes with clients that came to nothing, by the code of the reason.",
        )
        .by(&["reason"], failures.map(|(why, count)| ([why.code()], count))),
        certificates(now),
    ]
}

fn certificates(now: &Snapshot) -> Family {
    let row = |side: &str, certificate: &CertificateInfo| {
        let CertificateInfo { file, names, not_after, .. } = certificate;
        ([side.to_owned(), file.display().to_string(), names.join(",")], not_after.as_secs())
    };
    let served = now.certificates.iter().map(|certificate| row("clients", certificate));
    let shown = now.origin_certificate.iter().map(|certificate| row("origin", certificate));
    gauge(
        "caching_proxy_certificate_expiry_timestamp_seconds",
        "When a certificate ends, in seconds since 1970; side says who is shown it.",
    )
    .by_signed(&["side", "file", "names"], served.chain(shown))
}

fn origin(now: &Snapshot) -> Vec<Family> {
    let counts = &now.counts;
    let failures = now.origin_failures();
    vec![
        counter(
            "caching_proxy_origin_failures_total",
            "Attempts to get a response from the origin that failed, by the code of the reason; also \
             those that a stale response hides, but not what the client has spoilt.",
        )
        .by(&["reason"], failures.map(|(code, count)| ([code], count))),
        counter(
            "caching_proxy_origin_retries_total",
            "Requests that were sent to the origin once more.",
        )
        .is(counts.origin_retries),
        gauge(
            "caching_proxy_origin_connections_in_use",
            "Requests under way to the origin, of at most --origin-connections.",
        )
        .is(now.origin_connections),
    ]
}

fn stored(store: &Stats) -> Vec<Family> {
    vec![
        gauge("caching_proxy_store_entries", "What is stored: keys in memory, responses on disk.")
            .by(&["tier"], [(["memory"], store.memory_entries), (["disk"], store.disk_entries)]),
        gauge("caching_proxy_store_bytes", "Bytes that what is stored takes.")
            .by(&["tier"], [(["memory"], store.memory_bytes), (["disk"], store.disk_bytes)]),
        gauge(
            "caching_proxy_store_kept_bytes",
            "Bytes in memory, of those above, that are pieces of large bodies on disk.",
        )
        .is(store.kept_bytes),
        gauge(
            "caching_proxy_store_lent_bytes",
            "Bytes in memory, beside those above, that only readers hold: read from the disk for them, or given up.",
        )
        .is(store.lent_bytes),
        gauge(
            "caching_proxy_store_in_flight_bytes",
            "Bytes in memory, beside those above, of bodies that are on their way.",
        )
        .is(store.in_flight_bytes),
        gauge("caching_proxy_store_queued_bytes", "Bytes that wait to be written to disk.")
            .is(store.queued_bytes),
        gauge(
            "caching_proxy_store_index_bytes",
            "Bytes of memory that the index of the disk tier takes.",
        )
        .is(store.index_bytes),
        gauge(
            "caching_proxy_store_segment_bytes",
            "Bytes of the files in which small responses are, room set aside included.",
        )
        .is(store.segment_bytes),
        gauge(
            "caching_proxy_store_segments_to_recover",
            "Such files whose contents are still to be found after a crash.",
        )
        .is(store.segments_to_recover),
        gauge(
            "caching_proxy_store_invalidations",
            "Subjects of purges and invalidations that are remembered.",
        )
        .is(store.events),
    ]
}

fn store_work(store: &Stats) -> Vec<Family> {
    let failures = [
        (["write"], store.disk_write_failures),
        (["read"], store.disk_read_errors),
        (["timeout"], store.disk_timeouts),
        (["invalidation-write"], store.event_write_failures),
        (["invalidations-lost"], store.event_logs_lost),
    ];
    let skipped = [
        (["queue-full"], store.queue_full_skips),
        (["disk-resting"], store.resting_skips),
        (["no-room"], store.passed_along),
    ];
    let damaged = store.damaged.iter().map(|(why, count)| ([why.code()], *count));
    vec![
        counter("caching_proxy_store_evictions_total", "What was given up to make room.").by(
            &["tier"],
            [(["memory"], store.memory_evictions), (["disk"], store.disk_evictions)],
        ),
        counter(
            "caching_proxy_store_log_stored_bytes_total",
            "Bytes of small responses that were given to the log on disk.",
        )
        .is(store.log_stored_bytes),
        counter(
            "caching_proxy_store_log_copied_bytes_total",
            "Bytes in the log that were copied to its end because they were hit.",
        )
        .is(store.log_copied_bytes),
        counter(
            "caching_proxy_store_log_written_bytes_total",
            "All bytes written to the log; what exceeds those that were stored is what it costs.",
        )
        .is(store.log_written_bytes),
        counter("caching_proxy_store_failures_total", "What the disk failed at.")
            .by(&["kind"], failures),
        counter(
            "caching_proxy_store_left_alone_total",
            "Times the disk was left alone for a while because it failed again and again.",
        )
        .is(store.disk_left_alone),
        counter(
            "caching_proxy_store_skipped_total",
            "Bodies that were not kept, or not on disk, for want of something.",
        )
        .by(&["reason"], skipped),
        counter(
            "caching_proxy_store_damaged_total",
            "Records and files dropped as damaged, by what was wrong.",
        )
        .by(&["reason"], damaged),
    ]
}
