//! Fields that are not passed on (RFC 9110 §7.6.1) and fields that are not stored (RFC 9111 §3.1).

use std::collections::HashSet;

use crate::directives::ResponseDirectives;
use crate::fields::Fields;
use crate::rules::{Rules, SetCookie};
use crate::syntax::{members, words};

/// Removes the fields that are about one connection only. Apply it to every message that is
/// forwarded, in both directions.
pub fn strip_hop_by_hop(fields: &mut Fields) {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
    //# Intermediaries MUST parse a received Connection header field before a message is forwarded
    //# and, for each connection-option in this field, remove any header or trailer field(s) from the
    //# message with the same name as the connection-option, and then remove the Connection header
    //# field itself (or replace it with the intermediary's own control options for the forwarded
    //# message).
    let options = fields.all("connection").collect::<Vec<_>>().join(&b',').to_ascii_lowercase();
    // They are read once, and not once more for each field: who sends it may send thousands.
    let few: Vec<&[u8]> = words(&options).take(FEW_OPTIONS + 1).collect();
    let many: Option<HashSet<&[u8]>> = (few.len() > FEW_OPTIONS).then(|| words(&options).collect());
    fields.retain(|name, _| {
        let is_named = || match &many {
            Some(many) => many.contains(&*name.to_ascii_lowercase()),
            None => few.iter().any(|option| option.eq_ignore_ascii_case(name)),
        };
        !is_hop_by_hop(name) && (!is_named() || is_end_to_end(name))
    });
}

/// As many as have their reason: `close` or `keep-alive`, and one for each field of this hop.
const FEW_OPTIONS: usize = 8;

/// Removes the fields of a response that must not be kept for the next request. Judge the response
/// with [`admit`](crate::admit::admit) before: Age is removed here, and lives on in the terms.
pub fn strip_for_storage(fields: &mut Fields, rules: &Rules) {
    strip_hop_by_hop(fields);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
    //# The no-cache (Section 5.2.2.4) and private (Section 5.2.2.7) cache directives can have
    //# arguments that prevent storage of header fields by all caches and shared caches, respectively.
    let directives = ResponseDirectives::of(fields, rules);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.7
    //# If a qualified private response directive is present, with an argument that lists one or
    //# more field names, then only the listed header fields are limited to a single user: a shared
    //# cache MUST NOT store the listed header fields if they are present in the original response
    //# but MAY store the remainder of the response message without those header fields
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
    //# Caches MUST include all received response header fields — including unrecognized ones — when
    //# storing a response; this assures that new HTTP header fields can be successfully deployed.
    //# However, the following exceptions are made:
    fields.retain(|name, _| !is_momentary(name) && !is_withheld(name, &directives, rules));
}

/// Removes what no response from a cache carries as it came, and says whether that is less than
/// [`strip_for_storage`] removes: what is withheld from others is for the client that asked.
pub fn strip_for_first(fields: &mut Fields, rules: &Rules) -> bool {
    fields.retain(|name, _| !is_momentary(name));
    let directives = ResponseDirectives::of(fields, rules);
    fields.iter().any(|(name, _)| is_withheld(name, &directives, rules))
}

/// The fields of a response that are for the client alone whose request brought it.
pub fn withheld(fields: &Fields, rules: &Rules) -> Fields {
    let directives = ResponseDirectives::of(fields, rules);
    let mut withheld = fields.clone();
    withheld.retain(|name, _| is_withheld(name, &directives, rules));
    withheld
}

fn is_withheld(name: &[u8], directives: &ResponseDirectives, rules: &Rules) -> bool {
    let strips_cookies = rules.set_cookie == SetCookie::Strip;
    (strips_cookies && name.eq_ignore_ascii_case(b"set-cookie")) || directives.withholds(name)
}

/// Removes the trailer fields of a response with this head that must not be kept for others.
pub fn strip_trailers_for_storage(head: &Fields, trailers: &mut Fields, rules: &Rules) {
    strip_hop_by_hop(trailers);
    let directives = ResponseDirectives::of(head, rules);
    // A cookie in a trailer is one that neither side means to be seen.
    let is_cookie = |name: &[u8]| name.eq_ignore_ascii_case(b"set-cookie");
    trailers.retain(|name, _| !is_cookie(name) && !directives.withholds(name));
}

/// An id is of one exchange, and Age is computed anew for each response.
fn is_momentary(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"age") || name.eq_ignore_ascii_case(b"x-request-id")
}

/// Is this field about one connection only, whether or not Connection names it?
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
    //# Furthermore, intermediaries SHOULD remove or replace fields that are known to require removal
    //# before forwarding, whether or not they appear as a connection-option, after applying those
    //# fields' semantics.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
    //# Header fields that are specific to the proxy that a cache uses when forwarding a request MUST
    //# NOT be stored, unless the cache incorporates the identity of the proxy into the cache key.
    const NAMES: [&[u8]; 10] = [
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    ];
    NAMES.iter().any(|hop| name.eq_ignore_ascii_case(hop))
}

/// Does a Connection field of this message name the field, and may it?
pub(crate) fn is_named_by_connection(name: &[u8], message: &Fields) -> bool {
    let named = message.all("connection").flat_map(members).any(|o| o.eq_ignore_ascii_case(name));
    named && !is_end_to_end(name)
}

/// Is this a field that means something to the server or to caches behind us? Whoever could have it
/// removed by naming it in Connection could forge a request or poison a cache.
fn is_end_to_end(name: &[u8]) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
    //# A sender MUST NOT send a connection option corresponding to a field that is intended for all
    //# recipients of the content. For example, Cache-Control is never appropriate as a connection
    //# option
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2
    //# A proxy, whether or not it implements a cache, MUST pass cache directives through in
    //# forwarded messages, regardless of their significance to that application
    const NAMES: [&[u8]; 39] = [
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"age",
        b"authorization",
        b"cache-control",
        b"cache-group-invalidation",
        b"cache-groups",
        b"cache-status",
        b"cdn-loop",
        b"content-encoding",
        b"content-length",
        b"content-location",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"etag",
        b"expires",
        b"forwarded",
        b"host",
        b"last-modified",
        b"location",
        b"max-forwards",
        b"no-vary-search",
        b"origin",
        b"pragma",
        b"proxy-status",
        b"range",
        b"set-cookie",
        b"strict-transport-security",
        b"surrogate-control",
        b"user-agent",
        b"vary",
        b"via",
        b"x-accel-buffering",
        b"x-accel-expires",
        b"x-real-ip",
        b"x-request-id",
    ];
    // The targeted fields of RFC 9213, whichever an operator names.
    const TARGETED: &[u8] = b"-cache-control";
    const PREFIXES: [&[u8]; 3] = [b"if-", b"sec-", b"x-forwarded-"];
    let starts = |prefix: &[u8]| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let tail = name.len().checked_sub(TARGETED.len()).and_then(|at| name.get(at..));
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || PREFIXES.iter().any(|p| starts(p))
        || tail.is_some_and(|tail| tail.eq_ignore_ascii_case(TARGETED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    fn forwarded(head: &str) -> Fields {
        let mut head = fields(head);
        strip_hop_by_hop(&mut head);
        head
    }

    fn stored(head: &str, rules: &Rules) -> Fields {
        let mut head = fields(head);
        strip_for_storage(&mut head, rules);
        head
    }

    #[test]
    fn connection_and_what_it_names_are_not_passed_on() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
        //= type=test
        //# Intermediaries MUST parse a received Connection header field before a message is forwarded
        //# and, for each connection-option in this field, remove any header or trailer field(s) from
        //# the message with the same name as the connection-option, and then remove the Connection
        //# header field itself (or replace it with the intermediary's own control options for the
        //# forwarded message).
        let head = "Connection: a, B\nA: 1\nb: 2\nc: 3\nconnection: close,d\nd: 4\na: 5";
        assert_eq!(forwarded(head), fields("c: 3"));
    }

    #[test]
    fn it_makes_no_difference_how_many_options_there_are() {
        let kept = "c: 3\nCache-Control: x\nag: 4";
        let head = format!("A: 1\nb: 2\n{kept}\nKeep-Alive: x");
        for count in [0, 1, FEW_OPTIONS - 3, FEW_OPTIONS - 2, FEW_OPTIONS, 5_000] {
            let others = "x,".repeat(count);
            let named = format!("Connection: a,,{others}\"\n{head}\nconnection: B, cache-control");
            assert_eq!(forwarded(&named), fields(kept), "{count}");
        }
    }

    #[test]
    fn known_hop_by_hop_fields_go_even_when_connection_does_not_name_them() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
        //= type=test
        //# Furthermore, intermediaries SHOULD remove or replace fields that are known to require
        //# removal before forwarding, whether or not they appear as a connection-option, after
        //# applying those fields' semantics.
        //= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
        //= type=test
        //# Header fields that are specific to the proxy that a cache uses when forwarding a request
        //# MUST NOT be stored, unless the cache incorporates the identity of the proxy into the cache
        //# key.
        let head = "Keep-Alive: timeout=5\nProxy-Connection: x\nTE: trailers\nUpgrade: h2c\n\
                    Transfer-Encoding: chunked\nProxy-Authenticate: x\nProxy-Authorization: x\n\
                    Proxy-Authentication-Info: x\nHTTP2-Settings: x\nTrailer: x";
        assert_eq!(forwarded(head), fields("Trailer: x"));
    }

    #[test]
    fn connection_cannot_remove_what_protects_or_identifies() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
        //= type=test
        //# A sender MUST NOT send a connection option corresponding to a field that is intended for
        //# all recipients of the content. For example, Cache-Control is never appropriate as a
        //# connection option
        for name in [
            "Host",
            "Content-Length",
            "Cache-Control",
            "Authorization",
            "Cookie",
            "Set-Cookie",
            "Range",
            "Vary",
            "Expires",
            "Age",
            "Date",
            "ETag",
            "X-Forwarded-For",
            "Via",
            "CDN-Loop",
            "Max-Forwards",
            "Proxy-Status",
            "If-None-Match",
            "Sec-Fetch-Site",
            "CDN-Cache-Control",
            "Example-CACHE-Control",
            "Surrogate-Control",
            "X-Accel-Buffering",
            "No-Vary-Search",
            "Cache-Groups",
        ] {
            let line = format!("{name}: x");
            assert_eq!(forwarded(&format!("Connection: {name}\n{line}")), fields(&line));
        }
    }

    #[test]
    fn withheld_and_momentary_fields_are_not_stored() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
        //= type=test
        //# The no-cache (Section 5.2.2.4) and private (Section 5.2.2.7) cache directives can have
        //# arguments that prevent storage of header fields by all caches and shared caches,
        //# respectively.
        let control = "Cache-Control: no-cache=\"a, B\", private=\"Set-Cookie\"";
        let head = format!("{control}\na: 1\nb: 2\nc: 3\nset-cookie: x\nAge: 5\nX-Request-Id: 7");
        assert_eq!(stored(&head, &Rules::default()), fields(&format!("{control}\nc: 3")));
    }

    #[test]
    fn what_is_withheld_from_others_is_for_the_client_that_asked() {
        let rules = Rules::default();
        let strip = Rules { set_cookie: SetCookie::Strip, ..Rules::default() };
        for (head, rules, expected) in [
            ("Cache-Control: no-cache=\"a\"\na: 1\nAge: 5", &rules, true),
            ("Cache-Control: private=\"set-cookie\"\nSet-Cookie: x", &rules, true),
            ("Cache-Control: private=\"b\"\na: 1", &rules, false),
            ("Cache-Control: max-age=5\na: 1", &rules, false),
            ("Set-Cookie: x", &strip, true),
            ("Set-Cookie: x", &rules, false),
        ] {
            let mut got = fields(head);
            assert_eq!(strip_for_first(&mut got, rules), expected, "{head}");
            assert_eq!(got, fields(head.trim_end_matches("\nAge: 5")));
            let alone = withheld(&got, rules);
            let line = if expected { got.iter().last() } else { None };
            assert_eq!(alone.iter().collect::<Vec<_>>(), Vec::from_iter(line), "{head}");
        }
    }

    #[test]
    fn trailers_are_withheld_as_fields_are() {
        for head in [
            "Cache-Control: max-age=5, no-cache=\"a\", private=\"B\"",
            "CDN-Cache-Control: max-age=5, no-cache=\"a\", private=\"B\"\nCache-Control: public",
        ] {
            let mut trailers = fields("A: 1\nb: 2\nc: 3\nSet-Cookie: x\nConnection: d\nd: 4");
            strip_trailers_for_storage(&fields(head), &mut trailers, &Rules::default());
            assert_eq!(trailers, fields("c: 3"), "{head}");
        }
    }

    #[test]
    fn cookies_are_stripped_only_when_the_route_says_so() {
        let rules = Rules { set_cookie: SetCookie::Strip, ..Rules::default() };
        assert_eq!(stored("Set-Cookie: a=b\nc: 3", &rules), fields("c: 3"));
        assert_eq!(stored("Set-Cookie: a=b", &Rules::default()), fields("Set-Cookie: a=b"));
    }
}
