//! What tells QUERY requests for one URL apart: their content and what describes it (RFC 10008 §2.7).
//!
//! Differences that cannot change the meaning are left out: how a media type is spelled, and the
//! whitespace between the tokens of JSON. Whatever is not understood to the last byte counts as it
//! is.

use crate::directives;
use crate::fields::Fields;
use crate::syntax::{is_tchar, is_token, members, trim};
use crate::wire::{put_bytes, put_number};

/// How deep JSON may be nested; what is deeper counts as it is.
const DEPTH: usize = 64;

/// Appends bytes that two QUERY requests for one URL share only if they ask for the same.
pub fn identity(request: &Fields, content: &[u8], out: &mut Vec<u8>) {
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
    //# MUST incorporate the request content
    let mut described: Vec<(Vec<u8>, &[u8])> = request
        .iter()
        .filter(|(name, _)| describes_content(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    // A stable sort: lines of one name keep their order.
    described.sort_by(|(one, _), (other, _)| one.cmp(other));
    let may_normalise = !forbids_transformation(request);
    out.push(u8::from(may_normalise));
    put_number(out, described.len() as u64);
    for (name, value) in &described {
        put_bytes(out, name);
        match &name[..] {
            b"content-type" if may_normalise => put_bytes(out, &media_type(value)),
            b"content-encoding" if may_normalise => put_bytes(out, &codings(value)),
            _ => put_bytes(out, value),
        }
    }
    let compact = (may_normalise && is_plain_json(&described)).then(|| compact_json(content));
    put_bytes(out, compact.flatten().as_deref().unwrap_or(content));
}

/// Is this a field about the content itself? Its length is not: it is content of the key already.
fn describes_content(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_length = name.eq_ignore_ascii_case(b"content-length");
    (starts(b"content-") && !is_length) || name.eq_ignore_ascii_case(b"repr-digest")
}

fn forbids_transformation(request: &Fields) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
    //# Clients can indicate, using the "no-transform" cache directive
    request.all("cache-control").flat_map(directives::parse).any(|d| d.is("no-transform"))
}

/// A media type in its normal form: names in lower case, parameters sorted, no whitespace and no
/// needless quotes. One that is not well-formed, or names a parameter twice, stays as it is.
pub(crate) fn media_type(value: &[u8]) -> Vec<u8> {
    normal_media_type(value).unwrap_or_else(|| value.to_vec())
}

fn normal_media_type(value: &[u8]) -> Option<Vec<u8>> {
    let mut parts = parameters(value)?.into_iter();
    let essence = parts.next()?;
    let slash = essence.iter().position(|&byte| byte == b'/')?;
    let (kind, subtype) = (&essence[..slash], &essence[slash + 1..]);
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    let mut pairs = parts.map(parameter).collect::<Option<Vec<_>>>()?;
    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1
    //# The type and subtype tokens are case-insensitive.
    let mut normal = essence.to_ascii_lowercase();
    pairs.sort();
    if pairs.windows(2).any(|two| two[0].0 == two[1].0) {
        return None;
    }
    for (name, value) in pairs {
        normal.push(b';');
        normal.extend_from_slice(&name);
        normal.push(b'=');
        put_value(&mut normal, &value);
    }
    Some(normal)
}

/// The parts between semicolons that no quotes protect, trimmed; `None` if a quote stays open.
fn parameters(value: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut parts, mut start, mut at, mut quoted) = (Vec::new(), 0, 0, false);
    while let Some(&byte) = value.get(at) {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            b';' if !quoted => {
                parts.push(trim(&value[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(trim(value.get(start..)?));
    (!quoted).then_some(parts)
}

/// Name and value of a parameter, without quotes.
fn parameter(part: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let equals = part.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (&part[..equals], &part[equals + 1..]);
    let name = is_token(name).then(|| name.to_ascii_lowercase())?;
    let mut value = match value {
        [b'"', inside @ .., b'"'] => unquoted(inside)?,
        token => is_token(token).then(|| token.to_vec())?,
    };
    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.3.2
    //# In both cases, charset names are matched case-insensitively.
    if name == b"charset" {
        value.make_ascii_lowercase();
    }
    Some((name, value))
}

fn unquoted(inside: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => text.push(*bytes.next()?),
            b'"' => return None,
            _ => text.push(byte),
        }
    }
    Some(text)
}

/// A value as a token if it is one, else quoted.
fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    if !value.is_empty() && value.iter().all(|&byte| is_tchar(byte)) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// A list of content codings, whose names are case-insensitive (RFC 9110 §8.4.1).
fn codings(value: &[u8]) -> Vec<u8> {
    members(value).map(<[u8]>::to_ascii_lowercase).collect::<Vec<_>>().join(&b',')
}

/// Is the content JSON in UTF-8, with no coding applied?
fn is_plain_json(described: &[(Vec<u8>, &[u8])]) -> bool {
    let mut types = described.iter().filter(|(name, _)| name == b"content-type");
    let (Some((_, value)), None) = (types.next(), types.next()) else { return false };
    let Some(normal) = normal_media_type(value) else { return false };
    let is_coded = described.iter().any(|(name, _)| name == b"content-encoding");
    let mut parts = normal.split(|&byte| byte == b';');
    let essence = parts.next().unwrap_or_default();
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
    //# normalizing based upon knowledge of format conventions, as indicated by any media subtype
    //# suffix in the request's Content-Type field
    let is_json = essence == b"application/json" || essence.ends_with(b"+json");
    let is_utf8 = parts.all(|part| !part.starts_with(b"charset=") || part == b"charset=utf-8");
    is_json && is_utf8 && !is_coded
}

/// JSON (RFC 8259) without the whitespace between its tokens; `None` if it is not exactly that.
pub(crate) fn compact_json(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text).ok()?;
    let mut json = Json { rest: text, out: Vec::with_capacity(text.len()) };
    json.value(DEPTH)?;
    json.skip();
    json.rest.is_empty().then_some(json.out)
}

/// Reads JSON and copies its tokens.
struct Json<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
}

impl Json<'_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        self.skip();
        match self.rest.first()? {
            b'{' => self.list(b'}', depth, Self::member),
            b'[' => self.list(b']', depth, Self::value),
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    /// An object or array: an opening bracket, elements between commas, and `end`.
    fn list(
        &mut self,
        end: u8,
        depth: usize,
        element: impl Fn(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.copy(1);
        self.skip();
        if self.rest.first() == Some(&end) {
            self.copy(1);
            return Some(());
        }
        loop {
            element(self, depth)?;
            self.skip();
            match *self.rest.first()? {
                b',' => self.copy(1),
                byte if byte == end => {
                    self.copy(1);
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn member(&mut self, depth: usize) -> Option<()> {
        self.skip();
        self.string()?;
        self.skip();
        self.word(b":")?;
        self.value(depth)
    }

    fn string(&mut self) -> Option<()> {
        self.word(b"\"")?;
        loop {
            let length = match *self.rest.first()? {
                b'"' => {
                    self.copy(1);
                    return Some(());
                }
                b'\\' => match self.rest.get(1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' if self.rest.get(2..6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                    _ => return None,
                },
                0..=0x1f => return None,
                _ => 1,
            };
            self.copy(length);
        }
    }

    fn number(&mut self) -> Option<()> {
        let digits = |rest: &[u8]| rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.copy(usize::from(self.rest.first() == Some(&b'-')));
        let whole = digits(self.rest);
        if whole == 0 || (whole > 1 && self.rest[0] == b'0') {
            return None;
        }
        self.copy(whole);
        if self.rest.first() == Some(&b'.') {
            let fraction = digits(&self.rest[1..]);
            self.copy((fraction > 0).then_some(1 + fraction)?);
        }
        if let [b'e' | b'E', behind @ ..] = self.rest {
            let sign = usize::from(matches!(behind.first(), Some(b'+' | b'-')));
            let exponent = digits(&behind[sign..]);
            self.copy((exponent > 0).then_some(1 + sign + exponent)?);
        }
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest.starts_with(word).then(|| self.copy(word.len()))
    }

    fn skip(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn copy(&mut self, length: usize) {
        let (token, rest) = self.rest.split_at(length);
        self.out.extend_from_slice(token);
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests;
