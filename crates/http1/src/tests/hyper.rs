//! hyper's server as the oracle: what we accept it accepts with the same meaning, and what it
//! refuses we refuse. The cases in which we are stricter, or more liberal, are listed.

use super::generate;
use crate::Limits;
use crate::fuzzing::{Connection, Received};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use tokio::io::AsyncWriteExt;

/// A request as both sides can describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    /// `None` when the content was broken or cut.
    body: Option<Vec<u8>>,
}

/// The first request of `bytes` as hyper's server hands it to a service; `None` if it refuses.
fn by_hyper(bytes: &[u8]) -> Option<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let seen = Rc::new(RefCell::new(None));
        let service = service_fn(|request| answer(request, Rc::clone(&seen)));
        let connection = hyper::server::conn::http1::Builder::new()
            .max_headers(Limits::default().fields)
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        let _outcome = connection.await;
        seen.take()
    })
}

/// Keeps the first request and closes, so that there is no second one.
async fn answer(
    request: Request<Incoming>,
    seen: Rc<RefCell<Option<Seen>>>,
) -> Result<Response<String>, Infallible> {
    let (head, body) = request.into_parts();
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let mut request = Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        fields: fields.collect(),
        body: None,
    };
    request.body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
    seen.borrow_mut().get_or_insert(request);
    let close = Response::builder().header("connection", "close");
    Ok(close.body(String::new()).unwrap())
}

/// The first request of `bytes` as we read it; `None` if we refuse its head.
fn by_us(bytes: &[u8]) -> Option<Seen> {
    let conversation = Connection::new(Limits::default()).read([bytes]);
    let Received { method, target, fields, body } = conversation.requests.into_iter().next()?;
    let lower = |name: Vec<u8>| String::from_utf8(name).unwrap().to_ascii_lowercase();
    Some(Seen {
        method: String::from_utf8(method).unwrap(),
        target: String::from_utf8(target).unwrap(),
        fields: fields.into_iter().map(|(name, value)| (lower(name), value)).collect(),
        body: body.complete.then_some(body.content),
    })
}

/// hyper groups equal names and gives an absolute target its root path.
fn comparable(mut seen: Seen) -> Seen {
    seen.fields.sort_by(|a, b| a.0.cmp(&b.0));
    seen.target = canonical_target(&seen.target);
    seen
}

fn canonical_target(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) else {
        return target.to_owned();
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let root = if path.starts_with('/') { "" } else { "/" };
    format!("{}://{authority}{root}{path}", scheme.to_ascii_lowercase())
}

/// What we accept and hyper does not, each by decision: later minor versions (RFC 9110 §2.5), a
/// backtick in the path and a quotation mark in the query (the documentation of `target` says why).
fn is_known_to_be_more_liberal(bytes: &[u8], ours: &Seen) -> bool {
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let line = line.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let later_minor = !line.ends_with(b"1.0") && !line.ends_with(b"1.1");
    let (path, query) = ours.target.split_once('?').unwrap_or((&ours.target, ""));
    later_minor || path.contains('`') || query.contains('"')
}

fn check(bytes: &[u8]) {
    let Some(ours) = by_us(bytes) else { return };
    let text = String::from_utf8_lossy(bytes);
    let Some(theirs) = by_hyper(bytes) else {
        assert!(is_known_to_be_more_liberal(bytes, &ours), "only we accept {text:?}");
        return;
    };
    let (ours, theirs) = (comparable(ours), comparable(theirs));
    assert_eq!((&ours.method, &ours.target), (&theirs.method, &theirs.target), "{text:?}");
    assert_eq!(ours.fields, theirs.fields, "{text:?}");
    if ours.body.is_some() {
        assert_eq!(ours.body, theirs.body, "{text:?}");
    }
}

#[test]
fn target_bytes_are_judged_alike_with_the_listed_exceptions() {
    let differ = |place: &str, byte: char| {
        let bytes = format!("GET {place}{byte} HTTP/1.1\r\nHost: a\r\n\r\n");
        by_us(bytes.as_bytes()).is_some() != by_hyper(bytes.as_bytes()).is_some()
    };
    for (place, exceptions) in [("/", "#\\`"), ("/?", "\"#")] {
        let different: String = ('!'..='~').filter(|&byte| differ(place, byte)).collect();
        assert_eq!(different, exceptions, "{place}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_we_accept_hyper_accepts_with_the_same_meaning(bytes in generate::request()) {
        check(&bytes);
    }
}

#[test]
fn plain_requests_are_accepted_by_both_with_the_same_meaning() {
    for bytes in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET /?a|b HTTP/1.1\r\nHost: a\r\nA:\r\nA:  x \t\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://h.example HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n",
    ] {
        assert!(by_us(bytes.as_bytes()).is_some_and(|seen| seen.body.is_some()), "{bytes:?}");
        assert!(by_hyper(bytes.as_bytes()).is_some(), "{bytes:?}");
        check(bytes.as_bytes());
    }
}

#[test]
fn these_heads_hyper_accepts_and_we_refuse() {
    for bytes in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\nC: d\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\\ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert!(by_us(bytes.as_bytes()).is_none(), "{bytes:?}");
        assert!(by_hyper(bytes.as_bytes()).is_some(), "{bytes:?}");
    }
}

#[test]
fn these_heads_we_accept_and_hyper_refuses() {
    for bytes in [
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET /` HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?\" HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let ours = by_us(bytes.as_bytes()).unwrap();
        assert!(by_hyper(bytes.as_bytes()).is_none(), "{bytes:?}");
        assert!(is_known_to_be_more_liberal(bytes.as_bytes(), &ours), "{bytes:?}");
    }
}

#[test]
fn these_chunked_bodies_hyper_accepts_and_we_refuse() {
    for body in
        ["1;a b\r\nx\r\n0\r\n\r\n", "1 \r\nx\r\n0\r\n\r\n", "00000000000000001\r\nx\r\n0\r\n\r\n"]
    {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = format!("{head}{body}");
        assert_eq!(by_us(bytes.as_bytes()).unwrap().body, None, "{body:?}");
        assert_eq!(by_hyper(bytes.as_bytes()).unwrap().body, Some(b"x".to_vec()), "{body:?}");
    }
}
