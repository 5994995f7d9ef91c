//! Frames as such, and the states of streams: RFC 9113 §4 and §5.

use super::*;

/// §4: frames as such.
pub(super) fn format() -> Vec<Case> {
    let large = vec![0; (16 << 10) + 1];
    vec![
        Case("§4.1 unknown type", Idle, vec![frame(UNKNOWN, 0xff, 0, "x")], &[Nothing]),
        Case("§4.1 unknown type", Open, vec![frame(UNKNOWN, 0xff, 1, "x")], &[Nothing]),
        Case(
            "§4.1 unknown flags",
            Idle,
            vec![frame(kind::PING, 0xfe, 0, *b"12345678")],
            &[Nothing],
        ),
        Case(
            "§4.1 reserved bit",
            Idle,
            vec![frame(kind::PING, 0, 1 << 31, *b"12345678")],
            &[Nothing],
        ),
        Case("§4.2 DATA too large", Open, vec![frame(kind::DATA, 0, 1, &large[..])], STREAM_SIZE),
        Case(
            "§4.2 HEADERS too large",
            Idle,
            vec![frame(kind::HEADERS, flag::END_HEADERS, 1, &large[..])],
            &[Connection(FRAME_SIZE)],
        ),
        Case(
            "§4.2 SETTINGS too large",
            Idle,
            vec![frame(kind::SETTINGS, 0, 0, vec![0; 6 * 2731])],
            &[Connection(FRAME_SIZE)],
        ),
        Case(
            "§4.3 PRIORITY within a block",
            Idle,
            vec![begun(1), frame(kind::PRIORITY, 0, 1, [0, 0, 0, 0, 1])],
            &[Connection(PROTOCOL)],
        ),
        Case(
            "§4.3 another head within a block",
            Idle,
            vec![begun(1), get(3)],
            &[Connection(PROTOCOL)],
        ),
        Case(
            "§5.5 unknown type within a block",
            Idle,
            vec![begun(1), frame(UNKNOWN, 0, 1, "x")],
            &[Connection(PROTOCOL)],
        ),
    ]
}

/// §5: streams and their states.
pub(super) fn streams() -> Vec<Case> {
    let data = || frame(kind::DATA, 0, 1, "x");
    let reset = || frame(kind::RST_STREAM, 0, 1, [0, 0, 0, 8]);
    let priority = || frame(kind::PRIORITY, 0, 1, [0, 0, 0, 0, 1]);
    let continuation = || continued(flag::END_HEADERS, 1);
    let broken: &[Fate] = &[Connection(PROTOCOL)];
    vec![
        Case("§5.1 idle: DATA", Idle, vec![data()], broken),
        Case("§5.1 idle: RST_STREAM", Idle, vec![reset()], broken),
        Case("§5.1 idle: WINDOW_UPDATE", Idle, vec![window(1, 1)], broken),
        Case("§5.1 idle: CONTINUATION", Idle, vec![continuation()], broken),
        Case("§5.1 idle: PRIORITY", Idle, vec![priority()], &[Nothing]),
        Case("§5.1 half-closed: DATA", HalfClosed, vec![data()], CLOSED),
        Case("§5.1 half-closed: HEADERS", HalfClosed, vec![get(1)], CLOSED),
        Case("§5.1 half-closed: WINDOW_UPDATE", HalfClosed, vec![window(1, 1)], &[Nothing]),
        Case("§5.1 half-closed: PRIORITY", HalfClosed, vec![priority()], &[Nothing]),
        Case("§5.1 half-closed: RST_STREAM", HalfClosed, vec![reset()], &[Nothing]),
        Case("§5.1 reset: DATA", Reset, vec![data()], CLOSED),
        Case("§5.1 reset: HEADERS", Reset, vec![get(1)], CLOSED),
        Case("§5.1 reset: PRIORITY", Reset, vec![priority()], &[Nothing]),
        Case("§5.1 closed: DATA", Closed, vec![data()], CLOSED),
        Case(
            "§5.1 closed: HEADERS",
            Closed,
            vec![get(1)],
            // §5.1.1 forbids it as well: its number is not a new one.
            CLOSED,
        ),
        Case("§5.1 closed: WINDOW_UPDATE", Closed, vec![window(1, 1)], &[Nothing]),
        Case("§5.1 closed: PRIORITY", Closed, vec![priority()], &[Nothing]),
        Case("§5.1.1 even number", Idle, vec![get(2)], broken),
        Case("§5.1.1 smaller number", Idle, vec![get(5), get(3)], broken),
        Case(
            "§5.3.1 a stream that depends on itself",
            Idle,
            // RFC 7540 had it a stream error; RFC 9113 does not speak of it.
            vec![frame(kind::PRIORITY, 0, 1, [0, 0, 0, 1, 1])],
            &[Stream(PROTOCOL), Connection(PROTOCOL), Nothing],
        ),
        Case(
            "§5.3.1 a head that depends on itself",
            Idle,
            vec![frame(
                kind::HEADERS,
                flag::END_HEADERS | flag::END_STREAM | PRIORITY,
                1,
                [&[0, 0, 0, 1, 1], &testkit::frames::block(&GET)[..]].concat(),
            )],
            // §4.3: the codec does not decompress its block.
            &[Connection(COMPRESSION)],
        ),
    ]
}
