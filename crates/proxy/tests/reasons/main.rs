//! The reasons: one code for each, one page for all, and none that never happens.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod document;

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use policy::reason::{Hit, NotStored, Pass, Refetch, Refused};
use proxy::failure::{Denial, Failure};

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_page_is_what_the_code_says() {
    let page = fs::read_to_string(crates().join("../docs/reasons.md")).unwrap_or_default();
    assert!(
        page == document::text(),
        "docs/reasons.md is not what the code says; write it anew with\n\
         cargo run -p proxy --example reasons"
    );
}

#[test]
fn a_code_stands_for_one_reason() {
    let mut seen = HashMap::new();
    for group in document::groups() {
        for row in group.rows {
            let earlier = seen.insert(row.code, group.title);
            assert_eq!(earlier, None, "{} is also in {}", row.code, group.title);
            let kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(row.code.bytes().all(kebab), "{}", row.code);
        }
    }
}

/// The shipped code of a crate, without tests, and without the file that declares the reasons.
fn shipped(name: &str, without: &str) -> String {
    let mut code = String::new();
    let mut open = vec![crates().join(name).join("src")];
    while let Some(directory) = open.pop() {
        if directory.ends_with("tests") {
            continue;
        }
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if !["tests.rs", without].iter().any(|other| path.ends_with(other)) {
                let text = fs::read_to_string(path).unwrap();
                code.push_str(text.split("#[cfg(test)]").next().unwrap());
            }
        }
    }
    code
}

fn check<R: Debug>(code: &str, kind: &str, reasons: &[R]) {
    for reason in reasons {
        let made = format!("{kind}::{reason:?}");
        let is_made = code.match_indices(&made).any(|(at, _)| {
            let next = code[at + made.len()..].chars().next();
            !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
        });
        assert!(is_made, "nothing ever says {made}");
    }
}

#[test]
fn every_reason_can_happen() {
    let policy = shipped("policy", "reason.rs");
    let proxy = shipped("proxy", "failure.rs");
    let both = format!("{policy}{proxy}");
    check(&both, "Hit", Hit::ALL);
    check(&both, "Pass", Pass::ALL);
    check(&both, "Refetch", Refetch::ALL);
    check(&both, "NotStored", NotStored::ALL);
    check(&both, "Refused", Refused::ALL);
    check(&proxy, "Failure", Failure::ALL);
    check(&proxy, "Denial", Denial::ALL);
    check(&proxy, "TunnelEnd", &proxy::TunnelEnd::ALL);
    let store = shipped("store", "reason.rs");
    check(&store, "Refused", store::Refused::ALL);
    check(&store, "NotStored", store::NotStored::ALL);
    let http1 = shipped("http1", "error.rs");
    // One is found only where there are no lines.
    check(&format!("{http1}{proxy}"), "BadHead", http1::BadHead::ALL);
    check(&http1, "BadRequest", http1::BadRequest::OWN);
}
