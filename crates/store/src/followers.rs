//! The readers of a body under way: where each is, and how much longer others may wait for it.
//!
//! Only a body that is passed along makes its readers wait for each other. There a reader that is
//! far behind may hold the others up for [`PATIENCE`]; what it reads earns it that time back, so
//! that one which reads nothing goes soon and one which drips goes as well.

use std::time::Duration;

/// How long a reader that reads nothing may hold the others up: longer than a lost packet or a busy
/// moment of its client takes, shorter than people take for a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that earn a reader the whole of [`PATIENCE`] anew: a quarter of the window (where room is scarce
/// it is less than that), so that a
/// reader which others wait for has to get through all of it in four seconds.
const EARNS_ALL: u64 = 64 << 10;

/// The readers that joined a body before it was complete, each by its number.
#[derive(Default)]
pub(crate) struct Followers {
    places: Vec<Option<Follower>>,
    free: Vec<usize>,
    count: usize,
}

/// A reader that has not been broken off.
struct Follower {
    position: u64,
    /// How long it may still hold others up.
    credit: Duration,
}

impl Followers {
    /// Those that still get the body.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Takes in a reader at the start and gives it its number.
    pub(crate) fn join(&mut self) -> usize {
        self.count += 1;
        let follower = Some(Follower { position: 0, credit: PATIENCE });
        let number = self.free.pop().unwrap_or(self.places.len());
        if number == self.places.len() {
            self.places.push(follower);
        } else {
            self.places[number] = follower;
        }
        number
    }

    pub(crate) fn is_broken_off(&self, number: usize) -> bool {
        self.places[number].is_none()
    }

    /// Moves a reader on; returns where it was, or `None` if it was broken off.
    pub(crate) fn move_to(&mut self, number: usize, position: u64) -> Option<u64> {
        let follower = self.places[number].as_mut()?;
        let from = std::mem::replace(&mut follower.position, position);
        let read = position.saturating_sub(from).min(EARNS_ALL);
        let earned = PATIENCE.mul_f64(read as f64 / EARNS_ALL as f64);
        follower.credit = (follower.credit + earned).min(PATIENCE);
        Some(from)
    }

    /// Signs a reader off; returns where it was, or `None` if it was broken off before.
    pub(crate) fn leave(&mut self, number: usize) -> Option<u64> {
        self.free.push(number);
        self.take(number)
    }

    /// Charges those before `offset` for the time that others waited for them. Returns where those
    /// were that have used up theirs: they are broken off.
    pub(crate) fn charge(&mut self, offset: u64, waited: Duration) -> Vec<u64> {
        let mut broken_off = Vec::new();
        for number in 0..self.places.len() {
            let behind = self.places[number].as_mut().filter(|f| f.position < offset);
            let Some(follower) = behind else { continue };
            follower.credit = follower.credit.saturating_sub(waited);
            if follower.credit.is_zero() {
                broken_off.extend(self.take(number));
            }
        }
        broken_off
    }

    fn take(&mut self, number: usize) -> Option<u64> {
        let follower = self.places[number].take()?;
        self.count -= 1;
        Some(follower.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    /// Seconds until a reader goes that reads so many bytes each tenth of a second while others
    /// wait; `None` if it is still there after a minute.
    fn goes_after(bytes: u64) -> Option<f64> {
        let mut followers = Followers::default();
        let number = followers.join();
        (1..=600_u64).find_map(|tenth| {
            followers.move_to(number, tenth * bytes);
            let gone = followers.charge(u64::MAX, TENTH) == [tenth * bytes];
            gone.then_some(tenth as f64 / 10.0)
        })
    }

    #[test]
    fn who_holds_others_up_goes_the_sooner_the_less_it_reads() {
        assert_eq!(goes_after(0), Some(1.0));
        assert_eq!(goes_after(10), Some(1.1));
        assert!((1.1..2.5).contains(&goes_after(3 << 10).unwrap()));
        assert!((3.0..9.0).contains(&goes_after(5 << 10).unwrap()));
        assert_eq!(goes_after(7 << 10), None, "a window in less than four seconds");
    }

    #[test]
    fn who_is_not_behind_is_not_charged() {
        let mut followers = Followers::default();
        let (ahead, behind) = (followers.join(), followers.join());
        followers.move_to(ahead, 100);
        followers.move_to(behind, 99);
        assert_eq!(followers.charge(100, PATIENCE), [99]);
        assert!(followers.is_broken_off(behind) && !followers.is_broken_off(ahead));
        assert_eq!((followers.move_to(behind, 200), followers.leave(behind)), (None, None));
        assert_eq!((followers.leave(ahead), followers.count()), (Some(100), 0));
    }

    #[test]
    fn a_number_is_free_again_only_once_its_reader_has_left() {
        let mut followers = Followers::default();
        let first = followers.join();
        assert_eq!(followers.charge(1, PATIENCE), [0]);
        let second = followers.join();
        assert!(first != second && followers.is_broken_off(first));
        followers.leave(first);
        assert_eq!(followers.join(), first);
        assert_eq!(followers.count(), 2);
    }
}
