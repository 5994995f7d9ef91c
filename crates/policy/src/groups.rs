//! Cache groups (RFC 9875): which responses of an origin belong together, and which of them a
//! response to an unsafe request makes untrue.
//!
//! A group is named by a String. The names are kept as they stand between the quotes: there is only
//! one way to write a String, so equal bytes are equal Strings.

use crate::fields::Fields;
use crate::method::Method;
use crate::targeted::{Item, Parser, joined};

/// The groups that a response belongs to. As many as the head has room for.
pub fn groups(response: &Fields) -> Vec<Vec<u8>> {
    //= https://www.rfc-editor.org/rfc/rfc9875#section-2
    //# The Cache-Groups response header field is a List of Strings (Sections 3.1 and 3.3.3 of
    //# [STRUCTURED-FIELDS]).
    list_of_strings(response, "cache-groups").unwrap_or_default()
}

/// The groups that the response to a request of this method invalidates. Any response counts, that
/// of an error too: it says so itself.
pub fn invalidated_groups(method: &Method, response: &Fields) -> Vec<Vec<u8>> {
    //= https://www.rfc-editor.org/rfc/rfc9875#section-3
    //# The Cache-Group-Invalidation header field MUST be ignored on responses to requests that have
    //# a safe method
    // CONNECT has no target resource, and so no origin that its groups could be of.
    if method.is_safe() || *method == Method::Connect {
        return Vec::new();
    }
    list_of_strings(response, "cache-group-invalidation").unwrap_or_default()
}

/// `None` if the field is absent, malformed, or has members of another type.
fn list_of_strings(response: &Fields, name: &str) -> Option<Vec<Vec<u8>>> {
    let joined = joined(response, name)?;
    let members = Parser::new(&joined).list()?;
    //= https://www.rfc-editor.org/rfc/rfc9651#section-2
    //# When field-specific constraints are violated, the entire field is also ignored
    let text = |member| if let Item::Text(text) = member { Some(text.to_vec()) } else { None };
    members.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    fn of(value: &str) -> Vec<String> {
        let head = fields(&format!("Cache-Groups: {value}"));
        groups(&head).into_iter().map(|name| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn the_members_of_a_list_of_strings_are_the_groups() {
        //= https://www.rfc-editor.org/rfc/rfc9875#section-2
        //= type=test
        //# The Cache-Groups response header field is a List of Strings (Sections 3.1 and 3.3.3 of
        //# [STRUCTURED-FIELDS]).
        //= https://www.rfc-editor.org/rfc/rfc9875#section-2
        //= type=test
        //# Unrecognised Parameters are to be ignored.
        let rows: &[(&str, &[&str])] = &[
            (r#""scripts""#, &["scripts"]),
            ("  \"a\" ,\t\"B\",\"a b\"  ", &["a", "B", "a b"]),
            (r#""", "a,b""#, &["", "a,b"]),
            (r#""\"quoted\\\"""#, &[r#"\"quoted\\\""#]),
            (
                r#""a";p;q=1;r="s", "b";d=@1700000000;e=%"%c3%a9";f=:YQ==:;g=?0;h=t/*;i=-1.5"#,
                &["a", "b"],
            ),
        ];
        for (value, expected) in rows {
            assert_eq!(of(value), *expected, "{value}");
        }
        let lines = fields("Cache-Groups: \"a\"\ncache-groups: \"b\", \"c\"");
        assert_eq!(groups(&lines), [b"a", b"b", b"c"]);
    }

    #[test]
    fn a_field_that_is_not_such_a_list_is_ignored_as_a_whole() {
        //= https://www.rfc-editor.org/rfc/rfc9651#section-2
        //= type=test
        //# When field-specific constraints are violated, the entire field is also ignored
        for value in [
            "",
            "a",
            "1",
            "?1",
            "\"a\", b",
            "\"a\", 1",
            "(\"a\" \"b\")",
            "\"a\", (\"b\")",
            "\"a",
            "\"a\",",
            "\"a\",,\"b\"",
            "\"a\" \"b\"",
            "'a'",
            "\"a\\b\"",
            "\"a\"; ",
            "\"a\";P",
            "\"a\";d=@1.5",
            "\"a\";e=%\"%C3\"",
            "\"a\";e=%\"%c3\"",
            "\"a\";e=%\"x",
            "\"\u{e9}\"",
            "\"a\tb\"",
        ] {
            assert_eq!(of(value), [""; 0], "{value}");
        }
        let lines = fields("Cache-Groups: \"a\"\nCache-Groups: b");
        assert!(groups(&lines).is_empty(), "one bad line spoils the field");
        assert!(groups(&fields("")).is_empty());
    }

    #[test]
    fn many_long_groups_are_supported() {
        //= https://www.rfc-editor.org/rfc/rfc9875#section-2
        //= type=test
        //# Implementations MUST support at least 32 groups in a field value, with up to at least 32
        //# characters in each member.
        let names: Vec<_> = (0..500).map(|number| format!("{number:0>200}")).collect();
        let value: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        assert_eq!(of(&value.join(",")), names);
        //= https://www.rfc-editor.org/rfc/rfc9875#section-3
        //= type=test
        //# Implementations MUST support at least 32 groups in a field value, with up to at least 32
        //# characters in each member.
        let head = fields(&format!("Cache-Group-Invalidation: {}", value.join(", ")));
        assert_eq!(invalidated_groups(&Method::Post, &head).len(), 500);
    }

    #[test]
    fn only_a_response_to_an_unsafe_request_invalidates() {
        //= https://www.rfc-editor.org/rfc/rfc9875#section-3
        //= type=test
        //# The Cache-Group-Invalidation header field MUST be ignored on responses to requests that
        //# have a safe method
        let head = fields("Cache-Group-Invalidation: \"eurovision-results\", \"australia\"");
        for (method, invalidates) in [
            ("GET", false),
            ("HEAD", false),
            ("OPTIONS", false),
            ("TRACE", false),
            ("QUERY", false),
            ("CONNECT", false),
            ("POST", true),
            ("PUT", true),
            ("DELETE", true),
            ("PATCH", true),
            ("PROPPATCH", true),
            ("get", true),
        ] {
            let groups = invalidated_groups(&Method::parse(method.as_bytes()), &head);
            let expected: &[&[u8]] = &[b"eurovision-results", b"australia"];
            assert_eq!(groups, if invalidates { expected } else { &[] }, "{method}");
        }
        assert!(invalidated_groups(&Method::Post, &fields("Cache-Groups: \"a\"")).is_empty());
        assert!(
            invalidated_groups(&Method::Post, &fields("Cache-Group-Invalidation: a")).is_empty()
        );
    }
}
