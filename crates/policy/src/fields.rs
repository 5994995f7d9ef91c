//! A list of field lines as they stood in a message: order, name case and repetitions kept.
//!
//! One buffer holds all bytes and is reused from message to message without allocation. It knows
//! nothing of what a field means.

use crate::wire::{Reader, put_bytes, put_number};

/// Bytes and lines for which a list that was loaded has room.
const ADDED_BYTES: usize = 128;
const ADDED_LINES: usize = 24;

/// Field lines in order. Two lists are equal when their lines are, byte for byte.
#[derive(Default)]
pub struct Fields {
    block: Vec<u8>,
    lines: Vec<Line>,
}

/// Byte ranges of the block; always in bounds, see [`Fields::load`] and [`Fields::push`].
#[derive(Clone, Copy)]
struct Line {
    name: (u32, u32),
    value: (u32, u32),
}

impl Fields {
    /// No lines, no memory.
    pub const fn new() -> Fields {
        Fields { block: Vec::new(), lines: Vec::new() }
    }

    /// Forgets the lines and keeps the memory.
    pub fn clear(&mut self) {
        self.block.clear();
        self.lines.clear();
    }

    /// Replaces the content by a copy of `block` and the lines that `spans` finds in it: for each
    /// the (start, end) of its name and of its value. A span that does not fit is skipped.
    pub fn load(&mut self, block: &[u8], spans: impl Iterator<Item = ((u32, u32), (u32, u32))>) {
        self.clear();
        // Room for what a hop adds: a list that grows moves about in memory and leaves holes.
        self.block.reserve(block.len() + ADDED_BYTES);
        self.lines.reserve(spans.size_hint().0 + ADDED_LINES);
        self.block.extend_from_slice(block);
        let fits = |(start, end): (u32, u32)| start <= end && end as usize <= block.len();
        let fitting = spans.filter(|(name, value)| fits(*name) && fits(*value));
        self.lines.extend(fitting.map(|(name, value)| Line { name, value }));
    }

    /// Adds a line at the end. (Heads are bounded by the codec far below the 4 GiB at which a line
    /// would no longer be added.)
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.block.len();
        let Ok(end) = u32::try_from(start + name.len() + value.len()) else { return };
        let middle = (start + name.len()) as u32;
        self.block.extend_from_slice(name);
        self.block.extend_from_slice(value);
        self.lines.push(Line { name: (start as u32, middle), value: (middle, end) });
    }

    /// Removes all lines of that name, then adds one at the end.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.push(name.as_bytes(), value);
    }

    /// Removes all lines of that name; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.lines.len();
        self.retain(|n, _| !n.eq_ignore_ascii_case(name.as_bytes()));
        self.lines.len() < before
    }

    /// Keeps the lines for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let block = &self.block;
        self.lines.retain(|line| keep(at(block, line.name), at(block, line.value)));
    }

    /// The lines in order: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.lines.iter().map(|line| (at(&self.block, line.name), at(&self.block, line.value)))
    }

    /// The value of the first line of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The values of all lines of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.values(name.as_bytes())
    }

    /// As [`Fields::all`], for a name that came from a message.
    pub(crate) fn values<'a>(
        &'a self,
        name: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> + Clone + 'a {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Is there a line of that name?
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Is there no line?
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes of memory held on the heap, spare capacity included.
    pub fn heap_bytes(&self) -> usize {
        self.block.capacity() + self.lines.capacity() * size_of::<Line>()
    }

    /// Appends the lines to `out`, length-prefixed.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.lines.len() as u64);
        for (name, value) in self.iter() {
            put_bytes(out, name);
            put_bytes(out, value);
        }
    }

    /// Reads what [`Fields::encode`] wrote and returns the bytes behind it.
    ///
    /// `None` when bytes are missing, or when a name or value holds a byte that would end a line:
    /// such a list cannot have come from a message.
    pub fn decode(bytes: &[u8]) -> Option<(Fields, &[u8])> {
        let mut reader = Reader(bytes);
        let count = reader.number()?;
        let mut fields = Fields::new();
        for _ in 0..count {
            let (name, value) = (reader.bytes()?, reader.bytes()?);
            if name.iter().chain(value).any(|b| matches!(b, b'\r' | b'\n' | 0)) {
                return None;
            }
            fields.push(name, value);
        }
        Some((fields, reader.0))
    }
}

fn at(block: &[u8], (start, end): (u32, u32)) -> &[u8] {
    block.get(start as usize..end as usize).unwrap_or_default()
}

impl Clone for Fields {
    /// Copies the lines, and not the bytes of lines that are gone: fields that are copied and
    /// updated again and again, as those of a stored response are, would grow without end.
    fn clone(&self) -> Fields {
        let bytes = self.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut copy = Fields {
            block: Vec::with_capacity(bytes),
            lines: Vec::with_capacity(self.lines.len()),
        };
        for (name, value) in self.iter() {
            copy.push(name, value);
        }
        copy
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |(name, value): (&[u8], &[u8])| {
            (name.escape_ascii().to_string(), value.escape_ascii().to_string())
        };
        f.debug_map().entries(self.iter().map(text)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    #[test]
    fn names_match_whatever_their_case_and_lines_keep_theirs() {
        let mut list = fields("Via: a\nvia: b\nETag: \"x\"");
        assert_eq!(list.get("VIA"), Some(&b"a"[..]));
        assert_eq!(list.all("via").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(list.iter().next(), Some((&b"Via"[..], &b"a"[..])));
        list.set("vIa", b"c");
        assert_eq!(list, fields("ETag: \"x\"\nvIa: c"));
        assert!(list.remove("etag") && !list.remove("etag"));
        assert_eq!((list.len(), list.contains("via")), (1, true));
    }

    #[test]
    fn a_copy_leaves_the_bytes_of_lines_that_are_gone_behind() {
        let mut list = fields("a: 1\nb: 22");
        list.set("a", &[b'x'; 1000]);
        list.remove("a");
        assert!(list.heap_bytes() > 1000);
        let copy = list.clone();
        assert_eq!((&copy, copy.heap_bytes()), (&list, 3 + size_of::<Line>()));
    }

    #[test]
    fn loading_skips_a_span_outside_the_block() {
        let mut list = fields("old: 1");
        let spans = [((0, 1), (3, 4)), ((0, 1), (3, 9)), ((2, 1), (3, 4)), ((4, 4), (4, 4))];
        list.load(b"a: b", spans.into_iter());
        assert_eq!(list.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"b"[..]), (b"", b"")]);
    }

    #[test]
    fn a_decoded_value_cannot_smuggle_in_a_line() {
        let mut list = Fields::new();
        list.push(b"a", b"b\r\nset-cookie: c");
        let mut out = Vec::new();
        list.encode(&mut out);
        assert_eq!(Fields::decode(&out), None);
    }

    #[test]
    fn a_claimed_count_cannot_make_decoding_allocate() {
        let mut out = Vec::new();
        put_number(&mut out, u64::MAX);
        assert_eq!(Fields::decode(&out), None);
    }
}
