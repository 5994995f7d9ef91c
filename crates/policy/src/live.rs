//! Responses that are sent while they are made, each for its own client.

use crate::fields::Fields;
use crate::reason::NotStored;
use crate::syntax::{members, parameters, trim};

/// `text/event-stream`, the media type of Server-Sent Events.
const EVENTS: &[u8] = b"text/event-stream";

/// Whether the content is a stream of events: it has no end of its own, and what of it was sent before
/// a client came is not meant for that one.
pub fn is_event_stream(response: &Fields) -> bool {
    response.get("content-type").is_some_and(is_of_events)
}

/// Whether a request wants a stream of events and nothing else, as those of browsers do.
pub fn asks_for_events(request: &Fields) -> bool {
    let mut wanted = request.all("accept").flat_map(members).peekable();
    wanted.peek().is_some() && wanted.all(is_of_events)
}

/// Why a response is for its own client alone, if it says that it is one of these.
pub(crate) fn not_stored(response: &Fields) -> Option<NotStored> {
    if is_event_stream(response) {
        return Some(NotStored::EventStream);
    }
    // A word of nginx, which keeps no such response either.
    let mut asked = response.all("x-accel-buffering").map(trim);
    asked.any(|word| word.eq_ignore_ascii_case(b"no")).then_some(NotStored::Unbuffered)
}

fn is_of_events(media_type: &[u8]) -> bool {
    parameters(media_type).next().is_some_and(|essence| essence.eq_ignore_ascii_case(EVENTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    #[test]
    fn a_response_that_is_made_while_it_is_sent_is_known_by_its_fields() {
        for (head, expected) in [
            ("Content-Type: text/event-stream", Some(NotStored::EventStream)),
            ("content-type: Text/Event-Stream ; charset=utf-8", Some(NotStored::EventStream)),
            ("Content-Type: text/event-streams", None),
            ("Content-Type: text/plain; a=text/event-stream", None),
            ("Accept: text/event-stream", None),
            ("X-Accel-Buffering: no", Some(NotStored::Unbuffered)),
            ("x-accel-buffering:  NO ", Some(NotStored::Unbuffered)),
            ("X-Accel-Buffering: yes\nX-Accel-Buffering: no", Some(NotStored::Unbuffered)),
            ("X-Accel-Buffering: yes", None),
            ("X-Accel-Buffering:", None),
            ("", None),
        ] {
            assert_eq!(not_stored(&fields(head)), expected, "{head}");
        }
    }

    #[test]
    fn only_a_request_for_nothing_else_asks_for_events() {
        for (head, expected) in [
            ("Accept: text/event-stream", true),
            ("accept: text/event-stream;q=0.9\naccept: TEXT/EVENT-STREAM", true),
            ("Accept: application/json, text/event-stream", false),
            ("Accept: */*", false),
            ("Accept:", false),
            ("", false),
        ] {
            assert_eq!(asks_for_events(&fields(head)), expected, "{head}");
        }
    }
}
