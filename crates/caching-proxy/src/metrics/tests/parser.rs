//! A strict reader of both forms of text, which knows nothing of how they are written here.

use std::collections::{BTreeMap, HashSet};

/// One number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) number: i64,
}

/// Reads a text, and panics where it is not right.
pub(crate) fn parse(text: &str, is_open_metrics: bool) -> Vec<Sample> {
    assert!(text.ends_with('\n') && !text.contains('\r') && !text.contains("\n\n"), "{text}");
    let mut lines: Vec<_> = text.lines().collect();
    if is_open_metrics {
        assert_eq!(lines.pop(), Some("# EOF"));
    }
    let (mut families, mut samples) = (HashSet::new(), Vec::<Sample>::new());
    let mut family = Family::default();
    for line in lines {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect(line);
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            assert!(is_name(name) && !text.is_empty() && !text.contains(['\\', '"']), "{line}");
            family = Family { name: name.to_owned(), kind: String::new() };
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert!(family.kind.is_empty() && name == family.name, "{line}");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            kind.clone_into(&mut family.kind);
        } else {
            let sample = sample(line);
            assert_eq!(sample.name, family.sample_name(is_open_metrics), "{line}");
            assert!(family.kind == "gauge" || sample.number >= 0, "{line}");
            let is_new =
                |known: &Sample| known.name != sample.name || known.labels != sample.labels;
            assert!(samples.iter().all(is_new), "{line} comes twice");
            samples.push(sample);
        }
    }
    samples
}

/// The number of this name that has these labels, among others.
pub(crate) fn number(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<i64> {
    let fits = |sample: &&Sample| {
        let has = |(label, value): &(&str, &str)| {
            sample.labels.get(*label).is_some_and(|known| known == value)
        };
        sample.name == name && labels.iter().all(has)
    };
    samples.iter().find(fits).map(|sample| sample.number)
}

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
}

impl Family {
    /// `OpenMetrics` names the family without what its samples end with.
    fn sample_name(&self, is_open_metrics: bool) -> String {
        let Self { name, kind } = self;
        match kind.as_str() {
            "counter" if is_open_metrics => {
                assert!(!name.ends_with("_total"), "{name}");
                format!("{name}_total")
            }
            "counter" => {
                assert!(name.ends_with("_total"), "{name}");
                name.clone()
            }
            "gauge" => {
                let reserved = ["_total", "_created", "_count", "_sum", "_bucket"];
                assert!(reserved.iter().all(|end| !name.ends_with(end)), "{name}");
                name.clone()
            }
            _ => panic!("{name} has no type"),
        }
    }
}

fn sample(line: &str) -> Sample {
    assert!(!line.starts_with('#'), "{line}");
    let end = line.find(['{', ' ']).expect(line);
    let name = &line[..end];
    assert!(is_name(name), "{line}");
    let (mut labels, mut rest) = (BTreeMap::new(), &line[end..]);
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let (value, after) = value(after).expect(line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            if let Some(after) = after.strip_prefix(',') {
                rest = after;
                continue;
            }
            rest = after.strip_prefix('}').expect(line);
            break;
        }
    }
    let number = rest.strip_prefix(' ').expect(line);
    let digits = number.strip_prefix('-').unwrap_or(number);
    assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{line}");
    Sample { name: name.to_owned(), labels, number: number.parse().expect(line) }
}

/// The value up to its closing quote, and what comes behind that.
fn value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, one)) = chars.next() {
        match one {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                '\\' => '\\',
                '"' => '"',
                'n' => '\n',
                _ => return None,
            }),
            one => value.push(one),
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    name.bytes().all(is_one) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}
