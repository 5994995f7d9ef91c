//! Ctrl-C and SIGTERM: the first one asks for an orderly end, the second one ends at once. SIGHUP has
//! certificates read again, and does no harm where there are none.

use std::io;
use std::process;
use std::sync::mpsc::{Receiver, Sender, channel};
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

/// Watches for signals from now on. The channel gives the first; a second ends the process.
pub(crate) fn watch() -> io::Result<(Sender<Ending>, Receiver<Ending>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let interrupts = signal(SignalKind::interrupt())?;
    let terminations = signal(SignalKind::terminate())?;
    drop(entered);
    let (endings, seen) = channel();
    let first = endings.clone();
    let named = thread::Builder::new().name("signals".to_owned());
    named.spawn(move || runtime.block_on(relay(interrupts, terminations, first)))?;
    Ok((endings, seen))
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

async fn relay(mut interrupts: Stream, mut terminations: Stream, first: Sender<Ending>) {
    let _ = first.send(Ending::Signal(next(&mut interrupts, &mut terminations).await));
    let second = next(&mut interrupts, &mut terminations).await;
    process::exit(second.exit_code());
}

async fn next(interrupts: &mut Stream, terminations: &mut Stream) -> Signal {
    tokio::select! {
        _ = interrupts.recv() => Signal::Interrupt,
        _ = terminations.recv() => Signal::Terminate,
    }
}
