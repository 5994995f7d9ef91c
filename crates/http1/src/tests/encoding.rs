//! What the writers write.

use crate::encode;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"^".to_vec();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn each_writer_appends_one_line() {
    for (seen, expected) in [
        (written(|o| encode::request_line(o, b"GET", b"/a?b")), "^GET /a?b HTTP/1.1\r\n"),
        (written(|o| encode::status_line(o, 200, b"OK")), "^HTTP/1.1 200 OK\r\n"),
        (written(|o| encode::status_line(o, 299, b"")), "^HTTP/1.1 299 \r\n"),
        (written(|o| encode::field(o, b"A", b"b c")), "^A: b c\r\n"),
        (written(|o| encode::field_u64(o, b"Age", 0)), "^Age: 0\r\n"),
        (written(|o| encode::field_u64(o, b"N", u64::MAX)), "^N: 18446744073709551615\r\n"),
        (written(encode::end_of_head), "^\r\n"),
        (written(|o| encode::chunk_start(o, 1)), "^1\r\n"),
        (written(|o| encode::chunk_start(o, 0xabc_def0)), "^abcdef0\r\n"),
        (written(|o| encode::chunk_start(o, usize::MAX)), "^ffffffffffffffff\r\n"),
        (written(|o| encode::last_chunk(o, [])), "^0\r\n\r\n"),
        (
            written(|o| encode::last_chunk(o, [(&b"A"[..], &b"b"[..]), (b"C", b"")])),
            "^0\r\nA: b\r\nC: \r\n\r\n",
        ),
    ] {
        assert_eq!(seen, expected);
    }
}

#[test]
fn an_empty_chunk_is_not_written_because_it_would_be_the_last() {
    assert_eq!(written(|out| encode::chunk_start(out, 0)), "^");
}

#[test]
fn rfc9112_11_1_no_part_can_end_its_line() {
    for (seen, expected) in [
        (written(|o| encode::field(o, b"A", b"b\r\nC: d")), "^A: b  C: d\r\n"),
        (written(|o| encode::field(o, b"A\n", b"\0\t\x7f")), "^A :  \t \r\n"),
        (written(|o| encode::status_line(o, 200, b"O\nK")), "^HTTP/1.1 200 O K\r\n"),
        (written(|o| encode::request_line(o, b"G\r", b"/\n")), "^G  /  HTTP/1.1\r\n"),
    ] {
        assert_eq!(seen, expected);
    }
}

#[test]
fn usual_statuses_have_their_phrase() {
    for (status, phrase) in [
        (100, "Continue"),
        (200, "OK"),
        (206, "Partial Content"),
        (304, "Not Modified"),
        (413, "Content Too Large"),
        (504, "Gateway Timeout"),
        (299, ""),
        (499, ""),
        (599, ""),
        (700, ""),
    ] {
        assert_eq!(encode::reason_phrase(status), phrase, "{status}");
    }
}
