//! What the test files of this crate share: a proxy in this process, in memory only, whose clock stands
//! still until it is moved. What is set otherwise, each file says.

#![allow(dead_code, reason = "no test file needs all of it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use policy::{Rules, Timestamp};
use proxy::clock::Clock;
use proxy::events::{Recorder, Served, Trouble};
use proxy::{Limits, Listen, OriginUrl, Running, Settings};
use testkit::{Client, Origin, Response};

/// Mon, 23 Nov 2026 12:00:00 GMT.
pub(crate) const NOON: i64 = 1_795_435_200;

/// Listens to nothing.
pub(crate) struct Silent;

impl Recorder for Silent {
    fn wants_requests(&self) -> bool {
        false
    }
    fn served(&self, _: &Served<'_>) {}
    fn trouble(&self, _: &Trouble<'_>) {}
}

/// What is usual before an origin with this URL.
pub(crate) fn settings(origin: &str) -> Settings {
    Settings {
        listen: vec![Listen::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))],
        origin: OriginUrl::parse(origin).unwrap(),
        origin_tls: proxy::OriginTls::default(),
        workers: 1,
        store: store::Options::default(),
        rules: Rules::default(),
        clients: proxy::Clients::default(),
        limits: Limits::default(),
        clock: Clock::set_to(Timestamp::from_secs(NOON)),
    }
}

/// A running proxy.
pub(crate) struct Site {
    pub(crate) running: Running,
    pub(crate) clock: Clock,
}

impl Site {
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::with(origin, |_| {})
    }

    pub(crate) fn ruled(origin: &Origin, rules: Rules) -> Self {
        Self::with(origin, |settings| settings.rules = rules)
    }

    pub(crate) fn with(origin: &Origin, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(&origin.url());
        change(&mut settings);
        Self::start(settings)
    }

    pub(crate) fn start(settings: Settings) -> Self {
        let clock = settings.clock.clone();
        Self { running: proxy::start(settings, Arc::new(Silent)).unwrap(), clock }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.running.local_addr())
    }

    /// One request on a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        self.client().request(method, path, fields)
    }

    /// The same site, so many seconds later.
    pub(crate) fn after(&self, seconds: u64) -> &Self {
        self.clock.advance(Duration::from_secs(seconds));
        self
    }
}

/// A running proxy, and what it tells.
pub(crate) struct Heard<R> {
    pub(crate) running: Running,
    pub(crate) log: Arc<R>,
}

impl<R: Recorder + Default> Heard<R> {
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::with(origin, |_| {})
    }

    pub(crate) fn with(origin: &Origin, change: impl FnOnce(&mut Limits)) -> Self {
        Self::at(OriginUrl::parse(&origin.url()).unwrap(), change)
    }

    pub(crate) fn at(origin: OriginUrl, change: impl FnOnce(&mut Limits)) -> Self {
        Self::set(origin, |settings| change(&mut settings.limits))
    }

    pub(crate) fn set(origin: OriginUrl, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(&origin.to_string());
        settings.origin = origin;
        change(&mut settings);
        let log = Arc::new(R::default());
        Self { running: proxy::start(settings, Arc::clone(&log) as _).unwrap(), log }
    }
}

/// Where the content of a response came from, and the content.
pub(crate) fn told(response: &Response) -> (String, String) {
    (response.field("X-Cache").unwrap().to_owned(), response.text())
}

/// What is told of a hit with this content.
pub(crate) fn hit(content: &str) -> (String, String) {
    ("HIT".to_owned(), content.to_owned())
}

/// What is told of anything else.
pub(crate) fn miss(content: &str) -> (String, String) {
    ("MISS".to_owned(), content.to_owned())
}
