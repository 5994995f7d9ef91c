//! Range, Content-Range and If-Range.

use super::{NOW, halves, head};
use crate::partial::{single_part_fields, unsatisfied_fields};
use crate::parts::{cover, missing_range};
use crate::range::Spans;
use crate::strong::{if_range as permits, strong_validator};
use crate::{Fields, Part, RangeSet, Selection, Span, date};

/// Lengths of a representation, the impossible among them.
const LENGTHS: [u64; 8] = [0, 1, 2, 61, 200, 5000, u64::MAX - 1, u64::MAX];
/// What a part of a multipart response may cost at most.
const PART: u128 = 80;

/// Range: what is asked for and there is selected, once, and hardly anything else.
pub fn range(data: &[u8]) {
    let with_unit = [b"bytes=", data].concat();
    for line in [data, &with_unit] {
        let Some(set) = RangeSet::of(&head(&[("Range", line)])) else { continue };
        assert_eq!(
            RangeSet::of(&head(&[("range", &line.to_ascii_uppercase())])),
            Some(set.clone())
        );
        assert_eq!(RangeSet::of(&head(&[("Range", line), ("Range", b"bytes=0-")])), None);
        for complete in LENGTHS {
            let asked = asked_for(line, complete);
            match set.select(complete) {
                Selection::Whole => assert_eq!(complete, 0),
                Selection::Unsatisfiable => assert!(asked.is_empty() && complete > 0),
                Selection::Spans(spans) => selected(&asked, &spans, complete),
            }
        }
    }
}

/// First and last byte of each range that selects any, read without regard to its other rules.
fn asked_for(line: &[u8], complete: u64) -> Vec<(u64, u64)> {
    let text = str::from_utf8(line).unwrap_or_else(|_| panic!("a Range that was read is text"));
    let (_, set) = text.split_once('=').unwrap_or_else(|| panic!("{text:?} has a unit"));
    // All that is then no number is one that is too great.
    let number = |digits: &str| digits.parse().unwrap_or(u64::MAX);
    let specs = set.split(',').map(|spec| spec.trim_matches([' ', '\t']));
    let read = |(first, last): (&str, &str)| {
        match (first, last) {
            ("", length) => (number(length) > 0).then(|| complete.saturating_sub(number(length))),
            (first, _) => Some(number(first)),
        }
        .filter(|start| *start < complete)
        .map(|start| match (first, last) {
            ("", _) | (_, "") => (start, complete - 1),
            (_, last) => (start, number(last).min(complete - 1)),
        })
    };
    specs.filter_map(|spec| spec.split_once('-')).filter_map(read).collect()
}

fn selected(asked: &[(u64, u64)], spans: &Spans, complete: u64) {
    let sum = |lengths: &mut dyn Iterator<Item = u64>| lengths.map(u128::from).sum::<u128>();
    let sent = sum(&mut spans.iter().map(|span| span.length()));
    let wanted = sum(&mut asked.iter().map(|(first, last)| last - first)) + asked.len() as u128;
    assert!(!spans.is_empty() && spans.len() <= asked.len() && asked.len() <= 16);
    assert!(sent <= u128::from(complete) && sent <= wanted + PART * asked.len() as u128);
    for &(first, last) in asked {
        let asked = Span::new(first, last).unwrap_or_else(|| panic!("{first}-{last}"));
        assert!(spans.iter().any(|span| span.contains(asked)), "{asked:?} {spans:?}");
    }
    let mut sorted: Vec<Span> = spans.to_vec();
    sorted.sort_by_key(|span| span.first());
    assert!(sorted.windows(2).all(|pair| pair[0].last() < pair[1].first()), "{spans:?}");
    for &span in spans {
        let part = Part::new(span, complete).unwrap_or_else(|| panic!("{span:?} of {complete}"));
        written(part);
    }
    if let Some(whole) = Span::of_length(0, complete) {
        let runs = cover(whole, spans);
        assert_eq!((runs[0].span.first(), runs[runs.len() - 1].span.last()), (0, complete - 1));
        assert!(runs.windows(2).all(|pair| pair[0].span.last() + 1 == pair[1].span.first()));
        assert_eq!(runs.iter().filter(|run| run.part.is_some()).count(), spans.len());
    }
}

/// A part is read as it was written, and what asks for it selects it and no more.
fn written(part: Part) {
    let range = missing_range(part);
    let set = RangeSet::of(&head(&[("Range", range.as_bytes())]));
    let set = set.unwrap_or_else(|| panic!("{range} is a Range"));
    let Selection::Spans(spans) = set.select(part.complete()) else { panic!("{range} selects") };
    assert_eq!(&spans[..], [part.span()]);
    // The greatest number stands for all that cannot be counted.
    if part.complete() < u64::MAX {
        let stored = head(&[("Content-Range", b"bytes 7-8/9"), ("ETag", b"\"a\"")]);
        assert_eq!(Part::of(&single_part_fields(&Fields::new(), &stored, part)), Some(part));
    }
    assert_eq!(Part::of(&unsatisfied_fields(&Fields::new(), part.complete())), None);
}

/// Content-Range: what is read lies within the representation, and is written as the same.
pub fn content_range(data: &[u8]) {
    let with_unit = [b"bytes ", data].concat();
    for line in [data, &with_unit] {
        let Some(part) = Part::of(&head(&[("Content-Range", line)])) else { continue };
        let span = part.span();
        assert!(span.first() <= span.last() && span.last() < part.complete());
        written(part);
        let twice = head(&[("Content-Range", line), ("Content-Range", line)]);
        assert_eq!(Part::of(&twice), None);
        assert_eq!(part.with_content(span.length()), Some(part));
        for length in LENGTHS.into_iter().filter(|length| *length != span.length()) {
            let Some(real) = part.with_content(length) else { continue };
            assert!(part.is_last() && real.is_last() && real.span().length() == length);
            assert_eq!(real.span().first(), span.first());
        }
    }
}

/// If-Range: it holds only for the very validator that is stored, and only if that is strong.
pub fn if_range(data: &[u8]) {
    let (condition, validator) = halves(data);
    let asks = |condition: &[u8]| head(&[("If-Range", condition)]);
    let now = date::format(NOW);
    let dated = |name, value| head(&[(name, value), ("Date", now.as_bytes())]);
    for value in [validator, condition] {
        for stored in [dated("ETag", value), dated("Last-Modified", value)] {
            if permits(&asks(condition), &stored) {
                assert_eq!(strong_validator(&stored), Some(crate::syntax::trim(condition)));
            }
            let Some(ours) = strong_validator(&stored) else { continue };
            assert!(permits(&asks(ours), &stored) && !ours.starts_with(b"W/"));
            assert!(!permits(&asks(&[b"W/", ours].concat()), &stored));
            assert!(!permits(&head(&[("If-Range", ours), ("If-Range", ours)]), &stored));
        }
    }
}
