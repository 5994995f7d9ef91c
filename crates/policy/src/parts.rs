//! Combining parts of a representation (RFC 9111 §3.3, §3.4, RFC 9110 §15.3.7.3).

use smallvec::SmallVec;

use crate::fields::Fields;
use crate::partial::drop_content_digests;
use crate::range::{Part, Span};
use crate::rules::Rules;
use crate::strong::strong_validator;
use crate::validate::freshen;

/// Some wanted bytes, and which of the parts at hand has them; `None` if none has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The bytes.
    pub span: Span,
    /// The number of the part.
    pub part: Option<usize>,
}

/// Wanted bytes in order, without gaps.
pub type Runs = SmallVec<[Run; 4]>;

/// Do two partial responses bring parts of one representation, which may be combined?
pub fn same_representation(one: &Fields, other: &Fields) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.3
    //# These ranges can only be safely combined if they all have in common the same strong validator
    //# (Section 8.8.1).
    strong_validator(one).is_some_and(|ours| strong_validator(other) == Some(ours))
}

/// Is there nothing that tells parts of two responses apart, and nothing that lets them be combined?
pub fn maybe_same_representation(one: (&Fields, u64), other: (&Fields, u64)) -> bool {
    let is_strong = |fields| strong_validator(fields).is_some();
    one.1 == other.1 && !is_strong(one.0) && !is_strong(other.0)
}

/// Makes up the wanted bytes from the parts at hand, from as few as possible.
pub fn cover(wanted: Span, held: &[Span]) -> Runs {
    let mut runs = Runs::new();
    let mut at = wanted.first();
    while let Some(rest) = Span::new(at, wanted.last()) {
        let run = next_run(rest, held);
        runs.push(run);
        match run.span.last().checked_add(1) {
            Some(next) => at = next,
            None => break,
        }
    }
    runs
}

fn next_run(rest: Span, held: &[Span]) -> Run {
    let has_first = |span: &Span| span.first() <= rest.first() && rest.first() <= span.last();
    let furthest =
        held.iter().enumerate().filter(|(_, span)| has_first(span)).max_by_key(|(_, s)| s.last());
    let (last, part) = if let Some((number, span)) = furthest {
        (span.last().min(rest.last()), Some(number))
    } else {
        let next = held.iter().map(|span| span.first()).filter(|first| *first > rest.first());
        (next.min().map_or(rest.last(), |next| rest.last().min(next - 1)), None)
    };
    Run { span: Span::new(rest.first(), last).unwrap_or(rest), part }
}

/// The Range that asks for these bytes of a representation of that length.
pub fn missing_range(missing: Part) -> String {
    let span = missing.span();
    if missing.is_last() {
        return format!("bytes={}-", span.first());
    }
    format!("bytes={}-{}", span.first(), span.last())
}

/// The fields of a new part that was combined with stored parts of the same representation: those
/// of the stored ones, updated. The new Content-Range stays.
pub fn combined_fields(stored: &Fields, new: &Fields, rules: &Rules) -> Fields {
    let mut fields = stored.clone();
    fields.remove("Content-Range");
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.4
    //# When combining the new response with one or more stored responses, a cache MUST update the
    //# stored response header fields using the header fields provided in the new response, as per
    //# Section 3.2.
    freshen(&mut fields, new, rules);
    drop_content_digests(&mut fields);
    for range in new.all("Content-Range") {
        fields.push(b"Content-Range", range);
    }
    fields
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::fields;

    fn span(first: u64, last: u64) -> Span {
        Span::new(first, last).unwrap()
    }

    #[test]
    fn parts_belong_together_only_by_a_strong_validator() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.3
        //= type=test
        //# These ranges can only be safely combined if they all have in common the same strong
        //# validator (Section 8.8.1).
        let modified = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
        let strong = format!("{modified}\nDate: Mon, 07 Nov 1994 08:49:37 GMT");
        let weak = format!("{modified}\nDate: Sun, 06 Nov 1994 08:49:37 GMT");
        for (one, other, together) in [
            ("ETag: \"a\"", "ETag: \"a\"", true),
            ("ETag: \"a\"", "ETag: \"b\"", false),
            ("ETag: W/\"a\"", "ETag: W/\"a\"", false),
            ("ETag: \"a\"", "", false),
            ("", "", false),
            (&strong, &strong, true),
            (&strong, &weak, false),
            (&weak, &weak, false),
        ] {
            assert_eq!(
                same_representation(&fields(one), &fields(other)),
                together,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn without_strong_validators_only_the_length_tells_representations_apart() {
        let (none, weak, strong) = (fields(""), fields("ETag: W/\"a\""), fields("ETag: \"a\""));
        assert!(maybe_same_representation((&none, 10), (&weak, 10)));
        assert!(!maybe_same_representation((&none, 10), (&none, 11)));
        assert!(!maybe_same_representation((&none, 10), (&strong, 10)));
        assert!(!maybe_same_representation((&strong, 10), (&strong, 10)));
    }

    #[test]
    fn what_no_part_has_is_a_run_of_its_own() {
        let runs = |wanted, held: &[Span]| -> Vec<_> {
            let runs = cover(wanted, held);
            runs.iter().map(|run| (run.span.first(), run.span.last(), run.part)).collect()
        };
        let held = [span(0, 4), span(3, 8), span(12, 20), span(3, 6)];
        assert_eq!(runs(span(1, 4), &held), [(1, 4, Some(0))]);
        assert_eq!(runs(span(1, 8), &held), [(1, 4, Some(0)), (5, 8, Some(1))]);
        assert_eq!(runs(span(9, 11), &held), [(9, 11, None)]);
        let across = [(4, 8, Some(1)), (9, 11, None), (12, 20, Some(2)), (21, 25, None)];
        assert_eq!(runs(span(4, 25), &held), across);
        assert_eq!(runs(span(0, u64::MAX), &[]), [(0, u64::MAX, None)]);
    }

    #[test]
    fn what_is_missing_at_the_end_is_asked_for_without_an_end() {
        let part = |first, last| Part::new(span(first, last), 10).unwrap();
        assert_eq!(missing_range(part(5, 9)), "bytes=5-");
        assert_eq!(missing_range(part(5, 8)), "bytes=5-8");
    }

    #[test]
    fn a_new_part_updates_the_fields_of_those_it_joins() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-3.4
        //= type=test
        //# When combining the new response with one or more stored responses, a cache MUST update
        //# the stored response header fields using the header fields provided in the new response,
        //# as per Section 3.2.
        let stored = fields("ETag: \"a\"\nContent-Type: x\nA: 1\nContent-Range: bytes 0-4/10");
        let new = fields("ETag: \"a\"\nA: 2\nContent-Range: bytes 5-9/10");
        let expected = fields("Content-Type: x\nETag: \"a\"\nA: 2\nContent-Range: bytes 5-9/10");
        assert_eq!(combined_fields(&stored, &new, &Rules::default()), expected);
    }

    #[test]
    fn a_part_that_joined_many_others_weighs_no_more_than_the_first() {
        let new = fields("ETag: \"a\"\nA: 2\nContent-Range: bytes 5-9/10");
        let combined = |stored: &Fields| combined_fields(stored, &new, &Rules::default());
        let first = combined(&new);
        let last = (0..1000).fold(first.clone(), |stored, _| combined(&stored));
        assert_eq!((&last, last.heap_bytes()), (&first, first.heap_bytes()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn runs_follow_each_other_and_parts_that_meet_leave_no_gap(
            held in prop::collection::vec((0..50_u64, 0..20_u64), 0..8),
            wanted in (0..50_u64, 0..30_u64),
        ) {
            let of = |(first, more): (u64, u64)| span(first, first + more);
            let held: Vec<_> = held.into_iter().map(of).collect();
            let wanted = of(wanted);
            let runs = cover(wanted, &held);
            let mut at = wanted.first();
            for run in &runs {
                prop_assert_eq!(run.span.first(), at);
                for byte in run.span.first()..=run.span.last() {
                    let has = |span: &Span| span.first() <= byte && byte <= span.last();
                    match run.part {
                        Some(number) => prop_assert!(has(&held[number])),
                        None => prop_assert!(!held.iter().any(has)),
                    }
                }
                at = run.span.last() + 1;
            }
            prop_assert_eq!(at, wanted.last() + 1);
        }
    }
}
