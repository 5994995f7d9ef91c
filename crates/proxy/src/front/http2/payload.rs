//! A piece of content inside the codec.

use bytes::{Buf, Bytes};

use super::turns::Ticket;

/// Some bytes, and the right to have them under way, which ends with them.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Bytes,
    _ticket: Option<Ticket>,
}

impl Payload {
    pub(super) fn new(bytes: Bytes, ticket: Ticket) -> Self {
        Self { bytes, _ticket: Some(ticket) }
    }

    /// No bytes: only the end is told.
    pub(super) const fn empty() -> Self {
        Self { bytes: Bytes::new(), _ticket: None }
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}
