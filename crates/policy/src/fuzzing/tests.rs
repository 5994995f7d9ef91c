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
    "bytes=",
    "bytes ",
    "0-9",
    "-5",
    "5-",
    "100-160",
    "/10",
    "/60",
    "18446744073709551615",
    "params=(",
    "except=(",
    "key-order",
    "\"a\" \"b\"",
    "&",
    "=1",
    "a=1",
    "b",
    "+",
    "%41",
    "{",
    "}",
    "[",
    "]",
    "\"x\":",
    "true",
    "null",
    "-0.5e+1",
    "application/json",
    "text/plain;a=b",
    "charset=utf-8",
    "en",
    "de;q=0.5",
    "x-gzip",
    "q=1",
    "http://",
    "https://",
    "//",
    "api:8443",
    "/v1",
    "/",
    "..",
    ".",
    "?",
    "#",
    "@",
    "1795392060",
    "60+10",
    "max-age=60;caching-proxy",
    "no-store-remote",
    "no-transform",
    "Last-Modified",
    "Sun, 22 Nov 2026 00:00:00 GMT",
];

fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec());
    let piece = prop_oneof![5 => piece, 1 => vec(any::<u8>(), 1..4)];
    prop_oneof![
        4 => vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        1 => vec(any::<u8>(), 0..60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn what_must_hold_for_any_bytes_holds(bytes in input()) {
        for (_, property) in TARGETS {
            property(&bytes);
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
