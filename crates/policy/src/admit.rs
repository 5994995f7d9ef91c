//! May this response be stored, and on which terms? (RFC 9111 §3)

use crate::age;
use crate::classify::Asked;
use crate::directives::{ResponseDirectives, Scope};
use crate::fields::Fields;
use crate::lifetime::{self, Freshness, Source, is_heuristically_cacheable};
use crate::live;
use crate::method::Method;
use crate::range::Part;
use crate::reason::NotStored;
use crate::rules::{Profile, Rules, SetCookie};
use crate::terms::{Fact, Facts, Terms};
use crate::units::Timestamp;
use crate::validate::has_validator;
use crate::vary::Vary;

/// What becomes of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admit {
    /// It may be stored on these terms.
    Store(Terms),
    /// It must not, or need not, be stored.
    DoNotStore(NotStored),
}

/// A request and the response to it, as they arrived.
///
/// To judge a stored response anew after a 304, pass the freshened fields, the stored status, and
/// the times of the 304.
#[derive(Clone, Copy, Debug)]
pub struct Exchanged<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// The request, digested.
    pub asked: &'a Asked,
    /// The fields of the request as its client sent them: Vary is about these.
    pub request: &'a Fields,
    /// The status of the response.
    pub status: u16,
    /// The fields of the response, Age included.
    pub response: &'a Fields,
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response head arrived.
    pub response_time: Timestamp,
}

/// Decides whether a response may be stored.
pub fn admit(exchanged: &Exchanged<'_>, rules: &Rules) -> Admit {
    match terms(exchanged, rules) {
        Ok(terms) => Admit::Store(terms),
        Err(why) => Admit::DoNotStore(why),
    }
}

fn terms(exchanged: &Exchanged<'_>, rules: &Rules) -> Result<Terms, NotStored> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# A cache MUST NOT store a response to a request unless:
    let &Exchanged { response, status, request_time, response_time, .. } = exchanged;
    let directives = ResponseDirectives::of(response, rules);
    check_message(exchanged)?;
    // A part that must not be kept with its range would pass for the whole.
    if status == 206 && directives.withholds(b"content-range") {
        return Err(NotStored::PartialContent);
    }
    check_directives(exchanged, &directives)?;
    // Whatever lifetime it has, its own or that of the rules.
    if let Some(why) = live::not_stored(response) {
        return Err(why);
    }
    check_set_cookie(response, &directives, rules)?;
    let vary = Vary::of(response, exchanged.request)?;
    check_vary(&vary)?;
    check_certificate(exchanged.asked, &directives, &vary)?;
    let freshness = lifetime::of(response, status, &directives, &vary, response_time, rules);
    check_cacheable(status, &directives, freshness, rules)?;
    let terms = Terms {
        response_time,
        initial_age: age::initial(response, request_time, response_time),
        lifetime: freshness.lifetime,
        source: freshness.source,
        facts: facts(response, &directives, rules),
        stale_while_revalidate: directives.stale_while_revalidate,
        stale_if_error: directives.stale_if_error,
        dialect: directives.dialect,
        vary,
    };
    check_useful(&terms)?;
    Ok(terms)
}

fn facts(response: &Fields, directives: &ResponseDirectives, rules: &Rules) -> Facts {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.8
    //# The proxy-revalidate response directive indicates that once the response has become
    //# stale, a shared cache MUST NOT reuse that response to satisfy another request until it
    //# has been successfully validated by the origin
    let must_revalidate = directives.must_revalidate || directives.proxy_revalidate;
    Facts::of([
        (Fact::NoCache, directives.no_cache == Scope::Everything),
        (Fact::MustRevalidate, must_revalidate),
        (Fact::SMaxage, directives.s_maxage.is_some()),
        (Fact::Immutable, directives.immutable),
        (Fact::PermitsAuthorized, directives.permits_authorized()),
        (Fact::HasValidator, has_validator(response)),
        (Fact::SetCookie, rules.stores_cookies() && has_cookie(response, directives)),
    ])
}

/// The conditions on method and status.
fn check_message(exchanged: &Exchanged<'_>) -> Result<(), NotStored> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# the request method is understood by the cache;
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
    //# The response to a QUERY method is cacheable; a cache MAY use it to satisfy subsequent QUERY
    //# requests
    if !matches!(exchanged.method, Method::Get | Method::Query) {
        return Err(NotStored::Method);
    }
    match exchanged.status {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-3
        //# the response status code is final (see Section 15 of [HTTP]);
        0..=199 | 600.. => Err(NotStored::StatusNotFinal),
        //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
        //# However, a cache MUST NOT store incomplete or partial-content responses if it does not
        //# support the Range and Content-Range header fields or if it does not understand the range
        //# units used in those fields.
        206 if !is_single_part(exchanged.response) => Err(NotStored::PartialContent),
        // The key does not have the precondition or range that they answer.
        304 | 412 | 416 => Err(NotStored::ConditionalStatus),
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.22
        //# The 426 (Upgrade Required) status code indicates that the server refuses to perform the
        //# request using the current protocol but might be willing to do so after the client upgrades
        //# to a different protocol.
        // Another client's protocol may be another, and the Upgrade field must not be stored.
        426 => Err(NotStored::UpgradeRequired),
        //= https://www.rfc-editor.org/rfc/rfc6585#section-3
        //# Responses with the 428 status code MUST NOT be stored by a cache.
        //= https://www.rfc-editor.org/rfc/rfc6585#section-4
        //# Responses with the 429 status code MUST NOT be stored by a cache.
        //= https://www.rfc-editor.org/rfc/rfc6585#section-5
        //# Responses with the 431 status code MUST NOT be stored by a cache.
        //= https://www.rfc-editor.org/rfc/rfc6585#section-6
        //# Responses with the 511 status code MUST NOT be stored by a cache.
        // One client's limit is not another's, whatever lifetime an origin gives to all it says.
        428 | 429 | 431 | 511 => Err(NotStored::StatusNeverStored),
        _ => Ok(()),
    }
}

/// Does a 206 say which bytes it brings, and are they its whole content?
fn is_single_part(response: &Fields) -> bool {
    const SEVERAL: &[u8] = b"multipart/byteranges";
    let is_multipart = |media_type: &[u8]| {
        media_type.get(..SEVERAL.len()).is_some_and(|start| start.eq_ignore_ascii_case(SEVERAL))
    };
    Part::of(response).is_some() && !response.get("content-type").is_some_and(is_multipart)
}

/// The conditions on the directives of both sides.
fn check_directives(
    exchanged: &Exchanged<'_>,
    directives: &ResponseDirectives,
) -> Result<(), NotStored> {
    let is_understood = is_understood(exchanged.status);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# if the response status code is 206 or 304, or the must-understand cache directive (see
    //# Section 5.2.2.3) is present: the cache understands the response status code;
    if directives.must_understand && !is_understood {
        return Err(NotStored::StatusNotUnderstood);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.3
    //# When a cache that implements the must-understand directive receives a response that includes
    //# it, the cache SHOULD ignore the no-store directive if it understands and implements the
    //# status code's caching requirements.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# the no-store cache directive is not present in the response (see Section 5.2.2.5);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5
    //# The no-store response directive indicates that a cache MUST NOT store any part of either the
    //# immediate request or the response and MUST NOT use the response to satisfy any other
    //# request.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5
    //# "MUST NOT store" in this context means that the cache MUST NOT intentionally store the
    //# information in non-volatile storage
    if directives.no_store && !directives.must_understand {
        return Err(NotStored::NoStore);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.5
    //# The no-store request directive indicates that a cache MUST NOT store any part of either this
    //# request or any response to it.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.5
    //# "MUST NOT store" in this context means that the cache MUST NOT intentionally store the
    //# information in non-volatile storage
    if exchanged.asked.no_store {
        return Err(NotStored::RequestNoStore);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.7
    //# The unqualified private response directive indicates that a shared cache MUST NOT store the
    //# response
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# if the cache is shared: the private response directive is either not present or allows a
    //# shared cache to store a modified response; see Section 5.2.2.7);
    if directives.private == Scope::Everything {
        return Err(NotStored::Private);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# if the cache is shared: the Authorization header field is not present in the request (see
    //# Section 11.6.2 of [HTTP]) or a response directive is present that explicitly allows shared
    //# caching (see Section 3.5); and
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.5
    //# A shared cache MUST NOT use a cached response to a request with an Authorization header
    //# field (Section 11.6.2 of [HTTP]) to satisfy any subsequent request unless the response
    //# contains a Cache-Control field with a response directive (Section 5.2.2) that allows it to
    //# be stored by a shared cache
    if exchanged.asked.authorization && !directives.permits_authorized() {
        return Err(NotStored::Authorization);
    }
    Ok(())
}

/// The statuses whose caching requirements are implemented here: those that RFC 9110 defines,
/// except the ones about preconditions, and 426, which is about a connection.
const fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=303 | 305 | 307 | 308 | 400..=411 | 413..=415 | 417 | 421
        | 422 | 500..=505)
}

fn check_set_cookie(
    response: &Fields,
    directives: &ResponseDirectives,
    rules: &Rules,
) -> Result<(), NotStored> {
    let refuses = rules.profile == Profile::Safe && rules.set_cookie == SetCookie::Refuse;
    if refuses && has_cookie(response, directives) { Err(NotStored::SetCookie) } else { Ok(()) }
}

/// Whether there is a Set-Cookie field to store. One that `private="set-cookie"` names is not.
fn has_cookie(response: &Fields, directives: &ResponseDirectives) -> bool {
    response.contains("set-cookie") && !directives.withholds(b"set-cookie")
}

/// What selects a response must be what the client sent. These fields a proxy writes itself, anew
/// for each client or request: the origin saw other values than those that could be compared.
fn check_vary(vary: &Vary) -> Result<(), NotStored> {
    const WRITTEN_ANEW: [&str; 4] = ["forwarded", "te", "x-forwarded-for", "x-request-id"];
    if WRITTEN_ANEW.iter().any(|name| vary.depends_on(name)) {
        return Err(NotStored::VaryPerRequest);
    }
    Ok(())
}

/// What was answered to a client with a certificate is for others only if the response says so, or
/// tells certificates apart.
fn check_certificate(
    asked: &Asked,
    directives: &ResponseDirectives,
    vary: &Vary,
) -> Result<(), NotStored> {
    //= https://www.rfc-editor.org/rfc/rfc9440#section-2.4
    //# When the value of the Client-Cert request header field is used to select a response (e.g.,
    //# the response content is access-controlled), the response MUST either be uncacheable (e.g.,
    //# by sending Cache-Control: no-store) or be designated for selective reuse only for subsequent
    //# requests with the same Client-Cert header field value by sending a "Vary: Client-Cert"
    //# response header.
    // An origin that forgets this is given no chance to show one client what is another's.
    if asked.certificate && !vary.tells_certificates_apart() && !directives.permits_authorized() {
        return Err(NotStored::ClientCertificate);
    }
    Ok(())
}

/// The last condition: something makes the response cacheable.
fn check_cacheable(
    status: u16,
    directives: &ResponseDirectives,
    freshness: Freshness,
    rules: &Rules,
) -> Result<(), NotStored> {
    if matches!(freshness.source, Source::Explicit(_) | Source::Forced) {
        return Ok(());
    }
    if rules.profile == Profile::Safe {
        check_carefully(status, freshness.source)?;
    }
    let has_lifetime = freshness.source != Source::Absent;
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# the response contains at least one of the following:
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# a public response directive (see Section 5.2.2.9);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# a status code that is defined as heuristically cacheable (see Section 4.2.2).
    if has_lifetime || directives.public || is_heuristically_cacheable(status) {
        return Ok(());
    }
    Err(NotStored::StatusNotCacheable)
}

/// What the safe profile asks, beyond the standard, of a response whose origin gave no lifetime.
const fn check_carefully(status: u16, source: Source) -> Result<(), NotStored> {
    match (status, source) {
        // They are often about the one request, its fields or its client.
        (400, _) => Err(NotStored::StatusNotCacheable),
        (_, Source::Heuristic) => Ok(()),
        (405 | 414, _) => Err(NotStored::NoExplicitLifetime),
        (500.., _) => Err(NotStored::ServerError),
        _ => Ok(()),
    }
}

/// Not a rule of the standard: what could never be reused is not worth its place.
fn check_useful(terms: &Terms) -> Result<(), NotStored> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3
    //# Note that, in normal operation, some caches will not store a response that has neither a
    //# cache validator nor an explicit expiration time, as such responses are not usually useful to
    //# store.
    if terms.is(Fact::HasValidator) {
        return Ok(());
    }
    let may_be_stale = terms.stale_while_revalidate.or(terms.stale_if_error).is_some();
    if terms.source == Source::Absent && !may_be_stale {
        return Err(NotStored::NoExplicitLifetime);
    }
    if terms.is(Fact::NoCache) || (terms.lifetime == crate::Lifetime::ZERO && !may_be_stale) {
        return Err(NotStored::NoValidator);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
