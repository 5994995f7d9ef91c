//! No-Vary-Search: which parts of a query an origin does not look at
//! (draft-ietf-httpbis-no-vary-search).
//!
//! A response that carries the field may also answer a request whose URL differs in those parts of
//! the query and in nothing else. [`NoVarySearch::is_equivalent`] decides that. A cache that has to
//! find such a response files it under [`NoVarySearch::canonical`].

use std::borrow::Cow;

use crate::fields::Fields;
use crate::targeted::{Item, Parser, joined};
use crate::wire::{put_bytes, put_number};

/// What a response says about its query, if that is more than nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NoVarySearch {
    /// The names below are the ones that count, and no others; else they are those that do not.
    only: bool,
    /// Decoded, sorted, each once.
    names: Box<[Box<[u8]>]>,
    /// Parameters of different names may change places.
    any_order: bool,
}

/// A parameter of a query: name and value, decoded.
type Pair<'q> = (Cow<'q, [u8]>, Cow<'q, [u8]>);

impl NoVarySearch {
    /// What the field of a response says; `None` when it is absent, faulty or without effect, and
    /// queries are compared byte for byte.
    pub fn of(response: &Fields) -> Option<NoVarySearch> {
        let text = joined(response, "no-vary-search")?;
        //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-5.1
        //# In general, this algorithm is strict and tends to return the default URL variation config
        //# whenever it sees something it doesn't recognize.
        let members = Parser::new(&text).dictionary()?;
        let member = |name: &[u8]| members.iter().find(|(n, _)| *n == name).map(|(_, item)| item);
        let any_order = match member(b"key-order") {
            None => false,
            Some(Item::Boolean(any_order)) => *any_order,
            Some(_) => return None,
        };
        let (only, names) = match (member(b"params"), member(b"except")) {
            (Some(Item::List(items)), None) => (false, names(items)?),
            (None, Some(Item::List(items))) => (true, names(items)?),
            // Section 5.1 returns the default also when neither is there. That cannot be meant: the
            // introduction and the examples of sections 5.2.1 and 6.1 let `key-order` stand alone.
            (None, None) => (false, Box::default()),
            //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-3
            //# The `except` entry MUST NOT be present if the `params` entry is also present.
            _ => return None,
        };
        let has_effect = only || any_order || !names.is_empty();
        has_effect.then_some(NoVarySearch { only, names, any_order })
    }

    /// Do two queries, each without its `?`, or `None` where there is none, ask for the same?
    /// Everything before them in the two URLs must be equal.
    pub fn is_equivalent(&self, one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
        self.significant(one) == self.significant(other)
    }

    /// Appends a form of the query that two queries share exactly if they are equivalent.
    pub fn canonical(&self, query: Option<&[u8]>, out: &mut Vec<u8>) {
        for (name, value) in self.significant(query) {
            put_bytes(out, &name);
            put_bytes(out, &value);
        }
    }

    /// Appends bytes that two rules share exactly if they are equal.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.only) << 1 | u8::from(self.any_order));
        put_number(out, self.names.len() as u64);
        self.names.iter().for_each(|name| put_bytes(out, name));
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.names.iter().map(|name| name.len() + size_of::<Box<[u8]>>()).sum()
    }

    /// The parameters that count, in the order in which they are compared.
    fn significant<'q>(&self, query: Option<&'q [u8]>) -> Vec<Pair<'q>> {
        //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-6.1
        //# A null query is parsed the same as an empty string
        let pairs = parameters(query.unwrap_or_default());
        let mut counting: Vec<Pair> = pairs.filter(|(name, _)| self.counts(name)).collect();
        if self.any_order {
            // A stable sort: the order among equal names counts. The draft sorts by UTF-16 units;
            // any order of the names makes the same lists equal.
            counting.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        counting
    }

    fn counts(&self, name: &[u8]) -> bool {
        self.names.binary_search_by(|known| (**known).cmp(name)).is_ok() == self.only
    }
}

/// The names of a list of strings, decoded; `None` when an item is not a string.
fn names(items: &[u8]) -> Option<Box<[Box<[u8]>]>> {
    let mut names = Vec::new();
    for item in Parser::new(items).items()? {
        let Item::Text(text) = item else { return None };
        //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-5.3
        //# The parse a key algorithm allows encoding non-ASCII key strings in the ASCII structured
        //# header field format, similar to how the application/x-www-form-urlencoded format
        //# [WHATWG-URL] allows encoding an entire entry list of keys and values in a URI
        names.push(decoded(&unescaped(text)).into_owned().into_boxed_slice());
    }
    names.sort_unstable();
    names.dedup();
    Some(names.into())
}

/// A string without the backslashes that protect quotes and backslashes (RFC 9651 §4.2.5).
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut escaped = false;
    let keep = |byte: &u8| {
        escaped = *byte == b'\\' && !escaped;
        !escaped
    };
    text.iter().copied().filter(keep).collect()
}

/// The parameters of a query, by the parser of application/x-www-form-urlencoded in the URL
/// Standard: sequences between `&`, the empty ones left out, each cut at its first `=`.
fn parameters(query: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    query.split(|&byte| byte == b'&').filter(|sequence| !sequence.is_empty()).map(|sequence| {
        let end = sequence.iter().position(|&byte| byte == b'=').unwrap_or(sequence.len());
        let value = sequence.get(end + 1..).unwrap_or_default();
        (decoded(&sequence[..end]), decoded(value))
    })
}

/// A name or value: `+` is a space, `%` and two hexadecimal digits are a byte, and what is then not
/// UTF-8 becomes U+FFFD, so that two faulty encodings are one.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|&byte| matches!(byte, b'+' | b'%' | 0x80..)) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let (byte, behind) = match (first, behind) {
            (b'+', _) => (b' ', behind),
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, behind),
                _ => (b'%', &rest[1..]),
            },
            _ => (first, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    match String::from_utf8_lossy(&bytes) {
        Cow::Borrowed(_) => Cow::Owned(bytes),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
