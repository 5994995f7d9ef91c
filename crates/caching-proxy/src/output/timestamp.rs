//! Times in the form of RFC 3339.

/// `2026-11-20T08:49:37.123Z` from milliseconds since the Unix epoch; the epoch for earlier ones.
pub(crate) fn rfc3339(millis: i64) -> String {
    let millis = u64::try_from(millis).unwrap_or(0);
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day, in UTC; those of the epoch for earlier moments.
pub(crate) fn civil_date(millis: i64) -> (u64, u64, u64) {
    civil(u64::try_from(millis).unwrap_or(0) / 86_400_000)
}

/// Year, month and day from days since 1970-01-01, in the Gregorian calendar. The year is counted
/// from March, so that the leap day is the last one; 146,097 days are 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first_of_month = (153 * month + 2) / 5;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day - first_of_month + 1)
}
