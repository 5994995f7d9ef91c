//! Step 11: the final head.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use policy::{Age, Asked, Fields, Fwd, Method, Reason, Reply, Timestamp};
use store::Reader;
use tokio::time::timeout;

use super::answer::{Answer, AnswerContent, AnswerHead, Forwarded, Report, Source};
use super::reuse::Usable;
use super::{Entry, Request, range};
use crate::entry::StoredHead;
use crate::error::{ContentError, FetchError, Refusal};
use crate::head::{self, ResponseHead};
use crate::origin::content::{Arrived, ResponseContent};
use crate::origin::exchange::Response;
use crate::worker::Worker;

/// How long the end of a response that has no content may come behind its head.
const END: Duration = Duration::from_secs(1);
/// Who is turned away because there is too much to do is told to come back within so many seconds.
const RETRY_WITHIN: u64 = 5;

/// An answer from a stored response that may be used as it is.
pub(crate) fn from_store(request: &Request, asked: &Asked, usable: &Usable) -> Answer {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //# When a stored response is used to satisfy a request without validation, a cache MUST
    //# generate an Age header field (Section 5.1), replacing any present in the response with a
    //# value equal to the stored response's current_age; see Section 4.2.3.
    let &Usable { ref entry, age, ttl, why, .. } = usable;
    let report = Report { code: why.code(), source: Source::Store { ttl, why }, proxy_error: None };
    stored(request, asked, entry, Overrides::default(), Some(age), report)
}

/// What an answer uses in place of the head and the body of a stored response.
#[derive(Default)]
pub(crate) struct Overrides {
    /// Reads a body that is still being filled.
    pub(crate) reader: Option<Reader<StoredHead>>,
    /// Stands in for the stored head.
    pub(crate) head: Option<Box<ResponseHead>>,
}

/// An answer from a stored response: the whole of it, or what the request's conditions make of it.
pub(crate) fn stored(
    request: &Request,
    asked: &Asked,
    entry: &Arc<Entry>,
    mut overrides: Overrides,
    age: Option<Age>,
    report: Report,
) -> Answer {
    let method = &request.head.method;
    let meta = entry.meta();
    let status = meta.status();
    // Only conditions and ranges look at single fields of a response that goes out as it is.
    let fields = match &overrides.head {
        _ if !asked.conditional && !asked.range => Fields::new(),
        Some(head) => head.fields.clone(),
        None => meta.fields(),
    };
    let reply = if asked.conditional {
        policy::respond(method, &request.head.fields, status, &fields)
    } else {
        Reply::Full
    };
    if asked.range
        && reply == Reply::Full
        && let Some(ranged) = range::of_whole(request, &fields, entry, &mut overrides.reader)
    {
        let range::Ranged { mut head, content, length } = ranged;
        head.fields.retain(|name, _| !meta.terms.hides(name));
        return Answer { head: AnswerHead::Own(head), age, content, length, report };
    }
    let (head, content, length) = match reply {
        Reply::Full => {
            // Only chunked content has room for trailers.
            let length = entry.length().filter(|_| !has_trailers(entry));
            let own = overrides.head.map(|head| AnswerHead::Own(*head));
            let content = match own {
                _ if !has_content(method, status) => AnswerContent::None,
                None if entry.is_in_memory() && !has_trailers(entry) => AnswerContent::Memory,
                _ => AnswerContent::Stored(Box::new(
                    overrides.reader.unwrap_or_else(|| entry.reader()),
                )),
            };
            (own.unwrap_or_else(|| AnswerHead::Stored(Arc::clone(entry))), content, length)
        }
        Reply::NotModified => {
            let range::Ranged { head, content, length } = range::not_modified(&fields);
            (AnswerHead::Own(head), content, length)
        }
        Reply::PreconditionFailed => {
            (AnswerHead::Own(ResponseHead::with_status(412)), AnswerContent::None, Some(0))
        }
    };
    Answer { head, age, content, length, report }
}

/// Adds what is for this client alone to a 304, which else has few of the fields of what it is about.
pub(super) fn add_withheld(head: &mut ResponseHead, withheld: &Fields) {
    if head.status == 304 {
        withheld.iter().for_each(|(name, value)| head.fields.push(name, value));
    }
}

fn has_trailers(entry: &Entry) -> bool {
    entry.tail().is_some_and(|tail| !tail.is_empty())
}

/// RFC 9110 §6.4.1: responses to HEAD, and those with 204 and 304, have no content.
fn has_content(method: &Method, status: u16) -> bool {
    *method != Method::Head && !matches!(status, 204 | 304)
}

/// An answer that goes from the origin to this client alone.
pub(crate) fn from_origin(
    worker: &Worker,
    request: &Request,
    response: Response,
    code: &'static str,
    forwarded: Forwarded,
) -> Answer {
    let Response { mut head, mut content } = response;
    policy::dialect::strip_heeded(&mut head.fields, &worker.shared.rules);
    if policy::live::is_event_stream(&head.fields) {
        // Nothing happens for a while: that is no stop in the middle of a content.
        let limits = &worker.shared.limits;
        content.may_pause(limits.tunnel_idle.max(limits.between_bytes_timeout));
    }
    let length = announced_length(&request.head.method, &head, &content);
    let status = head.status;
    // What has ended with its head ends so here too: to clients of gRPC an error is that, and what ends
    // in a frame behind it is something else.
    let content = if content.is_over() || !has_content(&request.head.method, status) {
        settle(content);
        AnswerContent::None
    } else {
        AnswerContent::Origin(Box::new(content))
    };
    let source = Source::Origin(Forwarded { status: Some(status), ..forwarded });
    let report = Report { code, source, proxy_error: None };
    Answer { head: AnswerHead::Own(head), age: None, content, length, report }
}

/// Lets a response without content give its connection back.
pub(super) fn settle(mut content: ResponseContent) {
    // Without content the end is there already; anything else closes the connection, as it should. By
    // HTTP/2 the end may come in a frame of its own, and a stream that is reset before that is one that
    // the origin counts.
    if matches!(content.try_next(), Ok(Arrived::Waiting)) {
        drop(tokio::spawn(async move { timeout(END, content.next()).await }));
    }
}

/// What `Content-Length` should say. For HEAD it tells what GET would have brought.
fn announced_length(
    method: &Method,
    head: &ResponseHead,
    content: &ResponseContent,
) -> Option<u64> {
    if *method == Method::Head || head.status == 304 {
        let announced = head.fields.get("Content-Length")?;
        return std::str::from_utf8(announced).ok()?.parse().ok();
    }
    content.length()
}

/// Makes an origin's head ready for the next hop: what concerns only the last one is removed, and
/// what a recipient with a clock has to add is added.
pub(crate) fn for_next_hop(head: &mut ResponseHead, now: Timestamp) {
    let fields = &mut head.fields;
    let required = policy::upgrade::required(head.status, fields);
    policy::strip::strip_hop_by_hop(fields);
    fields.remove("X-Cache");
    fields.remove("X-Request-Id");
    // The front writes it for its own connection, if that is one of HTTP/1.1.
    if let Some(protocols) = required {
        fields.push(b"Upgrade", &protocols);
    }
    policy::date::stamp(fields, now);
    fields.push(b"Via", head::via(head.version));
}

/// The answer when the origin gave none that can be used.
pub(crate) fn failed(
    worker: &Worker,
    request: &Request,
    error: &FetchError,
    forwarded: Forwarded,
) -> Answer {
    failed_as(error.status(), worker, request, error, forwarded)
}

/// As [`failed`], with this status.
pub(crate) fn failed_as(
    status: u16,
    worker: &Worker,
    request: &Request,
    error: &FetchError,
    forwarded: Forwarded,
) -> Answer {
    let report = Report {
        code: error.code(),
        source: Source::Origin(forwarded),
        proxy_error: Some(error.proxy_error()),
    };
    text(worker, &request.head.method, status, &format!("{error}\n"), report)
}

/// The answer to content that cannot be read, and that nobody was asked about yet.
pub(crate) fn broken(worker: &Worker, request: &Request, error: ContentError) -> Answer {
    failed(worker, request, &FetchError::Client(error), Forwarded::new(Fwd::Bypass))
}

/// The answer to a request that is not served.
pub(crate) fn refusal(worker: &Worker, method: &Method, refusal: &Refusal) -> Answer {
    let proxy_error = Some(refusal.proxy_error());
    let report = Report { code: refusal.code(), source: Source::Proxy, proxy_error };
    text(worker, method, refusal.status(), &format!("{refusal}\n"), report)
}

/// A short plain text of the proxy's own.
pub(super) fn text(
    worker: &Worker,
    method: &Method,
    status: u16,
    text: &str,
    report: Report,
) -> Answer {
    let mut head = ResponseHead::with_status(status);
    policy::date::stamp(&mut head.fields, worker.shared.clock.now());
    head.fields.push(b"Content-Type", b"text/plain; charset=utf-8");
    head.fields.push(b"Cache-Control", b"no-store");
    if status == 503 {
        // Those who were sent away together do not come back together.
        let seconds = 1 + worker.ids.chance() % RETRY_WITHIN;
        head.fields.push(b"Retry-After", itoa::Buffer::new().format(seconds).as_bytes());
    }
    let text = Bytes::copy_from_slice(text.as_bytes());
    let length = Some(text.len() as u64);
    let has_content = *method != Method::Head;
    let content = if has_content { AnswerContent::Text(text) } else { AnswerContent::None };
    Answer { head: AnswerHead::Own(head), age: None, content, length, report }
}
