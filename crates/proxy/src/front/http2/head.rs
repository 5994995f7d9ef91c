//! Heads of responses as the codec wants them.

use http::{Response, StatusCode};
use policy::Fields;

use crate::front::deliver::{Told, write_head, write_length};
use crate::http2_fields::{lines, map};
use crate::request::Answer;

/// The head of a response, and its length in bytes before it is compressed. `text` is scratch space.
pub(super) fn response(
    answer: &Answer,
    told: &Told<'_>,
    text: &mut Vec<u8>,
) -> (Response<()>, usize) {
    text.clear();
    write_head(text, answer, told);
    write_length(text, answer);
    let mut response = Response::new(());
    *response.status_mut() = status(answer.status());
    *response.headers_mut() = lines(text);
    (response, text.len())
}

/// The head of an informational response.
pub(super) fn informational(code: u16, fields: &Fields) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status(code);
    *response.headers_mut() = map(fields);
    response
}

/// No status that gets here is unknown to the codec.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
