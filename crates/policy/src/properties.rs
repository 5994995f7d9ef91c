//! What must hold for every head: properties over random ones.

use std::time::Duration;

use proptest::prelude::*;

use crate::admit::{Admit, Exchanged, admit};
use crate::classify::{Asked, Plan, classify};
use crate::date;
use crate::dialect::{Dialect, announce, strip_heeded};
use crate::explain::{Outcome, cache_status};
use crate::fields::Fields;
use crate::invalidate::invalidated;
use crate::lifetime::{Explicit, Source};
use crate::method::Method;
use crate::reason::Hit;
use crate::respond::respond;
use crate::reuse::{OriginFailure, Verdict, reuse, stale_on_error};
use crate::rules::{Profile, Rules};
use crate::seen::{OriginName, Seen};
use crate::strip::strip_for_storage;
use crate::terms::{Fact, Facts, Terms};
use crate::units::{Age, DeltaSeconds, Lifetime, Timestamp};
use crate::validate::{conditional_fields, freshen, selected_by};
use crate::vary::Vary;

const THEN: Timestamp = Timestamp::from_secs(1_795_392_000);

/// A directive as origins and clients send it, or nearly.
fn directive() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "max-age",
        "s-maxage",
        "no-cache",
        "no-store",
        "private",
        "public",
        "must-revalidate",
        "proxy-revalidate",
        "must-understand",
        "immutable",
        "stale-while-revalidate",
        "stale-if-error",
        "max-stale",
        "min-fresh",
        "only-if-cached",
        "extension",
    ]);
    let arguments = prop_oneof![
        4 => Just(String::new()),
        6 => (0_u64..200).prop_map(|n| format!("={n}")),
        1 => any::<u64>().prop_map(|n| format!("={n}")),
        1 => "=\"[a-z, ]{0,8}\"",
        1 => " ?=? ?[!-~]{0,6}",
    ];
    (names, arguments).prop_map(|(name, argument)| format!("{name}{argument}"))
}

fn line() -> impl Strategy<Value = (String, String)> {
    let control = || prop::collection::vec(directive(), 0..4).prop_map(|list| list.join(", "));
    let date = (-200_000_i64..200_000)
        .prop_map(|d| date::format(Timestamp::from_secs(THEN.as_secs() + d)));
    prop_oneof![
        4 => control().prop_map(|value| ("Cache-Control".to_owned(), value)),
        1 => control().prop_map(|value| ("CDN-Cache-Control".to_owned(), value)),
        3 => (prop::sample::select(vec!["Date", "Expires", "Last-Modified", "If-Modified-Since"]), date)
            .prop_map(|(name, date)| (name.to_owned(), date)),
        1 => (0_u32..5000).prop_map(|age| ("Age".to_owned(), age.to_string())),
        1 => "[*a-c, ]{0,5}".prop_map(|value| ("Vary".to_owned(), value)),
        1 => "(W/)?\"[a-c]\"".prop_map(|value| ("ETag".to_owned(), value)),
        1 => "[a-c](, ?[a-c])?".prop_map(|value| ("a".to_owned(), value)),
        1 => (
            prop::sample::select(vec!["Expires", "Date", "Age", "Set-Cookie", "Authorization",
                "Connection", "Location", "If-None-Match", "Range", "Pragma"]),
            "[ -~]{0,12}",
        ).prop_map(|(name, value)| (name.to_owned(), value)),
    ]
}

fn head() -> impl Strategy<Value = Fields> {
    prop::collection::vec(line(), 0..8).prop_map(|lines| {
        let mut fields = Fields::new();
        for (name, value) in &lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let ttl = || prop::option::weighted(0.2, (0_u64..100).prop_map(Duration::from_secs));
    (ttl(), ttl(), ttl(), ttl(), any::<bool>()).prop_map(|(default, min, max, swr, safe)| Rules {
        default_ttl: default,
        min_ttl: min,
        max_ttl: max,
        stale_while_revalidate: swr,
        profile: if safe { Profile::Safe } else { Profile::Rfc9111 },
        ..Rules::default()
    })
}

fn asked(request: &Fields, rules: &Rules) -> Asked {
    match classify(&Method::Get, request, false, rules) {
        Plan::LookUp(asked) => asked,
        other => panic!("{other:?}"),
    }
}

fn judge(request: &Fields, status: u16, response: &Fields, rules: &Rules) -> Option<Terms> {
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &asked(request, rules),
        request,
        status,
        response,
        request_time: THEN,
        response_time: THEN,
    };
    match admit(&exchanged, rules) {
        Admit::Store(terms) => Some(terms),
        Admit::DoNotStore(_) => None,
    }
}

fn facts(are_so: [bool; 7]) -> [(Fact, bool); 7] {
    let all = [
        Fact::NoCache,
        Fact::MustRevalidate,
        Fact::SMaxage,
        Fact::Immutable,
        Fact::PermitsAuthorized,
        Fact::HasValidator,
        Fact::SetCookie,
    ];
    std::array::from_fn(|index| (all[index], are_so[index]))
}

fn terms() -> impl Strategy<Value = Terms> {
    let source = prop::sample::select(vec![
        Source::Absent,
        Source::Heuristic,
        Source::DefaultTtl,
        Source::Forced,
        Source::Explicit(Explicit::SMaxage),
        Source::Explicit(Explicit::MaxAge),
        Source::Explicit(Explicit::Expires),
    ]);
    let dialect = prop::sample::select(vec![Dialect::SurrogateControl, Dialect::AccelExpires]);
    let dialect = prop::option::of(dialect);
    let seconds = || prop::option::of(any::<u32>().prop_map(DeltaSeconds::new));
    (
        (any::<i64>(), any::<u64>(), any::<u64>(), source, any::<[bool; 7]>()),
        (seconds(), seconds(), dialect, head(), head()),
    )
        .prop_map(
            |((time, age, lifetime, source, flags), (swr, sie, own, response, request))| Terms {
                response_time: Timestamp::from_millis(time),
                initial_age: Age::new(Duration::from_millis(age)),
                lifetime: Lifetime::new(Duration::from_millis(lifetime)),
                source,
                facts: Facts::of(facts(flags)),
                stale_while_revalidate: swr,
                stale_if_error: sie,
                dialect: own,
                vary: Vary::of(&response, &request).unwrap_or_default(),
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_response_is_never_called_fresh_beyond_the_lifetime_it_was_given(
        request in head(), response in head(), rules in rules(), secs in 0_u64..500,
    ) {
        let Some(terms) = judge(&Fields::new(), 200, &response, &rules) else { return Ok(()) };
        let now = THEN.plus(Duration::from_secs(secs));
        let purged = reuse(&asked(&request, &rules), &terms, &rules, Some(THEN), now);
        let is_fresh = matches!(purged, Verdict::Fresh { .. } | Verdict::Stale { ttl: 1.., .. });
        prop_assert!(!is_fresh, "purged softly");
        match reuse(&asked(&request, &rules), &terms, &rules, None, now) {
            Verdict::Fresh { age, ttl, .. } => {
                prop_assert!(age.get() < terms.lifetime().get() && ttl >= 0);
                prop_assert!(age.get() >= Duration::from_secs(secs));
                prop_assert!(rules.max_ttl.is_none_or(|max| age.get() < max));
                prop_assert!(!terms.is(Fact::NoCache));
            }
            Verdict::Stale { age, ttl, .. } => {
                prop_assert!(age.get() >= terms.lifetime().get() && ttl <= 0);
                prop_assert!(!terms.is(Fact::NoCache) && !terms.is(Fact::MustRevalidate));
            }
            Verdict::Revalidate(_) | Verdict::Unsatisfiable => {}
        }
    }

    #[test]
    fn what_is_private_or_no_store_is_never_stored(
        request in head(), mut response in head(), rules in rules(), forced in any::<bool>(),
        which in prop::sample::select(vec!["private", "no-store", "No-Store", "PRIVATE"]),
    ) {
        response.remove("cdn-cache-control");
        response.retain(|_, value| !value.starts_with(b"must-understand"));
        let understood = |v: &[u8]| v.windows(15).any(|w| w.eq_ignore_ascii_case(b"must-understand"));
        prop_assume!(!response.iter().any(|(_, value)| understood(value)));
        response.push(b"Cache-Control", which.as_bytes());
        let force_ttl = forced.then_some(Duration::from_mins(1));
        let rules = Rules { force_ttl, ..rules };
        prop_assert_eq!(judge(&request, 200, &response, &rules), None);
    }

    #[test]
    fn what_an_authorised_client_got_is_never_stored_without_a_word_of_permission(
        mut request in head(), response in head(), rules in rules(),
    ) {
        request.push(b"Authorization", b"Basic eA==");
        if let Some(terms) = judge(&request, 200, &response, &rules) {
            prop_assert!(terms.is(Fact::PermitsAuthorized));
        }
    }

    #[test]
    fn age_never_falls_as_time_advances(terms in terms(), start in any::<i64>(), step in 0_u64..1 << 40) {
        let early = Timestamp::from_millis(start);
        let late = early.plus(Duration::from_millis(step));
        prop_assert!(terms.age(early) <= terms.age(late));
        prop_assert!(terms.ttl(early) >= terms.ttl(late));
        prop_assert!(terms.is_fresh(early) || !terms.is_fresh(late));
    }

    #[test]
    fn a_request_that_stored_a_response_selects_it(response in head(), request in head()) {
        if let Ok(vary) = Vary::of(&response, &request) {
            prop_assert!(vary.matches(&request));
        }
    }

    #[test]
    fn terms_survive_the_round_trip(terms in terms(), behind in any::<Vec<u8>>()) {
        let mut bytes = Vec::new();
        terms.encode(&mut bytes);
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(Terms::decode(&bytes), Some((terms, &behind[..])));
    }

    #[test]
    fn fields_and_vary_survive_the_round_trip(response in head(), request in head()) {
        let mut bytes = Vec::new();
        response.encode(&mut bytes);
        let vary = Vary::of(&response, &request).unwrap_or_default();
        vary.encode(&mut bytes);
        let (decoded, rest) = Fields::decode(&bytes).expect("just encoded");
        prop_assert_eq!(decoded, response);
        prop_assert_eq!(Vary::decode(rest), Some((vary, &[][..])));
    }

    #[test]
    fn decoding_and_deciding_never_panic(bytes in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
        let _ = Fields::decode(&bytes);
        let _ = Vary::decode(&bytes);
        let _ = Terms::decode(&bytes);
        let mut versioned = vec![2];
        versioned.extend_from_slice(&bytes);
        if let Some((terms, _)) = Terms::decode(&versioned) {
            let _ = terms.vary().matches(&Fields::new());
            let _ = (terms.age(THEN), terms.ttl(THEN));
        }
        let _ = date::parse(&bytes, THEN);
        let mut fields = Fields::new();
        let (name, value) = bytes.split_at(cut.index(bytes.len() + 1));
        fields.push(name, value);
        for name in ["cache-control", "cdn-cache-control", "vary", "connection", "location", "age",
            "surrogate-control", "x-accel-expires",
            "date", "expires", "etag", "if-none-match", "if-modified-since", "last-modified"] {
            fields.push(name.as_bytes(), &bytes);
        }
        prop_decides(&fields);
    }

    #[test]
    fn an_error_is_never_hidden_against_a_prohibition(
        response in head(), request in head(), rules in rules(), secs in 0_u64..500,
    ) {
        let Some(terms) = judge(&Fields::new(), 200, &response, &rules) else { return Ok(()) };
        let now = THEN.plus(Duration::from_secs(secs));
        let failure = OriginFailure::Unreachable;
        if stale_on_error(&asked(&request, &rules), &terms, &rules, failure, None, now).is_some() {
            prop_assert!(!terms.is(Fact::NoCache));
            prop_assert!(terms.is_fresh(now) || !terms.is(Fact::MustRevalidate));
        }
    }
}

/// Asks every question about a head.
fn prop_decides(head: &Fields) {
    let listed = ["surrogate-control", "x-accel-expires", "cdn-cache-control"];
    let rules = Rules { targeted: listed.map(str::to_owned).into(), ..Rules::default() };
    let Plan::LookUp(asked) = classify(&Method::Get, head, false, &rules) else { return };
    if let Some(terms) = judge(&Fields::new(), 200, head, &rules) {
        let _ = reuse(&asked, &terms, &rules, None, THEN);
    }
    let _ = respond(&Method::Get, head, 200, head);
    let _ = selected_by(head, head);
    let origin = OriginName { scheme: b"http", authority: b"b", prefix: b"/c" };
    let target = Seen { scheme: b"http", authority: b"a", path_and_query: b"/", origin };
    let _ = invalidated(&Method::Post, 200, &target, head);
    let (mut copy, mut out) = (head.clone(), Fields::new());
    conditional_fields(head, &mut out);
    freshen(&mut copy, head, &rules);
    strip_for_storage(&mut copy, &rules);
    strip_heeded(&mut copy, &rules);
    announce(&mut copy, &rules);
    cache_status(&mut Vec::new(), &Outcome::Hit { ttl: i64::MIN, why: Hit::Fresh });
}
