//! Room: what is set aside, and what goes to make some.

use super::super::hot::Hot;
use super::super::io::FileId;
use super::super::place::Place;
use super::super::segment::{Kind, Listed, short};
use super::super::table::Packed;
use super::{Gone, Index, Oldest};

/// How many hot files go round once more before room is made at any price.
const CHANCES: u32 = 64;

impl<M> Index<M> {
    /// What becomes of a record whose segment goes: true if it is worth a copy. One that is not is
    /// forgotten.
    pub(crate) fn keeps(
        &mut self,
        key: u64,
        sequence: u64,
        at: Place,
        may_keep: bool,
        hot: &Hot,
    ) -> bool {
        let Some(packed) =
            self.table.find(key, sequence).filter(|packed| packed.is_at(at)).copied()
        else {
            return false;
        };
        if hot.take(key) && may_keep {
            return true;
        }
        self.drop_slot(&packed, Gone::ByItself);
        self.evictions += 1;
        false
    }

    /// The entry in a later segment that may have its body in a record of the segment that goes.
    pub(crate) fn freshened(&self, going: u32, body: &Listed) -> Option<(Place, u64)> {
        let may_have = |other: &Packed| {
            let is_later = other.sequence > body.sequence && other.segment > going;
            other.variant == body.variant && is_later && other.place().may_have(body.length)
        };
        if body.kind != Kind::Entry {
            return None;
        }
        let found = self.table.of_key(body.key).into_iter().find(may_have)?;
        Some((found.place(), found.sequence))
    }

    /// Forgets all that is in a segment, wherever it is in there.
    pub(crate) fn forget_segment(&mut self, number: u32) {
        let inside: Vec<Packed> =
            self.table.iter().filter(|packed| packed.segment == number).copied().collect();
        for packed in inside {
            self.drop_slot(&packed, Gone::ByItself);
            self.evictions += 1;
        }
    }

    /// Sets room aside for a file under way. False if there is none.
    pub(crate) fn reserve(&mut self, bytes: u64, hot: &Hot) -> bool {
        let room = self.make_room(bytes, hot);
        if room {
            self.reserved += bytes;
        }
        room
    }

    pub(crate) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Sets room aside for a segment, if it is there.
    pub(crate) fn take_segment(&mut self, bytes: u64) -> bool {
        let room = self.taken() + bytes <= self.capacity;
        if room {
            self.segments += bytes;
        }
        room
    }

    /// True if the room for the next segment is not there. Without segments none is kept free.
    pub(crate) fn is_tight(&self) -> bool {
        self.segments > 0 && self.taken() + self.spare > self.capacity
    }

    /// The new size of a file whose tail was replaced.
    pub(crate) fn resize(&mut self, id: &FileId, size: u64) {
        let Some(file) = self.beside(id).and_then(|beside| beside.file.as_mut()) else { return };
        let before = std::mem::replace(file, size);
        self.files = self.files - before + size;
    }

    /// A file has become larger by about so many bytes.
    pub(crate) fn enlarge(&mut self, id: &FileId, bytes: u64) {
        if let Some(file) = self.beside(id).and_then(|beside| beside.file) {
            self.resize(id, file + bytes);
        }
    }

    /// What was stored first, if the oldest segment is that.
    pub(crate) fn oldest(&mut self, segment: Option<(u32, u64)>) -> Oldest {
        if self.kills.is_some() {
            return Oldest::Nothing;
        }
        while let Some((_, id)) = self.order.front()
            && !self.beside.contains_key(&id.sequence)
        {
            self.order.pop_front();
        }
        match (self.order.front(), segment) {
            (None, None) => Oldest::Nothing,
            (None, Some((number, _))) => Oldest::Segment(number),
            (Some((turn, _)), Some((number, born))) if born < *turn => Oldest::Segment(number),
            (Some(_), _) => Oldest::File,
        }
    }

    /// Forgets the file that was stored first, or gives it a new turn if it is hot. False if there
    /// is none.
    pub(crate) fn evict_file(&mut self, chances: &mut u32, hot: &Hot) -> bool {
        let Some((_, id)) = self.order.pop_front() else { return false };
        let Some(packed) = self.table.find(short(&id.key), id.sequence).copied() else {
            return true;
        };
        if *chances > 0 && hot.take(packed.key) {
            *chances -= 1;
            let turn = self.order.back().map_or(id.sequence, |(turn, _)| *turn);
            self.order.push_back((turn, id));
        } else {
            self.drop_slot(&packed, Gone::ByItself);
            self.evictions += 1;
        }
        true
    }

    /// Makes room for a file. What stands in segments goes too, but the writer needs time for that;
    /// until then files make room, and the room of the next segment is used.
    pub(super) fn make_room(&mut self, bytes: u64, hot: &Hot) -> bool {
        if bytes == 0 {
            return true;
        }
        if self.reserved.saturating_add(bytes) > self.capacity {
            return false;
        }
        let mut chances = CHANCES;
        while self.taken() + bytes > self.capacity {
            if self.kills.is_some() || !self.evict_file(&mut chances, hot) {
                self.trim();
                return false;
            }
        }
        if self.segments > 0 && self.taken() + bytes + self.spare > self.capacity {
            self.trim();
        }
        true
    }

    /// Drops what is left behind of what is gone before it outnumbers the rest.
    pub(super) fn tidy(&mut self) {
        if self.order.len() > 2 * self.beside.len() + 1024 {
            let order = std::mem::take(&mut self.order);
            let beside = &self.beside;
            self.order =
                order.into_iter().filter(|(_, id)| beside.contains_key(&id.sequence)).collect();
        }
        if self.beside.capacity() > 4 * self.beside.len() + 1024 {
            self.beside.shrink_to(2 * self.beside.len());
        }
    }
}
