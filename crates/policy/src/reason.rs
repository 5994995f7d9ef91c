//! Every reason for a decision, with the stable code that headers, logs and metrics print.
//!
//! A code never changes its meaning once released. It is kebab-case and a valid token, so that
//! `Cache-Status: …; detail=code` needs no quoting.

use crate::explain::Fwd;

/// What all reasons can say about themselves.
pub trait Reason {
    /// The stable kebab-case code.
    fn code(&self) -> &'static str;
    /// The section that decides it, when a standard does; `None` for our own choices.
    fn section(&self) -> Option<&'static str>;
    /// What it means, in a sentence.
    fn meaning(&self) -> &'static str;
}

/// Declares an enum of reasons, the list `ALL` of them, and their codes and sections in one table.
macro_rules! reasons {
    ($(#[$about:meta])* $name:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $section:expr;)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// Every reason of this kind.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// Its index in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl Reason for $name {
            fn code(&self) -> &'static str {
                match self { $($name::$variant => $code,)+ }
            }

            fn section(&self) -> Option<&'static str> {
                match self { $($name::$variant => $section,)+ }
            }

            fn meaning(&self) -> &'static str {
                match self { $($name::$variant => concat!($($doc),+).trim(),)+ }
            }
        }
    };
}

reasons! {
    /// Why a request goes to the origin without a look into the cache.
    Pass {
        /// An unsafe method is written through.
        MethodUnsafe = "method-unsafe", Some("RFC 9111 §4");
        /// A safe method whose responses are not cached.
        MethodNotCacheable = "method-not-cacheable", Some("RFC 9110 §9.2.3");
        /// A method that is not known, and may be unsafe.
        MethodUnknown = "method-unknown", Some("RFC 9111 §3");
        /// A GET or HEAD with content, which may mean something to this origin.
        RequestContent = "request-content", Some("RFC 9110 §9.3.1");
        /// A HEAD that no stored response to GET can answer: its own answer cannot be stored.
        HeadNotStored = "head-not-stored", Some("RFC 9110 §9.3.2");
        /// A request for a part of what is not stored, on conditions of its client's.
        RequestRange = "request-range", Some("RFC 9111 §3.3");
        /// A QUERY whose content is larger than what is read to look for its response.
        QueryContentTooLarge = "query-content-too-large", Some("RFC 10008 §2.7");
        /// A precondition that only the origin can evaluate.
        RequestPrecondition = "request-precondition", Some("RFC 9111 §4.3.2");
        /// A request that offers to go on in another protocol: if the origin takes it up, what
        /// follows is between it and this client.
        Upgrade = "upgrade", Some("RFC 9110 §7.8");
    }
}

impl Pass {
    /// The `fwd` of Cache-Status. Where the cache was looked into before, in vain, what was found
    /// tells more: see [`Refetch::fwd`].
    pub const fn fwd(self) -> Fwd {
        match self {
            Pass::RequestContent | Pass::QueryContentTooLarge | Pass::Upgrade => Fwd::Bypass,
            Pass::HeadNotStored | Pass::RequestRange | Pass::RequestPrecondition => Fwd::Miss,
            Pass::MethodUnsafe | Pass::MethodNotCacheable | Pass::MethodUnknown => Fwd::Method,
        }
    }
}

reasons! {
    /// Why a stored response answers a request.
    Hit {
        /// It is fresh.
        Fresh = "fresh", Some("RFC 9111 §4.2");
        /// It is fresh, and its origin said that it does not change: a reload needs no validation.
        Immutable = "immutable", Some("RFC 8246 §2.1");
        /// It is fresh, and was stored for a URL that differs only in what the origin ignores.
        NoVarySearch = "no-vary-search", Some("draft-ietf-httpbis-no-vary-search §7");
        /// The origin has just confirmed it with a 304.
        Validated = "validated", Some("RFC 9111 §4.3.3");
        /// Parts of it are stored that have all that is asked for, and they are fresh.
        Partial = "partial", Some("RFC 9111 §3.4");
        /// It is stale, and the client accepts that.
        MaxStale = "max-stale", Some("RFC 9111 §5.2.1.2");
        /// It is stale, and is being refreshed in the background.
        StaleWhileRevalidate = "stale-while-revalidate", Some("RFC 5861 §3");
        /// It is stale, and the origin answered with an error.
        StaleIfError = "stale-if-error", Some("RFC 5861 §4");
        /// It is stale, and the origin cannot be reached.
        StaleOriginUnreachable = "stale-origin-unreachable", Some("RFC 9111 §4.2.4");
        /// It is fresh; the client asked for validation, but the origin failed.
        FreshOriginFailed = "fresh-origin-failed", Some("RFC 9111 §4.3.3");
    }
}

impl Hit {
    /// Whether what answers is stale.
    pub const fn is_stale(self) -> bool {
        match self {
            Hit::MaxStale
            | Hit::StaleWhileRevalidate
            | Hit::StaleIfError
            | Hit::StaleOriginUnreachable => true,
            Hit::Fresh
            | Hit::Immutable
            | Hit::NoVarySearch
            | Hit::Validated
            | Hit::Partial
            | Hit::FreshOriginFailed => false,
        }
    }
}

reasons! {
    /// Why the origin is asked although the request could be answered from the cache.
    Refetch {
        /// Nothing is stored under this key.
        Absent = "absent", Some("RFC 9111 §4");
        /// What is stored was selected by other request fields.
        VaryMismatch = "vary-mismatch", Some("RFC 9111 §4.1");
        /// Only parts are stored, and not all that is asked for.
        RangeMissing = "range-missing", Some("RFC 9111 §3.3");
        /// What is stored is no longer fresh.
        Stale = "stale", Some("RFC 9111 §4.2");
        /// What is stored was made stale by a soft purge.
        PurgedSoft = "purged-soft", None;
        /// What is stored never had a lifetime, only a validator.
        NoLifetime = "no-lifetime", Some("RFC 9111 §4.2.1");
        /// The origin wants to be asked every time.
        NoCache = "no-cache", Some("RFC 9111 §5.2.2.4");
        /// The client wants the origin to be asked.
        RequestNoCache = "request-no-cache", Some("RFC 9111 §5.2.1.4");
        /// What is stored is older than the client accepts.
        RequestMaxAge = "request-max-age", Some("RFC 9111 §5.2.1.1");
        /// What is stored will not stay fresh as long as the client wants.
        RequestMinFresh = "request-min-fresh", Some("RFC 9111 §5.2.1.3");
        /// The request is authorised, and what is stored was not marked as shareable.
        Authorization = "request-authorization", None;
        /// The client has shown a certificate, and what is stored was not marked as shareable.
        ClientCertificate = "request-certificate", None;
        /// The store could not be read.
        StoreFailed = "store-failed", None;
    }
}

impl Refetch {
    /// The `fwd` of Cache-Status.
    pub const fn fwd(self) -> Fwd {
        match self {
            Refetch::Absent => Fwd::UriMiss,
            Refetch::VaryMismatch => Fwd::VaryMiss,
            Refetch::RangeMissing => Fwd::Partial,
            Refetch::Stale | Refetch::PurgedSoft | Refetch::NoLifetime | Refetch::NoCache => {
                Fwd::Stale
            }
            Refetch::RequestNoCache
            | Refetch::RequestMaxAge
            | Refetch::RequestMinFresh
            | Refetch::Authorization
            | Refetch::ClientCertificate => Fwd::Request,
            Refetch::StoreFailed => Fwd::Miss,
        }
    }
}

reasons! {
    /// Why a response is not stored.
    NotStored {
        /// The request was neither a GET nor a QUERY.
        Method = "method", Some("RFC 9111 §3");
        /// The status is not final.
        StatusNotFinal = "status-not-final", Some("RFC 9111 §3");
        /// The origin asked to store it only if its status is understood, and it is not.
        StatusNotUnderstood = "status-not-understood", Some("RFC 9111 §5.2.2.3");
        /// A part of a representation that does not tell which, or not all that has to be known to
        /// use it for others.
        PartialContent = "partial-content", Some("RFC 9111 §3.3");
        /// The same part is being stored for another request.
        PartUnderWay = "part-under-way", None;
        /// A status that answers a precondition or range of this one request: 304, 412 or 416.
        ConditionalStatus = "conditional-status", Some("RFC 9111 §3");
        /// A 426 is about the protocol of the connection that it came on.
        UpgradeRequired = "upgrade-required", Some("RFC 9110 §15.5.22");
        /// A status that is about one client or its way, and never stored: 428, 429, 431 or 511.
        StatusNeverStored = "status-never-stored", Some("RFC 6585 §4");
        /// The origin forbids it.
        NoStore = "no-store", Some("RFC 9111 §5.2.2.5");
        /// The client forbids it.
        RequestNoStore = "request-no-store", Some("RFC 9111 §5.2.1.5");
        /// It is for one user.
        Private = "private", Some("RFC 9111 §5.2.2.7");
        /// The request was authorised and the response does not permit sharing.
        Authorization = "authorization", Some("RFC 9111 §3.5");
        /// The client has shown a certificate, and the response neither permits sharing nor tells
        /// certificates apart.
        ClientCertificate = "client-certificate", Some("RFC 9440 §2.4");
        /// `Vary: *` never matches.
        VaryStar = "vary-star", Some("RFC 9111 §4.1");
        /// It depends on a field that is never the same for two clients or two requests.
        VaryPerRequest = "vary-per-request", Some("RFC 9111 §4.1");
        /// A Vary that names no field cannot be obeyed.
        VaryInvalid = "vary-invalid", Some("RFC 9110 §12.5.5");
        /// It sets a cookie, probably one user's.
        SetCookie = "set-cookie", None;
        /// A stream of events (`text/event-stream`) is for the client that asked for it.
        EventStream = "event-stream", None;
        /// The origin wants it to reach its client while it is made (`X-Accel-Buffering: no`).
        Unbuffered = "unbuffered", None;
        /// A server error without explicit freshness.
        ServerError = "server-error", None;
        /// Neither an explicit lifetime nor a status that may be given one.
        StatusNotCacheable = "status-not-cacheable", Some("RFC 9111 §3");
        /// No lifetime, explicit or heuristic, and no validator: it could never be reused.
        NoExplicitLifetime = "no-explicit-lifetime", Some("RFC 9111 §3");
        /// It must be validated before every use and brings nothing to validate with.
        NoValidator = "no-validator", Some("RFC 9111 §3");
        /// Its target was invalidated, or the cache emptied, while it was being fetched.
        Invalidated = "invalidated", Some("RFC 9111 §4.4");
        /// One of its cache groups or tags was invalidated, by the very request that it answers or
        /// while it was being fetched.
        GroupInvalidated = "group-invalidated", Some("RFC 9875 §3");
    }
}

impl NotStored {
    /// Whether the reason lies in the request alone: another request's response may be stored, and
    /// what is stored stays good.
    pub const fn is_about_request(self) -> bool {
        matches!(
            self,
            NotStored::Method
                | NotStored::StatusNeverStored
                | NotStored::RequestNoStore
                | NotStored::Authorization
                | NotStored::ClientCertificate
        )
    }
}

reasons! {
    /// Why the proxy answers by itself, without a stored response and without the origin.
    Refused {
        /// The client wants a stored response, and none will do: 504.
        OnlyIfCached = "only-if-cached", Some("RFC 9111 §5.2.1.7");
        /// The request may go no further: `Max-Forwards: 0`.
        MaxForwards = "max-forwards", Some("RFC 9110 §7.6.2");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::is_token;

    fn check(reasons: Vec<&dyn Reason>) {
        let mut codes: Vec<_> = reasons.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count, "a code stands for two reasons");
        for reason in reasons {
            let code = reason.code();
            let kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(is_token(code.as_bytes()) && code.bytes().all(kebab), "{code}");
            assert!(code.as_bytes()[0].is_ascii_lowercase(), "{code}");
            let is_standard = |s: &str| s.starts_with("RFC ") || s.starts_with("draft-ietf-");
            assert!(reason.section().is_none_or(|s| is_standard(s) && s.contains(" §")));
        }
    }

    #[test]
    fn codes_are_unique_tokens_and_sections_name_their_rfc() {
        fn all<R: Reason>(reasons: &[R]) -> Vec<&dyn Reason> {
            reasons.iter().map(|reason| reason as &dyn Reason).collect()
        }
        check(all(Pass::ALL));
        check(all(Hit::ALL));
        check(all(Refetch::ALL));
        check(all(NotStored::ALL));
        check(all(Refused::ALL));
    }
}
