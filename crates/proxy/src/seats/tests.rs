use super::*;

/// Far from the last descriptor.
const LOW: u64 = 10;
const FILES: u64 = 1000;

fn seats(change: impl FnOnce(&mut ConnectionLimits)) -> Arc<Seats> {
    let mut limits = ConnectionLimits { spared_idle: Duration::ZERO, ..Default::default() };
    change(&mut limits);
    Seats::with(limits, FILES)
}

fn enter(seats: &Arc<Seats>, door: usize) -> Seat {
    seats.enter(door, LOW).unwrap()
}

fn all(seats: &Arc<Seats>, count: usize) -> Vec<Seat> {
    (0..count).map(|_| enter(seats, 0)).collect()
}

/// Idle since so many ticks ago.
fn idle(seat: &Seat, ago: u64) {
    seat.guest.idle_since.store(ticks() - ago, Ordering::Relaxed);
}

#[test]
fn a_listener_has_so_many_and_not_one_more_until_one_leaves() {
    let seats = seats(|limits| limits.listener = 2);
    let mut taken = all(&seats, 2);
    assert!(taken.iter().all(|seat| seat.refused.is_none()));
    assert_eq!(enter(&seats, 0).refused, Some(Full::Connections));
    // The other listener has its own.
    assert_eq!(enter(&seats, 1).refused, None);
    drop(taken.pop());
    assert_eq!(enter(&seats, 0).refused, None);
    assert_eq!(seats.counts_of(0).open, 1);
    assert_eq!(seats.counts_of(0).refused, 1);
}

#[test]
fn all_listeners_together_have_so_many_and_not_one_more() {
    let seats = seats(|limits| limits.total = 2);
    let _taken = [enter(&seats, 0), enter(&seats, 1)];
    for door in [0, 1, 2] {
        assert_eq!(enter(&seats, door).refused, Some(Full::Connections));
    }
}

#[test]
fn the_last_descriptors_are_for_others() {
    let seats = seats(|_| {});
    let refused = |descriptor| seats.enter(0, descriptor).unwrap().refused;
    assert_eq!(refused(FILES - 64 - 1), None);
    assert_eq!(refused(FILES - 64), Some(Full::Descriptors));
    // Where there are few, half of them is reserved.
    let few = Seats::with(ConnectionLimits::default(), 100);
    assert_eq!(few.enter(0, 49).unwrap().refused, None);
    assert_eq!(few.enter(0, 50).unwrap().refused, Some(Full::Descriptors));
    // And the last are not even for connections to the origin.
    assert!(!seats.is_nearly_out(FILES - 16 - 1) && seats.is_nearly_out(FILES - 16));
    assert!(!few.is_nearly_out(87) && few.is_nearly_out(88));
}

#[test]
fn who_has_been_idle_for_the_longest_makes_way() {
    let seats = seats(|limits| limits.listener = 3);
    let [busy, long, short] = [0; 3].map(|_| enter(&seats, 0));
    idle(&long, 2000);
    idle(&short, 1000);
    let next = enter(&seats, 0);
    assert_eq!(next.refused, None);
    assert!(long.guest.is_sent_away() && !short.guest.is_sent_away());
    assert!(!busy.guest.is_sent_away());
    assert_eq!(seats.counts_of(0).open, 3);
    // Its seat is another's: that it goes frees nothing more.
    drop(long);
    assert_eq!(seats.counts_of(0).open, 3);
    assert_eq!(seats.counts_of(0).made_way, 1);
}

#[test]
fn nobody_makes_way_at_another_listener_or_between_two_requests() {
    let seats = seats(|limits| {
        limits.listener = 1;
        limits.spared_idle = Duration::from_secs(1);
    });
    let [here, there] = [enter(&seats, 0), enter(&seats, 1)];
    idle(&there, 5000);
    idle(&here, 500);
    assert_eq!(enter(&seats, 0).refused, Some(Full::Connections));
    // A look that found nobody is not repeated at once.
    idle(&here, 5000);
    assert_eq!(enter(&seats, 0).refused, Some(Full::Connections));
    seats.book().barren_until = 0;
    assert_eq!(enter(&seats, 0).refused, None);
    assert!(here.guest.is_sent_away() && !there.guest.is_sent_away());
}

#[test]
fn of_many_connections_several_make_way_at_once() {
    let seats = seats(|limits| limits.total = 640);
    let taken = all(&seats, 640);
    taken.iter().enumerate().for_each(|(at, seat)| idle(seat, 1000 + at as u64));
    let _next = enter(&seats, 0);
    let gone = taken.iter().filter(|seat| seat.guest.is_sent_away()).count();
    assert_eq!(gone, 10);
    assert!(taken[630..].iter().all(|seat| seat.guest.is_sent_away()));
}

#[test]
fn only_so_many_are_told_that_there_is_no_seat() {
    let seats = seats(|limits| limits.total = 1);
    let _taken = enter(&seats, 0);
    let mut told: Vec<_> = (0..REFUSALS).map(|_| enter(&seats, 0)).collect();
    assert!(seats.enter(0, LOW).is_none());
    assert_eq!(seats.counts_of(0).dropped, 1);
    told.pop();
    assert!(seats.enter(0, LOW).is_some());
    assert_eq!(seats.counts_of(0).open, 1);
}

#[test]
fn a_client_has_so_many_and_not_one_more() {
    let seats = seats(|limits| limits.client = Some(2));
    let of = |client: &str| {
        let mut seat = enter(&seats, 0);
        assert!(seat.belongs_to(client.parse().unwrap()));
        seat
    };
    let [first, _second] = [of("192.0.2.1"), of("::ffff:192.0.2.1")];
    let third = of("192.0.2.1");
    assert_eq!(third.refused, Some(Full::Client { limit: 2 }));
    assert_eq!(seats.counts_of(0).open, 2);
    assert_eq!(of("192.0.2.2").refused, None);
    drop((first, third));
    assert_eq!(of("192.0.2.1").refused, None);
    // The addresses of one network of IPv6 are one client.
    let _six = [of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2")];
    assert_eq!(of("2001:db8:0:1::3").refused, Some(Full::Client { limit: 2 }));
    assert_eq!(of("2001:db8:0:2::1").refused, None);
}

#[test]
fn clients_that_have_left_are_forgotten() {
    let seats = seats(|limits| limits.client = Some(1));
    for number in 0..100 {
        let mut seat = enter(&seats, 0);
        assert!(seat.belongs_to(IpAddr::from([192, 0, 2, number])));
    }
    let book = seats.book();
    assert!(book.clients.is_empty() && book.guests.is_empty());
}

#[test]
fn a_client_without_end_is_dropped_and_leaves_nothing() {
    let seats = seats(|limits| limits.client = Some(1));
    let client = "192.0.2.1".parse().unwrap();
    let mut seat = enter(&seats, 0);
    assert!(seat.belongs_to(client));
    let told: Vec<_> = (0..REFUSALS)
        .map(|_| {
            let mut seat = enter(&seats, 0);
            assert!(seat.belongs_to(client));
            seat
        })
        .collect();
    assert!(!enter(&seats, 0).belongs_to(client));
    drop((seat, told));
    assert_eq!(seats.counts_of(0).open, 0);
    assert_eq!(seats.book().standing, 0);
}

#[test]
fn where_it_is_crowded_idle_connections_go_after_five_seconds() {
    let seats = seats(|limits| limits.listener = 10);
    let taken = all(&seats, 8);
    idle(&taken[0], 4_900);
    idle(&taken[1], 60_000);
    assert!(!seats.is_crowded() && !seats.thin_out(ticks()));
    assert!(taken.iter().all(|seat| !seat.guest.is_sent_away()));
    let _ninth = enter(&seats, 0);
    assert!(seats.is_crowded() && seats.thin_out(ticks()));
    assert!(taken[1].guest.is_sent_away() && !taken[0].guest.is_sent_away());
    // That was the one too many.
    assert!(!seats.is_crowded() && !seats.thin_out(ticks() + 1000));
}

#[test]
fn it_is_crowded_where_four_fifths_of_the_descriptors_are_in_use() {
    let seats = seats(|_| {});
    let first = seats.enter(0, 799).unwrap();
    assert!(!seats.is_crowded());
    let _second = seats.enter(0, 800).unwrap();
    idle(&first, 5_000);
    assert!(seats.thin_out(ticks()));
    assert!(first.guest.is_sent_away());
    // And for a while after.
    assert!(seats.thin_out(ticks() + CROWDED_FOR - 1_000));
    assert!(!seats.thin_out(ticks() + CROWDED_FOR + 1_000));
}

#[test]
fn four_fifths_are_of_the_whole() {
    for (of, crowded) in
        [(0, 0), (1, 0), (10, 8), (99, 79), (819, 655), (u64::MAX, 14_757_395_258_967_641_292)]
    {
        assert_eq!(part(of), crowded, "{of}");
    }
}
