//! Which of several stored responses that would all do is the most recent (RFC 9111 §4).

use crate::date;
use crate::fields::Fields;
use crate::terms::Terms;

/// Whether a stored response can be more recent than another at all: it arrived after the other was
/// made. Cheap, and nearly always false of a response that was stored before the other.
pub fn can_be_more_recent(one: &Terms, other: &Terms) -> bool {
    one.response_time > other.response_time
        || other.response_time.saturating_since(one.response_time) < other.initial_age.get()
}

/// Whether a stored response is more recent than another.
pub fn is_more_recent(
    (terms, fields): (&Terms, &Fields),
    (than, others): (&Terms, &Fields),
) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //# When more than one suitable response is stored, a cache MUST use the most recent one (as
    //# determined by the Date header field).
    let made = |terms: &Terms, fields: &Fields| date::of(fields, terms.response_time);
    match (made(terms, fields), made(than, others)) {
        (Some(one), Some(other)) if one != other => one > other,
        // Whatever has no readable Date has the time at which it arrived.
        _ => terms.response_time > than.response_time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;
    use crate::units::Timestamp;
    use crate::{Admit, Asked, Exchanged, Method, Rules, admit};

    const NOON: i64 = 1_795_435_200;

    /// A response made and received at these seconds after noon.
    fn stored(made: i64, received: i64) -> (Terms, Fields) {
        let date = date::format(Timestamp::from_secs(NOON + made));
        let response = fields(&format!("Date: {date}\nCache-Control: max-age=60"));
        let at = Timestamp::from_secs(NOON + received);
        let exchanged = Exchanged {
            method: &Method::Get,
            asked: &Asked::default(),
            request: &Fields::new(),
            status: 200,
            response: &response,
            request_time: at,
            response_time: at,
        };
        match admit(&exchanged, &Rules::default()) {
            Admit::Store(terms) => (terms, response),
            Admit::DoNotStore(why) => panic!("{why:?}"),
        }
    }

    #[test]
    fn the_date_decides_not_the_order_of_arrival() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4
        //= type=test
        //# When more than one suitable response is stored, a cache MUST use the most recent one (as
        //# determined by the Date header field).
        for (one, other, expected) in [
            ((10, 10), (0, 0), true),
            ((0, 0), (10, 10), false),
            // The other came later, out of a cache behind us.
            ((10, 10), (0, 20), true),
            ((0, 20), (10, 10), false),
            ((0, 20), (0, 10), true),
            ((0, 10), (0, 20), false),
        ] {
            let (a, b) = (stored(one.0, one.1), stored(other.0, other.1));
            let is = is_more_recent((&a.0, &a.1), (&b.0, &b.1));
            assert_eq!(is, expected, "{one:?} {other:?}");
            assert!(!is || can_be_more_recent(&a.0, &b.0), "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_arrived_before_the_other_was_made_is_not_looked_at() {
        let (old, new) = (stored(0, 5), stored(10, 10));
        assert!(!can_be_more_recent(&old.0, &new.0));
        assert!(can_be_more_recent(&new.0, &old.0));
    }
}
