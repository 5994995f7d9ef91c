//! A request that may go no further: the proxy answers as the origin would (RFC 9110 §7.6.2).

use bytes::Bytes;
use http1::encode;
use policy::loops::{self, Reach};
use policy::reason::Refused;
use policy::{Method, Reason};

use super::Request;
use super::answer::{Answer, AnswerContent, AnswerHead, Report, Source};
use crate::head::{RequestHead, ResponseHead};
use crate::proxy_status::ProxyError;
use crate::worker::Worker;

/// What a client may ask of whatever is behind this proxy.
const METHODS: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";

/// The answer to a TRACE or OPTIONS with `Max-Forwards: 0`.
pub(crate) fn answer(worker: &Worker, request: &Request) -> Option<Answer> {
    let asked = &*request.head;
    if loops::reach(&asked.method, &asked.fields) != Reach::Here {
        return None;
    }
    let mut head = ResponseHead::with_status(200);
    policy::date::stamp(&mut head.fields, worker.shared.clock.now());
    let content = if asked.method == Method::Trace {
        head.fields.push(b"Content-Type", b"message/http");
        reflect(asked)
    } else {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.7
        //# A server generating a successful response to OPTIONS SHOULD send any header that might
        //# indicate optional features implemented by the server and applicable to the target
        //# resource (e.g., Allow)
        head.fields.push(b"Allow", METHODS);
        Bytes::new()
    };
    let length = Some(content.len() as u64);
    let code = Refused::MaxForwards.code();
    let proxy_error = Some(ProxyError::own("proxy_internal_response", code));
    let report = Report { code, source: Source::Proxy, proxy_error };
    let content = AnswerContent::Text(content);
    Some(Answer { head: AnswerHead::Own(head), age: None, content, length, report })
}

/// The request as it was received, without what is secret.
fn reflect(asked: &RequestHead) -> Bytes {
    let mut out = Vec::new();
    encode::request_line(&mut out, asked.method.as_bytes(), &asked.target);
    encode::field(&mut out, b"Host", &asked.authority);
    for (name, value) in asked.fields.iter().filter(|(name, _)| !is_secret(name)) {
        encode::field(&mut out, name, value);
    }
    encode::end_of_head(&mut out);
    out.into()
}

/// A script could have itself told what the browser keeps from it.
fn is_secret(name: &[u8]) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.8
    //# The final recipient of the request SHOULD exclude any request fields that are likely to
    //# contain sensitive data when that recipient generates the response content.
    const PARTS: [&[u8]; 6] = [b"auth", b"cookie", b"token", b"secret", b"key", b"session"];
    let has = |part: &[u8]| name.windows(part.len()).any(|at| at.eq_ignore_ascii_case(part));
    PARTS.iter().any(|part| has(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reflection_leaves_out_what_is_secret() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.8
        //= type=test
        //# The final recipient of the request SHOULD exclude any request fields that are likely to
        //# contain sensitive data when that recipient generates the response content.
        let mut asked = RequestHead {
            method: Method::Trace,
            authority: b"a:80".to_vec(),
            target: b"/x?y".to_vec(),
            ..RequestHead::default()
        };
        for name in ["Via", "Authorization", "Cookie", "Max-Forwards", "X-Api-Key", "x-csrf-TOKEN"]
        {
            asked.fields.push(name.as_bytes(), b"1");
        }
        let expected = "TRACE /x?y HTTP/1.1\r\nHost: a:80\r\nVia: 1\r\nMax-Forwards: 1\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&reflect(&asked)), expected);
    }
}
