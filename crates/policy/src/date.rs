//! HTTP-date (RFC 9110 §5.6.7): read in all three formats, whatever their case, written in one.

use std::time::{Duration, UNIX_EPOCH};

use crate::fields::Fields;
use crate::syntax::trim;
use crate::units::Timestamp;

/// Reads a date; `None` when it is not one. `now` decides the century of a two-digit year.
pub fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
    //# A recipient that parses a timestamp value in an HTTP field MUST accept all three HTTP-date
    //# formats.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
    //# A cache recipient MUST NOT allow local time zones to influence the calculation or comparison
    //# of an age or expiration time.
    let value = trim(value);
    match value.iter().position(|&b| b == b',') {
        Some(3) => fixdate(value),
        Some(_) => rfc850(value, now),
        None => asctime(value),
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

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`.
fn fixdate(date: &[u8]) -> Option<Timestamp> {
    let [w0, w1, w2, b',', b' ', d0, d1, b' ', m0, m1, m2, b' ', y0, y1, y2, y3, b' ', rest @ ..] =
        date
    else {
        return None;
    };
    check_name(&[*w0, *w1, *w2], &DAYS)?;
    let year = number(&[*y0, *y1, *y2, *y3])?;
    at(year, month(&[*m0, *m1, *m2])?, number(&[*d0, *d1])?, zoned(rest)?)
}

/// Reads `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850(date: &[u8], now: Timestamp) -> Option<Timestamp> {
    let comma = date.iter().position(|&b| b == b',')?;
    let (weekday, date) = date.split_at(comma);
    check_name(weekday, &WHOLE_DAYS)?;
    let [b',', b' ', d0, d1, b'-', m0, m1, m2, b'-', y0, y1, b' ', rest @ ..] = date else {
        return None;
    };
    let year = full_year(&[*y0, *y1], now)?;
    at(year, month(&[*m0, *m1, *m2])?, number(&[*d0, *d1])?, zoned(rest)?)
}

/// Reads `Sun Nov  6 08:49:37 1994`.
fn asctime(date: &[u8]) -> Option<Timestamp> {
    let [w0, w1, w2, b' ', m0, m1, m2, b' ', d0, d1, b' ', rest @ ..] = date else { return None };
    check_name(&[*w0, *w1, *w2], &DAYS)?;
    let (clock, year) = rest.split_at_checked(8)?;
    let [b' ', y0, y1, y2, y3] = year else { return None };
    let day = if *d0 == b' ' { number(&[*d1])? } else { number(&[*d0, *d1])? };
    let year = number(&[*y0, *y1, *y2, *y3])?;
    at(year, month(&[*m0, *m1, *m2])?, day, seconds_of_day(clock)?)
}

/// The names of the days. Whether a name belongs to its date is not looked at: the date alone says
/// when, and a maker of dates that errs there is right about the rest.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const WHOLE_DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// `Some` when this is one of the names.
fn check_name(name: &[u8], known: &[&str]) -> Option<usize> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
    //# Although all date formats are specified to be case-sensitive, a cache recipient SHOULD match
    //# the field value case-insensitively.
    known.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The number of a month, from 1.
fn month(name: &[u8]) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    check_name(name, &MONTHS).map(|index| index as i64 + 1)
}

/// Reads `08:49:37 GMT`.
fn zoned(time: &[u8]) -> Option<i64> {
    let (clock, zone) = time.split_at_checked(8)?;
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
    //# A cache recipient SHOULD consider a date with a zone abbreviation other than "GMT" to be
    //# invalid for calculating expiration.
    if !zone.eq_ignore_ascii_case(b" GMT") {
        return None;
    }
    seconds_of_day(clock)
}

/// Reads `08:49:37`.
fn seconds_of_day(clock: &[u8]) -> Option<i64> {
    let [h0, h1, b':', m0, m1, b':', s0, s1] = clock else { return None };
    let (hour, minute) = (number(&[*h0, *h1])?, number(&[*m0, *m1])?);
    let second = number(&[*s0, *s1])?;
    // A leap second has no number of its own in Unix time.
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
}

fn number(digits: &[u8]) -> Option<i64> {
    let digit = |digit: &u8| digit.is_ascii_digit().then(|| i64::from(digit - b'0'));
    digits.iter().try_fold(0, |number, byte| Some(number * 10 + digit(byte)?))
}

/// The instant so many seconds into a day of the Gregorian calendar; `None` when there is no such
/// day.
fn at(year: i64, month: i64, day: i64, seconds: i64) -> Option<Timestamp> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Counted from March, so that the day that a leap year has more is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (month * 153 + 2) / 5;
    // 1 March of the year 0 was so many days before the first of 1970.
    let days = before_year + before_month + day - 1 - 719_468;
    Some(Timestamp::from_secs(days * 86_400 + seconds))
}

/// The year that two digits mean at this time.
fn full_year(digits: &[u8], now: Timestamp) -> Option<i64> {
    let short = number(digits)?;
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
    fn a_weekday_that_does_not_agree_with_the_date_changes_nothing() {
        let rows = [
            ("Thu Aug  8 02:01:18 2050", "Mon, 08 Aug 2050 02:01:18 GMT"),
            ("Sun, 18 Aug 2050 02:01:18 GMT", "Thu, 18 Aug 2050 02:01:18 GMT"),
            ("Monday, 18-Aug-50 02:01:18 GMT", "Thu, 18 Aug 2050 02:01:18 GMT"),
        ];
        for (text, same) in rows {
            let got = parse(text.as_bytes(), NOW);
            assert_eq!(got, parse(same.as_bytes(), NOW), "{text}");
            assert!(got.is_some_and(|date| date > NOW), "{text}");
        }
    }

    #[test]
    fn every_day_of_the_calendar_is_counted_as_it_is_written() {
        let rows = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Sun, 29 Feb 2032 23:59:59 GMT", 1_961_711_999),
            ("Tue, 19 Jan 2038 14:14:08 GMT", 2_147_523_248),
            ("Sun, 21 Nov 2286 04:46:39 GMT", 10_000_039_599),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200),
        ];
        for (text, secs) in rows {
            let got = parse(text.as_bytes(), NOW).map(Timestamp::as_secs);
            assert_eq!(got, Some(secs), "{text}");
        }
        for day in 0..80_000_i64 {
            let at = Timestamp::from_secs(day * 86_400 + day % 86_400);
            assert_eq!(parse(format(at).as_bytes(), NOW), Some(at), "{day}");
        }
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2
        //= type=test
        //# A cache recipient SHOULD consider a date with a zone abbreviation other than "GMT" to be
        //# invalid for calculating expiration.
        let wrong = [
            "",
            "0",
            "-1",
            ",",
            "Thu, 18 Aug 2050 02:01:18",
            "Thu, 18 Aug 2050 02:01:18 +0000",
            "Thu, 18 Aug 2050 02:01:18 GMT+1",
            "Thu, 18 Aug 2050 24:00:00 GMT",
            "Thu, 18 Aug 2050 02:60:18 GMT",
            "Thu, 18 Aug 2050 02:01:61 GMT",
            "Thu, 00 Aug 2050 02:01:18 GMT",
            "Thu, 31 Sep 2050 02:01:18 GMT",
            "Thu, 29 Feb 2100 02:01:18 GMT",
            "Thu, 18 Foo 2050 02:01:18 GMT",
            "Foo, 18 Aug 2050 02:01:18 GMT",
            "Thu, 8 Aug 2050 02:01:18 GMT",
            "Thu, -8 Aug 2050 02:01:18 GMT",
            "Thu,18 Aug 2050 02:01:18 GMT",
            "Thursday, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18-Aug-50 02:01:18 GMT",
            "Thu Aug  8 02:01:18 2050 GMT",
            "Thu Aug 8 02:01:18 2050",
            "Thu Aug   02:01:18 2050",
            "Thu Aug  8 2:01:18 2050",
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
