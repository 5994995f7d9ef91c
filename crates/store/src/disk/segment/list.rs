//! Finds out which records a segment has: from its footer, or by walking from head to head.
//!
//! A walk ends well at the footer, or where nothing was written yet: a head is written from its
//! start, so one whose checksum is zero is the end of what a killed process wrote. Any other head
//! that is not sound is damage, and the record that stood there may have ended any record before it.
//! So the walk goes on at the next sound head, which the salt tells apart from a body that looks
//! like one, and gives up all that it found before. A walk that runs out of bytes gives up all.

use std::io;

use super::format::{About, HEAD, Kind, LISTED, Listed, RecordHead, Trailer, list, padded};
use crate::disk::files::Handle;
use crate::reason::Damage;

/// Bytes that a walk reads at once.
const STRIDE: u64 = 1 << 20;

/// The records of a segment, in their order.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) listed: Vec<Listed>,
    /// What is wrong with the footer, which then was not needed.
    pub(crate) footer: Option<Damage>,
    /// Why records before these, here and in older segments, are not to be trusted.
    pub(crate) doubt: Option<Damage>,
}

/// Lists the records of a segment.
pub(crate) fn records(handle: &Handle, about: &About) -> io::Result<Listing> {
    let size = handle.len()?;
    let footer = match footer(handle, about, size)? {
        Ok(listed) => return Ok(Listing { listed, ..Listing::default() }),
        // Nothing there, as in every segment that is not sealed.
        Err(Damage::Magic | Damage::Size) => None,
        Err(why) => Some(why),
    };
    let walk = Walk { handle, salt: about.salt, size, start: 0, bytes: Vec::new() };
    Ok(Listing { footer, ..walk.run()? })
}

/// The trailer of a sealed segment.
pub(crate) fn trailer(handle: &Handle, size: u64) -> io::Result<Result<Trailer, Damage>> {
    let Some(at) = size.checked_sub(HEAD) else { return Ok(Err(Damage::Size)) };
    Ok(Trailer::decode(&handle.read(at, HEAD as usize)?))
}

fn footer(handle: &Handle, about: &About, size: u64) -> io::Result<Result<Vec<Listed>, Damage>> {
    let trailer = match trailer(handle, size)? {
        Ok(trailer) if trailer.about == *about => trailer,
        Ok(_) => return Ok(Err(Damage::Identity)),
        Err(why) => return Ok(Err(why)),
    };
    let length = trailer.count.checked_mul(LISTED);
    let end = length.and_then(|length| length.checked_add(trailer.offset));
    let (Some(length), Some(records)) = (length, trailer.offset.checked_sub(HEAD)) else {
        return Ok(Err(Damage::Checksum));
    };
    if end.map(padded) != size.checked_sub(HEAD) {
        // A sound trailer that came here from elsewhere.
        return Ok(Err(Damage::Checksum));
    }
    let bytes = handle.read(trailer.offset, length as usize)?;
    if !trailer.speaks_of(&bytes) {
        return Ok(Err(Damage::Checksum));
    }
    Ok(list(&bytes, records))
}

struct Walk<'a> {
    handle: &'a Handle,
    salt: u64,
    size: u64,
    /// What was read last, and from where.
    start: u64,
    bytes: Vec<u8>,
}

impl Walk<'_> {
    fn run(mut self) -> io::Result<Listing> {
        let (mut found, salt) = (Listing::default(), self.salt);
        let mut at = HEAD;
        loop {
            let Some(head) = self.head(at)? else {
                // Cut off: nobody knows what stood there.
                return Ok(Listing { doubt: Some(Damage::Size), ..Listing::default() });
            };
            match RecordHead::decode(head, salt, at as u32) {
                Ok(head) if head.listed.kind == Kind::Footer => return Ok(found),
                Ok(head) => {
                    at += padded(u64::from(head.listed.length));
                    found.listed.push(head.listed);
                }
                Err(_) if is_unwritten(head) => return Ok(found),
                Err(why) => {
                    found = Listing { doubt: Some(why), ..Listing::default() };
                    let Some(next) = self.next_sound(at + 8)? else { return Ok(found) };
                    at = next;
                }
            }
        }
    }

    fn next_sound(&mut self, from: u64) -> io::Result<Option<u64>> {
        let (mut at, salt) = (from, self.salt);
        while let Some(head) = self.head(at)? {
            if RecordHead::decode(head, salt, at as u32).is_ok() {
                return Ok(Some(at));
            }
            at += 8;
        }
        Ok(None)
    }

    fn head(&mut self, at: u64) -> io::Result<Option<&[u8]>> {
        if at + HEAD > self.size {
            return Ok(None);
        }
        if at < self.start || at + HEAD > self.start + self.bytes.len() as u64 {
            let length = STRIDE.min(self.size - at);
            self.bytes = self.handle.read(at, length as usize)?;
            self.start = at;
        }
        let from = (at - self.start) as usize;
        Ok(self.bytes.get(from..from + HEAD as usize))
    }
}

/// True of a head that a killed process did not write, or not to its end.
fn is_unwritten(head: &[u8]) -> bool {
    head[HEAD as usize - 8..] == [0; 8]
}
