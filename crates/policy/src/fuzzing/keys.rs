//! What decides under which key a response is found: No-Vary-Search, the content of a QUERY, and
//! the fields that list preferences.

use super::{halves, head};
use crate::preference::{Preference, Preferences};
use crate::query::{compact_json, identity, media_type};
use crate::syntax::members;
use crate::{Fields, NoVarySearch};

/// No-Vary-Search: an equivalence, and the same one that the canonical forms give.
pub fn no_vary_search(data: &[u8]) {
    let (field, queries) = halves(data);
    let (one, other) = halves(queries);
    let rule = |text: &[u8]| NoVarySearch::of(&head(&[("No-Vary-Search", text)]));
    let canonical = |rule: &NoVarySearch, query| {
        let mut form = Vec::new();
        rule.canonical(query, &mut form);
        form
    };
    let usual =
        ["key-order", "params=(\"a\")", "except=(\"a\")", "key-order, except=(\"a\" \"x\")"];
    let usual = usual.into_iter().filter_map(|text| rule(text.as_bytes()));
    for rule in rule(field).into_iter().chain(usual) {
        for (one, other) in [(one, other), (field, one), (one, one)] {
            let same = rule.is_equivalent(Some(one), Some(other));
            assert_eq!(same, rule.is_equivalent(Some(other), Some(one)));
            assert_eq!(same, canonical(&rule, Some(one)) == canonical(&rule, Some(other)));
            assert!(same || one != other);
        }
        assert!(rule.is_equivalent(None, Some(b"")) && rule.is_equivalent(Some(b"&&"), None));
    }
    let without_a = rule(b"params=(\"a\")").unwrap_or_else(|| panic!("it has an effect"));
    let value: Vec<u8> = other.iter().copied().filter(|byte| *byte != b'&').collect();
    let longer = [one, b"&a=", &value].concat();
    assert!(without_a.is_equivalent(Some(one), Some(&longer)));
    let longer = [one, b"&b=", &value].concat();
    assert!(!without_a.is_equivalent(Some(one), Some(&longer)));
}

/// The content of a QUERY: contents that are taken for the same have the same tokens, and whatever
/// is normalised is so for good.
pub fn query(data: &[u8]) {
    let listed = [b"[ ", data, b" , 1 ]"].concat();
    let quoted = [b"{ \"", data, b"\" : [ \"", data, b"\" ] }"].concat();
    for text in [data, &listed, &quoted] {
        let Some(compact) = compact_json(text) else { continue };
        assert_eq!(tokens(&compact), tokens(text));
        assert_eq!(tokens(text).concat(), compact);
        assert_eq!(compact_json(&compact), Some(compact));
    }
    let normal = media_type(data);
    assert_eq!(media_type(&normal), normal);
    let (value, content) = halves(data);
    for kind in [value, b"application/json"] {
        let known = |more: &[u8], content: &[u8]| {
            let mut bytes = Vec::new();
            let fields = head(&[("Content-Type", kind), ("Cache-Control", more)]);
            identity(&fields, content, &mut bytes);
            bytes
        };
        assert!(known(b"no-transform", content).ends_with(content));
        assert_ne!(known(b"no-transform", content), known(b"", content));
        let longer = [content, b"0"].concat();
        assert_ne!(known(b"", content), known(b"", &longer));
        let spaced = [content, b" "].concat();
        let is_json = compact_json(content).is_some();
        let is_same = known(b"", content) == known(b"", &spaced);
        assert!(!is_same || is_json);
        assert!(is_same || !is_json || kind != b"application/json");
        let mut bare = Vec::new();
        identity(&Fields::new(), content, &mut bare);
        assert!(bare.ends_with(content) && bare != known(b"", content));
    }
}

/// The tokens of JSON: strings with all that is in them, words and numbers, and single signs.
fn tokens(mut text: &[u8]) -> Vec<&[u8]> {
    let mut tokens = Vec::new();
    while let Some(&first) = text.first() {
        let length = match first {
            b'"' => 1 + string_length(&text[1..]),
            byte if is_in_word(byte) => text.iter().take_while(|&&byte| is_in_word(byte)).count(),
            _ => 1,
        };
        let (token, rest) = text.split_at(length);
        if !matches!(first, b' ' | b'\t' | b'\r' | b'\n') {
            tokens.push(token);
        }
        text = rest;
    }
    tokens
}

fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// The length of a string with its closing quote.
fn string_length(inside: &[u8]) -> usize {
    let mut escaped = false;
    let closes = |&byte: &u8| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    };
    inside.iter().position(closes).map_or(inside.len(), |at| at + 1)
}

/// Accept-Language and its like: neither order nor lines matter, and what is in the normal form is
/// left as it is.
pub fn preferences(data: &[u8]) {
    let (one, other) = halves(data);
    for field in [Preference::Charset, Preference::Coding, Preference::Language] {
        let normal = |lines: &[&[u8]]| -> Option<Vec<u8>> {
            let list = Preferences::read(field, lines.iter().copied())?;
            Some(list.bytes().collect())
        };
        let ordered = normal(&[one, other]);
        assert_eq!(ordered, normal(&[other, one]));
        let mut listed: Vec<&[u8]> = [one, other].into_iter().flat_map(members).collect();
        assert_eq!(ordered, normal(&listed));
        listed.reverse();
        assert_eq!(ordered, normal(&[&listed.join(&b","[..])]));
        let Some(ordered) = ordered else {
            // What is not read is compared as a list in lower case: never one that is read.
            assert_eq!(normal(&[&listed.join(&b", "[..]).to_ascii_lowercase()]), None);
            continue;
        };
        assert_eq!(ordered.to_ascii_lowercase(), ordered);
        assert_eq!(normal(&[&ordered]), Some(ordered.clone()));
        assert_ne!(normal(&[one, other, b"zz;q=0.123"]), Some(ordered.clone()));
        let Some(first) = members(&ordered).next().filter(|_| listed.len() <= 16) else { continue };
        let twice = normal(&[&listed.join(&b","[..]), one, other]);
        assert_eq!(twice.as_ref(), Some(&ordered));
        // It has one weight or the other: nobody knows.
        let name = first.split(|&byte| byte == b';').next().unwrap_or_default();
        let otherwise =
            [name, if first.ends_with(b";q=0.7") { b";q=0.8" } else { b";q=0.7" }].concat();
        assert_eq!(normal(&[one, other, &otherwise]), None);
    }
}
