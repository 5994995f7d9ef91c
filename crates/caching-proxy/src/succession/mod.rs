//! One process takes over from another: listening sockets, store, control socket.
//!
//! ```text
//! the newer one                                 the one that runs
//!   {"command":"take-over"}              →
//!   checks all that can be checked       ←      its listening sockets
//!   {"ready":2}, its process id          →
//!   opens the store                      ←      stops writing to the store; the locks
//!   {"serving":true}                     →
//!   accepts connections                         stops accepting, finishes its requests, ends
//! ```
//!
//! The older one serves all the time, and goes on if the newer one ends before it serves.
//! `docs/decisions/012-handover.md` says why it is like this.

mod elder;
mod heir;
mod successor;
mod wire;
mod word;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use proxy::{Forgotten, Kind};
use serde_json::{Value, json};

pub(crate) use elder::{Elder, PassedOn};
pub(crate) use successor::{Predecessor, TakeOverError, TakenOver};
pub(crate) use word::left;

/// Who has the store and the control socket, as the older process sees it.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Commands being carried out.
    commands: usize,
    /// Nobody takes over any more: this process ends by itself.
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// This process.
    #[default]
    Ours,
    /// Not decided: it is being handed over, which may still fail.
    Going,
    /// The newer one.
    Theirs,
}

/// A command that is carried out here.
pub(crate) struct Command<'a>(&'a Succession);

impl Succession {
    /// Of a process that takes over: until it says that it serves, it is not known that it will.
    pub(crate) fn to_come() -> Self {
        let state = State { phase: Phase::Going, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// It has come.
    pub(crate) fn has_come(&self) {
        self.settle(Phase::Ours);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is decided.
    fn when_known(&self) -> MutexGuard<'_, State> {
        let going = |state: &mut State| state.phase == Phase::Going;
        let state = self.changed.wait_while(self.state(), going);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a command. `None` if commands are for the newer process. Waits while that is not decided.
    pub(crate) fn enter(&self) -> Option<Command<'_>> {
        let mut state = self.when_known();
        if state.phase == Phase::Theirs {
            return None;
        }
        state.commands += 1;
        Some(Command(self))
    }

    /// Lets no process take over from now on. False if one already has. Waits while one is about to.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.when_known();
        state.closed = state.phase == Phase::Ours;
        state.closed
    }

    /// No command begins from now on, and none is under way any more. False if it is too late.
    fn begin(&self) -> bool {
        let mut state = self.when_known();
        if state.closed {
            return false;
        }
        state.phase = Phase::Going;
        drop(self.changed.wait_while(state, |state| state.commands > 0));
        true
    }

    /// From now on it is known who has it, and those who wait for that go on.
    fn settle(&self, phase: Phase) {
        self.state().phase = phase;
        self.changed.notify_all();
    }

    /// Who has it at this moment, or that nobody knows.
    fn phase_now(&self) -> Phase {
        self.state().phase
    }

    /// Who has it. Waits while nobody knows.
    fn phase_when_known(&self) -> Phase {
        self.when_known().phase
    }
}

impl Drop for Command<'_> {
    fn drop(&mut self) {
        self.0.state().commands -= 1;
        self.0.changed.notify_all();
    }
}

/// The word for a kind of listener.
pub(crate) const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Http => "http",
        Kind::Https => "https",
        Kind::Redirect => "redirect",
    }
}

/// The opposite of [`word()`].
pub(crate) fn kind(word: &str) -> Option<Kind> {
    [Kind::Http, Kind::Https, Kind::Redirect].into_iter().find(|kind| self::word(*kind) == word)
}

/// Bytes as text: one character each.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The opposite of [`text`].
fn bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect()
}

/// Keys as the members of a list.
fn keys_to_json(keys: &[Vec<u8>]) -> Value {
    keys.iter().map(|key| text(key)).collect()
}

/// The opposite of [`keys_to_json`].
fn keys_of_json(list: &Value) -> Option<Vec<Vec<u8>>> {
    list.as_array()?.iter().map(|key| bytes(key.as_str()?)).collect()
}

/// The members of the command that has a running instance forget this.
pub(crate) fn to_json(what: &Forgotten) -> Value {
    json!({
        "keys": keys_to_json(&what.keys),
        "labels": what.labels,
        "doubtful": what.doubtful,
    })
}

/// The opposite of [`to_json`].
pub(crate) fn from_json(line: &Value) -> Option<Forgotten> {
    let labels = line["labels"].as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
    let keys = keys_of_json(&line["keys"])?;
    Some(Forgotten { keys, labels, doubtful: line["doubtful"].as_bool()? })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn what_is_forgotten_comes_back_as_it_was_sent() {
        let what = Forgotten {
            keys: vec![b"GET|http://a/\xff\0\"x http://o".to_vec(), Vec::new()],
            labels: vec![0, u64::MAX],
            doubtful: true,
        };
        let line = to_json(&what).to_string();
        assert_eq!(from_json(&serde_json::from_str(&line).unwrap()), Some(what));
        for bad in [json!({}), json!({ "keys": ["\u{100}"], "labels": [], "doubtful": false })] {
            assert_eq!(from_json(&bad), None);
        }
    }

    #[test]
    fn commands_wait_until_it_is_known_whose_they_are() {
        let succession = Arc::new(Succession::default());
        let command = succession.enter().unwrap();
        let giving = thread::spawn({
            let succession = Arc::clone(&succession);
            move || assert!(succession.begin())
        });
        while succession.phase_now() != Phase::Going {
            thread::yield_now();
        }
        assert!(!giving.is_finished(), "a command is under way");
        drop(command);
        giving.join().unwrap();
        for settled in [Phase::Ours, Phase::Theirs] {
            let waiting = thread::spawn({
                let succession = Arc::clone(&succession);
                move || succession.enter().is_none()
            });
            succession.settle(settled);
            assert_eq!(waiting.join().unwrap(), settled == Phase::Theirs);
            assert_eq!(succession.phase_when_known(), settled);
            if settled == Phase::Ours {
                assert!(succession.begin());
            }
        }
    }

    #[test]
    fn a_process_that_ends_by_itself_is_not_taken_over_and_the_other_way_round() {
        let ending = Succession::default();
        assert!(ending.close());
        assert!(!ending.begin());
        assert!(ending.enter().is_some(), "it still does what it is told");
        let given = Succession::default();
        assert!(given.begin());
        given.settle(Phase::Theirs);
        assert!(!given.close());
        let kept = Arc::new(Succession::default());
        assert!(kept.begin());
        let closing = thread::spawn({
            let kept = Arc::clone(&kept);
            move || kept.close()
        });
        kept.settle(Phase::Ours);
        assert!(closing.join().unwrap());
        assert!(!kept.begin());
    }

    #[test]
    fn a_process_that_takes_over_is_told_nothing_before_it_serves() {
        let taker = Arc::new(Succession::to_come());
        assert_eq!(taker.phase_now(), Phase::Going);
        let waiting = thread::spawn({
            let taker = Arc::clone(&taker);
            move || taker.enter().is_some() && taker.begin()
        });
        taker.has_come();
        assert!(waiting.join().unwrap());
    }
}
