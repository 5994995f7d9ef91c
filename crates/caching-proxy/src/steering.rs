//! What the commands of the control socket do.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use proxy::Forgotten;
use proxy::purge::Purge;
use serde_json::{Value, json};

use crate::control::{self, Commands, Request};
use crate::metrics::{self, Format, Source};
use crate::output::{Event, Log};
use crate::signals::Ending;
use crate::stats;
use crate::succession::Elder;

/// What the control socket steers.
pub(crate) struct Steering {
    pub(crate) elder: Elder,
    pub(crate) source: Arc<Source>,
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
            Request::Stats => stats::to_json(&self.source.read()),
            Request::Metrics => self.metrics(),
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
            // It comes again, and says itself if that leads to nothing.
            Err(why) if why.is_passing() => {}
            Err(why) => {
                self.source.failed_takeovers.fetch_add(1, Ordering::Relaxed);
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

    fn metrics(&self) -> Value {
        let families = metrics::families(&self.source.read());
        json!({ "metrics": metrics::text(&families, Format::Prometheus) })
    }
}
