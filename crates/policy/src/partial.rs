//! The heads of partial responses: 206 with one part or several, and 416 (RFC 9110 §15.3.7,
//! §15.5.17).

use crate::fields::Fields;
use crate::range::{Part, unsatisfied};

/// The fields of a 206 that brings one part of a stored response. `request` may have an If-Range.
pub fn single_part_fields(request: &Fields, stored: &Fields, part: Part) -> Fields {
    let mut fields = common_fields(request, stored);
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.1
    //# If a single part is being transferred, the server generating the 206 response MUST generate a
    //# Content-Range header field
    fields.set("Content-Range", part.content_range().as_bytes());
    fields
}

/// The fields of a 206 that brings several parts, separated by `boundary`.
pub fn multipart_fields(request: &Fields, stored: &Fields, boundary: &str) -> Fields {
    let mut fields = common_fields(request, stored);
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
    //# a server MUST NOT generate a Content-Range header field in the HTTP header section of a
    //# multiple part response
    fields.remove("Content-Range");
    let value = format!("multipart/byteranges; boundary={boundary}");
    fields.set("Content-Type", value.as_bytes());
    fields
}

/// What stands before a part of multipart content.
pub fn part_head(stored: &Fields, boundary: &str, part: Part, is_first: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(if is_first { b"--" } else { b"\r\n--" });
    out.extend_from_slice(boundary.as_bytes());
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
    //# If the selected representation would have had a Content-Type header field in a 200 (OK)
    //# response, the server SHOULD generate that same Content-Type header field in the header area
    //# of each body part.
    if let Some(media_type) = stored.get("content-type") {
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(media_type);
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
    //# Within the header area of each body part in the multipart content, the server MUST generate a
    //# Content-Range header field corresponding to the range being enclosed in that body part.
    out.extend_from_slice(b"\r\nContent-Range: ");
    out.extend_from_slice(part.content_range().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out
}

/// What stands behind the last part of multipart content.
pub fn part_end(boundary: &str) -> Vec<u8> {
    format!("\r\n--{boundary}--\r\n").into_bytes()
}

/// The fields of a 416 about a stored response of this length.
pub fn unsatisfied_fields(stored: &Fields, complete: u64) -> Fields {
    let mut fields = Fields::new();
    if let Some(date) = stored.get("date") {
        fields.push(b"Date", date);
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.17
    //# A server that generates a 416 response to a byte-range request SHOULD generate a
    //# Content-Range header field specifying the current length of the selected representation
    fields.push(b"Content-Range", unsatisfied(complete).as_bytes());
    fields
}

/// Removes the fields that digest the content of one message: they are wrong for any other part of
/// the representation, and for the whole. `Repr-Digest` is about the representation, and stays.
pub fn drop_content_digests(fields: &mut Fields) {
    const DIGESTS: [&[u8]; 2] = [b"content-digest", b"content-md5"];
    fields.retain(|name, _| !DIGESTS.iter().any(|digest| name.eq_ignore_ascii_case(digest)));
}

/// The fields of a stored response that a 206 of it carries.
fn common_fields(request: &Fields, stored: &Fields) -> Fields {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7
    //# A sender that generates a 206 response to a request with an If-Range header field SHOULD NOT
    //# generate other representation header fields beyond those required because the client already
    //# has a prior response containing those header fields.
    const KNOWN: [&[u8]; 3] = [b"content-type", b"content-encoding", b"content-language"];
    let mut fields = stored.clone();
    drop_content_digests(&mut fields);
    if request.contains("if-range") {
        fields.retain(|name, _| !KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known)));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;
    use crate::range::Span;

    const STORED: &str = "Date: x\nContent-Type: text/plain\nContent-Encoding: br\nETag: \"a\"";

    fn part(first: u64, last: u64) -> Part {
        Part::new(Span::new(first, last).unwrap(), 10).unwrap()
    }

    #[test]
    fn a_single_part_is_the_stored_head_with_its_range() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.1
        //= type=test
        //# If a single part is being transferred, the server generating the 206 response MUST
        //# generate a Content-Range header field
        let got = single_part_fields(&Fields::new(), &fields(STORED), part(2, 4));
        assert_eq!(got, fields(&format!("{STORED}\nContent-Range: bytes 2-4/10")));
    }

    #[test]
    fn a_digest_of_other_content_is_not_told() {
        let stored =
            fields(&format!("{STORED}\nContent-Digest: a\ncontent-md5: b\nRepr-Digest: c"));
        let got = single_part_fields(&Fields::new(), &stored, part(2, 4));
        let expected = format!("{STORED}\nRepr-Digest: c\nContent-Range: bytes 2-4/10");
        assert_eq!(got, fields(&expected));
    }

    #[test]
    fn who_has_a_part_already_is_not_told_the_type_again() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7
        //= type=test
        //# A sender that generates a 206 response to a request with an If-Range header field SHOULD
        //# NOT generate other representation header fields beyond those required because the client
        //# already has a prior response containing those header fields.
        let got = single_part_fields(&fields("If-Range: \"a\""), &fields(STORED), part(2, 4));
        assert_eq!(got, fields("Date: x\nETag: \"a\"\nContent-Range: bytes 2-4/10"));
    }

    #[test]
    fn several_parts_have_their_ranges_between_them() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
        //= type=test
        //# a server MUST NOT generate a Content-Range header field in the HTTP header section of a
        //# multiple part response
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
        //= type=test
        //# Within the header area of each body part in the multipart content, the server MUST
        //# generate a Content-Range header field corresponding to the range being enclosed in that
        //# body part.
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
        //= type=test
        //# If the selected representation would have had a Content-Type header field in a 200 (OK)
        //# response, the server SHOULD generate that same Content-Type header field in the header
        //# area of each body part.
        let stored = fields(&format!("{STORED}\nContent-Range: bytes 0-4/10"));
        let got = multipart_fields(&Fields::new(), &stored, "B");
        assert_eq!(got.get("content-type"), Some(&b"multipart/byteranges; boundary=B"[..]));
        assert!(!got.contains("content-range"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(
            text(part_head(&stored, "B", part(0, 1), true)),
            "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n"
        );
        assert_eq!(
            text(part_head(&Fields::new(), "B", part(8, 9), false)),
            "\r\n--B\r\nContent-Range: bytes 8-9/10\r\n\r\n"
        );
        assert_eq!(text(part_end("B")), "\r\n--B--\r\n");
    }

    #[test]
    fn who_asks_beyond_the_end_is_told_where_it_is() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.17
        //= type=test
        //# A server that generates a 416 response to a byte-range request SHOULD generate a
        //# Content-Range header field specifying the current length of the selected representation
        let got = unsatisfied_fields(&fields(STORED), 10);
        assert_eq!(got, fields("Date: x\nContent-Range: bytes */10"));
    }
}
