//! Says what the cache did with a request: one member of Cache-Status (RFC 9211).
//!
//! It goes into a field line of its own, behind those that the response brought along: "The first
//! member represents the cache closest to the origin server" (§2).

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
        /// Whether the forwarded request of another served it too.
        collapsed: Collapsed,
        /// The lifetime the answer has here, in seconds.
        ttl: Option<i64>,
    },
}

/// What became of the attempt to share another request's way to the origin (RFC 9211 §2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collapsed {
    /// There was none.
    #[default]
    No,
    /// What the other got served this one, too.
    Reused,
    /// What the other got did not do: this one had to go forward itself.
    InVain,
}

impl Collapsed {
    //= https://www.rfc-editor.org/rfc/rfc9211#section-2.6
    //# If true, the response was successfully reused; if not, a new request had to be made. If not
    //# present, the request was not collapsed with others.
    const fn parameter(self) -> &'static str {
        match self {
            Collapsed::No => "",
            Collapsed::Reused => "; collapsed",
            Collapsed::InVain => "; collapsed=?0",
        }
    }
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
            put(out, collapsed.parameter());
            put_detail(out, detail);
        }
    }
}

/// Appends the cache key to a member, for those who look for the reason of a miss.
///
/// Most bytes of a key come from the client: what a String cannot hold is percent-encoded, and what
/// is too long is cut.
pub fn put_key(out: &mut Vec<u8>, key: &[u8]) {
    /// Room for any key that a person would read, in bytes.
    const LONGEST: usize = 512;
    let shown = key.get(..LONGEST).unwrap_or(key);
    put(out, "; key=\"");
    for &byte in shown {
        //= https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3
        //# Strings are zero or more printable ASCII [RFC0020] characters (i.e., the range %x20 to
        //# %x7E). Note that this excludes tabs, newlines, carriage returns, etc.
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => put(out, &format!("%{byte:02X}")),
        }
    }
    put(out, if shown.len() < key.len() { "...\"" } else { "\"" });
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
            collapsed: Collapsed::Reused,
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
            collapsed: Collapsed::InVain,
            ttl: None,
        };
        assert_eq!(text(&refused), "caching-proxy; fwd=stale; collapsed=?0; detail=no-store");
    }

    #[test]
    fn collapsed_is_true_false_or_absent() {
        //= https://www.rfc-editor.org/rfc/rfc9211#section-2.6
        //= type=test
        //# If true, the response was successfully reused; if not, a new request had to be made. If
        //# not present, the request was not collapsed with others.
        let rows = [
            (Collapsed::No, ""),
            (Collapsed::Reused, "; collapsed"),
            (Collapsed::InVain, "; collapsed=?0"),
        ];
        for (collapsed, expected) in rows {
            assert_eq!(collapsed.parameter(), expected);
        }
    }

    #[test]
    fn a_key_is_a_string_whatever_its_bytes() {
        //= https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3
        //= type=test
        //# Strings are zero or more printable ASCII [RFC0020] characters (i.e., the range %x20 to
        //# %x7E). Note that this excludes tabs, newlines, carriage returns, etc.
        let rows: [(&[u8], &str); 4] = [
            (b"GET|http://a/b?c d", "; key=\"GET|http://a/b?c d\""),
            (b"a\"b\\c", "; key=\"a\\\"b\\\\c\""),
            (b"\t\r\n\0\x7f\xc3\xa9%", "; key=\"%09%0D%0A%00%7F%C3%A9%\""),
            (b"", "; key=\"\""),
        ];
        for (key, expected) in rows {
            let mut out = Vec::new();
            put_key(&mut out, key);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut out = Vec::new();
        put_key(&mut out, &[b'x'; 513]);
        assert_eq!(String::from_utf8(out).unwrap(), format!("; key=\"{}...\"", "x".repeat(512)));
    }

    #[test]
    fn every_reason_to_go_forward_has_the_most_specific_word_of_the_standard() {
        //= https://www.rfc-editor.org/rfc/rfc9211#section-2.2
        //= type=test
        //# The most specific reason known to the cache SHOULD be used, to the extent that it is
        //# possible to implement.
        for &pass in Pass::ALL {
            let expected = match pass {
                Pass::MethodUnsafe | Pass::MethodNotCacheable | Pass::MethodUnknown => "method",
                Pass::RequestContent | Pass::QueryContentTooLarge | Pass::Upgrade => "bypass",
                // Looked up before, in vain: what the look-up found tells more.
                Pass::HeadNotStored | Pass::RequestRange | Pass::RequestPrecondition => "miss",
            };
            assert_eq!(pass.fwd().as_str(), expected, "{pass:?}");
        }
        for &refetch in Refetch::ALL {
            let expected = match refetch {
                Refetch::Absent => "uri-miss",
                Refetch::VaryMismatch => "vary-miss",
                Refetch::Stale | Refetch::PurgedSoft | Refetch::NoLifetime | Refetch::NoCache => {
                    "stale"
                }
                Refetch::RequestNoCache
                | Refetch::RequestMaxAge
                | Refetch::RequestMinFresh
                | Refetch::Authorization
                | Refetch::ClientCertificate => "request",
                Refetch::StoreFailed => "miss",
                Refetch::RangeMissing => "partial",
            };
            assert_eq!(refetch.fwd().as_str(), expected, "{refetch:?}");
        }
        assert_eq!(Fwd::Partial.as_str(), "partial");
    }

    #[test]
    fn a_ttl_stays_within_the_integers_of_structured_fields() {
        let outcome = Outcome::Hit { ttl: i64::MAX, why: Hit::Fresh };
        assert!(text(&outcome).contains("ttl=999999999999999;"));
    }
}
