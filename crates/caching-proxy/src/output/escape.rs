//! Text from the network made safe to show.

use std::borrow::Cow;

/// Anything but printable ASCII becomes `\xNN`, byte by byte: a request path cannot move the
/// cursor, change colours, forge a line or reverse the reading direction.
pub(super) fn printable(text: &[u8]) -> Cow<'_, str> {
    let safe = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if let Some(text) = str::from_utf8(text).ok().filter(|text| text.bytes().all(safe)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for &byte in text {
        if safe(byte) {
            shown.push(char::from(byte));
        } else {
            shown.push_str("\\x");
            shown.extend(
                [byte >> 4, byte & 0xF].map(|d| char::from(b"0123456789abcdef"[d as usize])),
            );
        }
    }
    Cow::Owned(shown)
}

/// At most `longest` bytes of printable text, with a mark where something is left out.
pub(super) fn shortened(text: Cow<'_, str>, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return text;
    }
    Cow::Owned(format!("{}...", text.get(..longest).unwrap_or_default()))
}
