//! What became of requests, counted by the stable code that headers and log print.

use std::sync::LazyLock;

use http1::{BadHead, BadRequest};
use policy::Reason;
use policy::reason::{Hit, NotStored, Pass, Refetch, Refused};

use crate::failure::{Denial, Failure, Malformed};
use crate::tally::Tally;

/// In what way requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answered {
    /// From the cache, fresh or confirmed by the origin.
    Hit,
    /// From the cache, stale.
    Stale,
    /// By the origin, where the cache could have had the answer.
    Miss,
    /// By the origin, for this client alone.
    Pass,
    /// Not as it should be, because something failed on the way to the origin: at the origin, at the
    /// client whose content was on its way there, or here.
    Failed,
    /// By the proxy itself.
    Refused,
}

impl Answered {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Hit, Self::Stale, Self::Miss, Self::Pass, Self::Failed, Self::Refused];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Pass => "pass",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    /// Whether the content came from the cache, as `X-Cache: HIT` says.
    pub const fn is_hit(self) -> bool {
        matches!(self, Self::Hit | Self::Stale)
    }

    fn by(hit: Hit) -> Self {
        if hit.is_stale() { Self::Stale } else { Self::Hit }
    }
}

/// How many requests were answered in one way for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In which way.
    pub answered: Answered,
    /// The code of the reason.
    pub code: &'static str,
    /// How many.
    pub requests: u64,
}

/// Room for a counter of every code; some are in two tables.
const ROOM: usize = Hit::ALL.len()
    + Refetch::ALL.len()
    + NotStored::ALL.len()
    + store::Refused::ALL.len()
    + store::NotStored::ALL.len()
    + Pass::ALL.len()
    + Failure::ALL.len()
    + Refused::ALL.len()
    + Denial::ALL.len()
    + BadHead::ALL.len()
    + BadRequest::OWN.len()
    + Malformed::ALL.len();

/// The codes in the order of their counters: the hits come first, in the order of [`Hit::ALL`], so
/// that a hit finds its counter without a search.
static CODES: LazyLock<Codes> = LazyLock::new(Codes::all);

struct Codes {
    rows: Vec<(&'static str, Answered)>,
    /// The indices of all rows, by code.
    sorted: Vec<(&'static str, usize)>,
}

impl Codes {
    fn all() -> Self {
        fn of<R: Reason>(reasons: &[R]) -> impl Iterator<Item = &'static str> {
            reasons.iter().map(Reason::code)
        }
        let hits = Hit::ALL.iter().map(|hit| (hit.code(), Answered::by(*hit)));
        let stored = store::Refused::ALL.iter().map(|why| why.code());
        let stored = stored.chain(store::NotStored::ALL.iter().map(|why| why.code()));
        let misses = of(Refetch::ALL).chain(of(NotStored::ALL)).chain(stored);
        let failures = Failure::ALL.iter().map(|failure| failure.code());
        let denials = Denial::ALL.iter().map(|denial| denial.code());
        let heads = BadHead::ALL.iter().map(|bad| BadRequest::Head(*bad).code());
        let requests = BadRequest::OWN.iter().map(BadRequest::code);
        let by_http2 = Malformed::ALL.iter().map(|bad| bad.code());
        let refusals = of(Refused::ALL).chain(denials).chain(heads).chain(requests).chain(by_http2);
        let all = hits
            .chain(misses.map(|code| (code, Answered::Miss)))
            .chain(of(Pass::ALL).map(|code| (code, Answered::Pass)))
            .chain(failures.map(|code| (code, Answered::Failed)))
            .chain(refusals.map(|code| (code, Answered::Refused)));
        let (mut rows, mut sorted) = (Vec::new(), Vec::new());
        for (code, answered) in all {
            let index = rows.len();
            if let Err(at) = sorted.binary_search_by_key(&code, |&(known, _)| known) {
                sorted.insert(at, (code, index));
                rows.push((code, answered));
            }
        }
        Self { rows, sorted }
    }

    fn index(&self, code: &str) -> Option<usize> {
        let at = self.sorted.binary_search_by_key(&code, |&(known, _)| known).ok()?;
        self.sorted.get(at).map(|&(_, index)| index)
    }
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(Tally<ROOM>);

impl Outcomes {
    /// Counts an answer out of the store.
    pub(crate) fn hit(&self, why: Hit) {
        self.0.add(why.index());
    }

    /// Counts any other answer.
    pub(crate) fn other(&self, code: &'static str) {
        let index = CODES.index(code);
        debug_assert!(index.is_some(), "{code} is in no table");
        if let Some(index) = index {
            self.0.add(index);
        }
    }
}

/// The counts of all codes over the workers, in the order of the tables.
pub(crate) fn sum<'c>(counters: impl Iterator<Item = &'c Outcomes>) -> Vec<Outcome> {
    let mut sums = [0; ROOM];
    counters.for_each(|outcomes| outcomes.0.add_to(&mut sums));
    let rows = CODES.rows.iter().zip(sums);
    rows.map(|(&(code, answered), requests)| Outcome { answered, code, requests }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_counted_where_it_stands() {
        let outcomes = Outcomes::default();
        for hit in Hit::ALL {
            outcomes.hit(*hit);
        }
        for (code, _) in &CODES.rows {
            outcomes.other(code);
        }
        for (index, Outcome { code, requests, answered }) in
            sum([&outcomes].into_iter()).into_iter().enumerate()
        {
            let hit = Hit::ALL.get(index);
            assert_eq!(hit.is_some(), answered.is_hit(), "{code}");
            assert!(hit.is_none_or(|hit| hit.code() == code), "{code}");
            assert_eq!(requests, if hit.is_some() { 2 } else { 1 }, "{code}");
        }
    }

    #[test]
    fn what_is_stale_says_so() {
        let stale = CODES.rows.iter().filter(|(_, answered)| *answered == Answered::Stale);
        let stale: Vec<_> = stale.map(|(code, _)| *code).collect();
        let expected =
            ["max-stale", "stale-while-revalidate", "stale-if-error", "stale-origin-unreachable"];
        assert_eq!(stale, expected);
    }

    #[test]
    fn the_workers_are_added_up() {
        let workers = [Outcomes::default(), Outcomes::default()];
        for worker in &workers {
            worker.hit(Hit::Fresh);
        }
        workers[1].other(Pass::MethodUnsafe.code());
        let sums = sum(workers.iter());
        let of = |code| sums.iter().find(|row| row.code == code).map(|row| row.requests);
        assert_eq!((of("fresh"), of("method-unsafe"), of("absent")), (Some(2), Some(1), Some(0)));
    }
}
