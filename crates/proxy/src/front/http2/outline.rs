//! Finds out where a client's header blocks have pseudo-fields, without decoding them.
//!
//! The codec drops the pseudo-fields of a trailer section and says nothing of it. This follows the same
//! blocks beside it, as far as they tell one kind of field from the other: no text is decoded, and of
//! the dynamic table there is one bit for each entry. However a block is cut, none of it is kept.
//!
//! What cannot be followed is a fault that ends the connection, and the codec finds it as well: from
//! there on nothing is looked at any more, and nothing refused.

use crate::http2_blocks::{Fragment, Lost, Walk};

/// The header blocks of one connection.
pub(super) struct Outline {
    /// `None` once they cannot be followed.
    walk: Option<Walk>,
    fragment: Fragment,
    /// The stream whose block has begun and not ended.
    open: Option<u32>,
    is_trailers: bool,
    /// The highest stream of all blocks.
    newest: u32,
}

impl Outline {
    pub(super) fn new() -> Self {
        Self {
            walk: Some(Walk::new()),
            fragment: Fragment::default(),
            open: None,
            is_trailers: false,
            newest: 0,
        }
    }

    /// A HEADERS frame begins.
    pub(super) fn headers(&mut self, stream: u32, flags: u8, length: u32) {
        let fragment = Fragment::behind(flags, length);
        let (Some(fragment), None) = (fragment, self.open) else { return self.lose() };
        self.fragment = fragment;
        self.open = Some(stream);
        //= https://www.rfc-editor.org/rfc/rfc9113#section-5.1.1
        //# The identifier of a newly established stream MUST be numerically greater than all streams that
        //# the initiating endpoint has opened or reserved.
        self.is_trailers = stream <= self.newest;
        self.newest = self.newest.max(stream);
    }

    /// A CONTINUATION frame begins.
    pub(super) fn continuation(&mut self, stream: u32, length: u32) {
        if self.open != Some(stream) {
            return self.lose();
        }
        self.fragment = Fragment::all(length);
    }

    /// Some of the payload of such a frame.
    pub(super) fn take(&mut self, payload: &[u8]) {
        let Some(walk) = &mut self.walk else { return };
        let followed = self.fragment.cut(payload).and_then(|bytes| walk.follow(bytes));
        if followed.is_err() {
            self.lose();
        }
    }

    /// The block is whole. Whether it is a trailer section that has a pseudo-field.
    pub(super) fn end(&mut self) -> bool {
        self.open = None;
        match self.walk.as_mut().map(Walk::end) {
            Some(Ok(has_pseudo)) => has_pseudo && self.is_trailers,
            Some(Err(Lost)) => {
                self.lose();
                false
            }
            None => false,
        }
    }

    fn lose(&mut self) {
        self.walk = None;
    }
}

#[cfg(test)]
mod tests;
