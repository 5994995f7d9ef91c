//! Whatever frames a client sends by HTTP/2, its origin sees each of its requests once and as it is,
//! or cut where one can see it, and the proxy goes on: a whole connection, through the real proxy.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod harness;

use harness::script::Op;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// What a client may do.
fn right() -> impl Strategy<Value = Op> {
    let head = (any::<u8>(), any::<bool>(), 0_u8..6);
    prop_oneof![
        4 => head.prop_map(|(method, ends, cuts)| {
            Op::Head { method, announced: None, ends, cuts, trick: None }
        }),
        1 => (any::<u8>(), 0_u8..6).prop_map(|(method, cuts)| {
            Op::Head { method, announced: Some(0), ends: true, cuts, trick: None }
        }),
        1 => Just(Op::Ping),
        1 => (10_u16..99, any::<u32>()).prop_map(|(number, value)| Op::Settings(number, value)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(of, value)| Op::Priority { of, value }),
        1 => (option::of(any::<u8>()), 1_u32..1000).prop_map(|(of, by)| Op::Window { of, by }),
    ]
}

/// How a request with content ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Data,
    Trailers,
    Reset,
}

/// A request with content, piece by piece.
fn with_content() -> impl Strategy<Value = Vec<Op>> {
    let piece = (0_u16..900, option::of(any::<u8>()));
    let end = prop::sample::select(vec![End::Data, End::Data, End::Trailers, End::Reset]);
    (any::<u8>(), vec(piece, 0..6), any::<bool>(), end).prop_map(
        |(method, pieces, is_announced, end)| {
            let length = pieces.iter().map(|(length, _)| length).sum();
            let announced = is_announced.then_some(length);
            let mut ops = vec![Op::Head { method, announced, ends: false, cuts: 0, trick: None }];
            ops.extend(pieces.into_iter().map(|(length, padding)| Op::Data {
                of: 0,
                length,
                padding,
                ends: false,
            }));
            ops.push(match end {
                End::Data => Op::Data { of: 0, length: 0, padding: None, ends: true },
                End::Trailers => Op::Trailers { of: 0, trick: None },
                End::Reset => Op::Reset { of: 0, code: 8 },
            });
            ops
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn requests_that_are_right_arrive_as_they_are(
        cut: u8,
        parts in vec(prop_oneof![vec(right(), 1..6), with_content()], 1..6),
    ) {
        prop_assert!(harness::run(&parts.concat(), cut));
    }

    #[test]
    fn no_frame_makes_two_requests_of_one(bytes in vec(any::<u8>(), 0..600)) {
        harness::streams(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn who_does_too_much_is_not_served_any_more(
        ops in vec(prop_oneof![right(), Just(Op::Ping)], 200..400),
        cut: u8,
    ) {
        harness::run(&ops, cut);
    }
}
