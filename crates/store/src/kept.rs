//! Pieces of large bodies on disk that are read again and again, kept in memory.
//!
//! The bytes of a large body are verified whenever they are read. A piece that was read lately
//! already goes from there into a sealed file that only memory holds, like a body in memory
//! (`memory_file`): whoever wants it next gets what was verified, and it takes neither a read nor a
//! checksum nor a copy to send it.
//!
//! They take what the memory tier gives them. A piece makes way for another one only if that is read
//! more than twice as often, so that bodies larger than this room, read from start to end by many, do
//! not push their own pieces out in turn.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::counted::{Counted, With};
use crate::disk::{Handle, PIECE, lock};
use crate::memory::{ARC, allocated};
use crate::memory_file::{self, MemoryFile, MemoryFiles};
use crate::part::Part;
use crate::readings::Readings;

/// Readings that are remembered for each piece that could be kept.
const REMEMBERED: u64 = 16;
/// Pieces that are looked at when one has to make way.
const LOOKED_AT: usize = 8;
/// Pieces that make way for one at the most: one that is being sent frees nothing yet.
const GOING: usize = 2;
/// Times that memory was divided anew since a piece was read, after which it makes way for the memory
/// tier.
const IDLE: u8 = 60;

/// Names a piece for good: no other file of the store ever has the number of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PieceName {
    pub(crate) file: u64,
    /// Counted from the start of the body, in pieces.
    pub(crate) number: u64,
}

impl PieceName {
    fn hash(self) -> u64 {
        xxh3_64(&(u128::from(self.file) << 64 | u128::from(self.number)).to_le_bytes())
    }
}

/// What becomes of a reading.
pub(crate) enum Asked {
    /// It is here.
    Kept(Part),
    /// Read all of it, to keep it.
    Wanted,
    Unknown,
}

/// What memory should do about the room for pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// So many bytes more would have been of use.
    More(u64),
    /// So many bytes are not in use.
    Less(u64),
}

/// The pieces that are kept.
pub(crate) struct Kept {
    state: Mutex<State>,
    files: Arc<MemoryFiles>,
    /// Bytes of what is kept, and of what is no longer kept but still being sent.
    bytes: Arc<AtomicU64>,
    /// The room that there can be.
    pub(crate) most: u64,
}

struct State {
    slots: Vec<Slot>,
    places: HashMap<PieceName, usize>,
    readings: Readings,
    /// Where the look for a piece that can go begins.
    hand: usize,
    /// Bytes that memory has given.
    room: u64,
    /// Bytes refused for want of room since memory was divided.
    refused: u64,
}

struct Slot {
    name: PieceName,
    part: Part,
    /// As long as pieces are kept, whoever reads others finds the file open.
    _handle: Arc<Handle>,
    idle: u8,
}

impl Kept {
    /// `most` bytes at the most; none until memory gives them.
    pub(crate) fn new(most: u64, files: Arc<MemoryFiles>) -> Self {
        let state = State {
            slots: Vec::new(),
            places: HashMap::new(),
            readings: Readings::new(most / PIECE * REMEMBERED),
            hand: 0,
            room: 0,
            refused: 0,
        };
        Self { state: Mutex::new(state), files, bytes: Arc::default(), most }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes that a piece of so many bytes is read.
    pub(crate) fn ask(&self, name: PieceName, length: u64) -> Asked {
        if self.most == 0 {
            return Asked::Unknown;
        }
        let mut state = lock(&self.state);
        let count = state.readings.note(name.hash());
        if let Some(slot) = state.slot(name) {
            slot.idle = 0;
            return Asked::Kept(slot.part.clone());
        }
        if count < 2 {
            return Asked::Unknown;
        }
        if self.bytes() + weight(length) <= state.room {
            return Asked::Wanted;
        }
        state.refused = state.refused.saturating_add(weight(length));
        if state.victim(count).is_some() { Asked::Wanted } else { Asked::Unknown }
    }

    /// The piece, if it is here, for a reader who has had some of it: that is no further reading.
    pub(crate) fn find(&self, name: PieceName) -> Option<Part> {
        let mut state = lock(&self.state);
        let slot = state.slot(name)?;
        slot.idle = 0;
        Some(slot.part.clone())
    }

    /// Keeps a piece that was read and verified, if there is room by now and no other reader was
    /// faster.
    pub(crate) fn keep(&self, name: PieceName, bytes: Bytes, handle: &Arc<Handle>) -> Option<Part> {
        let counted = self.make_room(name, weight(bytes.len() as u64))?;
        let part = self.part(bytes, counted);
        let slot = Slot { name, part: part.clone(), _handle: Arc::clone(handle), idle: 0 };
        lock(&self.state).insert(slot);
        Some(part)
    }

    fn make_room(&self, name: PieceName, weight: u64) -> Option<Counted> {
        for _ in 0..=GOING {
            let mut state = lock(&self.state);
            if state.slot(name).is_some() {
                return None;
            }
            if self.bytes() + weight <= state.room {
                // Only under the lock is it added to.
                self.bytes.fetch_add(weight, Ordering::Relaxed);
                return Some(Counted { bytes: weight, sum: Arc::clone(&self.bytes) });
            }
            let count = state.readings.count(name.hash());
            let victim = state.victim(count)?;
            let gone = state.remove(victim);
            drop(state);
            drop(gone);
        }
        None
    }

    /// On the heap, if it is too short for a file or the system gives none.
    fn part(&self, bytes: Bytes, counted: Counted) -> Part {
        let length = bytes.len() as u64;
        match self.files.hold(length, std::iter::once(&bytes[..])) {
            Some(file) => Part::InFile(Arc::new(file.counted(counted)), 0..length),
            None => Part::Bytes(With::bytes(bytes, counted)),
        }
    }

    /// Forgets the pieces of a file that is gone.
    pub(crate) fn forget(&self, file: u64) {
        let _gone = lock(&self.state).take(|slot| slot.name.file == file);
    }

    /// Forgets what nobody has read for a while. Called each time memory is divided anew, if it is
    /// short.
    pub(crate) fn forget_idle(&self) {
        let _gone = lock(&self.state).take(|slot| {
            slot.idle += 1;
            slot.idle > IDLE
        });
    }

    /// What should become of the room; it is asked for what was refused only once.
    pub(crate) fn wish(&self) -> Wish {
        let mut state = lock(&self.state);
        match std::mem::take(&mut state.refused) {
            0 => Wish::Less(state.room.saturating_sub(self.bytes())),
            refused => Wish::More(refused),
        }
    }

    /// Sets the room, but not below what is in use. Returns what it is now.
    pub(crate) fn set_room(&self, room: u64) -> u64 {
        let mut state = lock(&self.state);
        state.room = room.max(self.bytes());
        state.room
    }
}

/// Bytes of memory that a piece of so many bytes takes.
fn weight(length: u64) -> u64 {
    let beside = allocated(ARC + size_of::<MemoryFile>()) + 2 * size_of::<Slot>();
    memory_file::weight(length) + beside as u64
}

impl State {
    fn slot(&mut self, name: PieceName) -> Option<&mut Slot> {
        let place = self.places.get(&name)?;
        self.slots.get_mut(*place)
    }

    /// Puts a piece in; one that came meanwhile goes.
    fn insert(&mut self, slot: Slot) {
        if let Some(old) = self.slot(slot.name) {
            *old = slot;
            return;
        }
        self.places.insert(slot.name, self.slots.len());
        self.slots.push(slot);
    }

    fn remove(&mut self, place: usize) -> Slot {
        let gone = self.slots.swap_remove(place);
        self.places.remove(&gone.name);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(moved.name, place);
        }
        gone
    }

    /// Takes these out; they go when the lock is free again.
    fn take(&mut self, mut is_gone: impl FnMut(&mut Slot) -> bool) -> Vec<Slot> {
        let gone: Vec<Slot> = self.slots.extract_if(.., |slot| is_gone(slot)).collect();
        if !gone.is_empty() {
            self.places.clear();
            let places = self.slots.iter().enumerate().map(|(place, slot)| (slot.name, place));
            self.places.extend(places);
        }
        gone
    }

    /// A piece that can make way for one that was read so many times: the one read least of a few,
    /// if that is less than half as often. One that is being sent would free nothing.
    fn victim(&mut self, count: u8) -> Option<usize> {
        let pieces = self.slots.len();
        let from = self.hand;
        let looked_at = (0..LOOKED_AT.min(pieces)).map(|at| (from + at) % pieces);
        let idle = looked_at.filter(|place| !self.slots[*place].is_being_sent());
        let least = idle.min_by_key(|place| self.readings.count(self.slots[*place].name.hash()))?;
        let makes_way = 2 * self.readings.count(self.slots[least].name.hash()) < count;
        if !makes_way {
            self.hand = (from + LOOKED_AT) % pieces;
        }
        makes_way.then_some(least)
    }
}

impl Slot {
    fn is_being_sent(&self) -> bool {
        match &self.part {
            Part::InFile(file, _) => Arc::strong_count(file) > 1,
            Part::Bytes(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
