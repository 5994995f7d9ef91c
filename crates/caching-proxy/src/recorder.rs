//! From the proxy's events to lines: copies what is said and leaves the rest to the log's thread.

use proxy::events::{Notice, Recorder, Served, Trouble};

use crate::output::{self, Event, Level, Log};

/// Passes requests and troubles on to the log.
pub(crate) struct AccessLog {
    log: Log,
    wants_requests: bool,
}

impl AccessLog {
    /// For this log, whose level never changes.
    pub(crate) fn new(log: Log) -> Self {
        let wants_requests = log.wants(Level::Requests);
        Self { log, wants_requests }
    }
}

impl Recorder for AccessLog {
    fn wants_requests(&self) -> bool {
        self.wants_requests
    }

    fn served(&self, served: &Served<'_>) {
        if !self.wants_requests {
            return;
        }
        self.log.say(Event::Request(Box::new(output::Served {
            method: served.method.to_vec(),
            host: served.host.to_vec(),
            target: served.target.to_vec(),
            status: served.status,
            hit: served.hit,
            reason: served.reason,
            bytes: served.bytes,
            took: served.took,
            client: served.client,
            request_id: served.request_id.to_owned(),
            cut: served.cut,
            tunnel: served.tunnel,
        })));
    }

    fn trouble(&self, trouble: &Trouble<'_>) {
        self.log.say(Event::Trouble {
            code: trouble.code,
            message: trouble.message.to_owned(),
            times: trouble.times,
        });
    }

    fn notice(&self, notice: &Notice<'_>) {
        self.log.say(Event::Notice { code: notice.code, message: notice.message.to_owned() });
    }
}
