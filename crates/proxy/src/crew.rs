//! The threads of the workers: they are there before anybody needs them, and begin when they are told.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep;

use crate::heartbeat::Heartbeat;
use crate::store_watch;
use crate::worker::{Door, Worker, accept, take_waiting};

/// How often a worker closes origin connections that were idle for too long.
const SWEEP: Duration = Duration::from_secs(5);

/// What the thread of a worker is told from outside.
pub(crate) struct Orders {
    /// It serves from then on. If this is dropped it ends, and has taken nobody.
    pub(crate) begin: oneshot::Receiver<()>,
    /// It accepts no more, and ends with its last connection.
    pub(crate) stop: Arc<Notify>,
    /// Dropped when the last connection is closed.
    pub(crate) alive: mpsc::Sender<()>,
    /// Asks now and then whether it still does anything.
    pub(crate) heartbeat: Arc<Heartbeat>,
}

/// Starts the thread of one worker, which waits for its orders. Whatever it needs from the system it
/// has when this returns.
pub(crate) fn spawn(
    worker: Arc<Worker>,
    doors: Vec<Door<TcpListener>>,
    orders: Orders,
    number: usize,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let doors: io::Result<Vec<_>> = {
        let _inside = runtime.enter();
        let open = |Door { number, listener, front }| {
            Ok(Door { number, listener: tokio::net::TcpListener::from_std(listener)?, front })
        };
        doors.into_iter().map(open).collect()
    };
    let doors = doors?;
    let named = thread::Builder::new().name(format!("worker-{number}"));
    named.spawn(move || runtime.block_on(serve(worker, doors, orders, number)))
}

async fn serve(
    worker: Arc<Worker>,
    doors: Vec<Door<tokio::net::TcpListener>>,
    orders: Orders,
    number: usize,
) {
    let Orders { begin, stop, alive, heartbeat } = orders;
    if begin.await.is_err() {
        // Whoever waits at the doors is another process's.
        return;
    }
    tokio::select! {
        () = accept(&worker, &doors, &alive) => {}
        () = sweep(&worker) => {}
        () = store_watch::watch(&worker.shared), if number == 0 => {}
        () = worker.shared.seats.watch(), if number == 0 => {}
        () = heartbeat.answer(number) => {}
        () = stop.notified() => {}
    }
    for door in doors {
        take_waiting(&worker, door, &alive);
    }
    drop(alive);
    worker.wake_idle.notify_waiters();
    finish(&worker).await;
}

/// Keeps the runtime going until nobody needs it.
async fn finish(worker: &Arc<Worker>) {
    // Each connection and each fetch holds the worker; this function holds one more.
    while Arc::strong_count(worker) > 1 {
        if worker.lets_idle_go() {
            worker.wake_idle.notify_waiters();
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn sweep(worker: &Worker) {
    loop {
        sleep(SWEEP).await;
        worker.origin.sweep();
    }
}
