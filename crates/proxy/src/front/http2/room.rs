//! How much content a client may send by one connection before it is taken.
//!
//! A connection has room for one upload that stands still. More of them at once widen it, as long as
//! all connections together have no more than there is for that: most never upload two things at once,
//! and those that do cannot hold a window each that is large enough for any of them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::Http2Limits;

/// The room of one connection.
pub(super) struct Room {
    window: u32,
    /// One for each upload under way, and this one.
    uploads: Arc<()>,
    /// Its share of what all connections have in common. It is kept until the connection ends: a window
    /// that a client was given cannot be taken back.
    wider: Option<OwnedSemaphorePermit>,
}

/// Counts an upload as long as it lives.
pub(super) struct Upload(#[expect(dead_code, reason = "it is held, and no more")] Arc<()>);

/// The window of a connection without uploads.
pub(super) fn first_window(limits: &Http2Limits) -> u32 {
    limits.stream_window.min(limits.connection_window)
}

impl Room {
    pub(super) fn new(limits: &Http2Limits) -> Self {
        Self { window: first_window(limits), uploads: Arc::new(()), wider: None }
    }

    /// An upload begins. Also says how wide the window of the connection is to be, if that changes.
    pub(super) fn begin(
        &mut self,
        common: &Arc<Semaphore>,
        limits: &Http2Limits,
    ) -> (Upload, Option<u32>) {
        let upload = Upload(Arc::clone(&self.uploads));
        (upload, self.widen(common, limits))
    }

    /// Twice as wide each time: the codec tells the client of nothing less than half as much again.
    fn widen(&mut self, common: &Arc<Semaphore>, limits: &Http2Limits) -> Option<u32> {
        let uploads = u32::try_from(Arc::strong_count(&self.uploads) - 1).unwrap_or(u32::MAX);
        let wanted = uploads.checked_next_power_of_two()?.saturating_mul(limits.stream_window);
        let wanted = wanted.min(limits.connection_window);
        let more = wanted.checked_sub(self.window).filter(|more| *more > 0)?;
        let permit = Arc::clone(common).try_acquire_many_owned(more).ok()?;
        match &mut self.wider {
            Some(wider) => wider.merge(permit),
            wider => *wider = Some(permit),
        }
        self.window = wanted;
        Some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: u32 = 64 << 10;

    fn begin(room: &mut Room, common: &Arc<Semaphore>) -> (Upload, Option<u32>) {
        room.begin(common, &Http2Limits::default())
    }

    #[test]
    fn a_connection_is_widened_for_uploads_at_once_up_to_its_limit() {
        let common = Arc::new(Semaphore::new(100 << 20));
        let mut room = Room::new(&Http2Limits::default());
        // One after the other.
        for _ in 0..100 {
            assert_eq!(begin(&mut room, &common).1, None);
        }
        let mut uploads = Vec::new();
        let mut windows = Vec::new();
        for number in 1..=40 {
            let (upload, window) = begin(&mut room, &common);
            uploads.push(upload);
            windows.extend(window.map(|window| (number, window / STREAM)));
        }
        assert_eq!(windows, [(2, 2), (3, 4), (5, 8), (9, 16)]);
        // It stays so for the next ones, and is given back in the end.
        uploads.clear();
        assert_eq!(begin(&mut room, &common).1, None);
        assert_eq!(common.available_permits(), (100 << 20) - 15 * STREAM as usize);
        drop(room);
        assert_eq!(common.available_permits(), 100 << 20);
    }

    #[test]
    fn all_connections_together_are_widened_by_so_much_and_not_one_byte_more() {
        for (common, second) in [(STREAM, Some(2 * STREAM)), (STREAM - 1, None)] {
            let common = Arc::new(Semaphore::new(common as usize));
            let mut rooms = [(); 2].map(|()| Room::new(&Http2Limits::default()));
            let [one, other] = &mut rooms;
            let _uploads = [begin(one, &common).0, begin(other, &common).0];
            assert_eq!(begin(one, &common).1, second);
            assert_eq!(begin(other, &common).1, None);
        }
    }
}
