//! What is answered to a request at the metrics listener. No I/O: the bytes that have come are looked
//! at, and the whole response is made of them.

use http1::{FieldSpan, Limits, Progress, RequestHead, decode_request};
use policy::Timestamp;

use super::family::Format;
use super::token::Token;

/// Where the metrics are.
const PATH: &[u8] = b"/metrics";

/// The response to what has come so far; `None` as long as that is not a whole head. Content is not
/// looked at: the connection ends with the response.
pub(super) fn answer(
    received: &[u8],
    token: Option<&Token>,
    now: Timestamp,
    metrics: impl FnOnce(Format) -> String,
) -> Option<Vec<u8>> {
    let mut fields = Vec::new();
    let head = match decode_request(received, &Limits::default(), &mut fields) {
        Ok(Progress::Partial) => return None,
        Ok(Progress::Complete(head)) => head,
        Err(bad) => return Some(refusal(now, bad.status(), "", bad.meaning())),
    };
    let request = Request { received, head, fields };
    Some(request.answer(token, now, metrics))
}

struct Request<'r> {
    received: &'r [u8],
    head: RequestHead,
    fields: Vec<FieldSpan>,
}

impl Request<'_> {
    fn answer(
        &self,
        token: Option<&Token>,
        now: Timestamp,
        metrics: impl FnOnce(Format) -> String,
    ) -> Vec<u8> {
        if token.is_some_and(|token| !self.shows(token)) {
            //= https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
            //# A server generating a 401 (Unauthorized) response MUST send a WWW-Authenticate header
            //# field containing at least one challenge.
            let challenge = "WWW-Authenticate: Bearer realm=\"metrics\"\r\n";
            return refusal(now, 401, challenge, "a token is needed: Authorization: Bearer TOKEN");
        }
        let path = self.head.path.of(self.received);
        if path.split(|&byte| byte == b'?').next() != Some(PATH) {
            return refusal(now, 404, "", "the metrics are at /metrics");
        }
        let has_content = match self.head.method.of(self.received) {
            b"GET" => true,
            b"HEAD" => false,
            //= https://www.rfc-editor.org/rfc/rfc9110#section-10.2.1
            //# An origin server MUST generate an Allow header field in a 405 (Method Not Allowed)
            //# response
            _ => return refusal(now, 405, "Allow: GET, HEAD\r\n", "the metrics can only be read"),
        };
        let format = self.format();
        let content = metrics(format);
        let mut response = head(now, 200, format.media_type(), "", content.len());
        if has_content {
            response.extend_from_slice(content.as_bytes());
        }
        response
    }

    fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        let named = move |field: &&FieldSpan| {
            field.name.of(self.received).eq_ignore_ascii_case(name.as_bytes())
        };
        self.fields.iter().filter(named).map(|field| field.value.of(self.received))
    }

    /// Credentials that stand there twice are nobody's.
    fn shows(&self, token: &Token) -> bool {
        let mut all = self.all("Authorization");
        let first = all.next();
        all.next().is_none() && first.is_some_and(|credentials| token.is_shown_by(credentials))
    }

    /// The newer one for those who name it.
    fn format(&self) -> Format {
        let is_named =
            self.all("Accept").flat_map(|value| value.split(|&byte| byte == b',')).any(names);
        if is_named { Format::OpenMetrics } else { Format::Prometheus }
    }
}

/// Whether this part of `Accept` is about `OpenMetrics`, in the version that is spoken here.
fn names(part: &[u8]) -> bool {
    let mut parts = part.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let is_it = |kind: &[u8]| kind.eq_ignore_ascii_case(b"application/openmetrics-text");
    let is_wanted = |parameter: &[u8]| {
        let mut sides = parameter.splitn(2, |&byte| byte == b'=');
        let (name, value) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
        match name.to_ascii_lowercase().as_slice() {
            b"version" => value == b"1.0.0" || value == b"\"1.0.0\"",
            // Nothing but zeros: not at all.
            b"q" => value.iter().any(|byte| (b'1'..=b'9').contains(byte)),
            _ => true,
        }
    };
    parts.next().is_some_and(is_it) && parts.all(is_wanted)
}

fn refusal(now: Timestamp, status: u16, field: &str, why: &str) -> Vec<u8> {
    let text = format!("{why}\n");
    let mut response = head(now, status, "text/plain; charset=utf-8", field, text.len());
    response.extend_from_slice(text.as_bytes());
    response
}

fn head(now: Timestamp, status: u16, media_type: &str, field: &str, length: usize) -> Vec<u8> {
    let (phrase, date) = (http1::encode::reason_phrase(status), policy::date::format(now));
    let head = format!(
        "HTTP/1.1 {status} {phrase}\r\nDate: {date}\r\nContent-Type: {media_type}\r\n\
         Content-Length: {length}\r\nCache-Control: no-store\r\n{field}Connection: close\r\n\r\n"
    );
    head.into_bytes()
}
