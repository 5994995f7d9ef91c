//! Targeted fields such as CDN-Cache-Control (RFC 9213): a Dictionary of directives, read strictly.
//!
//! Unlike Cache-Control they are Structured Fields: one error anywhere, or a value of the wrong
//! type, and the whole field does not count.

use crate::directives::{Argument, Directive, ResponseDirectives};
use crate::fields::Fields;
use crate::units::DeltaSeconds;

/// The directives of the field of that name; `None` when it is absent, empty or faulty.
pub(crate) fn read(response: &Fields, name: &str) -> Option<ResponseDirectives> {
    //= https://www.rfc-editor.org/rfc/rfc9213#section-2.1
    //# If a targeted field in a given response is empty, or a parsing error is encountered, that
    //# field MUST be ignored by the cache
    let joined = joined(response, name)?;
    let members = Parser::new(&joined).dictionary()?;
    if members.is_empty() {
        return None;
    }
    let mut directives = ResponseDirectives::default();
    directives.targeted = true;
    for (name, value) in members {
        if let Some(argument) = argument(name, value)? {
            directives.add(Directive { name, argument });
        }
    }
    Some(directives)
}

/// All lines of a field as one value; `None` when it is absent.
pub(crate) fn joined(response: &Fields, name: &str) -> Option<Vec<u8>> {
    //= https://www.rfc-editor.org/rfc/rfc9651#section-4.2
    //# parsers MUST combine all field lines in the same section (header or trailer) that
    //# case-insensitively match the field name into one comma-separated field-value
    let mut lines = response.all(name);
    let mut joined = lines.next()?.to_vec();
    for line in lines {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
    }
    Some(joined)
}

/// A bare item, as far as anybody needs it.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    Boolean(bool),
    Integer(&'a [u8]),
    /// What stands between the quotes, escapes and all.
    Text(&'a [u8]),
    /// What stands between the parentheses of an inner list.
    List(&'a [u8]),
    Other,
}

/// The argument that a member stands for: `None` when its type is wrong for the directive,
/// `Some(None)` when the member says that the directive is off.
#[expect(clippy::option_option, reason = "outer: valid or not; inner: present or not")]
fn argument<'a>(name: &[u8], item: Item<'a>) -> Option<Option<Argument<'a>>> {
    //= https://www.rfc-editor.org/rfc/rfc9213#section-2.1
    //# Implementations SHOULD NOT consume values that violate these inferred constraints.
    let takes_seconds =
        matches!(name, b"max-age" | b"s-maxage" | b"stale-while-revalidate" | b"stale-if-error");
    let takes_names = matches!(name, b"no-cache" | b"private");
    match item {
        Item::Boolean(false) => Some(None),
        Item::Boolean(true) if !takes_seconds => Some(Some(Argument::Absent)),
        Item::Integer(digits) if takes_seconds => {
            DeltaSeconds::parse(digits).map(|_| Some(Argument::Token(digits)))
        }
        Item::Text(names) if takes_names => Some(Some(Argument::Quoted(names))),
        _ if takes_seconds || takes_names => None,
        // Flags tolerate an argument as they do in Cache-Control.
        _ => Some(Some(Argument::Invalid(&[]))),
    }
}

/// What is left to parse of a Structured Field (RFC 9651 §4.2).
pub(crate) struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    pub(crate) const fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// The members of a List without their parameters.
    pub(crate) fn list(mut self) -> Option<Vec<Item<'a>>> {
        let mut members = Vec::new();
        self.skip(|b| b == b' ');
        while !self.rest.is_empty() {
            members.push(self.item_or_list()?);
            self.parameters()?;
            self.separator()?;
        }
        Some(members)
    }

    /// The items of what [`Item::List`] holds, without their parameters.
    pub(crate) fn items(mut self) -> Option<Vec<Item<'a>>> {
        let mut items = Vec::new();
        loop {
            self.skip(|b| b == b' ');
            if self.rest.is_empty() {
                return Some(items);
            }
            items.push(self.item()?);
            self.parameters()?;
        }
    }

    pub(crate) fn dictionary(mut self) -> Option<Vec<(&'a [u8], Item<'a>)>> {
        let mut members: Vec<(&[u8], Item)> = Vec::new();
        self.skip(|b| b == b' ');
        while !self.rest.is_empty() {
            let key = self.key()?;
            let value = if self.eat(b'=') { self.item_or_list()? } else { Item::Boolean(true) };
            self.parameters()?;
            // The last of equal keys counts.
            members.retain(|(earlier, _)| *earlier != key);
            members.push((key, value));
            self.separator()?;
        }
        Some(members)
    }

    /// The comma before the next member, or the end.
    fn separator(&mut self) -> Option<()> {
        self.skip(|b| b == b' ' || b == b'\t');
        if self.rest.is_empty() {
            return Some(());
        }
        if !self.eat(b',') {
            return None;
        }
        self.skip(|b| b == b' ' || b == b'\t');
        (!self.rest.is_empty()).then_some(())
    }

    fn item_or_list(&mut self) -> Option<Item<'a>> {
        if !self.eat(b'(') {
            return self.item();
        }
        let inside = self.rest;
        loop {
            self.skip(|b| b == b' ');
            let length = inside.len() - self.rest.len();
            if self.eat(b')') {
                return Some(Item::List(&inside[..length]));
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.rest.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Item<'a>> {
        match *self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => self.boolean(),
            b':' => self.bytes(),
            b'@' => self.date(),
            b'%' => self.display_string(),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.take(|b| crate::syntax::is_tchar(b) || b == b':' || b == b'/');
                Some(Item::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Item<'a>> {
        let whole = self.rest;
        let negative = self.eat(b'-');
        let digits = self.take(|b| b.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.take(|b| b.is_ascii_digit());
            let fits = (1..=12).contains(&digits.len()) && (1..=3).contains(&fraction.len());
            return fits.then_some(Item::Other);
        }
        let fits = (1..=15).contains(&digits.len());
        // With its sign a negative number is no delta-seconds.
        let length = digits.len() + usize::from(negative);
        fits.then_some(Item::Integer(&whole[..length]))
    }

    fn string(&mut self) -> Option<Item<'a>> {
        let inside = &self.rest[1..];
        let mut at = 0;
        loop {
            match *inside.get(at)? {
                b'"' => break,
                b'\\' if matches!(inside.get(at + 1)?, b'"' | b'\\') => at += 2,
                b'\\' => return None,
                0x20..=0x7e => at += 1,
                _ => return None,
            }
        }
        self.rest = &inside[at + 1..];
        Some(Item::Text(&inside[..at]))
    }

    fn boolean(&mut self) -> Option<Item<'a>> {
        let [b'?', bit @ (b'0' | b'1'), rest @ ..] = self.rest else { return None };
        self.rest = rest;
        Some(Item::Boolean(*bit == b'1'))
    }

    fn bytes(&mut self) -> Option<Item<'a>> {
        self.eat(b':');
        self.take(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        self.eat(b':').then_some(Item::Other)
    }

    fn date(&mut self) -> Option<Item<'a>> {
        self.eat(b'@');
        matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
    }

    fn display_string(&mut self) -> Option<Item<'a>> {
        let mut inside = self.rest.strip_prefix(b"%\"")?;
        let mut bytes = Vec::new();
        loop {
            let (&byte, rest) = inside.split_first()?;
            inside = rest;
            match byte {
                b'"' => break,
                b'%' => {
                    let (octet, rest) = inside.split_first_chunk::<2>()?;
                    bytes.push(lower_hex(octet[0])? << 4 | lower_hex(octet[1])?);
                    inside = rest;
                }
                0x20..=0x7e => bytes.push(byte),
                _ => return None,
            }
        }
        self.rest = inside;
        std::str::from_utf8(&bytes).ok().map(|_| Item::Other)
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(|b| b == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        matches!(self.rest.first()?, b'*' | b'a'..=b'z').then(|| {
            self.take(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || matches!(b, b'_' | b'-' | b'.' | b'*')
            })
        })
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        self.take(wanted);
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&b| !wanted(b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    #[test]
    fn only_a_well_formed_dictionary_is_read() {
        //= https://www.rfc-editor.org/rfc/rfc9213#section-2.1
        //= type=test
        //# If a targeted field in a given response is empty, or a parsing error is encountered, that
        //# field MUST be ignored by the cache
        let good =
            ["private", "a=(1 \"x\";q tok), b=:YQ==:, c=?0", "a;p=1;q, no-cache=\"x\"", "a=1.5"];
        let bad =
            ["", " ", "A", "a=", "a=(1", "a=(1,2)", "a=:YQ", "a=?2", "a=\"x", "a b", "a=1.", "1"];
        for value in good {
            assert!(read(&fields(&format!("t: {value}")), "t").is_some(), "{value}");
        }
        for value in bad {
            assert!(read(&fields(&format!("t: {value}")), "t").is_none(), "{value}");
        }
    }

    #[test]
    fn the_lines_of_one_field_are_one_dictionary() {
        let got = read(&fields("t: no-store\nT: private=?0, max-age=7"), "t").unwrap();
        assert!(got.no_store && got.private == crate::directives::Scope::Nothing);
        assert_eq!(got.max_age, Some(DeltaSeconds::new(7)));
    }

    #[test]
    fn a_value_of_the_wrong_type_spoils_the_field() {
        //= https://www.rfc-editor.org/rfc/rfc9213#section-2.1
        //= type=test
        //# Implementations SHOULD NOT consume values that violate these inferred constraints.
        for value in ["max-age", "max-age=a", "max-age=1.5", "private=1", "no-cache=(\"a\")"] {
            assert!(read(&fields(&format!("t: {value}")), "t").is_none(), "{value}");
        }
    }
}
