//! What is kept beside a stored body: the response head and the terms under which it may be reused.

use std::fmt;
use std::ops::Range;

use http1::encode;
use policy::{Fields, Part, Terms, strong};
use store::{Labels, Moment, allocated};

/// The version of the encoding below; entries of another version are treated as damaged.
const FORMAT: u8 = 2;
/// Where that says whether it is of a QUERY: all parts of a representation.
const SPREAD: u8 = 2;

/// A stored response without its body: its HTTP/1.1 head ready to send, and what else must be known
/// of it. There is one for each object in memory, so it says nothing twice.
pub struct StoredHead {
    /// When and for whom the response may be reused.
    pub terms: Terms,
    /// Status line and field lines as sent to an HTTP/1.1 client, without the final empty line.
    block: Box<[u8]>,
    /// From when on a purge counts for it.
    began: Moment,
    rare: Option<Box<Rare>>,
}

// With the two counters before it and the allocator's word, it takes 176 bytes.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<store::Entry<StoredHead>>() <= 152);

/// What few responses have.
struct Rare {
    /// Its cache groups and tags.
    labels: Labels,
    /// For a response to QUERY, the digest of what it asked, and behind it the variant of the terms.
    query: Option<Box<[u8]>>,
    /// Which part of the representation the body is, if it is not the whole.
    part: Option<Part>,
    /// Tells apart the parts of one representation; empty for a whole one.
    part_variant: Box<[u8]>,
    /// The body has as much of the representation as has come; `part` came last.
    spread: bool,
    /// The field lines that are for us alone.
    hidden: Box<[u8]>,
}

impl StoredHead {
    /// Prepares a head for the store, from the end-to-end fields without `Age` and framing.
    pub fn new(status: u16, reason: &[u8], fields: &Fields, terms: Terms) -> Self {
        let (block, hidden) = blocks(status, reason, fields, &terms);
        let mut head = Self { terms, block, began: Labels::NONE.began(), rare: None };
        if !hidden.is_empty() {
            head.rare().hidden = hidden;
        }
        if let Some(part) = Part::of(fields).filter(|_| status == 206) {
            let variant = part_variant(&head.terms, part);
            let rare = head.rare();
            (rare.part, rare.part_variant) = (Some(part), variant);
        }
        head
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The same with these labels.
    #[must_use]
    pub fn labelled(mut self, labels: Labels) -> Self {
        self.began = labels.began();
        if !labels.is_empty() {
            self.rare().labels = labels;
        }
        self
    }

    /// Its labels, and since when they count.
    pub(crate) fn own_labels(&self) -> Labels {
        match &self.rare {
            Some(rare) if !rare.labels.is_empty() => rare.labels.clone(),
            _ => Labels::new(self.began, Vec::new()),
        }
    }

    /// The same, as the response to the QUERY with this digest.
    #[must_use]
    pub fn for_query(mut self, digest: [u8; 32]) -> Self {
        let query = [&digest, self.terms.variant()].concat().into();
        self.rare().query = Some(query);
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        let digits = self.block.get(STATUS).unwrap_or_default();
        digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit.wrapping_sub(b'0')))
    }

    /// The reason phrase.
    pub fn reason(&self) -> &[u8] {
        let (line, _) = split_line(&self.block);
        line.get(STATUS.end + 1..).unwrap_or_default()
    }

    /// The end-to-end fields, without `Age` and without framing. They are read from the block: what
    /// is answered with the response as it is never looks at them.
    pub fn fields(&self) -> Fields {
        let (_, visible) = split_line(&self.block);
        let hidden = self.rare.as_ref().map_or(&[][..], |rare| &rare.hidden);
        let has_own_vary = self.terms.vary().is_beyond_clients();
        let mut fields = Fields::new();
        for (mut lines, is_visible) in [(visible, true), (hidden, false)] {
            while !lines.is_empty() {
                let (line, rest) = split_line(lines);
                let name = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
                let value = line.get(name + b": ".len()..).unwrap_or_default();
                let name = line.get(..name).unwrap_or_default();
                if !(has_own_vary && is_visible && is_vary(name)) {
                    fields.push(name, value);
                }
                lines = rest;
            }
        }
        fields
    }

    /// For a response to QUERY, the digest of what it asked.
    pub fn query(&self) -> Option<&[u8; 32]> {
        self.rare.as_ref()?.query.as_ref()?.first_chunk()
    }

    /// Which part of the representation the body is, if it is not the whole.
    pub fn part(&self) -> Option<Part> {
        self.rare.as_ref()?.part
    }

    /// The same, for all parts of its representation together, whichever they are: one entry has them.
    /// `None` unless it is of a part, and a strong validator tells the representation.
    #[must_use]
    pub fn spread(mut self) -> Option<Self> {
        let fields = self.fields();
        let variant = spread_variant(&self.terms, self.part()?, strong::strong_validator(&fields)?);
        let rare = self.rare();
        (rare.part_variant, rare.spread) = (variant, true);
        Some(self)
    }

    /// True if it is of all parts of its representation that have come.
    pub fn is_spread(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.spread)
    }

    /// Status line and fields as they stand in an HTTP/1.1 response, without the final empty line.
    pub fn http1_block(&self) -> &[u8] {
        &self.block
    }
}

/// Where the status code stands in a status line: behind `HTTP/1.1 `.
const STATUS: Range<usize> = 9..12;

/// Status line and the field lines that a client gets; and those that it does not.
fn blocks(status: u16, reason: &[u8], fields: &Fields, terms: &Terms) -> (Box<[u8]>, Box<[u8]>) {
    // A name with a colon cannot have come from a message, and could not be told from its value.
    let sound = fields.iter().filter(|(name, _)| !name.contains(&b':'));
    let lengths = sound.clone().map(|(name, value)| name.len() + value.len() + b": \r\n".len());
    let line = STATUS.end + 1 + reason.len() + b"\r\n".len();
    // Exactly as long as it will be, so that nothing is left over.
    let mut block = Vec::with_capacity(line + lengths.sum::<usize>());
    let mut hidden = Vec::new();
    encode::status_line(&mut block, status, reason);
    // Clients get another one, which is of no use here.
    let has_own_vary = terms.vary().is_beyond_clients();
    let is_hidden = |name| terms.hides(name) || (has_own_vary && is_vary(name));
    for (name, value) in sound {
        let lines = if is_hidden(name) { &mut hidden } else { &mut block };
        encode::field(lines, name, value);
    }
    if has_own_vary {
        encode::field(&mut block, b"Vary", b"*");
    }
    (block.into(), hidden.into())
}

fn is_vary(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"Vary")
}

/// The first line without its end, and what comes after it. No byte of a line is a control byte.
fn split_line(lines: &[u8]) -> (&[u8], &[u8]) {
    let end = lines.iter().position(|byte| *byte == b'\r').unwrap_or(lines.len());
    let (line, rest) = lines.split_at(end);
    (line, rest.get(b"\r\n".len()..).unwrap_or_default())
}

/// The variant of a part: the selecting fields, and behind a byte with which none of their names
/// begins, the bytes that it has.
fn part_variant(terms: &Terms, part: Part) -> Box<[u8]> {
    let mut variant = terms.variant().to_vec();
    variant.push(0);
    variant.extend_from_slice(part.content_range().as_bytes());
    variant.into()
}

/// The variant of all parts of a representation together: in place of the bytes that one has, what
/// tells the representation.
fn spread_variant(terms: &Terms, part: Part, validator: &[u8]) -> Box<[u8]> {
    let complete = format!("parts of {} ", part.complete());
    [terms.variant(), &[0], complete.as_bytes(), validator].concat().into()
}

impl Default for Rare {
    fn default() -> Self {
        let labels = Labels::NONE.clone();
        let (part_variant, hidden) = (Box::default(), Box::default());
        Self { labels, query: None, part: None, part_variant, spread: false, hidden }
    }
}

impl Rare {
    fn weight(&self) -> usize {
        let query = self.query.as_ref().map_or(0, |query| query.len());
        let parts = [
            size_of::<Self>(),
            self.labels.heap_bytes(),
            query,
            self.part_variant.len(),
            self.hidden.len(),
        ];
        parts.into_iter().map(allocated).sum()
    }
}

impl fmt::Debug for StoredHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = f.debug_struct("StoredHead");
        head.field("status", &self.status()).field("fields", &self.fields());
        head.field("terms", &self.terms).field("part", &self.part()).finish_non_exhaustive()
    }
}

impl store::Meta for StoredHead {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        out.push(if self.is_spread() { SPREAD } else { u8::from(self.query().is_some()) });
        out.extend_from_slice(self.query().map_or(&[], |digest| digest));
        out.extend_from_slice(&self.status().to_le_bytes());
        let reason = self.reason();
        out.extend_from_slice(&u32::try_from(reason.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(reason);
        self.fields().encode(out);
        self.terms.encode(out);
        self.own_labels().encode(out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[FORMAT, kind], rest) = bytes.split_first_chunk::<2>()? else { return None };
        let (query, rest) = match kind {
            0 | SPREAD => (None, rest),
            1 => rest.split_first_chunk::<32>().map(|(digest, rest)| (Some(*digest), rest))?,
            _ => return None,
        };
        let (status, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (reason, rest) =
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let (fields, rest) = Fields::decode(rest)?;
        let (terms, rest) = Terms::decode(rest)?;
        let (labels, rest) = Labels::decode(rest)?;
        let status = u16::from_le_bytes(*status);
        let sound = rest.is_empty() && (200..600).contains(&status);
        let stored = sound.then(|| Self::new(status, reason, &fields, terms))?;
        // A part that does not say which would pass for the whole; no QUERY has parts.
        if status == 206 && (stored.part().is_none() || query.is_some()) {
            return None;
        }
        let stored = stored.labelled(labels);
        if kind == SPREAD {
            return stored.spread();
        }
        Some(match query {
            Some(digest) => stored.for_query(digest),
            None => stored,
        })
    }

    fn weight(&self) -> usize {
        let rare = self.rare.as_ref().map_or(0, |rare| rare.weight());
        let vary = self.terms.vary().heap().map(allocated).sum::<usize>();
        allocated(self.block.len()) + vary + rare
    }

    fn variant(&self) -> &[u8] {
        match self.rare.as_deref() {
            Some(Rare { query: Some(query), .. }) => query,
            Some(Rare { part: Some(_), part_variant, .. }) => part_variant,
            _ => self.terms.variant(),
        }
    }

    fn is_partial(&self) -> bool {
        self.is_spread()
    }

    fn completed(&self) -> Option<Self> {
        let mut fields = self.is_spread().then(|| self.fields())?;
        fields.remove("Content-Range");
        let reason = encode::reason_phrase(200).as_bytes();
        let whole = Self::new(200, reason, &fields, self.terms.clone());
        Some(whole.labelled(self.own_labels()))
    }

    fn labels(&self) -> &Labels {
        self.rare.as_ref().map_or(Labels::NONE, |rare| &rare.labels)
    }

    fn began(&self) -> Moment {
        self.began
    }
}

#[cfg(test)]
mod tests;
