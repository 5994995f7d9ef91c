//! The life of a request and of what is stored, by a proxy in this process whose clock stands still
//! until it is moved.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use policy::{Rules, Timestamp};
use proxy::clock::Clock;
use proxy::events::{Recorder, Served, Trouble};
use proxy::{Limits, OriginUrl, Running, Settings};
use testkit::{Client, Origin, Response};

mod withheld;

/// Mon, 23 Nov 2026 12:00:00 GMT.
const NOON: i64 = 1_795_435_200;

struct Silent;

impl Recorder for Silent {
    fn wants_requests(&self) -> bool {
        false
    }
    fn served(&self, _: &Served<'_>) {}
    fn trouble(&self, _: &Trouble<'_>) {}
}

/// A proxy in this process, in memory only.
struct Site {
    running: Running,
    clock: Clock,
}

impl Site {
    fn before(origin: &Origin) -> Self {
        Self::with(origin, |_| {})
    }

    fn ruled(origin: &Origin, rules: Rules) -> Self {
        Self::with(origin, |settings| settings.rules = rules)
    }

    fn with(origin: &Origin, change: impl FnOnce(&mut Settings)) -> Self {
        let clock = Clock::set_to(Timestamp::from_secs(NOON));
        let mut settings = Settings {
            listen: vec![proxy::Listen::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))],
            origin: OriginUrl::parse(&origin.url()).unwrap(),
            origin_tls: proxy::OriginTls::default(),
            workers: 1,
            store: store::Options::default(),
            rules: Rules::default(),
            clients: proxy::Clients::default(),
            limits: Limits::default(),
            clock: clock.clone(),
        };
        change(&mut settings);
        Self { running: proxy::start(settings, Arc::new(Silent)).unwrap(), clock }
    }

    fn client(&self) -> Client {
        Client::connect(self.running.local_addr())
    }

    fn request(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        self.client().request(method, path, fields)
    }

    fn after(&self, seconds: u64) -> &Self {
        self.clock.advance(Duration::from_secs(seconds));
        self
    }
}
