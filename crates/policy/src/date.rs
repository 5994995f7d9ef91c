//! HTTP-date (RFC 9110 §5.6.7): read in all three formats, whatever their case, written in one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::fields::Fields;
use crate::syntax::trim;
use crate::units::Timestamp;

/// The length of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
const IMF_LENGTH: usize = 29;

/// Reads a date; `None` when it is not one. `now` decides the century of a two-digit year.
pub fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
    //# A recipient that parses a timestamp value in an HTTP field MUST accept all three HTTP-date
    //# formats.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
    //# A cache recipient MUST NOT allow local time zones to influence the calculation or comparison
    //# of an age or expiration time.
    let value = trim(value);
    let comma = value.iter().position(|&b| b == b',');
    match (comma, value.len()) {
        (Some(3), IMF_LENGTH) => fixdate(value.try_into().ok()?),
        (Some(_), _) => rfc850(value, now),
        (None, _) => asctime(value),
    }
}

/// A date as it is sent; years outside 1970 to 9999 are replaced by the nearest inside.
pub fn format(at: Timestamp) -> String {
    const LAST: u64 = 253_402_300_799;
    let secs = u64::try_from(at.as_secs()).unwrap_or(0).min(LAST);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs))
}

/// Adds the Date that a response lacks. A 304 needs it before it freshens, too.
pub fn stamp(response: &mut Fields, received: Timestamp) {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1
    //# A recipient with a clock that receives a response message without a Date header field MUST
    //# record the time it was received and append a corresponding Date header field to the
    //# message's header section if it is cached or forwarded downstream.
    if !response.contains("date") {
        response.push(b"Date", format(received).as_bytes());
    }
}

/// The first Date of a response, if it is one.
pub(crate) fn of(response: &Fields, now: Timestamp) -> Option<Timestamp> {
    parse(response.get("date")?, now)
}

/// Reads an IMF-fixdate whose letters may have any case.
fn fixdate(mut date: [u8; IMF_LENGTH]) -> Option<Timestamp> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
    //# Although all date formats are specified to be case-sensitive, a cache recipient SHOULD match
    //# the field value case-insensitively.
    capitalise(&mut date[..3]);
    capitalise(&mut date[8..11]);
    date[26..].make_ascii_uppercase();
    // A leap second has no number of its own in Unix time.
    if &date[23..25] == b"60" {
        date[23..25].copy_from_slice(b"59");
    }
    strict(std::str::from_utf8(&date).ok()?)
}

/// Reads `Sunday, 06-Nov-94 08:49:37 GMT` by writing it as an IMF-fixdate.
fn rfc850(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    const DAYS: [&[u8]; 7] =
        [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
    let comma = value.iter().position(|&b| b == b',')?;
    let (day_name, rest) = value.split_at(comma);
    if !DAYS.iter().any(|day| day_name.eq_ignore_ascii_case(day)) {
        return None;
    }
    let rest: &[u8; 24] = rest.try_into().ok()?;
    if (rest[1], rest[4], rest[8]) != (b' ', b'-', b'-') {
        return None;
    }
    let year = full_year(&rest[9..11], now)?;
    let mut date = *b"xxx, 00 xxx 0000 00:00:00 GMT";
    date[..3].copy_from_slice(&day_name[..3]);
    date[5..7].copy_from_slice(&rest[2..4]);
    date[8..11].copy_from_slice(&rest[5..8]);
    for (digit, power) in date[12..16].iter_mut().zip([1000, 100, 10, 1]) {
        *digit = b'0' + (year / power % 10) as u8;
    }
    date[16..].copy_from_slice(&rest[11..]);
    fixdate(date)
}

/// The year that two digits mean at this time.
fn full_year(digits: &[u8], now: Timestamp) -> Option<i64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let short = i64::from(digits[0] - b'0') * 10 + i64::from(digits[1] - b'0');
    let this_year = 1970 + now.as_secs().clamp(0, 1 << 37) / 31_556_952;
    let year = this_year / 100 * 100 + short;
    //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
    //# Recipients of a timestamp value in rfc850-date format, which uses a two-digit year, MUST
    //# interpret a timestamp that appears to be more than 50 years in the future as representing the
    //# most recent year in the past that had the same last two digits.
    Some(match year - this_year {
        51.. => year - 100,
        // The same number of years ahead in the next century is nearer than this one.
        ..-49 => year + 100,
        _ => year,
    })
}

/// Reads `Sun Nov  6 08:49:37 1994`.
fn asctime(value: &[u8]) -> Option<Timestamp> {
    let mut date: [u8; 24] = value.try_into().ok()?;
    capitalise(&mut date[..3]);
    capitalise(&mut date[4..7]);
    strict(std::str::from_utf8(&date).ok()?)
}

fn capitalise(word: &mut [u8]) {
    word.make_ascii_lowercase();
    if let Some(first) = word.first_mut() {
        first.make_ascii_uppercase();
    }
}

fn strict(date: &str) -> Option<Timestamp> {
    let at: SystemTime = httpdate::parse_http_date(date).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).plus(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mon, 23 Nov 2026 00:00:00 GMT.
    const NOW: Timestamp = Timestamp::from_secs(1_795_392_000);
    const NOVEMBER_1994: i64 = 784_111_777;

    #[test]
    fn all_three_formats_are_read_in_any_case() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
        //= type=test
        //# Although all date formats are specified to be case-sensitive, a cache recipient SHOULD
        //# match the field value case-insensitively.
        //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
        //= type=test
        //# A recipient that parses a timestamp value in an HTTP field MUST accept all three
        //# HTTP-date formats.
        let same = [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "SUN, 06 NOV 1994 08:49:37 gmt",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "sunday, 06-nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "sun nov  6 08:49:37 1994",
            " Sun, 06 Nov 1994 08:49:37 GMT\t",
        ];
        for text in same {
            let got = parse(text.as_bytes(), NOW).map(Timestamp::as_secs);
            assert_eq!(got, Some(NOVEMBER_1994), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        let wrong = [
            "",
            "0",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 32 Aug 2050 02:01:18 GMT",
            "Someday, 18-Aug-50 02:01:18 GMT",
            "Thursday, 18-Aug-5x 02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
        ];
        for text in wrong {
            assert_eq!(parse(text.as_bytes(), NOW), None, "{text}");
        }
    }

    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
        //= type=test
        //# Recipients of a timestamp value in rfc850-date format, which uses a two-digit year, MUST
        //# interpret a timestamp that appears to be more than 50 years in the future as representing
        //# the most recent year in the past that had the same last two digits.
        let rows = [
            (NOW, "50", 2050),
            (NOW, "76", 2076),
            (NOW, "77", 1977),
            (NOW, "25", 2025),
            (Timestamp::from_secs(0), "20", 2020),
            (Timestamp::from_secs(3_786_912_000), "05", 2105),
        ];
        for (now, digits, year) in rows {
            assert_eq!(full_year(digits.as_bytes(), now), Some(year), "{digits}");
        }
        let date = parse(b"Thursday, 18-Aug-50 02:01:18 GMT", NOW);
        assert_eq!(date, parse(b"Thu, 18 Aug 2050 02:01:18 GMT", NOW));
        assert!(date.is_some());
    }

    #[test]
    fn a_leap_second_counts_as_the_second_before() {
        let leap = parse(b"Sat, 31 Dec 2016 23:59:60 GMT", NOW);
        assert_eq!(leap, parse(b"Sat, 31 Dec 2016 23:59:59 GMT", NOW));
        assert!(leap.is_some());
    }

    #[test]
    fn a_response_without_date_is_stamped_and_one_with_it_is_kept() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1
        //= type=test
        //# A recipient with a clock that receives a response message without a Date header field
        //# MUST record the time it was received and append a corresponding Date header field to the
        //# message's header section if it is cached or forwarded downstream.
        let mut response = Fields::new();
        stamp(&mut response, Timestamp::from_secs(NOVEMBER_1994));
        stamp(&mut response, NOW);
        assert_eq!(response.get("date"), Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]));
        assert_eq!(response.len(), 1);
    }

    #[test]
    fn formatting_never_fails_whatever_the_clock_says() {
        assert_eq!(format(Timestamp::from_millis(i64::MIN)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(Timestamp::from_millis(i64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
