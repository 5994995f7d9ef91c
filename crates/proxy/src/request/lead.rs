//! The task that fetches a response for all who wait for it: fetch, reconcile, fill.

use std::sync::Arc;

use policy::reason::NotStored;
use policy::{Reason, Terms};
use store::{Fill, Key, Reader};
use tokio::sync::{mpsc, oneshot};

use super::fetch::{self, Conditions};
use super::fill::{self, Ended, Rushed};
use super::flights::Permit;
use super::invalidations::Began;
use super::parts::{self, FetchedRange};
use super::reconcile::{self, Freshened, Reconciled, Times};
use super::{Entry, Found, Request, Wanted, other_variants, part_lead, reuse};
use crate::content::Informational;
use crate::entry::StoredHead;
use crate::error::FetchError;
use crate::head::ResponseHead;
use crate::origin::content::ResponseContent;
use crate::origin::exchange::Response;
use crate::worker::{Shared, Worker};

/// A fetch on behalf of one request and of all who wait for the same key.
pub(crate) struct Lead {
    pub(crate) worker: Arc<Worker>,
    pub(crate) request: Request,
    pub(crate) wanted: Wanted,
    /// Held if others may wait for this fetch.
    pub(crate) permit: Option<Permit>,
    /// Where informational responses go, if a client waits for them.
    pub(crate) informational: Option<mpsc::Sender<Informational>>,
}

/// What the request that started the fetch gets.
pub(crate) enum Led {
    /// A response that is in the store or on its way there.
    Stored(Storing),
    /// A stored response that the origin confirmed.
    Validated(Freshened),
    /// A part, or a whole that was put together from parts.
    Ranged(Box<FetchedRange>),
    /// A response for this request alone, with the reason it was not stored.
    Private { response: Box<Response>, why: &'static str },
    /// No response.
    Failed(Arc<FetchError>),
}

/// A response that is in the store or on its way there, as the request that started the fetch gets it.
pub(crate) struct Storing {
    pub(crate) entry: Arc<Entry>,
    pub(crate) origin: FromOrigin,
    /// Reads the body behind the fill.
    pub(crate) reader: Option<Reader<StoredHead>>,
    /// The whole head, if some of it is for this request alone.
    pub(crate) head: Option<Box<ResponseHead>>,
}

/// What the stored head no longer tells about the response as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromOrigin {
    pub(crate) status: u16,
    /// It had an `Age`: it came out of another cache.
    pub(crate) aged: bool,
    /// Why the store has not kept it, if that is certain already.
    pub(crate) unkept: Option<&'static str>,
}

pub(super) type ToLeader = Option<oneshot::Sender<Led>>;

/// What a response that is not stored says about the next one for the same resource.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It will not be for others either.
    Alike,
    /// Nothing.
    Open,
    /// It is another one: what was asked for is invalidated since.
    Renewed,
}

impl Outlook {
    pub(super) const fn of(why: NotStored) -> Self {
        match why {
            // Those who wait for such a request show who they are too.
            NotStored::Authorization | NotStored::ClientCertificate => Self::Alike,
            why if why.is_about_request() => Self::Open,
            _ => Self::Alike,
        }
    }

    /// That of a response that is out of date when it comes. As long as it is in doubt what an unsafe
    /// request does to the resource, the next one would be so too, and to wait for it would be in vain.
    fn of_outdated(shared: &Shared, key: &Key) -> Self {
        if shared.doubtful.contains(key) { Self::Open } else { Self::Renewed }
    }
}

impl Lead {
    /// Runs to the end, whoever leaves.
    pub(crate) async fn run(self, leader: ToLeader) {
        if part_lead::concerns(&self.wanted) {
            // Boxed, so that the task of all others is small: it is copied when it starts.
            return Box::pin(part_lead::run(self, leader)).await;
        }
        self.whole(leader).await;
    }

    /// Fetches the whole response.
    pub(super) async fn whole(self, leader: ToLeader) {
        let began = self.worker.shared.began();
        match self.ask(began).await {
            Err(error) => self.fail(leader, error),
            Ok(Reconciled::Store(terms, response)) => {
                self.store(leader, terms, response, began).await;
            }
            Ok(Reconciled::DoNotStore(why, response)) => {
                // What lies in this request says nothing about the next one.
                if !why.is_about_request() {
                    self.drop_outdated(response.head.status);
                }
                self.pass_on(leader, response, why.code(), Outlook::of(why));
            }
            Ok(Reconciled::Freshened(confirmed)) => {
                self.share_confirmed(&confirmed);
                tell(leader, Led::Validated(confirmed));
            }
        }
    }

    /// Shares a stored response that was confirmed with those who wait, if it is kept. What is used
    /// once is for this request alone.
    pub(super) fn share_confirmed(&self, Freshened { entry, kept, .. }: &Freshened) {
        if !kept {
            return self.release(304, Outlook::Open);
        }
        self.note_shareable(entry);
        if entry.meta().part().is_none() {
            self.worker.shared.aliases.learn(&self.wanted.key, &entry.meta().fields());
        }
        self.share(entry);
    }

    /// Drops the stale response that the origin was asked about, and has now answered otherwise: it is
    /// served no longer, although nothing takes its place. One that is still fresh is left to others:
    /// only this client wanted it validated. Other statuses may be about this client.
    fn drop_outdated(&self, status: u16) {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.3
        //# A full response (i.e., one containing content) indicates that none of the stored responses
        //# nominated in the conditional request are suitable.
        let Found::Unusable(entry, _) = &self.wanted.found else { return };
        let shared = &self.worker.shared;
        let is_fresh = entry.meta().terms.is_fresh(shared.clock.now());
        let is_stale = !is_fresh || reuse::purged(entry).is_some();
        if is_stale && matches!(status, 200 | 404 | 410) {
            shared.store.remove_entry(&self.wanted.key, entry);
        }
    }

    /// Asks the origin, once more without conditions if it confirms what we do not have.
    async fn ask(&self, began: Began) -> Result<Reconciled, FetchError> {
        if let Found::Unusable(entry, _) = &self.wanted.found
            && entry.meta().terms.has_validator()
            && let Some(reconciled) = self.ask_once(Some(entry), began).await?
        {
            return Ok(reconciled);
        }
        if let Some(reconciled) = other_variants::ask(self, began).await? {
            return Ok(reconciled);
        }
        self.ask_once(None, began).await?.ok_or(FetchError::Unasked { status: 304 })
    }

    async fn ask_once(
        &self,
        validating: Option<&Arc<Entry>>,
        began: Began,
    ) -> Result<Option<Reconciled>, FetchError> {
        let conditions = validating.map_or(Conditions::None, |entry| Conditions::Validating(entry));
        let (response, times) = self.fetch(&conditions, began).await?;
        self.reconcile(response, times, validating)
    }

    /// Asks the origin under these conditions.
    pub(super) async fn fetch(
        &self,
        conditions: &Conditions<'_>,
        began: Began,
    ) -> Result<(Response, Times), FetchError> {
        let clock = &self.worker.shared.clock;
        let asked = clock.now();
        let informational = self.informational.clone();
        let response =
            fetch::fetch(&self.worker, &self.request, conditions, None, informational).await?;
        let times = Times { began: began.labels, request: asked, response: clock.now() };
        Ok((response, times))
    }

    pub(super) fn reconcile(
        &self,
        response: Response,
        times: Times,
        validating: Option<&Arc<Entry>>,
    ) -> Result<Option<Reconciled>, FetchError> {
        let Self { worker, request, wanted, .. } = self;
        reconcile::reconcile(worker, request, wanted, response, times, validating)
    }

    /// Starts to store a response, and shares it as soon as its head is there.
    pub(super) async fn store(
        self,
        leader: ToLeader,
        terms: Terms,
        response: Response,
        began: Began,
    ) {
        let store = &self.worker.shared.store;
        let (worker, request) = (&self.worker, &self.request);
        let head = response.head.clone();
        let head = reconcile::stored_head(worker, request, head, terms, began.labels);
        let length = response.content.length();
        let mut fill = match store.begin(self.wanted.key.clone(), head, length) {
            Ok(fill) => fill,
            Err(refused) => return self.pass_on(leader, response, refused.code(), Outlook::Alike),
        };
        let shared = &self.worker.shared;
        let key = &self.wanted.key;
        if let Some(why) = shared.outdated(key, &fill.entry(), began) {
            let outlook = Outlook::of_outdated(shared, key);
            return self.pass_on(leader, response, why.code(), outlook);
        }
        self.note_shareable(&fill.entry());
        shared.aliases.learn(key, &fill.entry().meta().fields());
        let Response { head, mut content } = response;
        let aged = head.fields.contains("Age");
        let origin = FromOrigin { status: head.status, aged, unkept: None };
        let head = reconcile::own_head(worker, head);
        // Before the first byte: a body that turns out too large is only passed along.
        let reader = leader.is_some().then(|| fill.entry().reader());
        let mut backlog = None;
        let fill = match fill::rush(&mut fill, &mut content, &mut backlog, &shared.rules) {
            Err(error) => return self.fail(leader, error),
            Ok(Rushed::Waiting) => fill,
            Ok(Rushed::Complete(tail)) => match fill.commit_now(&tail) {
                Err(fill) => fill,
                Ok((entry, committed)) => {
                    parts::superseded(&self.worker, &self.wanted, &entry);
                    self.share(&entry);
                    let origin = FromOrigin { unkept: committed.why_not(), ..origin };
                    return tell(
                        leader,
                        Led::Stored(Storing { entry, origin, reader: None, head }),
                    );
                }
            },
        };
        let stored = Storing { entry: fill.entry(), origin, reader, head };
        Box::pin(self.stream(leader, stored, fill, content, backlog)).await;
    }

    /// Fills the store while leader and followers read behind.
    async fn stream(
        self,
        leader: ToLeader,
        stored: Storing,
        fill: Fill<StoredHead>,
        content: ResponseContent,
        backlog: Option<bytes::Bytes>,
    ) {
        let for_readers = leader.is_some();
        self.share(&stored.entry);
        tell(leader, Led::Stored(stored));
        let whole = fill.entry();
        let rules = &self.worker.shared.rules;
        match fill::run(fill, content, backlog, for_readers, || self.is_awaited(), rules).await {
            Ended::Broken(broken) => self.worker.broke(&broken),
            Ended::Whole => parts::superseded(&self.worker, &self.wanted, &whole),
            Ended::Deserted => {}
        }
    }

    /// Whether it helps to wait for such a response: one that has to be validated for each request
    /// is of no use to those who wait for it.
    pub(super) fn note_shareable(&self, entry: &Entry) {
        let shared = &self.worker.shared;
        if entry.meta().terms.is_shareable(shared.clock.now()) {
            shared.uncacheable.remove(self.wanted.flight());
        } else {
            shared.uncacheable.remember(self.wanted.flight());
        }
    }

    pub(super) fn pass_on(
        self,
        leader: ToLeader,
        response: Response,
        why: &'static str,
        outlook: Outlook,
    ) {
        self.release(response.head.status, outlook);
        if leader.is_none() {
            // Nothing was renewed, and the next request would have it tried again at once.
            self.worker.shared.unrefreshable.remember(self.wanted.flight());
        }
        tell(leader, Led::Private { response: Box::new(response), why });
    }

    pub(super) fn fail(self, leader: ToLeader, error: FetchError) {
        self.worker.failed(&error);
        if leader.is_none() {
            self.worker.shared.unrefreshable.remember(self.wanted.flight());
        }
        let error = Arc::new(error);
        if let Some(permit) = &self.permit {
            permit.fail(Arc::clone(&error));
        }
        tell(leader, Led::Failed(error));
    }

    /// Whether someone waits for this fetch who may not have begun to read yet.
    pub(super) fn is_awaited(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_awaited)
    }

    pub(super) fn share(&self, entry: &Arc<Entry>) {
        if let Some(permit) = &self.permit {
            permit.share(Arc::clone(entry));
        }
    }

    /// Lets those who wait go, and remembers it if waiting does not help for this key. An origin's
    /// error, or what it tells one client of a limit, says nothing about the next response, so others
    /// of them try first.
    pub(super) fn release(&self, status: u16, outlook: Outlook) {
        let (shared, flight) = (&self.worker.shared, self.wanted.flight());
        let is_error = status >= 500;
        if is_error {
            shared.unrefreshable.remember(flight);
        } else if outlook == Outlook::Alike {
            shared.uncacheable.remember(flight);
        }
        match &self.permit {
            Some(permit) if outlook == Outlook::Renewed => permit.outdated(),
            Some(permit) if is_error || matches!(status, 428 | 429 | 431) => permit.refused(status),
            Some(permit) => permit.release(status),
            None => {}
        }
    }
}

/// A request that has left in the meantime needs no answer.
pub(super) fn tell(leader: ToLeader, led: Led) {
    if let Some(leader) = leader {
        let _ = leader.send(led);
    }
}
