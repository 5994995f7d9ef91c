//! The one place that reads a clock. Everything else takes the time as an argument.
//!
//! Wall-clock time decides freshness and can be replaced by a clock that tests advance. Monotonic
//! ticks measure patience (idle limits, stalls). Both are the kernel's coarse clocks where there are
//! any: a few nanoseconds to read, a few milliseconds of grain, which no HTTP rule notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use policy::Timestamp;

/// Where "now" comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// A clock that stands still until it is set; for tests.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that starts at `now` and moves only by [`Clock::advance`].
    pub fn set_to(now: Timestamp) -> Self {
        Self::Set(Arc::new(AtomicI64::new(now.as_millis())))
    }

    /// The current wall-clock time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from_millis(wall_millis()),
            Self::Set(millis) => Timestamp::from_millis(millis.load(Ordering::Acquire)),
        }
    }

    /// Moves a set clock forward; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Set(millis) = self {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::AcqRel);
        }
    }
}

/// Milliseconds since the Unix epoch.
#[cfg(target_os = "linux")]
fn wall_millis() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
fn wall_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Monotonic milliseconds from an arbitrary start, for measuring patience.
#[cfg(target_os = "linux")]
pub fn ticks() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let millis = now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000);
    u64::try_from(millis).unwrap_or(0)
}

/// Monotonic milliseconds from an arbitrary start, for measuring patience.
#[cfg(not(target_os = "linux"))]
pub fn ticks() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(stopwatch).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How long a duration is in ticks.
pub(crate) fn in_ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago this tick was.
pub(crate) fn since(tick: u64) -> Duration {
    Duration::from_millis(ticks().saturating_sub(tick))
}

/// A precise reading, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn stopwatch() -> Instant {
    Instant::now()
}
