//! The types of frames: RFC 9113 §6.

use super::*;

/// §6.1 to §6.4, and §6.6.
pub(super) fn about_streams() -> Vec<Case> {
    let broken: &[Fate] = &[Connection(PROTOCOL)];
    let small: &[Fate] = &[Connection(FRAME_SIZE)];
    let whole = flag::END_HEADERS | flag::END_STREAM;
    vec![
        Case("§6.1 DATA on 0", Idle, vec![frame(kind::DATA, 0, 0, "x")], broken),
        Case("§6.1 padding too long", Open, vec![frame(kind::DATA, PADDED, 1, "\x05abcd")], broken),
        Case(
            "§6.1 padding missing",
            Open,
            vec![frame(kind::DATA, PADDED, 1, "")],
            STREAM_SIZE_OR_PROTOCOL,
        ),
        Case("§6.1 padding", Open, vec![frame(kind::DATA, PADDED, 1, "\x03x\0\0\0")], &[Nothing]),
        Case(
            "§6.2 HEADERS on 0",
            Idle,
            vec![frame(kind::HEADERS, whole, 0, testkit::frames::block(&GET))],
            broken,
        ),
        Case(
            "§6.2 padding too long",
            Idle,
            vec![frame(
                kind::HEADERS,
                whole | PADDED,
                1,
                [&[200], &testkit::frames::block(&GET)[..60]].concat(),
            )],
            broken,
        ),
        Case(
            "§6.3 PRIORITY on 0",
            Idle,
            vec![frame(kind::PRIORITY, 0, 0, [0, 0, 0, 0, 1])],
            broken,
        ),
        Case("§6.3 length", Open, vec![frame(kind::PRIORITY, 0, 1, [0; 4])], STREAM_SIZE),
        Case(
            "§6.4 RST_STREAM on 0",
            Idle,
            vec![frame(kind::RST_STREAM, 0, 0, [0, 0, 0, 8])],
            broken,
        ),
        Case("§6.4 length", Open, vec![frame(kind::RST_STREAM, 0, 1, [0; 3])], small),
        Case("§6.4 unknown code", Open, vec![frame(kind::RST_STREAM, 0, 1, [0xff; 4])], &[Nothing]),
        Case(
            "§6.6 PUSH_PROMISE by a client",
            Open,
            vec![frame(
                PUSH_PROMISE,
                flag::END_HEADERS,
                1,
                [&[0, 0, 0, 2], &testkit::frames::block(&GET)[..]].concat(),
            )],
            broken,
        ),
        Case(
            "§6.6 PUSH_PROMISE of a malformed request",
            Open,
            vec![frame(
                PUSH_PROMISE,
                flag::END_HEADERS,
                1,
                [&[0, 0, 0, 2], &testkit::frames::block(&[("connection", "close")])[..]].concat(),
            )],
            broken,
        ),
    ]
}

const STREAM_SIZE_OR_PROTOCOL: &[Fate] =
    &[Stream(FRAME_SIZE), Connection(FRAME_SIZE), Connection(PROTOCOL)];

/// §6.5, and §6.7 to §6.10.
pub(super) fn about_connections() -> Vec<Case> {
    let broken: &[Fate] = &[Connection(PROTOCOL)];
    let small: &[Fate] = &[Connection(FRAME_SIZE)];
    let flow: &[Fate] = &[Connection(FLOW_CONTROL)];
    vec![
        Case(
            "§6.5 ACK with payload",
            Idle,
            vec![frame(kind::SETTINGS, flag::ACK, 0, [0; 6])],
            small,
        ),
        Case("§6.5 on a stream", Open, vec![frame(kind::SETTINGS, 0, 1, "")], broken),
        Case("§6.5 length", Idle, vec![frame(kind::SETTINGS, 0, 0, [0; 7])], small),
        Case("§6.5.2 ENABLE_PUSH", Idle, vec![setting(2, 2)], broken),
        Case("§6.5.2 INITIAL_WINDOW_SIZE", Idle, vec![setting(4, MOST + 1)], flow),
        Case("§6.5.2 MAX_FRAME_SIZE", Idle, vec![setting(5, (16 << 10) - 1)], broken),
        Case("§6.5.2 MAX_FRAME_SIZE", Idle, vec![setting(5, 1 << 24)], broken),
        Case("§6.5.2 MAX_FRAME_SIZE", Idle, vec![setting(5, (1 << 24) - 1)], &[Nothing]),
        Case("§6.5.2 unknown", Idle, vec![setting(0xfafa, 7)], &[Nothing]),
        Case("§6.7 PING on a stream", Open, vec![frame(kind::PING, 0, 1, [0; 8])], broken),
        Case("§6.7 length", Idle, vec![frame(kind::PING, 0, 0, [0; 7])], small),
        Case(
            "§6.7 ACK of nothing",
            Idle,
            vec![frame(kind::PING, flag::ACK, 0, [0; 8])],
            &[Nothing],
        ),
        Case("§6.8 GOAWAY on a stream", Open, vec![frame(kind::GOAWAY, 0, 1, [0; 8])], broken),
        Case("§6.9 of 0 for the connection", Idle, vec![window(0, 0)], broken),
        Case("§6.9 of 0 for a stream", Open, vec![window(1, 0)], STREAM_PROTOCOL),
        Case("§6.9 length", Idle, vec![frame(kind::WINDOW_UPDATE, 0, 0, [0; 3])], small),
        Case(
            "§6.9.1 too large for the connection",
            Idle,
            vec![window(0, MOST), window(0, 1)],
            flow,
        ),
        Case("§6.9.1 too large for a stream", HalfClosed, vec![window(1, MOST)], STREAM_FLOW),
        Case(
            "§6.9.2 too large by a setting",
            HalfClosed,
            vec![window(1, MOST - 65_535), setting(4, 65_536)],
            flow,
        ),
        Case(
            "§6.9.2 smaller by a setting",
            HalfClosed,
            vec![setting(4, 0), setting(4, MOST)],
            &[Nothing],
        ),
        Case("§6.10 on 0", Idle, vec![begun(1), continued(flag::END_HEADERS, 0)], broken),
        Case(
            "§6.10 of another stream",
            Idle,
            vec![begun(1), continued(flag::END_HEADERS, 3)],
            broken,
        ),
        Case("§6.10 behind the end", Idle, vec![get(1), continued(flag::END_HEADERS, 1)], broken),
        Case(
            "§6.10 in order",
            Idle,
            vec![begun(1), continued(0, 1), frame(kind::CONTINUATION, flag::END_HEADERS, 1, "")],
            &[Nothing],
        ),
        Case(
            "§6.10 a block that goes on, then content",
            Idle,
            vec![begun(1), frame(kind::DATA, 0, 1, "x")],
            broken,
        ),
    ]
}
