//! A process that takes over from this one, and the one that this one has taken over from.
//!
//! As long as both serve, what becomes untrue in one is untrue in the other before whoever caused it
//! is told so. The older one tells the newer one what it is about. The newer one tells only that there
//! was something, and the older one, which has few requests left, forgets all that it has.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Key, Label};
use tokio::sync::oneshot;

/// What is not true any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Primary keys: what is stored for them, in whatever variant.
    pub keys: Vec<Vec<u8>>,
    /// What has one of these labels.
    pub labels: Vec<u64>,
    /// The origin may still act: nothing is to be stored for these keys for a while.
    pub doubtful: bool,
}

impl Forgotten {
    /// True if it is about nothing.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.labels.is_empty()
    }
}

/// The process that takes over, as this one sees it.
pub trait Heir: Send + Sync + 'static {
    /// Has it forget this too. The answer comes when it has, and all that it was told before, or when
    /// it turns out that there is no such process. Does not wait.
    fn forget(&self, what: Forgotten) -> oneshot::Receiver<()>;
    /// True if it may have forgotten something by itself since the last time.
    fn has_forgotten(&self) -> bool;
}

/// What this process gets from the one that it takes over from.
#[derive(Debug, Default)]
pub struct Legacy {
    /// The lock of the store's directory.
    pub lock: Option<File>,
    /// Each takes a byte whenever something is forgotten here: one of that process, and those of the
    /// ones before that may not have ended yet.
    pub predecessors: Vec<UnixStream>,
    /// Keys whose resource an unsafe request may still change.
    pub doubtful: Vec<Vec<u8>>,
}

/// The two ends.
pub(crate) struct Succession {
    has_heir: AtomicBool,
    heir: Mutex<Option<Arc<dyn Heir>>>,
    has_predecessors: AtomicBool,
    predecessors: Mutex<Vec<UnixStream>>,
}

/// Processes that may still be draining. One more, and the oldest relies on nothing that it has.
const PREDECESSORS: usize = 16;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing below leaves anything half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Succession {
    /// The first of the predecessors is the last that served.
    pub(crate) fn new(mut predecessors: Vec<UnixStream>) -> Self {
        predecessors.truncate(PREDECESSORS);
        Self {
            has_heir: AtomicBool::new(false),
            heir: Mutex::new(None),
            has_predecessors: AtomicBool::new(!predecessors.is_empty()),
            predecessors: Mutex::new(predecessors),
        }
    }

    pub(crate) fn set_heir(&self, heir: Option<Arc<dyn Heir>>) {
        let mut current = lock(&self.heir);
        self.has_heir.store(heir.is_some(), Ordering::SeqCst);
        *current = heir;
    }

    /// The predecessors, for the heir to tell them too.
    pub(crate) fn predecessors(&self) -> io::Result<Vec<UnixStream>> {
        lock(&self.predecessors).iter().map(UnixStream::try_clone).collect()
    }

    /// Tells the predecessors nothing more. One that the heir does not tell either sees the end of the
    /// stream.
    pub(crate) fn leave_predecessors(&self) {
        lock(&self.predecessors).clear();
        self.has_predecessors.store(false, Ordering::SeqCst);
    }

    /// Tells the predecessors that something was forgotten here. They know when this returns.
    pub(crate) fn tell_predecessors(&self) {
        if !self.has_predecessors.load(Ordering::SeqCst) {
            return;
        }
        let mut predecessors = lock(&self.predecessors);
        predecessors.retain(|mut stream| {
            // A full socket has told it already. Any other error says that it is gone.
            let told = stream.write(&[1]);
            told.map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |_| true)
        });
        self.has_predecessors.store(!predecessors.is_empty(), Ordering::SeqCst);
    }

    /// Lets go of the predecessors that have ended. One that lives says nothing.
    pub(crate) fn let_ended_go(&self) {
        if !self.has_predecessors.load(Ordering::SeqCst) {
            return;
        }
        let mut predecessors = lock(&self.predecessors);
        predecessors.retain(|mut stream| {
            let heard = stream.read(&mut [0]);
            heard.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        });
        self.has_predecessors.store(!predecessors.is_empty(), Ordering::SeqCst);
    }

    /// Tells the heir, if there is one, that something was forgotten here.
    pub(crate) fn tell_heir(
        &self,
        keys: &[Key],
        labels: &[Label],
        doubtful: bool,
    ) -> impl Future<Output = ()> + Send + use<> {
        let has_heir = self.has_heir.load(Ordering::SeqCst);
        let heir = if has_heir { lock(&self.heir).clone() } else { None };
        let answer = heir.map(|heir| {
            let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
            let labels = labels.iter().map(|label| label.number()).collect();
            heir.forget(Forgotten { keys, labels, doubtful })
        });
        async move {
            if let Some(answer) = answer {
                // An error says that there is nobody to be told.
                let _ = answer.await;
            }
        }
    }

    /// True if what is known here may be untrue since the last time.
    pub(crate) fn has_heir_forgotten(&self) -> bool {
        self.has_heir.load(Ordering::Relaxed)
            && lock(&self.heir).as_ref().is_some_and(|heir| heir.has_forgotten())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_predecessor_is_told_that_there_was_something_and_never_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let succession = Succession::new(vec![ours]);
        for _ in 0..1_000_000 {
            succession.tell_predecessors();
        }
        assert!(theirs.read(&mut [0; 8]).unwrap() > 0);
        succession.leave_predecessors();
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).unwrap();
        succession.tell_predecessors();
    }

    #[test]
    fn the_socket_of_a_predecessor_is_kept_as_long_as_it_lives() {
        let pair = || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            (ours, theirs)
        };
        let ((first, mut one), (second, other)) = (pair(), pair());
        let succession = Succession::new(vec![first, second]);
        succession.let_ended_go();
        assert_eq!(lock(&succession.predecessors).len(), 2);
        drop(other);
        succession.let_ended_go();
        succession.tell_predecessors();
        assert_eq!(one.read(&mut [0; 8]).unwrap(), 1);
        drop(one);
        succession.let_ended_go();
        assert!(lock(&succession.predecessors).is_empty());
        assert!(!succession.has_predecessors.load(Ordering::SeqCst));
    }

    #[test]
    fn a_predecessor_that_is_gone_is_told_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let succession = Succession::new(vec![ours]);
        drop(theirs);
        succession.tell_predecessors();
        assert!(!succession.has_predecessors.load(Ordering::SeqCst));
    }
}
