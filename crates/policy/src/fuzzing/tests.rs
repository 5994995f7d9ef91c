//! The bodies of the fuzz targets, on generated inputs.

use proptest::collection::vec;
use proptest::prelude::*;

use super::TARGETS;

/// Pieces of what the parsers read, so that random bytes get somewhere.
const PIECES: &[&str] = &[
    "max-age=",
    "s-maxage=",
    "no-store",
    "private",
    "no-cache",
    "=\"",
    "\"",
    "\\",
    ", ",
    ",",
    ";",
    "; ",
    "=",
    "60",
    "0",
    "-1",
    "99999999999",
    "W/",
    "\"a\"",
    "*",
    "\n",
    "\t",
    " ",
    "Mon, ",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "23 Nov 2026 00:00:00 ",
    "GMT",
    "Accept",
    "accept-encoding",
    "gzip;q=0",
    "identity",
    "x",
    "caching-proxy",
    "1.1 ",
    "[::1]:80",
    "a.example",
    "?1",
    "?0",
    "(",
    ")",
    ":YQ==:",
    "Via",
    "cache-control",
    "\u{1}",
    "\0",
    "%",
    "é",
];

/// For properties about what is seldom well-formed by chance: the words that their parsers read.
const WORDS: &[(&str, &[&str])] = &[
    ("policy_accel_expires", &["0", "60", "@", "1795392060", " ", "99999999999", "x"]),
    ("policy_content_range", &["bytes ", "0", "5", "-", "/", "*", "60", "18446744073709551614"]),
    ("policy_groups", &["\"a\"", "\"\"", ", ", "\"b\\\"\"", ";x=1", ",", " ", "x"]),
    ("policy_head_response", &["6", "0", "+", "60\n", "\"a\"", "W/", " ", "\n"]),
    (
        "policy_if_range",
        &["\"a\"\n\"a\"", "W/", "\"", "Sun, 22 Nov 2026 00:00:00 GMT", "\n", "\"b\"", " "],
    ),
    (
        "policy_location",
        &[
            "/",
            "..",
            ".",
            "x",
            "?",
            "#",
            "/v1/",
            "http://a.example",
            "https://api:8443/v1",
            "//",
            "\n",
        ],
    ),
    (
        "policy_no_vary_search",
        &[
            "key-order",
            ", ",
            "params=(\"a\")",
            "\n",
            "a=1",
            "b",
            "&",
            "a",
            "=",
            "%61",
            "+",
            "\nx&a=",
        ],
    ),
    (
        "policy_preferences",
        &["en", "De", "*", ", ", ",", ";q=0.5", " ; Q=0.50", ";q=1", "x-gzip", "gzip", "\n", "\""],
    ),
    (
        "policy_query",
        &["{", "}", "[", "]", "\"a \\\" b\"", ":", ",", " ", "-1.5e+3", "true", "\n", "\"\\\\\""],
    ),
    ("policy_range", &["bytes=", "0-0", "5-", "-7", "10-19", "60-61", ", ", "1-180", "4000-", "-"]),
    (
        "policy_surrogate_control",
        &[
            "max-age=60",
            "+10",
            ", ",
            "no-store",
            ";caching-proxy",
            ";other",
            "no-store-remote",
            "=x",
        ],
    ),
    ("policy_tags", &["a", "bc", " ", ",", "\t", ", ", "\u{b}", "ddd"]),
];

fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec());
    let piece = prop_oneof![5 => piece, 1 => vec(any::<u8>(), 1..4)];
    prop_oneof![
        4 => vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        1 => vec(any::<u8>(), 0..60),
    ]
}

fn sentence(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    vec(prop::sample::select(words), 0..7).prop_map(|words| words.concat())
}

/// A sentence for each of [`WORDS`].
fn sentences() -> impl Strategy<Value = Vec<String>> {
    WORDS.iter().map(|(_, words)| sentence(words)).collect::<Vec<_>>()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn what_must_hold_for_any_bytes_holds(bytes in input()) {
        for (_, property) in TARGETS {
            property(&bytes);
        }
    }

    #[test]
    fn what_must_hold_for_well_formed_values_holds(sentences in sentences()) {
        for ((name, _), sentence) in WORDS.iter().zip(&sentences) {
            let known = TARGETS.iter().find(|(target, _)| target == name);
            let (_, property) = known.expect("words are for a target");
            property(sentence.as_bytes());
        }
    }
}

#[test]
fn every_property_has_its_fuzz_target() {
    let fuzz = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
    let manifest = std::fs::read_to_string(format!("{fuzz}/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in Cargo.toml");
        let path = format!("{fuzz}/fuzz_targets/{name}.rs");
        assert!(std::path::Path::new(&path).exists(), "{path} is missing");
    }
}
