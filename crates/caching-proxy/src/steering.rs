//! What the commands of the control socket do.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;

use proxy::events::Counts;
use proxy::purge::Purge;
use proxy::{CertificateInfo, Forgotten, HandshakeFailure};
use serde_json::{Value, json};

use crate::control::{self, Commands, Request};
use crate::output::{Event, Log, rfc3339};
use crate::signals::Ending;
use crate::succession::Elder;

/// A certificate as it is told of.
fn told(certificate: &CertificateInfo) -> Value {
    json!({
        "file": certificate.file.display().to_string(),
        "names": certificate.names,
        "not_after": rfc3339(certificate.not_after.as_millis()),
        "not_after_seconds": certificate.not_after.as_millis() / 1000,
    })
}

/// What the control socket steers.
pub(crate) struct Steering {
    pub(crate) elder: Elder,
    pub(crate) log: Log,
    pub(crate) ending: Sender<Ending>,
}

impl Commands for Steering {
    fn answer(&self, request: Request) -> Value {
        // Nothing is carried out by halves here and by another process.
        let Some(_command) = self.elder.succession.enter() else {
            let told = control::ask_patiently(&self.elder.directory, &request);
            return told.unwrap_or_else(|error| json!({ "error": error.to_string() }));
        };
        match request {
            Request::Clear => self.clear(),
            Request::Stats => self.stats(),
            Request::Purge { what, soft } => self.purge(&what, soft),
            Request::Forget(what) => self.forget(&what),
            Request::TakeOver => json!({ "error": "nothing can be answered to that" }),
        }
    }

    fn let_take_over(&self, client: UnixStream) {
        match self.elder.hand_over(client) {
            // Only the main thread receives it, which may have ended.
            Ok(Some(pid)) => drop(self.ending.send(Ending::Replaced(pid))),
            Ok(None) => {}
            Err(why) => {
                let (code, message) = ("take-over-failed", format!("nobody has taken over: {why}"));
                self.log.say(Event::Trouble { code, message, times: 1 });
            }
        }
    }
}

impl Steering {
    fn handle(&self) -> &proxy::Handle {
        &self.elder.handle
    }

    fn forget(&self, what: &Forgotten) -> Value {
        match self.handle().forget(what) {
            Ok(()) => json!({}),
            Err(error) => json!({ "error": format!("cannot wait for the disk: {error}") }),
        }
    }

    fn clear(&self) -> Value {
        let store::Cleared { entries, bytes } = self.handle().clear();
        // Memory has forgotten already; the answer waits for the files.
        if let Err(error) = self.handle().settle() {
            return json!({ "error": format!("cannot wait for the disk: {error}") });
        }
        self.log.say(Event::Cleared { entries, bytes });
        json!({ "entries": entries, "bytes": bytes })
    }

    fn purge(&self, what: &Purge, soft: bool) -> Value {
        if let Err(error) = self.handle().purge(what, soft) {
            return json!({ "error": format!("cannot wait for the disk: {error}") });
        }
        let what = what.to_string();
        self.log.say(Event::Purged { what: what.clone(), soft });
        json!({ "purged": what, "soft": soft })
    }

    /// What happened in TLS, and what is served there.
    fn tls(&self, counts: &Counts) -> Value {
        let failures = HandshakeFailure::ALL.iter().zip(counts.handshake_failures);
        let failures = failures.map(|(why, count)| (why.code().to_owned(), json!(count)));
        json!({
            "handshakes": counts.handshakes,
            "failures": Value::Object(failures.collect()),
            "certificates": self.handle().certificates().iter().map(told).collect::<Vec<_>>(),
            "origin_certificate": self.handle().origin_certificate().as_ref().map(told),
        })
    }

    fn connections(&self) -> Value {
        let proxy::ConnectionCounts { open, refused, dropped, made_way } =
            self.handle().connections();
        json!({ "open": open, "refused": refused, "dropped": dropped, "made_way": made_way })
    }

    fn stats(&self) -> Value {
        let (counts, store) = (self.handle().counts(), self.handle().store_stats());
        let damaged =
            store.damaged.iter().map(|(why, count)| (why.code().to_owned(), json!(count)));
        json!({
            "requests": counts.requests,
            "hits": counts.hits,
            "origin_failures": counts.origin_failures,
            "refused": counts.refused,
            "cut": counts.cut,
            "connections": counts.connections,
            "tunnels": { "begun": counts.tunnels, "open": self.handle().open_tunnels() },
            "client_connections": self.connections(),
            "bytes": counts.bytes,
            "tls": self.tls(&counts),
            "store": {
                "memory_entries": store.memory_entries,
                "memory_bytes": store.memory_bytes,
                "kept_bytes": store.kept_bytes,
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
                "damaged": Value::Object(damaged.collect()),
            },
        })
    }
}
