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
