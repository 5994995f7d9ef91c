//! Units: an instant, an age, a lifetime and a count of seconds are four different types.
//!
//! Arithmetic saturates, so no input can make a time negative by overflow. Used by every step. All
//! of them stand beside every stored response, so none is larger than it must be.

use std::num::NonZeroU32;
use std::time::Duration;

/// An instant: milliseconds since the Unix epoch, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` milliseconds after the Unix epoch (before it when negative).
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// The instant `secs` seconds after the Unix epoch.
    pub const fn from_secs(secs: i64) -> Timestamp {
        Timestamp(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time since `earlier`; zero when `earlier` is not earlier.
    pub fn saturating_since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }

    /// The instant `duration` later.
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(duration.as_millis().try_into().unwrap_or(i64::MAX)))
    }
}

/// Milliseconds, at most 2^48 - 1 of them: 8,900 years. The most significant byte is the first, so
/// that their order is that of the numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Millis([u8; 6]);

impl Millis {
    const MAX: u64 = (1 << 48) - 1;

    const fn new(millis: u64) -> Millis {
        let most = if millis > Millis::MAX { Millis::MAX } else { millis };
        let [_, _, bytes @ ..] = most.to_be_bytes();
        Millis(bytes)
    }

    fn of(duration: Duration) -> Millis {
        Millis::new(duration.as_millis().try_into().unwrap_or(u64::MAX))
    }

    const fn from_secs(secs: u64) -> Millis {
        Millis::new(secs.saturating_mul(1000))
    }

    const fn get(self) -> u64 {
        let [b5, b4, b3, b2, b1, b0] = self.0;
        u64::from_be_bytes([0, 0, b5, b4, b3, b2, b1, b0])
    }

    /// Far from where the sign begins.
    const fn signed(self) -> i64 {
        self.get().cast_signed()
    }
}

impl std::fmt::Debug for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// How long ago a response was generated or validated by its origin: `current_age` of RFC 9111
/// §4.2.3, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(Millis);

impl Age {
    /// An age of this long, in the resolution of [`Timestamp`].
    pub fn new(age: Duration) -> Age {
        Age(Millis::of(age))
    }

    /// An age of whole seconds.
    pub const fn from_secs(secs: u64) -> Age {
        Age(Millis::from_secs(secs))
    }

    /// The age as a duration.
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0.get())
    }

    /// The value of an Age field: whole seconds, at most 2^31.
    pub fn as_field(self) -> u32 {
        u32::try_from(self.0.get() / 1000).map_or(DeltaSeconds::MAX, DeltaSeconds::new).get()
    }

    /// The age after a further while.
    pub fn plus(self, while_resident: Duration) -> Age {
        Age(Millis::new(self.0.get().saturating_add(Millis::of(while_resident).get())))
    }
}

/// How long a response may be used after it was generated: `freshness_lifetime` of RFC 9111
/// §4.2.1, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(Millis);

impl Lifetime {
    /// Never fresh.
    pub const ZERO: Lifetime = Lifetime(Millis::new(0));

    /// A lifetime of this long, in the resolution of [`Timestamp`].
    pub fn new(lifetime: Duration) -> Lifetime {
        Lifetime(Millis::of(lifetime))
    }

    /// A lifetime of whole seconds.
    pub const fn from_secs(secs: u64) -> Lifetime {
        Lifetime(Millis::from_secs(secs))
    }

    /// The lifetime as a duration.
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0.get())
    }

    /// What is left of the lifetime at this age; `None` when the response is stale.
    pub fn left_after(self, age: Age) -> Option<Duration> {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
        //# response_is_fresh = (freshness_lifetime > current_age)
        let left = self.0.get().checked_sub(age.0.get())?;
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// For how long the response has been stale at this age; zero when it is fresh.
    pub fn exceeded_by(self, age: Age) -> Duration {
        Duration::from_millis(age.0.get().saturating_sub(self.0.get()))
    }

    /// What is left in whole seconds, rounded down; negative when the response is stale.
    pub fn ttl(self, age: Age) -> i64 {
        (self.0.signed() - age.0.signed()).div_euclid(1000)
    }
}

/// The `delta-seconds` of RFC 9111 §1.2.2: whole seconds, at most 2^31.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeltaSeconds(
    /// One more, so that an `Option` of it is no larger.
    NonZeroU32,
);

impl DeltaSeconds {
    /// Nothing.
    pub const ZERO: DeltaSeconds = DeltaSeconds::new(0);
    /// 2^31: what every greater number counts as.
    pub const MAX: DeltaSeconds = DeltaSeconds::new(1 << 31);

    /// This many seconds, or 2^31 if that is less.
    pub const fn new(secs: u32) -> DeltaSeconds {
        let most = 1 << 31;
        DeltaSeconds(NonZeroU32::MIN.saturating_add(if secs > most { most } else { secs }))
    }

    /// Reads `1*DIGIT`; anything else is `None`.
    pub fn parse(digits: &[u8]) -> Option<DeltaSeconds> {
        if digits.is_empty() {
            return None;
        }
        let mut secs: u32 = 0;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            //= https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2
            //# If a cache receives a delta-seconds value greater than the greatest integer it can
            //# represent, or if any of its subsequent calculations overflows, the cache MUST
            //# consider the value to be 2147483648
            secs = secs.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
        }
        Some(DeltaSeconds::new(secs))
    }

    /// The number of seconds.
    pub const fn get(self) -> u32 {
        self.0.get() - 1
    }

    /// The seconds as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.get() as u64)
    }
}

impl Default for DeltaSeconds {
    fn default() -> DeltaSeconds {
        DeltaSeconds::ZERO
    }
}

impl std::fmt::Debug for DeltaSeconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeltaSeconds({})", self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delta_seconds_saturate_and_refuse_all_but_digits() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2
        //= type=test
        //# If a cache receives a delta-seconds value greater than the greatest integer it can
        //# represent, or if any of its subsequent calculations overflows, the cache MUST
        //# consider the value to be 2147483648
        let rows: &[(&str, Option<u32>)] = &[
            ("0", Some(0)),
            ("003600", Some(3600)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", Some(1 << 31)),
            ("2147483649", Some(1 << 31)),
            ("99999999999999999999999", Some(1 << 31)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("1 ", None),
        ];
        for (text, expected) in rows {
            let got = DeltaSeconds::parse(text.as_bytes()).map(DeltaSeconds::get);
            assert_eq!(got, *expected, "{text:?}");
        }
    }

    #[test]
    fn a_response_is_stale_in_the_very_instant_its_age_reaches_its_lifetime() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
        //= type=test
        //# response_is_fresh = (freshness_lifetime > current_age)
        let lifetime = Lifetime::from_secs(60);
        assert!(lifetime.left_after(Age::new(Duration::from_millis(59_999))).is_some());
        assert!(lifetime.left_after(Age::from_secs(60)).is_none());
        assert_eq!(lifetime.ttl(Age::from_secs(61)), -1);
        assert_eq!(lifetime.ttl(Age::new(Duration::from_millis(60_001))), -1);
        assert_eq!(lifetime.ttl(Age::from_secs(10)), 50);
    }

    #[test]
    fn ages_and_lifetimes_keep_the_order_of_numbers_up_to_the_greatest() {
        let most = Millis::MAX;
        let numbers = [0, 1, 255, 256, 65_535, 65_536, 1 << 32, 1 << 40, most - 1, most];
        for (number, next) in numbers.iter().zip(&numbers[1..]) {
            assert_eq!(
                Age::new(Duration::from_millis(*number)).get().as_millis(),
                (*number).into()
            );
            let lifetime = |millis| Lifetime::new(Duration::from_millis(millis));
            assert!(lifetime(*number) < lifetime(*next));
        }
        let ever = Lifetime::new(Duration::MAX);
        assert_eq!(ever, Lifetime::from_secs(u64::MAX));
        assert!(ever.left_after(Age::new(Duration::from_millis(most - 1))).is_some());
        assert!(ever.left_after(Age::from_secs(u64::MAX)).is_none());
        assert!(ever.left_after(Age::from_secs(9).plus(Duration::MAX)).is_none());
        assert_eq!(Lifetime::ZERO.ttl(Age::from_secs(u64::MAX)), -281_474_976_711);
        assert_eq!(size_of::<(Age, Lifetime)>(), 12);
    }

    #[test]
    fn time_saturates_instead_of_turning_negative() {
        let (early, late) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        assert_eq!(late.saturating_since(early), Duration::from_millis(i64::MAX as u64));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
        assert_eq!(late.plus(Duration::MAX), late);
        assert_eq!(Age::new(Duration::MAX).as_field(), 1 << 31);
    }
}
