use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks for a turn of a stream that wants as much as there is.
fn ask(turns: &Arc<Turns>, stream: u32, priority: &str, woken: &Arc<Woken>) -> Option<Ticket> {
    let waker = Waker::from(Arc::clone(woken));
    let cx = &mut Context::from_waker(&waker);
    let priority = turns.priority(stream, Some(priority.as_bytes()));
    match turns.poll_take(stream, priority, u64::MAX, cx) {
        Poll::Ready(ticket) => Some(ticket.unwrap()),
        Poll::Pending => None,
    }
}

/// As much as goes in until there are `most` bytes inside.
fn full(turns: &Arc<Turns>, most: u32) -> Vec<Ticket> {
    std::iter::from_fn(|| {
        let room = turns.state().room(most);
        if room == 0 {
            return None;
        }
        turns.take_at_once(PIECE.min(room))
    })
    .collect()
}

fn wide() -> Arc<Turns> {
    let turns = Turns::new();
    turns.opened(1 << 30);
    turns
}

#[test]
fn no_more_is_under_way_than_there_is_room_for() {
    let turns = wide();
    let mut tickets = full(&turns, PIECES);
    assert_eq!(tickets.iter().map(Ticket::bytes).sum::<u32>(), PIECES);
    let woken = Arc::new(Woken::default());
    assert!(ask(&turns, 1, "", &woken).is_none());
    tickets.pop();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(ask(&turns, 1, "", &woken).unwrap().bytes(), PIECE);
    // What is split off or given back counts as what it is.
    let mut ticket = ask(&turns, 1, "", &woken).unwrap();
    let part = ticket.split(1000);
    ticket.shrink_to(5000);
    assert_eq!((part.bytes(), ticket.bytes()), (1000, 5000));
    drop((tickets, part, ticket));
    assert_eq!(turns.state().under_way, 0);
}

#[test]
fn what_is_short_and_at_hand_finds_room_where_no_piece_does() {
    let turns = wide();
    let mut tickets = full(&turns, PIECES);
    let mut at_hand: Vec<_> = std::iter::from_fn(|| turns.take_at_once(PIECE)).collect();
    assert_eq!(at_hand.len() as u32, (ROOM - PIECES) / PIECE);
    assert!(turns.take_at_once(1).is_none());
    // A piece waits until there is so little inside that it may be one of few; then nobody passes it.
    let woken = Arc::new(Woken::default());
    assert!(ask(&turns, 1, "", &woken).is_none());
    tickets.pop();
    assert!(ask(&turns, 1, "", &woken).is_none());
    assert!(turns.take_at_once(1).is_none());
    at_hand.clear();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(ask(&turns, 1, "", &woken).is_some());
    assert!(turns.take_at_once(1).is_some());
}

#[test]
fn nothing_more_is_read_for_a_client_that_takes_nothing_until_it_has_taken_all() {
    let turns = wide();
    let woken = Arc::new(Woken::default());
    turns.fall_behind(true);
    turns.fall_behind(true);
    // What is short and at hand need not be read for it.
    assert!(turns.take_at_once(PIECE).is_some());
    assert!(ask(&turns, 1, "", &woken).is_none());
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    turns.fall_behind(false);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(ask(&turns, 1, "", &woken).is_some());
}

#[test]
fn where_many_clients_take_nothing_there_is_one_piece_for_each() {
    let behind = Arc::new(Behind::default());
    let connections: Vec<_> = (0..=MANY).map(|_| Turns::among(Arc::clone(&behind))).collect();
    let (last, others) = connections.split_last().unwrap();
    last.opened(1 << 30);
    let woken = Arc::new(Woken::default());
    let together = || {
        let tickets = std::iter::from_fn(|| ask(last, 1, "", &woken)).collect::<Vec<_>>();
        last.forget(1);
        tickets.iter().map(Ticket::bytes).sum::<u32>()
    };
    for turns in others {
        turns.fall_behind(true);
    }
    assert_eq!(together(), PIECES);
    let one_more = Turns::among(Arc::clone(&behind));
    one_more.fall_behind(true);
    assert_eq!(together(), PIECE);
    // It goes, as it is or after it has taken all.
    drop(one_more);
    assert_eq!(together(), PIECES);
    for turns in others {
        turns.fall_behind(false);
    }
    drop(connections);
    assert_eq!(behind.0.load(Ordering::Relaxed), 0);
}

#[test]
fn no_more_is_under_way_than_the_window_takes() {
    let turns = Turns::new();
    let sent: u32 = full(&turns, ROOM).iter().map(Ticket::bytes).sum();
    assert_eq!(i64::from(sent), FIRST_WINDOW);
    turns.sent(sent);
    let woken = Arc::new(Woken::default());
    assert!(ask(&turns, 1, "", &woken).is_none());
    assert!(turns.take_at_once(1).is_none());
    assert!(turns.stalled_since().is_some());
    turns.opened(10);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    let ticket = ask(&turns, 1, "", &woken).unwrap();
    assert_eq!((ticket.bytes(), turns.stalled_since()), (10, None));
}

#[test]
fn the_next_turn_is_for_who_is_next_and_not_for_who_asks() {
    let turns = wide();
    let mut tickets = full(&turns, PIECES);
    let woken: Vec<_> = (0..4).map(|_| Arc::new(Woken::default())).collect();
    for (number, priority) in ["u=3", "u=1, i", "u=1, i", "u=0"].iter().enumerate() {
        assert!(ask(&turns, number as u32, priority, &woken[number]).is_none());
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        tickets.pop();
        let served: Vec<_> = [(0, "u=3"), (1, "u=1, i"), (2, "u=1, i")]
            .into_iter()
            .filter(|(stream, _)| order.len() > 1 || *stream != 0)
            .filter_map(|(stream, priority)| {
                Some((stream, ask(&turns, stream, priority, &woken[stream as usize])?))
            })
            .collect();
        // The most urgent one does not ask again: it is passed over only once it has left.
        assert!(served.len() <= 1 && (served.is_empty() || order.contains(&3)));
        order.extend(served.iter().map(|(stream, _)| *stream));
        tickets.extend(served.into_iter().map(|(_, ticket)| ticket));
        if !order.contains(&3) {
            tickets.push(ask(&turns, 3, "u=0", &woken[3]).unwrap());
            order.push(3);
        }
    }
    assert_eq!(order, [3, 1, 2, 1, 2]);
}

#[test]
fn who_has_left_is_not_waited_for() {
    let turns = wide();
    let tickets = full(&turns, PIECES);
    let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    assert!(ask(&turns, 1, "u=0", &first).is_none());
    assert!(ask(&turns, 3, "u=5", &second).is_none());
    drop(tickets);
    assert!(ask(&turns, 3, "u=5", &second).is_none(), "the first has the turn");
    turns.forget(1);
    assert!(second.0.load(Ordering::Relaxed) > 0);
    assert!(ask(&turns, 3, "u=5", &second).is_some());
    // And a closed connection has no turns at all.
    turns.close();
    let cx = &mut Context::from_waker(Waker::noop());
    let over = turns.poll_take(5, Priority::default(), 1, cx);
    assert!(matches!(over, Poll::Ready(Err(Over))));
}

#[test]
fn a_client_that_knows_nothing_of_priorities_is_served_evenly() {
    let turns = wide();
    let mut tickets = full(&turns, PIECES);
    let woken = Arc::new(Woken::default());
    let take = |stream| {
        let waker = Waker::from(Arc::clone(&woken));
        let cx = &mut Context::from_waker(&waker);
        turns.poll_take(stream, turns.priority(stream, None), u64::MAX, cx)
    };
    let mut order = Vec::new();
    for _ in 0..7 {
        for stream in [1, 3, 5] {
            if let Poll::Ready(ticket) = take(stream) {
                tickets.push(ticket.unwrap());
                order.push(stream);
            }
        }
        tickets.remove(0);
    }
    assert_eq!(order, [1, 3, 5, 1, 3, 5]);
}

#[test]
fn what_is_said_of_streams_is_bounded() {
    let turns = wide();
    for stream in 0..200 {
        turns.update(stream, Priority { urgency: 0, incremental: false }, 100);
    }
    assert_eq!(turns.state().updates.len(), 100);
    assert_eq!(turns.priority(150, Some(b"u=4")).urgency, 0);
    assert_eq!(turns.priority(50, Some(b"u=4")).urgency, 4);
    turns.forget(150);
    assert_eq!(turns.priority(150, Some(b"u=4")).urgency, 4);
}
