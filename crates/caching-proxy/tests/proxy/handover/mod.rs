//! One process takes over from another: nobody is refused, nothing is forgotten, nothing comes back.
//!
//! `RESTARTS=10 RATE=10000 EVERY=2000 cargo test --release -p caching-proxy --test proxy
//! handover::load -- --nocapture` shows it under more load, and says how much it was.

mod chains;
mod coherence;
mod ends;
mod failures;
mod load;
mod metrics;
mod pretender;
mod shortage;
mod stops;

use testkit::{Binary, Origin, eventually};

use crate::{Proxy, cache, ok};

impl Proxy {
    /// Has a newer process take over, and returns the older one, which accepts no more.
    pub(super) fn take_over(&mut self) -> Binary {
        let newer = self.launch().arg("--take-over").start();
        let older = self.binary.replace(newer).unwrap();
        assert!(older.says(r#""event":"replaced""#), "{}", older.stderr());
        self.settles();
        older
    }

    /// Waits until the newer process alone accepts. The older one may take some more for a moment, and
    /// says to each that it closes.
    fn settles(&self) {
        let stays = || {
            let answer = self.request("OPTIONS", "/", &[("Max-Forwards", "0")]);
            answer.field("Connection").is_none()
        };
        assert!(eventually(|| (0..20).all(|_| stays())));
    }
}

pub(super) fn has_ended(mut older: Binary) {
    assert_eq!(older.exited().code(), Some(0), "{}", older.stderr());
}

/// Each path has its own name for content, for an hour.
fn site() -> Origin {
    Origin::start(|request, conn| {
        conn.send(ok("Cache-Control: max-age=3600\r\n", &request.target));
    })
}

/// What `X-Cache` says of a path.
fn get(proxy: &Proxy, path: &str) -> String {
    let mut client = proxy.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n"));
    let answer = client.response();
    assert_eq!(answer.text(), path);
    cache(&answer).to_owned()
}
