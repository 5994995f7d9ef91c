//! The primary cache key: method (GET, also for HEAD; or QUERY) and target URI (RFC 9111 §2).
//!
//! Only what is equivalent for every origin is normalised: the case of scheme and host, and the
//! default port. Path and query stay as they came, byte for byte: an origin may tell `%7E` from `~`.

/// Appends the key `GET|scheme://authority/path?query`.
pub fn primary_key(out: &mut Vec<u8>, scheme: &[u8], authority: &[u8], path_and_query: &[u8]) {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-2
    //# many HTTP caches in common use today only cache GET responses and therefore only use the URI
    //# as the cache key
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //# the presented target URI (Section 7.1 of [HTTP]) and that of the stored response match, and
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //# the request method associated with the stored response allows it to be used for the
    //# presented request, and
    out.extend_from_slice(b"GET|");
    origin(out, scheme, authority);
    //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.3
    //# an empty path component is equivalent to an absolute path of "/", so the normal form is to
    //# provide a path of "/" instead.
    if path_and_query.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(path_and_query);
}

/// The key of the responses to QUERY for the URL of a primary key.
pub fn query_key(primary: &[u8]) -> Vec<u8> {
    [b"QUERY|", primary.strip_prefix(b"GET|").unwrap_or(primary)].concat()
}

/// Appends the origin `scheme://authority`: equal for two targets when their origins are
/// (RFC 9110 §4.3.1).
pub fn origin(out: &mut Vec<u8>, scheme: &[u8], authority: &[u8]) {
    lower(out, scheme);
    out.extend_from_slice(b"://");
    self::authority(out, scheme, authority);
}

/// Appends host and port as they stand in the key: lower-case, without the scheme's default port.
pub fn authority(out: &mut Vec<u8>, scheme: &[u8], authority: &[u8]) {
    lower(out, without_default_port(scheme, authority));
}

/// Do two authorities name the same server under this scheme?
pub(crate) fn same_authority(scheme: &[u8], one: &[u8], other: &[u8]) -> bool {
    without_default_port(scheme, one).eq_ignore_ascii_case(without_default_port(scheme, other))
}

fn without_default_port<'a>(scheme: &[u8], authority: &'a [u8]) -> &'a [u8] {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.3
    //# If the port is equal to the default port for a scheme, the normal form is to omit the port
    //# subcomponent.
    let default: &[u8] = if scheme.eq_ignore_ascii_case(b"https") { b":443" } else { b":80" };
    // A port after all: `[::80]` ends in a bracket, and an unbracketed `::80` is no valid host.
    authority.strip_suffix(default).or(authority.strip_suffix(b":")).unwrap_or(authority)
}

fn lower(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(u8::to_ascii_lowercase));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_case_of_scheme_and_host_and_the_default_port_are_normalised() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.3
        //= type=test
        //# If the port is equal to the default port for a scheme, the normal form is to omit the
        //# port subcomponent.
        //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.3
        //= type=test
        //# an empty path component is equivalent to an absolute path of "/", so the normal form is
        //# to provide a path of "/" instead.
        //= https://www.rfc-editor.org/rfc/rfc9111#section-2
        //= type=test
        //# many HTTP caches in common use today only cache GET responses and therefore only use the
        //# URI as the cache key
        let rows = [
            (["http", "Example.COM", "/A?b=C"], "GET|http://example.com/A?b=C"),
            (["HTTP", "example.com:80", "/"], "GET|http://example.com/"),
            (["http", "example.com:", "/"], "GET|http://example.com/"),
            (["http", "example.com:443", "/"], "GET|http://example.com:443/"),
            (["https", "example.com:443", "/"], "GET|https://example.com/"),
            (["https", "example.com:80", "/"], "GET|https://example.com:80/"),
            (["http", "example.com:8080", "/"], "GET|http://example.com:8080/"),
            (["http", "[2001:DB8::80]", "/"], "GET|http://[2001:db8::80]/"),
            (["http", "[::1]:80", "/"], "GET|http://[::1]/"),
            (["http", "a", ""], "GET|http://a/"),
            (["http", "a", "?q"], "GET|http://a/?q"),
            (["http", "a", "/%7E/../x//y?"], "GET|http://a/%7E/../x//y?"),
        ];
        for ([scheme, authority, path], expected) in rows {
            let mut key = Vec::new();
            primary_key(&mut key, scheme.as_bytes(), authority.as_bytes(), path.as_bytes());
            assert_eq!(String::from_utf8_lossy(&key), expected);
        }
    }

    #[test]
    fn a_query_never_shares_a_key_with_a_get() {
        assert_eq!(query_key(b"GET|http://a/GET|x y"), b"QUERY|http://a/GET|x y");
    }

    #[test]
    fn what_an_origin_may_tell_apart_never_shares_a_key() {
        let targets = [
            "/a/b",
            "/a%2Fb",
            "/a%2fb",
            "/a//b",
            "//a/b",
            "/a/b/",
            "/a/./b",
            "/a/x/../b",
            "/a;/b",
            "/a/b;",
            "/a/b?",
            "/a/b??",
            "/a/b?x",
            "/a/b?x=",
            "/a/b?x&",
            "/a/b%3Fx",
            "/A/b",
            "/a/%62",
            "/a/b?X",
            "/a/b?%78",
            "/a/b?y&x",
            "/a/b?x&y",
            "/a/b?x;y",
            "/a+b",
            "/a%20b",
        ];
        let places = [
            ("http", "example.com"),
            ("https", "example.com"),
            ("http", "example.com."),
            ("http", "example.com:8080"),
            ("http", "example.com:443"),
            ("http", "www.example.com"),
            ("http", ""),
        ];
        let mut keys = Vec::new();
        for (scheme, authority) in places {
            for target in targets {
                let mut key = Vec::new();
                primary_key(&mut key, scheme.as_bytes(), authority.as_bytes(), target.as_bytes());
                keys.push(key);
            }
        }
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
