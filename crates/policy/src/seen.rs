//! A target as its client sees it and as the origin does, which knows itself by another name.

use crate::invalidate::Target;
use crate::key::{primary_key, same_authority};

/// The target of a request, from both sides of the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The scheme that the client used.
    pub scheme: &'a [u8],
    /// The host and port that the client asked for.
    pub authority: &'a [u8],
    /// Path and query as the client sent them.
    pub path_and_query: &'a [u8],
    /// How the origin is reached.
    pub origin: OriginName<'a>,
}

/// How an origin is reached, and therefore how it calls itself.
#[derive(Clone, Copy, Debug)]
pub struct OriginName<'a> {
    /// The scheme.
    pub scheme: &'a [u8],
    /// Host and port.
    pub authority: &'a [u8],
    /// What is put before the path of every request; it does not end in a slash.
    pub prefix: &'a [u8],
}

impl Seen<'_> {
    /// The primary key of the target.
    pub fn key(&self) -> Vec<u8> {
        self.key_of(self.path_and_query)
    }

    /// The primary key of what a reference in the origin's response names. `None` if that is another
    /// origin's, or nothing that clients can reach through this proxy.
    pub fn named(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let OriginName { scheme, authority, prefix } = self.origin;
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.7
        //# In the latter case (Section 4), the referenced URI is relative to the target URI ([URI],
        //# Section 5).
        // The origin's target is the one that it was sent.
        let path_and_query = [prefix, self.path_and_query].concat();
        let target = Target { authority: authority.to_vec(), path_and_query };
        let named = target.resolve(scheme, reference);
        let own = named.filter(|named| same_authority(scheme, &named.authority, authority));
        let Some(own) = own else { return self.named_to_client(reference) };
        let path_and_query = own.path_and_query.strip_prefix(prefix)?;
        let is_below = matches!(path_and_query.first(), None | Some(b'/' | b'?'));
        is_below.then(|| self.key_of(path_and_query))
    }

    /// As [`Seen::named`], for an origin that knows the name by which clients know it.
    pub fn named_to_client(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let authority = self.authority.to_vec();
        let target = Target { authority, path_and_query: self.path_and_query.to_vec() };
        let named = target.resolve(self.scheme, reference)?;
        let is_same = same_authority(self.scheme, &named.authority, self.authority);
        is_same.then(|| self.key_of(&named.path_and_query))
    }

    fn key_of(&self, path_and_query: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        primary_key(&mut key, self.scheme, self.authority, path_and_query);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_origin_names_is_found_under_the_name_that_clients_use() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.7
        //= type=test
        //# In the latter case (Section 4), the referenced URI is relative to the target URI ([URI],
        //# Section 5).
        let origin =
            OriginName { scheme: b"https", authority: b"api.internal:8443", prefix: b"/v1" };
        let authority = b"www.example";
        let seen = Seen { scheme: b"http", authority, path_and_query: b"/a/b?q", origin };
        let rows = [
            // As the origin sees it.
            ("", Some("/a/b?q")),
            ("/v1/a/b?q", Some("/a/b?q")),
            ("c", Some("/a/c")),
            ("https://API.internal:8443/v1/x", Some("/x")),
            ("//api.internal:8443/v1/x", Some("/x")),
            ("https://api.internal:8443/v1", Some("/")),
            ("https://api.internal:8443/v1?x", Some("/?x")),
            // Its own, but not behind this proxy.
            ("/x", None),
            ("/v10/x", None),
            ("../../x", None),
            ("https://api.internal:8443/x", None),
            // As its clients see it.
            ("http://www.example/x", Some("/x")),
            ("http://WWW.example:80/v1/x", Some("/v1/x")),
            // Another one's.
            ("https://www.example/x", None),
            ("http://api.internal:8443/v1/x", None),
            ("https://api.internal/v1/x", None),
            ("http://other.example/v1/x", None),
        ];
        for (reference, path) in rows {
            let got = seen.named(reference.as_bytes()).map(|key| String::from_utf8(key).unwrap());
            assert_eq!(
                got,
                path.map(|path| format!("GET|http://www.example{path}")),
                "{reference}"
            );
        }
        assert_eq!(seen.named_to_client(b"/x"), Some(b"GET|http://www.example/x".to_vec()));
        assert_eq!(seen.key(), b"GET|http://www.example/a/b?q");
    }
}
