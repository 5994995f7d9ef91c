//! The control socket: how one command line talks to a running instance.
//!
//! A Unix socket in the instance directory, for this user alone. One line of JSON asks, one line
//! answers, and the connection ends: `{"command":"clear"}` → `{"entries":12,"bytes":3456}`.

mod client;
mod path;
mod server;

use serde_json::{Value, json};

pub(crate) use client::{AskError, ask};
pub(crate) use server::{BindError, Server};

/// What can be asked of a running instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Forget everything that is stored.
    Clear,
    /// Tell the counters.
    Stats,
}

impl Request {
    const ALL: [Self; 2] = [Self::Clear, Self::Stats];

    /// The word on the wire.
    const fn word(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Stats => "stats",
        }
    }

    fn to_line(self) -> String {
        format!("{}\n", json!({ "command": self.word() }))
    }

    /// Reads what a client sent; the error is told to it.
    fn parse(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line).map_err(|_| "not a line of JSON")?;
        let word = value["command"].as_str().ok_or("no member \"command\"")?;
        let known = Self::ALL.into_iter().find(|request| request.word() == word);
        known.ok_or_else(|| format!("unknown command {word:?}"))
    }
}

/// What a running instance does when it is asked.
pub(crate) trait Commands: Send + Sync + 'static {
    /// Carries out the request; the answer is a JSON object.
    fn answer(&self, request: Request) -> Value;
}

#[cfg(test)]
mod tests;
