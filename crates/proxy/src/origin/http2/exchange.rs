//! One request and its response over an HTTP/2 connection to the origin.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Place;
use super::content::Content;
use super::upload::Upload;
use crate::content::{Allowance, Informational};
use crate::error::FetchError;
use crate::head::{ResponseHead, Version};
use crate::http2_fields;
use crate::origin::Origin;
use crate::origin::content::ResponseContent;
use crate::origin::exchange::{Request, Response};
use crate::origin::patience::Patience;

/// Sends a request and waits for the head of its final response.
pub(in crate::origin) async fn exchange(
    origin: &Arc<Origin>,
    place: Place,
    slot: OwnedSemaphorePermit,
    request: Request,
) -> Result<Response, FetchError> {
    let Request { method, head, content, informational, takes_trailers } = request;
    let (head, ahead) = outgoing(origin, &head, takes_trailers)?;
    let ends = content.is_none() && ahead.is_empty();
    let mut sender = place.sender().ready().await.map_err(unanswered)?;
    let (response, stream) = sender.send_request(head, ends).map_err(unanswered)?;
    let mut upload = Upload::new(stream, ahead, content, place.held_up());
    let waiting = Waiting { origin, informational: informational.as_ref(), told: 0 };
    let outcome = waiting.head(response, &mut upload).await;
    if matches!(outcome, Err(FetchError::HeadTimeout { .. })) {
        // Whoever is silent to one may be silent to all.
        place.give_up();
    }
    let (parts, body) = outcome?.into_parts();
    let status = parts.status.as_u16();
    if !(200..600).contains(&status) {
        return Err(FetchError::Unasked { status });
    }
    if parts.headers.len() > origin.shared.limits.http1.fields {
        return Err(FetchError::BadHead(http1::BadHead::TooManyFields.into()));
    }
    http2_fields::check_values(&parts.headers).map_err(|bad| FetchError::BadHead(bad.into()))?;
    let length = http2_fields::content_length(&parts.headers);
    let length = length.map_err(|bad| FetchError::BadHead(bad.into()))?;
    let bodiless = method == policy::Method::Head || matches!(status, 204 | 304);
    let length = if body.is_end_stream() || bodiless { Some(0) } else { length };
    let allowance = Allowance::new(origin.shared.limits.response_content);
    allowance.check(length.unwrap_or_default())?;
    let head = ResponseHead {
        version: Version::Http2,
        status,
        reason: http1::encode::reason_phrase(status).as_bytes().to_vec(),
        fields: http2_fields::list(&parts.headers),
    };
    let origin = Arc::clone(origin);
    let content = Content::new(origin, body, upload, (length, allowance), (place, slot));
    Ok(Response { head, content: ResponseContent::Http2(Box::new(content)) })
}

/// Waits for a head.
struct Waiting<'a> {
    origin: &'a Origin,
    informational: Option<&'a mpsc::Sender<Informational>>,
    told: usize,
}

impl Waiting<'_> {
    /// Sends and waits, as long as something moves.
    async fn head(
        mut self,
        mut response: ResponseFuture,
        upload: &mut Upload,
    ) -> Result<http::Response<RecvStream>, FetchError> {
        let limit = self.origin.shared.limits.first_byte_timeout;
        let mut patience = Patience::new(limit);
        let head = patience.wait(|cx, patience| {
            let before = (upload.sent(), self.told);
            let head = self.poll(cx, &mut response, upload);
            if (upload.sent(), self.told) > before {
                patience.renew();
            }
            head
        });
        head.await.unwrap_or(Err(FetchError::HeadTimeout { limit }))
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        response: &mut ResponseFuture,
        upload: &mut Upload,
    ) -> Poll<Result<http::Response<RecvStream>, FetchError>> {
        upload.poll(cx)?;
        loop {
            match response.poll_informational(cx) {
                Poll::Ready(Some(Ok(early))) => self.pass_on(&early)?,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(unanswered(error))),
                Poll::Ready(None) => {
                    return Pin::new(response).poll(cx).map_err(unanswered);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Forwards an informational response if the client can still take it.
    fn pass_on(&mut self, early: &http::Response<()>) -> Result<(), FetchError> {
        let status = early.status().as_u16();
        if status == 101 {
            return Err(FetchError::Unasked { status });
        }
        self.told += 1;
        let limit = self.origin.shared.limits.informational;
        if self.told > limit {
            return Err(FetchError::EndlessInformational { limit });
        }
        // `Expect: 100-continue` is answered by the front and never forwarded.
        let Some(client) = self.informational.filter(|_| status != 100) else { return Ok(()) };
        http2_fields::check_values(early.headers())
            .map_err(|bad| FetchError::BadHead(bad.into()))?;
        let mut fields = http2_fields::list(early.headers());
        policy::strip::strip_hop_by_hop(&mut fields);
        let _ = client.try_send(Informational::new(status, fields));
        Ok(())
    }
}

/// The head as it is written for HTTP/1.1, in the form of HTTP/2; and what was written behind it.
fn outgoing(
    origin: &Origin,
    head: &Bytes,
    takes_trailers: bool,
) -> Result<(http::Request<()>, Bytes), FetchError> {
    let end = head.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(head.len());
    let ahead = head.slice((end + 4).min(head.len())..);
    let text = head.get(..end + 2).unwrap_or(head);
    let line = text.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ');
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut request = http::Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    *request.method_mut() = http::Method::from_bytes(method).map_err(|_| FetchError::Internal)?;
    *request.uri_mut() = uri(origin, target)?;
    *request.headers_mut() = http2_fields::lines(text);
    let fields = request.headers_mut();
    // RFC 9113 §8.3.1: the authority says it; §8.2.2: frames say how long the content is.
    fields.remove(http::header::HOST);
    fields.remove(http::header::TRANSFER_ENCODING);
    if takes_trailers {
        //= https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2
        //# The only exception to this is the TE header field, which MAY be present in an HTTP/2
        //# request; when it is, it MUST NOT contain any value other than "trailers".
        fields.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    Ok((request, ahead))
}

fn uri(origin: &Origin, target: &[u8]) -> Result<Uri, FetchError> {
    let authority = Authority::try_from(origin.shared.authority.as_bytes());
    let mut parts = http::uri::Parts::default();
    parts.scheme = origin.shared.url.scheme().as_str().parse().ok();
    parts.authority = Some(authority.map_err(|_| FetchError::Internal)?);
    // What stands outside of the grammar of URIs and is taken from clients all the same has one
    // spelling inside of it.
    let path = PathAndQuery::try_from(target).or_else(|_| PathAndQuery::try_from(escaped(target)));
    parts.path_and_query = Some(path.map_err(|_| FetchError::Internal)?);
    Uri::from_parts(parts).map_err(|_| FetchError::Internal)
}

fn escaped(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len() + 8);
    for &byte in target {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// Why there is no head.
pub(super) fn unanswered(error: h2::Error) -> FetchError {
    if error.is_library() && !error.is_io() {
        return FetchError::BadHttp2(error);
    }
    let unanswered = is_unprocessed(&error) || error.is_io() || error.reason().is_none();
    FetchError::Closed { source: io::Error::other(error), unanswered }
}

/// How an origin says that it does not answer a request on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) enum Refused {
    /// It has not looked at it.
    Unprocessed,
    /// It wants to be asked by HTTP/1.1.
    Http11Required,
}

/// Whether the origin has said so, and not just ended the connection.
pub(in crate::origin) fn refused(error: &FetchError) -> Option<Refused> {
    let FetchError::Closed { source, .. } = error else { return None };
    let error: &h2::Error = source.get_ref()?.downcast_ref()?;
    //= https://www.rfc-editor.org/rfc/rfc9113#section-7
    //# HTTP_1_1_REQUIRED (0x0d): The endpoint requires that HTTP/1.1 be used instead of HTTP/2.
    if error.is_remote() && error.reason() == Some(Reason::HTTP_1_1_REQUIRED) {
        return Some(Refused::Http11Required);
    }
    is_unprocessed(error).then_some(Refused::Unprocessed)
}

fn is_unprocessed(error: &h2::Error) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.7
    //# - The GOAWAY mechanism indicates the highest stream number that could have been processed.
    //# Requests on streams with higher numbers are therefore guaranteed to be safe to retry.
    //# - The REFUSED_STREAM error code can be included in a RST_STREAM frame to indicate that the
    //# stream is being closed prior to any processing having occurred.
    error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
}
