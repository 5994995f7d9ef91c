mod encoder;
mod scripts;

use h2::server::{self, SendResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::encoder::Dice;
use self::scripts::{Script, frame, preface};
use super::*;
use crate::http2_frames::{HAS_PRIORITY, PADDED};

/// A block in one piece: whether it is a trailer section with a pseudo-field.
fn whole(outline: &mut Outline, stream: u32, block: &[u8]) -> bool {
    outline.headers(stream, 0, block.len() as u32);
    outline.take(block);
    outline.end()
}

/// Whether trailers behind the requests of the example have a pseudo-field, if they can be followed.
fn found(trailers: &[u8]) -> Option<bool> {
    let mut outline = Outline::new();
    for (stream, head) in [1, 3, 5].into_iter().zip(EXAMPLE) {
        assert!(!whole(&mut outline, stream, head));
    }
    let found = whole(&mut outline, 3, trailers);
    outline.walk.is_some().then_some(found)
}

/// RFC 7541, Appendix C.4: its three requests.
const EXAMPLE: [&[u8]; 3] = [
    b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
    b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
    b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\
      \xb4\xbf",
];

#[test]
fn fields_are_told_apart_in_every_form() {
    for (block, expected) in [
        (&b""[..], Some(false)),
        // Of the static table: all that are pseudo-fields, and the one behind them.
        (b"\x81", Some(true)),
        (b"\x8e", Some(true)),
        (b"\x8f", Some(false)),
        (b"\xbd", Some(false)),
        // Of the dynamic table: custom-key, cache-control, :authority, and what is not there.
        (b"\xbe", Some(false)),
        (b"\xbf", Some(false)),
        (b"\xc0", Some(true)),
        (b"\xc1", Some(false)),
        (b"\xff\x7f", Some(false)),
        (b"\x80", Some(false)),
        // Named by index.
        (b"\x04\x01/", Some(true)),
        (b"\x44\x01/", Some(true)),
        (b"\x14\x81\x63", Some(true)),
        (b"\x0f\x00\x01/", Some(false)),
        (b"\x0f\x31\x01/", Some(true)),
        (b"\x7f\x01\x01/", Some(true)),
        // Named by a text.
        (b"\x00\x01a\x01:", Some(false)),
        (b"\x00\x05:path\x01/", Some(true)),
        (b"\x40\x05:path\x00", Some(true)),
        (b"\x10\x84\xb9\x58\xd3\x3f\x01/", Some(true)),
        (b"\x40\x84\xb9\x58\xd3\x3f\x81\x63", Some(true)),
        (b"\x00\x82\x1d\x7f\x01/", Some(false)),
        (b"\x00\x00\x01/", None),
        // What is cut off, and what is no number.
        (b"\x00\x05:pat", None),
        (b"\x44", None),
        (b"\xff", None),
        (b"\xff\x80\x80\x80\x80\x00", None),
        // Behind others that were added.
        (b"\x40\x01a\x01b\xc0", Some(false)),
        (b"\x40\x01a\x01b\xc1", Some(true)),
        // Behind a size.
        (b"\x20\x3f\xe1\x1f\x8f", Some(false)),
        (b"\x20\x3f\xe1\x1f\x81", Some(true)),
    ] {
        assert_eq!(found(block), expected, "{}", block.escape_ascii());
    }
}

#[test]
fn the_oldest_field_that_a_table_may_have_is_still_known() {
    // RFC 7541 §4.1: 5 and 32 bytes for the first, 1 and 32 for each of the others: 4,096 in all.
    let fields = [&b"\x44\x00"[..], &b"\x40\x01a\x00".repeat(123)].concat();
    for (index, expected) in [(62, false), (184, false), (185, true), (186, false)] {
        let mut outline = Outline::new();
        assert!(!whole(&mut outline, 1, &fields));
        let mut block = Vec::new();
        encoder::put_number(&mut block, 0x80, 7, index);
        assert_eq!(whole(&mut outline, 1, &block), expected, "{index}");
    }
}

#[test]
fn only_trailers_are_told_of_and_only_what_is_theirs() {
    let mut outline = Outline::new();
    let mut block = |stream, block| whole(&mut outline, stream, block);
    assert!(!block(1, b"\x82"));
    assert!(!block(5, b"\x82"));
    assert!(block(1, b"\x82"));
    assert!(!block(5, b"\x8f"));
    assert!(block(5, b"\x82"));
    assert!(!block(7, b"\x82"));
}

#[test]
fn what_is_around_a_block_is_not_part_of_it() {
    let padded: &[u8] = b"\x03\x8f\x81\x81\x81";
    let prior: &[u8] = b"\x81\x81\x81\x81\x81\x8f";
    let both: &[u8] = b"\x01\x81\x81\x81\x81\x81\x8f\x81";
    for (flags, payload, expected) in [
        (PADDED, padded, Some(false)),
        (HAS_PRIORITY, prior, Some(false)),
        (PADDED | HAS_PRIORITY, both, Some(false)),
        (PADDED, b"\x00\x81", Some(true)),
        (HAS_PRIORITY, b"\x00\x00\x00\x00\x00\x81", Some(true)),
        // No room for what the flags say.
        (PADDED, b"", None),
        (PADDED, b"\x01", None),
        (HAS_PRIORITY, b"\x00\x00\x00\x00", None),
    ] {
        for size in 1..=payload.len().max(1) {
            let mut outline = Outline::new();
            outline.newest = 1;
            outline.headers(1, flags, payload.len() as u32);
            payload.chunks(size).for_each(|part| outline.take(part));
            let found = outline.end();
            let followed = outline.walk.is_some().then_some(found);
            assert_eq!(followed, expected, "{flags} {}", payload.escape_ascii());
        }
    }
}

#[test]
fn blocks_that_are_mixed_up_are_not_followed() {
    for (stream, is_continued) in [(1, false), (3, false), (3, true)] {
        let mut outline = Outline::new();
        outline.newest = 9;
        outline.headers(1, 0, 1);
        outline.take(b"\x81");
        if is_continued {
            outline.continuation(stream, 1);
        } else {
            outline.headers(stream, 0, 1);
        }
        outline.take(b"\x81");
        assert!(!outline.end());
        assert!(!whole(&mut outline, 1, b"\x81"), "for good");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(50))]

    /// Neither more nor less is found than the client has sent, and in the end nothing of its table is
    /// taken for something else.
    #[test]
    fn pseudo_fields_are_found_in_trailers_however_they_are_written(seed: u64) {
        let dice = &mut Dice::new(seed);
        let script = Script::of(dice, 30);
        let mut connection = scripts::Met::greeted();
        connection.receive(dice, &script.bytes);
        for request in &script.requests {
            let found = connection.faults.take(request.stream);
            assert_eq!(found, request.is_malformed(), "{}", request.stream);
        }
        for (index, (name, _)) in script.encoder.table.iter().enumerate() {
            let mut block = Vec::new();
            encoder::put_number(&mut block, 0x80, 7, 62 + index);
            connection.receive(dice, &frame(1, 4, 1, &block));
            assert_eq!(connection.faults.take(1), name.starts_with(b":"), "{index}");
        }
        connection.receive(dice, &frame(1, 4, 1, b"\x81"));
        assert!(connection.faults.take(1), "it is still followed");
    }
}

type Codec = server::Connection<tokio::io::DuplexStream, bytes::Bytes>;

/// A connection to the codec.
async fn codec(bytes: &[u8]) -> Codec {
    let (mut client, stream) = tokio::io::duplex(4 << 20);
    client.write_all(bytes).await.unwrap();
    tokio::spawn(async move {
        // It stays open, and takes what comes.
        while client.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {}
    });
    server::handshake(stream).await.unwrap()
}

/// The next request that it reads.
async fn next(codec: &mut Codec) -> (http::Request<h2::RecvStream>, SendResponse<bytes::Bytes>) {
    let next = tokio::time::timeout(testkit::PATIENCE, codec.accept()).await;
    next.expect("the codec takes it").unwrap().unwrap()
}

/// What makes the test above one of the outline alone.
#[tokio::test]
async fn the_codec_reads_what_the_encoder_writes() {
    for seed in 1..40 {
        let dice = &mut Dice::new(seed);
        let script = Script::of(dice, 30);
        let mut bytes = [&preface()[..], &script.bytes].concat();
        // As it was written, or as the meter lets it through.
        if seed % 2 == 0 {
            bytes = scripts::Met::new().receive(dice, &bytes);
        }
        let mut codec = codec(&bytes).await;
        let mut readers = tokio::task::JoinSet::new();
        for _ in &script.requests {
            let (request, respond) = next(&mut codec).await;
            readers.spawn(scripts::read(request, respond));
        }
        let driver = tokio::spawn(async move { while codec.accept().await.is_some() {} });
        let mut read = readers.join_all().await;
        driver.abort();
        read.sort_by_key(|request| request.stream);
        for (read, sent) in read.iter().zip(&script.requests) {
            assert_eq!(*read, sent.as_read(), "{seed}");
        }
    }
}

/// The client of the library in place of the encoder: its table is full and turned over many times.
#[tokio::test]
async fn what_the_client_of_the_codec_writes_is_followed() {
    let (mut wire, stream) = tokio::io::duplex(8 << 20);
    let mut builder = h2::client::Builder::new();
    let (mut client, connection) =
        builder.initial_max_send_streams(1000).handshake::<_, bytes::Bytes>(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let dice = &mut Dice::new(7);
    let mut responses = Vec::new();
    for number in 0..300 {
        let mut request = http::Request::post(format!("http://site.example/{number}"));
        for (name, value) in scripts::fields(dice) {
            request = request.header(&name[..], &value[..]);
        }
        let sent = client.send_request(request.body(()).unwrap(), false).unwrap();
        responses.push(sent);
        let (_, content) = responses.last_mut().unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", number.into());
        content.send_trailers(trailers).unwrap();
    }
    let (mut bytes, mut part) = (Vec::new(), vec![0; 64 << 10]);
    while scripts::ends(&bytes) < responses.len() {
        let count = wire.read(&mut part).await.unwrap();
        assert!(count > 0, "the client ends too early");
        bytes.extend_from_slice(&part[..count]);
    }
    driver.abort();
    let mut connection = scripts::Met::new();
    connection.receive(dice, &bytes);
    assert!((1..600).step_by(2).all(|stream| !connection.faults.take(stream)));
    connection.receive(dice, &frame(1, 4, 1, b"\x81"));
    assert!(connection.faults.take(1), "it is still followed");
}
