use super::*;

const ABOUT: About = About { number: 7, salt: 0x1234_5678_9abc_def0, born: 42 };

fn listed(offset: u32) -> Listed {
    Listed { kind: Kind::Entry, key: 1, variant: 2, sequence: 3, offset, ..Listed::NOTHING }
}

fn record() -> Vec<u8> {
    let mut out = Vec::new();
    let body: [&[u8]; 2] = [b"bo", b"dy"];
    let parts = Parts { key: b"key", meta: b"meta", trailers: b"t", body: &body };
    assert_eq!(record_size(&parts), HEAD + 12);
    encode(&mut out, ABOUT.salt, &listed(64), &parts);
    out
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let bytes = Bytes::from(record());
    assert!(bytes.len().is_multiple_of(8));
    let head = RecordHead::decode(&bytes, ABOUT.salt, 64).unwrap();
    assert_eq!(head.listed, Listed { length: 76, ..listed(64) });
    let record = head.record(&bytes).unwrap();
    assert_eq!((&*record.key, &*record.meta), (&b"key"[..], &b"meta"[..]));
    assert_eq!((&*record.trailers, &*record.body), (&b"t"[..], &b"body"[..]));
}

#[test]
fn a_record_without_a_body_says_how_long_the_record_with_it_is() {
    let parts = Parts { key: b"key", meta: b"meta", body: &[&[7; 24]], ..Parts::default() };
    let record = Listed { kind: Kind::Freshened, body: 5000, ..listed(128) };
    let mut out = Vec::new();
    encode(&mut out, ABOUT.salt, &record, &parts);
    let bytes = Bytes::from(out);
    let head = RecordHead::decode(&bytes, ABOUT.salt, 128).unwrap();
    let whole = Listed { length: 64 + 7 + 24, ..record };
    assert_eq!(head.listed, whole);
    let found = head.record(&bytes).unwrap();
    assert_eq!((&*found.meta, &*found.body, found.salt), (&b"meta"[..], &[7; 24][..], ABOUT.salt));
    let sealed = seal(&ABOUT, &[whole], 256);
    assert_eq!(list(&sealed[64..104], 256), Ok(vec![whole]));
}

#[test]
fn every_flipped_bit_of_a_record_and_every_other_place_is_noticed() {
    let good = record();
    let read = |bytes: Vec<u8>, salt, offset| {
        let bytes = Bytes::from(bytes);
        RecordHead::decode(&bytes, salt, offset).and_then(|head| head.record(&bytes)).is_ok()
    };
    for bit in 0..8 * 76 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!read(bytes, ABOUT.salt, 64), "bit {bit}");
    }
    assert!(!read(good.clone(), ABOUT.salt, 72) && !read(good.clone(), ABOUT.salt + 1, 64));
    assert!(read(good, ABOUT.salt, 64));
}

#[test]
fn a_header_and_a_trailer_come_back_or_say_why_not() {
    let header = ABOUT.header();
    assert_eq!(About::of_header(&header), Ok(ABOUT));
    let all = [Listed { length: 64, ..listed(64) }, Listed { length: 70, ..listed(128) }];
    let sealed = seal(&ABOUT, &all, 200);
    assert_eq!(sealed.len() as u64, footer_size(2));
    let trailer = Trailer::decode(&sealed[sealed.len() - 64..]).unwrap();
    assert_eq!((trailer.about, trailer.offset, trailer.count), (ABOUT, 264, 2));
    let entries = &sealed[64..64 + 80];
    assert!(trailer.speaks_of(entries));
    assert_eq!(list(entries, 200), Ok(all.to_vec()));
    assert_eq!(list(entries, 197), Err(Damage::Size));
    for bit in 0..8 * 64 {
        let mut bytes = header;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(About::of_header(&bytes).is_err(), "bit {bit}");
        let mut bytes = sealed.clone();
        let at = bytes.len() - 64 + bit / 8;
        bytes[at] ^= 1 << (bit % 8);
        assert!(Trailer::decode(&bytes[bytes.len() - 64..]).is_err(), "bit {bit}");
    }
}
