use super::*;
use crate::http2_frames::{HAS_PRIORITY, PADDED, PING};

const MOST: u32 = 200;
const FRAME: usize = LEAST_FRAME;
const BOUNDS: Bounds = Bounds { frame: FRAME, continuations: MOST };
/// `:method: GET`, `:path: /a`, `connection: close`, `te: trailers` in Huffman's code, and one of the
/// dynamic table.
const BLOCK: &[u8] =
    b"\x82\x04\x02/a\x40\x0aconnection\x05close\x00\x82\x49\x7f\x86\x4d\x83\x35\x05\xb1\
                       \x1f\xbe";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A block in these pieces, as the last of a stream.
fn pieces(stream: u32, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let (kind, first) = if at == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        let last = if at + 1 == pieces.len() { END_HEADERS } else { 0 };
        out.extend(frame(kind, first | last, stream, piece));
    }
    out
}

/// What the codec gets of bytes that come in parts of this size, and how much of it as it came.
fn through(bounds: Bounds, bytes: &[u8], size: usize) -> Result<(Vec<u8>, usize), Fault> {
    let (mut frames, mut joiner) = (Frames::default(), Joiner::new(bounds));
    let (mut out, mut untouched) = (Vec::new(), 0);
    for part in bytes.chunks(size) {
        joiner.begin(&frames);
        let mut at = 0;
        while at < part.len() {
            let step = frames.step(&part[at..]);
            joiner.take(at, &frames, &step)?;
            at += step.taken;
        }
        let count = joiner.untouched(at, &frames);
        out.extend(&part[..count]);
        untouched += count;
        let mut room = [0; 100];
        let mut buf = ReadBuf::new(&mut room);
        while joiner.hand_over(&mut buf) {
            out.extend(buf.filled());
            buf.clear();
        }
    }
    assert_eq!(joiner.ready.capacity(), 0, "nothing is kept");
    Ok((out, untouched))
}

fn joined(bytes: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    through(BOUNDS, bytes, size).map(|(out, _)| out)
}

#[test]
fn what_is_not_cut_is_left_as_it_is() {
    let bytes = [
        pieces(1, &[BLOCK]),
        frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 3, b"\x02\0\0\0\x01\x05\x82\0\0"),
        frame(DATA, 0, 1, &[7; 300]),
        frame(PING, 0, 0, &[0; 8]),
        // What belongs to nothing is the codec's to refuse.
        frame(CONTINUATION, END_HEADERS, 1, BLOCK),
    ]
    .concat();
    for size in 1..=bytes.len() {
        assert_eq!(joined(&bytes, size).as_deref(), Ok(&bytes[..]), "{size}");
    }
    assert_eq!(through(BOUNDS, &bytes, bytes.len()), Ok((bytes.clone(), bytes.len())));
    // No more than the head of one frame waits for the rest of it.
    let (begun, rest) = bytes.split_at(9 + BLOCK.len() + 4);
    let mut joiner = Joiner::new(BOUNDS);
    let mut frames = Frames::default();
    let mut at = 0;
    while at < begun.len() {
        let step = frames.step(&begun[at..]);
        joiner.take(at, &frames, &step).unwrap();
        at += step.taken;
    }
    assert_eq!(joiner.untouched(at, &frames), begun.len() - 4);
    assert!(!rest.is_empty());
}

#[test]
fn a_block_is_the_same_wherever_it_is_cut() {
    let before = frame(DATA, 0, 1, b"before");
    let behind = [frame(PING, 0, 0, &[0; 8]), pieces(5, &[b"\x82"])].concat();
    let around = |block: Vec<u8>| [&before[..], &block, &behind].concat();
    let whole = around(pieces(3, &[BLOCK]));
    for first in 0..=BLOCK.len() {
        for second in first..=BLOCK.len() {
            let three = [&BLOCK[..first], &BLOCK[first..second], &BLOCK[second..]];
            let bytes = around(pieces(3, &three));
            for size in [1, 2, 11, bytes.len()] {
                assert_eq!(
                    joined(&bytes, size).as_deref(),
                    Ok(&whole[..]),
                    "{first} {second} {size}"
                );
            }
        }
        let two = around(pieces(3, &[&BLOCK[..first], &BLOCK[first..]]));
        assert_eq!(joined(&two, 5).as_deref(), Ok(&whole[..]), "{first}");
    }
    let each: Vec<&[u8]> = BLOCK.chunks(1).collect();
    let each = around(pieces(3, &each));
    for size in 1..=each.len() {
        assert_eq!(joined(&each, size).as_deref(), Ok(&whole[..]), "{size}");
    }
}

#[test]
fn what_is_around_a_block_goes_and_what_its_frame_says_of_the_stream_stays() {
    let (first, second) = BLOCK.split_at(7);
    let padded = [b"\x03", first, b"\x81\x81\x81"].concat();
    let prior = [b"\0\0\0\x07\x10", first].concat();
    let both = [b"\x02\0\0\0\x07\x10", first, b"\x81\x81"].concat();
    for (flags, payload) in [
        (PADDED, padded),
        (HAS_PRIORITY, prior),
        (PADDED | HAS_PRIORITY, both),
        (0, first.to_vec()),
    ] {
        for ends in [0, END_STREAM] {
            let cut = frame(HEADERS, flags | ends, 9, &payload);
            let bytes = [cut, frame(CONTINUATION, END_HEADERS, 9, second)].concat();
            let whole = frame(HEADERS, END_HEADERS | ends, 9, BLOCK);
            for size in 1..=bytes.len() {
                assert_eq!(joined(&bytes, size).as_deref(), Ok(&whole[..]), "{flags} {size}");
            }
        }
    }
}

#[test]
fn what_is_wrong_with_frames_ends_the_connection() {
    let begun = frame(HEADERS, 0, 1, b"\x82");
    let next = |kind, stream| frame(kind, END_HEADERS, stream, b"\x84");
    let large = vec![0; FRAME + 1];
    let wrong = Err(Fault::Frame(Reason::PROTOCOL_ERROR));
    let size = Err(Fault::Frame(Reason::FRAME_SIZE_ERROR));
    for (frames, expected) in [
        (vec![begun.clone(), next(HEADERS, 1)], wrong.clone()),
        (vec![begun.clone(), next(HEADERS, 3)], wrong.clone()),
        (vec![begun.clone(), next(CONTINUATION, 3)], wrong.clone()),
        (vec![next(PUSH_PROMISE, 1)], wrong.clone()),
        (vec![begun.clone(), next(CONTINUATION, 0)], wrong.clone()),
        (vec![begun.clone(), frame(DATA, 0, 1, b"")], wrong.clone()),
        (vec![begun.clone(), frame(PING, 0, 0, &[0; 8])], wrong.clone()),
        (vec![begun.clone(), frame(0xbe, 0, 0, b"")], wrong.clone()),
        // No room for what the flags say.
        (vec![frame(HEADERS, PADDED, 1, b"")], wrong.clone()),
        (vec![frame(HEADERS, PADDED, 1, b"\x01")], wrong.clone()),
        (vec![frame(HEADERS, HAS_PRIORITY, 1, b"\0\0\0\0")], wrong),
        (vec![begun.clone(), frame(CONTINUATION, 0, 1, &large)], size),
        (
            std::iter::once(begun)
                .chain((0..=MOST).map(|_| frame(CONTINUATION, 0, 1, b"")))
                .collect(),
            Err(Fault::Continuations),
        ),
    ] {
        assert_eq!(joined(&frames.concat(), 7), expected, "{:?}", &frames[..frames.len().min(2)]);
    }
    // A first frame that is too large the codec refuses by its head.
    let bytes = frame(HEADERS, 0, 1, &large);
    assert_eq!(joined(&bytes, 1000), Ok(bytes));
}

#[test]
fn of_empty_frames_the_codec_gets_some() {
    let empty = frame(DATA, 0, 1, b"");
    let rest = [
        frame(DATA, END_STREAM, 1, b""),
        frame(DATA, PADDED, 3, b"\x00"),
        frame(DATA, 0, 5, b"x"),
        pieces(7, &[&BLOCK[..5], &BLOCK[5..]]),
    ]
    .concat();
    for count in [0, 1, EMPTY as usize, EMPTY as usize + 1, 200] {
        let bytes = [&*empty.repeat(count), &rest, &empty, &rest].concat();
        let most = count.min(EMPTY as usize);
        let whole = [&rest[..rest.len() - BLOCK.len() - 18], &pieces(7, &[BLOCK])].concat();
        let last = if most < EMPTY as usize { &empty[..] } else { b"" };
        let expected = [&*empty.repeat(most), &whole, last, &whole].concat();
        for size in [1, 2, 7, 100, bytes.len()] {
            assert_eq!(joined(&bytes, size).as_deref(), Ok(&expected[..]), "{count} {size}");
        }
    }
}

/// Fields with values of these lengths, and where they end.
fn fields(lengths: &[usize]) -> (Vec<u8>, Vec<usize>) {
    let (mut block, mut ends) = (Vec::new(), Vec::new());
    for (at, length) in lengths.iter().enumerate() {
        block.extend([0x10, 2, b'x', b'a' + (at % 26) as u8, 0x7f]);
        let mut left = length - 127;
        while left >= 128 {
            block.push(left as u8 | 128);
            left /= 128;
        }
        block.push(left as u8);
        block.extend(vec![at as u8; *length]);
        ends.push(block.len());
    }
    (block, ends)
}

/// The payloads of frames of one block, one behind the other.
fn payloads(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    while let Some(([a, b, c, kind, flags, ..], rest)) = bytes.split_first_chunk::<9>() {
        let (payload, rest) = rest.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
        assert_eq!((*kind == HEADERS, *kind == CONTINUATION), (out.is_empty(), !out.is_empty()));
        assert_eq!(flags & END_STREAM != 0, out.is_empty());
        assert_eq!(flags & END_HEADERS != 0, rest.is_empty());
        out.push(payload);
        bytes = rest;
    }
    out
}

/// No frame ends within a field that has another in front of it in the same frame.
fn check(lengths: &[usize], cut: usize, size: usize) {
    let (block, ends) = fields(lengths);
    let parts: Vec<&[u8]> = block.chunks(cut).collect();
    let out = joined(&pieces(1, &parts), size).unwrap();
    let out = payloads(&out);
    assert_eq!(out.concat(), block, "{lengths:?}");
    let mut begin = 0;
    for payload in &out {
        let end = begin + payload.len();
        assert!(payload.len() <= FRAME);
        let has_field = ends.iter().any(|at| (begin + 1..end).contains(at));
        assert!(ends.contains(&end) || !has_field, "{lengths:?}: {begin} to {end}");
        begin = end;
    }
    assert_eq!(out.len() == 1, block.len() <= FRAME);
}

#[test]
fn a_block_that_is_too_large_for_a_frame_is_cut_between_fields() {
    for lengths in [
        &[200, FRAME, 200][..],
        &[200, 3 * FRAME, 200, 3 * FRAME],
        &[9000; 8],
        &[FRAME - 7],
        &[FRAME - 8],
        &[FRAME - 6],
        &[3 * FRAME],
        &[200; 300],
    ] {
        for cut in [900, 1000, 12_345, FRAME] {
            for size in [500, 4096, 1 << 20] {
                check(lengths, cut, size);
            }
        }
    }
    // Fields of which nobody can tell where they end.
    let block = [b"\x00\x00".to_vec(), vec![0; 2 * FRAME]].concat();
    let parts: Vec<&[u8]> = block.chunks(FRAME).collect();
    assert_eq!(joined(&pieces(1, &parts), 5000), Err(Fault::Frame(Reason::PROTOCOL_ERROR)));
}

/// So many CONTINUATION frames in front of the last one the codec bears.
fn borne(list: usize, bounds: Bounds) -> usize {
    let frames = (list + 1) / bounds.frame;
    (frames + frames / 4).max(5)
}

#[test]
fn what_a_header_list_needs_is_borne() {
    let kib = |count: usize| count << 10;
    for (list, frame, continuations) in [
        (kib(4), kib(16), 5),
        (kib(32), kib(16), 5),
        (kib(64), kib(16), 5),
        (kib(80), kib(20), 6),
        (kib(256), kib(64), 20),
        (usize::MAX, (1 << 24) - 1, u32::MAX),
    ] {
        assert_eq!(Bounds::new(list, 5), Bounds { frame, continuations });
    }
    for list in (kib(16)..=kib(256)).step_by(kib(16)) {
        let bounds = Bounds::new(list, 5);
        for length in (200..kib(17)).step_by(331).chain([bounds.frame / 2, bounds.frame]) {
            // Alike, and with small ones between them.
            for between in [length, 200] {
                let pair = length + between + 2 * 35;
                let mut lengths = [length, between].repeat(list / pair);
                lengths.extend((list % pair).checked_sub(200 + 35).map(|left| left + 200));
                let (block, _) = fields(&lengths);
                let parts: Vec<_> = block.chunks(LEAST_FRAME).collect();
                let (out, _) = through(bounds, &pieces(1, &parts), 4096).unwrap();
                let count = payloads(&out).len();
                assert!(count <= borne(list, bounds) + 2, "{list} {length} {between}: {count}");
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    #[test]
    fn so_is_any(
        lengths in proptest::collection::vec(127_usize..20_000, 1..12),
        cut in 1100..FRAME,
        size in 100_usize..40_000,
    ) {
        check(&lengths, cut, size);
    }
}
