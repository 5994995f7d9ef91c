//! The first question about a request: may the cache answer it at all? (RFC 9111 §4)
//!
//! One pass over the fields digests all that later steps need into [`Asked`]; nothing is allocated.

use crate::directives;
use crate::fields::Fields;
use crate::method::Method;
use crate::reason::Pass;
use crate::rules::{RequestCacheControl, Rules};
use crate::syntax::members;
use crate::units::DeltaSeconds;

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Look into the cache.
    LookUp(Asked),
    /// Look into the cache once the content has been read: it is part of the key.
    LookUpWithContent(Asked),
    /// Send it to the origin.
    Pass(Pass),
}

/// A request that may be answered from the cache, digested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact of the request")]
pub struct Asked {
    /// The method is HEAD (else GET, or QUERY).
    pub head: bool,
    /// There is an Authorization field.
    pub authorization: bool,
    /// There is a Client-Cert field: its client has shown a certificate (RFC 9440).
    pub certificate: bool,
    /// There is a Range field.
    pub range: bool,
    /// There is a precondition that a cache evaluates: If-None-Match or If-Modified-Since.
    pub conditional: bool,
    /// RFC 9111 §5.2.1.4, or its forerunner `Pragma: no-cache`.
    pub no_cache: bool,
    /// RFC 9111 §5.2.1.5.
    pub no_store: bool,
    /// RFC 9111 §5.2.1.7.
    pub only_if_cached: bool,
    /// RFC 9111 §5.2.1.1.
    pub max_age: Option<DeltaSeconds>,
    /// RFC 9111 §5.2.1.3.
    pub min_fresh: Option<DeltaSeconds>,
    /// RFC 9111 §5.2.1.2; without a value, the greatest.
    pub max_stale: Option<DeltaSeconds>,
    /// RFC 5861 §4.
    pub stale_if_error: Option<DeltaSeconds>,
}

/// Decides whether a request may be answered from the cache.
pub fn classify(method: &Method, fields: &Fields, has_content: bool, rules: &Rules) -> Plan {
    let head = match method {
        Method::Get => false,
        Method::Head => true,
        //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
        //# The response to a QUERY method is cacheable; a cache MAY use it to satisfy subsequent
        //# QUERY requests
        Method::Query => return Plan::LookUpWithContent(digest(false, fields, rules)),
        Method::Other(_) => return Plan::Pass(Pass::MethodUnknown),
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.3
        //# a method definition that does not do so cannot be cached
        method if method.is_safe() => return Plan::Pass(Pass::MethodNotCacheable),
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4
        //# A cache MUST write through requests with methods that are unsafe (Section 9.2.1 of
        //# [HTTP]) to the origin server
        _ => return Plan::Pass(Pass::MethodUnsafe),
    };
    if has_content {
        return Plan::Pass(Pass::RequestContent);
    }
    Plan::LookUp(digest(head, fields, rules))
}

fn digest(head: bool, fields: &Fields, rules: &Rules) -> Asked {
    let mut asked = Asked { head, ..Asked::default() };
    let mut has_cache_control = false;
    let mut pragma_no_cache = false;
    for (name, value) in fields.iter() {
        // The length alone rules out nearly every line.
        match name.len() {
            5 => asked.range |= name.eq_ignore_ascii_case(b"range"),
            6 if name.eq_ignore_ascii_case(b"pragma") => {
                pragma_no_cache |= members(value).any(|m| m.eq_ignore_ascii_case(b"no-cache"));
            }
            11 => asked.certificate |= name.eq_ignore_ascii_case(b"client-cert"),
            13 if name.eq_ignore_ascii_case(b"authorization") => asked.authorization = true,
            13 if name.eq_ignore_ascii_case(b"cache-control") => {
                has_cache_control = true;
                directives::parse(value).for_each(|directive| asked.add(directive));
            }
            13 => asked.conditional |= name.eq_ignore_ascii_case(b"if-none-match"),
            17 => asked.conditional |= name.eq_ignore_ascii_case(b"if-modified-since"),
            _ => {}
        }
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.4
    //# so that clients could specify a "no-cache" request (as Cache-Control was not defined until
    //# HTTP/1.1)
    asked.no_cache |= pragma_no_cache && !has_cache_control;
    match rules.request_cache_control {
        RequestCacheControl::Honour => asked,
        RequestCacheControl::Ignore => asked.without_wishes(),
    }
}

impl Asked {
    /// Whether another request's fetch cannot answer this one, or its own nobody else.
    pub const fn is_for_itself(&self) -> bool {
        self.no_cache || self.no_store
    }

    /// Whether its client shows who it is: the response is for others only if it says so.
    pub const fn has_credentials(&self) -> bool {
        self.authorization || self.certificate
    }
}

impl Asked {
    fn add(&mut self, directive: directives::Directive<'_>) {
        let seconds = directive.seconds();
        if directive.is("no-cache") {
            self.no_cache = true;
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("only-if-cached") {
            self.only_if_cached = true;
        } else if directive.is("max-age") {
            self.max_age = Some(least(self.max_age, seconds.unwrap_or_default()));
        } else if directive.is("min-fresh") {
            self.min_fresh = self.min_fresh.max(seconds);
        } else if directive.is("max-stale") {
            //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.2
            //# If no value is assigned to max-stale, then the client will accept a stale response of
            //# any age.
            let any = directive.argument == directives::Argument::Absent;
            let accepted = if any { DeltaSeconds::MAX } else { seconds.unwrap_or_default() };
            self.max_stale = Some(least(self.max_stale, accepted));
        } else if directive.is("stale-if-error") {
            self.stale_if_error = Some(least(self.stale_if_error, seconds.unwrap_or_default()));
        }
    }

    /// The facts of the request without what its client wishes.
    fn without_wishes(self) -> Asked {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1
        //# They are advisory; caches MAY implement them, but are not required to.
        let Asked { head, authorization, certificate, range, conditional, .. } = self;
        Asked { head, authorization, certificate, range, conditional, ..Asked::default() }
    }
}

/// Of repeated directives the one that permits least.
fn least(earlier: Option<DeltaSeconds>, value: DeltaSeconds) -> DeltaSeconds {
    earlier.map_or(value, |earlier| earlier.min(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    fn asked(head: &str) -> Asked {
        match classify(&Method::Get, &fields(head), false, &Rules::default()) {
            Plan::LookUp(asked) => asked,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_get_and_head_without_content_are_looked_up() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.3
        //= type=test
        //# a method definition that does not do so cannot be cached
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4
        //= type=test
        //# A cache MUST write through requests with methods that are unsafe (Section 9.2.1 of
        //# [HTTP]) to the origin server
        let rows = [
            ("GET", false, None),
            ("HEAD", false, None),
            ("GET", true, Some(Pass::RequestContent)),
            ("HEAD", true, Some(Pass::RequestContent)),
            ("POST", true, Some(Pass::MethodUnsafe)),
            ("PUT", true, Some(Pass::MethodUnsafe)),
            ("PATCH", true, Some(Pass::MethodUnsafe)),
            ("DELETE", false, Some(Pass::MethodUnsafe)),
            ("CONNECT", false, Some(Pass::MethodUnsafe)),
            ("OPTIONS", false, Some(Pass::MethodNotCacheable)),
            ("TRACE", false, Some(Pass::MethodNotCacheable)),
            ("get", false, Some(Pass::MethodUnknown)),
        ];
        for (name, has_content, expected) in rows {
            let method = Method::parse(name.as_bytes());
            let plan = classify(&method, &Fields::new(), has_content, &Rules::default());
            match (plan, expected) {
                (Plan::LookUp(asked), None) => assert_eq!(asked.head, name == "HEAD"),
                (Plan::Pass(why), Some(expected)) => assert_eq!(why, expected, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_query_is_looked_up_once_its_content_is_known() {
        //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
        //= type=test
        //# The response to a QUERY method is cacheable; a cache MAY use it to satisfy subsequent
        //# QUERY requests
        for has_content in [false, true] {
            let head = fields("Range: bytes=0-1");
            let plan = classify(&Method::Query, &head, has_content, &Rules::default());
            let asked = Asked { range: true, ..Asked::default() };
            assert_eq!(plan, Plan::LookUpWithContent(asked));
        }
    }

    #[test]
    fn the_fields_of_a_request_are_digested() {
        let got = asked("Authorization: Basic eA==\nRANGE: bytes=0-1\nIf-None-Match: \"a\"");
        assert!(got.authorization && got.range && got.conditional);
        assert!(asked("if-modified-since: x").conditional);
        assert_eq!(asked("x-range: a\nrange-x: b\nauthorizatiom: c"), Asked::default());
    }

    #[test]
    fn request_directives_are_read_and_the_least_permissive_counts() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.2
        //= type=test
        //# If no value is assigned to max-stale, then the client will accept a stale response of
        //# any age.
        let secs = |n| Some(DeltaSeconds::new(n));
        let none = Asked::default();
        let rows = [
            ("no-cache", Asked { no_cache: true, ..none }),
            ("NO-STORE", Asked { no_store: true, ..none }),
            ("only-if-cached", Asked { only_if_cached: true, ..none }),
            ("max-age=5, max-age=9", Asked { max_age: secs(5), ..none }),
            ("max-age=x", Asked { max_age: secs(0), ..none }),
            ("Max-Age=\"5\"", Asked { max_age: secs(5), ..none }),
            ("max-age =5", Asked { max_age: secs(0), ..none }),
            ("max-age=99999999999", Asked { max_age: secs(1 << 31), ..none }),
            (" , no-cache ,", Asked { no_cache: true, ..none }),
            ("no-cache=1", Asked { no_cache: true, ..none }),
            (
                "no-cache\ncache-control: min-fresh=1",
                Asked { no_cache: true, min_fresh: secs(1), ..none },
            ),
            ("min-fresh=x", none),
            ("s-maxage=0, private, must-revalidate, public", none),
            ("min-fresh=5, min-fresh=9", Asked { min_fresh: secs(9), ..none }),
            ("max-stale", Asked { max_stale: Some(DeltaSeconds::MAX), ..none }),
            ("max-stale=7, max-stale", Asked { max_stale: secs(7), ..none }),
            ("max-stale=x", Asked { max_stale: secs(0), ..none }),
            ("stale-if-error=3", Asked { stale_if_error: secs(3), ..none }),
            ("no-transform, foo=\"no-cache\"", none),
        ];
        for (value, expected) in rows {
            assert_eq!(asked(&format!("cache-control: {value}")), expected, "{value}");
        }
    }

    #[test]
    fn pragma_counts_only_where_cache_control_is_absent() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.4
        //= type=test
        //# so that clients could specify a "no-cache" request (as Cache-Control was not defined
        //# until HTTP/1.1)
        assert!(asked("pragma: foo, No-Cache").no_cache);
        assert!(!asked("pragma: no-cache\ncache-control: max-age=5").no_cache);
        assert!(!asked("pragma: foo").no_cache);
    }

    #[test]
    fn a_route_can_ignore_what_clients_wish() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1
        //= type=test
        //# They are advisory; caches MAY implement them, but are not required to.
        let rules =
            Rules { request_cache_control: RequestCacheControl::Ignore, ..Rules::default() };
        let head = "cache-control: no-cache, no-store, max-age=0, only-if-cached\nrange: bytes=0-";
        let plan = classify(&Method::Get, &fields(head), false, &rules);
        assert_eq!(plan, Plan::LookUp(Asked { range: true, ..Asked::default() }));
    }
}
