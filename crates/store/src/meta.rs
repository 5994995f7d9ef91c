//! What the user of the store keeps beside a body.

use crate::labels::{Labels, Moment};

/// The user's description of a body: decoded once, then shared by every reader.
///
/// The store never looks inside. It asks for bytes to write to disk, a weight to account for, and
/// the variant, which tells apart the entries of one key.
pub trait Meta: Send + Sync + Sized + 'static {
    /// Appends the form kept on disk to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads what [`Meta::encode`] wrote; `None` drops the stored entry as damaged.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Bytes held on the heap, for the accounting of the memory tier.
    fn weight(&self) -> usize;

    /// Entries of one key with an equal variant replace each other.
    fn variant(&self) -> &[u8];

    /// True if the body may lack some of its bytes: it was written by
    /// [`begin_part`](crate::Store::begin_part), and [`Entry::present`](crate::Entry::present) says
    /// which it has.
    fn is_partial(&self) -> bool {
        false
    }

    /// What partial metadata becomes once nothing is missing: that of the whole, which has another
    /// variant.
    fn completed(&self) -> Option<Self> {
        None
    }

    /// What the entry has in common with others, so that [`invalidate`](crate::Store::invalidate)
    /// can end them together, and the moment from which on that counts for it.
    fn labels(&self) -> &Labels {
        Labels::NONE
    }

    /// The moment from which on an event counts for the entry.
    fn began(&self) -> Moment {
        self.labels().began()
    }
}
