//! The answering side: a thread of its own, so that it answers however busy the proxy is.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use super::path::SocketPath;
use super::{Commands, Request};
use crate::state::{Claim, FORMER, SOCKET};

/// A request is one line, the longest one with the keys and labels that an unsafe request ends.
const LONGEST_REQUEST: usize = 512 << 10;
/// For each read and write of a client that says nothing; it blocks nobody but itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// Clients at once; more are turned away.
const CLIENTS: usize = 16;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Something that is not a socket has its name.
    #[error("{} is in the way of the control socket; remove it", .0.display())]
    InTheWay(PathBuf),
    /// The system refused.
    #[error("cannot open the control socket {}: {source}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The listening socket. Dropping it removes the file.
pub(crate) struct Server {
    path: PathBuf,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    is_ours: bool,
}

impl Server {
    /// Listens in the claimed directory. A socket that an instance left which was killed is
    /// removed: the claim proves that nobody listens on it.
    pub(crate) fn start(claim: &Claim, commands: Arc<dyn Commands>) -> Result<Self, BindError> {
        let path = claim.directory().join(SOCKET);
        let failed = |source| BindError::Io { path: path.clone(), source };
        match path.symlink_metadata() {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path).map_err(failed)?,
            Ok(_) => return Err(BindError::InTheWay(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = SocketPath::within(claim.directory()).and_then(UnixListener::bind);
        let listener = listener.map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stopped);
        let named = thread::Builder::new().name("control".to_owned());
        let thread = named.spawn(move || listen(&listener, &commands, &told)).map_err(failed)?;
        Ok(Self { path, stopped, thread: Some(thread), is_ours: true })
    }
}

/// Leaves the name of the socket to the process that calls this; whoever listens there still does so
/// under another name.
pub(crate) fn step_aside(directory: &Path) -> io::Result<()> {
    match fs::rename(directory.join(SOCKET), directory.join(FORMER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes the name back, if it was taken.
pub(crate) fn step_back(directory: &Path) {
    // There was nothing to be taken back, or nothing can be done.
    let _ = fs::rename(directory.join(FORMER), directory.join(SOCKET));
}

/// Nobody will take the name back.
pub(crate) fn forget_former(directory: &Path) {
    // What stays there is in nobody's way.
    let _ = fs::remove_file(directory.join(FORMER));
}

impl Server {
    /// Another process has the name of the socket now: it is left alone.
    pub(crate) fn disown(mut self) {
        // The thread ends with the process.
        self.thread = None;
        self.is_ours = false;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.is_ours {
            return;
        }
        self.stopped.store(true, Ordering::Release);
        // The thread waits for a connection; this one wakes it.
        let woken = self
            .path
            .parent()
            .map(|directory| SocketPath::within(directory).and_then(UnixStream::connect));
        if let (Some(Ok(_)), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(listener: &UnixListener, commands: &Arc<dyn Commands>, stopped: &AtomicBool) {
    let clients = Arc::new(AtomicUsize::new(0));
    for client in listener.incoming() {
        if stopped.load(Ordering::Acquire) {
            return;
        }
        match client {
            Ok(client) => attend(client, commands, &clients),
            // Out of file descriptors: without a rest this would spin.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Gives the client a thread, if there is one left for it.
fn attend(mut client: UnixStream, commands: &Arc<dyn Commands>, clients: &Arc<AtomicUsize>) {
    let seat = Seat::take(clients);
    let Some(seat) = seat else {
        let _ = answer(&mut client, &json!({ "error": "too many clients" }));
        return;
    };
    let commands = Arc::clone(commands);
    let named = thread::Builder::new().name("control-client".to_owned());
    // A thread that cannot be started drops the client, which sees the end of the stream.
    let _ = named.spawn(move || {
        let _seat = seat;
        let _ = converse(client, &*commands);
    });
}

/// One of [`CLIENTS`], given back when dropped.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Self> {
        let seat = Self(Arc::clone(clients));
        (clients.fetch_add(1, Ordering::AcqRel) < CLIENTS).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn converse(mut client: UnixStream, commands: &dyn Commands) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let received = read_line(&mut client)?;
    let end = received.iter().position(|&byte| byte == b'\n').unwrap_or(received.len());
    let (line, behind) = received.split_at(end);
    let reply = match Request::parse(line) {
        // Nobody would ever read it.
        Ok(_) if behind.len() > 1 => json!({ "error": "something comes behind the line" }),
        Ok(Request::TakeOver) => {
            commands.let_take_over(client);
            return Ok(());
        }
        Ok(request) => commands.answer(request),
        Err(why) => json!({ "error": why }),
    };
    answer(&mut client, &reply)
}

/// Reads up to the line's end, the stream's end, or the most a request may have; with what has come
/// together with the end.
fn read_line(client: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut chunk = [0; 512];
    while line.len() < LONGEST_REQUEST {
        let n = match client.read(&mut chunk) {
            // A process that was stopped for a while reads on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        line.extend_from_slice(&chunk[..n]);
        if n == 0 || line.contains(&b'\n') {
            break;
        }
    }
    Ok(line)
}

fn answer(client: &mut UnixStream, reply: &Value) -> io::Result<()> {
    client.write_all(format!("{reply}\n").as_bytes())
}
