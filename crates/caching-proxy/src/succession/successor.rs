//! The process that takes over from one that runs.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use proxy::{Inherited, Legacy};
use serde_json::{Value, json};

use super::wire::Wire;
use super::{keys_of_json, kind};
use crate::control::{self, AskError};

/// How long the other one may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it may take to put its store in order.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why this process has not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    /// The other one cannot be reached.
    #[error("cannot take over: {0}")]
    Ask(#[from] AskError),
    /// The other one did not want to.
    #[error("cannot take over: the running instance refused: {0}")]
    Refused(String),
    /// The other one cannot at this moment: yet another takes over, or it is about to end.
    #[error("cannot take over: the running instance refused: {0}")]
    NotNow(String),
    /// The other one is gone.
    #[error("cannot take over: the running instance has just ended")]
    Ended,
    /// The other one does nothing.
    #[error("cannot take over: the running instance has said nothing for {} seconds", .0.as_secs())]
    Silent(Duration),
    /// The other one says something else.
    #[error("cannot take over: the running instance is of another version")]
    Garbled,
    /// The socket between them failed.
    #[error("cannot take over: {0}")]
    Io(#[from] io::Error),
}

impl TakeOverError {
    /// The other one is not there, or not any more.
    pub(crate) fn is_absence(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match self {
            Self::Ask(error) => error.is_absence(),
            Self::Io(error) => matches!(error.kind(), BrokenPipe | ConnectionReset),
            Self::Ended => true,
            Self::Refused(_) | Self::NotNow(_) | Self::Silent(_) | Self::Garbled => false,
        }
    }

    /// Within a moment there may be a process again that can be taken over from, or none at all.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_absence() || matches!(self, Self::NotNow(_))
    }
}

/// The process that runs.
#[derive(Debug)]
pub(crate) struct Predecessor {
    wire: Wire,
    /// Its number.
    pub(crate) pid: u64,
    /// Its listening sockets.
    pub(crate) listeners: Vec<Inherited>,
    /// Where it tells metrics.
    pub(crate) metrics: Option<SocketAddr>,
    /// How often a process has taken over, in the line that leads to it.
    pub(crate) takeovers: u64,
    /// Within which time its supervisor wants to hear of it again.
    pub(crate) watchdog_interval: Option<Duration>,
}

/// What belonged to the other process, and is for this one to serve with or to end.
pub(crate) struct TakenOver {
    pub(crate) legacy: Legacy,
    /// The lock of the instance directory.
    pub(crate) lock: File,
}

impl Predecessor {
    /// Talks to the instance that runs in this directory. Nothing changes for it yet.
    pub(crate) fn in_directory(directory: &Path) -> Result<Self, TakeOverError> {
        let mut wire = Wire::new(control::begin_to_take_over(directory)?);
        let mut listeners = Vec::new();
        loop {
            let line = heard(&mut wire, ANSWER)?;
            if let Some(pid) = line["pid"].as_u64() {
                let metrics = line["metrics"].as_str().and_then(|address| address.parse().ok());
                let takeovers = line["takeovers"].as_u64().unwrap_or(0);
                let micros = line["watchdog_micros"].as_u64();
                let watchdog_interval = micros.map(Duration::from_micros);
                return Ok(Self { wire, pid, listeners, metrics, takeovers, watchdog_interval });
            }
            add(&mut listeners, &mut wire, &line)?;
        }
    }

    /// Asks for everything else. From then on this process has to serve, or to end.
    pub(crate) fn take(&mut self) -> Result<TakenOver, TakeOverError> {
        // Where this fails the other one is gone, and may have left word why.
        let _ = self.wire.send(&json!({ "ready": std::process::id() }), &[]);
        let line = heard(&mut self.wire, PATIENCE)?;
        let count = |name: &str| {
            let count = line[name].as_u64().and_then(|count| usize::try_from(count).ok());
            count.ok_or(TakeOverError::Garbled)
        };
        let mut locks = self.wire.take(count("yours")?)?.into_iter();
        let predecessors = self.wire.take(count("predecessors")?)?;
        let predecessors = predecessors.into_iter().map(UnixStream::from).collect();
        let doubtful = keys_of_json(&line["doubtful"]).ok_or(TakeOverError::Garbled)?;
        let instance = locks.next().ok_or(TakeOverError::Garbled)?;
        let lock = locks.next().map(File::from);
        Ok(TakenOver { legacy: Legacy { lock, predecessors, doubtful }, lock: instance.into() })
    }

    /// Says that this process serves: the other one stops now.
    pub(crate) fn relieve(&self) {
        // One that has ended meanwhile does not need to know: what it had is ours.
        let _ = self.wire.send(&json!({ "serving": true }), &[]);
    }
}

fn heard(wire: &mut Wire, patience: Duration) -> Result<Value, TakeOverError> {
    let line = wire.receive(patience).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => TakeOverError::Silent(patience),
        _ => TakeOverError::Io(error),
    });
    let line = line?.ok_or(TakeOverError::Ended)?;
    match line["error"].as_str() {
        Some(why) if line["passing"] == true => Err(TakeOverError::NotNow(why.to_owned())),
        Some(why) => Err(TakeOverError::Refused(why.to_owned())),
        None => Ok(line),
    }
}

/// Adds the sockets that came beside this line.
fn add(listeners: &mut Vec<Inherited>, wire: &mut Wire, line: &Value) -> Result<(), TakeOverError> {
    let parsed = || {
        let address: SocketAddr = line["listener"].as_str()?.parse().ok()?;
        let count = usize::try_from(line["sockets"].as_u64()?).ok()?;
        Some((address, kind(line["speaks"].as_str()?)?, count))
    };
    let (address, kind, count) = parsed().ok_or(TakeOverError::Garbled)?;
    let sockets = wire.take(count)?.into_iter().map(TcpListener::from);
    match listeners.iter_mut().find(|known| known.address == address) {
        Some(known) => known.sockets.extend(sockets),
        None => listeners.push(Inherited { address, kind, sockets: sockets.collect() }),
    }
    Ok(())
}
