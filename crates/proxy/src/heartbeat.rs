//! Whether the workers still do anything: they are asked, and answer between two things that they do.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// One question at a time, to all workers.
pub(crate) struct Heartbeat {
    /// The number of the last question.
    asked: AtomicU64,
    workers: Box<[Answering]>,
}

#[derive(Default)]
struct Answering {
    /// The last question that it has answered.
    answered: AtomicU64,
    wake: Notify,
}

impl Heartbeat {
    pub(crate) fn of(workers: usize) -> Self {
        let workers = (0..workers).map(|_| Answering::default()).collect();
        Self { asked: AtomicU64::new(0), workers }
    }

    /// Asks all. Does not wait.
    pub(crate) fn ask(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.workers.iter().for_each(|worker| worker.wake.notify_one());
    }

    /// True if each has answered since it was last asked.
    pub(crate) fn all_have_answered(&self) -> bool {
        let asked = self.asked.load(Ordering::Acquire);
        self.workers.iter().all(|worker| worker.answered.load(Ordering::Acquire) == asked)
    }

    /// Answers for one worker as long as this is polled.
    pub(crate) async fn answer(&self, number: usize) {
        let Some(worker) = self.workers.get(number) else { return std::future::pending().await };
        loop {
            worker.wake.notified().await;
            worker.answered.store(self.asked.load(Ordering::Acquire), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn one_who_does_not_answer_is_enough() {
        let heartbeat = Heartbeat::of(2);
        let mut first = pin!(heartbeat.answer(0));
        let mut second = pin!(heartbeat.answer(1));
        let mut now = Context::from_waker(Waker::noop());
        assert!(heartbeat.all_have_answered(), "nobody was asked");
        for _ in 0..3 {
            heartbeat.ask();
            assert!(first.as_mut().poll(&mut now).is_pending());
            assert!(!heartbeat.all_have_answered(), "one has");
            assert!(second.as_mut().poll(&mut now).is_pending());
            assert!(heartbeat.all_have_answered());
        }
        // An answer to the last question but one is none.
        heartbeat.ask();
        assert!(first.as_mut().poll(&mut now).is_pending());
        heartbeat.ask();
        assert!(second.as_mut().poll(&mut now).is_pending());
        assert!(!heartbeat.all_have_answered());
    }
}
