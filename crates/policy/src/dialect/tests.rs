use super::*;
use crate::fixture::fields;

/// What Surrogate-Control says to us: the lifetime, the time it may be stale, and whether it must
/// not be stored.
fn surrogate(value: &str) -> Option<(Option<u32>, Option<u32>, bool)> {
    let said = Dialect::SurrogateControl.read(&fields(&format!("surrogate-control: {value}")))?;
    assert!(said.targeted && said.dialect == Some(Dialect::SurrogateControl));
    assert_eq!(said.stale_while_revalidate, said.stale_if_error);
    let secs = |n: Option<DeltaSeconds>| n.map(DeltaSeconds::get);
    Some((secs(said.max_age), secs(said.stale_if_error), said.no_store))
}

#[test]
fn surrogate_control_gives_a_lifetime_or_forbids_storing() {
    let rows = [
        ("max-age=3600", Some((Some(3600), None, false))),
        ("MaX-aGe=3600", Some((Some(3600), None, false))),
        ("foobar, max-age=3600", Some((Some(3600), None, false))),
        ("max-age=0", Some((Some(0), None, false))),
        ("max-age=2147483648", Some((Some(1 << 31), None, false))),
        ("max-age=99999999999", Some((Some(1 << 31), None, false))),
        ("max-age=\"60\"", Some((Some(60), None, false))),
        ("max-age=60, max-age=30", Some((Some(30), None, false))),
        ("max-age=60\nsurrogate-control: no-store", Some((Some(60), None, true))),
        ("max-age=60+10", Some((Some(60), Some(10), false))),
        ("max-age=60+0", Some((Some(60), Some(0), false))),
        ("max-age=60+x", Some((Some(0), None, false))),
        ("max-age=+10", Some((Some(0), None, false))),
        ("max-age =100", Some((Some(0), None, false))),
        ("max-age= 100", Some((Some(0), None, false))),
        ("max-age", Some((Some(0), None, false))),
        ("no-store", Some((None, None, true))),
        ("NO-STORE-remote", Some((None, None, true))),
        ("no-store, max-age=60", Some((Some(60), None, true))),
        ("content=\"ESI/1.0\", max-age=60", Some((Some(60), None, false))),
        ("content=\"a, max-age=60;b\"", None),
        ("private, no-cache, public", None),
        ("foo", None),
        ("", None),
        (";, ,=", None),
    ];
    for (value, expected) in rows {
        assert_eq!(surrogate(value), expected, "{value}");
    }
}

#[test]
fn a_directive_for_us_by_name_outranks_one_for_all_and_one_for_others_does_not_count() {
    let rows = [
        ("max-age=60;caching-proxy", Some((Some(60), None, false))),
        ("max-age=60 ; Caching-Proxy", Some((Some(60), None, false))),
        ("max-age=60;other;caching-proxy", Some((Some(60), None, false))),
        ("max-age=60;", Some((Some(60), None, false))),
        ("max-age=60;not-for-you", None),
        ("max-age=60;caching-proxy-2", None),
        ("no-store;not-for-you, max-age=60", Some((Some(60), None, false))),
        ("max-age=30, max-age=60;caching-proxy", Some((Some(60), None, false))),
        ("no-store, max-age=60+5;caching-proxy", Some((Some(60), Some(5), false))),
        ("max-age=60, no-store;caching-proxy", Some((None, None, true))),
        ("no-store, content=\"x\";caching-proxy", Some((None, None, true))),
    ];
    for (value, expected) in rows {
        assert_eq!(surrogate(value), expected, "{value}");
    }
}

#[test]
fn accel_expires_is_seconds_an_instant_or_a_prohibition() {
    let read = |value: &str| {
        let said = Dialect::AccelExpires.read(&fields(&format!("x-accel-expires: {value}")))?;
        assert!(said.targeted && said.dialect == Some(Dialect::AccelExpires));
        Some((said.max_age.map(DeltaSeconds::get), said.expires, said.no_store))
    };
    let at = |secs| Some(Timestamp::from_secs(secs));
    let rows = [
        ("60", Some((Some(60), None, false))),
        ("99999999999", Some((Some(1 << 31), None, false))),
        ("0", Some((Some(0), None, true))),
        ("@1795392060", Some((None, at(1_795_392_060), false))),
        ("@9999999999", Some((None, at(9_999_999_999), false))),
        ("@0", Some((None, at(0), true))),
        ("60\nx-accel-expires: 30", Some((Some(60), None, false))),
        ("60\nx-accel-expires: 0", Some((Some(0), None, true))),
        ("x\nx-accel-expires: 30", Some((Some(30), None, false))),
        ("off", None),
        ("-1", None),
        ("@", None),
        ("@-1", None),
        ("1.5", None),
        ("60, 30", None),
        ("", None),
    ];
    for (value, expected) in rows {
        assert_eq!(read(value), expected, "{value}");
    }
}

fn listing(names: &[&str]) -> Rules {
    let targeted = names.iter().map(|name| (*name).to_owned()).collect();
    Rules { targeted, ..Rules::default() }
}

#[test]
fn the_place_in_the_list_decides_which_field_is_read() {
    let head = fields(
        "cache-control: max-age=1\ncdn-cache-control: max-age=2\nsurrogate-control: max-age=3\n\
         x-accel-expires: 4",
    );
    let rows: [(&[&str], u32, Option<Dialect>); 6] = [
        (&[], 1, None),
        (&["cdn-cache-control", "surrogate-control"], 2, None),
        (&["SURROGATE-control", "cdn-cache-control"], 3, Some(Dialect::SurrogateControl)),
        (&["x-accel-expires", "surrogate-control"], 4, Some(Dialect::AccelExpires)),
        (&["surrogate-control", "x-accel-expires"], 3, Some(Dialect::SurrogateControl)),
        (&["other-cache-control"], 1, None),
    ];
    for (names, secs, dialect) in rows {
        let got = ResponseDirectives::of(&head, &listing(names));
        let got = (got.max_age.map(DeltaSeconds::get), got.dialect, got.targeted);
        assert_eq!(got, (Some(secs), dialect, !matches!(secs, 1)), "{names:?}");
    }
}

#[test]
fn only_the_field_that_was_heeded_is_taken_away() {
    let both = "surrogate-control: max-age=3\nx-accel-expires: 4\ncdn-cache-control: max-age=2";
    let rows: [(&[&str], &str, &str); 5] = [
        (&["surrogate-control"], both, "x-accel-expires: 4\ncdn-cache-control: max-age=2"),
        (&["x-accel-expires"], both, "surrogate-control: max-age=3\ncdn-cache-control: max-age=2"),
        (&["cdn-cache-control"], both, both),
        (&["surrogate-control"], "surrogate-control: foo", "surrogate-control: foo"),
        (
            &["surrogate-control"],
            "surrogate-control: max-age=3;x",
            "surrogate-control: max-age=3;x",
        ),
    ];
    for (names, head, expected) in rows {
        let mut head = fields(head);
        strip_heeded(&mut head, &listing(names));
        assert_eq!(head, fields(expected), "{names:?}");
    }
}

#[test]
fn the_origin_is_told_of_surrogate_control_only_where_it_is_read() {
    let ours = "Surrogate-Capability: caching-proxy=\"Surrogate/1.0\"";
    let theirs = "surrogate-capability: abc=\"ESI/1.0\"";
    let both = "Surrogate-Capability: abc=\"ESI/1.0\", caching-proxy=\"Surrogate/1.0\"";
    let rows: [(&[&str], &str, &str); 4] = [
        (&["surrogate-control"], "", ours),
        (&["surrogate-control"], theirs, both),
        (&["surrogate-control"], "surrogate-capability:", ours),
        (&["x-accel-expires"], theirs, theirs),
    ];
    for (names, request, expected) in rows {
        let mut request = fields(request);
        announce(&mut request, &listing(names));
        assert_eq!(request, fields(expected), "{names:?}");
    }
}
