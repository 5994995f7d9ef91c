//! The file `format`: which format the directory of a store has.
//!
//! ```text
//! caching-proxy store 3     the format
//! 3f0c…                     xxh3-64 of that line, its end included, as 16 hexadecimal digits
//! ```
//!
//! The second line tells a damaged digit from another format; there was none at first. What a damaged
//! one said does not matter: every other file says its own version too, and has checksums, so none is
//! taken for what it is not. A format to come that keeps a file's version has to read it alike.

use xxhash_rust::xxh3::xxh3_64;

use crate::reason::Damage;

/// The format that this program writes.
pub(super) const FORMAT: &str = "caching-proxy store 3\n";
/// The one before there were freshened records. Such a store is read as it is, and is one of this
/// format from then on: whoever knows only the former would take those records for damage.
const FORMER: &str = "caching-proxy store 2\n";
/// What every first line begins with.
const NAME: &str = "caching-proxy store ";

/// What a `format` file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This format, whole.
    This,
    /// One that is read, in other words.
    Readable,
    /// One that is not.
    Other(String),
    /// Nothing that a store of any format would have written.
    Nothing(Damage),
}

/// What to write.
pub(super) fn text() -> String {
    format!("{FORMAT}{}\n", sum(FORMAT))
}

/// Reads one.
pub(super) fn tell(bytes: &[u8]) -> Said {
    if bytes == text().as_bytes() {
        return Said::This;
    }
    let Some((line, rest)) = std::str::from_utf8(bytes).ok().and_then(first_line) else {
        return Said::Nothing(Damage::Magic);
    };
    // Another format may have more lines.
    if !rest.is_empty() && !rest.starts_with(&sum(line)) {
        return Said::Nothing(Damage::Checksum);
    }
    if [FORMAT, FORMER].contains(&line) {
        return Said::Readable;
    }
    Said::Other(line.trim_end().to_owned())
}

fn first_line(text: &str) -> Option<(&str, &str)> {
    let (line, rest) = text.split_at(text.find('\n')? + 1);
    let number = line.strip_prefix(NAME)?.trim_end();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((line, rest))
}

fn sum(line: &str) -> String {
    format!("{:016x}", xxh3_64(line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told_from_other_formats_and_from_damage() {
        let other = "caching-proxy store 4\n";
        let other_whole = format!("{other}{}\nmore\n", sum(other));
        let version = || Said::Other("caching-proxy store 4".to_owned());
        for (said, expected) in [
            (&text()[..], Said::This),
            (FORMAT, Said::Readable),
            (FORMER, Said::Readable),
            (other, version()),
            (&other_whole, version()),
            ("caching-proxy store 1\n", Said::Other("caching-proxy store 1".to_owned())),
            ("caching-proxy store 1", Said::Nothing(Damage::Magic)),
            ("caching-proxy store 1x\n", Said::Nothing(Damage::Magic)),
            ("caching-proxy store \n", Said::Nothing(Damage::Magic)),
            ("another store 3\n", Said::Nothing(Damage::Magic)),
            ("caching-proxy store 3\nx", Said::Nothing(Damage::Checksum)),
            ("", Said::Nothing(Damage::Magic)),
        ] {
            assert_eq!(tell(said.as_bytes()), expected, "{said:?}");
        }
    }

    #[test]
    fn no_damage_makes_another_format_of_it() {
        let whole = text().into_bytes();
        for length in 0..whole.len() {
            let said = tell(&whole[..length]);
            let expected = matches!(said, Said::Nothing(_)) || length >= FORMAT.len();
            assert!(expected && !matches!(said, Said::This | Said::Other(_)), "{length}: {said:?}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let said = tell(&flipped);
            // That of the last byte alone has no meaning.
            let is_last = bit / 8 == whole.len() - 1;
            let expected = matches!(said, Said::Nothing(_)) || is_last && said == Said::Readable;
            assert!(expected, "bit {bit}: {said:?}");
        }
    }
}
