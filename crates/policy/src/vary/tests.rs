use proptest::prelude::*;

use super::*;
use crate::fixture::fields;

/// Does the second request select what the first one stored?
fn selects(vary: &str, first: &str, second: &str) -> bool {
    let vary = Vary::of(&fields(vary), &fields(first)).expect("storable");
    assert!(vary.matches(&fields(first)), "a request selects its own response: {first}");
    let same = Vary::of(&fields("vary: foo"), &fields(second));
    assert!(same.is_ok());
    vary.matches(&fields(second))
}

#[test]
fn a_request_matches_exactly_when_its_nominated_fields_do() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
    //= type=test
    //# the cache MUST NOT use that stored response without revalidation unless all the presented
    //# request header fields nominated by that Vary field value match those fields in the original
    //# request
    let rows = [
        ("", "foo: 1", "foo: 2", true),
        ("vary: foo", "foo: 1", "foo: 1", true),
        ("vary: foo", "foo: 1", "FOO: 1\nbar: 2", true),
        ("vary: foo", "foo: 1", "foo: 2", false),
        ("vary: foo", "foo: 1", "", false),
        ("vary: foo", "", "foo: 1", false),
        ("vary: foo", "", "", true),
        ("vary: foo", "foo:", "", false),
        ("vary: foo", "foo:", "foo:", true),
        ("vary: foo, bar", "foo: 1\nbar: 2", "foo: 1\nbar: 3", false),
        ("vary: foo\nvary: bar", "foo: 1\nbar: 2", "foo: 1\nbar: 3", false),
        ("vary: foo\nvary: bar", "foo: 1\nbar: 2", "bar: 2\nfoo: 1", true),
    ];
    for (vary, first, second, expected) in rows {
        assert_eq!(selects(vary, first, second), expected, "{vary} | {first} | {second}");
    }
}

#[test]
fn an_absent_field_matches_only_an_absent_one() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
    //= type=test
    //# If (after any normalization that might take place) a header field is absent from a request,
    //# it can only match another request if it is also absent there.
    assert!(!selects("vary: foo", "", "foo:"));
    assert!(selects("vary: foo", "", "bar: 1"));
}

#[test]
fn whitespace_and_line_breaks_do_not_select_but_order_does() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
    //= type=test
    //# combining multiple header field lines with the same field name
    let rows = [
        ("foo: 1, 2", "foo: 1\nfoo: 2", true),
        ("foo: 1,2", "foo:  1 ,  2 ", true),
        ("foo: 1\nfoo: 2", "foo: 1,2", true),
        ("foo: 1, 2", "foo: 2, 1", false),
        ("foo: a b", "foo: a  b", false),
        ("foo: A", "foo: a", false),
        ("foo: \"a, b\"", "foo: \"a,b\"", false),
        ("foo: \"a\", b", "foo: \"a\",b", true),
    ];
    for (first, second, expected) in rows {
        assert_eq!(selects("vary: foo", first, second), expected, "{first} | {second}");
    }
}

#[test]
fn case_is_normalised_only_where_it_is_known_not_to_matter() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
    //= type=test
    //# normalizing both header field values in a way that is known to have identical semantics,
    //# according to the header field's specification
    let rows = [
        ("accept-language", "en, de", "eN,De", true),
        ("accept-language", "en, de", "de, en", true),
        ("accept-language", "en, de", " en ,   de", true),
        ("accept-language", "en, de;q=0.5", "de;q=0.50, en;Q=1.0", true),
        ("accept-language", "en, de;q=0.5", "de, en;q=0.5", false),
        ("accept-language", "en, de;q=0", "en", false),
        ("accept-language", "en, de", "fr;q=0.5, de;q=1.0", false),
        ("accept-language", "en, en_US", "en_us, en", false),
        ("accept-language", "en, en_US", "EN,en_us", true),
        ("accept-encoding", "gzip, br", "br, x-gzip", true),
        ("accept-encoding", "", "identity", false),
        ("accept-charset", "utf-8, latin1;q=0.1", "latin1;q=0.1,UTF-8", true),
        ("accept-encoding", "GZIP, br", "gzip,BR", true),
        ("accept", "a/b;p=X", "a/b;p=x", false),
        ("user-agent", "x (a, b)", "x (a,b)", false),
        ("cookie", "a=1, 2", "a=1,2", false),
    ];
    for (name, first, second, expected) in rows {
        let line = |value: &str| format!("{name}: {value}");
        let vary = format!("vary: {}", name.to_uppercase());
        assert_eq!(selects(&vary, &line(first), &line(second)), expected, "{name}");
    }
}

#[test]
fn vary_star_is_refused_wherever_it_stands() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
    //= type=test
    //# A stored response with a Vary header field value containing a member "*" always fails to
    //# match.
    for head in
        ["vary: *", "vary: *, *", "vary: , *", "vary:\nvary: *", "vary: foo, *", "vary: *, a"]
    {
        assert_eq!(Vary::of(&fields(head), &Fields::new()), Err(NotStored::VaryStar), "{head}");
    }
    let invalid = Vary::of(&fields("vary: foo bar"), &Fields::new());
    assert_eq!(invalid, Err(NotStored::VaryInvalid));
}

#[test]
fn the_discriminator_does_not_depend_on_how_vary_is_written() {
    let request = fields("a: 1\nb: 2");
    let of = |head: &str| Vary::of(&fields(head), &request).unwrap();
    assert_eq!(of("vary: a, b"), of("vary: B\nvary: A, a"));
    assert_ne!(of("vary: a, b"), of("vary: a"));
    assert!(of("vary:").is_empty() && of("").as_bytes().is_empty());
    assert!(of("vary: Cookie").depends_on("cookie"));
}

#[test]
fn a_damaged_discriminator_is_refused() {
    for inside in [&[2, b'a'][..], &[1, b'a'], &[1, b'a', 2], &[1, b'a', 1, 9], &[0x80]] {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, inside);
        put_bytes(&mut bytes, &[]);
        assert_eq!(Vary::decode(&bytes), None, "{inside:?}");
    }
}

#[test]
fn a_damaged_list_of_lines_as_sent_is_refused() {
    let request = fields("accept-language: en\nfoo: 1");
    let vary = Vary::of(&fields("vary: accept-language, foo"), &request).unwrap();
    for (sent, is_sound) in [(&[2, b'e', b'n'][..], true), (&[], false), (&[9], false)] {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, vary.as_bytes());
        put_bytes(&mut bytes, sent);
        assert_eq!(Vary::decode(&bytes).is_some(), is_sound, "{sent:?}");
    }
}

#[test]
fn a_request_with_several_lines_is_not_taken_for_one_with_an_empty_line() {
    let request = fields("accept-language: en\naccept-language: de");
    let vary = Vary::of(&fields("vary: accept-language"), &request).unwrap();
    assert!(!vary.matches(&fields("accept-language:")));
    assert!(vary.matches(&fields("accept-language: de, en")));
    assert!(vary.matches(&fields("accept-language: de\naccept-language: en")));
}

#[test]
fn a_long_run_of_whitespace_is_compared_in_one_pass() {
    // Quadratic work would take minutes here.
    let value = format!("a{}b", " ".repeat(1 << 20));
    let vary = Vary::of(&fields("vary: foo"), &fields(&format!("foo: {value}"))).unwrap();
    assert!(vary.matches(&fields(&format!("foo: {value}"))));
    assert!(!vary.matches(&fields(&format!("foo: {value}c"))));
}

/// Values that are often equal after normalisation, and sometimes not of the grammar.
fn preferences() -> impl Strategy<Value = String> {
    let member = "(en|EN|de|gzip|x-gzip|\\*|e_)( ?; ?[qQ]=(1|1\\.0|0|0\\.5|0\\.50|2))?";
    let separator = prop::sample::select(vec![",", ", ", " ,\t", ",,", "; "]);
    (prop::collection::vec(member, 0..4), separator).prop_map(|(list, by)| list.join(by))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_fast_comparison_of_a_line_agrees_with_the_general_one(
        name in prop::sample::select(vec!["foo", "accept-encoding", "cookie"]),
        first in "[abA,\"\\\\ \t]{0,9}",
        spaces in "[ \t]{0,2}",
        second in "[abA,\"\\\\ \t]{0,9}",
    ) {
        let with = |value: &str| {
            let mut request = Fields::new();
            request.push(name.as_bytes(), value.as_bytes());
            request
        };
        let vary = Vary::of(&fields(&format!("vary: {name}")), &with(&first)).unwrap();
        let respaced = first.replace(',', &format!("{spaces},{spaces}"));
        for value in [first, respaced, second] {
            for (_, stored) in vary.entries() {
                let line = value.as_bytes();
                let stored = stored.unwrap();
                let general = is_same(name.as_bytes(), std::iter::once(line), stored);
                prop_assert_eq!(is_same_line(name.as_bytes(), line, stored), general);
                prop_assert_eq!(vary.matches(&with(&value)), general);
            }
        }
    }

    #[test]
    fn two_requests_select_each_other_exactly_when_their_discriminator_is_the_same(
        name in prop::sample::select(vec!["foo", "accept-encoding", "accept-language", "cookie"]),
        mut first in prop::collection::vec(preferences(), 0..3),
        second in prop::collection::vec(preferences(), 0..3),
        is_reversed in any::<bool>(),
    ) {
        let with = |lines: &[String]| {
            let mut request = Fields::new();
            for line in lines {
                request.push(name.as_bytes(), line.as_bytes());
            }
            request
        };
        let request = with(&first);
        first.reverse();
        let second = with(if is_reversed { &first } else { &second });
        let first = request;
        let response = fields(&format!("vary: {name}"));
        let [ours, theirs] = [&first, &second].map(|r| Vary::of(&response, r).unwrap());
        let is_same = ours.as_bytes() == theirs.as_bytes();
        prop_assert!(ours.matches(&first) && theirs.matches(&second));
        prop_assert_eq!(ours.matches(&second), is_same);
        prop_assert_eq!(theirs.matches(&first), is_same);
    }
}

#[test]
fn the_fields_of_two_variants_are_compared_without_their_values() {
    let vary = |names: &str, request: &str| {
        Vary::of(&fields(&format!("vary: {names}")), &fields(request)).expect("storable")
    };
    let rows = [
        ("foo", "foo", true),
        ("foo, bar", "bar, FOO", true),
        ("foo", "foo, bar", false),
        ("foo, bar", "foo", false),
        ("", "foo", false),
        ("", "", true),
    ];
    for (one, other, expected) in rows {
        let got = vary(one, "foo: 1").has_names_of(&vary(other, "foo: 2\nbar: 3"));
        assert_eq!(got, expected, "{one} | {other}");
    }
}

#[test]
fn clients_learn_only_that_it_varies_beyond_them() {
    //= https://www.rfc-editor.org/rfc/rfc9440#section-2.4
    //= type=test
    //# If a TTRP encounters a response with Client-Cert or Client-Cert-Chain in the Vary header
    //# field (Section 12.5.5 of [HTTP]), it SHOULD prevent the user agent from caching the response
    //# by transforming the value of the Vary response header field to "*".
    for (value, expected) in [
        ("Accept", "Accept"),
        ("client-cert", "*"),
        ("Accept, Client-Cert", "*"),
        ("Client-Cert-Chain,x", "*"),
        ("Client-Cert-Other", "Client-Cert-Other"),
    ] {
        assert_eq!(for_clients(value.as_bytes()), expected.as_bytes());
    }
    assert!(selects("vary: client-cert", "client-cert: :a:", "client-cert: :a:"));
    assert!(!selects("vary: client-cert", "client-cert: :a:", "client-cert: :b:"));
    assert!(!selects("vary: client-cert", "client-cert: :a:", ""));
}
