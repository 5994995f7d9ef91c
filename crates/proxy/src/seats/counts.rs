//! What became of connections, in numbers.

/// Of one listener, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections that came in.
    pub accepted: u64,
    /// Connections that are open.
    pub open: u64,
    /// Those that were answered with a 503 because there were too many.
    pub refused: u64,
    /// Those that were closed without an answer.
    pub dropped: u64,
    /// Idle ones that were closed to make room.
    pub made_way: u64,
}

impl ConnectionCounts {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            open: self.open + other.open,
            refused: self.refused + other.refused,
            dropped: self.dropped + other.dropped,
            made_way: self.made_way + other.made_way,
        }
    }
}
