//! One request and its response over a connection to the origin.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http1::{Answered, FieldSpan, Framing, Progress};
use policy::{Fields, Method};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Origin;
use super::connection::{Connection, Opened};
use super::content::{Http1Content, ResponseContent};
use super::http2::{self, Refused};
use super::patience::Patience;
use super::upload::Upload;
use crate::content::{Allowance, Informational, RequestContent};
use crate::error::FetchError;
use crate::head::{self, ResponseHead};

/// What is sent to the origin.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The head, ready to send.
    pub(crate) head: Bytes,
    pub(crate) content: Option<RequestContent>,
    /// Where informational responses go, if anyone waits for them.
    pub(crate) informational: Option<mpsc::Sender<Informational>>,
    /// The client takes trailers: by HTTP/2 the origin is told.
    pub(crate) takes_trailers: bool,
}

/// A response whose content is still on its way.
pub(crate) struct Response {
    pub(crate) head: ResponseHead,
    pub(crate) content: ResponseContent,
}

/// Sends a request and waits for the head of its final response. A request that was sent on a kept
/// connection which turns out to be closed is sent once more on a new one, if that is safe.
pub(crate) async fn exchange(
    origin: &Arc<Origin>,
    request: Request,
) -> Result<Response, FetchError> {
    let slot = origin.admit().await?;
    origin.shared.budget.save();
    if origin.shared.may_speak_http2() {
        // Boxed, so that whoever only speaks HTTP/1.1 has a small future.
        return Box::pin(exchange_either(origin, request, slot)).await;
    }
    exchange_http1(origin, request, slot, None).await
}

/// The same where HTTP/2 may be spoken. A request that the origin has not looked at, or that may be
/// repeated and whose connection broke before a head came, is sent once more. If the origin has not
/// looked at it that time either, it is sent as the first on a connection of its own: some take one
/// request, and announce the end of the connection to those behind it.
async fn exchange_either(
    origin: &Arc<Origin>,
    mut request: Request,
    mut slot: OwnedSemaphorePermit,
) -> Result<Response, FetchError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let again = request.again();
        let opened = if attempt <= 2 {
            origin.place(request.content.is_some()).await?
        } else {
            origin.open_either().await?
        };
        let place = match opened {
            Opened::Http1(connection) => {
                return exchange_http1(origin, request, slot, connection).await;
            }
            Opened::Http2(place) => place,
        };
        let outcome = http2::exchange(origin, place, slot, request).await;
        let (Err(error), Some(again)) = (&outcome, again) else { return outcome };
        let refused = http2::refused(error);
        let may = match refused {
            Some(Refused::Unprocessed) => attempt <= 2,
            Some(Refused::Http11Required) => attempt == 1 && origin.shared.may_speak_either(),
            None => attempt == 1 && error.was_unanswered(),
        };
        if !may || !origin.shared.budget.spend() {
            return outcome;
        }
        slot = origin.admit().await?;
        if refused == Some(Refused::Http11Required) {
            return exchange_http1(origin, again, slot, None).await;
        }
        request = again;
    }
}

/// The same by HTTP/1.1, on a connection that was just made, on a kept one, or on a new one.
async fn exchange_http1(
    origin: &Arc<Origin>,
    request: Request,
    slot: OwnedSemaphorePermit,
    made: Option<Connection>,
) -> Result<Response, FetchError> {
    let again = request.is_repeatable().then(|| request.head.clone());
    let Request { method, head, content, informational, .. } = request;
    let informational = informational.as_ref();
    let once = Once { origin, method: &method, informational, may_switch: false };
    if let Some(made) = made {
        return once.send(made, head, content, slot).await;
    }
    let Some(kept) = origin.take_idle() else {
        return once.send(origin.open().await?, head, content, slot).await;
    };
    match (once.send(kept, head, content, slot).await, again) {
        (Err(error), Some(head)) if may_repeat(origin, &error) => {
            let slot = origin.admit().await?;
            once.send(origin.open().await?, head, None, slot).await
        }
        (outcome, _) => outcome,
    }
}

/// Whether a request that failed so may be sent once more.
fn may_repeat(origin: &Origin, error: &FetchError) -> bool {
    error.was_unanswered() && origin.shared.budget.spend()
}

/// One attempt.
pub(super) struct Once<'a> {
    pub(super) origin: &'a Arc<Origin>,
    pub(super) method: &'a Method,
    pub(super) informational: Option<&'a mpsc::Sender<Informational>>,
    /// The request offers to go on in another protocol: a 101 is an answer to it.
    pub(super) may_switch: bool,
}

impl Once<'_> {
    async fn send(
        &self,
        mut connection: Connection,
        head: Bytes,
        content: Option<RequestContent>,
        slot: OwnedSemaphorePermit,
    ) -> Result<Response, FetchError> {
        let mut upload = Upload::new(head, content);
        let head = self.head(&mut connection, &mut upload).await?;
        Ok(self.response(connection, upload, head, slot))
    }

    /// Sends the request until the head of its response is there, as it is and as the codec sees it.
    pub(super) async fn head(
        &self,
        connection: &mut Connection,
        upload: &mut Upload,
    ) -> Result<(ResponseHead, http1::ResponseHead), FetchError> {
        let limits = &self.origin.shared.limits;
        let mut spans = Vec::new();
        let mut informational = 0;
        // For the head as a whole, however it drips.
        let mut patience = Patience::new(limits.first_byte_timeout);
        let decoded = loop {
            let buf = &connection.buf;
            match http1::decode_response(buf, &limits.http1, self.answered(), &mut spans)? {
                Progress::Partial => {
                    self.fill(connection, upload, informational == 0, &mut patience).await?;
                }
                Progress::Complete(head) if head.status >= 200 => break head,
                Progress::Complete(head) if head.status == 101 && self.may_switch => break head,
                Progress::Complete(head) => {
                    informational += 1;
                    if informational > limits.informational {
                        let limit = limits.informational;
                        return Err(FetchError::EndlessInformational { limit });
                    }
                    self.pass_on(connection, &head, &spans)?;
                    connection.buf.advance(head.len);
                    patience.renew();
                }
            }
        };
        if let Framing::Length(length) = decoded.framing {
            Allowance::new(limits.response_content).check(length)?;
        }
        let head = ResponseHead::adopt(&connection.buf, &decoded, &spans);
        connection.buf.advance(decoded.len);
        Ok((head, decoded))
    }

    /// The response whose head this is, with its content to come.
    pub(super) fn response(
        &self,
        connection: Connection,
        upload: Upload,
        (head, decoded): (ResponseHead, http1::ResponseHead),
        slot: OwnedSemaphorePermit,
    ) -> Response {
        // An origin that does not look for content where it has no meaning takes it for another request,
        // and the answer to that would be somebody's.
        let is_doubtful = upload.has_content() && self.method.ignores_content();
        let decoded =
            http1::ResponseHead { persistent: decoded.persistent && !is_doubtful, ..decoded };
        let content = Http1Content::new(self.origin, connection, upload, &decoded, slot);
        let content = ResponseContent::Http1(content);
        Response { head, content }
    }

    fn answered(&self) -> Answered {
        if self.method == &Method::Head { Answered::Head } else { Answered::Other }
    }

    /// Sends and reads until some bytes of the response arrive.
    async fn fill(
        &self,
        connection: &mut Connection,
        upload: &mut Upload,
        first: bool,
        patience: &mut Patience,
    ) -> Result<(), FetchError> {
        let limit = self.origin.shared.limits.first_byte_timeout;
        let timed_out = || FetchError::HeadTimeout { limit };
        let read = upload.send_and_fill(connection, patience).await?.ok_or_else(timed_out)?;
        let unanswered = first && connection.buf.is_empty();
        let closed = |source| FetchError::Closed { source, unanswered };
        match read {
            Ok(0) => Err(closed(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(source) => Err(closed(source)),
        }
    }

    /// Forwards an informational response if the client can still take it.
    fn pass_on(
        &self,
        connection: &Connection,
        head: &http1::ResponseHead,
        spans: &[FieldSpan],
    ) -> Result<(), FetchError> {
        if head.status == 101 {
            return Err(FetchError::Unasked { status: 101 });
        }
        // `Expect: 100-continue` is answered by the front and never forwarded.
        let Some(client) = self.informational.filter(|_| head.status != 100) else { return Ok(()) };
        let mut fields = Fields::new();
        head::load(&mut fields, connection.buf.get(..head.len).unwrap_or_default(), spans);
        policy::strip::strip_hop_by_hop(&mut fields);
        // A client that is slow to take them or gone loses them: they are hints.
        let _ = client.try_send(Informational::new(head.status, fields));
        Ok(())
    }
}

impl Request {
    /// Whether it may be sent once more at all. Content is read from the client once.
    fn is_repeatable(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
        //# A proxy MUST NOT automatically retry non-idempotent requests.
        self.method.is_idempotent() && self.content.is_none()
    }

    /// The same once more, if nothing forbids that.
    fn again(&self) -> Option<Self> {
        self.is_repeatable().then(|| Self {
            method: self.method.clone(),
            head: self.head.clone(),
            content: None,
            informational: self.informational.clone(),
            takes_trailers: self.takes_trailers,
        })
    }
}
