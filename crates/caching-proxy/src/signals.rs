//! Ctrl-C and SIGTERM: the first one asks for an orderly end, the second one ends at once. So does the
//! first where another process still serves. SIGHUP has certificates read again, and does no harm where
//! there are none.

use std::io;
use std::process;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C on a terminal.
    Interrupt,
    /// What a supervisor sends.
    Terminate,
}

impl Signal {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// What a shell reports for a program that the signal ended: 128 and its number.
    const fn exit_code(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was told to.
    Signal(Signal),
    /// The process with this number has taken over.
    Replaced(u32),
}

/// Whether another process serves as long as this one has not taken over. It goes on if this one ends;
/// to take over, and then to end for a signal that came before, would leave nobody who serves.
#[derive(Clone)]
pub(crate) struct Standby(Arc<Mutex<bool>>);

impl Standby {
    /// Takes over: from now on a signal has this process end in order.
    pub(crate) fn end(&self, take_over: impl FnOnce()) {
        let mut is_standby = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        take_over();
        *is_standby = false;
    }

    /// A signal has come. Until this process is gone it does not take over either.
    fn told(&self, signal: Signal) {
        let is_standby = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_standby {
            process::exit(signal.exit_code());
        }
    }
}

/// Watches for signals from now on. The channel gives the first; a second ends the process, and so does
/// the first while it is on standby.
pub(crate) fn watch(is_standby: bool) -> io::Result<(Sender<Ending>, Receiver<Ending>, Standby)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let interrupts = signal(SignalKind::interrupt())?;
    let terminations = signal(SignalKind::terminate())?;
    // From now on it does no harm, though nothing is read again before it is served.
    drop(signal(SignalKind::hangup())?);
    drop(entered);
    let (endings, seen) = channel();
    let standby = Standby(Arc::new(Mutex::new(is_standby)));
    let (first, asked) = (endings.clone(), standby.clone());
    let named = thread::Builder::new().name("signals".to_owned());
    named.spawn(move || runtime.block_on(relay(interrupts, terminations, first, asked)))?;
    Ok((endings, seen, standby))
}

/// Calls `reload` at each SIGHUP, which otherwise ends the program.
pub(crate) fn on_hangup(reload: impl Fn() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut hangups = signal(SignalKind::hangup())?;
    drop(entered);
    let named = thread::Builder::new().name("hangups".to_owned());
    named.spawn(move || {
        runtime.block_on(async {
            while hangups.recv().await.is_some() {
                reload();
            }
        });
    })?;
    Ok(())
}

async fn relay(
    mut interrupts: Stream,
    mut terminations: Stream,
    endings: Sender<Ending>,
    standby: Standby,
) {
    let first = next(&mut interrupts, &mut terminations).await;
    standby.told(first);
    let _ = endings.send(Ending::Signal(first));
    let second = next(&mut interrupts, &mut terminations).await;
    process::exit(second.exit_code());
}

async fn next(interrupts: &mut Stream, terminations: &mut Stream) -> Signal {
    tokio::select! {
        _ = interrupts.recv() => Signal::Interrupt,
        _ = terminations.recv() => Signal::Terminate,
    }
}
