//! The few productions of RFC 9110 §5.6 that field values are made of: token, list, quoted-string.

/// Is this byte a `tchar` of RFC 9110 §5.6.2?
pub(crate) const fn is_tchar(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Is this a `token`: at least one `tchar` and nothing else?
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_tchar(b))
}

/// Without the optional whitespace (space and tab) at both ends.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The non-empty members of a comma-separated list, trimmed; a comma in a quoted string does not
/// separate.
pub(crate) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    elements(list).filter(|member| !member.is_empty())
}

/// As [`members`], with the empty ones.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    Members { rest: list, separator: b',' }
}

/// The non-empty members of a list that has no quoted strings, trimmed.
pub(crate) fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    list.split(|&byte| byte == b',').map(trim).filter(|word| !word.is_empty())
}

/// The parts of a member between semicolons outside quoted strings, trimmed: what it is about, then
/// its parameters.
pub(crate) fn parameters(member: &[u8]) -> impl Iterator<Item = &[u8]> {
    Members { rest: member, separator: b';' }
}

#[derive(Clone)]
struct Members<'a> {
    rest: &'a [u8],
    separator: u8,
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = member_end(self.rest, self.separator);
        let member = trim(&self.rest[..end]);
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(member)
    }
}

/// Where the first separator outside a quoted string stands, or the end.
fn member_end(list: &[u8], separator: u8) -> usize {
    let mut quoted = false;
    let mut at = 0;
    while let Some(&byte) = list.get(at) {
        match byte {
            _ if byte == separator && !quoted => return at,
            b'"' => quoted = !quoted,
            // The escaped byte cannot end the string.
            b'\\' if quoted => at += 1,
            _ => {}
        }
        at += 1;
    }
    list.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_every_comma() {
        let got: Vec<_> = words(b" a ,,\"b, c\",\td").collect();
        assert_eq!(got, [&b"a"[..], b"\"b", b"c\"", b"d"]);
        assert_eq!(words(b", ,").count(), 0);
    }

    #[test]
    fn a_list_is_split_at_commas_outside_quotes() {
        let rows: &[(&str, &[&str])] = &[
            ("", &[]),
            (",, ,", &[]),
            ("a", &["a"]),
            (" a ,\tb,", &["a", "b"]),
            (r#"a="x, y", b"#, &[r#"a="x, y""#, "b"]),
            (r#"a="\", b", c"#, &[r#"a="\", b""#, "c"]),
            (r#"a="open, b"#, &[r#"a="open, b"#]),
            (r#"a="open\"#, &[r#"a="open\"#]),
        ];
        for (text, expected) in rows {
            let got: Vec<_> = members(text.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|m| m.as_bytes()).collect();
            assert_eq!(got, expected, "{text:?}");
        }
    }
}
