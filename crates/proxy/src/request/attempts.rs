//! How many of those who wait for one fetch ask the origin themselves, when it fails or takes long.
//!
//! A fetch may fail for what lies in its own request, such as a field that has the origin close the
//! connection, or because the origin is in trouble. To ask once more tells which; but if all who wait
//! did so at once, an origin that has just been started anew would get thousands of requests for one
//! resource. So as many ask as have asked in vain before: one, two, four; or seven at once where the
//! origin has answered with an error. The first response that can be shared is for all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::FetchError;
use crate::settings::Limits;

/// Once so many requests have failed, without any that was answered and with no more that are still
/// under way, their failure is that of all who wait. So fewer than this can fail nobody but themselves,
/// whatever is in them, and an origin that fails all gets no more than this.
pub(super) const MOST_FAILED: usize = 8;

/// By this part of the patience with a fetch those who wait look again whether they may ask.
const STEPS: u32 = 10;

/// They do not look more often than this, however short that patience is.
const SHORTEST_STEP: Duration = Duration::from_millis(10);

/// This part of all connections to the origin is for one resource, as long as no response tells
/// whether it can be shared.
const PART_OF_CONNECTIONS: usize = 4;

/// What became of a fetch that brought nothing for others.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It did not come to a response, for reasons of its own.
    Dropped,
    /// An error status of the origin, which is for the client alone that asked.
    Status(u16),
    /// No response.
    Error(Arc<FetchError>),
}

impl Fault {
    /// Whether another request may be answered all the same.
    fn is_final(&self) -> bool {
        matches!(self, Self::Error(error) if !error.may_be_about_request())
    }

    /// How many may ask at once when so many have failed.
    fn retries(&self, failed: usize) -> usize {
        match self {
            _ if self.is_final() => 0,
            // An origin that answers is not one that has just been started, and those who wait would
            // have had its answer by now: they are not held up by more than one round.
            Self::Status(_) => MOST_FAILED,
            Self::Dropped | Self::Error(_) => failed,
        }
    }

    /// Of several, the one that tells most is told to all.
    fn rank(&self) -> u8 {
        match self {
            Self::Dropped => 0,
            Self::Status(_) => 1,
            Self::Error(_) if !self.is_final() => 2,
            Self::Error(_) => 3,
        }
    }
}

/// The fetches for one key, as long as none has brought a response that decides.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    begun: usize,
    failed: usize,
    fault: Option<Fault>,
}

impl Attempts {
    /// The first is under way.
    pub(super) const fn first() -> Self {
        Self { begun: 1, failed: 0, fault: None }
    }

    const fn under_way(&self) -> usize {
        self.begun - self.failed
    }

    /// Whether nobody asks the origin at the moment.
    pub(super) const fn is_vacant(&self) -> bool {
        self.under_way() == 0
    }

    pub(super) const fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// One more begins, if it may: as the fault has it, or if fewer than `permits` are under way.
    pub(super) fn begin(&mut self, permits: usize) -> bool {
        let retries = self.fault.as_ref().map_or(0, |fault| fault.retries(self.failed));
        let may_retry = self.begun < MOST_FAILED && self.under_way() < retries;
        let may_begin = may_retry || self.under_way() < permits;
        self.begun += usize::from(may_begin);
        may_begin
    }

    /// One of them has ended. The fault that is now that of all who wait, if there is no hope any more:
    /// not even if a few are still under way, or one that the origin never answers would hold up all
    /// who come until it is given up.
    pub(super) fn fail(&mut self, fault: Fault) -> Option<Fault> {
        self.failed += 1;
        if self.fault.as_ref().is_none_or(|known| known.rank() <= fault.rank()) {
            self.fault = Some(fault);
        }
        let fault = self.fault.as_ref()?;
        let is_certain = fault.is_final() || self.failed >= MOST_FAILED;
        (is_certain && self.failed >= self.under_way()).then(|| fault.clone())
    }
}

/// How often a request has waited in vain: for fetches that failed, and for longer than it should.
#[derive(Debug)]
pub(super) struct Waited {
    failures: usize,
    turns: u32,
    until: Instant,
    step: Duration,
    most: usize,
}

impl Waited {
    /// A request that begins to wait now.
    pub(super) fn from_now(limits: &Limits) -> Self {
        Self {
            failures: 0,
            turns: 0,
            until: Instant::now() + limits.collapse_wait,
            step: (limits.collapse_wait / STEPS).max(SHORTEST_STEP),
            most: limits.origin_connections / PART_OF_CONNECTIONS,
        }
    }

    /// Whether it does not know yet of all that failed.
    pub(super) const fn is_news(&self, attempts: &Attempts) -> bool {
        attempts.failed > self.failures
    }

    pub(super) const fn knows(&mut self, attempts: &Attempts) {
        self.failures = attempts.failed;
    }

    /// When it looks whether it may ask although nothing has failed.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// It has waited until then.
    pub(super) fn is_late(&mut self) {
        self.turns = self.turns.saturating_add(1);
        self.until = Instant::now() + self.step;
    }

    /// How many fetches may have begun for a resource that takes so long. A slow fetch may be slow for
    /// what is in its request, and those who wait may be waiting for something that is for each alone,
    /// such as a poll: so there are twice as many each time. But if the origin is slow for all, they
    /// leave connections to requests for something else.
    pub(super) fn permits(&self) -> usize {
        let doubled = 1_usize.checked_shl(self.turns).unwrap_or(usize::MAX);
        doubled.min(self.most.max(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited(turns: u32, origin_connections: usize) -> Waited {
        let limits = Limits { origin_connections, ..Limits::default() };
        Waited { turns, ..Waited::from_now(&limits) }
    }

    fn error(error: FetchError) -> Fault {
        Fault::Error(Arc::new(error))
    }

    #[test]
    fn of_those_whom_the_origin_refuses_all_that_may_ask_at_once() {
        let mut attempts = Attempts::first();
        assert!(attempts.fail(Fault::Status(503)).is_none());
        assert_eq!(begin(&mut attempts, 0), MOST_FAILED - 1);
        for number in 2..=MOST_FAILED {
            assert_eq!(attempts.fail(Fault::Status(503)).is_some(), number == MOST_FAILED);
        }
    }

    /// Lets as many begin as may.
    fn begin(attempts: &mut Attempts, turns: u32) -> usize {
        let permits = waited(turns, 512).permits();
        std::iter::repeat_with(|| attempts.begin(permits)).take_while(|begun| *begun).count()
    }

    #[test]
    fn as_many_ask_as_have_asked_in_vain_and_then_it_is_the_failure_of_all() {
        let mut attempts = Attempts::first();
        for (round, expected) in [1, 1, 2, 4].into_iter().enumerate() {
            let begun = begin(&mut attempts, 0) + usize::from(round == 0);
            assert_eq!(begun, expected, "in round {round}");
            for number in 1..=expected {
                let over = attempts.fail(error(FetchError::Internal));
                assert_eq!(over.is_some(), round == 3 && number == expected, "in round {round}");
            }
        }
    }

    #[test]
    fn what_is_not_about_one_request_is_the_failure_of_all_unless_more_are_under_way() {
        let mut attempts = Attempts::first();
        assert_eq!(begin(&mut attempts, 2), 3);
        assert!(attempts.fail(error(FetchError::Busy { limit: 1 })).is_none());
        assert_eq!(begin(&mut attempts, 0), 0);
        let over = attempts.fail(error(FetchError::Internal));
        assert!(matches!(over, Some(Fault::Error(error)) if !error.may_be_about_request()));
    }

    #[test]
    fn one_that_is_never_answered_holds_up_neither_failures_nor_others_that_ask() {
        let mut attempts = Attempts::first();
        let permits = waited(9, 8).permits();
        for number in 1..=MOST_FAILED {
            assert!(attempts.begin(permits), "{number}");
            let over = attempts.fail(error(FetchError::Internal));
            assert_eq!(over.is_some(), number == MOST_FAILED, "{number}");
        }
    }

    #[test]
    fn without_patience_they_do_not_look_all_the_time() {
        let limits = Limits { collapse_wait: Duration::ZERO, ..Limits::default() };
        let mut waited = Waited::from_now(&limits);
        let now = Instant::now();
        waited.is_late();
        assert!(waited.until() >= now + SHORTEST_STEP);
    }

    #[test]
    fn the_fault_that_tells_most_is_told() {
        for (first, second, rank) in [
            (Fault::Dropped, Fault::Status(503), 1),
            (Fault::Status(503), Fault::Dropped, 1),
            (Fault::Status(503), error(FetchError::Internal), 2),
            (error(FetchError::Internal), Fault::Status(503), 2),
        ] {
            let mut attempts = Attempts::first();
            assert!(attempts.fail(first).is_none());
            assert!(attempts.begin(1));
            assert!(attempts.fail(second).is_none());
            assert_eq!(attempts.fault().unwrap().rank(), rank);
        }
    }

    #[test]
    fn while_a_fetch_takes_long_more_and_more_begin_up_to_a_part_of_the_connections() {
        let mut attempts = Attempts::first();
        let begun: Vec<_> = (0..9).map(|turns| begin(&mut attempts, turns)).collect();
        assert_eq!(begun, [0, 1, 2, 4, 8, 16, 32, 64, 0]);
        for (turns, connections, permits) in [(0, 4, 1), (1, 4, 2), (9, 4, 2), (99, 1000, 250)] {
            assert_eq!(waited(turns, connections).permits(), permits);
        }
    }
}
