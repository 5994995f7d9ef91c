//! Response heads: one row per case, one test per rule.

use crate::{
    Answered, BadHead, BadResponse, Framing, Limits, Progress, ResponseHead, Version,
    decode_response,
};

fn decode(head: &str, answered: Answered) -> Result<Progress<ResponseHead>, BadResponse> {
    decode_response(head.as_bytes(), &Limits::default(), answered, &mut Vec::new())
}

#[track_caller]
fn accept_for(head: &str, answered: Answered) -> ResponseHead {
    match decode(head, answered) {
        Ok(Progress::Complete(head)) => head,
        other => panic!("{head:?}: {other:?}"),
    }
}

#[track_caller]
fn accept(head: &str) -> ResponseHead {
    accept_for(head, Answered::Other)
}

#[track_caller]
fn refuse(head: &str, fault: impl Into<BadResponse>) {
    assert_eq!(decode(head, Answered::Other), Err(fault.into()), "{head:?}");
}

fn with_fields(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
}

#[test]
fn a_head_is_taken_apart_into_spans() {
    let head = "HTTP/1.1 404 Not Found, sorry\r\nContent-Length: 3\r\n\r\nabc";
    let seen = accept(head);
    assert_eq!(seen.len, head.len() - 3);
    assert_eq!((seen.status, seen.version), (404, Version::Http11));
    assert_eq!(seen.reason.of(head.as_bytes()), b"Not Found, sorry");
    assert_eq!((seen.framing, seen.persistent), (Framing::Length(3), true));
}

#[test]
fn rfc9112_4_the_status_line_is_version_status_phrase() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.1 200 ", 200, ""),
        ("HTTP/1.1 200", 200, ""),
        ("HTTP/1.0 599 \u{e9} \tx", 599, "\u{e9} \tx"),
        ("HTTP/1.7 100 a", 100, "a"),
    ] {
        let head = format!("{line}\r\n\r\n");
        let seen = accept(&head);
        assert_eq!((seen.status, seen.reason.of(head.as_bytes())), (status, reason.as_bytes()));
    }
    for (line, fault) in [
        ("", BadResponse::Version),
        ("\r\nHTTP/1.1 200 OK", BadResponse::Version),
        ("http/1.1 200 OK", BadResponse::Version),
        ("ICY 200 OK", BadResponse::Version),
        ("HTTP/1 200 OK", BadResponse::Version),
        ("HTTP/1.x 200 OK", BadResponse::Version),
        ("HTTP/1.1", BadResponse::Line),
        ("HTTP/1.11 200 OK", BadResponse::Line),
        ("HTTP/1.1\t200 OK", BadResponse::Line),
        ("HTTP/2.0 200 OK", BadResponse::VersionUnsupported),
        ("HTTP/0.9 200 OK", BadResponse::VersionUnsupported),
        ("HTTP/1.1  200 OK", BadResponse::Status),
        ("HTTP/1.1 20 OK", BadResponse::Status),
        ("HTTP/1.1 2000 OK", BadResponse::Status),
        ("HTTP/1.1 099 OK", BadResponse::Status),
        ("HTTP/1.1 600 OK", BadResponse::Status),
        ("HTTP/1.1 999 OK", BadResponse::Status),
        ("HTTP/1.1 +20 OK", BadResponse::Status),
        ("HTTP/1.1 200\tOK", BadResponse::Status),
        ("HTTP/1.1 200OK", BadResponse::Status),
        ("HTTP/1.1 200 O\u{0}K", BadHead::ControlByte.into()),
        ("HTTP/1.1 200 O\rK", BadHead::BareCr.into()),
        ("HTTP/1.1 200 OK\nA: b", BadHead::BareLf.into()),
    ] {
        refuse(&format!("{line}\r\n\r\n"), fault);
    }
}

#[test]
fn a_peer_that_speaks_something_else_is_noticed_at_once() {
    for bytes in ["<", "HTTX", "SSH-2.0", "\u{15}\u{3}"] {
        refuse(bytes, BadResponse::Version);
    }
    assert_eq!(decode("HTT", Answered::Other), Ok(Progress::Partial));
    assert_eq!(decode("", Answered::Other), Ok(Progress::Partial));
}

#[test]
fn fields_are_read_as_strictly_as_in_requests() {
    for (fields, fault) in [
        ("A b: c\r\n", BadHead::FieldName),
        ("A : b\r\nC@ : d\r\n", BadHead::FieldName),
        ("A : b\r\nC\r\n", BadHead::NoColon),
        ("Content-Length : 1\r\nContent-Length: 1\r\n", BadHead::LengthRepeated),
        ("Content-Length\t: 1\r\nTransfer-Encoding: chunked\r\n", BadHead::LengthWithCoding),
        (": b\r\n", BadHead::EmptyName),
        (" A: b\r\n", BadHead::SpaceBeforeFields),
        ("A: b\r\n c\r\n", BadHead::ObsFold),
        ("A: b\nC: d\r\n", BadHead::BareLf),
        ("A: b\rC: d\r\n", BadHead::BareCr),
        ("A: b\u{0}\r\n", BadHead::ControlByte),
        ("A\r\n", BadHead::NoColon),
        ("A@: b\r\n", BadHead::FieldName),
    ] {
        refuse(&with_fields(fields), fault);
    }
}

#[test]
fn rfc9112_5_1_whitespace_before_the_colon_is_no_part_of_a_name() {
    //= https://www.rfc-editor.org/rfc/rfc9112#section-5.1
    //= type=test
    //# A proxy MUST remove any such whitespace from a response message before forwarding the message
    //# downstream.
    let head = with_fields("A: 1\r\nB : 2\r\nC \t :\t3 \r\nContent-Length : 5\r\n");
    let mut fields = Vec::new();
    let decoded =
        decode_response(head.as_bytes(), &Limits::default(), Answered::Other, &mut fields);
    let Ok(Progress::Complete(decoded)) = decoded else { panic!("{decoded:?}") };
    assert_eq!(decoded.framing, Framing::Length(5));
    let text = |span: crate::Span| std::str::from_utf8(span.of(head.as_bytes())).unwrap();
    let read: Vec<_> = fields.iter().map(|field| (text(field.name), text(field.value))).collect();
    assert_eq!(read, [("A", "1"), ("B", "2"), ("C", "3"), ("Content-Length", "5")]);
}

#[test]
fn rfc9112_6_3_ambiguous_framing_is_refused_whatever_is_answered() {
    for (fields, fault) in [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", BadHead::LengthWithCoding),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", BadHead::LengthRepeated),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", BadHead::LengthRepeated),
        ("Content-Length: 1, 1\r\n", BadHead::LengthInvalid),
        ("Content-Length:\r\n", BadHead::LengthInvalid),
        ("Content-Length: 18446744073709551616\r\n", BadHead::LengthInvalid),
        ("Transfer-Encoding: gzip\r\n", BadHead::CodingNotFinal),
        ("Transfer-Encoding: identity\r\n", BadHead::CodingNotFinal),
        ("Transfer-Encoding: xchunked\r\n", BadHead::CodingNotFinal),
        ("Transfer-Encoding: chunk\r\n", BadHead::CodingNotFinal),
        ("Transfer-Encoding: nobody, has\r\n", BadHead::CodingNotFinal),
        ("Transfer-Encoding: nobody\r\nTransfer-Encoding: has\r\n", BadHead::CodingNotFinal),
        ("Transfer-Encoding: chunked, nobody\r\n", BadHead::CodingNotFinal),
        ("Transfer-Encoding: nobody\r\nContent-Length: 1\r\n", BadHead::LengthWithCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", BadHead::CodingUnknown),
        ("Transfer-Encoding: chunked, chunked\r\n", BadHead::CodingInvalid),
    ] {
        refuse(&with_fields(fields), fault);
        assert_eq!(decode(&with_fields(fields), Answered::Head), Err(fault.into()));
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    refuse(old, BadHead::CodingInHttp10);
}

#[test]
fn rfc9112_6_3_framing_depends_on_method_status_and_fields() {
    use Answered::{Connect, Head, Other};
    const LENGTH: &str = "Content-Length: 5\r\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    for (answered, status, fields, framing) in [
        (Other, 200, LENGTH, Framing::Length(5)),
        (Other, 200, CHUNKED, Framing::Chunked),
        (Other, 200, "", Framing::UntilClose),
        // A word that is no coding: read to the end of the connection, as the RFC says.
        (Other, 200, "Transfer-Encoding: nobody\r\n", Framing::UntilClose),
        (Other, 205, "Content-Length: 0\r\n", Framing::Length(0)),
        (Other, 404, "", Framing::UntilClose),
        (Other, 100, "", Framing::None),
        (Other, 101, "Upgrade: x\r\n", Framing::None),
        (Other, 103, LENGTH, Framing::None),
        (Other, 204, "", Framing::None),
        (Other, 204, CHUNKED, Framing::None),
        (Other, 304, LENGTH, Framing::None),
        (Other, 304, CHUNKED, Framing::None),
        (Head, 200, LENGTH, Framing::None),
        (Head, 200, CHUNKED, Framing::None),
        (Head, 404, "", Framing::None),
        (Connect, 200, "", Framing::None),
        (Connect, 299, LENGTH, Framing::None),
        (Connect, 200, "Content-Length: x\r\nTransfer-Encoding: y\r\n", Framing::None),
        (Connect, 403, LENGTH, Framing::Length(5)),
        (Connect, 403, "", Framing::UntilClose),
    ] {
        let head = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        assert_eq!(accept_for(&head, answered).framing, framing, "{answered:?} {head:?}");
    }
}

#[test]
fn rfc9112_9_3_persistence_needs_a_length_and_no_close() {
    for (line, fields, persistent) in [
        ("HTTP/1.1 200 x", "Content-Length: 0\r\n", true),
        ("HTTP/1.1 200 x", "Content-Length: 0\r\nConnection: close\r\n", false),
        ("HTTP/1.1 200 x", "", false),
        ("HTTP/1.0 200 x", "Content-Length: 0\r\n", false),
        ("HTTP/1.0 200 x", "Content-Length: 0\r\nConnection: keep-alive\r\n", true),
        ("HTTP/1.0 200 x", "Connection: keep-alive\r\n", false),
        ("HTTP/1.1 304 x", "Content-Length: 5\r\n", true),
        ("HTTP/1.1 204 x", "", true),
        ("HTTP/1.1 204 x", "Content-Length: 0\r\n", true),
        ("HTTP/1.1 204 x", "Content-Length: 5\r\n", false),
        ("HTTP/1.1 204 x", "Transfer-Encoding: chunked\r\n", false),
    ] {
        let head = format!("{line}\r\n{fields}\r\n");
        assert_eq!(accept(&head).persistent, persistent, "{head:?}");
    }
}

#[test]
fn limits_bind_responses_too() {
    let limits = Limits { head: 40, field: 9, fields: 2, request_line: 15, ..Limits::default() };
    let decode =
        |head: &str| decode_response(head.as_bytes(), &limits, Answered::Other, &mut Vec::new());
    for (head, fault) in [
        ("HTTP/1.1 200 OK+", BadResponse::LineTooLong),
        ("HTTP/1.1 200 OK\r\nA: 3456789", BadHead::FieldTooLarge.into()),
        ("HTTP/1.1 200 OK\r\nA:\r\nB:\r\nC", BadHead::TooManyFields.into()),
        ("HTTP/1.1 200 OK\r\nA: 345678\r\nB: 345678\r\n\r\n", BadHead::TooLarge.into()),
    ] {
        assert_eq!(decode(head), Err(fault), "{head:?}");
    }
    for exact in ["A: 345678\r\n", "A: 345678\r\nB: 34567\r\n"] {
        assert!(decode(&format!("HTTP/1.1 200 OK\r\n{exact}\r\n")).is_ok(), "{exact:?}");
    }
}

#[test]
fn every_refusal_has_a_code_and_a_section() {
    assert_eq!(BadResponse::Status.code(), "bad-status");
    assert_eq!(BadResponse::Head(BadHead::ObsFold).section(), "RFC 9112 §5.2");
}
