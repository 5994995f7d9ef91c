use std::net::{IpAddr, Ipv4Addr};

use policy::forwarded::Way;
use policy::{Admit, Asked, Exchanged, Fields, Method, Rules, Timestamp};
use store::{Options, Store};

use super::*;
use crate::entry::StoredHead;
use crate::head::RequestHead;
use crate::ids::Ids;
use crate::settings::Limits;

fn request(id: &str) -> Request {
    Request {
        head: Arc::new(RequestHead::default()),
        way: Arc::new(Way::direct(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        id: Ids::new().adopt(Some(id.as_bytes())),
    }
}

fn lead(flights: &Arc<Flights>, id: &str) -> Permit {
    let Joined::Lead(permit) = flights.join(&key(), &request(id), 9) else { panic!("leads") };
    permit
}

fn follow(flights: &Arc<Flights>, id: &str) -> Place {
    let Joined::Follow(place) = flights.join(&key(), &request(id), 9) else { panic!("follows") };
    place
}

fn key() -> Key {
    Key::new(b"a")
}

fn closed() -> Arc<FetchError> {
    Arc::new(FetchError::Internal)
}

/// Leads beside another request that takes long.
fn lead_too(waiting: &Place, id: &str) -> Permit {
    let mut patience = Waited::from_now(&Limits::default());
    patience.is_late();
    waiting.lead(&request(id), &patience).unwrap()
}

fn entry() -> Arc<Entry> {
    let mut response = Fields::new();
    response.push(b"Cache-Control", b"max-age=60");
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &Asked::default(),
        request: &Fields::new(),
        status: 200,
        response: &response,
        request_time: Timestamp::from_secs(1_000),
        response_time: Timestamp::from_secs(1_000),
    };
    let Admit::Store(terms) = policy::admit(&exchanged, &Rules::default()) else {
        panic!("it may be stored")
    };
    let head = StoredHead::new(200, b"Fine", &response, terms);
    let store = Store::open(Options::default()).unwrap();
    store.begin(key(), head, Some(0)).unwrap().entry()
}

fn is_known(flights: &Flights) -> bool {
    flights.shard(&key()).contains_key(&key())
}

#[test]
fn a_flight_that_failed_is_kept_as_long_as_somebody_waits_who_may_lead_it() {
    let flights = Flights::new();
    let permit = lead(&flights, "1");
    let (second, third) = (follow(&flights, "2"), follow(&flights, "3"));
    permit.fail(closed());
    drop(permit);
    drop(second);
    assert!(is_known(&flights));
    drop(third);
    assert!(!is_known(&flights));
    drop(lead(&flights, "1"));
    assert!(!is_known(&flights), "nobody waits");
}

#[test]
fn whoever_comes_to_a_flight_that_nobody_leads_leads_it() {
    let flights = Flights::new();
    let permit = lead(&flights, "1");
    let waiting = follow(&flights, "2");
    permit.fail(closed());
    drop(permit);
    let permit = lead(&flights, "3");
    assert!(waiting.0.flight.is_led_by(&request("3").id));
    assert!(Arc::ptr_eq(&waiting.0.flight, &permit.seat.flight));
}

#[tokio::test]
async fn a_fetch_that_comes_to_nothing_has_another_of_those_who_wait_lead() {
    let flights = Flights::new();
    let permit = lead(&flights, "1");
    let (second, third) = (follow(&flights, "2"), follow(&flights, "3"));
    let mut patience = Waited::from_now(&Limits::default());
    assert!(second.lead(&request("2"), &patience).is_none());
    drop(permit);
    let State::Fetching(attempts) = second.news(&mut patience).await else { panic!("goes on") };
    assert!(matches!(attempts.fault(), Some(Fault::Dropped)));
    let next = second.lead(&request("2"), &patience);
    assert!(next.is_some());
    assert!(third.lead(&request("3"), &patience).is_none());
}

#[test]
fn a_late_fetch_changes_nothing_of_what_another_one_has_decided() {
    let flights = Flights::new();
    let slow = lead(&flights, "1");
    let waiting = follow(&flights, "2");
    let second = lead_too(&waiting, "2");
    second.release(200);
    slow.fail(Arc::new(FetchError::Busy { limit: 1 }));
    assert!(matches!(*waiting.0.flight.state.borrow(), State::Private(Some(200))));
    drop(second);
    assert!(!is_known(&flights));
}

#[test]
fn those_who_are_told_to_ask_anew_do_not_come_to_the_same_flight_again() {
    let flights = Flights::new();
    let permit = lead(&flights, "1");
    let waiting = follow(&flights, "2");
    permit.outdated();
    assert!(matches!(*waiting.0.flight.state.borrow(), State::Outdated));
    let next = lead(&flights, "2");
    assert!(!Arc::ptr_eq(&waiting.0.flight, &next.seat.flight));
    drop(permit);
    assert!(is_known(&flights), "it is another one");
}

#[test]
fn what_one_shares_stays_there_until_that_one_ends_whatever_others_bring() {
    let late: [fn(&Permit); 3] =
        [|permit| permit.share(entry()), Permit::outdated, |permit| permit.fail(closed())];
    for end in late {
        let flights = Flights::new();
        let slow = lead(&flights, "1");
        let second = lead_too(&follow(&flights, "2"), "2");
        let shared = entry();
        second.share(Arc::clone(&shared));
        end(&slow);
        drop(slow);
        let under_way = flights.under_way(&key()).expect("it is there");
        assert!(Arc::ptr_eq(&under_way, &shared));
        drop(second);
        assert!(!is_known(&flights));
    }
}
