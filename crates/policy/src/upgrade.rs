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
        let mut list = Vec::new();
        for protocol in request.all("upgrade").flat_map(members) {
            if is_protocol(protocol) && !carries_requests(protocol) {
                if !list.is_empty() {
                    list.extend_from_slice(b", ");
                }
                list.extend_from_slice(protocol);
            }
        }
        (!list.is_empty()).then_some(Offer(list))
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
