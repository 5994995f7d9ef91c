//! HTTP/1.1 taken literally: every case names the section that decides it. A request is refused and
//! its connection closed, or it has exactly one meaning, which is what the origin gets; a response is
//! refused, or whoever comes next on its connection is not touched by it.

mod content;
mod fields;
mod heads;
mod limits;
mod origins;

use std::panic::{AssertUnwindSafe, catch_unwind};

use testkit::{Client, Cut, Origin, Received};

use crate::{Proxy, cache_status};

/// What has to become of a request.
enum Expected {
    /// This status, a closed connection, and not a byte at the origin.
    Refused(u16),
    /// This status from the proxy itself; the connection goes on.
    Answered(u16),
    /// What the origin gets.
    Forwarded(Forwarded),
}

/// A request as the origin gets it.
#[derive(Default)]
struct Forwarded {
    line: &'static str,
    present: Vec<(&'static str, &'static str)>,
    absent: Vec<&'static str>,
    body: &'static str,
    trailers: Vec<(&'static str, &'static str)>,
    /// Nothing more is taken on the connection.
    last: bool,
}

/// One request, byte by byte.
struct Case {
    section: &'static str,
    bytes: Vec<u8>,
    expected: Expected,
}

fn refused(section: &'static str, status: u16, bytes: impl Into<Vec<u8>>) -> Case {
    Case { section, bytes: bytes.into(), expected: Expected::Refused(status) }
}

fn answered(section: &'static str, status: u16, bytes: impl Into<Vec<u8>>) -> Case {
    Case { section, bytes: bytes.into(), expected: Expected::Answered(status) }
}

fn forwarded(section: &'static str, bytes: impl Into<Vec<u8>>, line: &'static str) -> Case {
    let forwarded = Forwarded { line, ..Forwarded::default() };
    Case { section, bytes: bytes.into(), expected: Expected::Forwarded(forwarded) }
}

impl Case {
    fn with(self, name: &'static str, value: &'static str) -> Self {
        self.changed(|it| it.present.push((name, value)))
    }

    fn without(self, name: &'static str) -> Self {
        self.changed(|it| it.absent.push(name))
    }

    fn body(self, body: &'static str) -> Self {
        self.changed(|it| it.body = body)
    }

    fn trailer(self, name: &'static str, value: &'static str) -> Self {
        self.changed(|it| it.trailers.push((name, value)))
    }

    fn last(self) -> Self {
        self.changed(|it| it.last = true)
    }

    fn changed(mut self, change: impl FnOnce(&mut Forwarded)) -> Self {
        let Expected::Forwarded(forwarded) = &mut self.expected else { panic!("not forwarded") };
        change(forwarded);
        self
    }

    fn text(&self) -> String {
        let shown: String = String::from_utf8_lossy(&self.bytes).chars().take(300).collect();
        format!("{}: {shown:?}", self.section)
    }
}

/// An origin that says of each request which one it was.
fn echo() -> Origin {
    Origin::start(|request, conn| {
        let body = format!("{} {}", request.method, request.target);
        let head = format!("Cache-Control: no-store\r\nContent-Length: {}\r\n\r\n", body.len());
        let body = if request.method == "HEAD" { "" } else { &body };
        conn.send(format!("HTTP/1.1 200 OK\r\n{head}{body}"));
    })
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// How the bytes of a case are cut up.
#[derive(Clone, Copy)]
enum Cuts {
    None,
    EverySeventh,
    Each,
}

fn send(client: &mut Client, case: &Case, cuts: Cuts) {
    let bytes = [&case.bytes, NEXT.as_bytes()].concat();
    let length = match cuts {
        Cuts::None => bytes.len(),
        Cuts::EverySeventh => 7,
        Cuts::Each if bytes.len() < 2_000 => 1,
        Cuts::Each => 997,
    };
    // One that refuses what it has seen may not take the rest.
    bytes.chunks(length).all(|part| client.send(part));
}

fn check(proxy: &Proxy, origin: &Origin, case: &Case, cuts: Cuts) {
    let before = origin.count();
    let mut client = proxy.client();
    send(&mut client, case, cuts);
    let method = if case.bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let answer = client
        .try_response_to(method)
        .unwrap_or_else(|cut: Cut| panic!("{}: {cut:?}", case.text()));
    let seen = || origin.requests().split_off(before);
    match &case.expected {
        Expected::Refused(status) => {
            assert_eq!(answer.status, *status, "{}: {}", case.text(), answer.text());
            assert_eq!(answer.field("Connection"), Some("close"), "{}", case.text());
            assert!(answer.field("Proxy-Status").is_some(), "{}", case.text());
            assert!(client.at_eof(), "{}", case.text());
            assert!(seen().iter().all(|it| it.target != "/next"), "{}", case.text());
            // Content is read while it is passed on: then the origin saw the beginning.
            if !cache_status(&answer).contains("detail=client-") {
                assert_eq!(seen(), [], "{}", case.text());
            }
        }
        Expected::Answered(status) => {
            assert_eq!(answer.status, *status, "{}: {}", case.text(), answer.text());
            assert_eq!(client.response().text(), "GET /next", "{}", case.text());
            assert_eq!(seen().len(), 1, "{}", case.text());
        }
        Expected::Forwarded(forwarded) => {
            assert_eq!(answer.status, 200, "{}: {}", case.text(), answer.text());
            if forwarded.last {
                assert!(client.at_eof(), "{}", case.text());
            } else {
                assert_eq!(client.response().text(), "GET /next", "{}", case.text());
            }
            let seen = seen();
            assert_eq!(seen.len(), 2 - usize::from(forwarded.last), "{}: {seen:?}", case.text());
            forwarded.check(&seen[0], &case.text());
        }
    }
}

impl Forwarded {
    fn check(&self, seen: &Received, case: &str) {
        let line = seen.raw_head.split("\r\n").next();
        assert_eq!(line, Some(self.line), "{case}");
        for (name, value) in &self.present {
            assert_eq!(seen.all(name), [*value], "{case}: {name}\n{}", seen.raw_head);
        }
        for name in &self.absent {
            assert_eq!(seen.field(name), None, "{case}: {name}\n{}", seen.raw_head);
        }
        assert_eq!(String::from_utf8_lossy(&seen.body), self.body, "{case}");
        let trailers: Vec<_> =
            seen.trailers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(trailers, self.trailers, "{case}");
    }
}

/// Runs all checks, and fails if any failed.
fn told_together<C: FnOnce()>(checks: impl Iterator<Item = C>) {
    let failed = checks.filter_map(|check| catch_unwind(AssertUnwindSafe(check)).err()).count();
    assert_eq!(failed, 0, "cases failed, as told above");
}

/// Those whose heads the origin gets in any case come last: it may see them a moment later.
fn all() -> Vec<Case> {
    let all = [heads::cases(), fields::cases(), content::cases()];
    let limits = [limits::heads(), limits::contents()];
    let late = [content::broken(), limits::broken()];
    all.into_iter().chain(limits).chain(late).flatten().collect()
}

fn check_all(cuts: Cuts) {
    let origin = echo();
    let proxy = Proxy::before(&origin);
    told_together(all().iter().map(|case| || check(&proxy, &origin, case, cuts)));
}

#[test]
fn there_are_many_cases_and_each_names_its_section() {
    let (cases, responses) = (all(), origins::cases());
    assert!(cases.len() + responses.len() >= 200, "{}", cases.len());
    let named = |section: &str| section.starts_with("RFC ") && section.contains('§');
    assert!(cases.iter().all(|case| named(case.section)));
    assert!(responses.iter().all(|case| named(case.section)));
}

#[test]
fn a_request_is_refused_or_has_one_meaning() {
    check_all(Cuts::None);
}

#[test]
fn it_has_the_same_meaning_when_it_comes_in_pieces() {
    check_all(Cuts::EverySeventh);
}

#[test]
fn it_has_the_same_meaning_when_each_byte_comes_alone() {
    check_all(Cuts::Each);
}
