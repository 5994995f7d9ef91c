//! Pieces that are kept: what they take, what they make way for, and when they go.

use tempfile::TempDir;

use super::*;
use crate::disk::Files;
use crate::tests::{KIB, MIB};

fn body(file: u64, number: u64, length: u64) -> Bytes {
    vec![(31 * file + number) as u8; length as usize].into()
}

/// Pieces of files, each with bytes of its own, and what keeps them.
struct Setup {
    kept: Kept,
    handle: Arc<Handle>,
    _directory: TempDir,
}

impl Setup {
    fn new(room: u64) -> Self {
        Self::with(MemoryFiles::new(Files::default()), room)
    }

    fn with(files: Arc<MemoryFiles>, room: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let handle = Files::default().create(&directory.path().join("file")).unwrap();
        let kept = Kept::new(room, files);
        kept.set_room(room);
        Self { kept, handle: Arc::new(handle), _directory: directory }
    }

    /// Reads a piece as a body in a file does. Returns it, and whether it was kept already.
    fn read(&self, file: u64, number: u64, length: u64) -> (Part, bool) {
        let name = PieceName { file, number };
        let bytes = body(file, number, length);
        let (part, was_kept) = match self.kept.ask(name, length) {
            Asked::Kept(part) => (part, true),
            Asked::Wanted => {
                let kept = self.kept.keep(name, bytes.clone(), &self.handle);
                (kept.unwrap_or(Part::Bytes(bytes.clone())), false)
            }
            Asked::Unknown => (Part::Bytes(bytes.clone()), false),
        };
        assert!(part.clone().into_bytes().unwrap() == bytes);
        (part, was_kept)
    }

    fn is_kept(&self, file: u64, number: u64) -> bool {
        lock(&self.kept.state).slot(PieceName { file, number }).is_some()
    }

    fn pieces(&self) -> usize {
        let state = lock(&self.kept.state);
        assert_eq!(state.slots.len(), state.places.len());
        assert!(state.slots.iter().enumerate().all(|(at, s)| state.places[&s.name] == at));
        state.slots.len()
    }
}

#[test]
fn what_is_read_again_is_kept_and_comes_from_a_file() {
    let setup = Setup::new(MIB);
    let was_kept = [1, 2, 3, 4].map(|_| setup.read(1, 7, PIECE).1);
    assert_eq!(was_kept, [false, false, true, true]);
    assert!(setup.read(1, 7, PIECE).0.worth_sending().is_some());
    assert_eq!(setup.kept.bytes(), weight(PIECE));
    // Too short for a file: from the heap.
    let was_kept = [1, 2, 3].map(|_| setup.read(1, 8, 10 * KIB).1);
    assert_eq!(was_kept, [false, false, true]);
    assert!(setup.read(1, 8, 10 * KIB).0.worth_sending().is_none());
    assert_eq!(setup.kept.bytes(), weight(PIECE) + weight(10 * KIB));
}

#[test]
fn they_keep_to_their_room_also_while_they_are_being_sent() {
    let setup = Setup::new(MIB);
    let mut sent = Vec::new();
    for round in 0..100 {
        for number in 0..20 {
            let number = number + round / 10;
            sent.push(setup.read(1, number, PIECE).0);
            assert!(setup.kept.bytes() <= MIB && setup.pieces() <= 3);
        }
        sent.drain(..sent.len().saturating_sub(30));
    }
    drop(sent);
    assert!(setup.kept.bytes() <= 3 * weight(PIECE) && setup.pieces() > 0);
}

#[test]
fn what_is_being_sent_does_not_make_way_since_that_would_free_nothing() {
    let setup = Setup::new(2 * weight(PIECE));
    let sent: Vec<_> = [1, 1, 2, 2].map(|number| setup.read(1, number, PIECE).0).into();
    (0..9).for_each(|_| drop(setup.read(1, 3, PIECE)));
    assert!(setup.is_kept(1, 1) && setup.is_kept(1, 2) && !setup.is_kept(1, 3));
    drop(sent);
    (0..2).for_each(|_| drop(setup.read(1, 3, PIECE)));
    assert!(setup.is_kept(1, 3));
}

#[test]
fn nothing_is_kept_without_room_and_it_says_how_much_would_help() {
    let setup = Setup::new(0);
    (0..9).for_each(|_| assert!(!setup.read(1, 1, PIECE).1));
    assert_eq!((setup.pieces(), setup.kept.wish()), (0, Wish::Less(0)));
    let setup = Setup::new(MIB);
    setup.kept.set_room(0);
    (0..3).for_each(|_| assert!(!setup.read(1, 1, PIECE).1));
    assert_eq!(setup.kept.wish(), Wish::More(2 * weight(PIECE)));
    assert_eq!(setup.kept.set_room(MIB), MIB);
    (0..3).for_each(|_| drop(setup.read(1, 1, PIECE)));
    assert_eq!(setup.kept.wish(), Wish::Less(MIB - weight(PIECE)));
    assert_eq!(setup.kept.set_room(0), weight(PIECE), "what is in use is not taken");
}

#[test]
fn a_scan_and_a_loop_too_large_for_the_room_leave_most_of_it_as_it_is() {
    let setup = Setup::new(10 * weight(PIECE));
    let hits = |file, numbers: std::ops::Range<u64>| {
        numbers.filter(|number| setup.read(file, *number, PIECE).1).count()
    };
    hits(1, 0..10);
    hits(1, 0..10);
    assert_eq!(hits(1, 0..10), 10);
    hits(2, 0..100);
    assert_eq!(hits(1, 0..10), 10, "a scan pushes nothing out");
    // Four times as much as there is room for, by several who are not at the same place.
    let setup = Setup::new(10 * weight(PIECE));
    let round = || {
        (0..40_u64)
            .flat_map(|at| [at, (at + 13) % 40, (at + 29) % 40])
            .filter(|number| setup.read(1, *number, PIECE).1)
            .count()
    };
    (0..5).for_each(|_| _ = round());
    let hits: Vec<_> = (0..20).map(|_| round()).collect();
    assert!(hits.iter().all(|hits| *hits >= 20), "of 30 that there can be: {hits:?}");
}

#[test]
fn what_is_wanted_today_takes_the_place_of_what_was_wanted_yesterday() {
    let setup = Setup::new(10 * weight(PIECE));
    (0..100).for_each(|at| drop(setup.read(1, at % 10, PIECE)));
    let mut rounds = 0;
    while !(0..10).all(|number| setup.is_kept(2, number)) {
        (0..10).for_each(|number| drop(setup.read(2, number, PIECE)));
        rounds += 1;
        assert!(rounds < 500, "it never comes in");
    }
}

#[test]
fn a_file_that_is_gone_takes_its_pieces_along() {
    let setup = Setup::new(4 * MIB);
    for _ in 0..2 {
        (0..8).for_each(|at| drop(setup.read(1 + at % 2, at, PIECE)));
    }
    assert_eq!(setup.pieces(), 8);
    let sent = setup.read(1, 0, PIECE).0;
    setup.kept.forget(1);
    assert_eq!((setup.pieces(), setup.kept.bytes()), (4, 5 * weight(PIECE)));
    assert!(sent.into_bytes().unwrap() == body(1, 0, PIECE));
    assert_eq!(setup.kept.bytes(), 4 * weight(PIECE));
    assert!(setup.read(2, 1, PIECE).1 && setup.read(2, 7, PIECE).1);
}

#[test]
fn what_nobody_reads_any_more_goes_after_a_while() {
    let setup = Setup::new(4 * MIB);
    for _ in 0..2 {
        (0..2).for_each(|number| drop(setup.read(1, number, PIECE)));
    }
    for _ in 0..IDLE {
        setup.kept.forget_idle();
        setup.read(1, 0, PIECE);
    }
    assert_eq!(setup.pieces(), 2);
    setup.kept.forget_idle();
    assert!(setup.is_kept(1, 0) && !setup.is_kept(1, 1));
}

#[test]
fn without_a_descriptor_a_piece_is_on_the_heap() {
    let setup = Setup::with(MemoryFiles::at_most(2, Files::default()), 4 * MIB);
    for _ in 0..2 {
        (0..6).for_each(|number| drop(setup.read(1, number, PIECE)));
    }
    let parts: Vec<_> = (0..6).map(|number| setup.read(1, number, PIECE).0).collect();
    let in_files = parts.iter().filter(|part| part.worth_sending().is_some()).count();
    assert_eq!((setup.pieces(), in_files), (6, 2));
    drop(parts);
    setup.kept.forget(1);
    assert_eq!(setup.kept.bytes(), 0);
}
