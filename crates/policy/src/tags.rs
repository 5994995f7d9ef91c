//! Tags: names that an origin gives its responses so that an operator can purge them together.
//!
//! No standard has them. Three fields are in use, and all are read; a tag is the same whichever
//! field it comes from.
//!
//! | field           | tags are separated by |
//! |-----------------|-----------------------|
//! | `Surrogate-Key` | whitespace            |
//! | `Cache-Tag`     | commas                |
//! | `xkey`          | both                  |

use crate::fields::Fields;

/// Tags of one response.
const MOST: usize = 1024;
/// Bytes of one tag.
const LONGEST: usize = 1024;
/// Bytes of all tags of one response.
const ALL: usize = 16 << 10;

/// The tags of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags<'a> {
    /// Those within bounds.
    pub names: Vec<&'a [u8]>,
    /// There were more. Whoever ends responses by a tag has to end this one too: the tag may be one
    /// that is not listed.
    pub beyond: bool,
}

/// The tags of a response: up to 1,024 of up to 1,024 bytes, 16 KiB together.
pub fn tags(response: &Fields) -> Tags<'_> {
    let mut tags = Tags::default();
    let mut room = ALL;
    for (name, value) in response.iter() {
        let Some(separates) = separator(name) else { continue };
        for tag in value.split(|byte| separates(*byte)).map(<[u8]>::trim_ascii) {
            if tag.is_empty() {
                continue;
            }
            if tag.len() > LONGEST.min(room) || tags.names.len() == MOST {
                tags.beyond = true;
                continue;
            }
            room -= tag.len();
            tags.names.push(tag);
        }
    }
    tags
}

/// What separates the tags in a field of this name, if it has tags.
fn separator(name: &[u8]) -> Option<fn(u8) -> bool> {
    let is = |field: &[u8]| name.eq_ignore_ascii_case(field);
    if is(b"surrogate-key") {
        Some(|byte| byte.is_ascii_whitespace())
    } else if is(b"cache-tag") {
        Some(|byte| byte == b',')
    } else if is(b"xkey") {
        Some(|byte| byte == b',' || byte.is_ascii_whitespace())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    #[test]
    fn each_field_separates_its_tags_in_its_own_way() {
        let rows: &[(&str, &[&str])] = &[
            ("Surrogate-Key: a b  c,d\te", &["a", "b", "c,d", "e"]),
            ("Cache-Tag: a, b c ,,d", &["a", "b c", "d"]),
            ("xkey: a b,c\nXkey: d , e", &["a", "b", "c", "d", "e"]),
            ("cache-tag: A\nX: no\nsurrogate-key: b a", &["A", "b", "a"]),
            ("Surrogate-Key:\nCache-Tag: ,\nxkey: ", &[]),
            ("Cache-Tags: a\nKey: b", &[]),
        ];
        for (head, expected) in rows {
            let head = fields(head);
            let expected = expected.iter().map(|tag| tag.as_bytes()).collect();
            assert_eq!(tags(&head), Tags { names: expected, beyond: false }, "{head:?}");
        }
    }

    #[test]
    fn what_is_beyond_the_bounds_is_not_forgotten_silently() {
        let long = |length| "x".repeat(length);
        let rows = [
            (vec![long(1024)], 1, false),
            (vec![long(1025), long(2)], 1, true),
            (vec![long(1); 1024], 1024, false),
            (vec![long(1); 1025], 1024, true),
            (vec![long(1024); 16], 16, false),
            ([vec![long(1024); 16], vec![long(1)]].concat(), 16, true),
        ];
        for (names, kept, beyond) in rows {
            let (first, rest) = names.split_at(names.len() / 2);
            let head =
                fields(&format!("Surrogate-Key: {}\nxkey: {}", first.join(" "), rest.join(",")));
            let tags = tags(&head);
            assert_eq!((tags.names.len(), tags.beyond), (kept, beyond));
        }
    }
}
