//! Which bytes may stand where, as one table lookup per byte.

/// RFC 9110 §5.6.2: a byte of a token.
pub(crate) const TOKEN: u8 = 1;
/// A byte of a request target; see [`crate::target`] for the choice.
pub(crate) const TARGET: u8 = 1 << 1;
/// A byte of a registered name. RFC 3986 §3.2.2, `unreserved` only.
pub(crate) const HOST: u8 = 1 << 2;
/// RFC 9110 §5.6.4: a byte of a quoted string that needs no backslash.
pub(crate) const QUOTED: u8 = 1 << 3;
/// What a backslash in a quoted string may precede: HTAB, SP, VCHAR, obs-text.
pub(crate) const ESCAPED: u8 = 1 << 4;

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = class_of(byte as u8);
        byte += 1;
    }
    table
}

const fn class_of(byte: u8) -> u8 {
    let mut class = 0;
    if byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
    {
        class |= TOKEN;
    }
    if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'\\') {
        class |= TARGET;
    }
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        class |= HOST;
    }
    if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
        class |= ESCAPED;
        if !matches!(byte, b'"' | b'\\') {
            class |= QUOTED;
        }
    }
    class
}

/// Whether `byte` is of `class`.
#[inline]
pub(crate) fn is(class: u8, byte: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// The index of the first byte at or after `from` that is not of `class`; the length if none.
#[inline]
pub(crate) fn end_of(class: u8, bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|&byte| !is(class, byte)).unwrap_or(rest.len())
}

/// The index of the first control byte other than HTAB.
#[inline]
pub(crate) fn next_control(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let controls = controls_in(u64::from_le_bytes(*word));
        if controls == 0 {
            at += 8;
            continue;
        }
        let found = at + (controls.trailing_zeros() / 8) as usize;
        if bytes.get(found) != Some(&b'\t') {
            return Some(found);
        }
        at = found + 1;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    tail.iter().position(|&byte| byte.is_ascii_control() && byte != b'\t').map(|found| at + found)
}

/// Marks control bytes by their high bit. A borrow may mark bytes above the lowest mark as well, so
/// only the lowest one counts.
#[inline]
fn controls_in(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    let is_delete = delete.wrapping_sub(ONES) & !delete;
    (below_space | is_delete) & HIGHS
}

/// The members of a comma-separated list without the whitespace around them. RFC 9110 §5.6.1.
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_control_agrees_with_the_definition_at_every_offset() {
        for byte in 0..=255_u8 {
            for filler in [b'a', b' ', b'\t', 0x80, 0xff] {
                for at in 0..20 {
                    let mut bytes = [filler; 20];
                    bytes[at] = byte;
                    let expected = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
                    assert_eq!(next_control(&bytes), expected.then_some(at), "{byte:#x} at {at}");
                }
            }
        }
    }

    #[test]
    fn token_bytes_are_those_of_the_grammar() {
        let others: &[u8] = b"!#$%&'*+-.^_`|~";
        for byte in 0..=255_u8 {
            let expected = byte.is_ascii_alphanumeric() || others.contains(&byte);
            assert_eq!(is(TOKEN, byte), expected, "{byte:#x}");
        }
    }
}
