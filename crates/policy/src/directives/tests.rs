use super::*;
use crate::fixture::fields;

fn read(head: &str) -> ResponseDirectives {
    ResponseDirectives::of(&fields(head), &Rules::default())
}

#[test]
fn max_age_is_read_in_every_form_and_stale_in_every_other() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2
    //= type=test
    //# Cache directives are identified by a token, to be compared case-insensitively, and have an
    //# optional argument that can use both token and quoted-string syntax.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //= type=test
    //# Caches are encouraged to consider responses that have invalid freshness information (e.g., a
    //# max-age directive with non-integer content) to be stale.
    let rows: &[(&str, Option<u32>)] = &[
        ("max-age=60", Some(60)),
        ("MaX-aGe=60", Some(60)),
        ("max-age=\"60\"", Some(60)),
        ("foobar, max-age=60", Some(60)),
        (",,max-age=60,", Some(60)),
        ("max-age=003600", Some(3600)),
        ("max-age=99999999999", Some(1 << 31)),
        ("max-age=1800, max-age=1", Some(1)),
        ("max-age=1, max-age=1800", Some(1)),
        ("max-age=-3600", Some(0)),
        ("max-age='3600'", Some(0)),
        ("max-age=3600.0", Some(0)),
        ("max-age=3600a", Some(0)),
        ("max-age =3600", Some(0)),
        ("max-age= 3600", Some(0)),
        ("max-age=", Some(0)),
        ("max-age", Some(0)),
        ("max-age=\"60", Some(0)),
        ("extension=\"max-age=3600\"", None),
        ("extension=\"a, max-age=3600\"", None),
        ("x-max-age=60", None),
        ("", None),
    ];
    for (value, expected) in rows {
        let got = read(&format!("cache-control: {value}")).max_age.map(DeltaSeconds::get);
        assert_eq!(got, *expected, "{value}");
    }
}

#[test]
fn directives_of_all_lines_count_and_the_most_restrictive_wins() {
    let got = read("cache-control: public, max-age=10\nCache-Control: max-age=5, No-StOrE");
    assert_eq!(got.max_age.map(DeltaSeconds::get), Some(5));
    assert!(got.no_store && got.public);
}

#[test]
fn a_prohibition_with_a_stray_argument_counts_and_a_permission_does_not() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2
    //= type=test
    //# For the cache directives defined below, no argument is defined (nor allowed) unless stated
    //# otherwise.
    let got = read("cache-control: no-store=1, must-revalidate=\"x\", public=1, must-understand=1");
    assert!(got.no_store && got.must_revalidate);
    assert!(!got.public && !got.must_understand);
}

#[test]
fn immutable_has_no_argument_but_survives_one() {
    //= https://www.rfc-editor.org/rfc/rfc8246#section-2
    //= type=test
    //# The immutable extension takes no arguments. If any arguments are present, they have no
    //# meaning and MUST be ignored.
    assert!(read("cache-control: immutable=no").immutable);
}

#[test]
fn a_directive_we_do_not_know_changes_nothing() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.3
    //= type=test
    //# A cache MUST ignore unrecognized cache directives.
    let known = read("cache-control: max-age=5");
    assert_eq!(read("cache-control: max-age=5, community=\"UCI\", xyz"), known);
}

#[test]
fn no_cache_and_private_are_about_the_fields_they_name_or_about_everything() {
    let rows = [
        ("no-cache", Scope::Everything),
        ("no-cache=\"a\"", Scope::NamedFields),
        ("no-cache=\"A, b\"", Scope::NamedFields),
        ("no-cache=a", Scope::NamedFields),
        ("no-cache=\"a\", no-cache", Scope::Everything),
        ("no-cache, no-cache=\"a\"", Scope::Everything),
        ("no-cache=\"\"", Scope::Everything),
        ("no-cache=\"a b\"", Scope::Everything),
        ("no-cache=\"a", Scope::Everything),
    ];
    for (value, expected) in rows {
        let got = read(&format!("cache-control: {value}"));
        assert_eq!(got.no_cache, expected, "{value}");
        let private = read(&format!("cache-control: {}", value.replace("no-cache", "private")));
        assert_eq!(private.private, expected, "{value}");
        assert_eq!(
            got.withholds(b"a"),
            value.contains("a\"") || value.contains('A') || value.ends_with("=a"),
            "{value}"
        );
    }
}

#[test]
fn sharing_an_authorised_response_takes_one_of_three_directives() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.5
    //= type=test
    //# In this specification, the following response directives have such an effect:
    //# must-revalidate (Section 5.2.2.2), public (Section 5.2.2.9), and s-maxage (Section 5.2.2.10).
    for value in ["public", "must-revalidate", "s-maxage=1"] {
        assert!(read(&format!("cache-control: {value}")).permits_authorized(), "{value}");
    }
    assert!(!read("cache-control: max-age=60, proxy-revalidate").permits_authorized());
}

#[test]
fn a_valid_targeted_field_replaces_cache_control_and_an_invalid_one_is_ignored() {
    //= https://www.rfc-editor.org/rfc/rfc9213#section-2.2
    //= type=test
    //# the cache MUST select the first (in target-list order) field with a valid, non-empty value
    //# and use its value to determine the caching policy for the response, and it MUST ignore the
    //# Cache-Control and Expires header fields in that response, unless no valid, non-empty value is
    //# available from the listed header fields.
    let rows = [
        ("max-age=100", Some(100)),
        ("max-age=100;p=1, foobar", Some(100)),
        ("max-age=5, max-age=100", Some(100)),
        ("max-age=99999999999", Some(1 << 31)),
        ("", None),
        ("max-age=\"100\"", None),
        ("max-age=100.5", None),
        ("max-age=-1", None),
        ("max-age =100", None),
        ("max-age= 100", None),
        ("MaX-aGe=100", None),
        ("max-age=100, &&&&", None),
        ("max-age=100,", None),
    ];
    for (value, expected) in rows {
        let head = format!("cache-control: no-store\ncdn-cache-control: {value}");
        let got = read(&head);
        assert_eq!(got.max_age.map(DeltaSeconds::get), expected, "{value}");
        assert_eq!(
            (got.targeted, got.no_store),
            (expected.is_some(), expected.is_none()),
            "{value}"
        );
    }
}

#[test]
fn the_first_valid_field_of_the_target_list_is_used() {
    let mut rules = Rules::default();
    rules.targeted.insert(0, "Our-Cache-Control".to_owned());
    let head = "cdn-cache-control: max-age=1\nour-cache-control: max-age=2";
    let got = ResponseDirectives::of(&fields(head), &rules);
    assert_eq!(got.max_age.map(DeltaSeconds::get), Some(2));
    let head = "cdn-cache-control: max-age=1\nour-cache-control: ???";
    let got = ResponseDirectives::of(&fields(head), &rules);
    assert_eq!(got.max_age.map(DeltaSeconds::get), Some(1));
}

#[test]
fn what_prohibits_counts_even_where_the_grammar_is_broken() {
    type Prohibits = fn(&ResponseDirectives) -> bool;
    let rows: &[(&str, Prohibits)] = &[
        ("max-age=60; private", |got| got.private == Scope::Everything),
        ("max-age=60;No-Store", |got| got.no_store),
        ("max-age=60 no-cache", |got| got.no_cache == Scope::Everything),
        ("public; proxy-revalidate", |got| got.proxy_revalidate && !got.public),
        ("x=\"open, must-revalidate, max-age=60", |got| got.must_revalidate),
        ("x=\"a\\\", no-store", |got| got.no_store),
        ("; private", |got| got.private == Scope::Everything),
        ("\"private\"", |got| got.private == Scope::Everything),
        ("private = \"a\"", |got| got.private == Scope::Everything),
        ("no-store foo", |got| got.no_store),
    ];
    for (value, prohibits) in rows {
        assert!(prohibits(&read(&format!("cache-control: {value}"))), "{value}");
    }
    // A permission or a lifetime needs the grammar, and a quoted string is only text.
    for value in ["x; public; max-age=60", "x=\"private, no-store\"", "x=no-store", "no-storex"] {
        assert_eq!(read(&format!("cache-control: {value}")), read(""), "{value}");
    }
}

#[test]
fn conflicting_directives_are_read_restrictively_wherever_they_stand() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //= type=test
    //# If directives conflict (e.g., both max-age and no-cache are present), the most restrictive
    //# directive should be honored.
    for value in
        ["max-age=60, no-cache", "no-cache, max-age=60", "no-cache\ncache-control: max-age=60"]
    {
        let got = read(&format!("cache-control: {value}"));
        assert_eq!(
            (got.no_cache, got.max_age.map(DeltaSeconds::get)),
            (Scope::Everything, Some(60))
        );
    }
    for value in ["public, private", "private, public", "public, private=\"a\", private"] {
        assert_eq!(read(&format!("cache-control: {value}")).private, Scope::Everything, "{value}");
    }
    let rows = [
        ("s-maxage=10, s-maxage=5", Some(5)),
        ("s-maxage=10, s-maxage=x", Some(0)),
        ("s-maxage=\"10\"", Some(10)),
        ("S-MaxAge=10", Some(10)),
    ];
    for (value, expected) in rows {
        let got = read(&format!("cache-control: {value}")).s_maxage.map(DeltaSeconds::get);
        assert_eq!(got, expected, "{value}");
    }
}

#[test]
fn seconds_are_as_great_as_they_are_said_to_be_up_to_two_to_the_31() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2
    //= type=test
    //# If a cache receives a delta-seconds value greater than the greatest integer it can represent,
    //# or if any of its subsequent calculations overflows, the cache MUST consider the value to be
    //# 2147483648
    let rows: &[(&str, u32)] = &[
        ("2147483647", (1 << 31) - 1),
        ("2147483648", 1 << 31),
        ("2147483649", 1 << 31),
        ("4294967296", 1 << 31),
        ("18446744073709551616", 1 << 31),
        ("3600.5", 0),
        ("a3600", 0),
        ("+3600", 0),
        ("0x10", 0),
        ("1e3", 0),
    ];
    for (digits, expected) in rows {
        let value =
            format!("max-age={digits}, stale-if-error={digits}, stale-while-revalidate={digits}");
        let got = read(&format!("cache-control: {value}"));
        for seconds in [got.max_age, got.stale_if_error, got.stale_while_revalidate] {
            assert_eq!(seconds.map(DeltaSeconds::get), Some(*expected), "{value}");
        }
    }
}

#[test]
fn a_targeted_field_has_its_own_prohibitions_and_its_parameters_do_not_count() {
    //= https://www.rfc-editor.org/rfc/rfc9213#section-2.1
    //= type=test
    //# Parameters received on cache directives are to be ignored, unless other handling is explicitly
    //# specified.
    //= https://www.rfc-editor.org/rfc/rfc9213#section-2.2
    //= type=test
    //# The semantics and precedence of cache directives in a targeted field are the same as those in
    //# Cache-Control. In particular, no-store and no-cache make max-age inoperative, and unrecognized
    //# extension directives are ignored.
    type Holds = fn(&ResponseDirectives) -> bool;
    let rows: &[(&str, Holds)] = &[
        ("private", |got| got.private == Scope::Everything),
        ("private=\"a\"", |got| got.private == Scope::NamedFields && got.withholds(b"A")),
        ("no-cache", |got| got.no_cache == Scope::Everything),
        ("no-cache=\"a, b\"", |got| got.no_cache == Scope::NamedFields && got.withholds(b"b")),
        ("no-store", |got| got.no_store),
        ("no-store=?1", |got| got.no_store),
        ("no-store=?0", |got| !got.no_store),
        ("no-store;max-age=60", |got| got.no_store && got.max_age.is_none()),
        ("max-age=60, must-revalidate;x=1", |got| got.must_revalidate && got.max_age.is_some()),
        ("max-age=60;max-age=5", |got| got.max_age == Some(DeltaSeconds::new(60))),
        ("none", |got| got.max_age.is_none() && !got.no_store),
        ("s-maxage=5, max-age=60", |got| got.s_maxage == Some(DeltaSeconds::new(5))),
        ("stale-if-error=5", |got| got.stale_if_error == Some(DeltaSeconds::new(5))),
    ];
    for (value, holds) in rows {
        let head = format!("cache-control: max-age=1\nexpires: 0\ncdn-cache-control: {value}");
        let got = read(&head);
        assert!(got.targeted && holds(&got), "{value}");
    }
    let wrong = [
        "max-age=?1",
        "max-age=(60)",
        "max-age=tok",
        "private=tok",
        "no-cache=:YQ==:",
        "s-maxage=\"5\"",
        "max-age=9999999999999999",
        "max-age=60 , , x",
        "no-store, max-age=1.0",
    ];
    for value in wrong {
        let got = read(&format!("cache-control: max-age=1\ncdn-cache-control: {value}"));
        assert_eq!((got.targeted, got.max_age), (false, Some(DeltaSeconds::new(1))), "{value}");
    }
}
