//! The PROXY protocol, versions 1 and 2: a load balancer that passes TCP on tells, before the first
//! byte of the connection, who connected to it.
//!
//! It is read only where a listener says so: then every connection has to begin with it, since who may
//! leave it out may also claim to be anybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a version 1 header may take, with its CRLF.
const V1_MOST: usize = 107;
/// What begins a version 2 header. No protocol that people speak begins so.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD: usize = 16;
/// Bytes of addresses and attachments that are taken in version 2. The longest in use are a few hundred.
const V2_MOST: usize = 4096;
/// Bytes of the longest header that is taken.
pub(crate) const LONGEST: usize = V2_HEAD + V2_MOST;

/// Who a connection is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    At(SocketAddr),
    /// The load balancer speaks for itself, for example to see whether we are there.
    Itself,
    /// Somebody of whom the load balancer does not know or say who it is.
    Unsaid,
}

/// A header that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) client: Client,
    /// The bytes of the header.
    pub(crate) length: usize,
}

/// Why the beginning of a connection is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHeader {
    #[error("it does not begin with a PROXY protocol header")]
    Missing,
    #[error("its PROXY protocol header is too long")]
    TooLong,
    #[error("its PROXY protocol header is malformed")]
    Malformed,
    #[error("its PROXY protocol header has another version than 1 and 2")]
    Version,
}

/// Reads the header at the beginning of `bytes`; `Ok(None)` while it has not all arrived.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    if begins_as(bytes, V2_SIGNATURE) {
        return if bytes.len() < V2_HEAD { Ok(None) } else { version_2(bytes) };
    }
    if begins_as(bytes, b"PROXY ") {
        return version_1(bytes);
    }
    Err(BadHeader::Missing)
}

fn begins_as(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn version_1(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let window = bytes.get(..V1_MOST).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= V1_MOST { Err(BadHeader::TooLong) } else { Ok(None) };
    };
    let line = bytes.get(b"PROXY ".len()..end).ok_or(BadHeader::Malformed)?;
    let client = client_1(line).ok_or(BadHeader::Malformed)?;
    Ok(Some(Header { client, length: end + 2 }))
}

/// `None` of a malformed line.
fn client_1(line: &[u8]) -> Option<Client> {
    // Whatever follows is to be ignored.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(Client::Unsaid);
    }
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let is_right: fn(&IpAddr) -> bool = match words.next()? {
        "TCP4" => IpAddr::is_ipv4,
        "TCP6" => IpAddr::is_ipv6,
        _ => return None,
    };
    let address = |word: &str| word.parse::<IpAddr>().ok().filter(is_right);
    let (source, _) = (address(words.next()?)?, address(words.next()?)?);
    let (port, _) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Client::At(SocketAddr::new(source, port)))
}

fn port(word: &str) -> Option<u16> {
    let is_plain =
        word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| is_plain)
}

fn version_2(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let &[command, family, high, low, ref rest @ ..] = bytes.get(12..).unwrap_or_default() else {
        return Ok(None);
    };
    if command >> 4 != 2 {
        return Err(BadHeader::Version);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MOST {
        return Err(BadHeader::TooLong);
    }
    let Some(addresses) = rest.get(..length) else { return Ok(None) };
    let client = match (command & 0xf, family) {
        (1, 0x11) => Client::At(ipv4(addresses).ok_or(BadHeader::Malformed)?),
        (1, 0x21) => Client::At(ipv6(addresses).ok_or(BadHeader::Malformed)?),
        (0, _) => Client::Itself,
        // Without an address that is of use: datagrams, sockets of a machine, what is not told.
        (1, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Client::Unsaid,
        _ => return Err(BadHeader::Malformed),
    };
    Ok(Some(Header { client, length: V2_HEAD + length }))
}

fn ipv4(addresses: &[u8]) -> Option<SocketAddr> {
    let (&address, rest) = addresses.split_first_chunk::<4>()?;
    let &[_, _, _, _, high, low, _, _, ..] = rest else { return None };
    Some(SocketAddr::new(Ipv4Addr::from(address).into(), u16::from_be_bytes([high, low])))
}

fn ipv6(addresses: &[u8]) -> Option<SocketAddr> {
    let (&address, rest) = addresses.split_first_chunk::<16>()?;
    let (_, ports) = rest.split_first_chunk::<16>()?;
    let &[high, low, _, _, ..] = ports else { return None };
    Some(SocketAddr::new(Ipv6Addr::from(address).into(), u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = (addresses.len() as u16).to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    fn complete(bytes: &[u8]) -> Header {
        decode(bytes).unwrap().unwrap()
    }

    #[test]
    fn version_1_tells_who_connected() {
        for (line, client) in [
            ("TCP4 192.0.2.7 198.51.100.1 56324 443", Some("192.0.2.7:56324")),
            ("TCP4 255.255.255.255 255.255.255.255 65535 65535", Some("255.255.255.255:65535")),
            ("TCP6 2001:db8::7 ::1 1 0", Some("[2001:db8::7]:1")),
            ("UNKNOWN", None),
            ("UNKNOWN ffff::1 whatever it says", None),
        ] {
            let header = format!("PROXY {line}\r\n");
            let expected =
                client.map_or(Client::Unsaid, |client| Client::At(client.parse().unwrap()));
            let bytes = format!("{header}GET / HTTP/1.1\r\n");
            let decoded = complete(bytes.as_bytes());
            assert_eq!(decoded, Header { client: expected, length: header.len() }, "{line}");
            for end in 0..header.len() {
                assert_eq!(decode(&header.as_bytes()[..end]), Ok(None), "{line} up to {end}");
            }
        }
        let any = b"PROXY UNKNOWN \xFF\0\r\n";
        assert_eq!(complete(any), Header { client: Client::Unsaid, length: any.len() });
    }

    #[test]
    fn version_1_is_read_to_the_letter() {
        for line in [
            "TCP4 192.0.2.7 198.51.100.1 56324",
            "TCP4 192.0.2.7 198.51.100.1 56324 443 1",
            "TCP4  192.0.2.7 198.51.100.1 56324 443",
            "TCP4 192.0.2.7 198.51.100.1 56324 65536",
            "TCP4 192.0.2.7 198.51.100.1 056324 443",
            "TCP4 192.0.2.7 198.51.100.1 +1 443",
            "TCP4 192.0.2.7 198.51.100.1 -1 443",
            "TCP4 192.0.2.700 198.51.100.1 1 443",
            "TCP4 192.0.2 198.51.100.1 1 443",
            "TCP4 2001:db8::7 ::1 1 2",
            "TCP6 192.0.2.7 198.51.100.1 1 2",
            "TCP4 host.example 198.51.100.1 1 2",
            "UDP4 192.0.2.7 198.51.100.1 1 2",
            "tcp4 192.0.2.7 198.51.100.1 1 2",
            "",
        ] {
            let header = format!("PROXY {line}\r\n");
            assert_eq!(decode(header.as_bytes()), Err(BadHeader::Malformed), "{line}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        assert_eq!(decode(long.as_bytes()), Err(BadHeader::TooLong));
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_MOST - 16));
        assert_eq!(complete(longest.as_bytes()).length, V1_MOST);
    }

    #[test]
    fn version_2_tells_who_connected() {
        let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        v6[32..34].copy_from_slice(&[0x01, 0x00]);
        let attached = [&v4[..], &[0x04, 0, 1, 0]].concat();
        for (bytes, client) in [
            (v2(0x21, 0x11, &v4), Some("192.0.2.7:56324")),
            (v2(0x21, 0x11, &attached), Some("192.0.2.7:56324")),
            (v2(0x21, 0x21, &v6), Some("[2001:db8::7]:256")),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x21, 0x00, &[]), None),
        ] {
            let expected =
                client.map_or(Client::Unsaid, |client| Client::At(client.parse().unwrap()));
            let decoded = complete(&[&bytes[..], b"GET /"].concat());
            assert_eq!(decoded, Header { client: expected, length: bytes.len() });
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), Ok(None), "up to {end}");
            }
        }
    }

    #[test]
    fn a_load_balancer_may_speak_for_itself() {
        for bytes in [v2(0x20, 0x00, &[]), v2(0x20, 0x11, &[0; 12]), v2(0x20, 0xFF, b"x")] {
            assert_eq!(complete(&bytes), Header { client: Client::Itself, length: bytes.len() });
        }
    }

    #[test]
    fn version_2_is_read_to_the_letter() {
        let long = [&V2_SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        for (bytes, fault) in [
            (v2(0x11, 0x11, &[0; 12]), BadHeader::Version),
            (v2(0x31, 0x11, &[0; 12]), BadHeader::Version),
            (v2(0x22, 0x11, &[0; 12]), BadHeader::Malformed),
            (v2(0x21, 0x11, &[0; 11]), BadHeader::Malformed),
            (v2(0x21, 0x21, &[0; 35]), BadHeader::Malformed),
            (v2(0x21, 0x41, &[0; 36]), BadHeader::Malformed),
            (v2(0x21, 0x13, &[0; 36]), BadHeader::Malformed),
            (long, BadHeader::TooLong),
        ] {
            assert_eq!(decode(&bytes), Err(fault), "{bytes:?}");
        }
    }

    #[test]
    fn whatever_else_comes_first_is_refused_at_once() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"PROXI", b"proxy ", b"\r\n\r\n\0\r\nQUIX", b"\x16\x03"]
        {
            assert_eq!(decode(bytes), Err(BadHeader::Missing), "{bytes:?}");
        }
        assert_eq!(decode(b""), Ok(None));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(start in prop::sample::select(vec![&b""[..], b"PROXY ", V2_SIGNATURE]),
                                 rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [start, &rest].concat();
            let whole = decode(&bytes);
            if let Ok(Some(header)) = whole {
                prop_assert!(header.length <= bytes.len());
            }
            // More bytes change nothing about what was said of fewer.
            for end in 0..bytes.len() {
                let part = decode(&bytes[..end]);
                prop_assert!(part == Ok(None) || part == whole);
            }
        }
    }
}
