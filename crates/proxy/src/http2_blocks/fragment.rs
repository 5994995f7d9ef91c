//! Which part of a HEADERS or CONTINUATION frame belongs to the header block.

use super::Lost;
use crate::http2_frames::{HAS_PRIORITY, PADDED};

/// Bytes of a priority in front of a block.
const PRIORITY_BYTES: u32 = 5;

/// Where in the payload of a frame the fragment of a block lies.
#[derive(Debug, Default)]
pub(crate) struct Fragment {
    /// The length of the padding is still to come.
    is_padded: bool,
    /// Bytes in front of it, and its own, that are still to come.
    ahead: u32,
    left: u32,
}

impl Fragment {
    /// What the flags of a HEADERS frame say.
    pub(crate) fn behind(flags: u8, length: u32) -> Option<Self> {
        let is_padded = flags & PADDED != 0;
        let priority = if flags & HAS_PRIORITY != 0 { PRIORITY_BYTES } else { 0 };
        let left = length.checked_sub(u32::from(is_padded) + priority)?;
        Some(Self { is_padded, ahead: priority, left })
    }

    /// A CONTINUATION frame has nothing else.
    pub(crate) fn all(length: u32) -> Self {
        Self { left: length, ..Self::default() }
    }

    /// Cuts out of some of the payload what belongs to the fragment.
    pub(crate) fn cut<'b>(&mut self, mut payload: &'b [u8]) -> Result<&'b [u8], Lost> {
        if self.is_padded
            && let Some((padding, rest)) = payload.split_first()
        {
            self.is_padded = false;
            self.left = self.left.checked_sub(u32::from(*padding)).ok_or(Lost)?;
            payload = rest;
        }
        let ahead = payload.len().min(self.ahead as usize);
        self.ahead -= ahead as u32;
        let (_, payload) = payload.split_at(ahead);
        let (own, _) = payload.split_at(payload.len().min(self.left as usize));
        self.left -= own.len() as u32;
        Ok(own)
    }
}
