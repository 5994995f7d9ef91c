use proptest::prelude::*;

use super::*;
use crate::fixture::fields;

fn spans(bounds: &[(u64, u64)]) -> Selection {
    Selection::Spans(bounds.iter().map(|(first, last)| Span::new(*first, *last).unwrap()).collect())
}

fn select(range: &str, complete: u64) -> Selection {
    RangeSet::of(&fields(&format!("Range: {range}")))
        .map_or(Selection::Whole, |set| set.select(complete))
}

#[test]
fn a_range_selects_bytes_of_what_is_there() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
    //= type=test
    //# If the last-pos value is absent, or if the value is greater than or equal to the current
    //# length of the representation data, the byte range is interpreted as the remainder of the
    //# representation
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
    //= type=test
    //# If the selected representation is shorter than the specified suffix-length, the entire
    //# representation is used.
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
    //= type=test
    //# Since there is no predefined limit to the length of content, recipients MUST anticipate
    //# potentially large decimal numerals and prevent parsing errors due to integer conversion
    //# overflows.
    for (range, expected) in [
        ("bytes=0-499", spans(&[(0, 499)])),
        ("BYTES=500-999", spans(&[(500, 999)])),
        ("bytes=-500", spans(&[(9500, 9999)])),
        ("bytes=9500-", spans(&[(9500, 9999)])),
        ("bytes=9500-99999999999999999999999", spans(&[(9500, 9999)])),
        ("bytes=0-", spans(&[(0, 9999)])),
        ("bytes=-10001", spans(&[(0, 9999)])),
        ("bytes=-99999999999999999999999", spans(&[(0, 9999)])),
        ("bytes=9999-9999", spans(&[(9999, 9999)])),
        ("bytes=0-0,-1", spans(&[(0, 0), (9999, 9999)])),
        ("bytes= 0-999, 4500-5499, -1000", spans(&[(0, 999), (4500, 5499), (9000, 9999)])),
        ("bytes=,0-1,\t,", spans(&[(0, 1)])),
        ("bytes=10000-, 5-6", spans(&[(5, 6)])),
        ("bytes=10000-", Selection::Unsatisfiable),
        ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
        ("bytes=-0", Selection::Unsatisfiable),
        ("bytes=-0, 10000-10001", Selection::Unsatisfiable),
    ] {
        assert_eq!(select(range, 10_000), expected, "{range}");
    }
}

#[test]
fn a_range_that_is_invalid_or_not_understood_is_ignored() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    //= type=test
    //# An origin server MUST ignore a Range header field that contains a range unit it does not
    //# understand.
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.1
    //= type=test
    //# A ranges-specifier is invalid if it contains any range-spec that is invalid or undefined for
    //# the indicated range-unit.
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.1
    //= type=test
    //# An int-range is invalid if the last-pos value is present and less than the first-pos.
    for range in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-",
        "bytes=1-a",
        "bytes=1",
        "bytes=5-4",
        "bytes=0-1,5-4",
        "bytes=0-1;2-3",
        "bytes=0 - 1",
        "bytes=+1-2",
        "bytes=--1",
        "bytes =0-1",
        "bytes 0-1",
        "items=0-1",
        "seconds=1-2",
        "bytes=0-1\nRange: bytes=2-3",
    ] {
        assert_eq!(select(range, 10_000), Selection::Whole, "{range}");
    }
    assert_eq!(RangeSet::of(&Fields::new()), None);
}

#[test]
fn a_representation_without_content_has_no_ranges() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    //= type=test
    //# A server that supports range requests MAY ignore a Range header field when the selected
    //# representation has no content (i.e., the selected representation's data is of zero length).
    for range in ["bytes=0-", "bytes=-1", "bytes=5-6"] {
        assert_eq!(select(range, 0), Selection::Whole, "{range}");
    }
}

#[test]
fn too_many_ranges_are_ignored_and_those_in_disorder_coalesced() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-17.15
    //= type=test
    //# Servers ought to ignore, coalesce, or reject egregious range requests
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
    //= type=test
    //# When multiple ranges are requested, a server MAY coalesce any of the ranges that overlap, or
    //# that are separated by a gap that is smaller than the overhead of sending multiple parts,
    //# regardless of the order in which the corresponding range-spec appeared in the received Range
    //# header field.
    let many = |count: usize| {
        let list: Vec<_> = (0..count).map(|at| format!("{}-{}", at * 200, at * 200 + 1)).collect();
        format!("bytes={}", list.join(","))
    };
    assert_eq!(select(&many(17), 10_000), Selection::Whole);
    let Selection::Spans(sixteen) = select(&many(16), 10_000) else { panic!("a few too many") };
    assert_eq!(sixteen.len(), 16);
    for (range, expected) in [
        // In order and apart: as asked for.
        ("0-1,4-5", spans(&[(0, 1), (4, 5)])),
        ("500-600,601-999", spans(&[(500, 999)])),
        ("500-700,601-999", spans(&[(500, 999)])),
        ("4-5,0-1", spans(&[(0, 5)])),
        ("500-501,0-1", spans(&[(500, 501), (0, 1)])),
        ("500-501,0-1,580-581", spans(&[(500, 581), (0, 1)])),
        ("500-501,0-1,582-583", spans(&[(500, 501), (0, 1), (582, 583)])),
        ("0-0,2-2,4-4,6-6,8-8", spans(&[(0, 8)])),
        ("0-,0-,0-,0-", spans(&[(0, 9999)])),
        ("900-999,0-99,50-950", spans(&[(0, 999)])),
    ] {
        assert_eq!(select(&format!("bytes={range}"), 10_000), expected, "{range}");
    }
}

#[test]
fn a_content_range_is_read_strictly_and_written_back() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.4
    //= type=test
    //# A Content-Range field value is invalid if it contains a range-resp that has a last-pos value
    //# less than its first-pos value, or a complete-length value less than or equal to its last-pos
    //# value.
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.4
    //= type=test
    //# If a 206 (Partial Content) response contains a Content-Range header field with a range unit
    //# (Section 14.1) that the recipient does not understand, the recipient MUST NOT attempt to
    //# recombine it with a stored representation.
    let read = |value: &str| Part::of(&fields(&format!("Content-Range: {value}")));
    for value in ["bytes 0-499/1234", "bytes 734-1233/1234", "bytes 0-0/1"] {
        assert_eq!(read(value).map(Part::content_range).as_deref(), Some(value));
    }
    assert_eq!(read("BYTES 1-2/3"), read("bytes 1-2/3"));
    for value in [
        "",
        "bytes",
        "bytes 0-1",
        "bytes 0-1/",
        "bytes 42-1233/*",
        "bytes */1234",
        "bytes 2-1/3",
        "bytes 0-3/3",
        "bytes 0-1/1",
        "bytes=0-1/2",
        "items 0-1/2",
        "bytes 0-1/2 ,bytes 0-1/2",
        "bytes  0-1/2",
        "bytes 0-1/2\nContent-Range: bytes 0-1/2",
        "bytes -1/2",
        "bytes 0-18446744073709551615/18446744073709551616",
        "bytes +0-1/2",
    ] {
        assert_eq!(read(value), None, "{value}");
    }
    assert_eq!(unsatisfied(1234), "bytes */1234");
}

#[test]
fn content_of_another_length_is_only_understood_at_the_end() {
    let part = |first, last, complete| Part::new(Span::new(first, last).unwrap(), complete);
    for (said, length, expected) in [
        (part(4, 9, 10), 6, part(4, 9, 10)),
        (part(4, 9, 10), 5, part(4, 8, 9)),
        (part(4, 9, 10), 7, part(4, 10, 11)),
        (part(4, 9, 10), 0, None),
        (part(4, 8, 10), 4, None),
        (part(4, 8, 10), 6, None),
        (part(4, 9, 10), u64::MAX, None),
        // It would pass for the whole.
        (part(0, 9, 10), 10, part(0, 9, 10)),
        (part(0, 9, 10), 9, None),
        (part(0, 9, 10), 11, None),
    ] {
        assert_eq!(said.unwrap().with_content(length), expected, "{said:?} {length}");
    }
}

fn spec() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..40_u64, 0..40_u64).prop_map(|(first, more)| format!("{first}-{}", first + more)),
        (0..40_u64).prop_map(|first| format!("{first}-")),
        (0..40_u64).prop_map(|suffix| format!("-{suffix}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_selection_has_every_byte_asked_for_once_and_lies_within(
        specs in prop::collection::vec(spec(), 1..8),
        complete in 0..40_u64,
    ) {
        let asked = |byte: u64| specs.iter().any(|spec| {
            let (first, last) = spec.split_once('-').unwrap();
            match (first.parse::<u64>(), last.parse::<u64>()) {
                (Ok(first), Ok(last)) => first <= byte && byte <= last,
                (Ok(first), Err(_)) => first <= byte,
                (Err(_), Ok(length)) => byte >= complete.saturating_sub(length) && length > 0,
                _ => false,
            }
        });
        match select(&format!("bytes={}", specs.join(",")), complete) {
            Selection::Whole => prop_assert_eq!(complete, 0),
            Selection::Unsatisfiable => prop_assert!(!(0..complete).any(asked)),
            Selection::Spans(spans) => {
                let held = |byte| spans.iter().filter(|s| s.first <= byte && byte <= s.last).count();
                prop_assert!(spans.iter().all(|span| span.last < complete));
                for byte in 0..complete {
                    prop_assert!(held(byte) <= 1);
                    prop_assert!(!asked(byte) || held(byte) == 1, "{}", byte);
                }
                prop_assert!(spans.len() <= specs.len());
            }
        }
    }

    #[test]
    fn no_field_makes_it_panic(value in "[ -~]{0,40}", complete: u64) {
        let _ = select(&value, complete);
        let _ = select(&format!("bytes={value}"), complete);
        let _ = Part::of(&fields(&format!("Content-Range: bytes {value}")));
    }
}
