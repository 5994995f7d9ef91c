//! Step 10: the body of a response goes to the store, and from there to everyone who waits for it.

use std::time::Duration;

use policy::{Fields, Rules};
use store::Fill;
use tokio::time::sleep;

use crate::content::Piece;
use crate::entry::StoredHead;
use crate::error::Broken;
use crate::error::FetchError;
use crate::origin::content::{Arrived, ResponseContent};

/// A fill that nobody reads is still finished if no more than this is missing...
const LITTLE_LEFT: u64 = 1 << 20;
/// ...or if no more than one part in so many is missing.
const SMALL_PART: u64 = 10;

/// How long those who have just learnt of a fill are given to begin to read it, at a time.
const ABOUT_TO_READ: Duration = Duration::from_millis(5);

/// How far a fill came without waiting.
pub(crate) enum Rushed {
    /// To the end; these are the encoded trailers.
    Complete(Vec<u8>),
    /// More has to arrive first.
    Waiting,
}

/// Moves what has arrived already, as long as the store takes it without waiting.
pub(crate) fn rush(
    fill: &mut Fill<StoredHead>,
    content: &mut ResponseContent,
    backlog: &mut Option<bytes::Bytes>,
    rules: &Rules,
) -> Result<Rushed, FetchError> {
    let mut tail = Vec::new();
    loop {
        match content.try_next()? {
            Arrived::Waiting => return Ok(Rushed::Waiting),
            Arrived::Next(None) => return Ok(Rushed::Complete(tail)),
            Arrived::Next(Some(Piece::Trailers(trailers))) => {
                keep(fill, trailers, &mut tail, rules);
            }
            Arrived::Next(Some(Piece::Data(data))) => {
                if !fill.try_write(&data) {
                    *backlog = Some(data);
                    return Ok(Rushed::Waiting);
                }
            }
        }
    }
}

/// Encodes what of the trailers may be kept.
fn keep(fill: &Fill<StoredHead>, mut trailers: Fields, tail: &mut Vec<u8>, rules: &Rules) {
    let head = fill.entry().meta().fields();
    policy::strip::strip_trailers_for_storage(&head, &mut trailers, rules);
    trailers.encode(tail);
}

/// What a fill is fed from.
pub(crate) trait Pieces {
    /// The next piece; `None` at the orderly end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Piece>, Broken>> + Send;

    /// The length, if it is known.
    fn length(&self) -> Option<u64>;
}

impl Pieces for ResponseContent {
    async fn next(&mut self) -> Result<Option<Piece>, Broken> {
        ResponseContent::next(self).await.map_err(Broken::Origin)
    }

    fn length(&self) -> Option<u64> {
        ResponseContent::length(self)
    }
}

/// How a fill ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With the whole body; whether it is kept is the store's matter.
    Whole,
    /// Nobody wanted the rest.
    Deserted,
    /// The origin broke it off.
    Broken(Broken),
}

/// Moves the rest of the body. A fill `for_readers` is given up when the last of them leaves and
/// much is still missing; a refresh is not.
pub(crate) async fn run(
    mut fill: Fill<StoredHead>,
    mut content: impl Pieces,
    backlog: Option<bytes::Bytes>,
    for_readers: bool,
    is_awaited: impl Fn() -> bool,
    rules: &Rules,
) -> Ended {
    let length = content.length();
    let mut written = 0;
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
    //# Caches MUST NOT combine trailer fields with header fields.
    let mut tail = Vec::new();
    let mut next = backlog.map(Piece::Data);
    let mut watching = for_readers;
    loop {
        match next.take() {
            Some(Piece::Data(data)) => {
                written += data.len() as u64;
                if fill.write(data).await.is_err() {
                    return Ended::Deserted;
                }
            }
            Some(Piece::Trailers(trailers)) => keep(&fill, trailers, &mut tail, rules),
            None => {}
        }
        tokio::select! {
            biased;
            piece = content.next() => match piece {
                Ok(None) => break,
                Ok(piece) => next = piece,
                //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
                //# A cache MUST NOT use an incomplete response to answer requests unless the
                //# response has been made complete
                Err(error) => return Ended::Broken(error),
            },
            () = fill.abandoned_by_readers(), if watching => {
                if is_awaited() {
                    // They have been told and are about to begin.
                    sleep(ABOUT_TO_READ).await;
                    continue;
                }
                if worth_finishing(length, written) {
                    watching = false;
                } else if fill.desert() {
                    return Ended::Deserted;
                }
            }
        }
    }
    let _ = fill.commit(&tail).await;
    Ended::Whole
}

/// Whether a body that nobody waits for is so nearly complete that it is cheaper to have it.
fn worth_finishing(length: Option<u64>, written: u64) -> bool {
    length.is_some_and(|length| {
        let left = length.saturating_sub(written);
        left <= LITTLE_LEFT || left <= length / SMALL_PART
    })
}

/// The trailers that were kept behind a body.
pub(crate) fn trailers(tail: &[u8]) -> Option<Fields> {
    Fields::decode(tail).map(|(fields, _)| fields).filter(|fields| !fields.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deserted_body_is_finished_only_if_little_is_missing() {
        let mib = 1 << 20;
        for (length, written, worth) in [
            (Some(mib), 0, true),
            (Some(mib + 1), 0, false),
            (Some(mib + 1), 1, true),
            (Some(100 * mib), 89 * mib, false),
            (Some(100 * mib), 90 * mib, true),
            (None, 0, false),
            (None, 100 * mib, false),
        ] {
            assert_eq!(worth_finishing(length, written), worth, "{length:?} {written}");
        }
    }
}
