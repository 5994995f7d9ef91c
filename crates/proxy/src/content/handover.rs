//! Hands one thing at a time from one task to another, and only when it is wanted: whoever is slow to
//! take has nothing piled up before it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Both ends.
pub(super) fn handover<T>() -> (Giver<T>, Taker<T>) {
    let shared = Arc::new(Shared(Mutex::new(State {
        thing: None,
        wanted: false,
        over: false,
        giver: None,
        taker: None,
    })));
    (Giver(Arc::clone(&shared)), Taker(shared))
}

/// The other end is gone.
#[derive(Debug)]
pub(super) struct Gone;

#[derive(Debug)]
pub(super) struct Giver<T>(Arc<Shared<T>>);

#[derive(Debug)]
pub(super) struct Taker<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    thing: Option<T>,
    /// The taker waits, and has been given nothing.
    wanted: bool,
    /// One end is gone.
    over: bool,
    giver: Option<Waker>,
    taker: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        for waker in [state.giver.take(), state.taker.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl<T> Giver<T> {
    /// Waits until something is wanted.
    pub(super) async fn wanted(&self) -> Result<(), Gone> {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.over {
                return Poll::Ready(Err(Gone));
            }
            if state.wanted {
                return Poll::Ready(Ok(()));
            }
            state.giver = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Gives what is wanted.
    pub(super) fn give(&self, thing: T) -> Result<(), Gone> {
        let mut state = self.0.lock();
        if state.over {
            return Err(Gone);
        }
        (state.thing, state.wanted) = (Some(thing), false);
        if let Some(waker) = state.taker.take() {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> Taker<T> {
    /// Says that something is wanted, and takes it when it is there.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Result<T, Gone>> {
        let mut state = self.0.lock();
        if let Some(thing) = state.thing.take() {
            return Poll::Ready(Ok(thing));
        }
        if state.over {
            return Poll::Ready(Err(Gone));
        }
        state.wanted = true;
        state.taker = Some(cx.waker().clone());
        if let Some(waker) = state.giver.take() {
            waker.wake();
        }
        Poll::Pending
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// What a future comes to without waiting.
    fn now<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn take<T>(taker: &Taker<T>) -> Poll<Result<T, Gone>> {
        taker.poll_take(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn nothing_is_wanted_before_it_is_asked_for_nor_again_before_it_is_taken() {
        let (giver, taker) = handover();
        assert!(now(giver.wanted()).is_pending());
        assert!(take(&taker).is_pending());
        assert!(matches!(now(giver.wanted()), Poll::Ready(Ok(()))));
        giver.give(1).unwrap();
        assert!(now(giver.wanted()).is_pending());
        assert!(matches!(take(&taker), Poll::Ready(Ok(1))));
        assert!(now(giver.wanted()).is_pending(), "it has one, and has not asked for another");
        assert!(take(&taker).is_pending());
        assert!(matches!(now(giver.wanted()), Poll::Ready(Ok(()))));
    }

    #[test]
    fn what_was_given_is_there_although_the_giver_has_left() {
        let (giver, taker) = handover();
        assert!(take(&taker).is_pending());
        giver.give(1).unwrap();
        drop(giver);
        assert!(matches!(take(&taker), Poll::Ready(Ok(1))));
        assert!(matches!(take(&taker), Poll::Ready(Err(Gone))));
    }

    #[test]
    fn a_giver_learns_that_nobody_takes_any_more() {
        let (giver, taker) = handover::<u8>();
        drop(taker);
        assert!(matches!(now(giver.wanted()), Poll::Ready(Err(Gone))));
        assert!(giver.give(1).is_err());
    }

    #[test]
    fn each_end_wakes_the_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (giver, taker) = handover();
            let give = async {
                for number in 0..100 {
                    giver.wanted().await.unwrap();
                    giver.give(number).unwrap();
                }
                drop(giver);
            };
            let take = async {
                let mut all = Vec::new();
                while let Ok(number) = poll_fn(|cx| taker.poll_take(cx)).await {
                    all.push(number);
                }
                all
            };
            let ((), all) = tokio::join!(give, take);
            assert_eq!(all, (0..100).collect::<Vec<_>>());
        });
    }
}
