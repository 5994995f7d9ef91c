//! How much of each response the origin may send before it is taken.
//!
//! What one client does not take must not hold up the others that share its connection. So the window of
//! a connection is as wide as those of all its streams together, and never closes before one of theirs
//! does. What that would hold in memory is bounded by how wide a stream's window is: it is narrower
//! where many share the connection.

use h2::client::Connection;
use tokio::io::{AsyncRead, AsyncWrite};

/// The window of a stream where few share a connection.
pub(super) const WIDE: u32 = 256 << 10;
/// The same where many do.
const NARROW: u32 = 64 << 10;
/// So many are few: they hold no more than 4 MiB.
const FEW: usize = 16;
/// RFC 9113 §6.9.1: no window may be larger.
const LARGEST: usize = (1 << 31) - 1;

/// The window of a connection that may have so many requests.
pub(super) fn of_connection(requests: usize) -> u32 {
    requests.saturating_mul(WIDE as usize).min(LARGEST) as u32
}

/// How wide the streams of a connection are.
#[derive(Debug, Default)]
pub(super) struct Width {
    is_narrow: bool,
}

impl Width {
    /// Tells the origin if it is to change. One change has to be confirmed before there is another.
    pub(super) fn fit<S>(&mut self, connection: &mut Connection<S>, used: usize)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(is_narrow) = self.change(used) {
            let window = if is_narrow { NARROW } else { WIDE };
            if connection.set_initial_window_size(window).is_ok() {
                self.is_narrow = is_narrow;
            }
        }
    }

    /// It is wide again when half of the few are left, so that it does not change all the time.
    const fn change(&self, used: usize) -> Option<bool> {
        match self.is_narrow {
            false if used > FEW => Some(true),
            true if used <= FEW / 2 => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_narrow_and_stay_so_until_they_are_few() {
        let mut width = Width::default();
        for (used, change) in [
            (1, None),
            (FEW, None),
            (FEW + 1, Some(true)),
            (FEW, None),
            (FEW / 2 + 1, None),
            (FEW / 2, Some(false)),
            (FEW, None),
        ] {
            assert_eq!(width.change(used), change, "{used}");
            width.is_narrow = change.unwrap_or(width.is_narrow);
        }
    }

    #[test]
    fn the_window_of_a_connection_takes_those_of_all_streams() {
        assert_eq!(of_connection(512), 128 << 20);
        assert_eq!(of_connection(1 << 20), u32::MAX >> 1);
    }
}
