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

use testkit::{Binary, eventually};

use crate::Proxy;

impl Proxy {
    /// Has a newer process take over, and returns the older one, which accepts no more.
    fn take_over(&mut self) -> Binary {
        let newer = self.launch().arg("--take-over").start();
        let older = self.binary.replace(newer).unwrap();
        assert!(older.says(r#""event":"replaced""#), "{}", older.stderr());
        // It may take some more for a moment, and says to each that it closes.
        let stays = || {
            let answer = self.request("OPTIONS", "/", &[("Max-Forwards", "0")]);
            answer.field("Connection").is_none()
        };
        assert!(eventually(|| (0..20).all(|_| stays())));
        older
    }
}

fn has_ended(mut older: Binary) {
    assert_eq!(older.exited().code(), Some(0), "{}", older.stderr());
}
