use proptest::prelude::*;

use super::*;
use crate::fixture::fields;

fn of(head: &str, content: &str) -> Vec<u8> {
    let mut out = Vec::new();
    identity(&fields(head), content.as_bytes(), &mut out);
    out
}

#[test]
fn content_and_what_describes_it_tell_queries_apart() {
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
    //= type=test
    //# MUST incorporate the request content
    let all = [
        of("", ""),
        of("", "a"),
        of("", "a "),
        of("Content-Type: text/plain", "a"),
        of("Content-Type: text/plain;charset=utf-8", "a"),
        of("Content-Type: text/plain;charset=latin1", "a"),
        of("Content-Type: text/plain\nContent-Type: text/plain", "a"),
        of("Content-Type: text/plain\nContent-Language: en", "a"),
        of("Content-Type: text/plain\nContent-Encoding: gzip", "a"),
        of("Content-Type: text/plain\nContent-Encoding: gzip, br", "a"),
        of("Content-Type: text/plain\nContent-Location: /x", "a"),
        of("Content-Type: text/plain\nContent-Digest: sha-256=:YQ==:", "a"),
        of("Content-Type: text/plain\nRepr-Digest: sha-256=:YQ==:", "a"),
        of("Content-Type: application/json", "{}"),
        of("Content-Type: application/json", "[]"),
        of("Content-Type: application/json", "{\"a\":1}"),
        of("Content-Type: application/json", "{\"a\":1.0}"),
        of("Content-Type: application/json", "{\"a\":\" 1\"}"),
        of("Content-Type: application/ld+json", "{}"),
    ];
    for (at, one) in all.iter().enumerate() {
        for other in &all[..at] {
            assert_ne!(one, other);
        }
    }
}

#[test]
fn what_is_not_about_the_content_does_not() {
    let plain = of("Content-Type: a/b", "x");
    for head in [
        "Accept: text/html\nContent-Type: a/b",
        "Content-Type: a/b\nContent-Length: 1",
        "content-type: a/b\nCookie: a=b\nAuthorization: x",
    ] {
        assert_eq!(of(head, "x"), plain, "{head}");
    }
    let one = of("Content-Type: a/b\nContent-Language: en", "x");
    assert_eq!(of("Content-Language: en\nContent-Type: a/b", "x"), one);
}

#[test]
fn the_spelling_of_a_media_type_does_not_count() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1
    //= type=test
    //# The type and subtype tokens are case-insensitive.
    for (value, normal) in [
        ("text/html;charset=utf-8", "text/html;charset=utf-8"),
        ("Text/HTML;Charset=\"utf-8\"", "text/html;charset=utf-8"),
        ("text/html; charset=\"UTF-8\"", "text/html;charset=utf-8"),
        ("a/b;X=1 ; y=2", "a/b;x=1;y=2"),
        ("a/b;y=2;x=1", "a/b;x=1;y=2"),
        ("a/b;x=Case", "a/b;x=Case"),
        (r#"a/b;x="p\"\\\q;r""#, r#"a/b;x="p\"\\q;r""#),
        (r#"a/b;x="""#, r#"a/b;x="""#),
        // As they are: twice the same name, and what is not well-formed.
        ("a/b;X=1;x=1", "a/b;X=1;x=1"),
        ("A/B;", "A/B;"),
        ("A/B;x", "A/B;x"),
        ("A/B; x = 1", "A/B; x = 1"),
        ("A/B;x=\"1", "A/B;x=\"1"),
        ("A/B;x=\"1\\\"", "A/B;x=\"1\\\""),
        ("A/B;x=\"1\"2\"", "A/B;x=\"1\"2\""),
        ("A", "A"),
        ("A/B/C", "A/B/C"),
        ("/B", "/B"),
        ("A /B", "A /B"),
    ] {
        assert_eq!(String::from_utf8(media_type(value.as_bytes())).unwrap(), normal);
    }
    let head = "Content-Type: a/b\nContent-Encoding: GZIP ,br";
    assert_eq!(of(head, ""), of("Content-Type: A/B\nContent-Encoding: gzip,br", ""));
}

#[test]
fn whitespace_between_the_tokens_of_json_does_not_count() {
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
    //= type=test
    //# normalizing based upon knowledge of format conventions, as indicated by any media subtype
    //# suffix in the request's Content-Type field
    let pretty = "{\n  \"a b\" : [ 1 , -2.5e+3,\ttrue, null ],\r\n\"c\":{} }\n";
    let compact = r#"{"a b":[1,-2.5e+3,true,null],"c":{}}"#;
    for kind in ["application/json", "APPLICATION/Problem+JSON", "a/b+json; charset=UTF-8"] {
        let head = format!("Content-Type: {kind}");
        assert_eq!(of(&head, pretty), of(&head, compact), "{kind}");
    }
    for head in [
        "",
        "Content-Type: text/plain",
        "Content-Type: application/jsonl",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: application/json\nContent-Type: application/json",
        "Content-Type: application/json\nContent-Encoding: gzip",
        "Content-Type: application/json;",
    ] {
        assert_ne!(of(head, pretty), of(head, compact), "{head}");
    }
}

#[test]
fn a_client_can_ask_that_nothing_is_normalised() {
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.7
    //= type=test
    //# Clients can indicate, using the "no-transform" cache directive
    let head = "Content-Type: application/json\nCache-Control: max-age=5, no-transform";
    assert_ne!(of(head, "{ }"), of(head, "{}"));
    assert_ne!(of(head, "{}"), of("Content-Type: application/json", "{}"));
    let upper = "Content-Type: Application/json\nCache-Control: no-transform";
    assert_ne!(of(head, "{}"), of(upper, "{}"));
}

#[test]
fn only_what_is_json_to_the_last_byte_is_compacted() {
    for (text, compact) in [
        ("0", Some("0")),
        (" -0.5E-2 ", Some("-0.5E-2")),
        (r#""a\"\\\u00e9 \/""#, Some(r#""a\"\\\u00e9 \/""#)),
        ("[ ]", Some("[]")),
        ("[[ ], { }]", Some("[[],{}]")),
        ("\"é  \"", Some("\"é  \"")),
        ("", None),
        (" ", None),
        ("1 2", None),
        ("01", None),
        ("-", None),
        ("1.", None),
        (".5", None),
        ("1e", None),
        ("+1", None),
        ("tru e", None),
        ("True", None),
        ("NaN", None),
        ("[1,]", None),
        ("[1 2]", None),
        ("[,1]", None),
        ("[1", None),
        ("{\"a\":1,}", None),
        ("{\"a\" 1}", None),
        ("{a:1}", None),
        ("{\"a\":}", None),
        ("{1:1}", None),
        ("[1}", None),
        ("\"a", None),
        ("\"\\x\"", None),
        ("\"\\u12\"", None),
        ("\"\n\"", None),
        ("'a'", None),
        ("[1] // x", None),
        ("\u{feff}{}", None),
        ("[\u{a0}1]", None),
        ("[\u{c}1]", None),
    ] {
        let got = compact_json(text.as_bytes()).map(|json| String::from_utf8(json).unwrap());
        assert_eq!(got.as_deref(), compact, "{text:?}");
    }
    assert_eq!(compact_json(b"\"\xff\""), None);
    let nested = |depth| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(compact_json(&nested(DEPTH)).is_some());
    assert!(compact_json(&nested(DEPTH + 1)).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn compacting_takes_away_nothing_but_whitespace(
        text in r#"([\[\]{},: \n]|"[a ]{0,3}"|1|-0.5|true){0,12}"#,
    ) {
        if let Some(compact) = compact_json(text.as_bytes()) {
            prop_assert_eq!(compact_json(&compact), Some(compact.clone()));
            // What is left out stands outside strings: they are all there, in order.
            let strings = |text: &str| {
                text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
            };
            let compact = String::from_utf8(compact).unwrap();
            prop_assert_eq!(strings(&compact), strings(&text));
            let dense = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(dense(&compact), dense(&text));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        value in prop::collection::vec(any::<u8>(), 0..40),
        content in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut request = Fields::new();
        request.push(b"Content-Type", &value);
        identity(&request, &content, &mut Vec::new());
        identity(&fields("Content-Type: a/b+json"), &content, &mut Vec::new());
    }
}
