//! The task that fetches a response for all who wait for it: fetch, reconcile, fill.

use std::sync::Arc;

use policy::{Reason, Terms};
use store::{Fill, Reader};
use tokio::sync::{mpsc, oneshot};

use super::fetch::{self, Conditions};
use super::fill::{self, Ended, Rushed};
use super::invalidations::Moment;
use super::join::Permit;
use super::reconcile::{self, Reconciled, Times};
use super::{Entry, Found, Request, Wanted};
use crate::entry::StoredHead;
use crate::error::FetchError;
use crate::origin::exchange::{Informational, Response, ResponseContent};
use crate::worker::Worker;

/// A fetch on behalf of one request and of all who wait for the same key.
pub(crate) struct Lead {
    pub(crate) worker: Arc<Worker>,
    pub(crate) request: Request,
    pub(crate) wanted: Wanted,
    /// Held if others may wait for this fetch.
    pub(crate) permit: Option<Permit>,
    pub(crate) interim: Option<mpsc::Sender<Informational>>,
}

/// What the request that started the fetch gets.
pub(crate) enum Led {
    /// A response that is in the store or on its way there.
    Stored {
        entry: Arc<Entry>,
        status: u16,
        /// Reads the body behind the fill.
        reader: Option<Reader<StoredHead>>,
    },
    /// A stored response that the origin confirmed; `kept` says whether it stays stored.
    Validated { entry: Arc<Entry>, kept: bool },
    /// A response for this request alone, with the reason it was not stored.
    Private { response: Box<Response>, why: &'static str },
    /// No response.
    Failed(Arc<FetchError>),
}

type ToLeader = Option<oneshot::Sender<Led>>;

impl Lead {
    /// Runs to the end, whoever leaves.
    pub(crate) async fn run(mut self, leader: ToLeader) {
        let began = self.worker.shared.invalidations.moment();
        match self.ask().await {
            Err(error) => self.fail(leader, error),
            Ok(Reconciled::Store(terms, response)) => {
                self.store(leader, terms, response, began).await;
            }
            Ok(Reconciled::DoNotStore(why, response)) => {
                self.pass_on(leader, response, why.code());
            }
            Ok(Reconciled::Freshened(entry)) => {
                self.share(&entry);
                tell(leader, Led::Validated { entry, kept: true });
            }
            Ok(Reconciled::FreshenedOnce(entry)) => {
                self.release(Some(200));
                tell(leader, Led::Validated { entry, kept: false });
            }
            Ok(Reconciled::AskAgain) => {
                let error = FetchError::Unasked { status: 304 };
                self.fail(leader, error);
            }
        }
    }

    /// Asks the origin, once more without conditions if it confirms what we do not have.
    async fn ask(&mut self) -> Result<Reconciled, FetchError> {
        let stored = match &self.wanted.found {
            Found::Unusable(entry, _) => Some(Arc::clone(entry)),
            Found::NotInMemory | Found::Nothing(_) => None,
        };
        if let Some(entry) = stored {
            match self.ask_once(&Conditions::Validating(&entry), true).await? {
                Reconciled::AskAgain => {}
                reconciled => return Ok(reconciled),
            }
        }
        self.ask_once(&Conditions::None, false).await
    }

    async fn ask_once(
        &self,
        conditions: &Conditions<'_>,
        conditional: bool,
    ) -> Result<Reconciled, FetchError> {
        let clock = &self.worker.shared.clock;
        let request = clock.now();
        let interim = self.interim.clone();
        let response = fetch::fetch(&self.worker, &self.request, conditions, None, interim).await?;
        let times = Times { request, response: clock.now() };
        reconcile::reconcile(
            &self.worker,
            &self.request,
            &self.wanted,
            response,
            times,
            conditional,
        )
    }

    /// Starts to store a response, and shares it as soon as its head is there.
    async fn store(self, leader: ToLeader, terms: Terms, response: Response, began: Moment) {
        let store = &self.worker.shared.store;
        let head = reconcile::stored_head(&self.worker, response.head.clone(), terms);
        let length = response.content.length();
        let mut fill = match store.begin(self.wanted.key.clone(), head, length) {
            Ok(fill) => fill,
            Err(refused) => return self.pass_on(leader, response, refused.code()),
        };
        if self.worker.shared.invalidations.since(began, &self.wanted.key) {
            return self.pass_on(leader, response, "invalidated");
        }
        self.worker.shared.unshareable.remove(&self.wanted.key);
        let Response { head, mut content } = response;
        // Before the first byte: a body that turns out too large is only passed along.
        let reader = leader.is_some().then(|| fill.entry().reader());
        let mut backlog = None;
        match fill::rush(&mut fill, &mut content, &mut backlog) {
            Err(error) => self.fail(leader, error),
            Ok(Rushed::Complete(tail)) => match fill.commit_now(&tail) {
                Ok((entry, _)) => {
                    self.share(&entry);
                    tell(leader, Led::Stored { entry, status: head.status, reader: None });
                }
                Err(fill) => self.stream(leader, reader, head.status, fill, content, backlog).await,
            },
            Ok(Rushed::Waiting) => {
                self.stream(leader, reader, head.status, fill, content, backlog).await;
            }
        }
    }

    /// Fills the store while leader and followers read behind.
    async fn stream(
        self,
        leader: ToLeader,
        reader: Option<Reader<StoredHead>>,
        status: u16,
        fill: Fill<StoredHead>,
        content: ResponseContent,
        backlog: Option<bytes::Bytes>,
    ) {
        let entry = fill.entry();
        let for_readers = leader.is_some();
        self.share(&entry);
        tell(leader, Led::Stored { entry, status, reader });
        if let Ended::Broken(error) = fill::run(fill, content, backlog, for_readers).await {
            self.worker.failed(&error);
        }
    }

    fn pass_on(self, leader: ToLeader, response: Response, why: &'static str) {
        let status = response.head.status;
        self.release(Some(status));
        tell(leader, Led::Private { response: Box::new(response), why });
    }

    fn fail(self, leader: ToLeader, error: FetchError) {
        self.worker.failed(&error);
        let error = Arc::new(error);
        if let Some(permit) = &self.permit {
            permit.fail(Arc::clone(&error));
        }
        tell(leader, Led::Failed(error));
    }

    fn share(&self, entry: &Arc<Entry>) {
        if let Some(permit) = &self.permit {
            permit.share(Arc::clone(entry));
        }
    }

    /// Lets those who wait go, and remembers that waiting does not help for this key.
    fn release(&self, status: Option<u16>) {
        let failed = status.is_some_and(|status| status >= 500);
        if !failed {
            self.worker.shared.unshareable.remember(&self.wanted.key);
        }
        if let Some(permit) = &self.permit {
            permit.release(status);
        }
    }
}

/// A request that has left in the meantime needs no answer.
fn tell(leader: ToLeader, led: Led) {
    if let Some(leader) = leader {
        let _ = leader.send(led);
    }
}
