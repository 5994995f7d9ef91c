//! Every MUST and MUST NOT of RFC 9111 §3 to §5 is quoted by code and by a test, or excused.
//!
//! `requirements/rfc9111.txt` has the sentences. The sources of all crates are searched for quotes:
//! `//= https://www.rfc-editor.org/rfc/rfc9111#section-…`, in a test followed by `//= type=test`,
//! then the quoted words behind `//#`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const REQUIREMENTS: &str = include_str!("../requirements/rfc9111.txt");
const SOURCE: &str = "//= https://www.rfc-editor.org/rfc/rfc9111#section-";

/// A sentence, or a member of a list that a sentence begins.
#[derive(Debug)]
struct Requirement {
    section: String,
    words: String,
    excuse: Option<String>,
}

#[derive(Debug)]
struct Quote {
    section: String,
    words: String,
    in_test: bool,
    place: String,
}

impl Requirement {
    /// Whether a quote is of this requirement: of the whole, of the part with the demand, or of more
    /// around it.
    fn is_in(&self, quote: &Quote) -> bool {
        self.section == quote.section
            && (is_demand(&quote.words) || !is_demand(&self.words))
            && (self.words.contains(&quote.words) || quote.words.contains(&self.words))
    }
}

fn is_demand(words: &str) -> bool {
    words.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word == "MUST")
}

fn requirements() -> Vec<Requirement> {
    let mut found: Vec<Requirement> = Vec::new();
    for line in REQUIREMENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((section, words)) = line.strip_prefix('[').and_then(|l| l.split_once("] ")) {
            assert!(is_demand(words), "no demand: {line}");
            found.push(Requirement {
                section: section.to_owned(),
                words: words.to_owned(),
                excuse: None,
            });
        } else if let Some(words) = line.strip_prefix("- ") {
            let section = found.last().unwrap().section.clone();
            found.push(Requirement { section, words: words.to_owned(), excuse: None });
        } else if let Some(excuse) = line.strip_prefix("not-applicable = ") {
            found.last_mut().unwrap().excuse = Some(excuse.to_owned());
        } else {
            panic!("neither requirement nor excuse: {line}");
        }
    }
    found
}

/// The sources of all crates.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn quotes() -> Vec<Quote> {
    sources().iter().flat_map(|path| quotes_in(path, &fs::read_to_string(path).unwrap())).collect()
}

fn quotes_in(path: &Path, text: &str) -> Vec<Quote> {
    let mut found: Vec<Quote> = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("//= https://") {
            is_open = false;
        }
        if let Some(section) = line.strip_prefix(SOURCE) {
            is_open = true;
            found.push(Quote {
                section: section.to_owned(),
                words: String::new(),
                in_test: false,
                place: format!("{}:{}", path.display(), number + 1),
            });
        }
        let Some(quote) = found.last_mut().filter(|_| is_open) else { continue };
        if line == "//= type=test" {
            quote.in_test = true;
        } else if let Some(words) = line.strip_prefix("//#") {
            let gap = if quote.words.is_empty() { "" } else { " " };
            quote.words = format!("{}{gap}{}", quote.words, words.trim());
        } else if !line.starts_with("//=") {
            is_open = false;
        }
    }
    found
}

#[test]
fn every_requirement_is_met_and_tested_or_about_others() {
    let quotes = quotes();
    let mut missing = String::new();
    for requirement in requirements() {
        let has = |in_test| quotes.iter().any(|q| q.in_test == in_test && requirement.is_in(q));
        let fault = match (&requirement.excuse, has(false), has(true)) {
            (Some(excuse), false, false) => {
                assert!(excuse.ends_with('.'), "{excuse}");
                continue;
            }
            (Some(_), ..) => "is excused, but quoted",
            (None, true, true) => continue,
            (None, true, false) => "is not tested",
            (None, false, true) => "is tested, but not met",
            (None, false, false) => "is neither met nor tested",
        };
        writeln!(missing, "§{} {fault}: {}", requirement.section, requirement.words).unwrap();
    }
    assert!(missing.is_empty(), "\n{missing}");
}

#[test]
fn every_quote_of_a_demand_is_word_for_word() {
    let requirements = requirements();
    for quote in quotes() {
        assert!(!quote.words.is_empty(), "{}: nothing is quoted", quote.place);
        let in_scope = ["3", "4", "5"].iter().any(|top| {
            quote
                .section
                .strip_prefix(top)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        if in_scope && is_demand(&quote.words) {
            let is_known = requirements.iter().any(|requirement| requirement.is_in(&quote));
            assert!(is_known, "{}: §{} does not say {}", quote.place, quote.section, quote.words);
        }
    }
}

#[test]
fn a_quote_is_read_over_its_lines_and_knows_whether_it_is_in_a_test() {
    let text = format!(
        "{SOURCE}4.1\n//# one\n//#  two\nfn x() {{}}\n  {SOURCE}5\n  //= type=test\n  //# three\n"
    );
    let read: Vec<_> = quotes_in(Path::new("x"), &text)
        .into_iter()
        .map(|quote| (quote.section, quote.words, quote.in_test, quote.place))
        .collect();
    let quote = |section: &str, words: &str, in_test, place: &str| {
        (section.to_owned(), words.to_owned(), in_test, place.to_owned())
    };
    assert_eq!(read, [quote("4.1", "one two", false, "x:1"), quote("5", "three", true, "x:5")]);
}
