//! Requests for something that may be stored, whose own answer is for nobody else.

use crate::classify::Asked;
use crate::fields::Fields;
use crate::reason::Pass;

/// Why a request that no stored response answers goes to the origin as it is, without filling the
/// cache; `None` if its answer may be stored and shared.
pub fn unshared(asked: &Asked, fields: &Fields) -> Option<Pass> {
    if asked.head {
        return Some(Pass::HeadNotStored);
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
    //# In summary, the If-Match and If-Unmodified-Since conditional header fields are not applicable
    //# to a cache
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
    //# A cache MUST NOT evaluate conditional header fields that only apply to an origin server,
    //# occur in a request with semantics that cannot be satisfied with a cached response, or occur
    //# in a request with a target resource for which it has no stored responses
    if fields.contains("If-Match") || fields.contains("If-Unmodified-Since") {
        return Some(Pass::RequestPrecondition);
    }
    // What the origin makes of both together is no part that others could use.
    (asked.range && asked.conditional).then_some(Pass::RequestRange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Plan, classify};
    use crate::method::Method;
    use crate::rules::Rules;

    #[test]
    fn only_a_get_that_the_cache_may_condition_fills_it() {
        for (method, field, expected) in [
            (Method::Get, "Accept", None),
            (Method::Get, "If-None-Match", None),
            (Method::Get, "If-Modified-Since", None),
            (Method::Get, "Range", None),
            (Method::Get, "Range If-None-Match", Some(Pass::RequestRange)),
            (Method::Get, "Range If-Modified-Since", Some(Pass::RequestRange)),
            (Method::Get, "If-Match", Some(Pass::RequestPrecondition)),
            (Method::Get, "If-Unmodified-Since", Some(Pass::RequestPrecondition)),
            (Method::Head, "Accept", Some(Pass::HeadNotStored)),
        ] {
            let mut fields = Fields::new();
            field.split(' ').for_each(|field| fields.push(field.as_bytes(), b"x"));
            let Plan::LookUp(asked) = classify(&method, &fields, false, &Rules::default()) else {
                panic!("{field} is looked up")
            };
            assert_eq!(unshared(&asked, &fields), expected, "{field}");
        }
    }
}
