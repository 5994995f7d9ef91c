//! How old a response was when it arrived (RFC 9111 §4.2.3, §5.1).

use std::time::Duration;

use crate::date;
use crate::fields::Fields;
use crate::syntax::trim;
use crate::units::{Age, DeltaSeconds, Timestamp};

/// `corrected_initial_age`: the age at `response_time`, by the more pessimistic of two ways.
pub fn initial(response: &Fields, request_time: Timestamp, response_time: Timestamp) -> Age {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
    //# corrected_initial_age = max(apparent_age, corrected_age_value);
    apparent(response, response_time).max(corrected(response, request_time, response_time))
}

fn apparent(response: &Fields, response_time: Timestamp) -> Age {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
    //# apparent_age = max(0, response_time - date_value);
    let Some(date) = date::of(response, response_time) else { return Age::default() };
    // Date has no fraction of a second, so none is counted against it.
    let arrived = Timestamp::from_secs(response_time.as_secs());
    Age::new(arrived.saturating_since(date))
}

fn corrected(response: &Fields, request_time: Timestamp, response_time: Timestamp) -> Age {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
    //# response_delay = response_time - request_time;
    //# corrected_age_value = age_value + response_delay;
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
    //# A cache MUST interpret this value relative to the time the request was initiated, not the
    //# time that the response was received.
    let response_delay = response_time.saturating_since(request_time);
    Age::new(value(response)).plus(response_delay)
}

/// `age_value`: what the Age field says, or nothing.
fn value(response: &Fields) -> Duration {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.1
    //# Although it is defined as a singleton header field, a cache encountering a message with a
    //# list-based Age field value SHOULD use the first member of the field value, discarding
    //# subsequent ones.
    let line = response.get("age").unwrap_or_default();
    let first = line.split(|&b| b == b',').next().unwrap_or_default();
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.1
    //# If the field value (after discarding additional members, as per above) is invalid (e.g., it
    //# contains something other than a non-negative integer), a cache SHOULD ignore the field.
    DeltaSeconds::parse(trim(first)).map_or(Duration::ZERO, DeltaSeconds::duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    /// Mon, 23 Nov 2026 00:00:00 GMT.
    const NOON: i64 = 1_795_392_000;

    fn initial_secs(head: &str, delay: i64) -> u64 {
        let asked = Timestamp::from_secs(NOON - delay);
        initial(&fields(head), asked, Timestamp::from_secs(NOON)).get().as_secs()
    }

    #[test]
    fn the_first_age_value_counts_and_an_invalid_one_is_ignored() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.1
        //= type=test
        //# Although it is defined as a singleton header field, a cache encountering a message with a
        //# list-based Age field value SHOULD use the first member of the field value, discarding
        //# subsequent ones.
        let rows = [
            ("", 0),
            ("age: 7200", 7200),
            ("age: 7200, 0", 7200),
            ("age: 0, 7200", 0),
            ("age: 7200\nage: 0", 7200),
            ("age: 0\nage: 7200", 0),
            ("age: 2147483647", (1 << 31) - 1),
            ("age: 2147483648", 1 << 31),
            ("age: 2147483649", 1 << 31),
            ("age: 99999999999999999999", 1 << 31),
            ("age: 0, 0", 0),
            ("age: 0\nage: 0", 0),
            ("age: 007", 7),
            ("age:", 0),
            ("age: abc", 0),
            ("age: -7200", 0),
            ("age: 7200.0", 0),
            ("age: 7200;foo=bar", 0),
        ];
        for (head, expected) in rows {
            assert_eq!(initial_secs(head, 0), expected, "{head}");
        }
    }

    #[test]
    fn an_invalid_age_is_ignored_even_when_a_valid_member_follows() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.1
        //= type=test
        //# If the field value (after discarding additional members, as per above) is invalid (e.g.,
        //# it contains something other than a non-negative integer), a cache SHOULD ignore the field.
        assert_eq!(initial_secs("age: x, 7200", 0), 0);
    }

    #[test]
    fn the_response_delay_is_added_to_the_age_value() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
        //= type=test
        //# response_delay = response_time - request_time;
        //# corrected_age_value = age_value + response_delay;
        assert_eq!(initial_secs("age: 10", 5), 15);
        assert_eq!(initial_secs("", 5), 5);
        assert_eq!(initial_secs("age: 10", -5), 10);
    }

    #[test]
    fn the_apparent_age_counts_when_it_is_greater() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
        //= type=test
        //# corrected_initial_age = max(apparent_age, corrected_age_value);
        let date =
            |ago: i64| format!("date: {}\nage: 60", date::format(Timestamp::from_secs(NOON - ago)));
        assert_eq!(initial_secs(&date(7200), 1), 7200);
        assert_eq!(initial_secs(&date(30), 1), 61);
    }

    #[test]
    fn a_date_in_the_future_does_not_make_a_response_younger() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
        //= type=test
        //# apparent_age = max(0, response_time - date_value);
        let head = format!("date: {}", date::format(Timestamp::from_secs(NOON + 60)));
        assert_eq!(initial_secs(&head, 0), 0);
    }

    #[test]
    fn the_second_in_which_a_response_was_made_adds_nothing() {
        let head = fields(&format!("date: {}", date::format(Timestamp::from_secs(NOON))));
        let late = Timestamp::from_millis(NOON * 1000 + 999);
        assert_eq!(initial(&head, late, late), Age::default());
    }
}
