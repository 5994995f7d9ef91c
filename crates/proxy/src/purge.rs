//! What an operator can purge, and which stored responses that is about.

use std::fmt;

use store::{Label, Matcher};

use crate::origin::{OriginUrl, OriginUrlError};
use crate::request::labels;

/// Which stored responses to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Those of one URL, with all variants, and of all QUERYs for it.
    Url(Url),
    /// Those of all URLs that begin with this one, letter by letter.
    Prefix(Url),
    /// Those of a host.
    Host(Host),
    /// Those with this tag (`Surrogate-Key`, `Cache-Tag`, `xkey`).
    Tag(Name),
    /// Those of a cache group (RFC 9875) of a host.
    Group {
        /// The group.
        name: Name,
        /// Groups are of an origin: those of another host are others.
        host: Host,
    },
    /// All.
    All,
}

/// A URL as clients ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    authority: String,
    path_and_query: String,
}

/// A host as clients name it, with its port if that is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

/// The name of a tag or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Why a text names nothing that could be purged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// Scheme, host or port are not right.
    #[error(transparent)]
    Origin(#[from] OriginUrlError),
    /// There is more than a host and a port.
    #[error("it must be a host, with a port if it has one, and nothing else")]
    NotAHost,
    /// No request has a fragment.
    #[error("it must end before any '#', which no request has")]
    Fragment,
    /// A request target cannot have these characters.
    #[error("it has characters that no URL has; percent-encode them")]
    Characters,
    /// A name has to be something, in one line.
    #[error("it must be a name of printable ASCII")]
    Name,
}

impl Url {
    /// Parses `http[s]://host[:port][/path][?query]`.
    pub fn parse(text: &str) -> Result<Self, PurgeError> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginUrlError::Scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        OriginUrl::parse(&format!("{scheme}://{authority}"))?;
        if path_and_query.contains('#') {
            return Err(PurgeError::Fragment);
        }
        if !path_and_query.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PurgeError::Characters);
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path_and_query: path_and_query.to_owned(),
        })
    }

    fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        let [scheme, authority, rest] =
            [&self.scheme, &self.authority, &self.path_and_query].map(String::as_bytes);
        policy::primary_key(&mut key, scheme, authority, rest);
        key
    }
}

impl Host {
    /// Parses `host[:port]`.
    pub fn parse(text: &str) -> Result<Self, PurgeError> {
        if text.contains(['/', '?', '#']) {
            return Err(PurgeError::NotAHost);
        }
        OriginUrl::parse(&format!("http://{text}"))?;
        Ok(Self(text.to_owned()))
    }

    /// The origins that it may be.
    fn origins(&self) -> [Vec<u8>; 2] {
        ["http", "https"].map(|scheme| {
            let mut origin = Vec::new();
            policy::key::origin(&mut origin, scheme.as_bytes(), self.0.as_bytes());
            origin
        })
    }
}

impl Name {
    /// Takes the name as it is, without blanks around it.
    pub fn parse(text: &str) -> Result<Self, PurgeError> {
        let text = text.trim_matches(' ');
        let sound = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if sound { Ok(Self(text.to_owned())) } else { Err(PurgeError::Name) }
    }

    /// As it stands between the quotes of a String (RFC 9651 §3.3.3).
    fn quoted(&self) -> Vec<u8> {
        self.0.replace('\\', "\\\\").replace('"', "\\\"").into_bytes()
    }
}

/// A [`Matcher`] with bytes of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum About {
    Label(Label),
    Key(Vec<u8>),
    Prefix(Vec<u8>),
    Everything,
}

impl About {
    pub(crate) fn matcher(&self) -> Matcher<'_> {
        match self {
            Self::Label(label) => Matcher::Label(*label),
            Self::Key(key) => Matcher::Key(key),
            Self::Prefix(prefix) => Matcher::Prefix(prefix),
            Self::Everything => Matcher::Everything,
        }
    }
}

impl Purge {
    /// What the store is told, of responses from the origin server of this name.
    pub(crate) fn about(&self, server: &str) -> Vec<About> {
        let both = |key: Vec<u8>| [policy::key::query_key(&key), key];
        let exactly = |key: Vec<u8>| {
            both([&key, b" ".as_slice(), server.as_bytes()].concat()).map(About::Key)
        };
        let server = server.as_bytes();
        match self {
            Self::Url(url) => exactly(url.key()).into(),
            Self::Prefix(url) => {
                let mut key = url.key();
                let Some(end) = key.iter().position(|byte| *byte == b'?') else {
                    return both(key).map(About::Prefix).into();
                };
                // Responses may answer for other queries of their path: all of these go.
                key.truncate(end);
                let queries = both([&key, b"?".as_slice()].concat()).map(About::Prefix);
                queries.into_iter().chain(exactly(key)).collect()
            }
            Self::Host(host) => {
                let below = |origin: Vec<u8>| {
                    both([b"GET|", origin.as_slice(), b"/"].concat()).map(About::Prefix)
                };
                host.origins().into_iter().flat_map(below).collect()
            }
            Self::Tag(name) => {
                let tag = labels::of_tag(server, name.0.as_bytes());
                [tag, labels::of_many_tags(server)].map(About::Label).into()
            }
            Self::Group { name, host } => {
                let label = |origin: Vec<u8>| labels::of_group(server, &origin, &name.quoted());
                host.origins().map(label).map(About::Label).into()
            }
            Self::All => vec![About::Everything],
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path_and_query)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Purge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url}"),
            Self::Prefix(url) => write!(f, "all that begins with {url}"),
            Self::Host(host) => write!(f, "all of host {host}"),
            Self::Tag(name) => write!(f, "all with tag {name}"),
            Self::Group { name, host } => write!(f, "group {name} of host {host}"),
            Self::All => f.write_str("everything"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(purge: &Purge) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let show = |about: &About| match about {
            About::Label(_) => "label".to_owned(),
            About::Key(key) => text(key),
            About::Prefix(prefix) => format!("{}…", text(prefix)),
            About::Everything => "everything".to_owned(),
        };
        let mut shown: Vec<_> = purge.about("http://o").iter().map(show).collect();
        shown.sort();
        shown
    }

    #[test]
    fn a_purge_is_about_the_keys_that_requests_have() {
        let url = |text| Url::parse(text).unwrap();
        let rows: [(Purge, &[&str]); 6] = [
            (
                Purge::Url(url("HTTP://A.example:80/x?y")),
                &["GET|http://a.example/x?y http://o", "QUERY|http://a.example/x?y http://o"],
            ),
            (
                Purge::Url(url("https://a:8443")),
                &["GET|https://a:8443/ http://o", "QUERY|https://a:8443/ http://o"],
            ),
            (Purge::Prefix(url("http://a/x")), &["GET|http://a/x…", "QUERY|http://a/x…"]),
            (
                Purge::Prefix(url("http://a/x?y=1")),
                &[
                    "GET|http://a/x http://o",
                    "GET|http://a/x?…",
                    "QUERY|http://a/x http://o",
                    "QUERY|http://a/x?…",
                ],
            ),
            (
                Purge::Host(Host::parse("A.example:80").unwrap()),
                &[
                    "GET|http://a.example/…",
                    "GET|https://a.example:80/…",
                    "QUERY|http://a.example/…",
                    "QUERY|https://a.example:80/…",
                ],
            ),
            (Purge::All, &["everything"]),
        ];
        for (purge, expected) in rows {
            assert_eq!(shown(&purge), expected, "{purge}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let rows: [(&str, PurgeError); 8] = [
            ("", OriginUrlError::Scheme.into()),
            ("a/b", OriginUrlError::Scheme.into()),
            ("ftp://a/", OriginUrlError::Scheme.into()),
            ("http:///x", OriginUrlError::Host.into()),
            ("http://a:0/", OriginUrlError::Port.into()),
            ("http://u@a/", OriginUrlError::UserInfo.into()),
            ("http://a/#x", PurgeError::Fragment),
            ("http://a/ä", PurgeError::Characters),
        ];
        for (text, why) in rows {
            assert_eq!(Url::parse(text), Err(why), "{text}");
        }
        assert_eq!(Host::parse("http://a"), Err(PurgeError::NotAHost));
        assert_eq!(Host::parse("a b"), Err(OriginUrlError::Host.into()));
        assert_eq!(Name::parse(" "), Err(PurgeError::Name));
        assert_eq!(Name::parse("a\nb"), Err(PurgeError::Name));
    }

    #[test]
    fn a_group_is_named_as_it_stands_in_its_field() {
        let name = Name::parse(r#"a "b\"#).unwrap();
        assert_eq!(name.quoted(), br#"a \"b\\"#);
    }
}
