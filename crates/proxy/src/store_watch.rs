//! Tells an operator when the store has trouble; the store itself only counts. What it has to be
//! asked for now and then is asked for here.

use std::sync::Arc;
use std::time::Duration;

use store::Stats;
use tokio::time::sleep;

use crate::worker::Shared;

/// How often the store's counters are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Each kind of trouble is told at most once in so many looks.
const QUIET: u32 = 60;

/// Kinds of trouble, each with its code, what it means, and its counter.
const KINDS: [Kind; 8] = [
    Kind {
        code: "store-write-failed",
        what: "writing to the cache directory failed; responses are served without being kept there",
        count: |stats| stats.disk_write_failures,
    },
    Kind {
        code: "store-read-failed",
        what: "reading from the cache directory failed; the origin was asked instead",
        count: |stats| stats.disk_read_errors,
    },
    Kind {
        code: "store-left-alone",
        what: "the cache directory's disk failed five times in a row and is left alone for a while; \
               responses are served from memory and the origin",
        count: |stats| stats.disk_left_alone,
    },
    Kind {
        code: "store-slow",
        what: "the cache directory's disk answered too late; the origin was asked instead",
        count: |stats| stats.disk_timeouts,
    },
    Kind {
        code: "store-queue-full",
        what: "the disk is slower than what is asked of it; some responses are kept in memory only, or \
               fetched although they are on disk",
        count: |stats| stats.queue_full_skips,
    },
    Kind {
        code: "store-events-failed",
        what: "invalidations could not be written to the cache directory; they hold, but after a \
               crash all responses stored there are dropped",
        count: |stats| stats.event_write_failures,
    },
    Kind {
        code: "store-events-lost",
        what: "the record of invalidations in the cache directory was damaged or missing; all \
               responses stored there were dropped",
        count: |stats| stats.event_logs_lost,
    },
    Kind {
        code: "store-damaged",
        what: "damaged files in the cache directory were dropped",
        count: |stats| stats.damaged.iter().map(|(_, count)| count).sum(),
    },
];

struct Kind {
    code: &'static str,
    what: &'static str,
    count: fn(&Stats) -> u64,
}

/// What was told of one kind, and when it may be told again.
#[derive(Clone, Copy, Default)]
struct Told {
    count: u64,
    quiet: u32,
}

impl Told {
    /// How much was added since it was last told, if it may be told now.
    fn due(&mut self, count: u64) -> Option<u64> {
        self.quiet = self.quiet.saturating_sub(1);
        let added = count.saturating_sub(self.count);
        if added == 0 || self.quiet > 0 {
            return None;
        }
        *self = Self { count, quiet: QUIET };
        Some(added)
    }
}

/// Watches the store's counters for as long as it is polled, and has it forget what is over.
pub(crate) async fn watch(shared: &Arc<Shared>) {
    let mut told = [Told::default(); KINDS.len()];
    loop {
        sleep(LOOK).await;
        shared.store.prune_events();
        shared.store.divide_memory();
        shared.succession.let_ended_go();
        let stats = shared.store.stats();
        for (kind, told) in KINDS.iter().zip(&mut told) {
            if let Some(times) = told.due((kind.count)(&stats)) {
                let message = kind.what;
                let trouble = crate::events::Trouble { code: kind.code, message, times };
                shared.recorder.trouble(&trouble);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_at_once_and_then_once_a_minute() {
        let mut told = Told::default();
        assert_eq!(told.due(0), None);
        assert_eq!(told.due(3), Some(3));
        for look in 1..QUIET {
            assert_eq!(told.due(3 + u64::from(look)), None);
        }
        assert_eq!(told.due(100), Some(97));
        for _ in 0..2 * QUIET {
            assert_eq!(told.due(100), None);
        }
    }

    #[test]
    fn each_kind_reads_its_own_counter() {
        let stats = Stats {
            disk_write_failures: 1,
            disk_read_errors: 2,
            disk_left_alone: 3,
            disk_timeouts: 4,
            queue_full_skips: 5,
            event_write_failures: 6,
            event_logs_lost: 7,
            damaged: Stats::default().damaged.map(|(why, _)| (why, 8)),
            ..Stats::default()
        };
        let counts = KINDS.map(|kind| (kind.count)(&stats));
        assert_eq!(counts[..7], [1, 2, 3, 4, 5, 6, 7]);
        assert!(counts[7] >= 8);
    }
}
