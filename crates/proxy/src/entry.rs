//! What is kept beside a stored body: the response head and the terms under which it may be reused.

use http1::encode;
use policy::{Fields, Part, Terms};
use store::Labels;

/// The version of the encoding below; entries of another version are treated as damaged.
const FORMAT: u8 = 2;

/// A stored response without its body, with its HTTP/1.1 head ready to send.
#[derive(Debug)]
pub struct StoredHead {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: Vec<u8>,
    /// The end-to-end fields, without `Age` and without framing.
    pub fields: Fields,
    /// When and for whom the response may be reused.
    pub terms: Terms,
    /// Its cache groups and tags.
    labels: Labels,
    /// For a response to QUERY, the digest of what it asked, and behind it the variant of the terms.
    query: Option<Box<[u8]>>,
    /// Which part of the representation the body is, if it is not the whole.
    pub part: Option<Part>,
    /// Tells apart the parts of one representation; empty for a whole one.
    part_variant: Box<[u8]>,
    /// Status line and field lines as sent to an HTTP/1.1 client, without the final empty line.
    block: Vec<u8>,
}

impl StoredHead {
    /// Prepares a head for the store.
    pub fn new(status: u16, reason: Vec<u8>, fields: Fields, terms: Terms) -> Self {
        let mut block = Vec::with_capacity(64 + fields.heap_bytes());
        encode::status_line(&mut block, status, &reason);
        for (name, value) in fields.iter().filter(|(name, _)| !terms.hides(name)) {
            encode::field(&mut block, name, value);
        }
        block.shrink_to_fit();
        let part = Part::of(&fields).filter(|_| status == 206);
        let part_variant = part.map_or_else(Box::default, |part| part_variant(&terms, part));
        let labels = Labels::NONE.clone();
        Self { status, reason, fields, terms, labels, query: None, part, part_variant, block }
    }

    /// The same with these labels.
    #[must_use]
    pub fn labelled(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }

    /// The same, as the response to the QUERY with this digest.
    #[must_use]
    pub fn for_query(self, digest: [u8; 32]) -> Self {
        let query = Some([&digest, self.terms.variant()].concat().into());
        Self { query, ..self }
    }

    /// For a response to QUERY, the digest of what it asked.
    pub fn query(&self) -> Option<&[u8; 32]> {
        self.query.as_ref()?.first_chunk()
    }

    /// Status line and fields as they stand in an HTTP/1.1 response, without the final empty line.
    pub fn http1_block(&self) -> &[u8] {
        &self.block
    }
}

/// The variant of a part: the selecting fields, and behind a byte with which none of their names
/// begins, the bytes that it has.
fn part_variant(terms: &Terms, part: Part) -> Box<[u8]> {
    let mut variant = terms.variant().to_vec();
    variant.push(0);
    variant.extend_from_slice(part.content_range().as_bytes());
    variant.into()
}

impl store::Meta for StoredHead {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        out.push(u8::from(self.query.is_some()));
        out.extend_from_slice(self.query().map_or(&[], |digest| digest));
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.reason.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.reason);
        self.fields.encode(out);
        self.terms.encode(out);
        self.labels.encode(out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[FORMAT, is_query], rest) = bytes.split_first_chunk::<2>()? else { return None };
        let (query, rest) = match is_query {
            0 => (None, rest),
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
        let stored = sound.then(|| Self::new(status, reason.to_vec(), fields, terms))?;
        // A part that does not say which would pass for the whole; no QUERY has parts.
        if status == 206 && (stored.part.is_none() || query.is_some()) {
            return None;
        }
        let stored = stored.labelled(labels);
        Some(match query {
            Some(digest) => stored.for_query(digest),
            None => stored,
        })
    }

    fn weight(&self) -> usize {
        size_of::<Self>()
            + self.block.capacity()
            + self.reason.capacity()
            + self.fields.heap_bytes()
            + self.terms.vary().heap_bytes()
            + self.labels.heap_bytes()
            + self.query.as_ref().map_or(0, |query| query.len())
            + self.part_variant.len()
    }

    fn variant(&self) -> &[u8] {
        match (&self.query, self.part) {
            (Some(query), _) => query,
            (None, Some(_)) => &self.part_variant,
            (None, None) => self.terms.variant(),
        }
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

#[cfg(test)]
mod tests {
    use policy::{Admit, Asked, Exchanged, Method, Rules, Timestamp};
    use proptest::prelude::*;
    use store::Meta;

    use super::*;

    fn stored() -> StoredHead {
        let mut fields = Fields::new();
        fields.push(b"Cache-Control", b"max-age=60");
        fields.push(b"ETag", b"\"a\"");
        fields.push(b"x-Case", b"Kept");
        let exchanged = Exchanged {
            method: &Method::Get,
            asked: &Asked::default(),
            request: &Fields::new(),
            status: 200,
            response: &fields,
            request_time: Timestamp::from_secs(1_000),
            response_time: Timestamp::from_secs(1_000),
        };
        let Admit::Store(terms) = policy::admit(&exchanged, &Rules::default()) else {
            panic!("it may be stored")
        };
        StoredHead::new(200, b"Fine".to_vec(), fields, terms)
    }

    fn encoded() -> Vec<u8> {
        let mut out = Vec::new();
        stored().encode(&mut out);
        out
    }

    #[test]
    fn what_was_encoded_is_read_back() {
        let read = StoredHead::decode(&encoded()).unwrap();
        let expected =
            "HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\nx-Case: Kept\r\n";
        assert_eq!(String::from_utf8_lossy(read.http1_block()), expected);
        assert_eq!((read.fields, read.terms), (stored().fields, stored().terms));
    }

    #[test]
    fn the_digest_of_a_query_is_kept_and_tells_variants_apart() {
        let mut out = Vec::new();
        stored().for_query([7; 32]).encode(&mut out);
        let read = StoredHead::decode(&out).unwrap();
        assert_eq!(read.query(), Some(&[7; 32]));
        assert_eq!(read.variant(), stored().for_query([7; 32]).variant());
        assert_ne!(read.variant(), stored().for_query([8; 32]).variant());
        assert_ne!(read.variant(), stored().variant());
        assert_eq!(stored().query(), None);
        for length in 0..out.len() {
            assert!(StoredHead::decode(&out[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn what_is_cut_or_longer_or_of_another_format_is_damaged() {
        let whole = encoded();
        for length in 0..whole.len() {
            assert!(StoredHead::decode(&whole[..length]).is_none(), "{length}");
        }
        assert!(StoredHead::decode(&[&whole[..], b"x"].concat()).is_none());
        assert!(StoredHead::decode(&[&[FORMAT + 1], &whole[1..]].concat()).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = StoredHead::decode(&bytes);
        }
    }
}
