use proptest::prelude::*;

use super::table::LENGTHS;
use super::*;
use crate::labels::Label;

const KEY: &[u8] = b"GET|http://a/path/page";

fn label(name: &str) -> Label {
    Label::of(name.as_bytes())
}

fn labels(names: &[&str]) -> Labels {
    Labels::new(Moment(0), names.iter().map(|name| label(name)).collect())
}

/// A stored entry, as far as events care.
#[derive(Clone, Debug)]
struct Thing {
    key: Vec<u8>,
    labels: Labels,
    began: Moment,
}

impl Thing {
    fn now(events: &Events, key: &[u8], names: &[&str]) -> Self {
        Self { key: key.to_vec(), labels: labels(names), began: events.moment() }
    }

    fn fate(&self, events: &Events) -> Option<Fate> {
        events.fate(&self.key, &self.labels, self.began)
    }
}

fn fresh() -> Events {
    Events::after(Table::new(), 1)
}

#[test]
fn each_matcher_is_about_what_it_names_and_nothing_else() {
    let rows: &[(Matcher<'_>, bool)] = &[
        (Matcher::Label(label("red")), true),
        (Matcher::Label(label("blue")), false),
        (Matcher::Key(KEY), true),
        (Matcher::Key(b"GET|http://a/path"), false),
        (Matcher::Key(b"GET|http://a/path/page2"), false),
        (Matcher::Prefix(b"GET|http://a/path/"), true),
        (Matcher::Prefix(KEY), true),
        (Matcher::Prefix(b""), true),
        (Matcher::Prefix(b"GET|http://a/path/page2"), false),
        (Matcher::Prefix(b"GET|http://b/"), false),
        (Matcher::Prefix(b"QUERY|http://a/"), false),
        (Matcher::Everything, true),
    ];
    for (matcher, expected) in rows {
        for fate in [Fate::Dead, Fate::Stale { since: 5 }] {
            let events = fresh();
            let before = Thing::now(&events, KEY, &["red", "round"]);
            let unlabelled = Thing::now(&events, KEY, &[]);
            assert_eq!(before.fate(&events), None);
            events.add(&[*matcher], fate);
            let expected = expected.then_some(fate);
            assert_eq!(before.fate(&events), expected, "{matcher:?}");
            let about_key = expected.filter(|_| !matches!(matcher, Matcher::Label(_)));
            assert_eq!(unlabelled.fate(&events), about_key, "{matcher:?}");
            let after = Thing::now(&events, KEY, &["red", "round"]);
            assert_eq!(after.fate(&events), None, "{matcher:?}");
        }
    }
}

#[test]
fn dead_is_worse_than_stale_and_the_longest_stale_counts() {
    let events = fresh();
    let old = Thing::now(&events, KEY, &["a", "b"]);
    events.add(&[Matcher::Label(label("a"))], Fate::Stale { since: 10 });
    events.add(&[Matcher::Key(KEY)], Fate::Stale { since: 20 });
    assert_eq!(old.fate(&events), Some(Fate::Stale { since: 10 }));
    let young = Thing::now(&events, KEY, &["a", "b"]);
    events.add(&[Matcher::Key(KEY)], Fate::Stale { since: 30 });
    assert_eq!(young.fate(&events), Some(Fate::Stale { since: 30 }));
    events.add(&[Matcher::Label(label("b"))], Fate::Dead);
    events.add(&[Matcher::Label(label("b"))], Fate::Stale { since: 40 });
    assert_eq!((old.fate(&events), young.fate(&events)), (Some(Fate::Dead), Some(Fate::Dead)));
    let last = Thing::now(&events, KEY, &["a", "b"]);
    events.add_all();
    assert_eq!(last.fate(&events), Some(Fate::Dead));
    assert_eq!(events.len(), 0, "the floor says it all");
}

#[test]
fn what_was_remembered_still_counts_and_numbers_go_on() {
    let events = fresh();
    let old = Thing::now(&events, KEY, &["a"]);
    events.add(&[Matcher::Key(KEY)], Fate::Dead);
    let young = Thing::now(&events, KEY, &["a"]);
    let again = Events::after(events.table(), 1);
    assert_eq!((old.fate(&again), young.fate(&again)), (Some(Fate::Dead), None));
    assert!(again.moment() >= young.began);
    let lost = Events::after(Table::ends_all_before(50), 1);
    assert_eq!(young.fate(&lost), Some(Fate::Dead));
    assert_eq!(Thing::now(&lost, KEY, &["a"]).fate(&lost), None);
}

#[test]
fn a_moment_that_cannot_be_is_as_old_as_can_be() {
    let events = Events::after(Table::new(), 100);
    let began = |given, sequence| events.enlist(given, sequence).began(given);
    assert_eq!(began(Moment(7), 50), Moment(7));
    assert_eq!(began(Moment(0), 50), Moment(50));
    assert_eq!(began(Moment(0), 0), events.moment());
    let ahead = Moment(101);
    let epoch = events.enlist(ahead, 50);
    for _ in 0..10 {
        events.number();
    }
    let began = epoch.began(ahead);
    assert_eq!(events.fate(KEY, &labels(&[]), began), Some(Fate::Dead));
}

#[test]
fn with_too_many_subjects_the_oldest_events_end_more_rather_than_less() {
    let events = Events::with_room(Table::new(), 1, 100);
    let first = Thing::now(&events, KEY, &["never named"]);
    let mut things = Vec::new();
    for number in 0..101 {
        let name = number.to_string();
        things.push(Thing::now(&events, KEY, &[&name]));
        events.add(&[Matcher::Label(label(&name))], Fate::Dead);
    }
    assert!(events.len() <= 51, "{}", events.len());
    assert!(things.iter().all(|thing| thing.fate(&events) == Some(Fate::Dead)));
    assert_eq!(first.fate(&events), Some(Fate::Dead));
    let young = Thing { began: Moment(90), ..first };
    assert_eq!(young.fate(&events), None);
}

#[test]
fn too_many_removals_cost_old_files_at_the_next_start_and_nothing_before() {
    let events = Events::with_room(Table::new(), 1, 100);
    let old = Thing::now(&events, KEY, &[]);
    let id = |number: u8| [number; 32];
    let start = |number: u8| u64::from_le_bytes([number; 8]);
    let (bystander, first) = (events.number(), events.number());
    for number in 0..101 {
        events.add_removal(&id(number));
    }
    let after = events.number();
    assert!(events.len() <= 51, "{}", events.len());
    assert_eq!(old.fate(&events), None);
    assert_eq!(events.changes(), 0, "nobody has to look again");
    assert!((0..101).all(|number| events.has_removed(start(number), first)));
    assert!(events.has_removed(start(200), bystander), "in doubt it is removed too");
    assert!((0..101).all(|number| !events.has_removed(start(number), after)));
    assert!(!events.has_removed(start(200), 90));
}

#[test]
fn with_too_many_lengths_prefixes_end_more_rather_than_less() {
    let key = "x".repeat(300);
    let events = fresh();
    let unrelated = Thing::now(&events, b"y", &[]);
    // All but the shortest ones are of no use to anyone but their own.
    for length in 10..10 + LENGTHS {
        events.add(&[Matcher::Prefix(&"z".repeat(length).into_bytes())], Fate::Dead);
    }
    let cut = Thing::now(&events, key.as_bytes(), &[]);
    let close = Thing::now(&events, [&key.as_bytes()[..80], b"y"].concat().as_slice(), &[]);
    events.add(&[Matcher::Prefix(&key.as_bytes()[..200])], Fate::Dead);
    assert_eq!(cut.fate(&events), Some(Fate::Dead));
    assert_eq!(close.fate(&events), Some(Fate::Dead), "cut to a length in use");
    assert_eq!(unrelated.fate(&events), None);
    // Shorter than all in use: the length that was used least lately gives its place.
    let short = Thing::now(&events, b"xx", &[]);
    events.add(&[Matcher::Prefix(b"x")], Fate::Dead);
    assert_eq!(short.fate(&events), Some(Fate::Dead));
    assert_eq!(unrelated.fate(&events), Some(Fate::Dead), "it is older than what was forgotten");
    assert_eq!(Thing::now(&events, b"xx", &[]).fate(&events), None);
}

#[test]
fn an_event_is_forgotten_when_nothing_is_left_from_before_it_and_not_sooner() {
    let events = fresh();
    let old = events.enlist(Moment(0), 0);
    let thing = Thing { began: old.began(Moment(0)), ..Thing::now(&events, KEY, &[]) };
    events.add(&[Matcher::Key(KEY)], Fate::Dead);
    events.add(&[Matcher::Prefix(b"GET|")], Fate::Stale { since: 1 });
    for _ in 0..2 * UNDER_WAY {
        events.number();
    }
    assert!(!events.prune(None));
    assert_eq!(thing.fate(&events), Some(Fate::Dead));
    drop(old);
    assert!(!events.prune(Some(0)), "a file is from before it");
    assert_eq!(events.len(), 2);
    let young = Thing::now(&events, KEY, &[]);
    assert!(events.prune(Some(3 * UNDER_WAY)));
    assert_eq!(events.len(), 0);
    assert_eq!(thing.fate(&events), Some(Fate::Dead), "should it come back from somewhere");
    assert_eq!(young.fate(&events), None);
    assert!(!events.prune(None));
}

#[test]
fn an_event_stays_while_a_fetch_may_be_under_way_of_which_nothing_is_stored_yet() {
    let events = fresh();
    let fetch = Thing::now(&events, KEY, &[]);
    let other = Thing::now(&events, b"other", &[]);
    events.add(&[Matcher::Key(KEY)], Fate::Dead);
    for _ in 0..UNDER_WAY - 10 {
        events.number();
    }
    assert!(!events.prune(None));
    assert_eq!((fetch.fate(&events), other.fate(&events)), (Some(Fate::Dead), None));
}

#[derive(Clone, Debug)]
enum Step {
    Store { key: String, labels: Vec<u8> },
    Event { kind: u8, text: String, stale: Option<i64> },
    Prune,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let labels = prop::collection::vec(0..4_u8, 0..3);
    prop_oneof![
        4 => ("[ab]{0,6}", labels).prop_map(|(key, labels)| Step::Store { key, labels }),
        4 => (0..4_u8, "[ab]{0,4}", prop::option::of(0..50_i64))
            .prop_map(|(kind, text, stale)| Step::Event { kind, text, stale }),
        1 => Just(Step::Prune),
        1 => Just(Step::Restart),
    ]
}

/// What a list of all events says, looked through from its start.
fn naive(all: &[(u64, u8, String, Fate)], thing: &Thing) -> Option<Fate> {
    let is_about = |kind: u8, text: &str| match kind {
        0 => thing.labels.iter().any(|of| of == label(text)),
        1 => thing.key == text.as_bytes(),
        2 => thing.key.starts_with(text.as_bytes()),
        _ => true,
    };
    let hits = all
        .iter()
        .filter(|(number, kind, text, _)| *number >= thing.began.0 && is_about(*kind, text));
    hits.map(|(.., fate)| *fate).reduce(|one, other| match (one, other) {
        (Fate::Stale { .. }, Fate::Stale { .. }) => Fate::Stale { since: 0 },
        _ => Fate::Dead,
    })
}

proptest! {
    #[test]
    fn events_say_what_a_list_of_all_of_them_says(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut events = fresh();
        let (mut things, mut all) = (Vec::<Thing>::new(), Vec::new());
        for step in steps {
            match step {
                Step::Store { key, labels } => {
                    let names: Vec<_> = labels.iter().map(|n| "ab"[..(n % 3) as usize].to_owned())
                        .collect();
                    let names: Vec<_> = names.iter().map(String::as_str).collect();
                    things.push(Thing::now(&events, key.as_bytes(), &names));
                    events.number();
                }
                Step::Event { kind, text, stale } => {
                    let matcher = match kind {
                        0 => Matcher::Label(label(&text)),
                        1 => Matcher::Key(text.as_bytes()),
                        2 => Matcher::Prefix(text.as_bytes()),
                        _ => Matcher::Everything,
                    };
                    let fate = stale.map_or(Fate::Dead, |since| Fate::Stale { since });
                    all.push((events.moment().0, kind, text.clone(), fate));
                    events.add(&[matcher], fate);
                }
                Step::Prune => {
                    let on_disk = things.iter().map(|thing| thing.began.0).min();
                    events.prune(on_disk);
                }
                Step::Restart => {
                    let old = events.table();
                    let mut table = Table::with(old.floor, old.files_floor, old.seed);
                    old.events().for_each(|event| table.note(event));
                    events = Events::after(table, events.moment().0);
                }
            }
            for thing in &things {
                let stale = |fate| if fate == Fate::Dead { fate } else { Fate::Stale { since: 0 } };
                let said = thing.fate(&events).map(stale);
                prop_assert_eq!(said, naive(&all, thing).map(stale), "{:?}", thing);
            }
        }
    }
}
