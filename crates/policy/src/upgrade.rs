//! May the connection of a request go on in another protocol? (RFC 9110 §7.8)

use crate::fields::Fields;
use crate::syntax::{is_token, members};

/// The protocols that a client offers and that may be offered to the origin, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer(Vec<u8>);

impl Offer {
    /// What the Upgrade fields of a request offer; `None` if nothing of it is passed on. Whether the
    /// request may offer anything at all (its version, its Connection field) is the codec's question.
    pub fn of(request: &Fields) -> Option<Offer> {
        let protocols = protocols(request).filter(|protocol| !carries_requests(protocol));
        list(protocols).map(Offer)
    }

    /// The value of the Upgrade field that the origin gets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the origin has switched to, if its 101 names protocols and all of them were offered.
    pub fn accepted(&self, response: &Fields) -> Option<Vec<u8>> {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
        //# A server MUST NOT switch to a protocol that was not indicated by the client in the
        //# corresponding request's Upgrade header field.
        let is_offered = |named: &[u8]| members(&self.0).any(|one| one.eq_ignore_ascii_case(named));
        let named: Vec<&[u8]> = response.all("upgrade").flat_map(members).collect();
        let is_sound = !named.is_empty() && named.iter().all(|named| is_offered(named));
        is_sound.then(|| named.join(&b", "[..]))
    }
}

/// What a client is told of the protocols that a 426 requires: the value of an Upgrade field of the
/// proxy's own. They are told as they are, whether or not an offer of them would be passed on: it is
/// the origin that requires them, and its answer means nothing without.
pub fn required(status: u16, response: &Fields) -> Option<Vec<u8>> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    //# A server MAY send an Upgrade header field in any other response to advertise that it implements
    //# support for upgrading to the listed protocols, in order of descending preference, when
    //# appropriate for a future request.
    // That is about the connection to the origin, whose protocol the client does not choose.
    if status != 426 {
        return None;
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.22
    //# The server MUST send an Upgrade header field in a 426 response to indicate the required
    //# protocol(s) (Section 7.8).
    // Without it the answer says nothing, so it counts even where Connection does not name it.
    list(protocols(response))
}

/// The protocols that the Upgrade fields of a message name.
fn protocols(message: &Fields) -> impl Iterator<Item = &[u8]> {
    message.all("upgrade").flat_map(members).filter(|protocol| is_protocol(protocol))
}

/// The value of a field that names these; `None` if there are none.
fn list<'a>(protocols: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let protocols: Vec<_> = protocols.collect();
    (!protocols.is_empty()).then(|| protocols.join(&b", "[..]))
}

/// `protocol-name ["/" protocol-version]`
fn is_protocol(protocol: &[u8]) -> bool {
    let mut parts = protocol.split(|&byte| byte == b'/');
    let (name, version) = (parts.next().unwrap_or_default(), parts.next());
    is_token(name) && version.is_none_or(is_token) && parts.next().is_none()
}

/// Would more requests, in a form that this proxy knows, come by such a tunnel? None of them would be
/// looked at: their client could have anything sent to the origin, past every rule.
fn carries_requests(protocol: &[u8]) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    //# A server MAY ignore a received Upgrade header field if it wishes to continue using the current
    //# protocol on that connection.
    let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let is_draft = name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c-"));
    is("h2c") || is("h2") || is("h3") || is("http") || is("tls") || is_draft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    fn offered(head: &str) -> Option<String> {
        Offer::of(&fields(head)).map(|offer| String::from_utf8(offer.0).unwrap())
    }

    #[test]
    fn what_could_carry_requests_past_the_cache_is_not_offered() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
        //= type=test
        //# A server MAY ignore a received Upgrade header field if it wishes to continue using the
        //# current protocol on that connection.
        for (head, expected) in [
            ("Upgrade: websocket", Some("websocket")),
            ("upgrade: WebSocket", Some("WebSocket")),
            ("Upgrade: websocket, IRC/6.9\nUpgrade: RTA/x11", Some("websocket, IRC/6.9, RTA/x11")),
            ("Upgrade: SPDY/3.1", Some("SPDY/3.1")),
            ("Upgrade: h2c, websocket", Some("websocket")),
            ("Upgrade: h2c", None),
            ("Upgrade: H2C-16, h2, h3, HTTP/2.0, TLS/1.3, tls", None),
            ("Upgrade:", None),
            ("Upgrade: , ,", None),
            ("Upgrade: /1, a/, a/b/c, a b, \"websocket\", a;b", None),
            ("X-Upgrade: websocket", None),
        ] {
            assert_eq!(offered(head).as_deref(), expected, "{head}");
        }
    }

    #[test]
    fn what_a_426_requires_is_told_whatever_it_is_and_no_other_response_tells_anything() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.22
        //= type=test
        //# The server MUST send an Upgrade header field in a 426 response to indicate the required
        //# protocol(s) (Section 7.8).
        for (status, head, expected) in [
            (426, "Connection: upgrade\nUpgrade: websocket", Some("websocket")),
            (426, "Connection: close\nUpgrade: websocket", Some("websocket")),
            (426, "Upgrade: HTTP/3.0, a/1\nUpgrade: b", Some("HTTP/3.0, a/1, b")),
            (426, "Upgrade: a b, c", Some("c")),
            (426, "Upgrade: a b", None),
            (426, "Connection: upgrade", None),
            (200, "Connection: upgrade\nUpgrade: websocket", None),
            (400, "Connection: upgrade\nUpgrade: websocket", None),
        ] {
            let got = required(status, &fields(head)).map(|it| String::from_utf8(it).unwrap());
            assert_eq!(got.as_deref(), expected, "{status} {head}");
        }
    }

    #[test]
    fn only_an_offered_protocol_can_be_switched_to() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
        //= type=test
        //# A server MUST NOT switch to a protocol that was not indicated by the client in the
        //# corresponding request's Upgrade header field.
        let offer = Offer::of(&fields("Upgrade: websocket, a/1, h2c")).unwrap();
        for (head, expected) in [
            ("Upgrade: websocket", Some("websocket")),
            ("Upgrade: WebSocket", Some("WebSocket")),
            ("Upgrade: a/1\nUpgrade: websocket", Some("a/1, websocket")),
            ("", None),
            ("Upgrade:", None),
            ("Upgrade: a", None),
            ("Upgrade: a/2", None),
            ("Upgrade: h2c", None),
            ("Upgrade: websocket, b", None),
        ] {
            let got = offer.accepted(&fields(head)).map(|it| String::from_utf8(it).unwrap());
            assert_eq!(got.as_deref(), expected, "{head}");
        }
    }
}
