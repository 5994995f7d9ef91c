//! May a stored response answer this request now? (RFC 9111 §4, §4.2.4, RFC 5861)

use std::time::Duration;

use crate::classify::Asked;
use crate::explain::Fwd;
use crate::reason::{Hit, Refetch, Refused};
use crate::rules::{Profile, Rules};
use crate::terms::{Fact, Terms};
use crate::units::{Age, DeltaSeconds, Timestamp};

/// What a stored response is good for. `ttl` is in whole seconds and negative when it is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it.
    Fresh {
        /// For the Age field.
        age: Age,
        /// What is left of its lifetime.
        ttl: i64,
        /// Why.
        why: Hit,
    },
    /// Serve it, although it is stale.
    Stale {
        /// For the Age field.
        age: Age,
        /// What is left of its lifetime: nothing.
        ttl: i64,
        /// Who permits it.
        why: Hit,
        /// A refresh in the background is due.
        refresh: bool,
    },
    /// Ask the origin first.
    Revalidate(Refetch),
    /// The client wants nothing but a stored response, and this one will not do: answer 504.
    Unsatisfiable,
}

/// How the origin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFailure {
    /// There was no answer, or none that could be understood.
    Unreachable,
    /// It answered with this status.
    Status(u16),
}

/// Decides what to do with a stored response whose key and selecting fields match the request.
/// `purged` is when an operator made it stale, whatever its lifetime, if one did.
pub fn reuse(
    asked: &Asked,
    terms: &Terms,
    rules: &Rules,
    purged: Option<Timestamp>,
    now: Timestamp,
) -> Verdict {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //# When presented with a request, a cache MUST NOT reuse a stored response unless:
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //# the stored response is one of the following:
    let at = Now::of(terms, purged, now);
    let (age, ttl) = (at.age, at.ttl);
    let verdict = match needs_validation(asked, terms, rules) {
        Some(why) => Err(if is_wished_fresh(why, &at) { why } else { staleness(terms, &at) }),
        None => match at.left {
            //= https://www.rfc-editor.org/rfc/rfc9111#section-4
            //# fresh (see Section 4.2), or
            Some(left) => {
                accepted(asked, terms, age, left).map(|why| Verdict::Fresh { age, ttl, why })
            }
            //= https://www.rfc-editor.org/rfc/rfc9111#section-4
            //# allowed to be served stale (see Section 4.2.4), or
            None => stale(asked, terms, rules, &at).map(|(why, refresh)| Verdict::Stale {
                age,
                ttl,
                why,
                refresh,
            }),
        },
    };
    match verdict {
        Ok(verdict) => verdict,
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.7
        //# Caches that honor this request directive SHOULD, upon receiving it, respond with either a
        //# stored response consistent with the other constraints of the request or a 504 (Gateway
        //# Timeout) status code.
        Err(_) if asked.only_if_cached => Verdict::Unsatisfiable,
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4
        //# successfully validated (see Section 4.3).
        Err(why) => Verdict::Revalidate(why),
    }
}

/// What to answer when nothing is stored: `Some` means 504, `None` means ask the origin.
pub fn absent(asked: &Asked) -> Option<Refused> {
    asked.only_if_cached.then_some(Refused::OnlyIfCached)
}

/// Whether a stored response may stand in for an answer that the origin failed to give, with its
/// age and its ttl.
///
/// Ask this when [`reuse`] said [`Verdict::Revalidate`] and the origin then failed.
pub fn stale_on_error(
    asked: &Asked,
    terms: &Terms,
    rules: &Rules,
    failure: OriginFailure,
    purged: Option<Timestamp>,
    now: Timestamp,
) -> Option<(Age, i64, Hit)> {
    //= https://www.rfc-editor.org/rfc/rfc5861#section-4
    //# In this context, an error is any situation which would result in a 500, 502, 503 or 504 HTTP
    //# response status code being returned.
    if matches!(failure, OriginFailure::Status(status) if !matches!(status, 500 | 502..=504)) {
        return None;
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4
    //# A cache MUST NOT generate a stale response if it is prohibited by an explicit in-protocol
    //# directive (e.g., by a no-cache response directive, a must-revalidate response directive, or an
    //# applicable s-maxage or proxy-revalidate response directive; see Section 5.2.2).
    let needs = needs_validation(asked, terms, rules);
    let at = Now::of(terms, purged, now);
    let is_fresh = at.left.is_some();
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.2
    //# In all circumstances, a cache MUST NOT ignore the must-revalidate directive; in particular,
    //# if a cache is disconnected, the cache MUST generate an error response rather than reuse the
    //# stale response.
    if needs.is_some() || (terms.is(Fact::MustRevalidate) && !is_fresh) {
        return None;
    }
    let why = if is_fresh {
        Hit::FreshOriginFailed
    } else {
        on_error(asked, terms, rules, failure, &at)?
    };
    Some((at.age, at.ttl, why))
}

/// The status of the error that tells a client that the origin could not be reached to validate this
/// stored response, where the standard has one.
pub fn unvalidated_status(terms: &Terms, purged: Option<Timestamp>, now: Timestamp) -> Option<u16> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.2
    //# In all circumstances, a cache MUST NOT ignore the must-revalidate directive; in particular, if
    //# a cache is disconnected, the cache MUST generate an error response rather than reuse the stale
    //# response. The generated status code SHOULD be 504 (Gateway Timeout) unless another error
    //# status code is more applicable.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.10
    //# The s-maxage directive incorporates the semantics of the proxy-revalidate response directive
    //# (Section 5.2.2.8) for a shared cache.
    let must_be_validated = terms.is(Fact::MustRevalidate) || terms.is(Fact::SMaxage);
    (must_be_validated && Now::of(terms, purged, now).left.is_none()).then_some(504)
}

/// A stored response at this moment.
struct Now {
    age: Age,
    /// What is left of its lifetime; `None` if it is stale.
    left: Option<Duration>,
    /// The same in seconds, negative if it is stale.
    ttl: i64,
    stale_for: Duration,
    /// It would be fresh had nobody purged it.
    is_purged: bool,
}

impl Now {
    fn of(terms: &Terms, purged: Option<Timestamp>, now: Timestamp) -> Self {
        let age = terms.age(now);
        let (left, ttl) = (terms.lifetime.left_after(age), terms.lifetime.ttl(age));
        let stale_for = terms.lifetime.exceeded_by(age);
        let Some(since) = purged else {
            return Self { age, left, ttl, stale_for, is_purged: false };
        };
        let purged_for = now.saturating_since(since);
        let seconds = i64::try_from(purged_for.as_secs()).unwrap_or(i64::MAX);
        Self {
            age,
            left: None,
            ttl: ttl.min(seconds.saturating_neg()),
            stale_for: stale_for.max(purged_for),
            is_purged: left.is_some(),
        }
    }
}

/// The reasons for which no lifetime is long enough.
fn needs_validation(asked: &Asked, terms: &Terms, rules: &Rules) -> Option<Refetch> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.4
    //# The no-cache response directive, in its unqualified form (without an argument), indicates
    //# that the response MUST NOT be used to satisfy any other request without forwarding it for
    //# validation and receiving a successful response
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //# the stored response does not contain the no-cache directive (Section 5.2.2.4), unless it is
    //# successfully validated (Section 4.3), and
    if terms.is(Fact::NoCache) {
        return Some(Refetch::NoCache);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.4
    //# The no-cache request directive indicates that the client prefers a stored response not be
    //# used to satisfy the request without successful validation on the origin server.
    if asked.no_cache {
        return Some(Refetch::RequestNoCache);
    }
    // An origin may answer the anonymous and the authorised alike without `Vary: Authorization`.
    // The RFC lets us trust that it means it; the safe profile wants a word from the origin.
    let is_unsafe = rules.profile == Profile::Safe && !terms.is(Fact::PermitsAuthorized);
    if asked.authorization && is_unsafe {
        return Some(Refetch::Authorization);
    }
    // The same with those who have shown a certificate and those who have not.
    let is_unsafe = is_unsafe && !terms.vary().tells_certificates_apart();
    (asked.certificate && is_unsafe).then_some(Refetch::ClientCertificate)
}

/// Is a fresh response, with this much left, fresh enough for the client?
fn accepted(asked: &Asked, terms: &Terms, age: Age, left: Duration) -> Result<Hit, Refetch> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.3
    //# the client wants a response that will still be fresh for at least the specified number of
    //# seconds.
    if asked.min_fresh.is_some_and(|wanted| left < wanted.duration()) {
        return Err(Refetch::RequestMinFresh);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.1
    //# The max-age request directive indicates that the client prefers a response whose age is less
    //# than or equal to the specified number of seconds.
    match asked.max_age {
        Some(wanted) if !is_within(age, wanted) => {
            //= https://www.rfc-editor.org/rfc/rfc8246#section-2.1
            //# proxies SHOULD skip conditionally revalidating fresh responses containing the
            //# immutable extension unless there is a signal from the client that a validation is
            //# necessary (e.g., a no-cache Cache-Control request directive
            if terms.is(Fact::Immutable) { Ok(Hit::Immutable) } else { Err(Refetch::RequestMaxAge) }
        }
        _ => Ok(Hit::Fresh),
    }
}

/// Is the age at most this? With zero the client means "ask again" (it is what a browser's reload
/// sends), even in the very millisecond in which the response arrived.
fn is_within(age: Age, wanted: DeltaSeconds) -> bool {
    wanted > DeltaSeconds::ZERO && age.get() <= wanted.duration()
}

/// Why a response that is stale is not used.
const fn staleness(terms: &Terms, at: &Now) -> Refetch {
    match terms.source {
        _ if at.is_purged => Refetch::PurgedSoft,
        crate::lifetime::Source::Absent => Refetch::NoLifetime,
        _ => Refetch::Stale,
    }
}

/// Whether a reason that lies in the request is told: it is for a response that could be used
/// otherwise.
fn is_wished_fresh(why: Refetch, at: &Now) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9211#section-2.2
    //# The cache was able to select a fresh response for the request, but the request's semantics
    //# (e.g., Cache-Control request directives) did not allow its use.
    why.fwd() != Fwd::Request || at.left.is_some()
}

/// May a stale response be served while the origin is presumably well? With the permission, and
/// whether to refresh.
fn stale(asked: &Asked, terms: &Terms, rules: &Rules, at: &Now) -> Result<(Hit, bool), Refetch> {
    let refusal = staleness(terms, at);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.2
    //# once the response has become stale, a cache MUST NOT reuse that response to satisfy another
    //# request until it has been successfully validated by the origin
    if terms.is(Fact::MustRevalidate) || asked.min_fresh.is_some() {
        return Err(refusal);
    }
    let stale_for = at.stale_for;
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.1
    //# Unless the max-stale request directive is also present, the client does not wish to receive a
    //# stale response.
    if asked.max_age.is_none() && is_permitted(stale_for, while_revalidate(terms, rules)) {
        return Ok((Hit::StaleWhileRevalidate, true));
    }
    let max_stale =
        asked.max_stale.filter(|_| !terms.is(Fact::SMaxage)).map(DeltaSeconds::duration);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.2
    //# If a value is present, then the client is willing to accept a response that has exceeded its
    //# freshness lifetime by no more than the specified number of seconds.
    let is_any = asked.max_stale == Some(DeltaSeconds::MAX) && !terms.is(Fact::SMaxage);
    if is_any || is_permitted(stale_for, max_stale) {
        return Ok((Hit::MaxStale, false));
    }
    Err(refusal)
}

/// Who permits a stale response when the origin failed?
fn on_error(
    asked: &Asked,
    terms: &Terms,
    rules: &Rules,
    failure: OriginFailure,
    at: &Now,
) -> Option<Hit> {
    let stale_for = at.stale_for;
    //= https://www.rfc-editor.org/rfc/rfc5861#section-4
    //# The stale-if-error Cache-Control extension indicates that when an error is encountered, a
    //# cached stale response MAY be used to satisfy the request, regardless of other freshness
    //# information.
    if is_permitted(stale_for, if_error(asked, terms, rules)) {
        return Some(Hit::StaleIfError);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4
    //# A cache MUST NOT generate a stale response unless it is disconnected or doing so is
    //# explicitly permitted by the client or origin server
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.10
    //# A shared cache MUST NOT reuse a stale response with s-maxage to satisfy another request
    //# until it has been successfully validated by the origin
    let is_disconnected = failure == OriginFailure::Unreachable && !terms.is(Fact::SMaxage);
    (is_disconnected && stale_for <= rules.stale_if_unreachable)
        .then_some(Hit::StaleOriginUnreachable)
}

/// The window after the lifetime in which a refresh may go on behind the client's back.
///
/// An origin that sends the extension beside s-maxage has said how stale the response may be, and
/// so lifted the prohibition that s-maxage implies; what we or a client add does not.
fn while_revalidate(terms: &Terms, rules: &Rules) -> Option<Duration> {
    //= https://www.rfc-editor.org/rfc/rfc5861#section-3
    //# When present in an HTTP response, the stale-while-revalidate Cache-Control extension
    //# indicates that caches MAY serve the response it appears in after it becomes stale, up to the
    //# indicated number of seconds.
    let ours = rules.stale_while_revalidate.filter(|_| !terms.is(Fact::SMaxage));
    terms.stale_while_revalidate.map(DeltaSeconds::duration).or(ours)
}

/// The window after the lifetime in which an error of the origin may be hidden. A client may widen
/// it for itself.
fn if_error(asked: &Asked, terms: &Terms, rules: &Rules) -> Option<Duration> {
    let theirs =
        asked.stale_if_error.map(DeltaSeconds::duration).filter(|_| !terms.is(Fact::SMaxage));
    let ours = rules.stale_if_error.filter(|_| !terms.is(Fact::SMaxage));
    terms.stale_if_error.map(DeltaSeconds::duration).or(ours).max(theirs)
}

/// A response may be stale for no longer than the window says; without one, not at all.
fn is_permitted(stale_for: Duration, window: Option<Duration>) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc5861#section-4
    //# Its value indicates the upper limit to staleness; when the cached response is more stale than
    //# the indicated amount, the cached response SHOULD NOT be used to satisfy the request, absent
    //# other information.
    window.is_some_and(|window| !window.is_zero() && stale_for <= window)
}

#[cfg(test)]
mod tests;
