//! Somebody who speaks as a process does that takes over.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use crate::Proxy;

/// A process that wants to take over, as far as its words go.
pub(super) struct Pretender {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Pretender {
    pub(super) fn before(proxy: &Proxy) -> Self {
        let socket = proxy.directory.path().join("cache/control.sock");
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(testkit::PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        let mut pretender = Self { stream, lines };
        pretender.say(r#"{"command":"take-over"}"#);
        pretender
    }

    pub(super) fn say(&mut self, line: &str) {
        writeln!(self.stream, "{line}").unwrap();
    }

    /// Waits for a line with this in it.
    pub(super) fn hears(&mut self, what: &str) {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "no {what}");
        }
    }

    /// Whether it is the only one.
    pub(super) fn may_take(&mut self) -> bool {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if line.contains(r#""pid""#) {
                return true;
            }
        }
        assert!(line.contains("taking over already"), "{line}");
        false
    }

    /// Goes as far as having everything.
    pub(super) fn takes_all(&mut self) {
        self.hears(r#""pid""#);
        self.takes_all_that_is_left();
    }

    pub(super) fn takes_all_that_is_left(&mut self) {
        self.say(&format!(r#"{{"ready":{}}}"#, std::process::id()));
        self.hears(r#""yours""#);
    }
}
