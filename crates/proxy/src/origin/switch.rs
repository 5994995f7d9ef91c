//! A request that offers the origin to go on in another protocol.

use std::sync::Arc;

use policy::Offer;

use super::Origin;
use super::connection::Connection;
use super::exchange::{Once, Request, Response};
use super::upload::Upload;
use crate::error::FetchError;
use crate::head::{ResponseHead, Version};

/// What the origin made of the offer.
pub(crate) enum Switch {
    /// It goes on in another protocol.
    Switched(Box<Switched>),
    /// It answered as it answers any request.
    Declined(Box<Response>),
}

/// A connection on which the origin no longer speaks HTTP.
pub(crate) struct Switched {
    /// Its 101.
    pub(crate) head: ResponseHead,
    /// What it speaks.
    pub(crate) protocol: Vec<u8>,
    /// What came behind the 101 is in its buffer.
    pub(crate) connection: Connection,
}

/// Sends a request without content and waits for the head of its final response, or for a 101. The
/// connection is a new one by HTTP/1.1: a kept one may turn out to be closed, and nothing of this is
/// ever sent twice. Nothing but the head goes out.
pub(crate) async fn switch(
    origin: &Arc<Origin>,
    request: Request,
    offer: &Offer,
) -> Result<Switch, FetchError> {
    let slot = origin.admit().await?;
    let mut connection = origin.open().await?;
    let Request { method, head, informational, .. } = request;
    let informational = informational.as_ref();
    let once = Once { origin, method: &method, informational, may_switch: true };
    let mut upload = Upload::new(head, None);
    let (head, decoded) = once.head(&mut connection, &mut upload).await?;
    if head.status != 101 {
        let response = once.response(connection, upload, (head, decoded), slot);
        return Ok(Switch::Declined(Box::new(response)));
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.2.2
    //# The server MUST generate an Upgrade header field in the response that indicates which
    //# protocol(s) will be in effect after this response.
    let accepted = offer.accepted(&head.fields);
    let is_sound = head.version == Version::Http11 && upload.is_done();
    let unasked = FetchError::Unasked { status: 101 };
    let protocol = accepted.filter(|_| is_sound).ok_or(unasked)?;
    // The place among the requests becomes free here: tunnels are counted by themselves.
    Ok(Switch::Switched(Box::new(Switched { head, protocol, connection })))
}
