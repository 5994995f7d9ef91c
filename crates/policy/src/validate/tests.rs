use super::*;
use crate::fixture::fields;

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn conditions(stored: &str) -> Option<Fields> {
    let mut out = Fields::new();
    conditional_fields(&fields(stored), &mut out).then_some(out)
}

fn freshened(stored: &str, not_modified: &str) -> Fields {
    let mut stored = fields(stored);
    freshen(&mut stored, &fields(not_modified), &Rules::default());
    stored
}

#[test]
fn both_validators_are_sent() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
    //= type=test
    //# MUST send the relevant entity tags (using If-Match, If-None-Match, or If-Range) if the entity
    //# tags were provided in the stored response(s) being validated.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
    //= type=test
    //# SHOULD send the Last-Modified value (using If-Modified-Since) if the request is not for a
    //# subrange, a single stored response is being validated, and that response contains a
    //# Last-Modified value.
    let tag = "If-None-Match: W/\"a\"";
    let since = format!("If-Modified-Since: {MODIFIED}");
    assert_eq!(conditions("ETag: W/\"a\""), Some(fields(tag)));
    assert_eq!(conditions(&format!("last-modified: {MODIFIED}")), Some(fields(&since)));
    let both = format!("last-modified: {MODIFIED}\netag: W/\"a\"");
    assert_eq!(conditions(&both), Some(fields(&format!("{tag}\n{since}"))));
    assert_eq!(conditions("etag:\nlast-modified: yesterday\ndate: x"), None);
}

#[test]
fn all_tags_are_sent_once_and_a_date_only_for_a_single_response() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
    //= type=test
    //# SHOULD send the Last-Modified value (using If-Modified-Since) if the request is not for a
    //# subrange, a single stored response is being validated, and that response contains a
    //# Last-Modified value.
    let modified = format!("last-modified: {MODIFIED}");
    let since = format!("If-Modified-Since: {MODIFIED}");
    let both = format!("etag: \"b\"\n{modified}");
    let rows: [(&[&str], Option<&str>); 8] = [
        (&["etag: \"a\"", "etag: \"b\""], Some("If-None-Match: \"a\", \"b\"")),
        (&["etag: \"a\"", "etag: \"a\""], Some("If-None-Match: \"a\"")),
        (&["etag: \"a\"", "etag: W/\"a\""], Some("If-None-Match: \"a\", W/\"a\"")),
        (&["etag: \"a\"", &both], Some("If-None-Match: \"a\", \"b\"")),
        (&["etag: \"a\"", &modified], Some("If-None-Match: \"a\"")),
        (&[&modified, "a: b"], Some(&since)),
        (&[&modified, &modified], None),
        (&[], None),
    ];
    for (stored, expected) in rows {
        let stored: Vec<Fields> = stored.iter().map(|head| fields(head)).collect();
        let mut out = Fields::new();
        let got = conditional_fields_of(stored.iter(), &mut out).then_some(out);
        assert_eq!(got, expected.map(fields), "{stored:?}");
    }
}

#[test]
fn a_304_is_about_the_newest_of_several_that_it_names() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
    //= type=test
    //# All the stored responses in the initial set with one of those same strong validators are
    //# identified for update.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
    //= type=test
    //# then the most recent of those matching stored responses is identified for update.
    let modified = format!("last-modified: {MODIFIED}");
    let tagged = format!("etag: \"b\"\n{modified}");
    let gzip = "etag: \"a\"\ncontent-encoding: gzip";
    let rows: [(&[&str], &str, Option<usize>); 15] = [
        (&["etag: \"a\"", "etag: \"b\""], "etag: \"b\"", Some(1)),
        (&["etag: \"a\"", "etag: \"b\""], "etag: \"c\"", None),
        (&["etag: W/\"a\"", "etag: \"a\""], "etag: \"a\"", Some(1)),
        (&["etag: \"b\"", "etag: W/\"a\"", "etag: \"a\""], "etag: W/\"a\"", Some(1)),
        (&["etag: \"a\"", "etag: \"a\""], "etag: \"a\"", Some(0)),
        // It cannot be told which coding the origin means.
        (&["etag: \"a\"", gzip], "etag: \"a\"", None),
        (&["etag: \"a\"", gzip], "etag: W/\"a\"", None),
        (&[gzip, gzip, "etag: \"b\""], "etag: \"a\"", Some(0)),
        (&["etag: \"a\"", &tagged], &modified, Some(1)),
        (&[&modified, &tagged], &modified, None),
        (&["etag: \"a\"", "etag: \"b\""], "", None),
        (&["etag: \"a\"", "b: c"], "", Some(0)),
        (&["a: b", "b: c"], "", None),
        (&["a: b"], "", Some(0)),
        (&[], "", None),
    ];
    for (stored, not_modified, expected) in rows {
        let lists: Vec<Fields> = stored.iter().map(|head| fields(head)).collect();
        let lists: Vec<&Fields> = lists.iter().collect();
        let got = selected(&lists, &fields(not_modified));
        assert_eq!(got, expected, "{stored:?} | {not_modified}");
    }
}

#[test]
fn a_request_that_fills_the_cache_keeps_only_what_is_for_the_origin() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
    //= type=test
    //# In summary, the If-Match and If-Unmodified-Since conditional header fields are not applicable
    //# to a cache
    let mut request = fields(
        "If-None-Match: a\nif-modified-since: b\nIf-Range: c\nRange: d\nIf-Match: e\n\
         If-Unmodified-Since: f\nAccept: g",
    );
    strip_conditionals(&mut request);
    assert_eq!(request, fields("If-Match: e\nIf-Unmodified-Since: f\nAccept: g"));
}

#[test]
fn a_304_is_about_the_stored_response_when_their_validators_agree() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
    //= type=test
    //# If none of the initial set contains at least one of the same strong validators, then the cache
    //# MUST NOT use the new response to update any stored responses.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
    //= type=test
    //# If the new response contains no strong validators but does contain one or more weak
    //# validators, and those validators correspond to one of the initial set's stored responses, then
    //# the most recent of those matching stored responses is identified for update.
    let modified = format!("last-modified: {MODIFIED}");
    let rfc850 = "last-modified: Sunday, 06-Nov-94 08:49:37 GMT";
    let other = "last-modified: Sun, 06 Nov 1994 08:49:38 GMT";
    let rows = [
        ("etag: \"a\"", "etag: \"a\"", true),
        ("etag: \"a\"", "etag: \"b\"", false),
        ("etag: W/\"a\"", "etag: \"a\"", false),
        (&modified, "etag: \"a\"", false),
        ("etag: \"a\"", "etag: W/\"a\"", true),
        ("etag: W/\"a\"", "etag: W/\"a\"", true),
        ("etag: W/\"a\"", "etag: W/\"b\"", false),
        (&modified, &modified, true),
        (&modified, rfc850, true),
        (&modified, other, false),
        ("etag: \"a\"", other, false),
        ("etag: \"a\"", "", true),
        (&modified, "date: x", true),
    ];
    for (stored, not_modified, expected) in rows {
        let got = selected_by(&fields(stored), &fields(not_modified));
        assert_eq!(got, expected, "{stored} | {not_modified}");
    }
}

#[test]
fn a_304_replaces_the_fields_it_has_and_keeps_the_others() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
    //= type=test
    //# When doing so, the cache MUST add each header field in the provided response to the stored
    //# response, replacing field values that are already present, with the following exceptions:
    let got = freshened(
        "A: 1\nB: 2\nb: 3\nCache-Control: max-age=1\nContent-Foo: t",
        "b: 4\nB: 5\nCache-Control: max-age=2\nContent-Foo: u\nC: 6",
    );
    let expected = "A: 1\nb: 4\nB: 5\nCache-Control: max-age=2\nContent-Foo: u\nC: 6";
    assert_eq!(got, fields(expected));
}

#[test]
fn a_304_does_not_redescribe_the_stored_bytes() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
    //= type=test
    //# The Content-Length header field.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
    //= type=test
    //# Header fields that the cache's stored response depends upon, as described below,
    let stored = "Content-Length: 36\nContent-Encoding: gzip\nContent-MD5: a\nContent-Digest: b\n\
                  Repr-Digest: c\nDigest: d";
    let changed = "content-length: 0\ncontent-encoding: br\ncontent-md5: x\ncontent-digest: x\n\
                   repr-digest: x\ndigest: x\ncontent-range: bytes */9\ntrailer: x";
    assert_eq!(freshened(stored, changed), fields(stored));
    assert_eq!(freshened("A: 1", changed), fields("A: 1"));
}

#[test]
fn a_304_may_refine_the_media_type_and_not_change_it() {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
    //= type=test
    //# Caches in this situation MAY omit these header fields from updating stored responses on an
    //# exceptional basis but SHOULD limit such omission to those fields necessary to assure integrity
    //# of the stored response.
    let rows = [
        ("text/plain", "text/plain;charset=utf-8", true),
        ("text/plain; charset=latin1", "Text/Plain ;charset=utf-8", true),
        ("text/plain; charset=utf-8", "text/plain", true),
        ("text/plain", "text/html", false),
        ("text/plain", "text/plainer", false),
        ("text/plain", "", false),
        ("text/plain", "text/plain\ncontent-type: text/html", false),
    ];
    for (ours, theirs, is_taken) in rows {
        let (ours, theirs) = (format!("content-type: {ours}"), format!("content-type: {theirs}"));
        let expected = if is_taken { &theirs } else { &ours };
        assert_eq!(freshened(&ours, &theirs), fields(expected), "{ours} | {theirs}");
    }
    assert_eq!(freshened("A: 1", "content-type: text/html"), fields("A: 1"));
    assert_eq!(freshened("content-type: a/b", "A: 1"), fields("content-type: a/b\nA: 1"));
}

#[test]
fn fields_that_are_not_stored_do_not_come_in_by_a_304() {
    let head =
        "Connection: x\nX: 1\nKeep-Alive: 2\nTransfer-Encoding: chunked\nProxy-Authenticate: 3";
    assert_eq!(freshened("A: 1", head), fields("A: 1"));
    let private = "Cache-Control: private=\"secret\"";
    let got = freshened("A: 1", &format!("{private}\nsecret: 1"));
    assert_eq!(got, fields(&format!("A: 1\n{private}")));
    let got = freshened(&format!("A: 1\n{private}"), "secret: 1");
    assert_eq!(got, fields(&format!("A: 1\n{private}")));
}

#[test]
fn what_was_stored_before_it_was_withheld_goes() {
    let rows = [
        ("Secret: 1", "Cache-Control: private=\"secret\"", "Secret: 2"),
        ("Secret: 1", "Cache-Control: private=\"secret\"", ""),
        // A targeted field counts instead of Cache-Control.
        ("Secret: 1", "CDN-Cache-Control: private=\"secret\"", "Secret: 2"),
    ];
    for (stored, control, new) in rows {
        let new = fields(&format!("{control}\n{new}"));
        let mut updated = fields(stored);
        freshen(&mut updated, &new, &Rules::default());
        assert_eq!(updated, fields(control));
        let withheld = withheld_fields(&updated, &new, &Rules::default());
        assert_eq!(withheld.iter().count(), new.iter().count() - 1, "{control}");
    }
    let targeted = "CDN-Cache-Control: max-age=1\nCache-Control: private=\"secret\"";
    let got = freshened(&format!("Secret: 1\n{targeted}"), "Secret: 2");
    assert_eq!(got, fields(&format!("{targeted}\nSecret: 2")));
}

#[test]
fn a_validated_response_has_the_age_and_date_of_its_validation() {
    assert_eq!(freshened("Date: a\nAge: 500\nB: 1", "Date: b"), fields("B: 1\nDate: b"));
    assert_eq!(freshened("Date: a\nAge: 500", ""), Fields::new());
    assert_eq!(freshened("Age: 500", "Age: 7"), fields("Age: 7"));
}
