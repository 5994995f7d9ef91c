use proptest::prelude::*;

use super::*;
use crate::fixture::fields;

fn rule(value: &str) -> Option<NoVarySearch> {
    NoVarySearch::of(&fields(&format!("No-Vary-Search: {value}")))
}

fn list<const N: usize>(only: bool, any_order: bool, names: [&str; N]) -> NoVarySearch {
    let names = names.map(|name| name.as_bytes().into()).into();
    NoVarySearch { only, names, any_order }
}

#[test]
fn the_field_is_read_as_the_draft_has_it() {
    //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-5.3
    //= type=test
    //# The parse a key algorithm allows encoding non-ASCII key strings in the ASCII structured
    //# header field format, similar to how the application/x-www-form-urlencoded format
    //# [WHATWG-URL] allows encoding an entire entry list of keys and values in a URI
    for (value, expected) in [
        (r#"params=("a")"#, list(false, false, ["a"])),
        (r#"params=("b" "a" "b")"#, list(false, false, ["a", "b"])),
        (r#"except=("x")"#, list(true, false, ["x"])),
        ("except=()", list(true, false, [])),
        ("key-order", list(false, true, [])),
        ("key-order=?1", list(false, true, [])),
        (r#"except=("x"), key-order"#, list(true, true, ["x"])),
        ("params=(), key-order", list(false, true, [])),
        (r#"params=("a");q=1, x=@1659578233, y=%"f%c3%bc", z=:YQ==:"#, list(false, false, ["a"])),
        (r#"params=("a";q=1), unknown-key"#, list(false, false, ["a"])),
        (r#"params=1, params=("a")"#, list(false, false, ["a"])),
        (r#"params=("%C3%A9+%E6%B0%97")"#, list(false, false, ["é 気"])),
        (r#"params=("%f6" "a%2" "%zz")"#, list(false, false, ["%zz", "a%2", "\u{fffd}"])),
        (r#"params=("\"\\")"#, list(false, false, ["\"\\"])),
        (r#"params=("")"#, list(false, false, [""])),
    ] {
        assert_eq!(rule(value), Some(expected), "{value}");
    }
    let lines = fields("No-Vary-Search: key-order\nno-vary-search: params=(\"a\")");
    assert_eq!(NoVarySearch::of(&lines), Some(list(false, true, ["a"])));
}

#[test]
fn what_is_faulty_or_says_nothing_has_no_effect() {
    //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-5.1
    //= type=test
    //# In general, this algorithm is strict and tends to return the default URL variation config
    //# whenever it sees something it doesn't recognize.
    //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-3
    //= type=test
    //# The `except` entry MUST NOT be present if the `params` entry is also present.
    for value in [
        r#"key-order="not a boolean""#,
        r#"params="not an inner list""#,
        "params=(not-a-string)",
        "params=?0",
        "params=?1",
        r#"params=?1, except=("x")"#,
        r#"params=("a"), except=("x")"#,
        "params=(), except=()",
        r#"except="not an inner list""#,
        "except=(not-a-string)",
        "except=?1",
        "params",
        "params=()",
        "key-order=?0",
        "unknown-key",
        "",
        r#"params=("a" b)"#,
        r#"params=("a",)"#,
        r#"params=("a"),"#,
        r#"params=("a"#,
        r#"params=("a"), key-order=1"#,
        r#"params=("a"), KEY-ORDER"#,
        r#"params=("é")"#,
        r#"params=("a") except"#,
        r#"params=(("a"))"#,
        r#"x=%"%c3", params=("a")"#,
        r#"x=%"%C3%BC", params=("a")"#,
        r#"x=@1.5, params=("a")"#,
    ] {
        assert_eq!(rule(value), None, "{value}");
    }
    assert_eq!(NoVarySearch::of(&Fields::new()), None);
}

fn check(value: &str, rows: &[(&str, &str, bool)]) {
    // A query begins with `?`, if there is one.
    fn query(text: &str) -> Option<&[u8]> {
        text.strip_prefix('?').map(str::as_bytes)
    }
    let rule = rule(value).unwrap();
    for (one, other, expected) in rows {
        assert_eq!(rule.is_equivalent(query(one), query(other)), *expected, "{one} {other}");
        assert_eq!(canonical(&rule, query(one)) == canonical(&rule, query(other)), *expected);
    }
}

fn canonical(rule: &NoVarySearch, query: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    rule.canonical(query, &mut out);
    out
}

#[test]
fn under_any_rule_queries_are_compared_parsed() {
    //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-6.1
    //= type=test
    //# A null query is parsed the same as an empty string
    let rows = [
        ("", "?", true),
        ("?a=x", "?%61=%78", true),
        ("?a=é", "?a=%C3%A9", true),
        ("?a=%f6", "?a=%ef%bf%bd", true),
        ("?a=%f6", "?a=%f7", true),
        ("?a=x&&&&", "?a=x", true),
        ("?a=", "?a", true),
        ("?a=%20", "?a= &", true),
        ("?a=+", "?a= &", true),
        ("?a=%2B", "?a=+", false),
        ("?a=%2b", "?a=%2B", true),
        ("?a=%26b", "?a=&b", false),
        ("?a%3Db", "?a=b", false),
        ("?a=b=c", "?a=b%3Dc", true),
        ("?=a", "?a", false),
        ("?=", "?", false),
        ("?a=%", "?a=%25", true),
        ("?a=%2", "?a=%252", true),
        ("?a=%zz", "?a=%25zz", true),
        ("?a;b", "?a&b", false),
        ("?a=\u{feff}", "?a", false),
        ("?a=x", "?A=x", false),
        ("?a?b", "?a%3Fb", true),
    ];
    for value in ["key-order", r#"params=("zzz")"#] {
        check(value, &rows);
    }
}

#[test]
fn each_rule_leaves_out_what_it_names() {
    check(
        "key-order",
        &[
            ("?a=1&b=2", "?b=2&a=1", true),
            ("?a=1&a=2", "?a=2&a=1", false),
            ("?a=1&b=2&a=3", "?b=2&a=1&a=3", true),
            ("?a=1", "?a=1&b", false),
        ],
    );
    check(
        r#"params=("utm" "%C3%A9+%E6%B0%97")"#,
        &[
            ("?a=1&utm=2", "?a=1", true),
            ("?utm", "", true),
            ("?%75tm=2&a=1", "?a=1&utm=3&utm=4", true),
            ("?utm2=1", "", false),
            ("?UTM=1", "", false),
            ("?é 気=1", "?%C3%A9+%E6%B0%97=4", true),
            ("?a=1&b=2", "?b=2&a=1", false),
        ],
    );
    check(
        r#"except=("id")"#,
        &[
            ("?id=1&a=1", "?b=2&id=1", true),
            ("?id=1", "?id=2", false),
            ("?id=1&id=2", "?id=2&id=1", false),
            ("?a", "", true),
            ("?id", "", false),
        ],
    );
    check("except=()", &[("?a=1", "?b=2", true), ("", "?x", true)]);
    check(r#"except=("a" "b"), key-order"#, &[("?b&c&a", "?a&b", true), ("?b", "?a", false)]);
}

#[test]
fn rules_share_their_encoding_only_if_they_are_equal() {
    let rules = ["key-order", "except=()", r#"params=("a")"#, r#"params=("a" "b")"#]
        .into_iter()
        .chain([r#"params=("ab")"#, r#"except=("a")"#, r#"except=("a"), key-order"#])
        .map(|value| rule(value).unwrap());
    let mut encoded: Vec<Vec<u8>> = rules
        .map(|rule| {
            let mut out = Vec::new();
            rule.encode(&mut out);
            out
        })
        .collect();
    encoded.sort();
    encoded.dedup();
    assert_eq!(encoded.len(), 7);
}

/// The comparison as the draft writes it, on strings, with nothing shared with the code above but
/// the rule.
fn by_the_letter(rule: &NoVarySearch, one: &str, other: &str) -> bool {
    fn decode(text: &str) -> String {
        let text = text.replace('+', " ");
        let mut bytes = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let digits =
                text.as_bytes().get(at + 1..at + 3).filter(|_| text.as_bytes()[at] == b'%');
            let digits = digits.filter(|two| two.iter().all(u8::is_ascii_hexdigit));
            if let Some(two) = digits {
                bytes.push(u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap());
                at += 3;
            } else {
                bytes.push(text.as_bytes()[at]);
                at += 1;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
    let parse = |query: &str| -> Vec<(String, String)> {
        let sequences = query.split('&').filter(|sequence| !sequence.is_empty());
        let mut pairs: Vec<_> = sequences
            .map(|sequence| sequence.split_once('=').unwrap_or((sequence, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .filter(|(name, _)| {
                rule.names.iter().any(|known| **known == *name.as_bytes()) == rule.only
            })
            .collect();
        if rule.any_order {
            pairs.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
        }
        pairs
    };
    parse(one) == parse(other)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn canonical_forms_are_equal_exactly_if_queries_are_equivalent(
        one in "([abé=&+%]|%[46][1-3]|%f6|%ef%bf%bd|a=|b=|&){0,8}",
        other in "([abé=&+%]|%[46][1-3]|%f6|%ef%bf%bd|a=|b=|&){0,8}",
        value in prop::sample::select(vec![
            "key-order", "except=()", r#"params=("a")"#, r#"except=("a")"#,
            r#"params=("b"), key-order"#, r#"except=("a" "b"), key-order"#,
        ]),
        shuffled in any::<bool>(),
    ) {
        let rule = rule(value).unwrap();
        // Queries that are alike are rare among random ones.
        let mut parts: Vec<&str> = one.split('&').collect();
        parts.reverse();
        let other = if shuffled { parts.join("&") } else { other };
        let expected = by_the_letter(&rule, &one, &other);
        let (one, other) = (Some(one.as_bytes()), Some(other.as_bytes()));
        prop_assert_eq!(rule.is_equivalent(one, other), expected);
        prop_assert_eq!(canonical(&rule, one) == canonical(&rule, other), expected);
    }

    #[test]
    fn no_field_and_no_query_make_it_panic(
        value in prop::collection::vec(any::<u8>(), 0..60),
        query in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut fields = Fields::new();
        fields.push(b"No-Vary-Search", &value);
        let _ = NoVarySearch::of(&fields);
        canonical(&rule(r#"params=("a"), key-order"#).unwrap(), Some(&query));
    }
}
