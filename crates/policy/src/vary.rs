//! The second key: the request fields that a response's Vary names (RFC 9111 §4.1).

mod shared;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::fields::Fields;
use crate::preference::{Preference, Preferences};
use crate::reason::NotStored;
use crate::syntax::{elements, is_token, members, trim};
use crate::wire::{Reader, put_bytes, put_number};

/// The fields that selected a stored response: their names, and their normalised values in the
/// request that it answered. Empty when it has no Vary, and then one word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vary(Option<Arc<Selecting>>);

#[derive(Debug)]
struct Selecting {
    /// For each name, sorted: the name, then 0 when the request had no such field, or 1 and its
    /// value. Behind them, for each of them that lists preferences and has a value, its line as it
    /// came, or nothing if it had several: who sends the same bytes again need not be normalised to
    /// be recognised.
    all: Box<[u8]>,
    /// Where the lines begin.
    sent: u32,
    /// One for all who have the same.
    is_shared: bool,
}

impl Selecting {
    fn new(all: &[u8], sent: usize, is_shared: bool) -> Self {
        // Heads are far shorter than 4 GiB.
        Self { all: all.into(), sent: u32::try_from(sent).unwrap_or(u32::MAX), is_shared }
    }

    fn is(&self, all: &[u8], sent: usize) -> bool {
        *self.all == *all && self.sent as usize == sent
    }

    fn split(&self) -> (&[u8], &[u8]) {
        self.all.split_at_checked(self.sent as usize).unwrap_or((&self.all, &[]))
    }
}

impl PartialEq for Selecting {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.all, other.sent as usize)
    }
}

impl Eq for Selecting {}

impl Hash for Selecting {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.all, self.sent).hash(state);
    }
}

/// Bytes of the counters of an `Arc`.
const COUNTERS: usize = 2 * size_of::<usize>();

impl Vary {
    /// Digests what a response says about its selection. `request` has the fields as the client
    /// sent them.
    pub fn of(response: &Fields, request: &Fields) -> Result<Vary, NotStored> {
        let mut names = Vec::new();
        for name in response.all("vary").flat_map(members) {
            //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
            //# A stored response with a Vary header field value containing a member "*" always fails
            //# to match.
            if name == b"*" {
                return Err(NotStored::VaryStar);
            }
            if !is_token(name) {
                return Err(NotStored::VaryInvalid);
            }
            names.push(name.to_ascii_lowercase());
        }
        names.sort_unstable();
        names.dedup();
        let (mut bytes, mut sent) = (Vec::new(), Vec::new());
        for name in &names {
            put_bytes(&mut bytes, name);
            put_value(&mut bytes, name, request);
            put_sent(&mut sent, name, request);
        }
        Ok(Vary::new(&bytes, &sent))
    }

    fn new(bytes: &[u8], sent: &[u8]) -> Vary {
        if bytes.is_empty() {
            return Vary::default();
        }
        let all = [bytes, sent].concat();
        let shared = shared::of(&all, bytes.len());
        Vary(Some(shared.unwrap_or_else(|| Arc::new(Selecting::new(&all, bytes.len(), false)))))
    }

    /// Would the request have selected the stored response?
    pub fn matches(&self, request: &Fields) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
        //# the cache MUST NOT use that stored response without revalidation unless all the presented
        //# request header fields nominated by that Vary field value match those fields in the
        //# original request
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4
        //# request header fields nominated by the stored response (if any) match those presented
        //# (see Section 4.1), and
        let mut sent = Reader(self.sent());
        self.entries().all(|(name, value)| is_presented(request, name, value, &mut sent))
    }

    /// The names of the selecting fields, lower-case and sorted.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries().map(|(name, _)| name)
    }

    /// Are both about the same fields? Then a request that selects both has the same value for them.
    pub fn has_names_of(&self, other: &Vary) -> bool {
        self.names().eq(other.names())
    }

    /// Does the selection depend on this field? The name is lower-case.
    pub fn depends_on(&self, name: &str) -> bool {
        self.names().any(|n| n == name.as_bytes())
    }

    /// Does it select by the certificate that the client has shown (RFC 9440)?
    pub fn tells_certificates_apart(&self) -> bool {
        self.depends_on("client-cert")
    }

    /// Does it name a field that only a proxy writes, so that a client cannot tell what it selects by?
    pub fn is_beyond_clients(&self) -> bool {
        self.names().any(is_beyond_clients)
    }

    /// Was there no Vary?
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The variant discriminator: equal for two responses exactly if any request that selects the
    /// one selects the other.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |selecting| selecting.split().0)
    }

    fn sent(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |selecting| selecting.split().1)
    }

    /// The lengths of what it holds on the heap for itself alone: nothing if it is shared.
    pub fn heap(&self) -> impl Iterator<Item = usize> {
        let own = self.0.as_deref().filter(|selecting| !selecting.is_shared);
        let lengths = |s: &Selecting| [COUNTERS + size_of::<Selecting>(), s.all.len()];
        own.map(lengths).into_iter().flatten()
    }

    /// Appends the bytes that [`Vary::decode`] reads.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.as_bytes());
        put_bytes(out, self.sent());
    }

    /// Reads what [`Vary::encode`] wrote and returns the bytes behind it; `None` when it is not
    /// well-formed.
    pub fn decode(bytes: &[u8]) -> Option<(Vary, &[u8])> {
        let mut reader = Reader(bytes);
        let (inside, lines) = (reader.bytes()?, reader.bytes()?);
        let mut entries = Entries { reader: Reader(inside) };
        let mut sent = Reader(lines);
        for (name, value) in entries.by_ref() {
            if Preference::of(name).is_some() && value.is_some() {
                sent.bytes()?;
            }
        }
        // What is left could not be read.
        let is_sound = entries.reader.0.is_empty() && sent.0.is_empty();
        is_sound.then(|| (Vary::new(inside, lines), reader.0))
    }

    fn entries(&self) -> Entries<'_> {
        Entries { reader: Reader(self.as_bytes()) }
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let whole = self.reader.0;
        let entry = self.read();
        if entry.is_none() {
            self.reader.0 = whole;
        }
        entry
    }
}

impl<'a> Entries<'a> {
    fn read(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let name = self.reader.bytes()?;
        match self.reader.number()? {
            0 => Some((name, None)),
            1 => Some((name, Some(self.reader.bytes()?))),
            _ => None,
        }
    }
}

fn put_value(out: &mut Vec<u8>, name: &[u8], request: &Fields) {
    let mut values = request.values(name).peekable();
    if values.peek().is_none() {
        put_number(out, 0);
        return;
    }
    put_number(out, 1);
    let value: Vec<u8> = match Form::of(name) {
        Form::Exact => exact(values).collect(),
        Form::List => list(values).collect(),
        Form::Preferences(field) => match Preferences::read(field, values.clone()) {
            Some(preferences) => preferences.bytes().collect(),
            None => list(values).map(|b| b.to_ascii_lowercase()).collect(),
        },
    };
    put_bytes(out, &value);
}

/// Appends the line of a field that lists preferences, if the request has it.
fn put_sent(out: &mut Vec<u8>, name: &[u8], request: &Fields) {
    let mut values = request.values(name);
    let Some(line) = values.next().filter(|_| Preference::of(name).is_some()) else { return };
    put_bytes(out, if values.next().is_none() { line } else { &[] });
}

fn is_presented(
    request: &Fields,
    name: &[u8],
    stored: Option<&[u8]>,
    sent: &mut Reader<'_>,
) -> bool {
    let sent = match (Preference::of(name), stored) {
        (Some(_), Some(_)) => sent.bytes().unwrap_or_default(),
        _ => &[],
    };
    let mut values = request.values(name);
    let all = values.clone();
    match (values.next(), stored) {
        (None, None) => true,
        (Some(value), Some(stored)) if values.next().is_none() => {
            (!sent.is_empty() && value == sent) || is_same_line(name, value, stored)
        }
        (Some(_), Some(stored)) => is_same(name, all, stored),
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
        //# If (after any normalization that might take place) a header field is absent from a
        //# request, it can only match another request if it is also absent there.
        _ => false,
    }
}

/// Compares the lines of a field with a stored value.
fn is_same<'a>(name: &[u8], lines: impl Iterator<Item = &'a [u8]> + Clone, stored: &[u8]) -> bool {
    let stored = stored.iter().copied();
    match Form::of(name) {
        Form::Exact => exact(lines).eq(stored),
        Form::List => list(lines).eq(stored),
        // No list that is read can be written as one that cannot.
        Form::Preferences(field) => match Preferences::read(field, lines.clone()) {
            Some(preferences) => preferences.bytes().eq(stored),
            None => list(lines).map(|b| b.to_ascii_lowercase()).eq(stored),
        },
    }
}

/// As [`is_same`], for a field of one line, without the cost of assembling its normal form.
fn is_same_line(name: &[u8], line: &[u8], stored: &[u8]) -> bool {
    // Quoted strings and a list that ends in a comma are left to the general way.
    let is_plain = !line.contains(&b'"') && line.last() != Some(&b',');
    if !matches!(Form::of(name), Form::List) || !is_plain {
        return is_same(name, std::iter::once(line), stored);
    }
    // Most clients write a list as it is stored.
    line == stored || is_same_list(line, stored)
}

/// One pass over the line and over what is stored, so that no line is slow to compare.
fn is_same_list(line: &[u8], stored: &[u8]) -> bool {
    let (mut rest, mut stored, mut after_comma) = (line, stored, true);
    while let Some(&first) = rest.first() {
        let spaces = rest.iter().take_while(|&&b| is_space(b)).count();
        let ends_member = matches!(rest.get(spaces), None | Some(b','));
        if spaces > 0 && (after_comma || ends_member) {
            rest = &rest[spaces..];
            continue;
        }
        // Whitespace inside a member counts, and is taken as a whole: no byte is looked at twice.
        let (part, behind) = rest.split_at(spaces.max(1));
        match stored.split_at_checked(part.len()) {
            Some((wanted, after)) if wanted == part => (rest, stored) = (behind, after),
            _ => return false,
        }
        after_comma = first == b',';
        if after_comma {
            let Some(after) = stored.strip_prefix(b" ") else { return false };
            stored = after;
        }
    }
    stored.is_empty()
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A `Vary` line as clients get it.
pub fn for_clients(value: &[u8]) -> &[u8] {
    //= https://www.rfc-editor.org/rfc/rfc9440#section-2.4
    //# If a TTRP encounters a response with Client-Cert or Client-Cert-Chain in the Vary header
    //# field (Section 12.5.5 of [HTTP]), it SHOULD prevent the user agent from caching the response
    //# by transforming the value of the Vary response header field to "*".
    if members(value).any(is_beyond_clients) { b"*" } else { value }
}

fn is_beyond_clients(name: &[u8]) -> bool {
    [&b"client-cert"[..], b"client-cert-chain"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// How far a field may be normalised without changing what it means.
#[derive(Clone, Copy)]
enum Form {
    /// Free text in which a comma separates nothing.
    Exact,
    /// A list, as every field that may be repeated is.
    List,
    /// A list of weighed values that are defined to be case-insensitive, in any order.
    Preferences(Preference),
}

impl Form {
    fn of(name: &[u8]) -> Form {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
        //# normalizing both header field values in a way that is known to have identical semantics,
        //# according to the header field's specification
        if let Some(field) = Preference::of(name) {
            return Form::Preferences(field);
        }
        match name {
            b"authorization"
            | b"client-cert"
            | b"cookie"
            | b"date"
            | b"from"
            | b"host"
            | b"if-modified-since"
            | b"if-range"
            | b"if-unmodified-since"
            | b"origin"
            | b"referer"
            | b"user-agent" => Form::Exact,
            _ => Form::List,
        }
    }
}

/// The lines as they are, without whitespace around them.
fn exact<'a>(values: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = u8> {
    separated(values.map(trim), b"\n")
}

/// The members of all lines, without whitespace around them.
fn list<'a>(values: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = u8> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
    //# combining multiple header field lines with the same field name
    separated(values.flat_map(elements), b", ")
}

fn separated<'a>(
    parts: impl Iterator<Item = &'a [u8]>,
    separator: &'static [u8],
) -> impl Iterator<Item = u8> {
    parts.enumerate().flat_map(move |(index, part)| {
        let separator = if index > 0 { separator } else { &[] };
        separator.iter().chain(part).copied()
    })
}

#[cfg(test)]
mod tests;
