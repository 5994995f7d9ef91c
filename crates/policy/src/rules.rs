//! What an operator decides, typed. Everything else is decided by the standard.

use std::time::Duration;

/// What an operator decides about the responses of one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The lifetime of a response for which the origin gives none and the heuristic finds none.
    /// Only for status 200, 203, 300, 301, 308, 404 and 410, without Set-Cookie and without Cookie
    /// in Vary.
    pub default_ttl: Option<Duration>,
    /// Raises shorter lifetimes.
    pub min_ttl: Option<Duration>,
    /// Caps longer lifetimes; stronger than `min_ttl`.
    pub max_ttl: Option<Duration>,
    /// Replaces the lifetime that the other three words and the origin give. It lifts no
    /// prohibition: `no-store`, `private`, `no-cache` and the like stay in force, and a response
    /// without any lifetime gets one only where `default_ttl` would give it one.
    pub force_ttl: Option<Duration>,
    /// Whether clients can ask for fresher, or staler, content.
    pub request_cache_control: RequestCacheControl,
    /// What becomes of a response with Set-Cookie.
    pub set_cookie: SetCookie,
    /// Which choices apply where the standard leaves one.
    pub profile: Profile,
    /// The longest heuristic lifetime (RFC 9111 §4.2.2).
    pub heuristic_cap: Duration,
    /// For how long after it became stale a response may be served while the origin cannot be
    /// reached (RFC 9111 §4.2.4). Never against must-revalidate, proxy-revalidate, s-maxage or
    /// no-cache.
    pub stale_if_unreachable: Duration,
    /// As if a response without `stale-if-error` had it with this value.
    pub stale_if_error: Option<Duration>,
    /// As if a response without `stale-while-revalidate` had it with this value.
    pub stale_while_revalidate: Option<Duration>,
    /// The targeted fields that outrank Cache-Control, most applicable first (RFC 9213 §2.2).
    /// Surrogate-Control and X-Accel-Expires can be among them; see [`dialect`](crate::dialect).
    pub targeted: Vec<String>,
    /// How much of what the cache did is told to clients.
    pub cache_status: CacheStatus,
}

impl Rules {
    /// Whether responses are stored with their Set-Cookie fields.
    pub(crate) fn stores_cookies(&self) -> bool {
        match self.set_cookie {
            SetCookie::Refuse => self.profile == Profile::Rfc9111,
            SetCookie::Strip => false,
            SetCookie::Store => true,
        }
    }
}

/// How much Cache-Status tells (RFC 9211 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheStatus {
    /// There is none.
    Off,
    /// What happened and why.
    #[default]
    Normal,
    /// Also the cache key and, when the origin failed, its address: for debugging, since both help
    /// an attacker.
    Full,
}

/// Whether Cache-Control and Pragma of requests count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestCacheControl {
    /// As RFC 9111 §5.2.1 has it.
    #[default]
    Honour,
    /// They are advisory (RFC 9111 §5.2.1), and not heeded.
    Ignore,
}

/// What becomes of a response with Set-Cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// It is not stored, unless the profile is [`Profile::Rfc9111`].
    #[default]
    Refuse,
    /// It is stored without the Set-Cookie lines.
    Strip,
    /// It is stored as it is, and every client gets the same cookie.
    Store,
}

/// Which choices apply where the standard leaves one.
///
/// Both obey every requirement of RFC 9111. They differ in what it permits and leaves to a cache:
///
/// | | [`Safe`](Profile::Safe) | [`Rfc9111`](Profile::Rfc9111) | decided in |
/// |---|---|---|---|
/// | a response with Set-Cookie | is not stored, unless [`Rules::set_cookie`] says otherwise | is stored as any other (§7.3), unless it says [`SetCookie::Strip`] | [`admit`](crate::admit::admit) |
/// | status 400 | is stored only with an explicit lifetime | also when it is `public` (§3) | [`admit`](crate::admit::admit) |
/// | status 405 or 414 | is stored only with a lifetime, explicit or by Last-Modified | also with a validator alone (§3) | [`admit`](crate::admit::admit) |
/// | a status from 500 on | likewise; by Last-Modified only if it is 501 or `public` | with a validator alone, if it is 501 or `public` (§3) | [`admit`](crate::admit::admit) |
/// | a request with Authorization | is answered from a stored response without validation only if that permits it as §3.5 has it for storing | is answered as any other: §3.5 is about what is stored | [`reuse`](crate::reuse::reuse) |
///
/// A default lifetime is no choice of a profile: it is there when [`Rules::default_ttl`] is, which
/// the command line leaves out under `rfc9111` unless `--cache-ttl` is given. Everything else, the
/// heuristic, the directives of requests and stale responses among it, is the same in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Responses that are probably personal, or about one request, are not stored, and a response
    /// that was not marked as shareable does not answer a request with Authorization without
    /// validation.
    #[default]
    Safe,
    /// Every choice as RFC 9111 has it.
    Rfc9111,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            default_ttl: None,
            min_ttl: None,
            max_ttl: None,
            force_ttl: None,
            request_cache_control: RequestCacheControl::Honour,
            set_cookie: SetCookie::Refuse,
            profile: Profile::Safe,
            heuristic_cap: Duration::from_hours(24),
            stale_if_unreachable: Duration::from_hours(1),
            stale_if_error: None,
            stale_while_revalidate: None,
            targeted: vec!["CDN-Cache-Control".to_owned()],
            cache_status: CacheStatus::Normal,
        }
    }
}
