//! Step 2: may this request be served at all?

use policy::Method;

use crate::error::Refusal;
use crate::head::RequestHead;
use crate::worker::Worker;

/// Refuses what a reverse proxy does not do. Framing and `Host` were checked by the codec.
pub(crate) fn screen(head: &RequestHead, has_content: bool) -> Result<(), Refusal> {
    match head.method {
        // RFC 9110 §9.3.6: CONNECT asks a forward proxy for a tunnel.
        Method::Connect => Err(Refusal::Connect),
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.8
        //# A client MUST NOT send content in a TRACE request.
        Method::Trace if has_content => Err(Refusal::TraceContent),
        _ => Ok(()),
    }
}

/// Refuses content that is announced to be larger than is taken, before anything comes of it.
pub(crate) fn screen_length(worker: &Worker, length: Option<u64>) -> Result<(), Refusal> {
    let limit = worker.shared.limits.request_content;
    match limit.filter(|limit| length.is_some_and(|length| length > *limit)) {
        Some(limit) => Err(Refusal::ContentTooLarge { limit }),
        None => Ok(()),
    }
}
