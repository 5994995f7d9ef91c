//! How a tunnel ended.

/// The ways, as they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides had said all.
    Closed,
    /// The client's connection broke.
    ClientGone,
    /// The origin's connection broke.
    OriginGone,
    /// Nothing came from either side for too long.
    Idle,
    /// The client took nothing of what waited for it, for too long.
    ClientStalled,
    /// The origin took nothing of what waited for it, for too long.
    OriginStalled,
    /// The proxy was stopped.
    Drained,
}

impl TunnelEnd {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Closed,
        Self::ClientGone,
        Self::OriginGone,
        Self::Idle,
        Self::ClientStalled,
        Self::OriginStalled,
        Self::Drained,
    ];

    /// The stable code that the log has.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Closed => "tunnel-closed",
            Self::ClientGone => "tunnel-client-gone",
            Self::OriginGone => "tunnel-origin-gone",
            Self::Idle => "tunnel-idle",
            Self::ClientStalled => "tunnel-client-stalled",
            Self::OriginStalled => "tunnel-origin-stalled",
            Self::Drained => "tunnel-drained",
        }
    }

    /// What it means, in a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Closed => "Both sides had said all.",
            Self::ClientGone => "The client's connection broke.",
            Self::OriginGone => "The origin's connection broke.",
            Self::Idle => "Nothing came from either side for `--tunnel-idle`.",
            Self::ClientStalled => "The client took nothing of what waited for it, for too long.",
            Self::OriginStalled => "The origin took nothing of what waited for it, for too long.",
            Self::Drained => "The proxy was stopped, and the time for the drain was over.",
        }
    }
}
