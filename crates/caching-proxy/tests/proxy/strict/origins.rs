//! The same strictness towards origins: what is not one response is refused, and what comes behind a
//! response never reaches another client.

use std::sync::Arc;

use testkit::Origin;

use super::{limits, told_together};
use crate::{Proxy, cache_status, ok};

/// What becomes of an origin's response.
#[derive(Clone, Copy)]
enum Outcome {
    /// The client gets 502, for this reason.
    Refused(&'static str),
    /// The client gets this status and content.
    Passed(u16, &'static str),
    /// The client gets the head, and sees that the content was cut.
    Cut,
}

/// What an origin sends.
pub(super) struct Case {
    pub(super) section: &'static str,
    method: &'static str,
    bytes: Vec<u8>,
    outcome: Outcome,
    /// The origin closes behind it.
    closes: bool,
    /// The connection may carry another request.
    reused: bool,
}

fn case(section: &'static str, bytes: impl Into<Vec<u8>>, outcome: Outcome) -> Case {
    let bytes = bytes.into();
    Case { section, method: "GET", bytes, outcome, closes: false, reused: false }
}

pub(super) fn refused(
    section: &'static str,
    code: &'static str,
    bytes: impl Into<Vec<u8>>,
) -> Case {
    case(section, bytes, Outcome::Refused(code))
}

pub(super) fn passed(section: &'static str, body: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    case(section, bytes, Outcome::Passed(200, body))
}

fn cut(section: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { closes: true, ..case(section, bytes, Outcome::Cut) }
}

impl Case {
    pub(super) fn reused(self) -> Self {
        Self { reused: true, ..self }
    }

    pub(super) fn closed(self) -> Self {
        Self { closes: true, ..self }
    }

    fn to(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    fn status(self, status: u16) -> Self {
        let Outcome::Passed(_, body) = self.outcome else { panic!("not passed on") };
        Self { outcome: Outcome::Passed(status, body), ..self }
    }
}

/// A 200 with these fields, and what follows the head.
pub(super) fn with(fields: &str, content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n{fields}\r\n{content}")
}

fn chunked(content: &str) -> String {
    with("Transfer-Encoding: chunked\r\n", content)
}

const MALFORMED: &str = "origin-malformed";

pub(super) fn cases() -> Vec<Case> {
    let heads = [status_lines(), fields(), framing(), limits::responses()];
    let rest = [without_content(), behind(), informational(), breaks()];
    heads.into_iter().chain(rest).flatten().collect()
}

fn status_lines() -> Vec<Case> {
    const LINE: &str = "RFC 9112 §4";
    let line = |line: &str| format!("{line}\r\nContent-Length: 1\r\n\r\nx");
    let mut cases: Vec<_> = [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 600 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "http/1.1 200 OK",
        "HTTP/1 200 OK",
        "HTTP/1.10 200 OK",
        "HTTP/2.0 200 OK",
        "ICY 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "200 OK",
        "SSH-2.0-OpenSSH_9.2",
    ]
    .into_iter()
    .map(|bad| refused(LINE, MALFORMED, line(bad)).closed())
    .collect();
    cases.extend([
        passed(LINE, "x", line("HTTP/1.1 200 ")).reused(),
        passed(LINE, "x", line("HTTP/1.1 200")).reused(),
        passed(LINE, "x", line("HTTP/1.1 200 Fine, \u{fc}berhaupt")).reused(),
        passed("RFC 9110 §15", "x", line("HTTP/1.1 299 Fine")).status(299).reused(),
        passed("RFC 9112 §9.3", "x", line("HTTP/1.0 200 OK")),
        refused(LINE, MALFORMED, format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(9_000))).closed(),
    ]);
    cases
}

fn fields() -> Vec<Case> {
    let content = "Content-Length: 1\r\n";
    let head = |fields: &str| with(&format!("{fields}{content}"), "x");
    vec![
        refused("RFC 9112 §2.2", MALFORMED, head("A: b\nC: d\r\n")).closed(),
        refused("RFC 9112 §2.2", MALFORMED, head("A: b\rC: d\r\n")).closed(),
        refused("RFC 9112 §2.2", MALFORMED, "HTTP/1.1 200 OK\r\n A: b\r\n\r\n").closed(),
        refused("RFC 9112 §5.2", MALFORMED, head("A: b\r\n c\r\n")).closed(),
        refused("RFC 9112 §5", MALFORMED, head("A\r\n")).closed(),
        refused("RFC 9110 §5.1", MALFORMED, head(": b\r\n")).closed(),
        refused("RFC 9110 §5.1", MALFORMED, head("A B: c\r\n")).closed(),
        refused("RFC 9110 §5.1", MALFORMED, head("A(: b\r\n")).closed(),
        refused("RFC 9110 §5.5", MALFORMED, head("A: \0\r\n")).closed(),
        passed("RFC 9112 §5.1", "x", head("A : b\r\n")).reused(),
        passed("RFC 9112 §5.1", "x", with("Content-Length : 1\r\n", "x")).reused(),
    ]
}

fn framing() -> Vec<Case> {
    const LENGTH: &str = "RFC 9112 §6.3";
    let mut cases: Vec<_> = ["+1", "-1", "1 1", "1,1", "0x1", "", "18446744073709551616"]
        .into_iter()
        .map(|bad| {
            refused(LENGTH, MALFORMED, with(&format!("Content-Length: {bad}\r\n"), "x")).closed()
        })
        .collect();
    let codings = [
        ("RFC 9112 §6.1", "chunked, chunked"),
        ("RFC 9112 §6.1", "gzip, chunked"),
        ("RFC 9112 §6.3", "gzip"),
        ("RFC 9112 §6.3", "chunked, gzip"),
        ("RFC 9112 §6.3", "xchunked"),
        ("RFC 9112 §6.1", "chunked;q=1"),
    ];
    cases.extend(codings.into_iter().map(|(section, bad)| {
        let fields = format!("Transfer-Encoding: {bad}\r\n");
        refused(section, "origin-bad-coding", with(&fields, "0\r\n\r\n")).closed()
    }));
    cases.extend([
        refused(LENGTH, MALFORMED, with("Content-Length: 1\r\nContent-Length: 2\r\n", "x"))
            .closed(),
        refused(LENGTH, MALFORMED, with("Content-Length: 1\r\nContent-Length: 1\r\n", "x"))
            .closed(),
        refused(
            "RFC 9112 §6.1",
            MALFORMED,
            with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        )
        .closed(),
        refused(
            "RFC 9112 §6.1",
            MALFORMED,
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        )
        .closed(),
        passed(LENGTH, "abc", with("Content-Length: 3\r\n", "abc")).reused(),
        passed(LENGTH, "abc", chunked("3;x=y\r\nabc\r\n0\r\n\r\n")).reused(),
        passed(LENGTH, "abc", chunked("3\r\nabc\r\n0\r\nChecksum: 1\r\n\r\n")).reused(),
        passed(LENGTH, "all of it", with("", "all of it")).closed(),
        passed("RFC 9112 §9.3", "x", with("Connection: close\r\nContent-Length: 1\r\n", "x")),
    ]);
    cases
}

/// Statuses and methods whose responses have none.
fn without_content() -> Vec<Case> {
    const NONE: &str = "RFC 9112 §6.3";
    let empty = |fields: &str| format!("HTTP/1.1 204 No Content\r\n{fields}\r\n");
    let head = |fields: &str, behind: &str| with(fields, behind);
    vec![
        passed(NONE, "", empty("")).status(204).reused(),
        passed(NONE, "", empty("Content-Length: 5\r\n")).status(204),
        passed(NONE, "", format!("{}hello", empty("Content-Length: 5\r\n"))).status(204),
        passed(NONE, "", format!("{}hello", empty(""))).status(204),
        passed(NONE, "", format!("{}0\r\n\r\n", empty("Transfer-Encoding: chunked\r\n")))
            .status(204),
        passed(NONE, "", head("Content-Length: 5\r\n", "")).to("HEAD").reused(),
        passed(NONE, "", head("Content-Length: 5\r\n", "hello")).to("HEAD"),
        passed(NONE, "", head("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")).to("HEAD"),
        refused("RFC 9110 §15.4.5", "origin-unasked-status", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        refused(
            "RFC 9110 §15.4.5",
            "origin-unasked-status",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
        ),
        refused(
            "RFC 9110 §15.3.7",
            "origin-unasked-status",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/2\r\nContent-Length: 1\r\n\r\nx",
        ),
    ]
}

/// Bytes that nobody asked for, behind a response.
fn behind() -> Vec<Case> {
    const BEHIND: &str = "RFC 9112 §6.3";
    let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    vec![
        passed(BEHIND, "abc", with("Content-Length: 3\r\n", &format!("abc{forged}"))),
        passed(BEHIND, "abc", with("Content-Length: 3\r\n", "abcd")),
        passed(BEHIND, "abc", with("Content-Length: 3\r\n", "abc\r\n")),
        passed(BEHIND, "", with("Content-Length: 0\r\n", forged)),
        passed(BEHIND, "abc", chunked(&format!("3\r\nabc\r\n0\r\n\r\n{forged}"))),
        passed(BEHIND, "", with("Content-Length: 1\r\n", &format!("x{forged}"))).to("HEAD"),
        passed(BEHIND, "", format!("HTTP/1.1 204 No Content\r\n\r\n{forged}")).status(204),
    ]
}

fn informational() -> Vec<Case> {
    const SWITCH: &str = "RFC 9110 §15.2.2";
    let before = |first: &str| format!("{first}{}", with("Content-Length: 1\r\n", "x"));
    vec![
        passed("RFC 9110 §15.2.1", "x", before("HTTP/1.1 100 Continue\r\n\r\n")).reused(),
        passed("RFC 8297 §2", "x", before("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"))
            .reused(),
        passed("RFC 9110 §15.2", "x", before("HTTP/1.1 199 Odd\r\n\r\n")).reused(),
        refused(SWITCH, "origin-unasked-status", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        refused(
            SWITCH,
            "origin-unasked-status",
            before(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            ),
        ),
        refused("RFC 9110 §15.2", MALFORMED, before("HTTP/1.1 103 Early\nLink: </a>\r\n\r\n"))
            .closed(),
    ]
}

/// Content that ends before it is complete.
fn breaks() -> Vec<Case> {
    const INCOMPLETE: &str = "RFC 9112 §8";
    let mut cases = vec![
        refused(INCOMPLETE, "origin-closed", "").closed(),
        refused(INCOMPLETE, "origin-closed", "HTTP/1.1 200 OK\r\nContent-Le").closed(),
        refused(INCOMPLETE, "origin-closed", "HTTP/1.1 100 Continue\r\n\r\n").closed(),
        cut(INCOMPLETE, with("Content-Length: 4\r\n", "abc")),
        cut(INCOMPLETE, with("Content-Length: 4\r\n", "")),
        cut(INCOMPLETE, chunked("3\r\nab")),
        cut(INCOMPLETE, chunked("3\r\nabc\r\n")),
        cut(INCOMPLETE, chunked("3\r\nabc\r\n0\r\n")),
        cut(INCOMPLETE, chunked("3\r\nabc\r\n0\r\nA: b\r\n")),
    ];
    let bad = ["3\nabc\r\n0\r\n\r\n", "x\r\n", "3\r\nabcd\r\n0\r\n\r\n", "fffffffffffffffff\r\n"];
    cases.extend(bad.iter().map(|bad| cut("RFC 9112 §7.1", chunked(bad))));
    cases.push(cut("RFC 9112 §7.1.2", chunked("1\r\nx\r\n0\r\nA : b\r\n\r\n")));
    cases
}

/// An origin that sends to `/N` what the case of this number says.
fn scripted(cases: &Arc<Vec<Case>>) -> Origin {
    let cases = Arc::clone(cases);
    Origin::start(move |request, conn| {
        let number = request.target.trim_start_matches('/').parse::<usize>();
        let Some(case) = number.ok().and_then(|number| cases.get(number)) else {
            conn.send(ok("Cache-Control: no-store\r\n", "clean"));
            return;
        };
        conn.send(&case.bytes);
        if case.closes {
            conn.close();
        }
    })
}

fn check(proxy: &Proxy, origin: &Origin, number: usize, case: &Case) {
    let text = || {
        let shown: String = String::from_utf8_lossy(&case.bytes).chars().take(200).collect();
        format!("{}: {} {shown:?}", case.section, case.method)
    };
    let answer = proxy.request(case.method, &format!("/{number}"), &[]);
    match case.outcome {
        Outcome::Refused(code) => {
            assert_eq!(answer.status, 502, "{}", text());
            let detail = format!("detail={code}");
            assert!(
                cache_status(&answer).contains(&detail),
                "{}: {}",
                text(),
                cache_status(&answer)
            );
        }
        Outcome::Passed(status, body) => {
            assert_eq!((answer.status, answer.text().as_str()), (status, body), "{}", text());
            assert!(answer.complete, "{}", text());
        }
        Outcome::Cut => {
            // Where it is known before the first byte has gone, the client is told.
            let told = answer.status == 502 && cache_status(&answer).contains("detail=origin-");
            assert!(told || !answer.complete, "{}: {} {}", text(), answer.status, answer.text());
        }
    }
    let next = proxy.get("/next");
    assert_eq!((next.status, next.text()), (200, "clean".to_owned()), "{}", text());
    let seen = origin.requests();
    let connection_of =
        |target: &str| seen.iter().rfind(|it| it.target == target).unwrap().connection;
    let reused = connection_of(&format!("/{number}")) == connection_of("/next");
    assert_eq!(reused, case.reused, "{}: reused", text());
}

#[test]
fn a_response_is_refused_or_touches_nobody_else() {
    let cases = Arc::new(cases());
    let origin = scripted(&cases);
    // One worker: the second request could have the connection of the first.
    let proxy = Proxy::with(&origin, &["--workers", "1", "--no-disk"]);
    let numbered = cases.iter().enumerate();
    told_together(numbered.map(|(number, case)| {
        let (proxy, origin) = (&proxy, &origin);
        move || check(proxy, origin, number, case)
    }));
}
