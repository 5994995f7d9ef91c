//! Step 12: head and content to an HTTP/1.1 client.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http1::{Version, encode};
use policy::Fields;
use policy::rules::CacheStatus;
use smallvec::SmallVec;
use store::{Part, ReadError, Reader};

use super::socket::Outbound;
use super::transport::Outgoing;
use crate::content::{Informational, Piece};
use crate::entry::StoredHead;
use crate::error::Broken;
use crate::ids::RequestId;
use crate::origin::content::ResponseContent;
use crate::request::answer::{Answer, AnswerContent, AnswerHead};
use crate::request::assembly::Assembly;
use crate::request::trailers;

/// What is copied at once out of a file in memory where the system cannot send it from there: as much as
/// a body without a file may have. A slow client holds that copy.
const READ_AT_ONCE: u64 = 40 << 10;

/// What the client's side of the connection asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) version: Version,
    /// The client would reuse the connection.
    pub(crate) persistent: bool,
    /// The proxy will close it all the same.
    pub(crate) closing: bool,
}

/// What the head tells beside the answer.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) id: &'a RequestId,
    pub(crate) cache_status: CacheStatus,
    /// The cache key that decided, and the origin's address: only for [`CacheStatus::Full`].
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) next_hop: Option<&'a str>,
}

/// How the end of the content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is none, or its length was announced.
    Length,
    Chunked,
    UntilClose,
}

/// Why a response was not delivered to its end.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// The client did not take it.
    Client,
    /// Its source broke; the client must be able to see that.
    Source {
        /// Only a reset tells the client that the content is not complete.
        reset: bool,
        /// What happened.
        broken: Broken,
    },
}

impl From<io::Error> for Undelivered {
    fn from(_: io::Error) -> Self {
        Self::Client
    }
}

/// Sends a response. `Ok(true)` if the connection can carry another one.
pub(crate) async fn deliver<W: Outgoing>(
    outbound: &mut Outbound<W>,
    answer: Answer,
    told: &Told<'_>,
    terms: Terms,
) -> Result<bool, Undelivered> {
    let framing = framing(&answer, terms.version);
    let keep = terms.persistent && !terms.closing && framing != Framing::UntilClose;
    write_head(&mut outbound.head, &answer, told);
    write_framing(&mut outbound.head, &answer, framing);
    write_connection(&mut outbound.head, &answer, terms, keep);
    encode::end_of_head(&mut outbound.head);
    let source = match answer.content {
        // What is sent behind a 101 is no content (`tunnel`).
        AnswerContent::None | AnswerContent::Switched(_) => {
            outbound.write(&[]).await?;
            return Ok(keep);
        }
        AnswerContent::Text(text) => {
            outbound.write(&[&text]).await?;
            return Ok(keep);
        }
        AnswerContent::Memory => {
            let entry = match &answer.head {
                AnswerHead::Stored(entry) => Some(entry),
                AnswerHead::Own(_) => None,
            };
            if let Some(file) = entry.and_then(|entry| entry.memory_file()) {
                outbound.send_file(file.as_fd(), 0..file.length()).await?;
                return Ok(keep);
            }
            let parts: Option<SmallVec<[&[u8]; 4]>> =
                entry.and_then(|entry| entry.in_memory()).map(Iterator::collect);
            let parts = parts.unwrap_or_default();
            outbound.write(&parts).await?;
            return Ok(keep);
        }
        AnswerContent::Pieces(pieces) => {
            let parts: SmallVec<[&[u8]; 8]> = pieces.iter().map(|piece| &piece[..]).collect();
            outbound.write(&parts).await?;
            return Ok(keep);
        }
        AnswerContent::Assembled(assembly) => Source::Assembled(assembly),
        AnswerContent::Stored(reader) => Source::Stored { reader, ended: false },
        AnswerContent::Origin(content) => Source::Origin(content),
    };
    // What follows may take long, and the head is not needed for it.
    drop(answer.head);
    // Boxed, so that connections that only ever send from memory stay small.
    Box::pin(stream(outbound, source, framing)).await.map(|()| keep)
}

/// Writes the head of a 101, behind which the connection speaks `protocol`.
pub(super) fn switching(out: &mut Vec<u8>, answer: &Answer, protocol: &[u8], told: &Told<'_>) {
    write_head(out, answer, told);
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    //# A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header
    //# field (Section 7.6.1) to inform intermediaries not to forward this field.
    encode::field(out, b"Connection", b"upgrade");
    encode::field(out, b"Upgrade", protocol);
    encode::end_of_head(out);
}

/// Sends an informational response.
pub(crate) async fn informational<W: Outgoing>(
    outbound: &mut Outbound<W>,
    version: Version,
    response: &Informational,
) -> io::Result<()> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.2
    //# a server MUST NOT send a 1xx response to an HTTP/1.0 client
    if version == Version::Http10 {
        return Ok(());
    }
    let phrase = encode::reason_phrase(response.status);
    encode::status_line(&mut outbound.head, response.status, phrase.as_bytes());
    for (name, value) in response.fields.iter() {
        encode::field(&mut outbound.head, name, value);
    }
    encode::end_of_head(&mut outbound.head);
    outbound.write(&[]).await
}

fn framing(answer: &Answer, version: Version) -> Framing {
    match (&answer.content, answer.length) {
        (AnswerContent::None, _) | (_, Some(_)) => Framing::Length,
        (_, None) if version == Version::Http11 => Framing::Chunked,
        (_, None) => Framing::UntilClose,
    }
}

/// Status line and fields, without what frames the content.
pub(super) fn write_head(out: &mut Vec<u8>, answer: &Answer, told: &Told<'_>) {
    // As long as most are, and longer than few.
    out.reserve(1024);
    match &answer.head {
        AnswerHead::Stored(entry) => out.extend_from_slice(entry.meta().http1_block()),
        AnswerHead::Own(head) => {
            encode::status_line(out, head.status, &head.reason);
            for (name, value) in head.fields.iter() {
                if name.eq_ignore_ascii_case(b"Vary") {
                    encode::field(out, name, policy::vary::for_clients(value));
                } else if !is_of_this_hop(name) {
                    encode::field(out, name, value);
                }
            }
        }
    }
    if let Some(age) = answer.age {
        encode::field_u64(out, b"Age", u64::from(age.as_field()));
    }
    let report = &answer.report;
    out.extend_from_slice(if report.is_hit() { b"X-Cache: HIT\r\n" } else { b"X-Cache: MISS\r\n" });
    if told.cache_status != CacheStatus::Off {
        report.write_cache_status(out, told.key.as_deref());
    }
    if let Some(error) = &report.proxy_error {
        error.write(out, told.next_hop);
    }
    encode::field(out, b"X-Request-Id", told.id.as_bytes());
}

/// What the framing of HTTP/1.1 and the length that HTTP/2 only announces have in common.
pub(super) fn write_length(out: &mut Vec<u8>, answer: &Answer) {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.6
    //# A server MUST NOT send a Content-Length header field in any response with a status code of 1xx (Informational) or 204 (No Content).
    if let Some(length) = answer.length.filter(|_| answer.status() != 204) {
        encode::field_u64(out, b"Content-Length", length);
    }
}

fn write_framing(out: &mut Vec<u8>, answer: &Answer, framing: Framing) {
    match framing {
        Framing::Length => write_length(out, answer),
        Framing::Chunked => encode::field(out, b"Transfer-Encoding", b"chunked"),
        Framing::UntilClose => {}
    }
}

/// What is written for this hop alone, where it has a place at all.
fn is_of_this_hop(name: &[u8]) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2
    //# An intermediary transforming an HTTP/1.x message to HTTP/2 MUST remove connection-specific header
    //# fields as discussed in Section 7.6.1 of [HTTP], or their messages will be treated by other HTTP/2
    //# endpoints as malformed (Section 8.1.1).
    name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"Upgrade")
}

fn write_connection(out: &mut Vec<u8>, answer: &Answer, terms: Terms, keep: bool) {
    let required = answer.required();
    if let Some(protocols) = required {
        encode::field(out, b"Upgrade", protocols);
    }
    let persistence: &[u8] = match (keep, terms.version) {
        (false, _) => b"close",
        (true, Version::Http10) => b"keep-alive",
        (true, Version::Http11) => b"",
    };
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    //# A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header
    //# field (Section 7.6.1) to inform intermediaries not to forward this field.
    match (persistence, required) {
        (b"", None) => {}
        (b"", Some(_)) => encode::field(out, b"Connection", b"upgrade"),
        (persistence, None) => encode::field(out, b"Connection", persistence),
        (persistence, Some(_)) => {
            encode::field(out, b"Connection", &[persistence, b", upgrade"].concat());
        }
    }
}

/// What comes next of a content.
pub(super) enum Next {
    Part(Part),
    Trailers(Fields),
}

impl From<Piece> for Next {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::Part(Part::Bytes(data)),
            Piece::Trailers(trailers) => Self::Trailers(trailers),
        }
    }
}

/// Content that arrives piece by piece.
pub(super) enum Source {
    Stored { reader: Box<Reader<StoredHead>>, ended: bool },
    Assembled(Box<Assembly>),
    Origin(Box<ResponseContent>),
}

impl Source {
    /// Whether there may be longer pauses than in other content.
    fn is_patient(&self) -> bool {
        matches!(self, Self::Origin(content) if content.is_patient())
    }

    pub(super) async fn next(&mut self) -> Result<Option<Next>, Broken> {
        match self {
            Self::Origin(content) => {
                Ok(content.next().await.map_err(Broken::Origin)?.map(Next::from))
            }
            Self::Assembled(assembly) => Ok(Box::pin(assembly.next()).await?.map(Next::Part)),
            Self::Stored { ended: true, .. } => Ok(None),
            Self::Stored { reader, ended } => {
                // Boxed, as the one above: what comes from the origin has a small future.
                if let Some(part) = Box::pin(reader.next_part()).await.map_err(Broken::Store)? {
                    return Ok(Some(Next::Part(part)));
                }
                *ended = true;
                Ok(reader.entry().tail().and_then(trailers).map(Next::Trailers))
            }
        }
    }
}

/// Sends head and content; the head at once, together with what of the content is there already.
async fn stream<W: Outgoing>(
    outbound: &mut Outbound<W>,
    mut source: Source,
    framing: Framing,
) -> Result<(), Undelivered> {
    let cut = |broken| cut(broken, framing);
    let is_patient = source.is_patient();
    let first = {
        let mut next = pin!(source.next());
        match poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
            Poll::Ready(first) => first,
            Poll::Pending => {
                outbound.write(&[]).await?;
                unless_gone(outbound, next, is_patient).await?
            }
        }
    };
    let mut next = match first {
        Ok(next) => next,
        Err(error) => {
            // The head was promised; what breaks is the content.
            outbound.write(&[]).await?;
            return Err(cut(error));
        }
    };
    loop {
        match next {
            Some(Next::Part(part)) => write_part(outbound, part, framing).await?,
            Some(Next::Trailers(trailers)) if framing == Framing::Chunked => {
                return Ok(end_chunked(outbound, Some(&trailers)).await?);
            }
            Some(Next::Trailers(_)) => {}
            None if framing == Framing::Chunked => return Ok(end_chunked(outbound, None).await?),
            None => return Ok(outbound.write(&[]).await?),
        }
        let following = pin!(source.next());
        next = unless_gone(outbound, following, is_patient).await?.map_err(cut)?;
    }
}

/// Waits for `next`, but not for a client that has left. Where that may take very long, one that has
/// ended its own side is taken to have left: it has most often, and nothing is written that would tell.
async fn unless_gone<T, W: Outgoing>(
    outbound: &Outbound<W>,
    next: impl Future<Output = T>,
    is_patient: bool,
) -> Result<T, Undelivered> {
    tokio::select! {
        biased;
        next = next => Ok(next),
        () = outbound.gone() => Err(Undelivered::Client),
        () = outbound.ended_sometime(), if is_patient => Err(Undelivered::Client),
    }
}

fn cut(broken: Broken, framing: Framing) -> Undelivered {
    Undelivered::Source { reset: framing == Framing::UntilClose, broken }
}

/// Chunks stand between bytes of the proxy's own; all else the system may take from a file.
async fn write_part<W: Outgoing>(
    outbound: &mut Outbound<W>,
    part: Part,
    framing: Framing,
) -> Result<(), Undelivered> {
    if framing != Framing::Chunked
        && let Some((file, range)) = part.worth_sending()
    {
        return Ok(outbound.send_file(file.as_fd(), range).await?);
    }
    let mut rest = part;
    loop {
        let data = take(&mut rest).map_err(|error| cut(Broken::Store(error), framing))?;
        write_data(outbound, &data, framing).await?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// What is written next of a part: all that is at hand, or as much of a file as is read at once.
fn take(part: &mut Part) -> Result<Bytes, ReadError> {
    let mut taken = part.clone();
    if let Part::InFile(..) = taken {
        taken.truncate(READ_AT_ONCE);
    }
    part.skip(taken.len());
    taken.into_bytes()
}

async fn write_data<W: Outgoing>(
    outbound: &mut Outbound<W>,
    data: &[u8],
    framing: Framing,
) -> io::Result<()> {
    if framing != Framing::Chunked {
        return outbound.write(&[data]).await;
    }
    // An empty chunk would end the content.
    if data.is_empty() {
        return Ok(());
    }
    encode::chunk_start(&mut outbound.head, data.len());
    outbound.write(&[data, encode::CHUNK_END]).await
}

async fn end_chunked<W: Outgoing>(
    outbound: &mut Outbound<W>,
    trailers: Option<&Fields>,
) -> io::Result<()> {
    match trailers {
        Some(trailers) => encode::last_chunk(&mut outbound.head, trailers.iter()),
        None => encode::last_chunk(&mut outbound.head, std::iter::empty()),
    }
    outbound.write(&[]).await
}
