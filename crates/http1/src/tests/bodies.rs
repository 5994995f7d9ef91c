//! Content in every framing.

use crate::fuzzing::{Decoded, decode_body};
use crate::{BadBody, BadHead, BodyDecoder, BodyEvent, Framing, Limits};
use bytes::BytesMut;

fn decode(body: &str) -> Decoded {
    decode_body(Framing::Chunked, &Limits::default(), [body.as_bytes()])
}

#[track_caller]
fn accept(body: &str, content: &str) -> Decoded {
    let decoded = decode(body);
    assert_eq!(decoded.fault, None, "{body:?}");
    assert!(decoded.complete, "{body:?}");
    assert_eq!(decoded.content, content.as_bytes(), "{body:?}");
    decoded
}

#[track_caller]
fn refuse(body: &str, fault: BadBody) {
    assert_eq!(decode(body).fault, Some(fault.code()), "{body:?}");
}

#[test]
fn rfc9112_7_1_chunks_become_content_and_the_rest_is_left() {
    let decoded = accept("5\r\nhello\r\n0006\r\n world\r\n0\r\n\r\nGET /", "hello world");
    assert_eq!(decoded.taken, 29);
    accept("0\r\n\r\n", "");
    accept("00000000\r\n\r\n", "");
    accept("A\r\n0123456789\r\n00\r\n\r\n", "0123456789");
    accept("a\r\n0123456789\r\n0\r\n\r\n", "0123456789");
    accept("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
}

#[test]
fn data_is_handed_over_without_copying() {
    let mut buf = BytesMut::from("3\r\nabc\r\n");
    let at = buf.as_ptr().addr() + 3;
    let mut decoder = BodyDecoder::new(Framing::Chunked, &Limits::default());
    let Ok(BodyEvent::Data(data)) = decoder.decode(&mut buf) else { panic!() };
    assert_eq!(data.as_ptr().addr(), at);
    assert_eq!(&data[..], b"abc");
}

#[test]
fn data_comes_as_it_arrives_without_waiting_for_the_chunk() {
    let mut buf = BytesMut::from("ffffffffffffffff\r\nabc");
    let mut decoder = BodyDecoder::new(Framing::Chunked, &Limits::default());
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::Data("abc".into())));
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::NeedMore));
    assert!(!decoder.is_complete());
}

#[test]
fn rfc9112_7_1_a_chunk_size_is_one_to_sixteen_hexadecimal_digits() {
    for body in
        ["\r\n", ";a\r\n", "g\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", "1_0\r\n", " 1\r\n", "1a!"]
    {
        refuse(body, BadBody::ChunkSize);
    }
    refuse("10000000000000000\r\n", BadBody::ChunkSizeOverflow);
    refuse("00000000000000001\r\n", BadBody::ChunkSizeOverflow);
    refuse("fffffffffffffffff", BadBody::ChunkSizeOverflow);
    accept("0000000000000001\r\na\r\n0\r\n\r\n", "a");
}

#[test]
fn rfc9112_7_1_lines_and_data_end_in_crlf() {
    refuse("1\na\r\n0\r\n\r\n", BadBody::BareLf);
    refuse("1;a\na\r\n", BadBody::BareLf);
    refuse("1;a=\"\n\"\r\n", BadBody::BareLf);
    refuse("1\ra\r\n", BadBody::BareCr);
    refuse("1;a\rb\r\n", BadBody::BareCr);
    refuse("1;a=\"\r\n", BadBody::ChunkExtension);
    refuse("1\r\na\n0\r\n\r\n", BadBody::ChunkEnd);
    refuse("1\r\nab\r\n0\r\n\r\n", BadBody::ChunkEnd);
    refuse("1\r\na0\r\n\r\n", BadBody::ChunkEnd);
    refuse("1\r\na\r0\r\n\r\n", BadBody::ChunkEnd);
    refuse("2\r\na\r\n0\r\n\r\n", BadBody::ChunkEnd);
}

#[test]
fn rfc9112_7_1_1_extensions_are_checked_and_dropped() {
    for extension in [
        ";a",
        ";a=b",
        ";a=\"b\"",
        " ;a",
        "\t; a \t= b ; c",
        ";a;b;c=d",
        ";a=\"\"",
        ";a=\"\\\"; \\\\\t\u{e9}\" ;b",
    ] {
        accept(&format!("1{extension}\r\nx\r\n0{extension}\r\n\r\n"), "x");
    }
    for extension in [
        ";",
        " ",
        "\t",
        ";;",
        "; ",
        ";a ",
        ";a=",
        ";a= ",
        ";a=b ",
        ";=b",
        ";a=b=c",
        ";a b",
        ";a=b c",
        ";a=\"b\"c",
        ";a=\"b",
        ";\"a\"",
        ";\u{e9}",
        ";a=\u{e9}",
        ";a=\"\u{0}\"",
        ";a=\"\\\u{7f}\"",
        " a",
        "  5",
    ] {
        refuse(&format!("1{extension}\r\nx\r\n0\r\n\r\n"), BadBody::ChunkExtension);
    }
}

#[test]
fn rfc9112_7_1_1_extensions_are_limited_by_line_and_by_message() {
    let limits = Limits { chunk_line: 10, chunk_extensions: 20, ..Limits::default() };
    let fault = |body: String| decode_body(Framing::Chunked, &limits, [body.as_bytes()]).fault;
    assert_eq!(fault("1;23456789".into()), None);
    assert_eq!(fault("1;234567890".into()), Some("chunk-line-too-long"));
    let chunk = "1;23456789\r\nx\r\n";
    assert_eq!(fault(chunk.repeat(2) + "1;2\r\nx\r\n"), None);
    assert_eq!(fault(chunk.repeat(2) + "1;23\r\nx\r\n"), Some("chunk-extensions-too-large"));
    assert_eq!(fault("1\r\nx\r\n".repeat(100)), None);
    let long = "1;".to_owned() + &"a".repeat(1023);
    refuse(&long, BadBody::ChunkLineTooLong);
}

#[test]
fn rfc9112_7_1_2_trailers_are_read_before_the_end() {
    let body = "0\r\nServer-Timing: a;dur=1\r\nETag:\t\"x\" \r\n\r\nrest";
    let seen = accept(body, "");
    let expected = [("Server-Timing", "a;dur=1"), ("ETag", "\"x\"")];
    let expected = expected.map(|(name, value)| (name.into(), value.into())).to_vec();
    assert_eq!(seen.trailers, expected);
    assert_eq!(seen.taken, body.len() - 4);
    let mut buf = BytesMut::from(body);
    let mut decoder = BodyDecoder::new(Framing::Chunked, &Limits::default());
    let Ok(BodyEvent::Trailers(trailers)) = decoder.decode(&mut buf) else { panic!() };
    assert_eq!(trailers.iter().count(), 2);
    assert!(trailers.block.ends_with(b"\r\n\r\n"));
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::End));
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::End));
    assert_eq!(&buf[..], b"rest");
}

#[test]
fn rfc9110_6_5_1_fields_for_framing_routing_and_authentication_are_dropped() {
    for name in [
        "Transfer-Encoding",
        "content-length",
        "HOST",
        "Connection",
        "Keep-Alive",
        "TE",
        "Upgrade",
        "Trailer",
        "Authorization",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Set-Cookie",
        "Cookie",
        "Cache-Control",
        "Age",
        "Expires",
        "Vary",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Range",
        "If-Match",
        "Expect",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
    ] {
        let decoded = accept(&format!("0\r\n{name}: x\r\nA: b\r\n\r\n"), "");
        assert_eq!(decoded.trailers, [(b"A".to_vec(), b"b".to_vec())], "{name}");
        let alone = accept(&format!("0\r\n{name}: x\r\n\r\n"), "");
        assert!(alone.trailers.is_empty(), "{name}");
    }
}

#[test]
fn rfc9112_7_1_2_trailers_are_as_strict_as_header_fields() {
    for (section, fault) in [
        ("A: b\n\r\n", BadHead::BareLf),
        ("\n", BadHead::BareLf),
        ("A: b\rc\r\n\r\n", BadHead::BareCr),
        ("A: \u{0}\r\n\r\n", BadHead::ControlByte),
        (" A: b\r\n\r\n", BadHead::SpaceBeforeFields),
        ("A: b\r\n c\r\n\r\n", BadHead::ObsFold),
        (": b\r\n\r\n", BadHead::EmptyName),
        ("A : b\r\n\r\n", BadHead::SpaceBeforeColon),
        ("A\r\n\r\n", BadHead::NoColon),
        ("GET / HTTP/1.1\r\n\r\n", BadHead::NoColon),
        ("GET http://a/ HTTP/1.1\r\n\r\n", BadHead::FieldName),
    ] {
        refuse(&format!("0\r\n{section}"), BadBody::Trailers(fault));
    }
    let large = "A: ".to_owned() + &"b".repeat(Limits::default().trailers);
    refuse(&format!("0\r\n{large}"), BadBody::Trailers(BadHead::TooLarge));
    assert_eq!(BadBody::Trailers(BadHead::TooLarge).status(), 431);
}

#[test]
fn rfc9112_7_1_2_trailers_have_so_many_bytes_and_fields_and_no_more() {
    let Limits { trailers, fields, .. } = Limits::default();
    let of = |length: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(length - 7));
    accept(&of(trailers), "");
    refuse(&of(trailers + 1), BadBody::Trailers(BadHead::TooLarge));
    let many = |count: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
    accept(&many(fields), "");
    refuse(&many(fields + 1), BadBody::Trailers(BadHead::TooManyFields));
}

#[test]
fn rfc9112_6_3_a_length_takes_so_many_bytes_and_no_more() {
    let mut buf = BytesMut::from("abcdefgh");
    let mut decoder = BodyDecoder::new(Framing::Length(5), &Limits::default());
    assert_eq!(decoder.remaining(), Some(5));
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::Data("abcde".into())));
    assert!(decoder.is_complete());
    assert_eq!(decoder.remaining(), Some(0));
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::End));
    assert_eq!(&buf[..], b"fgh");
    let mut decoder = BodyDecoder::new(Framing::Length(5), &Limits::default());
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::Data("fgh".into())));
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::NeedMore));
    assert_eq!(decoder.remaining(), Some(2));
}

#[test]
fn no_content_is_complete_from_the_start() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut buf = BytesMut::from("abc");
        let mut decoder = BodyDecoder::new(framing, &Limits::default());
        assert!(decoder.is_complete());
        assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::End));
        assert_eq!(decoder.end_of_input(), Ok(()));
        assert_eq!(buf.len(), 3);
    }
}

#[test]
fn rfc9112_8_the_end_of_input_completes_only_what_lasts_until_close() {
    let mut buf = BytesMut::from("abc");
    let mut decoder = BodyDecoder::new(Framing::UntilClose, &Limits::default());
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::Data("abc".into())));
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::NeedMore));
    assert!(!decoder.is_complete());
    assert_eq!(decoder.remaining(), None);
    assert_eq!(decoder.end_of_input(), Ok(()));
    assert_eq!(decoder.decode(&mut buf), Ok(BodyEvent::End));
    for (framing, sent) in [
        (Framing::Length(5), "abcd"),
        (Framing::Chunked, ""),
        (Framing::Chunked, "5\r\nabcde"),
        (Framing::Chunked, "0\r\n"),
        (Framing::Chunked, "0\r\nA: b\r\n"),
    ] {
        let mut buf = BytesMut::from(sent);
        let mut decoder = BodyDecoder::new(framing, &Limits::default());
        while matches!(decoder.decode(&mut buf), Ok(BodyEvent::Data(_))) {}
        assert_eq!(decoder.end_of_input(), Err(BadBody::Incomplete), "{sent:?}");
        assert_eq!(decoder.decode(&mut buf), Err(BadBody::Incomplete), "{sent:?}");
    }
}

#[test]
fn nothing_is_taken_after_an_error() {
    let mut buf = BytesMut::from("x\r\n0\r\n\r\n");
    let mut decoder = BodyDecoder::new(Framing::Chunked, &Limits::default());
    for _ in 0..2 {
        assert_eq!(decoder.decode(&mut buf), Err(BadBody::ChunkSize));
        assert_eq!(buf.len(), 8);
    }
    assert_eq!(decoder.end_of_input(), Err(BadBody::ChunkSize));
}
