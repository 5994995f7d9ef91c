//! What an origin says about responses besides how long they last: groups, tags, places, and the
//! fields for this proxy alone.

use std::collections::BTreeSet;

use super::{NOW, halves, head, stored, stored_by};
use crate::dialect::{announce, strip_heeded};
use crate::directives::ResponseDirectives;
use crate::explain::CACHE_NAME;
use crate::groups::{groups as groups_of, invalidated_groups};
use crate::head_update::{HeadEffect, StoredForHead, head_effect};
use crate::invalidate::invalidated;
use crate::seen::{OriginName, Seen};
use crate::tags::tags as tags_of;
use crate::{Asked, DeltaSeconds, Fields, Lifetime, Method, Rules};

/// Cache-Groups: written again they are the same, all or none, and only unsafe methods end them.
pub fn groups(data: &[u8]) {
    let read = |lines: &[&[u8]]| {
        let both = ["Cache-Groups", "Cache-Group-Invalidation"];
        let lines = lines.iter().flat_map(|line| both.map(|name| (name, *line)));
        let response = head(&lines.collect::<Vec<_>>());
        let names = groups_of(&response);
        assert_eq!(invalidated_groups(&Method::Post, &response), names);
        for method in [Method::Get, Method::Head, Method::Query, Method::Options, Method::Connect] {
            assert!(invalidated_groups(&method, &response).is_empty());
        }
        names
    };
    let names = read(&[data]);
    let quoted: Vec<Vec<u8>> =
        names.iter().map(|name| [b"\"", &name[..], b"\""].concat()).collect();
    assert_eq!(read(&[&quoted.join(&b", "[..])]), names);
    assert!(names.iter().flatten().all(|byte| (b' '..=b'~').contains(byte)));
    assert!(names.iter().map(Vec::len).sum::<usize>() + 2 * names.len() <= data.len());
    assert!(read(&[data, b"x"]).is_empty());
    if !names.is_empty() {
        let more: Vec<_> = names.into_iter().chain([b"more".to_vec()]).collect();
        assert_eq!(read(&[data, b"\"more\";x=1"]), more);
    }
}

/// Tags: within their bounds, none lost without a word, and none that the response has not.
pub fn tags(data: &[u8]) {
    let many = vec![data; 600].join(&b" , "[..]);
    for value in [data, &many] {
        for name in ["Surrogate-Key", "cache-tag", "XKey"] {
            let response = head(&[(name, value), ("x", b"not-a-tag")]);
            let tags = tags_of(&response);
            assert!(tags.names.len() <= 1024 && tags.names.concat().len() <= 16 << 10);
            let is_sound = |tag: &[u8]| {
                let splits = |byte: &u8| match name {
                    "Surrogate-Key" => byte.is_ascii_whitespace(),
                    "cache-tag" => *byte == b',',
                    _ => *byte == b',' || byte.is_ascii_whitespace(),
                };
                (1..=1024).contains(&tag.len()) && !tag.iter().any(splits)
            };
            assert!(tags.names.iter().all(|tag| is_sound(tag)));
            let separates = |byte: &u8| *byte == b',' || byte.is_ascii_whitespace();
            let letters = |text: &[u8]| text.iter().filter(|byte| !separates(byte)).count();
            let kept: usize = tags.names.iter().map(|tag| letters(tag)).sum();
            // A comma is a tag where only spaces separate.
            assert!(tags.beyond || kept == letters(value), "{tags:?}");
        }
    }
}

/// Location: whatever is named is of this origin, has no dot segments, and is named again by its URL.
pub fn location(data: &[u8]) {
    let origin = OriginName { scheme: b"https", authority: b"api:8443", prefix: b"/v1" };
    let plain = OriginName { scheme: b"http", authority: b"api", prefix: b"" };
    for origin in [origin, plain] {
        let path_and_query = b"/a/b?q";
        let seen = Seen { scheme: b"http", authority: b"a.example", path_and_query, origin };
        let inside = [origin.scheme, b"://", origin.authority, origin.prefix].concat();
        let references = [data, &[b"/", data].concat(), &[&inside[..], b"/x/", data].concat()];
        let keys = references.map(|text| [seen.named(text), seen.named_to_client(text)]);
        for key in keys.into_iter().flatten().flatten() {
            let url = key.strip_prefix(b"GET|").unwrap_or_else(|| panic!("{key:?}"));
            let path = url.strip_prefix(b"http://a.example").unwrap_or_else(|| panic!("{key:?}"));
            let until_query = path.split(|&byte| byte == b'?').next().unwrap_or_default();
            assert!(path.starts_with(b"/") && !path.contains(&b'#'));
            assert!(!until_query.split(|&b| b == b'/').any(|part| part == b"." || part == b".."));
            assert_eq!(seen.named_to_client(url).as_ref(), Some(&key));
            assert_eq!(seen.named(&[&inside, path].concat()).as_ref(), Some(&key));
        }
        for other in [&b"http://b.example/"[..], b"//b.example?", b"https://a.example/", b"ftp:"] {
            let reference = [other, data].concat();
            assert_eq!((seen.named(&reference), seen.named_to_client(&reference)), (None, None));
        }
        let (one, two) = halves(data);
        let response = head(&[("Location", one), ("Content-Location", two)]);
        let keys = invalidated(&Method::Post, 200, &seen, &response);
        assert!(keys[0] == seen.key() && keys.len() <= 5);
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        assert!(invalidated(&Method::Get, 200, &seen, &response).is_empty());
    }
}

fn rules(name: &str) -> Rules {
    Rules { targeted: vec![name.to_owned()], ..Rules::default() }
}

/// Surrogate-Control: what is said to us outranks what is said to all, and shortens what else is
/// said to us. Only what was heeded is kept from clients.
pub fn surrogate_control(data: &[u8]) {
    const NAME: &str = "Surrogate-Control";
    let rules = rules(NAME);
    let read = |more: &[u8]| {
        let response = head(&[(NAME, data), (NAME, more), ("Cache-Control", b"max-age=7")]);
        let said = ResponseDirectives::of(&response, &rules);
        let mut passed_on = response.clone();
        strip_heeded(&mut passed_on, &rules);
        assert_eq!(passed_on.contains(NAME), said.dialect.is_none());
        assert!(passed_on.contains("Cache-Control"));
        said
    };
    let to_us = |text: &str| read(format!("{text};{CACHE_NAME}").as_bytes());
    assert!(to_us("no-store").no_store && to_us("no-store-remote").no_store);
    let short = to_us("max-age=5+3");
    assert!(short.max_age.is_some_and(|secs| secs.get() <= 5));
    assert!(short.stale_while_revalidate.is_some_and(|secs| secs.get() <= 3));
    assert!(short.stale_if_error.is_some_and(|secs| secs.get() <= 3));
    assert_eq!(read(b"no-store;somebody-else"), read(b"unheard-of"));
    let alone = read(b"");
    assert!(alone.dialect.is_some() || alone.max_age == Some(DeltaSeconds::new(7)));
    let mut request = head(&[("Surrogate-Capability", data)]);
    announce(&mut request, &rules);
    let told = request.get("Surrogate-Capability").unwrap_or_default();
    let keeps_earlier = told.starts_with(data) || crate::syntax::trim(data).is_empty();
    assert!(keeps_earlier && told.ends_with(b"=\"Surrogate/1.0\""));
}

/// X-Accel-Expires: a zero forbids wherever it stands, a number is heeded to the second, and what is
/// no number is as if it were not there.
pub fn accel_expires(data: &[u8]) {
    const NAME: &str = "X-Accel-Expires";
    let rules = rules(NAME);
    let read = |lines: &[&[u8]]| {
        let lines: Vec<(&str, &[u8])> = lines.iter().map(|line| (NAME, *line)).collect();
        ResponseDirectives::of(&head(&lines), &rules)
    };
    for zero in [&b"0"[..], b"@0", b" 000 "] {
        assert!(read(&[data, zero]).no_store && read(&[zero, data]).no_store);
    }
    let alone = read(&[data]);
    let digits = crate::syntax::trim(data);
    let digits = digits.strip_prefix(b"@").unwrap_or(digits);
    assert_eq!(alone.dialect.is_some(), DeltaSeconds::parse(digits).is_some());
    if alone.dialect.is_none() {
        assert_eq!(read(&[data, b"9"]), read(&[b"9"]));
    }
    let terms =
        stored_by(&rules, &[("ETag", b"\"a\""), ("Cache-Control", b"max-age=7"), (NAME, data)]);
    let Some(terms) = terms else { return assert!(alone.no_store) };
    let lifetime = match (alone.max_age, alone.expires) {
        (Some(secs), None) => secs.duration(),
        (None, Some(until)) => until.saturating_since(NOW),
        neither => {
            assert_eq!((neither, alone.dialect), ((None, None), None));
            DeltaSeconds::new(7).duration()
        }
    };
    assert_eq!(terms.lifetime(), Lifetime::new(lifetime));
}

/// The answer to a HEAD: only the very length and the very tag confirm what is stored.
pub fn head_response(data: &[u8]) {
    let (length, tag) = halves(data);
    let lines: [(&str, &[u8]); 2] = [("ETag", tag), ("Cache-Control", b"max-age=5")];
    let terms = stored(&lines).unwrap_or_else(|| panic!("it has a lifetime"));
    let fields = head(&lines);
    let ours = StoredForHead { status: 200, fields: &fields, length: Some(60), terms: &terms };
    let judge = |answer: &Fields| {
        head_effect(&Asked::default(), &ours, 200, answer, NOW, &Rules::default())
    };
    let has_tag = !crate::syntax::trim(tag).is_empty();
    let digits = crate::syntax::trim(length);
    let significant = digits.iter().position(|byte| *byte != b'0').unwrap_or(0);
    let is_same = &digits[significant..] == b"60";
    let expected =
        if is_same { HeadEffect::Freshen { validated: has_tag } } else { HeadEffect::Outdated };
    assert_eq!(judge(&head(&[("ETag", tag), ("Content-Length", length)])), expected);
    if has_tag {
        let other = [tag, b"x"].concat();
        assert_eq!(judge(&head(&[("ETag", &other)])), HeadEffect::Outdated);
    }
}
