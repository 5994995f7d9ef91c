//! The asking side.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::Request;
use super::path::SocketPath;

/// Emptying a large disk tier takes a while.
const PATIENCE: Duration = Duration::from_mins(1);
/// No answer is longer.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody listens.
    #[error("no instance is running there")]
    NotRunning,
    /// The instance did not understand, or could not.
    #[error("the running instance refused: {0}")]
    Refused(String),
    /// The answer is not one.
    #[error("the running instance gave an answer that is none")]
    Garbled,
    /// The socket failed, or nothing came in time.
    #[error("talking to the running instance: {0}")]
    Io(#[source] io::Error),
}

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// Attempts for a person who waits: two seconds.
pub(crate) const A_MOMENT: u32 = 40;
/// Attempts where a process would have failed for good: five seconds.
pub(crate) const A_WHILE: u32 = 100;

/// Makes so many attempts, as long as each fails in a way that may pass: an instance that starts or
/// stops does not answer for a moment.
pub(crate) fn patiently<T, E>(
    attempts: u32,
    is_passing: impl Fn(&E) -> bool,
    attempt: impl Fn() -> Result<T, E>,
) -> Result<T, E> {
    for _ in 1..attempts {
        match attempt() {
            Err(error) if is_passing(&error) => thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    attempt()
}

impl AskError {
    /// Whoever was asked is not there, or has ended in the middle of it.
    pub(crate) fn is_absence(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match self {
            Self::NotRunning => true,
            Self::Io(error) => matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof),
            Self::Refused(_) | Self::Garbled => false,
        }
    }
}

/// The same as [`ask`], of one that may not answer yet, or may end while it is asked: then whoever
/// comes after it is. What is asked may be carried out twice.
pub(crate) fn ask_patiently(directory: &Path, request: &Request) -> Result<Value, AskError> {
    patiently(A_WHILE, AskError::is_absence, || ask(directory, request))
}

/// Tells the instance that runs in this directory that this process wants to take over; both go on
/// to speak with each other.
pub(crate) fn begin_to_take_over(directory: &Path) -> Result<UnixStream, AskError> {
    let mut socket = connect(directory)?;
    socket.set_write_timeout(Some(PATIENCE)).map_err(AskError::Io)?;
    let line = Request::TakeOver.to_line();
    socket.write_all(line.as_bytes()).map_err(AskError::Io)?;
    Ok(socket)
}

/// Asks the instance that runs in this directory.
pub(crate) fn ask(directory: &Path, request: &Request) -> Result<Value, AskError> {
    let mut socket = connect(directory)?;
    let answer = exchange(&mut socket, request).map_err(AskError::Io)?;
    if answer.is_empty() {
        return Err(AskError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    let answer: Value = serde_json::from_slice(&answer).map_err(|_| AskError::Garbled)?;
    match answer["error"].as_str() {
        Some(why) => Err(AskError::Refused(why.to_owned())),
        None => Ok(answer),
    }
}

fn connect(directory: &Path) -> Result<UnixStream, AskError> {
    let connected = SocketPath::within(directory).and_then(UnixStream::connect);
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning,
        _ => AskError::Io(error),
    })
}

fn exchange(socket: &mut UnixStream, request: &Request) -> io::Result<Vec<u8>> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.write_all(request.to_line().as_bytes())?;
    let mut answer = Vec::new();
    socket.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}
