//! What a client wants first: the extensible priorities of RFC 9218.

/// The place of a response among others on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Priority {
    /// 0 to 7; the smaller, the sooner.
    pub(super) urgency: u8,
    /// Of use piece by piece: it shares with others of its urgency instead of coming before them.
    pub(super) incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        //= https://www.rfc-editor.org/rfc/rfc9218#section-4.1
        //# The default is 3.
        //= https://www.rfc-editor.org/rfc/rfc9218#section-4.2
        //# The default value of the incremental parameter is false (0).
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads the value of a `priority` field or of a `PRIORITY_UPDATE` frame.
    pub(super) fn parse(value: &[u8]) -> Self {
        let mut priority = Self::default();
        for member in value.split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            let bare = member.split(|&byte| byte == b';').next().unwrap_or_default();
            //= https://www.rfc-editor.org/rfc/rfc9218#section-4
            //# unknown priority parameters, priority parameters with out-of-range values, or values of
            //# unexpected types MUST be ignored.
            match bare.trim_ascii_end() {
                [b'u', b'=', urgency @ b'0'..=b'7'] => priority.urgency = urgency - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_understood_counts_and_the_rest_is_ignored() {
        for (value, urgency, incremental) in [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=5, i", 5, true),
            ("i, u=7", 7, true),
            ("i=?0", 3, false),
            ("u=1;a=b, i=?1;c", 1, true),
            ("i, i=?0", 3, false),
            ("u=8", 3, false),
            ("u=-1", 3, false),
            ("u=1.5", 3, false),
            ("u=\"1\"", 3, false),
            ("u", 3, false),
            ("i=1", 3, false),
            ("x=1, u=2", 2, false),
            ("U=2", 3, false),
            (" u=2 ,i ", 2, true),
        ] {
            assert_eq!(
                Priority::parse(value.as_bytes()),
                Priority { urgency, incremental },
                "{value}"
            );
        }
    }
}
