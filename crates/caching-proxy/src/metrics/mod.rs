//! What the proxy counts, for programs that collect it: `--metrics-listen` and `--metrics`.
//!
//! `snapshot` reads the numbers, `catalogue` gives each its name, `family` writes them down, and
//! `listener` is where a scraper asks. docs/metrics.md lists what there is.

mod answer;
mod catalogue;
mod family;
mod listener;
mod snapshot;
mod token;

pub(crate) use catalogue::families;
pub(crate) use family::{Format, text};
pub(crate) use listener::{Bound, ListenError, Listener};
pub(crate) use snapshot::{Snapshot, Source};
pub(crate) use token::Token;

#[cfg(test)]
mod tests;
