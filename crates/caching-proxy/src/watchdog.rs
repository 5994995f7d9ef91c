//! Tells the supervisor, again and again, that this process still does something: only as long as each
//! worker does. A supervisor that hears nothing for its interval ends the process and starts another.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use proxy::Handle;

use crate::supervisor::Supervisor;

/// It is told in the middle of an interval, so that one that comes late is no harm.
const TOLD: u32 = 2;
/// Where an answer is missing it is looked for so often in an interval.
const LOOKS: u32 = 20;

/// A thread that tells. It ends when this is dropped.
pub(crate) struct Watchdog {
    _lives: Sender<()>,
}

/// Who is asked whether they do anything.
trait Crew {
    fn ask(&self);
    fn have_answered(&self) -> bool;
}

impl Crew for Handle {
    fn ask(&self) {
        self.ask_workers();
    }

    fn have_answered(&self) -> bool {
        self.workers_have_answered()
    }
}

impl Watchdog {
    /// Tells the supervisor from the moment when the workers begin to serve.
    pub(crate) fn start(
        supervisor: Supervisor,
        interval: Duration,
        workers: Handle,
    ) -> io::Result<Self> {
        let (lives, ended) = channel();
        let waits = move |pause| ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout);
        let tell = move || supervisor.alive();
        let named = thread::Builder::new().name("watchdog".to_owned());
        named.spawn(move || keep_telling(interval, &workers, waits, tell))?;
        Ok(Self { _lives: lives })
    }
}

/// Asks the crew and tells when all have answered, until `waits` says that it is over.
fn keep_telling(
    interval: Duration,
    crew: &impl Crew,
    mut waits: impl FnMut(Duration) -> bool,
    mut tell: impl FnMut(),
) {
    // The first time at once.
    let mut pause = interval / LOOKS;
    loop {
        crew.ask();
        if !waits(pause) {
            return;
        }
        while !crew.have_answered() {
            if !waits(interval / LOOKS) {
                return;
            }
        }
        tell();
        pause = interval / TOLD;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    /// Answers each question but those that are asked between two moments, which it answers later.
    struct Stuck {
        now: Cell<Duration>,
        asked: Cell<Duration>,
        from: Duration,
        until: Duration,
    }

    impl Crew for Stuck {
        fn ask(&self) {
            self.asked.set(self.now.get());
        }

        fn have_answered(&self) -> bool {
            let is_stuck = |at| (self.from..self.until).contains(&at);
            !(is_stuck(self.asked.get()) && is_stuck(self.now.get()))
        }
    }

    /// When it is told, in seconds, within two minutes.
    fn told(from: u64, until: u64) -> Vec<u64> {
        let (from, until) = (Duration::from_secs(from), Duration::from_secs(until));
        let zero = || Cell::new(Duration::ZERO);
        let crew = Stuck { now: zero(), asked: zero(), from, until };
        let told = RefCell::new(Vec::new());
        let waits = |pause| {
            crew.now.set(crew.now.get() + pause);
            crew.now.get() <= Duration::from_mins(2)
        };
        keep_telling(INTERVAL, &crew, waits, || told.borrow_mut().push(crew.now.get().as_secs()));
        told.into_inner()
    }

    #[test]
    fn it_is_told_at_once_and_in_the_middle_of_each_interval() {
        let expected: Vec<u64> = (0..12).map(|number| 1 + 10 * number).collect();
        assert_eq!(told(0, 0), expected);
    }

    #[test]
    fn nothing_is_told_while_one_does_not_answer() {
        assert_eq!(told(15, 1000), [1, 11, 21], "the last question is from before");
        assert_eq!(told(0, 1000), [0; 0], "it has never begun");
        // One that goes on is told of as soon as that is known.
        assert_eq!(told(20, 35)[..5], [1, 11, 21, 35, 45]);
        assert_eq!(told(0, 7)[..3], [7, 17, 27]);
    }
}
