//! Who a request is from, and how an origin is told (RFC 7239, and the `X-Forwarded-*` fields that
//! came before it).
//!
//! Whoever sends a request can write into it what it likes. So what a request says of its way is
//! believed from its end on, and only as far as it was written by proxies that are trusted: the first
//! address that is no such proxy's is the client.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use smallvec::{SmallVec, smallvec};

use crate::fields::Fields;
use crate::syntax::{parameters, trim, words};

/// Addresses that are told at most: client, and proxies behind it. What came before is cut off.
const MOST: usize = 16;

/// The field in which trusted proxies tell the way of a request. Others are not believed: a proxy that
/// writes one of them passes the others on as it got them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WayField {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The fields in which a request can tell its way.
pub const FIELDS: [&str; 3] = ["x-forwarded-for", "x-forwarded-proto", "forwarded"];

/// The proxies whose word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Their addresses.
    pub proxies: Vec<IpNet>,
    /// Where they tell.
    pub field: WayField,
}

/// Where a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The client, then the trusted proxies that it came by, the peer of the connection last. Not empty.
    stations: SmallVec<[IpAddr; 2]>,
    /// Whether the client used TLS, if a trusted proxy said so.
    pub secure: Option<bool>,
}

impl Way {
    /// A request that came straight from its client.
    pub fn direct(client: IpAddr) -> Way {
        Way { stations: smallvec![client.to_canonical()], secure: None }
    }

    /// The way of a request with these fields, whose connection comes from `peer`.
    pub fn of(peer: IpAddr, fields: &Fields, trust: &Trust) -> Way {
        let way = Way::direct(peer);
        if !trust.includes(peer) {
            return way;
        }
        match trust.field {
            WayField::XForwardedFor => way.by_x_forwarded_for(fields, trust),
            WayField::Forwarded => way.by_forwarded(fields, trust),
        }
    }

    /// The address that the request is from.
    pub fn client(&self) -> IpAddr {
        // Not empty, so the other case does not arise.
        self.stations.first().copied().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
    }

    fn by_x_forwarded_for(mut self, fields: &Fields, trust: &Trust) -> Way {
        // Neither field has quoted strings: a quote that a client has left open opens nothing.
        let nodes: Vec<&[u8]> = fields.all("X-Forwarded-For").flat_map(words).collect();
        let believed = self.follow(nodes.iter().rev().map(|node| address(node)), trust);
        let schemes: Vec<&[u8]> = fields.all("X-Forwarded-Proto").flat_map(words).collect();
        // One for each station, or one for all.
        let at = if schemes.len() == nodes.len() { believed.max(1) } else { 1 };
        let scheme = schemes.len().checked_sub(at).and_then(|at| schemes.get(at));
        self.secure = scheme.and_then(|scheme| is_secure(scheme));
        self
    }

    fn by_forwarded(mut self, fields: &Fields, trust: &Trust) -> Way {
        let lines: Vec<&[u8]> = fields.all("Forwarded").collect();
        let elements: Vec<&[u8]> = lines.into_iter().rev().flat_map(from_end).collect();
        let node = |element: &&[u8]| parameter(element, b"for").and_then(|node| address(&node));
        let believed = self.follow(elements.iter().map(node), trust);
        let told = elements.get(believed.max(1) - 1);
        let scheme = told.and_then(|element| parameter(element, b"proto"));
        self.secure = scheme.and_then(|scheme| is_secure(&scheme));
        self
    }

    /// Goes back along the way as far as it can be believed; returns by how many stations.
    fn follow(&mut self, nodes: impl Iterator<Item = Option<IpAddr>>, trust: &Trust) -> usize {
        let mut believed = 0;
        for node in nodes.take(MOST - 1) {
            let Some(address) = node else { break };
            self.stations.insert(0, address);
            believed += 1;
            if !trust.includes(address) {
                break;
            }
        }
        believed
    }

    /// The value of `X-Forwarded-For` for the next hop.
    pub fn x_forwarded_for(&self) -> String {
        let mut out = String::new();
        for (at, station) in self.stations.iter().enumerate() {
            let _ = write!(out, "{}{station}", if at > 0 { ", " } else { "" });
        }
        out
    }

    /// The value of `Forwarded` for the next hop: `host` and `scheme` are those of the request.
    pub fn forwarded(&self, host: &[u8], scheme: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, station) in self.stations.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            match station {
                IpAddr::V4(v4) => out.extend(format!("for={v4}").bytes()),
                // Brackets and colons are not of a token.
                IpAddr::V6(v6) => out.extend(format!("for=\"[{v6}]\"").bytes()),
            }
            if at == 0 {
                out.extend_from_slice(b";host=\"");
                // A host has neither quotes nor backslashes; the codec takes no other.
                out.extend(host.iter().filter(|byte| !b"\"\\".contains(byte)));
                out.extend(format!("\";proto={scheme}").bytes());
            }
        }
        out
    }
}

impl Trust {
    /// Is this the address of a trusted proxy?
    pub fn includes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|network| network.contains(&address))
    }
}

/// The members of a list, the last one first, without the empty ones. They are told apart from the
/// end on: a quote that a client has left open must not take in what a proxy has written behind it.
fn from_end(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    let members = std::iter::from_fn(move || {
        let list = rest?;
        let comma = last_comma(list);
        rest = comma.and_then(|comma| list.get(..comma));
        list.get(comma.map_or(0, |comma| comma + 1)..).map(trim)
    });
    members.filter(|member| !member.is_empty())
}

/// Where the last comma outside a quoted string stands, read from the end on.
fn last_comma(list: &[u8]) -> Option<usize> {
    let mut quoted = false;
    list.iter().enumerate().rev().find_map(|(at, &byte)| {
        match byte {
            // Within a string one that is escaped does not begin it.
            b'"' if !(quoted && is_escaped(list, at)) => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
        None
    })
}

/// Whether the byte there stands behind an odd number of backslashes.
fn is_escaped(list: &[u8], at: usize) -> bool {
    let before = list.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

fn is_secure(scheme: &[u8]) -> Option<bool> {
    let is = |known: &[u8]| scheme.eq_ignore_ascii_case(known);
    if is(b"https") { Some(true) } else { is(b"http").then_some(false) }
}

/// The value of a parameter, without its quotes.
fn parameter(element: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut values = parameters(element).filter_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        pair[..equals].eq_ignore_ascii_case(name).then(|| unquoted(&pair[equals + 1..]))
    });
    // Twice is not once.
    values.next().filter(|_| values.next().is_none())
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(quoted) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut bytes = quoted.iter();
    std::iter::from_fn(|| match bytes.next()? {
        b'\\' => bytes.next().copied(),
        byte => Some(*byte),
    })
    .collect()
}

/// An address, with a port or without one. Names, `unknown` and what is hidden are none.
fn address(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(trim(node)).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    alone.or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    const PEER: &str = "10.0.0.1";

    fn trust(field: WayField) -> Trust {
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        Trust { proxies: proxies.into(), field }
    }

    fn way(peer: &str, head: &str, field: WayField) -> (String, Option<bool>) {
        let way = Way::of(peer.parse().unwrap(), &fields(head), &trust(field));
        assert!(way.x_forwarded_for().starts_with(&way.client().to_string()));
        (way.x_forwarded_for(), way.secure)
    }

    #[test]
    fn who_is_not_trusted_speaks_for_itself_alone() {
        let head = "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\nForwarded: for=192.0.2.1";
        for peer in ["198.51.100.9", "2001:db8::9"] {
            for field in [WayField::XForwardedFor, WayField::Forwarded] {
                assert_eq!(way(peer, head, field), (peer.to_owned(), None));
            }
        }
        let nobody = Way::of(PEER.parse().unwrap(), &fields(head), &Trust::default());
        assert_eq!(nobody, Way::direct(PEER.parse().unwrap()));
    }

    #[test]
    fn x_forwarded_for_is_believed_from_its_end_on() {
        for (head, stations, secure) in [
            ("", "10.0.0.1", None),
            ("X-Forwarded-For: 192.0.2.1", "192.0.2.1, 10.0.0.1", None),
            // What the client wrote before is cut off.
            ("X-Forwarded-For: 1.1.1.1, 192.0.2.1", "192.0.2.1, 10.0.0.1", None),
            ("X-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 192.0.2.1", "192.0.2.1, 10.0.0.1", None),
            ("X-Forwarded-For: 192.0.2.1, 10.9.9.9", "192.0.2.1, 10.9.9.9, 10.0.0.1", None),
            ("X-Forwarded-For: 10.1.1.1, 10.2.2.2", "10.1.1.1, 10.2.2.2, 10.0.0.1", None),
            ("X-Forwarded-For: 192.0.2.1:1234", "192.0.2.1, 10.0.0.1", None),
            ("X-Forwarded-For: [2001:db8::1]:1234", "2001:db8::1, 10.0.0.1", None),
            ("X-Forwarded-For: [2001:db8::1]", "2001:db8::1, 10.0.0.1", None),
            ("X-Forwarded-For: 2001:db8::1, fd00::7", "2001:db8::1, fd00::7, 10.0.0.1", None),
            ("X-Forwarded-For: ::ffff:192.0.2.1", "192.0.2.1, 10.0.0.1", None),
            // Nobody knows: the last proxy that is known stands for it.
            ("X-Forwarded-For: unknown", "10.0.0.1", None),
            ("X-Forwarded-For: 192.0.2.1, x, 10.9.9.9", "10.9.9.9, 10.0.0.1", None),
            (
                "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: HTTPS",
                "192.0.2.1, 10.0.0.1",
                Some(true),
            ),
            (
                "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: http",
                "192.0.2.1, 10.0.0.1",
                Some(false),
            ),
            ("X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: gopher", "192.0.2.1, 10.0.0.1", None),
            ("X-Forwarded-Proto: https", "10.0.0.1", Some(true)),
            (
                "X-Forwarded-For: 192.0.2.1, 10.9.9.9\nX-Forwarded-Proto: https, http",
                "192.0.2.1, 10.9.9.9, 10.0.0.1",
                Some(true),
            ),
            (
                "X-Forwarded-For: 1.1.1.1, 192.0.2.1\nX-Forwarded-Proto: https, http",
                "192.0.2.1, 10.0.0.1",
                Some(false),
            ),
            ("Forwarded: for=192.0.2.1;proto=https", "10.0.0.1", None),
            // Nobody hides behind a quote that it leaves open.
            ("X-Forwarded-For: \", 192.0.2.1", "192.0.2.1, 10.0.0.1", None),
            ("X-Forwarded-For: 1.1.1.1, \"x\\, 192.0.2.1", "192.0.2.1, 10.0.0.1", None),
            (
                "X-Forwarded-For: \", 192.0.2.1\nX-Forwarded-Proto: \", https",
                "192.0.2.1, 10.0.0.1",
                Some(true),
            ),
        ] {
            let expected = (stations.to_owned(), secure);
            assert_eq!(way(PEER, head, WayField::XForwardedFor), expected, "{head}");
        }
    }

    #[test]
    fn forwarded_is_believed_from_its_end_on() {
        for (head, stations, secure) in [
            ("", "10.0.0.1", None),
            ("Forwarded: for=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1, 10.0.0.1", Some(true)),
            ("Forwarded: For=\"192.0.2.1:80\"; Proto=HTTP", "192.0.2.1, 10.0.0.1", Some(false)),
            ("Forwarded: for=\"[2001:db8::1]:4711\"", "2001:db8::1, 10.0.0.1", None),
            ("Forwarded: for=1.1.1.1;proto=https, for=192.0.2.1", "192.0.2.1, 10.0.0.1", None),
            (
                "Forwarded: for=192.0.2.1;proto=https, for=10.9.9.9;proto=http",
                "192.0.2.1, 10.9.9.9, 10.0.0.1",
                Some(true),
            ),
            ("Forwarded: for=unknown", "10.0.0.1", None),
            ("Forwarded: for=_hidden, for=10.9.9.9", "10.9.9.9, 10.0.0.1", None),
            ("Forwarded: for=192.0.2.1;for=192.0.2.2", "10.0.0.1", None),
            ("Forwarded: for=\"192.0.2.\\1\"", "192.0.2.1, 10.0.0.1", None),
            ("Forwarded: proto=https", "10.0.0.1", Some(true)),
            ("X-Forwarded-For: 192.0.2.1", "10.0.0.1", None),
            // Nobody hides behind a quote that it leaves open.
            ("Forwarded: for=\", for=192.0.2.1;proto=https", "192.0.2.1, 10.0.0.1", Some(true)),
            (
                "Forwarded: for=1.1.1.1;x=\", for=\"[2001:db8::1]:80\", , for=\"10.9.9.9\"",
                "2001:db8::1, 10.9.9.9, 10.0.0.1",
                None,
            ),
            ("Forwarded: for=\"\nForwarded: for=192.0.2.1", "192.0.2.1, 10.0.0.1", None),
            // What a proxy has quoted is one string, whatever stands in it.
            (
                r#"Forwarded: for=1.1.1.1, for=192.0.2.1;host="a\", for=2.2.2.2""#,
                "192.0.2.1, 10.0.0.1",
                None,
            ),
            (r#"Forwarded: for=1.1.1.1, for=192.0.2.1;host=",\\""#, "192.0.2.1, 10.0.0.1", None),
        ] {
            let expected = (stations.to_owned(), secure);
            assert_eq!(way(PEER, head, WayField::Forwarded), expected, "{head}");
        }
    }

    #[test]
    fn a_way_without_end_is_cut_off() {
        let long = "10.1.1.1, ".repeat(1_000);
        let (stations, _) = way(PEER, &format!("X-Forwarded-For: {long}"), WayField::XForwardedFor);
        assert_eq!(stations.split(", ").count(), MOST);
    }

    #[test]
    fn the_next_hop_is_told_in_both_ways() {
        let head = "X-Forwarded-For: 2001:db8::1, 10.9.9.9";
        let way = Way::of(PEER.parse().unwrap(), &fields(head), &trust(WayField::XForwardedFor));
        let forwarded = way.forwarded(b"a.example:8080", "https");
        assert_eq!(
            String::from_utf8_lossy(&forwarded),
            "for=\"[2001:db8::1]\";host=\"a.example:8080\";proto=https, for=10.9.9.9, for=10.0.0.1"
        );
        // What we say is what we would read.
        let mut again = Fields::new();
        again.push(b"Forwarded", &forwarded);
        let again = Way::of(PEER.parse().unwrap(), &again, &trust(WayField::Forwarded));
        assert_eq!((again.client(), again.secure), (way.client(), Some(true)));
        assert_eq!(Way::direct([192, 0, 2, 1].into()).x_forwarded_for(), "192.0.2.1");
    }
}
