//! Writers for heads and chunks. All of them append to a `Vec`, so a reused one does not allocate.
//!
//! No writer can end a line early: a control byte other than HTAB in a part of a line becomes a
//! space (RFC 9110 §5.5 allows this for CR, LF and NUL), so one call writes one line at most.

use crate::chars::next_control;

/// Ends a line, and a head.
const CRLF: &[u8] = b"\r\n";
/// Follows the data of each chunk.
pub const CHUNK_END: &[u8] = CRLF;

/// `method SP target SP HTTP/1.1 CRLF`. RFC 9112 §3.
pub fn request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    put(out, method);
    out.push(b' ');
    put(out, target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// `HTTP/1.1 SP status SP reason CRLF`. RFC 9112 §4. `status` has three digits.
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    put(out, reason);
    out.extend_from_slice(CRLF);
}

/// `name: value CRLF`. RFC 9112 §5.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put(out, name);
    out.extend_from_slice(b": ");
    put(out, value);
    out.extend_from_slice(CRLF);
}

/// A field whose value is a decimal number.
pub fn field_u64(out: &mut Vec<u8>, name: &[u8], value: u64) {
    put(out, name);
    out.extend_from_slice(b": ");
    decimal(out, value);
    out.extend_from_slice(CRLF);
}

/// The empty line after the fields.
pub fn end_of_head(out: &mut Vec<u8>) {
    out.extend_from_slice(CRLF);
}

/// The line before the data of a chunk; `len` bytes and [`CHUNK_END`] follow. RFC 9112 §7.1.
///
/// A `len` of zero writes nothing: it would be the last chunk, which [`last_chunk`] writes.
pub fn chunk_start(out: &mut Vec<u8>, len: usize) {
    if len == 0 {
        return;
    }
    digits::<16>(out, len as u64);
    out.extend_from_slice(CRLF);
}

/// The last chunk, the trailer fields and the empty line that ends the message. RFC 9112 §7.1.2.
pub fn last_chunk<'a>(out: &mut Vec<u8>, trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        field(out, name, value);
    }
    out.extend_from_slice(CRLF);
}

fn decimal(out: &mut Vec<u8>, value: u64) {
    digits::<10>(out, value);
}

/// Writes `value` in base `BASE`, which is at most 16.
fn digits<const BASE: u64>(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [b'0'; 20];
    let mut used = 0;
    for digit in text.iter_mut().rev() {
        let low = (value % BASE) as u8;
        *digit = if low < 10 { b'0' + low } else { b'a' + low - 10 };
        used += 1;
        value /= BASE;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(text.len() - used..).unwrap_or_default());
}

#[inline]
fn put(out: &mut Vec<u8>, part: &[u8]) {
    match next_control(part) {
        None => out.extend_from_slice(part),
        Some(_) => put_without_controls(out, part),
    }
}

#[cold]
fn put_without_controls(out: &mut Vec<u8>, part: &[u8]) {
    let is_bad = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    out.extend(part.iter().map(|&byte| if is_bad(byte) { b' ' } else { byte }));
}

/// The usual phrase for `status`; empty for one that has none. RFC 9110 §15.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        104 => "Upload Resumption Supported",
        200..=299 => successful(status),
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400..=499 => client_error(status),
        500..=599 => server_error(status),
        _ => "",
    }
}

fn successful(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        _ => "",
    }
}

fn client_error(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        _ => "",
    }
}

fn server_error(status: u16) -> &'static str {
    match status {
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}
