//! Requests that go in circles, and requests that may go only so far: Via, CDN-Loop and
//! Max-Forwards.
//!
//! All proxies of this kind share one name in Via and one id in CDN-Loop, and a request may come by
//! that name a number of times before it is taken for a loop. A name for each instance would end a
//! loop of one instance sooner, but a loop through a group of instances behind one address would go
//! round until each of them had seen it; and it would tell strangers how many there are.

use crate::directives::closes_only_at_end;
use crate::explain::CACHE_NAME;
use crate::fields::Fields;
use crate::method::Method;
use crate::syntax::{is_token, members, trim};

/// How often a request has come by proxies of this name already.
///
/// Each of them adds one member to Via and one to CDN-Loop, so the greater number counts: either
/// field may have been lost on the way.
pub fn hops(request: &Fields) -> usize {
    let via = request.all("via").flat_map(split).filter(|member| received_by_us(member)).count();
    let cdn_loop = request.all("cdn-loop").flat_map(list).filter(|member| is_ours(member)).count();
    via.max(cdn_loop)
}

/// A Via member: `[protocol-name "/"] protocol-version RWS received-by [RWS comment]`.
fn received_by_us(member: &[u8]) -> bool {
    let mut words = member.split(|byte| matches!(byte, b' ' | b'\t')).filter(|w| !w.is_empty());
    words.nth(1).is_some_and(is_our_name)
}

/// The members of a CDN-Loop line. In a quoted string that never ends, all that others append would
/// be hidden: then every comma separates.
fn list(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_whole = members(line).all(|member| info(member).is_some());
    let (strict, loose) = if is_whole { (line, &b""[..]) } else { (&b""[..], line) };
    members(strict).chain(split(loose))
}

fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b',').map(trim)
}

/// Does this CDN-Loop member name us? One that does not follow the grammar names nobody.
fn is_ours(member: &[u8]) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc8586#section-2
    //# The CDN-Loop request header field is intended to help a Content Delivery Network identify when
    //# an incoming request has already passed through that CDN's servers to detect loops.
    info(member).is_some_and(is_our_name)
}

/// The id of a `cdn-info`, if the member is one: `cdn-id *( OWS ";" OWS parameter )`.
fn info(member: &[u8]) -> Option<&[u8]> {
    let mut parts = parts(member);
    let id = parts.next().filter(|id| is_id(id))?;
    parts.all(is_parameter).then_some(id)
}

/// Splits at semicolons outside quoted strings.
fn parts(member: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    let pieces = member.split(move |&byte| {
        let separates = byte == b';' && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        separates
    });
    pieces.map(trim)
}

/// `( uri-host [ ":" port ] ) / pseudonym`. A host that is no token is an address in brackets.
fn is_id(id: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/;<=>?@\\{}".contains(byte);
    !id.is_empty() && id.iter().all(is_name)
}

fn is_parameter(parameter: &[u8]) -> bool {
    let Some(at) = parameter.iter().position(|&byte| byte == b'=') else { return false };
    let (name, value) = (&parameter[..at], &parameter[at + 1..]);
    let is_quoted =
        |value: &[u8]| matches!(value, [b'"', inside @ .., b'"'] if closes_only_at_end(inside));
    is_token(name) && (is_token(value) || is_quoted(value))
}

/// Host names do not mind their case, and nobody else should differ from us in nothing but that.
fn is_our_name(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(CACHE_NAME.as_bytes())
}

/// How far a request may still go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// As far as it takes.
    Anywhere,
    /// On, with this value for Max-Forwards.
    Forward(u64),
    /// No further: whoever received it answers.
    Here,
}

/// How far Max-Forwards lets a request go.
pub fn reach(method: &Method, request: &Fields) -> Reach {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2
    //# A recipient MAY ignore a Max-Forwards header field received with any other request methods.
    if !matches!(method, Method::Trace | Method::Options) {
        return Reach::Anywhere;
    }
    // One line is allowed. Of several the least is the one that nobody can complain of.
    let Some(left) = request.all("max-forwards").filter_map(number).min() else {
        return Reach::Anywhere;
    };
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2
    //# If the received value is zero (0), the intermediary MUST NOT forward the request; instead, the
    //# intermediary MUST respond as the final recipient. If the received Max-Forwards value is
    //# greater than zero, the intermediary MUST generate an updated Max-Forwards field in the
    //# forwarded message with a field value that is the lesser of a) the received value decremented
    //# by one (1) or b) the recipient's maximum supported value for Max-Forwards.
    left.checked_sub(1).map_or(Reach::Here, Reach::Forward)
}

/// `1*DIGIT`; what does not fit is as good as the greatest number that does.
fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    fn check(rows: &[(&str, usize)]) {
        for (head, expected) in rows {
            assert_eq!(hops(&fields(head)), *expected, "{head}");
        }
    }

    #[test]
    fn cdn_loop_tells_how_often_a_request_came_by() {
        //= https://www.rfc-editor.org/rfc/rfc8586#section-2
        //= type=test
        //# The CDN-Loop request header field is intended to help a Content Delivery Network identify
        //# when an incoming request has already passed through that CDN's servers to detect loops.
        check(&[
            ("", 0),
            ("cdn-loop: foo123.foocdn.example, barcdn.example; trace=\"abcdef\"", 0),
            ("cdn-loop: caching-proxy", 1),
            ("CDN-Loop: Caching-Proxy;a=b", 1),
            ("cdn-loop: a, caching-proxy ; a=1 ;\tb=\"2\"\ncdn-loop: caching-proxy,, b", 2),
            ("cdn-loop: [::1]:80, caching-proxy, a:80; x=\"a;b, c\\\"\", caching-proxy", 2),
            ("cdn-loop: a; x=\"caching-proxy\", caching-proxy-2, my caching-proxy", 0),
            ("x-cdn-loop: caching-proxy", 0),
        ]);
    }

    #[test]
    fn a_malformed_member_names_nobody_and_hides_nobody() {
        check(&[
            ("cdn-loop: caching-proxy; a", 0),
            ("cdn-loop: caching-proxy; a=b c", 0),
            ("cdn-loop: caching-proxy; =b", 0),
            ("cdn-loop: ;, \", caching-proxy, caching-proxy", 2),
            ("cdn-loop: x; a=\", caching-proxy, caching-proxy", 2),
            ("cdn-loop: x; a=\"\\\", caching-proxy", 1),
            ("cdn-loop: x y, caching-proxy", 1),
        ]);
    }

    #[test]
    fn via_tells_it_too_and_the_greater_number_counts() {
        check(&[
            ("via: 1.1 caching-proxy", 1),
            ("via: 1.0 a, HTTP/1.1\tcaching-proxy (x), 1.1 caching-proxy\nvia: 2 caching-proxy", 3),
            ("via: caching-proxy, 1.1 a caching-proxy, 1.1 caching-proxy-2, 1.1", 0),
            ("via: 1.1 caching-proxy\ncdn-loop: caching-proxy, caching-proxy", 2),
            ("via: 1.1 caching-proxy, 1.1 caching-proxy\ncdn-loop: a", 2),
        ]);
    }

    #[test]
    fn max_forwards_counts_down_to_us() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2
        //= type=test
        //# If the received value is zero (0), the intermediary MUST NOT forward the request; instead,
        //# the intermediary MUST respond as the final recipient. If the received Max-Forwards value
        //# is greater than zero, the intermediary MUST generate an updated Max-Forwards field in the
        //# forwarded message with a field value that is the lesser of a) the received value
        //# decremented by one (1) or b) the recipient's maximum supported value for Max-Forwards.
        let rows = [
            ("", Reach::Anywhere),
            ("max-forwards: 0", Reach::Here),
            ("Max-Forwards: 000", Reach::Here),
            ("max-forwards: 1", Reach::Forward(0)),
            ("max-forwards: 10", Reach::Forward(9)),
            ("max-forwards: 99999999999999999999999", Reach::Forward(u64::MAX - 1)),
            ("max-forwards: 7\nmax-forwards: 3", Reach::Forward(2)),
            ("max-forwards: x", Reach::Anywhere),
            ("max-forwards: -1", Reach::Anywhere),
            ("max-forwards: +1", Reach::Anywhere),
            ("max-forwards:", Reach::Anywhere),
        ];
        for (head, expected) in rows {
            for method in [Method::Trace, Method::Options] {
                assert_eq!(reach(&method, &fields(head)), expected, "{head}");
            }
        }
    }

    #[test]
    fn other_methods_go_as_far_as_it_takes() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2
        //= type=test
        //# A recipient MAY ignore a Max-Forwards header field received with any other request
        //# methods.
        for method in [Method::Get, Method::Post, Method::Other((*b"trace").into())] {
            assert_eq!(reach(&method, &fields("max-forwards: 0")), Reach::Anywhere);
        }
    }
}
