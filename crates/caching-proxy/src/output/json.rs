//! One JSON object a line, for log collectors.

use proxy::Kind;
use serde_json::{Value, json};

use super::escape::printable;
use super::{Event, Level, Ready, Served};

/// The line without its end. `time` is in the form of RFC 3339.
pub(super) fn line(event: &Event, time: &str) -> String {
    let mut object = body(event);
    object["time"] = time.into();
    object["level"] = level(event).into();
    object.to_string()
}

/// Requests are information; their level says only whether they are wanted.
fn level(event: &Event) -> &'static str {
    event.level().min(Level::Info).word()
}

fn body(event: &Event) -> Value {
    match event {
        Event::Ready(ready) => ready_body(ready),
        Event::Request(served) => request_body(served),
        Event::Draining { signal, limit } => {
            json!({ "event": "draining", "signal": signal, "limit_seconds": limit.as_secs_f64() })
        }
        Event::Replaced { pid, limit } => {
            json!({ "event": "replaced", "by": pid, "limit_seconds": limit.as_secs_f64() })
        }
        Event::Stopped => json!({ "event": "stopped" }),
        Event::Cleared { entries, bytes } => {
            json!({ "event": "cleared", "entries": entries, "bytes": bytes })
        }
        Event::Purged { what, soft } => {
            json!({ "event": "purged", "what": what, "soft": soft })
        }
        Event::Hint(text) => json!({ "event": "hint", "message": text }),
        Event::Notice { code, message } => json!({ "event": code, "message": message }),
        Event::Trouble { code, message, times } => {
            json!({ "event": code, "message": message, "times": times })
        }
        Event::Dropped { count } => json!({ "event": "log-lines-dropped", "count": count }),
    }
}

fn ready_body(ready: &Ready) -> Value {
    json!({
        "event": "ready",
        "url": ready.url(),
        "tls_url": ready.url_of(Kind::Https),
        "redirect_url": ready.url_of(Kind::Redirect),
        "metrics_url": ready.metrics_url(),
        "listen": ready.answers.iter().map(|place| place.address.to_string()).collect::<Vec<_>>(),
        "origin": ready.origin,
        "pid": std::process::id(),
        "cache_dir": ready.directory.as_ref().map(|path| path.display().to_string()),
        "memory": ready.memory.to_string(),
        "disk": ready.disk.map(|size| size.to_string()),
        "cache_ttl": ready.ttl.to_string(),
        "workers": ready.workers,
        "max_connections": ready.connections,
    })
}

fn request_body(served: &Served) -> Value {
    let mut body = json!({
        "event": "request",
        "method": printable(&served.method),
        "host": printable(&served.host),
        "path": printable(&served.target),
        "status": served.status,
        "cache": served.verdict(),
        "reason": served.reason,
        "bytes": served.bytes,
        "duration_ms": (served.took.as_secs_f64() * 1e6).round() / 1e3,
        "client": served.client.to_string(),
        "request_id": printable(served.request_id.as_bytes()),
        "cut": served.cut,
    });
    if let Some(tunnel) = served.tunnel {
        body["received_bytes"] = tunnel.received.into();
        body["end"] = tunnel.end.code().into();
    }
    body
}
