//! The control socket: how one command line talks to a running instance.
//!
//! A Unix socket in the instance directory, for this user alone. One line of JSON asks, one line
//! answers, and the connection ends: `{"command":"clear"}` → `{"entries":12,"bytes":3456}`.

mod client;
mod path;
mod purge;
mod server;

use std::os::unix::net::UnixStream;

use proxy::Forgotten;
use proxy::purge::Purge;
use serde_json::{Value, json};

pub(crate) use client::{
    A_MOMENT, A_WHILE, AskError, ask, ask_patiently, begin_to_take_over, patiently,
};
pub(crate) use server::{BindError, Server, forget_former, step_aside, step_back};

use crate::succession;

/// What can be asked of a running instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Forget everything that is stored.
    Clear,
    /// Tell the counters.
    Stats,
    /// Tell them to a program that collects metrics.
    Metrics,
    /// Forget some of what is stored, or take it for stale.
    Purge {
        /// Which.
        what: Purge,
        /// Stale is enough.
        soft: bool,
    },
    /// Forget what an instance has forgotten that this one has taken over from.
    Forget(Forgotten),
    /// Let another process take over.
    TakeOver,
}

impl Request {
    /// The word on the wire.
    const fn word(&self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Stats => "stats",
            Self::Metrics => "metrics",
            Self::Purge { .. } => "purge",
            Self::Forget(_) => "forget",
            Self::TakeOver => "take-over",
        }
    }

    fn to_line(&self) -> String {
        let mut line = match self {
            Self::Clear | Self::Stats | Self::Metrics | Self::TakeOver => json!({}),
            Self::Forget(what) => succession::to_json(what),
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
            "metrics" => Ok(Self::Metrics),
            "purge" => purge::from_json(&value).map(|(what, soft)| Self::Purge { what, soft }),
            "forget" => {
                let what = succession::from_json(&value);
                what.map(Self::Forget).ok_or_else(|| "not what can be forgotten".to_owned())
            }
            "take-over" => Ok(Self::TakeOver),
            _ => Err(format!("unknown command {word:?}")),
        }
    }
}

/// What a running instance does when it is asked.
pub(crate) trait Commands: Send + Sync + 'static {
    /// Carries out the request; the answer is a JSON object.
    fn answer(&self, request: Request) -> Value;

    /// Lets the process at the other end take over, and speaks with it until that is done.
    fn let_take_over(&self, client: UnixStream);
}

#[cfg(test)]
mod tests;
