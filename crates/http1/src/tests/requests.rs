//! Request heads: one row per case, one test per rule.

use crate::{
    BadHead, BadRequest, FieldSpan, Framing, Limits, Progress, RequestHead, TargetForm, Version,
    decode_request,
};
use std::fmt::Write;

fn decode_with(
    head: &[u8],
    limits: &Limits,
) -> Result<(Progress<RequestHead>, Vec<FieldSpan>), BadRequest> {
    let mut fields = vec![FieldSpan::default(); 3];
    decode_request(head, limits, &mut fields).map(|progress| (progress, fields))
}

fn decode(head: &str) -> Result<Progress<RequestHead>, BadRequest> {
    decode_with(head.as_bytes(), &Limits::default()).map(|(progress, _)| progress)
}

#[track_caller]
fn accept(head: &str) -> RequestHead {
    match decode(head) {
        Ok(Progress::Complete(head)) => head,
        other => panic!("{head:?}: {other:?}"),
    }
}

#[track_caller]
fn refuse(head: &str, fault: impl Into<BadRequest>) {
    assert_eq!(decode(head), Err(fault.into()), "{head:?}");
}

/// A request with `line` for its request line.
fn with_line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

/// A request with `fields`, each ended by CRLF, after a Host.
fn with_fields(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn text(span: crate::Span, head: &str) -> &str {
    std::str::from_utf8(span.of(head.as_bytes())).unwrap()
}

#[test]
fn a_head_is_taken_apart_into_spans_and_the_rest_is_left() {
    let bytes = b"GET /a?b=c HTTP/1.1\r\nHost: x.y:80\r\nAccept:\t a, b \t\r\nEmpty:\r\n\r\nrest";
    let (progress, fields) = decode_with(bytes, &Limits::default()).unwrap();
    let Progress::Complete(head) = progress else { panic!("{progress:?}") };
    assert_eq!(&bytes[head.len..], b"rest");
    assert_eq!(head.method.of(bytes), b"GET");
    assert_eq!(head.target.of(bytes), b"/a?b=c");
    assert_eq!(head.path, head.target);
    assert_eq!(head.authority.of(bytes), b"x.y:80");
    assert_eq!((head.form, head.version), (TargetForm::Origin, Version::Http11));
    assert_eq!((head.framing, head.persistent), (Framing::None, true));
    assert!(!head.expects_continue && !head.upgrade);
    let seen: Vec<_> = fields.iter().map(|f| (f.name.of(bytes), f.value.of(bytes))).collect();
    let expected: [(&[u8], &[u8]); 3] =
        [(b"Host", b"x.y:80"), (b"Accept", b"a, b"), (b"Empty", b"")];
    assert_eq!(seen, expected);
}

#[test]
fn fields_are_cleared_when_there_is_no_head() {
    for head in [&b"GET / HTT"[..], b"GET / HTTP/1.1\r\nHost a\r\n\r\n\r\n"] {
        let mut fields = vec![FieldSpan::default(); 3];
        let _result = decode_request(head, &Limits::default(), &mut fields);
        assert!(fields.is_empty());
    }
}

#[test]
fn rfc9112_2_2_one_empty_line_before_the_request_line_is_skipped() {
    let head = with_line("GET / HTTP/1.1");
    let skipped = format!("\r\n{head}");
    assert_eq!(accept(&skipped).len, head.len() + 2);
    assert_eq!(text(accept(&skipped).method, &skipped), "GET");
    refuse(&format!("\r\n\r\n{head}"), BadRequest::Line);
    refuse(&format!("\n{head}"), BadHead::BareLf);
    assert_eq!(decode("\r"), Ok(Progress::Partial));
}

#[test]
fn rfc9112_2_2_a_line_ends_in_crlf_alone() {
    for (head, fault) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", BadHead::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", BadHead::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", BadHead::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\nC: d\r\n\r\n", BadHead::BareLf),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", BadHead::BareCr),
        ("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", BadHead::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", BadHead::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n", BadHead::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rA: b\r\n\r\n", BadHead::BareCr),
    ] {
        refuse(head, fault);
    }
}

#[test]
fn rfc9110_5_5_control_bytes_are_refused_wherever_they_are() {
    for byte in (0..=0x1f).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        let byte = char::from(byte);
        refuse(&with_fields(&format!("A: b{byte}c\r\n")), BadHead::ControlByte);
        refuse(&with_fields(&format!("A{byte}: b\r\n")), BadHead::ControlByte);
        refuse(&with_line(&format!("GET /{byte} HTTP/1.1")), BadHead::ControlByte);
    }
    accept(&with_fields("A: b\tc\r\n"));
    let obs_text = b"GET / HTTP/1.1\r\nHost: a\r\nA: \x80\xff\r\n\r\n";
    assert!(decode_with(obs_text, &Limits::default()).is_ok());
}

#[test]
fn what_is_wrong_is_refused_before_the_head_is_whole() {
    let long = "a".repeat(9000);
    for (head, fault) in [
        ("GET / HTTP/1.1\n", BadRequest::Head(BadHead::BareLf)),
        ("GET / HTTP/1.1\r\nA: b\n", BadHead::BareLf.into()),
        ("GET / HTTP/1.1\r\nA: b\rc", BadHead::BareCr.into()),
        ("GET / HTTP/1.1\r\n A", BadHead::SpaceBeforeFields.into()),
        ("GET / HTTP/1.1\r\nA: b\r\n\t", BadHead::ObsFold.into()),
        ("GET / HTTP/1.1\r\n:", BadHead::EmptyName.into()),
        ("\u{16}\u{3}\u{1}", BadRequest::Head(BadHead::ControlByte)),
        ("GE(", BadRequest::Method),
        ("GET /#", BadRequest::Target),
        ("GET  ", BadRequest::Line),
        ("PRI * HTTP/2.0\r\n", BadRequest::VersionUnsupported),
        (&format!("GET /{long}"), BadRequest::LineTooLong),
    ] {
        refuse(head, fault);
    }
}

#[test]
fn rfc9112_3_the_request_line_has_three_parts_and_two_spaces() {
    for line in [
        "GET",
        "GET ",
        "GET /",
        "GET / ",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /a b HTTP/1.1",
    ] {
        let fault = if line == "GET / " { BadRequest::Version } else { BadRequest::Line };
        refuse(&with_line(line), fault);
    }
}

#[test]
fn rfc9112_3_1_the_method_is_a_token_in_any_case() {
    for method in ["get", "M-SEARCH", "X!#$%&'*+-.^_`|~9"] {
        let head = with_line(&format!("{method} / HTTP/1.1"));
        assert_eq!(text(accept(&head).method, &head), method);
    }
    for method in ["G(T", "G:T", "\"GET\"", "GET\t", "G\u{e9}T", "{}"] {
        refuse(&with_line(&format!("{method} / HTTP/1.1")), BadRequest::Method);
    }
}

#[test]
fn rfc9112_3_2_a_target_has_visible_ascii_without_the_dangerous_bytes() {
    let fine: String = (b'!'..=b'~').map(char::from).filter(|c| !"#<>\\".contains(*c)).collect();
    for target in [format!("/{fine}"), format!("/?{fine}"), "/?a\\b\\c".into(), "//a".into()] {
        let head = with_line(&format!("GET {target} HTTP/1.1"));
        assert_eq!(text(accept(&head).path, &head), target);
    }
    for target in ["/#", "/?#", "/<", "/>", "/\\", "/a\\?", "/\u{e9}", "/?\u{e9}", "/\t", "/?\\#"] {
        refuse(&with_line(&format!("GET {target} HTTP/1.1")), BadRequest::Target);
    }
}

#[test]
fn rfc9112_3_2_the_form_of_the_target_fits_the_method() {
    use TargetForm::{Absolute, Asterisk, Authority, Origin};
    for (line, form, authority, path) in [
        ("GET /a?b", Origin, "a", "/a?b"),
        ("OPTIONS *", Asterisk, "a", ""),
        ("OPTIONS /", Origin, "a", "/"),
        ("CONNECT x.y:443", Authority, "x.y:443", ""),
        ("CONNECT [::1]:443", Authority, "[::1]:443", ""),
        ("GET http://x.y:80/a?b", Absolute, "x.y:80", "/a?b"),
        ("GET HTTPS://x.y/", Absolute, "x.y", "/"),
        ("GET http://x.y", Absolute, "x.y", ""),
        ("GET http://x.y?q=/", Absolute, "x.y", "?q=/"),
        ("OPTIONS http://x.y", Absolute, "x.y", ""),
        ("GET http://[2001:db8::1]:8080/", Absolute, "[2001:db8::1]:8080", "/"),
    ] {
        let head = with_line(&format!("{line} HTTP/1.1"));
        let seen = accept(&head);
        assert_eq!(seen.form, form, "{line}");
        assert_eq!(text(seen.authority, &head), authority, "{line}");
        assert_eq!(text(seen.path, &head), path, "{line}");
    }
    for (line, fault) in [
        ("GET *", BadRequest::AsteriskTarget),
        ("options *", BadRequest::AsteriskTarget),
        ("OPTIONS *x", BadRequest::Target),
        ("CONNECT /", BadRequest::ConnectTarget),
        ("CONNECT *", BadRequest::ConnectTarget),
        ("CONNECT x.y", BadRequest::ConnectTarget),
        ("CONNECT x.y:", BadRequest::ConnectTarget),
        ("CONNECT http://x.y:80", BadRequest::ConnectTarget),
        ("CONNECT u@x.y:80", BadRequest::ConnectTarget),
        ("GET x.y:80", BadRequest::Target),
        ("GET a", BadRequest::Target),
        ("GET ?a", BadRequest::Target),
        ("GET ftp://x.y/", BadRequest::Target),
        ("GET http:/x.y/", BadRequest::Target),
        ("GET urn:a:b", BadRequest::Target),
        ("GET http:///a", BadRequest::TargetAuthority),
        ("GET http://", BadRequest::TargetAuthority),
        ("GET http://u@x.y/", BadRequest::TargetAuthority),
        ("GET http://u:p@x.y/", BadRequest::TargetAuthority),
        ("GET http://x.y:a/", BadRequest::TargetAuthority),
        ("GET http://x,y/", BadRequest::TargetAuthority),
    ] {
        refuse(&with_line(&format!("{line} HTTP/1.1")), fault);
    }
}

#[test]
fn rfc9112_3_2_2_the_authority_of_an_absolute_target_beats_a_valid_host() {
    let head = "GET http://x.y/ HTTP/1.1\r\nHost: other\r\n\r\n";
    assert_eq!(text(accept(head).authority, head), "x.y");
    refuse("GET http://x.y/ HTTP/1.1\r\n\r\n", BadRequest::HostMissing);
    refuse("GET http://x.y/ HTTP/1.1\r\nHost: o,p\r\n\r\n", BadRequest::HostInvalid);
}

#[test]
fn rfc9112_3_2_host_is_there_once_and_valid() {
    refuse("GET / HTTP/1.1\r\n\r\n", BadRequest::HostMissing);
    for second in ["a", "b"] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nhost: {second}\r\n\r\n");
        refuse(&head, BadRequest::HostRepeated);
        refuse(&head.replace("/1.1", "/1.0"), BadRequest::HostRepeated);
    }
    for host in ["a", "a.b-c_d~e", "1.2.3.4:65535", "a:0", "[::1]", "[::ffff:1.2.3.4]:8080", "A."] {
        let head = format!("GET / HTTP/1.1\r\nHOST:{host}\r\n\r\n");
        assert_eq!(text(accept(&head).authority, &head), host);
    }
    for host in [
        "",
        ":80",
        "a:",
        "a:65536",
        "a:000080",
        "a:8a",
        "a:-1",
        "a:80:80",
        "a,b",
        "a b",
        "u@a",
        "u:p@a",
        "a/",
        "a?b",
        "a#b",
        "http://a",
        "[::1",
        "::1",
        "[]",
        "[a]",
        "[::1]x",
        "[fe80::1%0]",
        "a%41",
        "a\\b",
        "\u{e9}",
        "a;b",
        "[v1.a]",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        refuse(&head, BadRequest::HostInvalid);
        refuse(&head.replace("/1.1", "/1.0"), BadRequest::HostInvalid);
    }
}

#[test]
fn http10_may_come_without_host() {
    let head = accept("GET / HTTP/1.0\r\n\r\n");
    assert!(head.authority.is_empty());
    assert_eq!(head.version, Version::Http10);
}

#[test]
fn rfc9112_2_3_only_major_version_1_is_spoken() {
    for (version, expected) in [
        ("HTTP/1.0", Ok(Version::Http10)),
        ("HTTP/1.1", Ok(Version::Http11)),
        ("HTTP/1.2", Ok(Version::Http11)),
        ("HTTP/1.9", Ok(Version::Http11)),
        ("HTTP/0.9", Err(BadRequest::VersionUnsupported)),
        ("HTTP/2.0", Err(BadRequest::VersionUnsupported)),
        ("HTTP/3.1", Err(BadRequest::VersionUnsupported)),
        ("HTTP/2", Err(BadRequest::Version)),
        ("HTTP/1", Err(BadRequest::Version)),
        ("HTTP/1.", Err(BadRequest::Version)),
        ("HTTP/1.10", Err(BadRequest::Version)),
        ("HTTP/01.1", Err(BadRequest::Version)),
        ("HTTP/1.1x", Err(BadRequest::Version)),
        ("http/1.1", Err(BadRequest::Version)),
        ("ICAP/1.1", Err(BadRequest::Version)),
        ("HTTP/1.1\t", Err(BadRequest::Version)),
        ("HTTP/+.1", Err(BadRequest::Version)),
    ] {
        let seen = decode(&with_line(&format!("GET / {version}")));
        let seen = seen.map(|progress| match progress {
            Progress::Complete(head) => head.version,
            Progress::Partial => panic!("{version}"),
        });
        assert_eq!(seen, expected, "{version}");
    }
}

#[test]
fn rfc9112_5_1_field_lines_have_a_token_and_a_colon() {
    for (line, fault) in [
        ("A : b", BadHead::SpaceBeforeColon),
        ("A\t: b", BadHead::SpaceBeforeColon),
        ("Content-Length : 5", BadHead::SpaceBeforeColon),
        (": b", BadHead::EmptyName),
        (":", BadHead::EmptyName),
        ("A", BadHead::NoColon),
        ("A b", BadHead::NoColon),
        ("A(: b", BadHead::FieldName),
        ("A b: c", BadHead::FieldName),
        ("\u{e9}: b", BadHead::FieldName),
        ("A\"B\": c", BadHead::FieldName),
    ] {
        refuse(&with_fields(&format!("{line}\r\n")), fault);
        refuse(&with_fields(&format!("{}{line}\r\n", "B: c\r\n".repeat(40))), fault);
    }
}

#[test]
fn rfc9112_5_2_folded_lines_and_space_before_the_fields_are_refused() {
    refuse(&with_fields("A: b\r\n c\r\n"), BadHead::ObsFold);
    refuse(&with_fields("A: b\r\n\tc: d\r\n"), BadHead::ObsFold);
    refuse(&with_fields("A:\r\n \r\n"), BadHead::ObsFold);
    refuse("GET / HTTP/1.1\r\n Host: a\r\n\r\n", BadHead::SpaceBeforeFields);
}

#[test]
fn rfc9112_6_3_content_length_is_one_number() {
    for (value, length) in [
        ("0", 0),
        ("5", 5),
        ("0005", 5),
        ("18446744073709551615", u64::MAX),
        ("000000000000000000000000000001", 1),
    ] {
        let head = accept(&with_fields(&format!("Content-Length: {value}\r\n")));
        assert_eq!(head.framing, Framing::Length(length));
    }
    for value in [
        "",
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "5 5",
        "0x5",
        "5.0",
        "a",
        "5;",
        "18446744073709551616",
        "99999999999999999999999",
        "\u{665}",
    ] {
        let head = with_fields(&format!("Content-Length: {value}\r\n"));
        refuse(&head, BadHead::LengthInvalid);
    }
    for second in ["5", "6"] {
        let head = format!("Content-Length: 5\r\ncontent-length: {second}\r\n");
        refuse(&with_fields(&head), BadHead::LengthRepeated);
    }
}

#[test]
fn rfc9112_6_1_the_one_transfer_coding_is_a_final_chunked() {
    for value in ["chunked", "Chunked", "CHUNKED"] {
        let head = accept(&with_fields(&format!("transfer-Encoding: {value}\r\n")));
        assert_eq!(head.framing, Framing::Chunked);
    }
    for (fields, fault) in [
        ("Transfer-Encoding: gzip, chunked", BadHead::CodingUnknown),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", BadHead::CodingUnknown),
        ("Transfer-Encoding: identity, chunked", BadHead::CodingUnknown),
        ("Transfer-Encoding: gzip", BadHead::CodingNotFinal),
        ("Transfer-Encoding: identity", BadHead::CodingNotFinal),
        ("Transfer-Encoding: xchunked", BadHead::CodingNotFinal),
        ("Transfer-Encoding: chunked, gzip", BadHead::CodingNotFinal),
        ("Transfer-Encoding: chunked, identity", BadHead::CodingNotFinal),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", BadHead::CodingNotFinal),
        ("Transfer-Encoding: chunked, chunked", BadHead::CodingInvalid),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", BadHead::CodingInvalid),
        ("Transfer-Encoding:", BadHead::CodingInvalid),
        ("Transfer-Encoding: ,chunked", BadHead::CodingInvalid),
        ("Transfer-Encoding: chunked,", BadHead::CodingInvalid),
        ("Transfer-Encoding: chunked;a=b", BadHead::CodingInvalid),
        ("Transfer-Encoding: \"chunked\"", BadHead::CodingInvalid),
        ("Transfer-Encoding: chunked chunked", BadHead::CodingInvalid),
    ] {
        refuse(&with_fields(&format!("{fields}\r\n")), fault);
    }
    assert_eq!(BadRequest::Head(BadHead::CodingUnknown).status(), 501);
    assert_eq!(BadRequest::Head(BadHead::CodingNotFinal).status(), 400);
}

#[test]
fn rfc9112_6_1_transfer_encoding_with_content_length_or_http10_is_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 0\r\n",
    ] {
        refuse(&with_fields(fields), BadHead::LengthWithCoding);
    }
    let head = with_fields("Transfer-Encoding: chunked\r\n").replace("/1.1", "/1.0");
    refuse(&head, BadHead::CodingInHttp10);
}

#[test]
fn rfc9112_6_framing_does_not_depend_on_the_method() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
        let head = with_fields("Content-Length: 3\r\n").replace("POST", method);
        assert_eq!(accept(&head).framing, Framing::Length(3));
    }
}

#[test]
fn rfc9112_9_3_persistence_follows_version_and_connection() {
    for (version, connection, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: a, ,close ,b\r\n", false),
        ("1.1", "Connection: a\r\nConnection: close\r\n", false),
        ("1.1", "Connection: close, keep-alive\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection:\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive, close\r\n", false),
        ("1.0", "Keep-Alive: 5\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        assert_eq!(accept(&head).persistent, persistent, "{head:?}");
    }
}

#[test]
fn rfc9110_10_1_1_expectation_counts_in_http11_with_content() {
    for (version, fields, expects) in [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n", true),
        ("1.1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: a, 100-continue\r\nContent-Length: 5\r\n", true),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.1", "Expect: other\r\nContent-Length: 5\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n", false),
    ] {
        let head = format!("PUT / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(accept(&head).expects_continue, expects, "{head:?}");
    }
}

#[test]
fn rfc9110_7_8_upgrade_needs_its_connection_option_and_http11() {
    for (version, fields, upgrade) in [
        ("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", true),
        ("1.1", "Upgrade: websocket\r\n", false),
        ("1.1", "Connection: upgrade\r\n", false),
        ("1.1", "Connection: upgrade\r\nUpgrade:\r\n", false),
        ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(accept(&head).upgrade, upgrade, "{head:?}");
    }
}

#[test]
fn each_limit_refuses_one_more_than_it_names() {
    let base = "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";
    let exact =
        Limits { head: base.len(), field: 7, fields: 2, request_line: 14, ..Limits::default() };
    assert!(decode_with(base.as_bytes(), &exact).is_ok());
    for (limits, fault, status) in [
        (Limits { head: base.len() - 1, ..exact }, BadHead::TooLarge.into(), 431),
        (Limits { field: 6, ..exact }, BadHead::FieldTooLarge.into(), 431),
        (Limits { fields: 1, ..exact }, BadHead::TooManyFields.into(), 431),
        (Limits { request_line: 13, ..exact }, BadRequest::LineTooLong, 414),
    ] {
        assert_eq!(decode_with(base.as_bytes(), &limits).unwrap_err(), fault);
        assert_eq!(fault.status(), status);
    }
}

#[test]
fn a_head_that_never_ends_is_refused_at_each_limit() {
    let limits = Limits::default();
    let line = "GET / HTTP/1.1\r\n";
    for (head, fault) in [
        ("GET /".to_owned() + &"a".repeat(limits.request_line), BadRequest::LineTooLong),
        ("A".repeat(limits.request_line + 1), BadRequest::LineTooLong),
        (line.to_owned() + &"A".repeat(limits.field + 1), BadHead::FieldTooLarge.into()),
        (line.to_owned() + &"A: b\r\n".repeat(limits.fields) + "A", BadHead::TooManyFields.into()),
        (
            line.to_owned() + &format!("A: {}\r\n", "b".repeat(1000)).repeat(40),
            BadHead::TooLarge.into(),
        ),
    ] {
        refuse(&head, fault);
    }
}

#[test]
fn every_number_of_fields_up_to_the_limit_is_read() {
    for count in [0, 1, 7, 8, 9, 31, 32, 33, 127] {
        let mut head = String::from("GET / HTTP/1.1\r\nHost: a\r\n");
        for index in 0..count {
            write!(head, "N{index}: {index}\r\n").unwrap();
        }
        head += "\r\n";
        let (_, fields) = decode_with(head.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(fields.len(), count + 1);
        if let Some(last) = fields.last().filter(|_| count > 0) {
            assert_eq!(text(last.value, &head), (count - 1).to_string());
        }
    }
}

#[test]
fn a_span_outside_the_buffer_is_empty() {
    let span = crate::Span { start: 2, end: 5 };
    assert_eq!(span.of(b"abcde"), b"cde");
    assert_eq!(span.of(b"abcd"), b"");
    assert_eq!(crate::Span { start: 3, end: 1 }.of(b"abcd"), b"");
}

#[test]
fn every_refusal_has_a_code_a_section_and_a_text() {
    let fault = BadRequest::Head(BadHead::LengthWithCoding);
    assert_eq!((fault.code(), fault.section()), ("length-with-coding", "RFC 9112 §6.1"));
    assert_eq!(fault.to_string(), "Content-Length together with Transfer-Encoding (RFC 9112 §6.1)");
    assert_eq!(BadRequest::VersionUnsupported.status(), 505);
}
