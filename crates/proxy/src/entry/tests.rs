use policy::{Admit, Asked, Exchanged, Method, Rules, Timestamp};
use proptest::prelude::*;
use store::Meta;

use super::*;

fn stored() -> StoredHead {
    let mut fields = Fields::new();
    fields.push(b"Cache-Control", b"max-age=60");
    fields.push(b"ETag", b"\"a\"");
    fields.push(b"x-Case", b"Kept");
    stored_with(&fields)
}

fn stored_with(fields: &Fields) -> StoredHead {
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &Asked::default(),
        request: &Fields::new(),
        status: 200,
        response: fields,
        request_time: Timestamp::from_secs(1_000),
        response_time: Timestamp::from_secs(1_000),
    };
    let Admit::Store(terms) = policy::admit(&exchanged, &Rules::default()) else {
        panic!("it may be stored")
    };
    StoredHead::new(200, b"Fine", fields, terms)
}

fn encoded() -> Vec<u8> {
    let mut out = Vec::new();
    stored().encode(&mut out);
    out
}

#[test]
fn what_was_encoded_is_read_back() {
    let read = StoredHead::decode(&encoded()).unwrap();
    let expected =
        "HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\nx-Case: Kept\r\n";
    assert_eq!(String::from_utf8_lossy(read.http1_block()), expected);
    assert_eq!((read.fields(), &read.terms), (stored().fields(), &stored().terms));
    assert_eq!((read.status(), read.reason()), (200, &b"Fine"[..]));
}

#[test]
fn a_vary_that_is_beyond_clients_is_another_one_for_them() {
    let mut fields = Fields::new();
    fields.push(b"Cache-Control", b"max-age=60");
    fields.push(b"Vary", b"Accept, Client-Cert");
    let mut out = Vec::new();
    stored_with(&fields).encode(&mut out);
    let read = StoredHead::decode(&out).unwrap();
    let expected = "HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nVary: *\r\n";
    assert_eq!(String::from_utf8_lossy(read.http1_block()), expected);
    assert_eq!(read.fields(), fields);
}

#[test]
fn the_digest_of_a_query_is_kept_and_tells_variants_apart() {
    let mut out = Vec::new();
    stored().for_query([7; 32]).encode(&mut out);
    let read = StoredHead::decode(&out).unwrap();
    assert_eq!(read.query(), Some(&[7; 32]));
    assert_eq!(read.variant(), stored().for_query([7; 32]).variant());
    assert_ne!(read.variant(), stored().for_query([8; 32]).variant());
    assert_ne!(read.variant(), stored().variant());
    assert_eq!(stored().query(), None);
    for length in 0..out.len() {
        assert!(StoredHead::decode(&out[..length]).is_none(), "{length}");
    }
}

#[test]
fn what_is_cut_or_longer_or_of_another_format_is_damaged() {
    let whole = encoded();
    for length in 0..whole.len() {
        assert!(StoredHead::decode(&whole[..length]).is_none(), "{length}");
    }
    assert!(StoredHead::decode(&[&whole[..], b"x"].concat()).is_none());
    assert!(StoredHead::decode(&[&[FORMAT + 1], &whole[1..]].concat()).is_none());
}

fn part(tag: &str, range: &str) -> StoredHead {
    let stored = stored();
    let mut fields = stored.fields();
    fields.set("ETag", tag.as_bytes());
    fields.push(b"Content-Range", range.as_bytes());
    StoredHead::new(206, b"Partial Content", &fields, stored.terms)
}

#[test]
fn all_parts_of_a_representation_are_one_variant_and_become_the_whole() {
    let spread = |tag, range| part(tag, range).spread().unwrap();
    let first = spread("\"a\"", "bytes 0-4/10");
    let mut out = Vec::new();
    first.encode(&mut out);
    let read = StoredHead::decode(&out).unwrap();
    assert!(read.is_spread() && read.is_partial() && read.part() == first.part());
    assert_eq!(read.variant(), spread("\"a\"", "bytes 7-9/10").variant());
    assert_ne!(read.variant(), spread("\"b\"", "bytes 0-4/10").variant());
    assert_ne!(read.variant(), spread("\"a\"", "bytes 0-4/11").variant());
    assert_ne!(read.variant(), part("\"a\"", "bytes 0-4/10").variant());
    for length in 0..out.len() {
        assert!(StoredHead::decode(&out[..length]).is_none(), "{length}");
    }
    let whole = read.completed().unwrap();
    assert_eq!((whole.status(), whole.reason(), whole.part()), (200, &b"OK"[..], None));
    assert!(!whole.is_partial() && !whole.fields().contains("Content-Range"));
    assert_eq!(whole.variant(), stored().variant());
    assert_eq!(whole.terms, read.terms);
}

#[test]
fn only_parts_with_a_strong_validator_are_kept_together() {
    assert!(part("W/\"a\"", "bytes 0-4/10").spread().is_none());
    assert!(stored().spread().is_none());
    let alone = part("\"a\"", "bytes 0-4/10");
    assert!(!alone.is_partial() && alone.completed().is_none());
    // It says that it is of many, and does not say of what.
    let mut out = Vec::new();
    part("W/\"a\"", "bytes 0-4/10").encode(&mut out);
    out[1] = SPREAD;
    assert!(StoredHead::decode(&out).is_none());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = StoredHead::decode(&bytes);
    }
}
