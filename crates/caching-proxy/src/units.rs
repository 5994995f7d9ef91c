//! Sizes and durations as people write them: `256MiB`, `1h30m`.
//!
//! What [`ByteSize`] and [`Span`] print can be read again and means the same.

use std::fmt;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub(crate) u64);

/// A duration in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

/// Why a text is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("it is empty")]
    Empty,
    #[error("{0:?} is not a number")]
    NotANumber(String),
    #[error("{0:?} is not a unit")]
    UnknownUnit(String),
    #[error("the units must go from large to small, each once")]
    Order,
    #[error("it is too large")]
    TooLarge,
    #[error("it is finer than a millisecond")]
    TooFine,
}

/// Binary units first: the first one that divides a size is the one it is printed with. The short
/// forms are binary, as in the configuration of other servers.
const SIZES: [(&str, u64); 16] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("k", 1 << 10),
    ("B", 1),
    ("byte", 1),
    ("bytes", 1),
    ("", 1),
];

/// Milliseconds, from large to small.
const SPANS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl ByteSize {
    /// Reads `256MiB`, `1GB`, `1.5GiB`, `512k` or a plain number of bytes; case does not matter.
    pub(crate) fn parse(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text.trim())?;
        let known = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let (_, factor) = known.ok_or_else(|| UnitError::UnknownUnit(unit.to_owned()))?;
        let (bytes, _) = scaled(number, *factor)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZES[..4].iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        match whole {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Span {
    /// Reads `500ms`, `30s`, `3.5s`, `5m`, `1h30m`, `2d` or a plain number of seconds.
    pub(crate) fn parse(text: &str) -> Result<Self, UnitError> {
        let mut rest = text.trim();
        let mut total: u64 = 0;
        let mut below = u64::MAX;
        while below == u64::MAX || !rest.is_empty() {
            let (number, tail) = split(rest)?;
            let (name, after) = tail.split_at(tail.find(is_numeric).unwrap_or(tail.len()));
            let unit = span_unit(name.trim_end(), below == u64::MAX && after.is_empty())?;
            if unit >= below {
                return Err(UnitError::Order);
            }
            let (millis, exact) = scaled(number, unit)?;
            if !exact {
                return Err(UnitError::TooFine);
            }
            total = total.checked_add(millis).ok_or(UnitError::TooLarge)?;
            (rest, below) = (after, unit);
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (name, unit) in SPANS {
            if left >= unit {
                write!(f, "{}{name}", left / unit)?;
                left %= unit;
            }
        }
        Ok(())
    }
}

/// A size for a reader in a hurry: `812 B`, `1.0 KiB`, `3.4 GiB`.
pub(crate) fn rough_bytes(bytes: u64) -> String {
    let unit = SIZES[..4].iter().find(|(_, unit)| bytes >= *unit);
    match unit {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

/// `1 response`, `12 responses`.
pub(crate) fn responses(count: u64) -> String {
    format!("{count} {}", if count == 1 { "response" } else { "responses" })
}

/// A duration for a reader in a hurry: `0.1 ms`, `12.3 ms`, `4.56 s`.
pub(crate) fn rough_time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    }
    format!("{:.2} s", time.as_secs_f64())
}

/// The unit's milliseconds. Only a number that stands alone needs no unit.
fn span_unit(name: &str, alone: bool) -> Result<u64, UnitError> {
    if name.is_empty() && alone {
        return Ok(1_000);
    }
    let known = SPANS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(_, unit)| *unit).ok_or_else(|| UnitError::UnknownUnit(name.to_owned()))
}

fn is_numeric(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

/// Splits the number off the front; a space may follow it.
fn split(text: &str) -> Result<(&str, &str), UnitError> {
    if text.is_empty() {
        return Err(UnitError::Empty);
    }
    let end = text.find(|c| !is_numeric(c)).unwrap_or(text.len());
    if end == 0 {
        return Err(UnitError::NotANumber(text.to_owned()));
    }
    Ok((&text[..end], text[end..].trim_start()))
}

/// `number` times `unit`, rounded down, and whether that is exact.
fn scaled(number: &str, unit: u64) -> Result<(u64, bool), UnitError> {
    let bad = || UnitError::NotANumber(number.to_owned());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(bad());
    }
    let places = u32::try_from(fraction.len()).ok().filter(|&n| n <= 9).ok_or_else(bad)?;
    let whole: u64 = whole.parse().map_err(|_| UnitError::TooLarge)?;
    let part = u128::from(fraction.parse::<u64>().map_err(|_| bad())?) * u128::from(unit);
    let scale = 10_u128.pow(places);
    let total = u128::from(whole) * u128::from(unit) + part / scale;
    let total = u64::try_from(total).map_err(|_| UnitError::TooLarge)?;
    Ok((total, part.is_multiple_of(scale)))
}
