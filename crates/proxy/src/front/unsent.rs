//! What the system has taken for a client and not sent yet.
//!
//! Whoever closes a socket to which the client still sends something makes the system reset the
//! connection, and forget what it has not sent. So it is asked first.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::clock::in_ticks;

/// What is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing; or the system does not say.
    Nothing,
    /// The client takes it, or may yet.
    Moving,
    /// The client has taken nothing of it for too long.
    Stuck,
}

/// Most clients have taken all a moment later, and wait for the end.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// How long nobody looks at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// More than a socket's buffer has as a rule; of what is beyond it, it is not seen that it gets less.
const MOST: u32 = 64 << 20;

/// How much there was when it was looked at, and since when.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    amount: u32,
    since: u64,
    looks: u32,
}

impl Unsent {
    /// Looks how much there is now, which is not more than before: it is waited for as long as it gets
    /// less.
    pub(crate) fn look(
        &mut self,
        amount: impl FnOnce(u32) -> u32,
        now: u64,
        limit: Duration,
    ) -> Left {
        let known = if self.looks == 0 { MOST } else { self.amount };
        let amount = amount(known);
        if amount != self.amount {
            *self = Self { amount, since: now, ..*self };
        }
        self.looks += 1;
        match amount {
            0 => Left::Nothing,
            _ if now.saturating_sub(self.since) >= in_ticks(limit) => Left::Stuck,
            _ => Left::Moving,
        }
    }

    /// When to look again.
    pub(crate) fn pause(&self) -> Duration {
        (FIRST_PAUSE * 2_u32.pow(self.looks.min(8))).min(LONGEST_PAUSE)
    }
}

/// How much the system has not sent yet: a measure that is 0 if that is nothing, and where the system
/// does not say.
///
/// It says so only by whether a socket can be written to, which it cannot as long as more is unsent than
/// the socket allows: so that is moved until both meet. It is `known` not to be more.
#[cfg(target_os = "linux")]
pub(crate) fn amount(tcp: &TcpStream, known: u32) -> u32 {
    let socket = socket2::SockRef::from(tcp);
    let is_below = |limit| socket.set_tcp_notsent_lowat(limit).is_err() || is_writable(tcp);
    let amount = search(known, is_below);
    // As it was: the system's own limit.
    let _ = socket.set_tcp_notsent_lowat(0);
    amount
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn amount(_: &TcpStream, _: u32) -> u32 {
    0
}

/// An amount up to `known` that is below a limit as asked. Most of those who wait have taken all or
/// nothing, and there may be many: that is asked first.
#[cfg(target_os = "linux")]
fn search(known: u32, mut is_below: impl FnMut(u32) -> bool) -> u32 {
    if is_below(1) {
        return 0;
    }
    if !is_below(known) {
        return known;
    }
    let (mut least, mut most) = (1, known.saturating_sub(1));
    while least < most {
        let middle = least.midpoint(most);
        if is_below(middle + 1) {
            most = middle;
        } else {
            least = middle + 1;
        }
    }
    least
}

#[cfg(target_os = "linux")]
fn is_writable(tcp: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut asked = [PollFd::new(tcp, PollFlags::OUT)];
    // Without an answer nothing is waited for.
    !matches!(poll(&mut asked, Some(&at_once)), Ok(0))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::clock::ticks;

    #[test]
    fn it_is_waited_for_as_long_as_it_gets_less() {
        let limit = Duration::from_secs(3);
        let mut unsent = Unsent::default();
        let looks = [
            (1_000, 9, Left::Moving),
            (3_999, 9, Left::Moving),
            (4_000, 8, Left::Moving),
            (6_999, 8, Left::Moving),
            (7_000, 8, Left::Stuck),
            (7_001, 7, Left::Moving),
            (7_002, 0, Left::Nothing),
            (99_000, 0, Left::Nothing),
            (99_001, 7, Left::Moving),
        ];
        for (now, amount, expected) in looks {
            assert_eq!(unsent.look(|_| amount, now, limit), expected, "{now}");
        }
    }

    #[test]
    fn what_was_seen_is_not_searched_again() {
        let (mut unsent, limit) = (Unsent::default(), Duration::from_secs(3));
        for (amount, expected) in [(9, MOST), (9, 9), (7, 9), (0, 7)] {
            let _ = unsent.look(
                |known| {
                    assert_eq!(known, expected);
                    amount
                },
                1,
                limit,
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_client_that_takes_nothing_costs_two_questions() {
        for (amount, known, questions) in
            [(0, MOST, 1), (0, 9, 1), (1, 1, 2), (9, 9, 2), (MOST, MOST, 2), (MOST + 1, MOST, 2)]
        {
            let mut asked = 0;
            let found = search(known, |limit| {
                asked += 1;
                amount < limit
            });
            assert_eq!((found, asked), (amount.min(known), questions));
        }
        for (amount, known) in
            [(1, 2), (1, 9), (8, 9), (1, MOST), (123_456, MOST), (MOST - 1, MOST)]
        {
            assert_eq!(search(known, |limit| amount < limit), amount);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_how_much_it_has_not_sent() {
        const LENGTH: usize = 300_000;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::STREAM);
            let client = socket2::Socket::new(domain, kind, None).unwrap();
            client.set_recv_buffer_size(16 << 10).unwrap();
            client.connect(&listener.local_addr().unwrap().into()).unwrap();
            let stream = listener.accept().await.unwrap().0;
            assert_eq!(amount(&stream, MOST), 0);
            stream.writable().await.unwrap();
            let given = stream.try_write(&vec![0; LENGTH]).unwrap();
            let mut client = std::net::TcpStream::from(client);
            let (before, began) = (amount(&stream, MOST), ticks());
            assert!(before > 0, "all of {given} bytes are sent");
            client.read_exact(&mut vec![0; given / 2]).unwrap();
            let fewer = || (1..before).contains(&amount(&stream, MOST));
            while !fewer() && ticks() - began < 10_000 {}
            assert!(fewer());
            client.read_exact(&mut vec![0; given - given / 2]).unwrap();
            while amount(&stream, MOST) > 0 && ticks() - began < 20_000 {}
            assert_eq!(amount(&stream, MOST), 0);
            // As before, it takes what there is room for.
            assert!(stream.try_write(&vec![0; LENGTH]).unwrap() > 100_000);
        });
    }
}
