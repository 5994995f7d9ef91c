use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A connection that has been greeted.
fn begun(change: impl FnOnce(&mut Http2Limits)) -> (Meter, std::sync::Arc<Turns>) {
    let mut limits = Http2Limits::default();
    change(&mut limits);
    let (mut meter, turns) = (Meter::new(&limits), Turns::new());
    let greeting = [PREFACE, &frame(SETTINGS, 0, 0, &[0; 6])].concat();
    assert_eq!(meter.received(&greeting, 0, &turns), greeting.len());
    (meter, turns)
}

#[test]
fn frames_are_found_however_they_are_cut() {
    let script = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[0; 12]),
        frame(HEADERS, 0, 1, &[0; 300]),
        frame(CONTINUATION, END_HEADERS, 1, b""),
        frame(DATA, END_STREAM, 1, &[7; 20]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
        frame(RST_STREAM, 0, 1, &[0; 4]),
    ]
    .concat();
    for size in 1..script.len() {
        let (mut meter, turns) = (Meter::new(&Http2Limits::default()), Turns::new());
        for part in script.chunks(size) {
            assert!(meter.received(part, 5, &turns) <= part.len());
        }
        assert_eq!((meter.abuse(), meter.head_since()), (None, None), "{size}");
        assert_eq!((meter.resets.times.len(), meter.control.times.len()), (1, 2), "{size}");
        assert!(turns.take_at_once(1).is_some());
    }
}

#[test]
fn nothing_behind_a_frame_that_is_too_much_is_seen() {
    let ping = frame(6, 0, 0, &[0; 8]);
    let (mut meter, turns) = begun(|limits| limits.control_frames = 3);
    let bytes = ping.repeat(4);
    assert_eq!(meter.received(&bytes, 0, &turns), 2 * ping.len());
    assert_eq!(meter.abuse(), Some(Abuse::ControlFrames));
    assert_eq!(meter.received(&ping, 0, &turns), 0);
}

#[test]
fn what_was_long_ago_does_not_count() {
    let mut rate = Rate::new(3, Duration::from_secs(1));
    assert!([0, 10, 20].into_iter().all(|now| !rate.note(now)));
    assert!(rate.note(999));
    let mut rate = Rate::new(3, Duration::from_secs(1));
    assert!([0, 10, 20, 1000, 1010].into_iter().all(|now| !rate.note(now)));
    assert!(rate.note(1011));
}

#[test]
fn content_that_was_sent_pays_for_windows_that_open() {
    let update = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    let (mut meter, turns) = begun(|limits| limits.control_frames = 10);
    meter.sent(&frame(DATA, 0, 1, &[0; 256 * 5]), 0, &turns);
    for (count, paid_by_content) in [(5, true), (9, false)] {
        for _ in 0..count {
            meter.received(&update, 0, &turns);
        }
        assert_eq!(meter.control.times.len() == 1, paid_by_content);
        assert_eq!(meter.abuse(), None);
    }
    meter.received(&update, 0, &turns);
    assert_eq!(meter.abuse(), Some(Abuse::ControlFrames));
}

#[test]
fn resets_of_both_sides_are_one_sum() {
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let (mut meter, turns) = begun(|limits| limits.resets = 4);
    meter.sent(&frame(RST_STREAM, 0, 1, &[0; 4]).repeat(9), 0, &turns);
    meter.sent(&reset.repeat(2), 0, &turns);
    meter.received(&reset.repeat(2), 0, &turns);
    assert_eq!(meter.abuse(), None);
    meter.sent(&reset, 0, &turns);
    assert_eq!(meter.abuse(), Some(Abuse::Resets));
}

#[test]
fn an_open_header_block_is_known_until_it_is_whole() {
    let (mut meter, turns) = begun(|_| {});
    let head = frame(HEADERS, END_HEADERS, 1, &[0; 100]);
    meter.received(&head[..50], 7, &turns);
    assert_eq!(meter.head_since(), Some(7));
    meter.received(&head[50..], 8, &turns);
    assert_eq!(meter.head_since(), None);
    meter.received(&frame(HEADERS, 0, 3, &[0; 10]), 9, &turns);
    assert_eq!(meter.head_since(), Some(9));
    meter.received(&frame(CONTINUATION, END_HEADERS, 3, &[0; 10]), 10, &turns);
    assert_eq!(meter.head_since(), None);
}

#[test]
fn malformed_trailers_that_nobody_asks_for_end_the_connection_and_are_not_forgotten() {
    let (mut meter, turns) = begun(|limits| limits.streams = 3);
    let faults = meter.faults();
    let bad = |stream| {
        let frame = |block| frame(HEADERS, END_HEADERS, stream, block);
        [frame(&[0x82]), frame(&[0x81])].concat()
    };
    for stream in [1, 3, 5] {
        meter.received(&bad(stream), 0, &turns);
    }
    assert!(faults.take(3) && !faults.take(3) && !faults.take(7));
    meter.received(&bad(7), 0, &turns);
    assert_eq!(meter.abuse(), None);
    meter.received(&bad(9), 0, &turns);
    assert_eq!(meter.abuse(), Some(Abuse::Protocol(Reason::PROTOCOL_ERROR)));
    assert!([1, 5, 7].into_iter().all(|stream| faults.take(stream)));
}
