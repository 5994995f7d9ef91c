//! What an unsafe request makes untrue, its cache groups included (RFC 9111 §4.4, RFC 9875).

use std::sync::Arc;
use std::time::Duration;

use policy::Fields;
use policy::groups::{groups, invalidated_groups};
use store::{Fate, Key, Label, Matcher, Meta};
use tokio::time::timeout;

use super::invalidations::Noted;
use super::{Request, labels};
use crate::worker::Worker;

/// How long stored responses that become invalid are looked for, to learn their groups.
const LOOK: Duration = Duration::from_secs(1);

/// Forgets what is stored for `keys`, which a response to an unsafe request makes invalid, and ends
/// the groups that the response names and those that the forgotten belong to. Once it returns, that
/// holds, and is on disk unless the disk fails. A client that leaves does not stop it half way.
/// Says when the first of the keys was forgotten.
pub(crate) async fn invalidate(
    worker: &Arc<Worker>,
    request: &Request,
    response: &Fields,
    keys: Vec<Key>,
) -> Option<Noted> {
    //= https://www.rfc-editor.org/rfc/rfc9875#section-3
    //# A cache that receives a Cache-Group-Invalidation header field on a response to an unsafe
    //# request MAY invalidate any stored responses that share groups (per Section 2.1) with any of
    //# the listed groups.
    let named = invalidated_groups(&request.head.method, response);
    if keys.is_empty() && named.is_empty() {
        return None;
    }
    let (worker, request) = (Arc::clone(worker), request.clone());
    let work = tokio::spawn(async move {
        let store = &worker.shared.store;
        let named_labels: Vec<_> = labels::of_groups(&worker, &request.head, &named).collect();
        // Each holds when it is called; what is waited for is the disk.
        let named = end(&worker, &named_labels);
        let shared = timeout(LOOK, groups_of(&worker, &request, &keys)).await.unwrap_or_default();
        let noted = keys.iter().map(|key| worker.shared.forget(key)).reduce(|first, _| first);
        let heir =
            worker.shared.succession.tell_heir(&[], &[&named_labels[..], &shared].concat(), false);
        let shared = end(&worker, &shared);
        heir.await;
        // Those whose removal a kill could undo, then what not even a power cut may.
        store.recorded().await;
        named.await;
        shared.await;
        noted
    });
    // It only fails to end if it panics.
    work.await.ok().flatten()
}

/// Ends these labels. What is returned waits for the disk.
fn end(worker: &Worker, labels: &[Label]) -> impl Future<Output = ()> + Send + use<> {
    let matchers: Vec<_> = labels.iter().copied().map(Matcher::Label).collect();
    let ended = worker.shared.store.invalidate(&matchers, Fate::Dead);
    if !matchers.is_empty() {
        worker.shared.succession.tell_predecessors();
    }
    ended
}

/// The groups of what is stored for these keys.
async fn groups_of(worker: &Worker, request: &Request, keys: &[Key]) -> Vec<Label> {
    //= https://www.rfc-editor.org/rfc/rfc9875#section-2.2.1
    //# A cache that invalidates a stored response MAY invalidate any stored responses that share
    //# groups (per Section 2.1) with that response. Note that further grouped invalidations are not
    //# triggered by a grouped invalidation
    let mut all = Vec::new();
    for key in keys {
        let Some(variants) = worker.shared.store.look_up(key).await else { continue };
        for entry in variants.iter().filter(|entry| !entry.meta().labels().is_empty()) {
            all.extend(labels::of_groups(worker, &request.head, &groups(&entry.meta().fields())));
        }
    }
    all
}
