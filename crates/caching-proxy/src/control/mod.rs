//! The control socket: how one command line talks to a running instance.
//!
//! A Unix socket in the instance directory, for this user alone. One line of JSON asks, one line
//! answers, and the connection ends: `{"command":"clear"}` → `{"entries":12,"bytes":3456}`.

mod client;
mod path;
mod purge;
mod server;

use proxy::purge::Purge;
use serde_json::{Value, json};

pub(crate) use client::{AskError, ask};
pub(crate) use server::{BindError, Server};

/// What can be asked of a running instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Forget everything that is stored.
    Clear,
    /// Tell the counters.
    Stats,
    /// Forget some of what is stored, or take it for stale.
    Purge {
        /// Which.
        what: Purge,
        /// Stale is enough.
        soft: bool,
    },
}

impl Request {
    /// The word on the wire.
    const fn word(&self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Stats => "stats",
            Self::Purge { .. } => "purge",
        }
    }

    fn to_line(&self) -> String {
        let mut line = match self {
            Self::Clear | Self::Stats => json!({}),
            Self::Purge { what, soft } => purge::to_json(what, *soft),
        };
        line["command"] = self.word().into();
        format!("{line}\n")
    }

    /// Reads what a client sent; the error is told to it.
    fn parse(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line).map_err(|_| "not a line of JSON")?;
        let word = value["command"].as_str().ok_or("no member \"command\"")?;
        match word {
            "clear" => Ok(Self::Clear),
            "stats" => Ok(Self::Stats),
            "purge" => purge::from_json(&value).map(|(what, soft)| Self::Purge { what, soft }),
            _ => Err(format!("unknown command {word:?}")),
        }
    }
}

/// What a running instance does when it is asked.
pub(crate) trait Commands: Send + Sync + 'static {
    /// Carries out the request; the answer is a JSON object.
    fn answer(&self, request: Request) -> Value;
}

#[cfg(test)]
mod tests;
