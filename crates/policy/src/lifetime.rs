//! How long a response may be used (RFC 9111 §4.2.1, §4.2.2, §5.3), and who says so.

use std::time::Duration;

use crate::date;
use crate::directives::ResponseDirectives;
use crate::fields::Fields;
use crate::rules::Rules;
use crate::units::{DeltaSeconds, Lifetime, Timestamp};
use crate::vary::Vary;

/// A lifetime and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// How long; zero when nothing gives a lifetime.
    pub lifetime: Lifetime,
    /// Who says so.
    pub source: Source,
}

/// Where a lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The origin said it.
    Explicit(Explicit),
    /// A tenth of the time since the last modification (RFC 9111 §4.2.2).
    Heuristic,
    /// The rules' `default_ttl`.
    DefaultTtl,
    /// The rules' `force_ttl`.
    Forced,
    /// Nowhere: the response must be validated before each use.
    Absent,
}

/// How an origin states a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explicit {
    /// RFC 9111 §5.2.2.10.
    SMaxage,
    /// RFC 9111 §5.2.2.1.
    MaxAge,
    /// RFC 9111 §5.3.
    Expires,
}

const NONE: Freshness = Freshness { lifetime: Lifetime::ZERO, source: Source::Absent };

/// The lifetime of a response under these rules.
pub fn of(
    response: &Fields,
    status: u16,
    directives: &ResponseDirectives,
    vary: &Vary,
    response_time: Timestamp,
    rules: &Rules,
) -> Freshness {
    let may_default = may_default(status, response, vary);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2
    //# A cache MUST NOT use heuristics to determine freshness when an explicit expiration time is
    //# present in the stored response.
    let given = explicit(response, directives, response_time)
        .or_else(|| heuristic(response, status, directives, response_time, rules))
        .or_else(|| rules.default_ttl.filter(|_| may_default).map(default))
        .unwrap_or(NONE);
    bounded(given, may_default, rules)
}

/// Is this a status that may be given a heuristic lifetime?
pub const fn is_heuristically_cacheable(status: u16) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.1
    //# Responses with status codes that are defined as heuristically cacheable (e.g., 200, 203, 204,
    //# 206, 300, 301, 308, 404, 405, 410, 414, and 501 in this specification) can be reused by a
    //# cache with heuristic expiration unless otherwise indicated by the method definition or
    //# explicit cache controls [CACHING]; all other status codes are not heuristically cacheable.
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

fn explicit(
    response: &Fields,
    directives: &ResponseDirectives,
    response_time: Timestamp,
) -> Option<Freshness> {
    let from = |secs: DeltaSeconds, how| Freshness {
        lifetime: Lifetime::new(secs.duration()),
        source: Source::Explicit(how),
    };
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //# If the cache is shared and the s-maxage response directive (Section 5.2.2.10) is present, use
    //# its value, or
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.3
    //# Likewise, if a response includes the s-maxage directive (Section 5.2.2.10), a shared cache
    //# recipient MUST ignore the Expires header field.
    if let Some(secs) = directives.s_maxage {
        return Some(from(secs, Explicit::SMaxage));
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //# If the max-age response directive (Section 5.2.2.1) is present, use its value, or
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.3
    //# If a response includes a Cache-Control header field with the max-age directive (Section
    //# 5.2.2.1), a recipient MUST ignore the Expires header field.
    if let Some(secs) = directives.max_age {
        return Some(from(secs, Explicit::MaxAge));
    }
    if let Some(until) = directives.expires {
        return Some(lasting(until, response, response_time));
    }
    if directives.targeted {
        return None;
    }
    expires(response, response_time)
}

fn expires(response: &Fields, response_time: Timestamp) -> Option<Freshness> {
    const PAST: Timestamp = Timestamp::from_millis(i64::MIN);
    let mut lines = response.all("expires");
    let line = lines.next()?;
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.3
    //# A cache recipient MUST interpret invalid date formats, especially the value "0", as
    //# representing a time in the past (i.e., "already expired").
    let until = date::parse(line, response_time).unwrap_or(PAST);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //# When there is more than one value present for a given directive (e.g., two Expires header
    //# field lines or multiple Cache-Control: max-age directives), either the first occurrence
    //# should be used or the response should be considered stale.
    let until = if lines.next().is_none() { until } else { PAST };
    Some(lasting(until, response, response_time))
}

/// The lifetime of a response that becomes stale at an instant.
fn lasting(until: Timestamp, response: &Fields, response_time: Timestamp) -> Freshness {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //# If the Expires response header field (Section 5.3) is present, use its value minus the value
    //# of the Date response header field (using the time the message was received if it is not
    //# present, as per Section 6.6.1 of [HTTP]), or
    let from = date::of(response, response_time).unwrap_or(response_time);
    let lifetime = Lifetime::new(until.saturating_since(from));
    Freshness { lifetime, source: Source::Explicit(Explicit::Expires) }
}

fn heuristic(
    response: &Fields,
    status: u16,
    directives: &ResponseDirectives,
    response_time: Timestamp,
    rules: &Rules,
) -> Option<Freshness> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2
    //# heuristics can only be used on responses without explicit freshness whose status codes are
    //# defined as heuristically cacheable (e.g., see Section 15.1 of [HTTP]) and on responses
    //# without explicit freshness that have been marked as explicitly cacheable (e.g., with a public
    //# response directive).
    if !is_heuristically_cacheable(status) && !directives.public {
        return None;
    }
    let modified = date::parse(response.get("last-modified")?, response_time)?;
    let from = date::of(response, response_time).unwrap_or(response_time);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2
    //# If the response has a Last-Modified header field (Section 8.8.2 of [HTTP]), caches are
    //# encouraged to use a heuristic expiration value that is no more than some fraction of the
    //# interval since that time. A typical setting of this fraction might be 10%.
    let tenth = from.saturating_since(modified) / 10;
    let lifetime = Lifetime::new(tenth.min(rules.heuristic_cap));
    (modified < from).then_some(Freshness { lifetime, source: Source::Heuristic })
}

fn default(ttl: Duration) -> Freshness {
    Freshness { lifetime: Lifetime::new(ttl), source: Source::DefaultTtl }
}

/// May the rules give this response a lifetime that its origin did not?
fn may_default(status: u16, response: &Fields, vary: &Vary) -> bool {
    matches!(status, 200 | 203 | 300 | 301 | 308 | 404 | 410)
        && !response.contains("set-cookie")
        && !vary.depends_on("cookie")
}

/// Applies `force_ttl`, `min_ttl` and `max_ttl`.
fn bounded(given: Freshness, may_default: bool, rules: &Rules) -> Freshness {
    let has_lifetime = given.source != Source::Absent;
    match rules.force_ttl {
        Some(ttl) if has_lifetime || may_default => {
            return Freshness { lifetime: Lifetime::new(ttl), source: Source::Forced };
        }
        _ if !has_lifetime => return given,
        _ => {}
    }
    let raised = given.lifetime.get().max(rules.min_ttl.unwrap_or(Duration::ZERO));
    let capped = raised.min(rules.max_ttl.unwrap_or(Duration::MAX));
    Freshness { lifetime: Lifetime::new(capped), ..given }
}

#[cfg(test)]
mod tests;
