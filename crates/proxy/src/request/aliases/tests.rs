use policy::{Admit, Asked, Exchanged, Method, Rules};

use super::*;

fn key(target: &str) -> Key {
    Key::new(format!("GET|http://a{target} http://origin:1/p?q").as_bytes())
}

fn ruled(rule: &str) -> Fields {
    let mut fields = Fields::new();
    fields.push(b"No-Vary-Search", rule.as_bytes());
    fields
}

fn terms(sent: Timestamp, arrived: Timestamp) -> Terms {
    let mut response = Fields::new();
    response.push(b"Cache-Control", b"max-age=60");
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &Asked::default(),
        request: &Fields::new(),
        status: 200,
        response: &response,
        request_time: sent,
        response_time: arrived,
    };
    match policy::admit(&exchanged, &Rules::default()) {
        Admit::Store(terms) => terms,
        Admit::DoNotStore(why) => panic!("{why:?}"),
    }
}

#[test]
fn what_was_stored_last_for_an_equivalent_query_is_found() {
    let aliases = Aliases::since(Timestamp::default());
    assert!(aliases.of(&key("/p?id=1&utm=2")).is_empty());
    aliases.learn(&key("/p?id=1"), &ruled("params=(\"utm\")"));
    assert_eq!(aliases.of(&key("/p?id=1&utm=2"))[..], [key("/p?id=1")]);
    assert!(aliases.of(&key("/p?id=1")).is_empty());
    for other in ["/p?id=2", "/q?id=1&utm=2", "/p", "/p/?id=1&utm=2"] {
        assert!(aliases.of(&key(other)).is_empty(), "{other}");
    }
    aliases.learn(&key("/p?id=1&utm=9"), &ruled("params=(\"utm\")"));
    assert_eq!(aliases.of(&key("/p?id=1&utm=2"))[..], [key("/p?id=1&utm=9")]);
    aliases.learn(&key("/p?b&a"), &ruled("key-order"));
    assert_eq!(aliases.of(&key("/p?a&b"))[..], [key("/p?b&a")]);
    assert_eq!(aliases.of(&key("/p?id=1&utm=2"))[..], [key("/p?id=1&utm=9")]);
    aliases.clear();
    assert!(aliases.of(&key("/p?id=1&utm=2")).is_empty());
}

#[test]
fn what_has_no_rule_is_not_learnt() {
    let aliases = Aliases::since(Timestamp::default());
    aliases.learn(&key("/p?id=1"), &ruled("params=?1"));
    aliases.learn(&key("/p?id=1"), &Fields::new());
    assert!(!aliases.learnt.load(Ordering::Relaxed));
}

#[test]
fn equivalence_is_asked_of_the_stored_response_alone() {
    //= https://httpwg.org/http-extensions/draft-ietf-httpbis-no-vary-search.html#section-6
    //= type=test
    //# If the scheme, username, password, host, port, or path of urlA and urlB differ, then
    //# return false.
    let (stored, rule) = (key("/p?id=1"), ruled("params=(\"utm\")"));
    assert!(is_equivalent(&stored, &rule, &key("/p?id=1&utm=2")));
    assert!(!is_equivalent(&stored, &rule, &key("/p?id=2&utm=2")));
    assert!(!is_equivalent(&stored, &rule, &key("/p/?id=1")));
    assert!(!is_equivalent(&stored, &Fields::new(), &key("/p?id=1&utm=2")));
    let elsewhere = Key::new(b"GET|http://a/p?id=1 http://origin:2");
    assert!(!is_equivalent(&elsewhere, &rule, &key("/p?id=1&utm=2")));
    let host = Key::new(b"GET|http://b/p?id=1 http://origin:1/p?q");
    assert!(!is_equivalent(&host, &rule, &key("/p?id=1&utm=2")));
}

#[test]
fn what_was_made_before_an_invalidation_answers_only_for_itself() {
    let aliases = Aliases::since(Timestamp::default());
    let at = Timestamp::from_secs;
    let may_answer = |sent, arrived| {
        aliases.may_answer(&key("/p?x"), &terms(Timestamp::from_secs(sent), at(arrived)))
    };
    aliases.learn(&key("/p?utm=1"), &ruled("params=(\"utm\")"));
    assert!(may_answer(5, 5));
    assert_eq!(aliases.invalidate(&key("/p"), at(10))[..], [key("/p?utm=1")]);
    assert!(!may_answer(10, 10));
    assert!(!may_answer(9, 12), "it was on its way");
    assert!(may_answer(11, 12));
}

#[test]
fn the_table_is_bounded_in_entries_and_bytes() {
    let aliases = Aliases::since(Timestamp::default());
    let long = "x".repeat(6_000);
    for number in 0..4_000 {
        let rule = ruled("params=(\"utm\")");
        aliases.learn(&key(&format!("/{number}?{long}")), &rule);
    }
    for shard in &aliases.shards {
        let shard = shard.lock().unwrap();
        assert!(shard.bytes <= MOST_BYTES && shard.known.len() <= MOST);
        assert_eq!(shard.known.len(), shard.order.len());
        assert_eq!(shard.bytes, shard.known.values().map(Known::weight).sum::<usize>());
    }
    let mut shard = Shard::default();
    (0..MOST as u64 + 9).for_each(|hash| shard.insert(hash, Known::Exact(key("/"))));
    assert_eq!((shard.known.len(), shard.order.len()), (MOST, MOST));
    assert!(!shard.known.contains_key(&8) && shard.known.contains_key(&9));
}

#[test]
fn the_target_is_read_out_of_a_key() {
    for expected in ["/", "/p", "/p?q", "/p??", "//p/?q=/://", "/?"] {
        assert_eq!(target(&key(expected)), expected.as_bytes());
    }
}
