//! Which of several stored responses that a request selects is used. (RFC 9111 §4, §4.1)
//!
//! Two of them match the same request only when their `Vary` names different fields: origins change
//! their mind about it, and some leave it out of their default response.

use crate::date;
use crate::fields::Fields;
use crate::terms::Terms;
use crate::units::Timestamp;

/// A stored response whose `Vary` the request matches.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a, T> {
    /// Whatever stands for it.
    pub of: T,
    /// Its terms.
    pub terms: &'a Terms,
    /// Its fields.
    pub fields: &'a Fields,
}

/// The one to use. They are given newest first, which decides between those of the same second.
pub fn choose<T: Copy>(matching: &[Match<'_, T>], now: Timestamp) -> Option<T> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4
    //# When more than one suitable response is stored, a cache MUST use the most recent one (as
    //# determined by the Date header field).
    let newest = most_recent(matching.iter(), now)?;
    if !newest.terms.vary().is_empty() {
        return Some(newest.of);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
    //# When a cache has multiple stored responses for a target URI and one or more omits the Vary
    //# header field, the cache SHOULD choose the most recent (see Section 4.2.3) stored response with
    //# a valid Vary field value.
    // Only while it can be used as it is: else an origin that has given up its Vary for good would
    // be asked about the old response for ever.
    let varied =
        matching.iter().filter(|m| !m.terms.vary().is_empty() && m.terms.is_shareable(now));
    Some(most_recent(varied, now).unwrap_or(newest).of)
}

fn most_recent<'m, 'a, T>(
    matching: impl Iterator<Item = &'m Match<'a, T>>,
    now: Timestamp,
) -> Option<&'m Match<'a, T>>
where
    'a: 'm,
{
    // What has no readable Date was dated when it arrived.
    let dated =
        |m: &Match<'a, T>| date::of(m.fields, now).unwrap_or(m.terms.response_time()).as_secs();
    matching.reduce(|newest, other| if dated(other) > dated(newest) { other } else { newest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;
    use crate::{Admit, Asked, Exchanged, Method, Rules, admit};

    /// The terms and fields of responses, one to a row, that arrived at these seconds.
    fn stored(heads: &[(i64, &str)]) -> Vec<(Terms, Fields)> {
        let admitted = heads.iter().map(|&(at, head)| {
            let response = fields(head);
            let exchanged = Exchanged {
                method: &Method::Get,
                asked: &Asked::default(),
                request: &Fields::new(),
                status: 200,
                response: &response,
                request_time: Timestamp::from_secs(at),
                response_time: Timestamp::from_secs(at),
            };
            let Admit::Store(terms) = admit(&exchanged, &Rules::default()) else {
                panic!("{head} may be stored")
            };
            (terms, response)
        });
        admitted.collect()
    }

    #[test]
    fn the_most_recent_by_date_is_used_and_one_without_vary_gives_way() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4
        //= type=test
        //# When more than one suitable response is stored, a cache MUST use the most recent one (as
        //# determined by the Date header field).
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
        //= type=test
        //# When a cache has multiple stored responses for a target URI and one or more omits the Vary
        //# header field, the cache SHOULD choose the most recent (see Section 4.2.3) stored response
        //# with a valid Vary field value.
        let a = |second: i64, rest: &str| {
            let date = date::format(Timestamp::from_secs(second));
            format!("date: {date}\ncache-control: max-age=1000\netag: \"x\"\n{rest}")
        };
        let stale = "cache-control: max-age=0\n";
        let no_cache = "cache-control: no-cache\n";
        let rows = [
            // Stored last, but made earlier: it came out of another cache.
            ([a(5_000, "vary: a"), a(5_009, "vary: b"), a(5_003, "vary: c")], 1),
            ([a(5_000, "vary: a"), a(5_000, "vary: b"), a(5_000, "vary: c")], 0),
            (["vary: a\netag: \"x\"".into(), a(4_999, "vary: b"), a(4_000, "vary: c")], 0),
            (["date: x\nvary: a\netag: \"x\"".into(), a(5_001, "vary: b"), a(1, "vary: c")], 1),
            ([a(5_009, ""), a(5_003, "vary: b"), a(5_005, "vary: c")], 2),
            ([a(5_009, ""), a(5_003, &format!("vary: b\n{stale}")), a(4_990, "vary: c")], 2),
            ([a(5_009, ""), a(5_003, &format!("vary: b\n{no_cache}")), a(3_000, "vary: c")], 0),
        ];
        for (heads, expected) in rows {
            let heads: Vec<_> = heads.iter().map(|head| (5_000, head.as_str())).collect();
            let stored = stored(&heads);
            let matches = stored.iter().enumerate();
            let matches: Vec<_> =
                matches.map(|(of, (terms, fields))| Match { of, terms, fields }).collect();
            assert_eq!(choose(&matches, Timestamp::from_secs(5_010)), Some(expected), "{heads:?}");
        }
        let none: [Match<'_, ()>; 0] = [];
        assert_eq!(choose(&none, Timestamp::default()), None);
    }
}
