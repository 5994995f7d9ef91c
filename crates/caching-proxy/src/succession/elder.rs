//! The process that runs, and lets another one take over.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxy::{Handle, Inherited, Legacy};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::heir::Heir;
use super::wire::{FILES, Wire};
use super::{Phase, Succession, keys_to_json, word};
use crate::control;
use crate::output::Log;

/// How long the newer process may take to check what it was started with.
const READY: Duration = Duration::from_mins(1);
/// How long it may take to open the store. After that it is ended: while it lives, nobody else can
/// use the store.
const SERVING: Duration = Duration::from_secs(30);
/// How long a process that was ended may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Why nobody has taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandOverError {
    /// It is somebody else's process.
    #[error("only a process of the same user may take over")]
    Stranger,
    /// One at a time.
    #[error("another process is taking over already")]
    Busy,
    /// It is over already.
    #[error("this process does not accept connections any more")]
    Stopping,
    /// The store cannot be given away now.
    #[error("the disk is too slow for the store to be handed over")]
    Disk,
    /// It could not be ended if it did not go on.
    #[error("the process that wants to take over cannot be seen from here")]
    Elsewhere,
    /// The newer process gave up, or was ended.
    #[error("the process that wanted to take over ended before it served")]
    Ended,
    /// It said something else.
    #[error("the process that wanted to take over is of another version")]
    Garbled,
    /// The socket between them failed.
    #[error("talking to the process that wants to take over: {0}")]
    Io(#[from] io::Error),
}

impl HandOverError {
    /// Whoever asks again in a moment may find it otherwise.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy | Self::Stopping)
    }
}

/// What each process passes on to the next besides sockets and store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassedOn {
    /// Where metrics are told. Both may listen there for a while.
    pub(crate) metrics: Option<SocketAddr>,
    /// How often a process has taken over, in the line that leads to this one.
    pub(crate) takeovers: u64,
    /// Within which time the supervisor wants to hear again that this process does something.
    pub(crate) watchdog_interval: Option<Duration>,
}

/// What another process can take over.
pub(crate) struct Elder {
    pub(crate) handle: Handle,
    pub(crate) succession: Arc<Succession>,
    pub(crate) directory: PathBuf,
    /// The lock of the instance directory.
    pub(crate) lock: Mutex<Option<File>>,
    passed_on: PassedOn,
    pub(crate) log: Log,
    /// One is being talked to.
    busy: AtomicBool,
}

impl Elder {
    pub(crate) fn new(
        handle: Handle,
        succession: Arc<Succession>,
        directory: PathBuf,
        lock: Option<File>,
        passed_on: PassedOn,
        log: Log,
    ) -> Self {
        let (lock, busy) = (Mutex::new(lock), AtomicBool::new(false));
        Self { handle, succession, directory, lock, passed_on, log, busy }
    }

    fn lock(&self) -> MutexGuard<'_, Option<File>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the process at the other end take over. Returns its number if it has, `None` if it has
    /// thought better of it.
    pub(crate) fn hand_over(&self, stream: UnixStream) -> Result<Option<u32>, HandOverError> {
        let mut wire = Wire::new(stream);
        let outcome = self.converse(&mut wire);
        if let Err(why) = &outcome {
            // Who is gone does not need to know.
            let line = json!({ "error": why.to_string(), "passing": why.is_passing() });
            let _ = wire.send(&line, &[]);
        }
        outcome
    }

    fn converse(&self, wire: &mut Wire) -> Result<Option<u32>, HandOverError> {
        if !is_of_this_user(wire.stream()) {
            return Err(HandOverError::Stranger);
        }
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(HandOverError::Busy);
        }
        let outcome = self.offer(wire).and_then(|()| match wire.receive(READY)? {
            None => Ok(None),
            Some(ready) => {
                let pid = ready["ready"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                self.give(wire, pid.ok_or(HandOverError::Garbled)?).map(Some)
            }
        });
        self.busy.store(false, Ordering::Release);
        outcome
    }

    /// Sends the listening sockets.
    fn offer(&self, wire: &Wire) -> Result<(), HandOverError> {
        let listeners = self.handle.listeners()?;
        if listeners.is_empty() {
            return Err(HandOverError::Stopping);
        }
        for Inherited { address, kind, sockets } in &listeners {
            for some in sockets.chunks(FILES) {
                let files: Vec<_> = some.iter().map(AsFd::as_fd).collect();
                let address = address.to_string();
                let line = json!({
                    "listener": address,
                    "speaks": word(*kind),
                    "sockets": files.len(),
                });
                wire.send(&line, &files)?;
            }
        }
        let PassedOn { metrics, takeovers, watchdog_interval } = self.passed_on;
        let line = json!({
            "pid": std::process::id(),
            "metrics": metrics.map(|address| address.to_string()),
            "takeovers": takeovers,
            "watchdog_micros": watchdog_interval.map(|interval| interval.as_micros() as u64),
        });
        wire.send(&line, &[])?;
        Ok(())
    }

    /// Gives everything away, or takes it back.
    fn give(&self, wire: &mut Wire, pid: u32) -> Result<u32, HandOverError> {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = process.filter(|process| is_process(wire.stream(), *process));
        let process = process.ok_or(HandOverError::Elsewhere)?;
        if !self.succession.begin() {
            return Err(HandOverError::Stopping);
        }
        let outcome = self.try_to_give(wire, process);
        let whose = if outcome.is_ok() { Phase::Theirs } else { Phase::Ours };
        self.succession.settle(whose);
        outcome.map(|()| pid)
    }

    fn try_to_give(&self, wire: &mut Wire, process: Pid) -> Result<(), HandOverError> {
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let (succession, directory) = (Arc::clone(&self.succession), self.directory.clone());
        let heir = Heir::start(ours, succession, directory, self.log.clone())?;
        let mut legacy = self.handle.prepare_legacy(heir)?.ok_or(HandOverError::Disk)?;
        legacy.predecessors.insert(0, theirs);
        // One that an earlier process left must not be taken back for ours.
        control::forget_former(&self.directory);
        let served = send_legacy(wire, &legacy, self.lock().as_ref())
            .map_err(HandOverError::from)
            .and_then(|()| wait_until_it_serves(wire, process, SERVING));
        drop(legacy);
        if served.is_ok() {
            // Should it end before this process does, the next one does not have to wait.
            self.lock().take();
            self.handle.leave_legacy();
        } else {
            control::step_back(&self.directory);
            self.handle.keep_legacy();
        }
        served
    }
}

fn send_legacy(wire: &Wire, legacy: &Legacy, instance: Option<&File>) -> io::Result<()> {
    let instance = instance.ok_or_else(|| io::Error::other("it has been taken over already"))?;
    let locks = [instance.as_fd()].into_iter().chain(legacy.lock.as_ref().map(AsFd::as_fd));
    let mut files: Vec<BorrowedFd<'_>> = locks.collect();
    let yours = files.len();
    files.extend(legacy.predecessors.iter().map(AsFd::as_fd));
    let line = json!({
        "yours": yours,
        "predecessors": legacy.predecessors.len(),
        "doubtful": keys_to_json(&legacy.doubtful),
    });
    wire.send(&line, &files)
}

/// Returns when it is certain that the other process serves, or that it is gone.
fn wait_until_it_serves(
    wire: &mut Wire,
    process: Pid,
    patience: Duration,
) -> Result<(), HandOverError> {
    match wire.receive(patience) {
        Ok(Some(line)) if line["serving"] == Value::Bool(true) => return Ok(()),
        Ok(None) => return Err(HandOverError::Ended),
        // It says something else, or nothing for too long. As long as it lives it may write.
        Ok(Some(_)) | Err(_) => {}
    }
    let _ = kill_process(process, Signal::KILL);
    wire.wait_for_end(GONE);
    Err(HandOverError::Ended)
}

/// Whether the process at the other end belongs to the user of this one.
#[cfg(target_os = "linux")]
fn is_of_this_user(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// The permissions of the socket and of its directory have to do.
#[cfg(not(target_os = "linux"))]
fn is_of_this_user(_: &UnixStream) -> bool {
    true
}

/// Whether the process at the other end is this one.
#[cfg(target_os = "linux")]
fn is_process(stream: &UnixStream, pid: Pid) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.pid == pid)
}

#[cfg(not(target_os = "linux"))]
fn is_process(_: &UnixStream, _: Pid) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    use super::*;

    /// It is killed when this is dropped.
    struct Other(Child);

    impl Drop for Other {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A process that has the other end of a wire, where somebody has said this for it.
    fn process_that_says(line: &str) -> (Wire, Other) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(line.as_bytes()).unwrap();
        let child = Command::new("sleep").arg("1000").stdin(OwnedFd::from(theirs)).spawn().unwrap();
        (Wire::new(ours), Other(child))
    }

    #[test]
    fn a_process_that_does_not_say_that_it_serves_is_ended() {
        for line in ["", "{\"serving\":false}\n", "serving\n", "{\"serving\":true}"] {
            let (mut wire, mut child) = process_that_says(line);
            let process = Pid::from_child(&child.0);
            let outcome = wait_until_it_serves(&mut wire, process, Duration::from_millis(20));
            assert!(matches!(outcome, Err(HandOverError::Ended)), "{line}");
            assert!(wire.receive(GONE).unwrap().is_none(), "{line}: it is gone");
            assert_eq!(child.0.wait().unwrap().signal(), Some(Signal::KILL.as_raw()), "{line}");
        }
    }

    #[test]
    fn a_process_that_serves_is_left_alone() {
        let (mut wire, mut child) = process_that_says("{\"serving\":true}\n");
        let process = Pid::from_child(&child.0);
        wait_until_it_serves(&mut wire, process, GONE).unwrap();
        assert!(child.0.try_wait().unwrap().is_none());
        drop(child);
        let outcome = wait_until_it_serves(&mut wire, process, GONE);
        assert!(matches!(outcome, Err(HandOverError::Ended)));
    }
}
