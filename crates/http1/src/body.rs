//! The bytes after a head, turned into content without copying them.

mod chunked;
mod trailers;

use crate::{BadBody, Framing, Limits};
use bytes::{Bytes, BytesMut};
use chunked::{ChunkLine, LineEnd};
pub use trailers::{Trailers, may_be_trailer};

/// Decodes the content of one message, in any framing.
///
/// It takes exactly the bytes of its message from the buffer; what is left then belongs to the next
/// one. After an error it repeats the error and takes nothing.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    limits: Limits,
    /// Bytes of chunk extensions so far.
    extensions: usize,
}

/// What a [`BodyDecoder`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// Nothing to report until more bytes arrive.
    NeedMore,
    /// Content, never empty.
    Data(Bytes),
    /// The trailer section, only when it has fields that may be used; [`BodyEvent::End`] is next.
    Trailers(Trailers),
    /// The message is complete; repeated when asked again.
    End,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// This many bytes are left.
    Length(u64),
    UntilClose,
    /// Within a chunk-size line.
    ChunkLine(ChunkLine),
    /// This many bytes of the chunk are left; not zero.
    ChunkData(u64),
    /// Before the CR after the data of a chunk.
    ChunkDataCr,
    /// Before the LF after the data of a chunk.
    ChunkDataLf,
    /// After the last chunk.
    Trailers,
    Done,
    Failed(BadBody),
}

/// What one step of the chunked decoder did.
enum Step {
    Report(BodyEvent),
    Continue,
}

impl BodyDecoder {
    /// A decoder for the content that `framing` announces.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine(ChunkLine::default()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, limits: *limits, extensions: 0 }
    }

    /// Takes the next event from `buf`: as much data at once as has arrived, at most one chunk.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<BodyEvent, BadBody> {
        loop {
            match self.step(buf) {
                Ok(Step::Continue) => {}
                Ok(Step::Report(event)) => return Ok(event),
                Err(fault) => {
                    self.state = State::Failed(fault);
                    return Err(fault);
                }
            }
        }
    }

    /// The peer will send no more. An error if the message needed more; content that lasts until
    /// close is now complete. RFC 9112 §8.
    ///
    /// What is still in the buffer is to be decoded first.
    pub fn end_of_input(&mut self) -> Result<(), BadBody> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(fault) => Err(fault),
            _ => {
                self.state = State::Failed(BadBody::Incomplete);
                Err(BadBody::Incomplete)
            }
        }
    }

    /// Whether the whole message has been taken from the buffer.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The bytes of content still to come, when Content-Length told or the message is complete.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    fn step(&mut self, buf: &mut BytesMut) -> Result<Step, BadBody> {
        match self.state {
            State::Length(left) => Ok(self.take_length(left, buf)),
            State::UntilClose => Ok(take_all(buf)),
            State::ChunkLine(line) => self.take_chunk_line(line, buf),
            State::ChunkData(left) => Ok(self.take_chunk_data(left, buf)),
            State::ChunkDataCr => self.take_chunk_end(b'\r', State::ChunkDataLf, buf),
            State::ChunkDataLf => {
                self.take_chunk_end(b'\n', State::ChunkLine(ChunkLine::default()), buf)
            }
            State::Trailers => self.take_trailers(buf),
            State::Done => Ok(Step::Report(BodyEvent::End)),
            State::Failed(fault) => Err(fault),
        }
    }

    fn take_length(&mut self, left: u64, buf: &mut BytesMut) -> Step {
        let (event, left) = take_up_to(left, buf);
        self.state = if left == 0 { State::Done } else { State::Length(left) };
        Step::Report(event)
    }

    fn take_chunk_data(&mut self, left: u64, buf: &mut BytesMut) -> Step {
        let (event, left) = take_up_to(left, buf);
        self.state = if left == 0 { State::ChunkDataCr } else { State::ChunkData(left) };
        Step::Report(event)
    }

    fn take_chunk_line(
        &mut self,
        mut line: ChunkLine,
        buf: &mut BytesMut,
    ) -> Result<Step, BadBody> {
        let mut end = None;
        let mut used = 0;
        for &byte in buf.iter() {
            used += 1;
            end = line.push(byte, &self.limits, &mut self.extensions)?;
            if end.is_some() {
                break;
            }
        }
        let _read = buf.split_to(used);
        self.state = match end {
            None => State::ChunkLine(line),
            Some(LineEnd::Data(size)) => State::ChunkData(size.get()),
            Some(LineEnd::LastChunk) => State::Trailers,
        };
        Ok(if end.is_some() { Step::Continue } else { Step::Report(BodyEvent::NeedMore) })
    }

    fn take_chunk_end(
        &mut self,
        expected: u8,
        next: State,
        buf: &mut BytesMut,
    ) -> Result<Step, BadBody> {
        match buf.first() {
            None => Ok(Step::Report(BodyEvent::NeedMore)),
            Some(&byte) if byte == expected => {
                let _read = buf.split_to(1);
                self.state = next;
                Ok(Step::Continue)
            }
            Some(_) => Err(BadBody::ChunkEnd),
        }
    }

    fn take_trailers(&mut self, buf: &mut BytesMut) -> Result<Step, BadBody> {
        let Some(trailers) = trailers::take(buf, &self.limits)? else {
            return Ok(Step::Report(BodyEvent::NeedMore));
        };
        self.state = State::Done;
        Ok(if trailers.fields.is_empty() {
            Step::Continue
        } else {
            Step::Report(BodyEvent::Trailers(trailers))
        })
    }
}

fn take_all(buf: &mut BytesMut) -> Step {
    let data = buf.split().freeze();
    Step::Report(if data.is_empty() { BodyEvent::NeedMore } else { BodyEvent::Data(data) })
}

/// Takes at most `left` bytes and says how many are left after that.
fn take_up_to(left: u64, buf: &mut BytesMut) -> (BodyEvent, u64) {
    if buf.is_empty() {
        return (BodyEvent::NeedMore, left);
    }
    let taken = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
    (BodyEvent::Data(buf.split_to(taken).freeze()), left - taken as u64)
}
