//! Threads that do what may block, and the queue before them. No worker ever waits for a file.

use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// Locks, also after a panic elsewhere: every critical section here leaves whole data behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the store is closing. Who waits for better times waits here.
#[derive(Default)]
pub(crate) struct Closing {
    set: Mutex<bool>,
    told: Condvar,
}

impl Closing {
    pub(crate) fn set(&self) {
        *lock(&self.set) = true;
        self.told.notify_all();
    }

    pub(crate) fn is_set(&self) -> bool {
        *lock(&self.set)
    }

    /// Waits for so long, or until the store is closing.
    pub(crate) fn wait(&self, time: Duration) {
        let set = lock(&self.set);
        drop(self.told.wait_timeout_while(set, time, |set| !*set));
    }
}

/// A queue of jobs, done in order by each of its threads.
pub(crate) struct Lane {
    state: Mutex<State>,
    wake: Condvar,
    ended: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    open: bool,
    /// What is queued waits until it is resumed.
    paused: bool,
    threads: usize,
}

impl Lane {
    /// Starts `threads` threads; each keeps `held` until it ends.
    pub(crate) fn start<T: Send + Sync + 'static>(
        name: &str,
        threads: usize,
        held: &Arc<T>,
    ) -> io::Result<Arc<Self>> {
        let state = State { jobs: VecDeque::new(), open: true, paused: false, threads: 0 };
        let lane = Arc::new(Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            ended: Condvar::new(),
        });
        for _ in 0..threads {
            let (of_thread, held) = (Arc::clone(&lane), Arc::clone(held));
            lock(&lane.state).threads += 1;
            let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
                let _leave = Leave(&of_thread);
                of_thread.work();
                drop(held);
            });
            if let Err(error) = started {
                lock(&lane.state).threads -= 1;
                lane.close();
                return Err(error);
            }
        }
        Ok(lane)
    }

    /// Queues a job. False if the lane is closed: the job is dropped undone.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = lock(&self.state);
        if state.open {
            state.jobs.push_back(Box::new(job));
            self.wake.notify_one();
        }
        state.open
    }

    /// Jobs that nobody has begun.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state).jobs.len()
    }

    /// Takes no more jobs; what is queued is still done.
    pub(crate) fn close(&self) {
        lock(&self.state).open = false;
        self.wake.notify_all();
    }

    /// What is queued waits from now on, if this is still wanted. As the last thing that a job of a
    /// lane with one thread does, nothing comes between that job and the pause.
    pub(crate) fn pause_if(&self, wanted: impl FnOnce() -> bool) {
        let mut state = lock(&self.state);
        state.paused = wanted();
    }

    /// Goes on after [`Lane::pause_if`]. Whoever wants no pause any more says so before.
    pub(crate) fn resume(&self) {
        lock(&self.state).paused = false;
        self.wake.notify_all();
    }

    /// Closes, and drops undone what is queued.
    pub(crate) fn abandon(&self) {
        let undone = {
            let mut state = lock(&self.state);
            (state.open, state.paused) = (false, false);
            std::mem::take(&mut state.jobs)
        };
        self.wake.notify_all();
        // What is dropped may want to queue something itself.
        drop(undone);
    }

    /// Waits until the threads of a closed lane have ended, but not for a disk that hangs.
    pub(crate) fn join(&self, patience: Duration) {
        let state = lock(&self.state);
        drop(self.ended.wait_timeout_while(state, patience, |state| state.threads > 0));
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A job that panics loses its own answer, never the thread that others wait for.
            drop(panic::catch_unwind(AssertUnwindSafe(job)));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            let job = if state.paused { None } else { state.jobs.pop_front() };
            match job {
                Some(job) => return Some(job),
                None if !state.open && !state.paused => return None,
                None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Signs a thread off, however it ends.
struct Leave<'a>(&'a Lane);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).threads -= 1;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_closed_lane_finishes_its_queue_and_takes_no_more() {
        let done = Arc::new(AtomicUsize::new(0));
        let lane = Lane::start("test", 2, &done).unwrap();
        for _ in 0..100 {
            let done = Arc::clone(&done);
            let count = move || _ = done.fetch_add(1, Ordering::SeqCst);
            assert!(lane.submit(count));
        }
        lane.close();
        assert!(!lane.submit(|| ()));
        lane.join(Duration::from_secs(10));
        assert_eq!(done.load(Ordering::SeqCst), 100);
    }

    #[test]
    fn what_waits_in_a_paused_lane_is_done_later_or_dropped() {
        for resumed in [true, false] {
            let done = Arc::new(AtomicUsize::new(0));
            let lane = Lane::start("test", 1, &done).unwrap();
            let (paused, told) = std::sync::mpsc::channel();
            let of_job = Arc::clone(&lane);
            lane.submit(move || {
                of_job.pause_if(|| true);
                paused.send(()).unwrap();
            });
            let counted = Arc::clone(&done);
            lane.submit(move || _ = counted.fetch_add(1, Ordering::SeqCst));
            told.recv().unwrap();
            assert_eq!((lane.waiting(), done.load(Ordering::SeqCst)), (1, 0));
            if resumed {
                lane.resume();
                lane.close();
            } else {
                lane.abandon();
                assert!(!lane.submit(|| ()));
            }
            lane.join(Duration::from_secs(10));
            assert_eq!(done.load(Ordering::SeqCst), usize::from(resumed));
        }
    }

    #[test]
    fn a_thread_gives_back_what_it_held_before_it_counts_as_ended() {
        let held = Arc::new(());
        let lane = Lane::start("test", 3, &held).unwrap();
        assert_eq!(Arc::strong_count(&held), 4);
        lane.close();
        lane.join(Duration::from_secs(10));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
