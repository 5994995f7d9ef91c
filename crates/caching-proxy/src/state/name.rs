//! Names of instance directories: readable, safe as a file name, one per origin and listener.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy::OriginUrl;

/// Longer origins are cut; the checksum keeps them apart. File names end at 255 bytes.
const LONGEST_ORIGIN: usize = 120;

/// For example `http-127.0.0.1-8000.3000`: origin, then port. An address that is not the usual
/// loopback one follows: `https-api.example.com-443.80@0.0.0.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceName {
    origin: String,
    port: u16,
    /// Tells instances apart that asked the system for a port; 1 is not written.
    slot: u16,
    address: Option<String>,
}

impl InstanceName {
    /// The name for an instance.
    pub(crate) fn new(origin: &OriginUrl, listen: SocketAddr) -> Self {
        let usual = listen.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST);
        let address = (!usual).then(|| readable(&listen.ip().to_string()));
        Self { origin: origin_part(origin), port: listen.port(), slot: 1, address }
    }

    /// Reads a directory's name; `None` for one that is not an instance's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (rest, address) = match text.split_once('@') {
            Some((rest, address)) => (rest, Some(address.to_owned())),
            None => (text, None),
        };
        let (origin, port) = rest.rsplit_once('.')?;
        let (port, slot) = port.split_once('-').unwrap_or((port, "1"));
        let name = Self {
            origin: origin.to_owned(),
            port: port.parse().ok()?,
            slot: slot.parse().ok()?,
            address,
        };
        (name.to_string() == text).then_some(name)
    }

    /// The port that was asked for.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it was started with this origin.
    pub(crate) fn is_of(&self, origin: &OriginUrl) -> bool {
        self.origin == origin_part(origin)
    }

    /// The same in another slot.
    pub(crate) fn in_slot(&self, slot: u16) -> Self {
        Self { slot, ..self.clone() }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.origin, self.port)?;
        if self.slot != 1 {
            write!(f, "-{}", self.slot)?;
        }
        if let Some(address) = &self.address {
            write!(f, "@{address}")?;
        }
        Ok(())
    }
}

/// Scheme, host, port and prefix. Where letters had to be replaced or cut, a checksum of the whole
/// keeps different origins apart.
fn origin_part(origin: &OriginUrl) -> String {
    let scheme = origin.scheme().as_str();
    let plain = format!("{scheme}-{}-{}{}", origin.host(), origin.port(), origin.prefix());
    let mut name = readable(&plain);
    name.truncate(LONGEST_ORIGIN);
    if name == plain {
        return name;
    }
    format!("{name}-{:08x}", checksum(plain.as_bytes()))
}

/// Everything but letters, digits, dots and dashes becomes an underscore.
fn readable(text: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    text.chars().map(|c| if kept(c) { c } else { '_' }).collect()
}

/// FNV-1a folded to 32 bits. It must never change: names of existing directories have it.
fn checksum(bytes: &[u8]) -> u32 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(origin: &str, listen: &str) -> InstanceName {
        InstanceName::new(&OriginUrl::parse(origin).unwrap(), listen.parse().unwrap())
    }

    #[test]
    fn names_are_readable_and_read_back() {
        let table = [
            ("http://127.0.0.1:8000", "127.0.0.1:3000", "http-127.0.0.1-8000.3000"),
            ("https://API.example.com/", "127.0.0.1:0", "https-api.example.com-443.0"),
            ("http://a", "0.0.0.0:80", "http-a-80.80@0.0.0.0"),
            ("http://a", "[::1]:80", "http-a-80.80@__1"),
        ];
        for (origin, listen, expected) in table {
            let name = name(origin, listen);
            assert_eq!(name.to_string(), expected);
            assert_eq!(InstanceName::parse(expected), Some(name.clone()));
            assert!(name.is_of(&OriginUrl::parse(origin).unwrap()));
        }
    }

    #[test]
    fn different_origins_never_share_a_name() {
        let host = format!("{}.{}", "a".repeat(60), "b".repeat(60));
        let origins = [
            "http://a/x/y".to_owned(),
            "http://a/x_y".to_owned(),
            "http://a/x-y".to_owned(),
            "http://a".to_owned(),
            "https://a".to_owned(),
            "http://[::1]".to_owned(),
            "http://[1::]".to_owned(),
            format!("http://{host}c"),
            format!("http://{host}d"),
        ];
        let names: std::collections::HashSet<String> =
            origins.iter().map(|origin| name(origin, "127.0.0.1:1").to_string()).collect();
        assert_eq!(names.len(), origins.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() < 160 && !name.contains('/')));
    }

    #[test]
    fn slots_read_back_and_other_names_are_not_taken_for_instances() {
        let second = name("http://a", "127.0.0.1:0").in_slot(2);
        assert_eq!(second.to_string(), "http-a-80.0-2");
        assert_eq!(InstanceName::parse("http-a-80.0-2"), Some(second));
        for other in ["", "store", "a.b", "http-a-80.0-1", "a.080", "a.99999", "a.-2"] {
            assert_eq!(InstanceName::parse(other), None, "{other}");
        }
    }
}
