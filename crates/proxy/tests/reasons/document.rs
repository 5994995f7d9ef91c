//! The page of reasons, made of the tables in the code.

use std::fmt::Write as _;

use policy::Reason;
use policy::reason::{Hit, NotStored, Pass, Refetch, Refused};
use proxy::failure::{Denial, Failure, Malformed};
use proxy::{HandshakeFailure, TunnelEnd};

/// The reasons that appear in one place.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    /// Where they appear.
    about: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// One reason.
pub(crate) struct Row {
    pub(crate) code: &'static str,
    meaning: String,
    section: Option<&'static str>,
    /// What else is told with it.
    with: String,
}

/// The whole page.
pub(crate) fn text() -> String {
    let mut out = String::from(
        "# Reasons\n\n\
         Every response tells why it is what it is: as `detail` in `Cache-Status` \
         ([RFC 9211](https://www.rfc-editor.org/rfc/rfc9211)), as `details` in `Proxy-Status` \
         ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)) if something failed, and in the log. \
         A code keeps its meaning for ever.\n\n\
         This page is made of the tables in the code by `cargo run -p proxy --example reasons`.\n",
    );
    for Group { title, about, rows } in groups() {
        write!(
            out,
            "\n## {title}\n\n{about}\n\n| code | meaning | told with | decided by |\n|---|---|---|---|\n"
        )
        .unwrap_or_default();
        for Row { code, meaning, section, with } in rows {
            let section = section.map(link).unwrap_or_default();
            writeln!(out, "| `{code}` | {meaning} | {with} | {section} |").unwrap_or_default();
        }
    }
    out
}

pub(crate) fn groups() -> Vec<Group> {
    vec![
        group(
            "Answered from the cache",
            "`Cache-Status: …; hit; ttl=…; detail=…`, and `X-Cache: HIT`.",
            Hit::ALL,
            |why| {
                let is_told_by =
                    if *why == Hit::Validated { "fwd=…; fwd-status=304" } else { "hit" };
                format!("`{is_told_by}`")
            },
        ),
        group(
            "Asked the origin although the request could be answered from the cache",
            "`Cache-Status: …; fwd=…; detail=…`, where the response was stored. `stored` is true of a \
             short response; of one whose head goes out before its end it says that it is on its way \
             into the store, which keeps it only if it arrives whole, is not invalidated meanwhile, \
             and finds room.",
            Refetch::ALL,
            |why| format!("`fwd={}`", why.fwd().as_str()),
        ),
        group(
            "Asked the origin for this client alone",
            "`Cache-Status: …; fwd=…; detail=…`. Where the cache was looked into before, `fwd` tells \
             what was found: `uri-miss`, `vary-miss`, `stale` or `request`.",
            Pass::ALL,
            |why| format!("`fwd={}`", why.fwd().as_str()),
        ),
        group(
            "Not stored because of what it is",
            "`Cache-Status: …; fwd=…; detail=…` without `stored`: the response could have been \
             stored, and this is why it was not.",
            NotStored::ALL,
            |_| "`fwd=…`".to_owned(),
        ),
        Group {
            title: "Not stored because of the store",
            about: "`Cache-Status: …; fwd=…; detail=…` without `stored`.",
            rows: store_rows(),
        },
        Group {
            title: "Failed",
            about: "The status that the client gets, and `Proxy-Status: …; error=…; details=…`. The \
                    code is also the `detail` of `Cache-Status`, unless a stale response stands in.",
            rows: Failure::ALL
                .iter()
                .map(|why| failure(why.code(), why.meaning(), why.status(), why.error_type()))
                .collect(),
        },
        Group {
            title: "Answered by the proxy itself",
            about: "`Proxy-Status: …; error=…; details=…`, and no `Cache-Status`.",
            rows: own_rows(),
        },
        tunnels(),
        handshakes(),
    ]
}

fn tunnels() -> Group {
    let row = |why: &TunnelEnd| {
        let (code, meaning) = (why.code(), why.meaning().to_owned());
        Row { code, meaning, section: None, with: "log".to_owned() }
    };
    Group {
        title: "How a tunnel ended",
        about: "What follows a 101 (`upgrade`). Only in the log, as `end`.",
        rows: TunnelEnd::ALL.iter().map(row).collect(),
    }
}

fn handshakes() -> Group {
    let row = |why: &HandshakeFailure| Row {
        code: why.code(),
        meaning: why.meaning().to_owned(),
        section: None,
        with: if why.is_told() { "log, counter" } else { "counter" }.to_owned(),
    };
    Group {
        title: "No request: the TLS handshake came to nothing",
        about: "Only in the log, at most once a minute each, and counted: in \
                `caching_proxy_tls_handshake_failures_total` of the [metrics](metrics.md), and by \
                `--stats`.",
        rows: HandshakeFailure::ALL.iter().map(row).collect(),
    }
}

fn group<R: Reason>(
    title: &'static str,
    about: &'static str,
    reasons: &[R],
    with: impl Fn(&R) -> String,
) -> Group {
    let row = |reason: &R| Row {
        code: reason.code(),
        meaning: reason.meaning().to_owned(),
        section: reason.section(),
        with: with(reason),
    };
    Group { title, about, rows: reasons.iter().map(row).collect() }
}

/// The store refuses before the body for some of the reasons for which it drops it at the end.
fn store_rows() -> Vec<Row> {
    let row = |code, meaning: &str| Row {
        code,
        meaning: meaning.to_owned(),
        section: None,
        with: "`fwd=…`".to_owned(),
    };
    let before = store::Refused::ALL.iter().map(|why| row(why.code(), why.meaning()));
    let mut rows: Vec<Row> = before.collect();
    for why in store::NotStored::ALL {
        match rows.iter_mut().find(|row| row.code == why.code()) {
            Some(same) => same.meaning = format!("{} {}", same.meaning, why.meaning()),
            None => rows.push(row(why.code(), why.meaning())),
        }
    }
    rows
}

fn own_rows() -> Vec<Row> {
    let heads = http1::BadHead::ALL.iter().map(|&bad| http1::BadRequest::Head(bad));
    let requests = heads.chain(http1::BadRequest::OWN.iter().copied());
    let refused = Refused::ALL.iter().map(|why| Row {
        code: why.code(),
        meaning: why.meaning().to_owned(),
        section: why.section(),
        with: "`error=proxy_internal_response`".to_owned(),
    });
    let denied = Denial::ALL
        .iter()
        .map(|why| failure(why.code(), why.meaning(), why.status(), why.error_type()));
    let malformed = requests.map(|bad| Row {
        code: bad.code(),
        meaning: format!("The request is malformed: {}.", bad.meaning()),
        section: Some(bad.section()),
        with: format!("{}", bad.status()),
    });
    let by_http2 = Malformed::ALL.iter().map(|why| Row {
        code: why.code(),
        meaning: format!("The request is malformed: {}.", why.meaning()),
        section: Some(why.section()),
        with: "400 in log and metrics; the stream is reset".to_owned(),
    });
    refused.chain(denied).chain(malformed).chain(by_http2).collect()
}

fn failure(code: &'static str, meaning: &str, status: u16, error: &str) -> Row {
    let section = SECTIONS.iter().find(|(known, _)| *known == error).map(|(_, section)| *section);
    let with = format!("{status} `error={error}`");
    Row { code, meaning: meaning.to_owned(), section, with }
}

/// Where the error types are defined.
const SECTIONS: [(&str, &str); 23] = [
    ("dns_timeout", "RFC 9209 §2.3.1"),
    ("dns_error", "RFC 9209 §2.3.2"),
    ("destination_ip_unroutable", "RFC 9209 §2.3.6"),
    ("connection_refused", "RFC 9209 §2.3.7"),
    ("connection_terminated", "RFC 9209 §2.3.8"),
    ("connection_timeout", "RFC 9209 §2.3.9"),
    ("connection_read_timeout", "RFC 9209 §2.3.10"),
    ("connection_limit_reached", "RFC 9209 §2.3.12"),
    ("tls_protocol_error", "RFC 9209 §2.3.13"),
    ("tls_certificate_error", "RFC 9209 §2.3.14"),
    ("tls_alert_received", "RFC 9209 §2.3.15"),
    ("http_request_error", "RFC 9209 §2.3.16"),
    ("http_response_incomplete", "RFC 9209 §2.3.18"),
    ("http_response_header_section_size", "RFC 9209 §2.3.19"),
    ("http_response_header_size", "RFC 9209 §2.3.20"),
    ("http_response_body_size", "RFC 9209 §2.3.21"),
    ("http_response_trailer_section_size", "RFC 9209 §2.3.22"),
    ("http_response_trailer_size", "RFC 9209 §2.3.23"),
    ("http_response_transfer_coding", "RFC 9209 §2.3.24"),
    ("http_protocol_error", "RFC 9209 §2.3.28"),
    ("proxy_internal_response", "RFC 9209 §2.3.29"),
    ("proxy_internal_error", "RFC 9209 §2.3.30"),
    ("proxy_loop_detected", "RFC 9209 §2.3.32"),
];

/// `RFC 9111 §4.2` with a link to it.
fn link(section: &str) -> String {
    let numbers = section.strip_prefix("RFC ").and_then(|rest| rest.split_once(" §"));
    numbers.map_or_else(
        || section.to_owned(),
        |(rfc, number)| {
            format!("[{section}](https://www.rfc-editor.org/rfc/rfc{rfc}#section-{number})")
        },
    )
}
