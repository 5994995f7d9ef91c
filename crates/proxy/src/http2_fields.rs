//! Field lines between the proxy's own lists and those of the HTTP/2 codec, for both its sides.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http1::BadHead;
use memchr::{memchr, memchr_iter};
use policy::Fields;

/// Names that are looked for in each request, or stand in each response, and that the codec's library
/// does not know.
pub(crate) const PRIORITY: HeaderName = HeaderName::from_static("priority");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// A list of fields as the codec wants it.
pub(crate) fn map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        append(&mut map, name, HeaderValue::from_bytes(value).ok());
    }
    map
}

/// What the codec does not check.
pub(crate) fn check_values(map: &HeaderMap) -> Result<(), BadHead> {
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.2.1
    //# A field value MUST NOT start or end with an ASCII whitespace character (ASCII SP or HTAB,
    //# 0x20 or 0x09).
    let is_surrounded = |value: &HeaderValue| value.as_bytes().trim_ascii().len() < value.len();
    if map.values().any(is_surrounded) { Err(BadHead::SpaceAroundValue) } else { Ok(()) }
}

/// The announced length of a message's content, if there is one.
pub(crate) fn content_length(map: &HeaderMap) -> Result<Option<u64>, BadHead> {
    let mut lengths = map.get_all(http::header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() {
        return Err(BadHead::LengthRepeated);
    }
    let digits = length.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let length = length.to_str().ok().filter(|_| is_number).and_then(|digits| digits.parse().ok());
    length.map(Some).ok_or(BadHead::LengthInvalid)
}

/// A list of fields as the steps want it.
pub(crate) fn list(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    map.iter().for_each(|(name, value)| fields.push(name.as_str().as_bytes(), value.as_bytes()));
    fields
}

/// The trailers of a message as the steps want them.
pub(crate) fn trailers(map: &HeaderMap) -> Fields {
    let mut fields = list(map);
    policy::strip::strip_hop_by_hop(&mut fields);
    // A recipient may merge them into the head.
    fields.retain(|name, _| http1::may_be_trailer(name));
    fields
}

/// The field lines of a head as it is written for HTTP/1.1. All values share one allocation.
pub(crate) fn lines(text: &[u8]) -> HeaderMap {
    let block = Bytes::copy_from_slice(text);
    // No byte of a line is a control byte.
    let mut ends = memchr_iter(b'\r', text);
    let mut map = HeaderMap::with_capacity(ends.clone().count());
    let Some(status_line) = ends.next() else { return map };
    let mut at = status_line + 2;
    for end in ends {
        let line = text.get(at..end).unwrap_or_default();
        if let Some(colon) = memchr(b':', line) {
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            let start = end - value.trim_ascii_start().len();
            let value = HeaderValue::from_maybe_shared(block.slice(start..end)).ok();
            append(&mut map, name, value);
        }
        at = end + 2;
    }
    map
}

/// A line that a message of HTTP/1.1 can have and one of HTTP/2 cannot is left out.
fn append(map: &mut HeaderMap, name: &[u8], value: Option<HeaderValue>) {
    let Some(mut value) = value else { return };
    match name {
        b"X-Cache" => drop(map.append(X_CACHE, value)),
        b"X-Request-Id" => {
            // It never comes again: remembering it would only push out what does.
            value.set_sensitive(true);
            map.append(X_REQUEST_ID, value);
        }
        name => {
            if let Ok(name) = HeaderName::from_bytes(name) {
                map.append(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_head_become_fields_in_lower_case() {
        let head =
            b"HTTP/1.1 200 OK\r\nX-Case: Kept\r\nVia: a\r\nVIA: b\r\nEmpty: \r\nX-Cache: HIT\r\n";
        let map = lines(head);
        let found: Vec<_> =
            map.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected =
            [("x-case", "Kept"), ("via", "a"), ("via", "b"), ("empty", ""), ("x-cache", "HIT")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_head_without_fields_or_end_is_empty() {
        for head in
            ["", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n"]
        {
            assert!(lines(head.as_bytes()).is_empty(), "{head:?}");
        }
    }
}
