//! Says what the cache did with a request: one member of Cache-Status (RFC 9211).

use crate::reason::{Hit, Reason};

/// The name by which this cache calls itself.
pub const CACHE_NAME: &str = "caching-proxy";

/// What happened to a request.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// The cache answered it.
    Hit {
        /// What is left of the lifetime, in seconds; negative when the response is stale.
        ttl: i64,
        /// Why it could.
        why: Hit,
    },
    /// It went to the origin.
    Forwarded {
        /// Why, in the words of RFC 9211.
        fwd: Fwd,
        /// The code of the reason to print: why it went forward or, more useful to who wonders about
        /// the next request, why the answer was not stored, or what failed.
        detail: &'static str,
        /// What the origin answered, if it did.
        status: Option<u16>,
        /// The answer was stored.
        stored: bool,
        /// It shared the forwarded request of another.
        collapsed: bool,
        /// The lifetime the answer has here, in seconds.
        ttl: Option<i64>,
    },
    /// It was answered here, without a look into the cache or at the origin.
    Refused {
        /// The code of the reason.
        detail: &'static str,
    },
}

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fwd {
    /// The cache was told not to handle it.
    Bypass,
    /// Its method must be forwarded.
    Method,
    /// Nothing is stored under its URI.
    UriMiss,
    /// What is stored was selected by other request fields.
    VaryMiss,
    /// Nothing stored could be used.
    Miss,
    /// The request does not allow the use of what is stored.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is only a part.
    Partial,
}

impl Fwd {
    /// The token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fwd::Bypass => "bypass",
            Fwd::Method => "method",
            Fwd::UriMiss => "uri-miss",
            Fwd::VaryMiss => "vary-miss",
            Fwd::Miss => "miss",
            Fwd::Request => "request",
            Fwd::Stale => "stale",
            Fwd::Partial => "partial",
        }
    }
}

/// Appends the member of Cache-Status that tells of this outcome.
pub fn cache_status(out: &mut Vec<u8>, outcome: &Outcome) {
    put(out, CACHE_NAME);
    match *outcome {
        Outcome::Hit { ttl, why } => {
            //= https://www.rfc-editor.org/rfc/rfc9211#section-2.1
            //# "hit" and "fwd" are exclusive; only one of them should appear on each list member.
            put(out, "; hit");
            put_parameter(out, "; ttl=", Some(ttl));
            put_detail(out, why.code());
        }
        Outcome::Forwarded { fwd, detail, status, stored, collapsed, ttl } => {
            put(out, "; fwd=");
            put(out, fwd.as_str());
            put_parameter(out, "; fwd-status=", status.map(i64::from));
            put_parameter(out, "; ttl=", ttl);
            put(out, if stored { "; stored" } else { "" });
            put(out, if collapsed { "; collapsed" } else { "" });
            put_detail(out, detail);
        }
        Outcome::Refused { detail } => put_detail(out, detail),
    }
}

fn put_detail(out: &mut Vec<u8>, code: &str) {
    put(out, "; detail=");
    put(out, code);
}

fn put_parameter(out: &mut Vec<u8>, name: &str, value: Option<i64>) {
    /// The greatest Integer of a Structured Field (RFC 9651 §3.3.1).
    const LIMIT: i64 = 999_999_999_999_999;
    if let Some(value) = value {
        put(out, name);
        put(out, itoa::Buffer::new().format(value.clamp(-LIMIT, LIMIT)));
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::{NotStored, Pass, Refetch};

    fn text(outcome: &Outcome) -> String {
        let mut out = Vec::new();
        cache_status(&mut out, outcome);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_hit_says_how_long_it_stays_fresh_and_why() {
        //= https://www.rfc-editor.org/rfc/rfc9211#section-2.1
        //= type=test
        //# "hit" and "fwd" are exclusive; only one of them should appear on each list member.
        let fresh = Outcome::Hit { ttl: 376, why: Hit::Fresh };
        assert_eq!(text(&fresh), "caching-proxy; hit; ttl=376; detail=fresh");
        let stale = Outcome::Hit { ttl: -412, why: Hit::StaleIfError };
        assert_eq!(text(&stale), "caching-proxy; hit; ttl=-412; detail=stale-if-error");
    }

    #[test]
    fn a_miss_says_why_it_went_forward_and_what_came_of_it() {
        let stored = Outcome::Forwarded {
            fwd: Refetch::Absent.fwd(),
            detail: Refetch::Absent.code(),
            status: Some(200),
            stored: true,
            collapsed: true,
            ttl: Some(60),
        };
        let expected =
            "caching-proxy; fwd=uri-miss; fwd-status=200; ttl=60; stored; collapsed; detail=absent";
        assert_eq!(text(&stored), expected);
        let refused = Outcome::Forwarded {
            fwd: Refetch::Stale.fwd(),
            detail: NotStored::NoStore.code(),
            status: None,
            stored: false,
            collapsed: false,
            ttl: None,
        };
        assert_eq!(text(&refused), "caching-proxy; fwd=stale; detail=no-store");
        let answered = Outcome::Refused { detail: "only-if-cached" };
        assert_eq!(text(&answered), "caching-proxy; detail=only-if-cached");
    }

    #[test]
    fn every_reason_to_go_forward_has_a_word_of_the_standard() {
        let rows = [
            (Pass::MethodUnsafe.fwd(), "method"),
            (Pass::RequestContent.fwd(), "bypass"),
            (Refetch::VaryMismatch.fwd(), "vary-miss"),
            (Refetch::RequestMaxAge.fwd(), "request"),
            (Refetch::NoCache.fwd(), "stale"),
            (Refetch::StoreFailed.fwd(), "miss"),
            (Fwd::Partial, "partial"),
        ];
        for (fwd, expected) in rows {
            assert_eq!(fwd.as_str(), expected);
        }
    }

    #[test]
    fn a_ttl_stays_within_the_integers_of_structured_fields() {
        let outcome = Outcome::Hit { ttl: i64::MAX, why: Hit::Fresh };
        assert!(text(&outcome).contains("ttl=999999999999999;"));
    }
}
