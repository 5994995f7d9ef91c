//! What must hold for any bytes in a field or in the store. The fuzz targets and the property tests
//! call the same functions; each panics when its property does not hold.
//!
//! A new parser gets a function here or in a module of its kind, a line in [`TARGETS`], a file in
//! `fuzz/fuzz_targets` and its entry in `fuzz/Cargo.toml`; a test tells what is missing.

use std::time::Duration;

use crate::directives::{ResponseDirectives, Scope};
use crate::fields::Fields;
use crate::loops::{Reach, hops, reach};
use crate::strip::strip_hop_by_hop;
use crate::terms::Terms;
use crate::units::{Age, DeltaSeconds, Timestamp};
use crate::{
    Admit, Asked, Exchanged, Method, Plan, Reply, Rules, Vary, admit, age, classify, date, explain,
    respond,
};

pub mod keys;
pub mod marks;
pub mod ranges;

/// Panics unless it holds for these bytes.
pub type Property = fn(&[u8]);

/// All properties by the names of their fuzz targets.
pub const TARGETS: &[(&str, Property)] = &[
    ("policy_accel_expires", marks::accel_expires),
    ("policy_age", age_field),
    ("policy_cdn_loop", cdn_loop),
    ("policy_connection", connection),
    ("policy_content_range", ranges::content_range),
    ("policy_dates", dates),
    ("policy_directives", directives),
    ("policy_etags", etags),
    ("policy_expires", expires),
    ("policy_fields", stored_fields),
    ("policy_groups", marks::groups),
    ("policy_head_response", marks::head_response),
    ("policy_if_range", ranges::if_range),
    ("policy_key", key),
    ("policy_location", marks::location),
    ("policy_no_vary_search", keys::no_vary_search),
    ("policy_preferences", keys::preferences),
    ("policy_query", keys::query),
    ("policy_range", ranges::range),
    ("policy_request_directives", request_directives),
    ("policy_surrogate_control", marks::surrogate_control),
    ("policy_tags", marks::tags),
    ("policy_targeted", targeted),
    ("policy_terms", stored_terms),
    ("policy_vary", vary),
];

/// Mon, 23 Nov 2026 00:00:00 GMT.
const NOW: Timestamp = Timestamp::from_secs(1_795_392_000);

/// A head of these lines.
fn head(lines: &[(&str, &[u8])]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value);
    }
    fields
}

fn read(lines: &[(&str, &[u8])]) -> ResponseDirectives {
    ResponseDirectives::of(&head(lines), &Rules::default())
}

/// The bytes before and behind the first line feed.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

/// Age: what is no number counts as nothing, and what is counts in full.
pub fn age_field(data: &[u8]) {
    let delay = Duration::from_secs(3);
    let initial = age::initial(&head(&[("Age", data)]), NOW, NOW.plus(delay)).get();
    let first = data.split(|&byte| byte == b',').next().unwrap_or_default();
    let said = DeltaSeconds::parse(crate::syntax::trim(first)).unwrap_or_default();
    assert_eq!(initial, said.duration() + delay);
    assert!(Age::new(initial).as_field() <= DeltaSeconds::MAX.get());
}

/// CDN-Loop: whatever stands before, what a proxy adds is counted.
pub fn cdn_loop(data: &[u8]) {
    let ours: &[u8] = explain::CACHE_NAME.as_bytes();
    let before = hops(&head(&[("CDN-Loop", data)]));
    assert!(before <= data.split(|&byte| byte == b',').count());
    assert_eq!(hops(&head(&[("CDN-Loop", data), ("CDN-Loop", ours)])), before + 1);
    let joined = [data, b", ", ours].concat();
    assert!(hops(&head(&[("CDN-Loop", &joined)])) >= 1);
    let via = [b"1.1 ", ours].concat();
    assert!(hops(&head(&[("Via", data), ("Via", &via)])) >= 1);
    if let Reach::Forward(left) = reach(&Method::Trace, &head(&[("Max-Forwards", data)])) {
        assert!(left < u64::MAX && data.iter().all(u8::is_ascii_digit));
    }
}

/// Connection: it takes nothing away that protects.
pub fn connection(data: &[u8]) {
    let names = ["Cache-Control", "CDN-Loop", "Via", "Vary", "Authorization", "Content-Length"];
    let mut lines: Vec<(&str, &[u8])> = names.iter().map(|&name| (name, &b"x"[..])).collect();
    let kept = head(&lines);
    lines.push(("Connection", data));
    let mut fields = head(&lines);
    strip_hop_by_hop(&mut fields);
    assert_eq!(fields, kept);
}

/// Dates: what is read is written and read again as the same, whatever the case of its letters.
pub fn dates(data: &[u8]) {
    let Some(at) = date::parse(data, NOW) else { return };
    assert_eq!(date::parse(&data.to_ascii_lowercase(), NOW), Some(at));
    // Only years that can be written can be read back.
    if (0..253_402_300_800).contains(&at.as_secs()) {
        assert_eq!(date::parse(date::format(at).as_bytes(), NOW), Some(at));
    }
}

/// Cache-Control of responses: a further line never permits more, and letters have no case.
pub fn directives(data: &[u8]) {
    let alone = read(&[("Cache-Control", data)]);
    let and = |more: &[u8]| read(&[("Cache-Control", data), ("cache-control", more)]);
    assert!(and(b"no-store").no_store);
    assert_eq!(and(b"private").private, Scope::Everything);
    assert_eq!(and(b"no-cache").no_cache, Scope::Everything);
    assert!(and(b"must-revalidate").must_revalidate);
    assert!(and(b"max-age=5").max_age.is_some_and(|secs| secs.get() <= 5));
    assert!(and(b"max-age=x").max_age == Some(DeltaSeconds::ZERO));
    assert_eq!(and(b"unheard-of=\"no-store\""), alone);
    let loud = read(&[("Cache-Control", &data.to_ascii_uppercase())]);
    let facts = |d: &ResponseDirectives| {
        (d.max_age, d.s_maxage, d.no_cache, d.private, d.no_store, d.public, d.must_revalidate)
    };
    assert_eq!(facts(&loud), facts(&alone));
    if let Some(terms) = stored(&[("Cache-Control", data)]) {
        assert!(!alone.no_store || alone.must_understand);
        assert!(alone.private != Scope::Everything);
        let lifetime = alone.s_maxage.or(alone.max_age).unwrap_or_default();
        assert_eq!(terms.lifetime().get(), lifetime.duration());
    }
}

/// Cache-Control of requests: a further line never makes a client content with less.
pub fn request_directives(data: &[u8]) {
    let asked = |more: &[u8]| {
        let fields = head(&[("Cache-Control", data), ("Cache-Control", more)]);
        match classify(&Method::Get, &fields, false, &Rules::default()) {
            Plan::LookUp(asked) => asked,
            other => panic!("{other:?}"),
        }
    };
    assert!(asked(b"no-cache").no_cache && asked(b"no-store").no_store);
    assert!(asked(b"max-age=5").max_age.is_some_and(|secs| secs.get() <= 5));
    assert!(asked(b"min-fresh=5").min_fresh.is_some_and(|secs| secs.get() >= 5));
    assert!(asked(b"max-stale=5").max_stale.is_some_and(|secs| secs.get() <= 5));
}

/// Entity tags: what the client lists on a line of its own is always found, weak or not.
pub fn etags(data: &[u8]) {
    let reply = |theirs: &[u8], ours: &[u8]| {
        let request = head(&[("If-None-Match", data), ("If-None-Match", theirs)]);
        respond(&Method::Get, &request, 200, &head(&[("ETag", ours)]))
    };
    for theirs in [&b"\"a\""[..], b"W/\"a\"", b"\"b\", \"a\"", b"*"] {
        assert_eq!(reply(theirs, b"\"a\""), Reply::NotModified);
        assert_eq!(reply(theirs, b"W/\"a\""), Reply::NotModified);
    }
    // What cannot stand in a list cannot be listed.
    let names_all = crate::syntax::trim(data) == b"*";
    assert!(names_all || reply(b"\"a\"", b"\"\0\x01\"") == Reply::Full || data.contains(&1));
}

/// Expires: only a date later than the response makes it fresh.
pub fn expires(data: &[u8]) {
    let now = date::format(NOW);
    let lines: [(&str, &[u8]); 3] =
        [("ETag", b"\"a\""), ("Date", now.as_bytes()), ("Expires", data)];
    let terms = stored(&lines).unwrap_or_else(|| panic!("it has a lifetime and a validator"));
    let until = date::parse(data, NOW).unwrap_or(NOW);
    assert_eq!(terms.lifetime().get(), until.saturating_since(NOW));
}

/// Fields out of the store: what can be read is written as the same, and has no line in its lines.
pub fn stored_fields(data: &[u8]) {
    let Some((fields, rest)) = Fields::decode(data) else { return };
    assert!(rest.len() < data.len());
    let mut again = Vec::new();
    fields.encode(&mut again);
    assert_eq!(Fields::decode(&again), Some((fields.clone(), &[][..])));
    for (name, value) in fields.iter() {
        assert!(!name.iter().chain(value).any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
}

/// The key in Cache-Status: a String, whatever its bytes.
pub fn key(data: &[u8]) {
    let mut out = Vec::new();
    explain::put_key(&mut out, data);
    let inside = out.strip_prefix(b"; key=\"").and_then(|rest| rest.strip_suffix(b"\""));
    let inside = inside.unwrap_or_else(|| panic!("{out:?}"));
    assert!(inside.iter().all(|byte| (b' '..=b'~').contains(byte)));
    assert!(crate::directives::closes_only_at_end(inside) && out.len() < 1600);
}

/// Targeted fields: one that is valid is all that counts, one that is not does not count at all.
pub fn targeted(data: &[u8]) {
    let alone = read(&[("CDN-Cache-Control", data)]);
    let plain: (&str, &[u8]) = ("Cache-Control", b"no-store, max-age=5");
    let both = read(&[("CDN-Cache-Control", data), plain]);
    if alone.targeted {
        assert_eq!(both, alone);
        assert!(read(&[("CDN-Cache-Control", data), ("CDN-Cache-Control", b"x=1")]).targeted);
        assert!(!read(&[("CDN-Cache-Control", data), ("CDN-Cache-Control", b"=")]).targeted);
    } else {
        assert_eq!(both, read(&[plain]));
    }
}

/// Terms out of the store: what can be read is written as the same, and can be judged at any time.
pub fn stored_terms(data: &[u8]) {
    let Some((terms, rest)) = Terms::decode(data) else { return };
    assert!(rest.len() < data.len());
    let mut again = Vec::new();
    terms.encode(&mut again);
    assert_eq!(Terms::decode(&again), Some((terms.clone(), &[][..])));
    let (mut earlier, mut was_stale) = (Age::default(), false);
    for now in [i64::MIN, 0, NOW.as_millis(), i64::MAX] {
        let now = Timestamp::from_millis(now);
        let age = terms.age(now);
        assert!(age >= earlier && !(was_stale && terms.is_fresh(now)));
        (earlier, was_stale) = (age, !terms.is_fresh(now));
    }
    let _ = terms.vary().matches(&head(&[("Accept", b"x"), ("Accept-Encoding", b"gzip")]));
}

/// Vary, and the value of a field that it names: the request that stored a response selects it, and
/// the store gives back what it got.
pub fn vary(data: &[u8]) {
    let (names, value) = halves(data);
    let request = head(&[("Accept", value), ("Accept-Encoding", value), ("X", value)]);
    let usual = head(&[("Vary", names), ("Vary", b"Accept, accept-encoding, x")]);
    for response in [head(&[("Vary", names)]), usual] {
        let Ok(vary) = Vary::of(&response, &request) else { continue };
        assert!(vary.matches(&request));
        assert!(vary.names().is_sorted() && vary.names().all(crate::syntax::is_token));
        let mut bytes = Vec::new();
        vary.encode(&mut bytes);
        assert_eq!(Vary::decode(&bytes), Some((vary, &[][..])));
    }
    if let Some((vary, _)) = Vary::decode(data) {
        let _ = vary.matches(&request);
    }
}

/// The terms of a 200 to a plain GET that arrived now.
fn stored(response: &[(&str, &[u8])]) -> Option<Terms> {
    stored_by(&Rules::default(), response)
}

fn stored_by(rules: &Rules, response: &[(&str, &[u8])]) -> Option<Terms> {
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &Asked::default(),
        request: &Fields::new(),
        status: 200,
        response: &head(response),
        request_time: NOW,
        response_time: NOW,
    };
    match admit(&exchanged, rules) {
        Admit::Store(terms) => Some(terms),
        Admit::DoNotStore(_) => None,
    }
}

#[cfg(test)]
mod tests;
