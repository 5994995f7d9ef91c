//! The newer process, as the older one speaks with it.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use proxy::Forgotten;
use tokio::sync::oneshot;

use super::{Phase, Succession, word};
use crate::control::{self, AskError, Request};
use crate::output::{Event, Log};

/// Tells the newer process what is not true any more, by its control socket.
pub(super) struct Heir {
    /// Each sender waits for its answer, so that there are no more than requests under way.
    queue: Mutex<Sender<Message>>,
    /// Gets a byte whenever the newer process has forgotten something.
    changes: UnixStream,
    succession: Arc<Succession>,
}

struct Message {
    what: Forgotten,
    _answer: oneshot::Sender<()>,
}

impl Heir {
    /// Starts the thread that tells; it ends with what is returned.
    pub(super) fn start(
        changes: UnixStream,
        succession: Arc<Succession>,
        directory: PathBuf,
        log: Log,
    ) -> io::Result<Arc<Self>> {
        changes.set_nonblocking(true)?;
        let (queue, messages) = channel();
        let named = thread::Builder::new().name("heir".to_owned());
        let waits_for = Arc::clone(&succession);
        named.spawn(move || tell_all(&messages, &waits_for, &directory, &log))?;
        Ok(Arc::new(Self { queue: Mutex::new(queue), changes, succession }))
    }
}

impl proxy::Heir for Heir {
    fn forget(&self, what: Forgotten) -> oneshot::Receiver<()> {
        let (answer, told) = oneshot::channel();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a thread the answer is dropped, which says that nobody is told.
        let _ = queue.send(Message { what, _answer: answer });
        told
    }

    fn has_forgotten(&self) -> bool {
        match (&self.changes).read(&mut [0; 256]) {
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            // One that ends before it serves has forgotten nothing. Later nobody would tell any more.
            Ok(0) => self.succession.phase_now() == Phase::Theirs,
            Ok(_) => true,
        }
    }
}

fn tell_all(
    messages: &Receiver<Message>,
    succession: &Succession,
    directory: &std::path::Path,
    log: &Log,
) {
    // Where nobody was found for so long, nobody waits as long again.
    let mut is_alone = false;
    for Message { what, _answer } in messages {
        // If this process goes on, all is as it should be.
        if succession.phase_when_known() == Phase::Ours || what.is_empty() {
            continue;
        }
        let request = Request::Forget(what.clone());
        let ask = if is_alone { control::ask } else { control::ask_patiently };
        let told = ask(directory, &request);
        is_alone = told.is_err();
        let Err(error) = told else { continue };
        let is_left = word::leave(directory, &what).is_ok();
        // Whoever begins to listen now finds it there; whoever has begun before that can be asked.
        if control::ask(directory, &request).is_ok() || is_left {
            continue;
        }
        let code = "heir-not-told";
        let message = match error {
            AskError::NotRunning => "no process has taken over".to_owned(),
            error => error.to_string(),
        };
        let message = format!("what an unsafe request made invalid may be served: {message}");
        log.say(Event::Trouble { code, message, times: 1 });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proxy::Heir as _;

    use super::*;
    use crate::output::{self, Level, Style};

    #[test]
    fn it_is_known_whether_something_was_forgotten_since() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (log, _writer) = output::start(Level::Off, Style::Json, || 0, std::io::sink()).unwrap();
        let succession = Arc::new(Succession::default());
        let heir = Heir::start(ours, Arc::clone(&succession), PathBuf::new(), log).unwrap();
        assert!(!heir.has_forgotten());
        theirs.write_all(&[1; 9]).unwrap();
        assert!(heir.has_forgotten() && !heir.has_forgotten());
        // What is told while this process goes on is answered.
        assert!(heir.forget(Forgotten::default()).blocking_recv().is_err());
        drop(theirs);
        assert!(!heir.has_forgotten(), "it never served");
        succession.settle(Phase::Theirs);
        assert!(heir.has_forgotten() && heir.has_forgotten(), "nobody would tell");
    }
}
