//! Content that is put together from several places: stored bodies, and what the origin adds.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use policy::Span;
use store::{Part, ReadError, Reader};

use super::Entry;
use super::answer::AnswerContent;
use crate::content::Piece;
use crate::entry::StoredHead;
use crate::error::Broken;
use crate::origin::content::ResponseContent;

/// The pieces of a content, in order.
#[derive(Default)]
pub(crate) struct Assembly {
    segments: VecDeque<Segment>,
}

enum Segment {
    Bytes(Bytes),
    /// These bytes of a stored body, which nobody reads yet.
    Stored(Arc<Entry>, Span),
    /// So many more bytes of a stored body.
    Reading(Box<Reader<StoredHead>>, u64),
    /// What arrives for this client alone: so many more bytes.
    Origin(Box<ResponseContent>, u64),
}

impl Assembly {
    pub(crate) fn push_bytes(&mut self, bytes: Bytes) {
        self.segments.push_back(Segment::Bytes(bytes));
    }

    /// Adds these bytes of a stored body, counted from its first byte.
    pub(crate) fn push_stored(&mut self, entry: &Arc<Entry>, span: Span) {
        match entry.slices(span.first()..span.last().saturating_add(1)) {
            Some(slices) => self.segments.extend(slices.map(Segment::Bytes)),
            None if entry.is_complete() => {
                self.segments.push_back(Segment::Stored(Arc::clone(entry), span));
            }
            // Whoever follows a fill begins at once: it may be passed along only, and be gone later.
            None => self.push_reader(Box::new(entry.reader()), span),
        }
    }

    /// Adds these bytes of a body that `reader` has begun to follow.
    pub(crate) fn push_reader(&mut self, mut reader: Box<Reader<StoredHead>>, span: Span) {
        reader.skip_to(span.first());
        self.segments.push_back(Segment::Reading(reader, span.length()));
    }

    /// Adds all that arrives of a content of this length.
    pub(crate) fn push_origin(&mut self, content: Box<ResponseContent>, length: u64) {
        self.segments.push_back(Segment::Origin(content, length));
    }

    /// The content as it is delivered: at once, if nothing has to be waited for.
    pub(crate) fn into_content(self) -> AnswerContent {
        if !self.segments.iter().all(|segment| matches!(segment, Segment::Bytes(_))) {
            return AnswerContent::Assembled(Box::new(self));
        }
        let bytes = |segment| match segment {
            Segment::Bytes(bytes) => bytes,
            _ => Bytes::new(),
        };
        AnswerContent::Pieces(self.segments.into_iter().map(bytes).collect())
    }

    /// Waits until the first stored bytes can be had and all files that are needed are open:
    /// trouble with the disk shows while there is still something else to answer with. A body that
    /// is being filled is not waited for.
    pub(crate) async fn ready(&mut self) -> Result<(), ReadError> {
        let mut is_first = true;
        for at in 0..self.segments.len() {
            self.begin(at);
            if let Segment::Reading(reader, _) = &mut self.segments[at]
                && reader.entry().is_complete()
            {
                if is_first { reader.ready().await? } else { reader.open().await? }
            }
            is_first &= matches!(self.segments[at], Segment::Bytes(_));
        }
        Ok(())
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Broken> {
        loop {
            self.begin(0);
            let Some(segment) = self.segments.front_mut() else { return Ok(None) };
            let next = match segment {
                Segment::Bytes(bytes) => Some(Part::Bytes(std::mem::take(bytes))),
                Segment::Stored(..) | Segment::Reading(_, 0) | Segment::Origin(_, 0) => None,
                Segment::Reading(reader, left) => {
                    // A stored body has the length that its head was made for.
                    let part = reader.next_part().await.map_err(Broken::Store)?;
                    Some(take(part.ok_or(Broken::Store(ReadError::Abandoned))?, left))
                }
                Segment::Origin(content, left) => from_origin(content, left).await?,
            };
            match next {
                Some(part) if !part.is_empty() => return Ok(Some(part)),
                _ => drop(self.segments.pop_front()),
            }
        }
    }

    /// Begins to read the segment at this place.
    fn begin(&mut self, at: usize) {
        if let Some(segment) = self.segments.get_mut(at)
            && let Segment::Stored(entry, span) = segment
        {
            let mut reader = Box::new(entry.reader());
            reader.skip_to(span.first());
            *segment = Segment::Reading(reader, span.length());
        }
    }
}

/// No more of a part than is wanted.
fn take(mut part: Part, left: &mut u64) -> Part {
    part.truncate(*left);
    *left -= part.len();
    part
}

async fn from_origin(
    content: &mut ResponseContent,
    left: &mut u64,
) -> Result<Option<Part>, Broken> {
    loop {
        match content.next().await.map_err(Broken::Origin)? {
            Some(Piece::Data(data)) if data.is_empty() => {}
            Some(Piece::Data(data)) => return Ok(Some(take(Part::Bytes(data), left))),
            Some(Piece::Trailers(_)) => {}
            None => return Ok(None),
        }
    }
}
