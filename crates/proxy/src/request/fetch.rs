//! Step 8: ask the origin.

use std::sync::Arc;

use policy::parts::missing_range;
use policy::{Fields, Method, Offer, Part, strong};
use tokio::sync::mpsc;

use super::{Entry, Request};
use crate::content::{Informational, RequestContent};
use crate::error::FetchError;
use crate::origin::exchange::{self, Response};
use crate::origin::outgoing::{self, OutgoingFraming, Sender};
use crate::origin::switch::{self, Switch};
use crate::worker::Worker;

/// Which conditions the origin is asked under.
pub(crate) enum Conditions<'a> {
    /// Those of the client: the response is for it alone.
    AsTheClientHasThem,
    /// None: the response is to be stored whole.
    None,
    /// Those that validate a stored response (RFC 9111 §4.3.1).
    Validating(&'a Entry),
    /// Those that ask whether one of these answers the request, which selects none of them.
    Offering(&'a [Arc<Entry>]),
    /// Those of the client for a range, in case this is not current any more.
    Confirming(&'a Entry),
    /// Only this part is wanted, if it is still of the representation with these fields.
    Missing(Part, &'a Fields),
}

impl Conditions<'_> {
    /// The request's fields under these conditions.
    fn apply(&self, mut fields: Fields) -> Fields {
        match self {
            Self::AsTheClientHasThem => {}
            Self::None => policy::validate::strip_conditionals(&mut fields),
            Self::Validating(entry) => {
                policy::validate::strip_conditionals(&mut fields);
                // Without a validator the request stays unconditional and brings a new response.
                let _ = policy::validate::conditional_fields(&entry.meta().fields(), &mut fields);
            }
            Self::Offering(entries) => {
                policy::validate::strip_conditionals(&mut fields);
                let stored: Vec<_> = entries.iter().map(|entry| entry.meta().fields()).collect();
                let _ = policy::other_variants::offer(stored.iter(), &mut fields);
            }
            // If-None-Match comes first, so that the client's own Range and If-Range only count where
            // what is stored is not current any more.
            Self::Confirming(entry) => {
                fields.remove("If-None-Match");
                fields.remove("If-Modified-Since");
                let _ = policy::validate::conditional_fields(&entry.meta().fields(), &mut fields);
            }
            //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
            //# A cache MAY complete a stored incomplete response by making a subsequent range request
            //# (Section 14.2 of [HTTP]) and combining the successful response with the stored response,
            //# as defined in Section 3.4.
            Self::Missing(part, stored) => {
                policy::validate::strip_conditionals(&mut fields);
                fields.push(b"Range", missing_range(*part).as_bytes());
                //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
                //# MUST send the relevant entity tags (using If-Match, If-None-Match, or If-Range) if the
                //# entity tags were provided in the stored response(s) being validated.
                if let Some(validator) = strong::strong_validator(stored) {
                    fields.push(b"If-Range", validator);
                }
            }
        }
        fields
    }
}

/// Sends the request and waits for the head of the response.
pub(crate) async fn fetch(
    worker: &Arc<Worker>,
    request: &Request,
    conditions: &Conditions<'_>,
    content: Option<RequestContent>,
    informational: Option<mpsc::Sender<Informational>>,
) -> Result<Response, FetchError> {
    let method = request.head.method.clone();
    // What was read to make the key goes along with the head: it can be sent as often as that.
    let read = request.head.query.as_ref().filter(|_| content.is_none());
    let framing = match read {
        Some(query) => OutgoingFraming::Length(query.content.len() as u64),
        None => framing(&method, content.as_ref()),
    };
    let mut fields = conditions.apply(request.head.fields.clone());
    policy::dialect::announce(&mut fields, &worker.shared.rules);
    let has_range = fields.contains("Range");
    let sender = sender(worker, request);
    let origin = &worker.origin.shared;
    let mut head = outgoing::head(origin, &request.head, &fields, framing, None, sender)?;
    if let Some(query) = read {
        head = [&head[..], &query.content].concat().into();
    }
    // An upload may take long.
    drop(fields);
    let takes_trailers = request.head.takes_trailers;
    let outgoing = exchange::Request { method, head, content, informational, takes_trailers };
    let response = exchange::exchange(&worker.origin, outgoing).await?;
    check_asked(&response, has_range)?;
    Ok(response)
}

/// Sends a request that offers to go on in another protocol, and waits for what the origin makes of it.
pub(crate) async fn switch(
    worker: &Arc<Worker>,
    request: &Request,
    offer: &Offer,
    informational: mpsc::Sender<Informational>,
) -> Result<Switch, FetchError> {
    let method = request.head.method.clone();
    let mut fields = request.head.fields.clone();
    policy::dialect::announce(&mut fields, &worker.shared.rules);
    let has_range = fields.contains("Range");
    let (origin, framing) = (&worker.origin.shared, framing(&method, None));
    let (offered, sender) = (Some(offer), sender(worker, request));
    let head = outgoing::head(origin, &request.head, &fields, framing, offered, sender)?;
    let outgoing = exchange::Request {
        method,
        head,
        content: None,
        informational: Some(informational),
        takes_trailers: request.head.takes_trailers,
    };
    let switch = switch::switch(&worker.origin, outgoing, offer).await?;
    if let Switch::Declined(response) = &switch {
        check_asked(response, has_range)?;
    }
    Ok(switch)
}

fn sender<'a>(worker: &Worker, request: &'a Request) -> Sender<'a> {
    let told = worker.shared.clients.told;
    Sender { way: &request.way, told, request_id: request.id.as_str() }
}

fn check_asked(response: &Response, has_range: bool) -> Result<(), FetchError> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7
    //# The 206 (Partial Content) status code indicates that the server is successfully fulfilling a
    //# range request for the target resource
    if response.head.status == 206 && !has_range {
        return Err(FetchError::Unasked { status: 206 });
    }
    Ok(())
}

fn framing(method: &Method, content: Option<&RequestContent>) -> OutgoingFraming {
    match content {
        Some(RequestContent { length: Some(length), .. }) => OutgoingFraming::Length(*length),
        Some(RequestContent { length: None, .. }) => OutgoingFraming::Chunked,
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.6
        //# For example, a user agent normally sends Content-Length in a
        //# POST request even when the value is 0 (indicating empty content).
        None if matches!(method, Method::Post | Method::Put | Method::Patch | Method::Query) => {
            OutgoingFraming::Length(0)
        }
        None => OutgoingFraming::None,
    }
}
