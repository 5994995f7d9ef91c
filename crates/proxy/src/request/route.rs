//! Step 3: the site whose rules and origin apply.

use crate::head::RequestHead;
use crate::worker::{Site, Worker};

/// The site for a request. A proxy that is started with one origin has one site, which answers for
/// every host; the host still is part of the cache key.
pub(crate) fn route<'w>(worker: &'w Worker, _head: &RequestHead) -> &'w Site {
    &worker.shared.site
}
