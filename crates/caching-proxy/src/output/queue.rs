//! The bounded queue and the thread that empties it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Event, Level, Style, json, rfc3339, terminal};

/// Events that may wait: some megabytes at most.
const WAITING: usize = 8192;
/// Bytes written in one go.
const BATCH: usize = 64 * 1024;
/// How long the end of the program waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(2);

enum Message {
    Event(Event),
    End,
}

struct Shared {
    queue: SyncSender<Message>,
    level: Level,
    dropped: AtomicU64,
}

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

impl Log {
    /// Whether events of this level are said at all; asked before one is put together.
    pub(crate) fn wants(&self, level: Level) -> bool {
        level <= self.0.level
    }

    /// Says it, or drops it if its level is not wanted or the queue is full. Never waits.
    pub(crate) fn say(&self, event: Event) {
        if !self.wants(event.level()) {
            return;
        }
        if self.0.queue.try_send(Message::Event(event)).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says it even if that means waiting for room; for the few lines of start and stop.
    pub(crate) fn say_surely(&self, event: Event) {
        if self.wants(event.level()) {
            let _ = self.0.queue.send(Message::Event(event));
        }
    }
}

/// The writing thread.
pub(crate) struct Writer {
    log: Log,
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Writes what is waiting and ends; a sink that takes nothing does not hold up the program.
    pub(crate) fn finish(self) {
        let _ = self.log.0.queue.try_send(Message::End);
        drop(self.log);
        if self.ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
            let _ = self.thread.join();
        }
    }
}

/// Starts the writing thread. `now` gives milliseconds since the Unix epoch.
pub(crate) fn start(
    level: Level,
    style: Style,
    now: impl Fn() -> i64 + Send + 'static,
    sink: impl Write + Send + 'static,
) -> io::Result<(Log, Writer)> {
    let (queue, events) = sync_channel(WAITING);
    let (ending, ended) = sync_channel(0);
    let log = Log(Arc::new(Shared { queue, level, dropped: AtomicU64::new(0) }));
    let writing = Writing { shared: Arc::clone(&log.0), style, now, sink };
    let named = thread::Builder::new().name("log".to_owned());
    let thread = named.spawn(move || {
        writing.run(&events);
        drop(ending);
    })?;
    Ok((log.clone(), Writer { log, ended, thread }))
}

struct Writing<N, W> {
    shared: Arc<Shared>,
    style: Style,
    now: N,
    sink: W,
}

impl<N: Fn() -> i64, W: Write> Writing<N, W> {
    fn run(mut self, events: &Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Ok(first) = events.recv() {
            let mut next = Some(first);
            let mut open = true;
            while let Some(message) = next {
                match message {
                    Message::Event(event) => self.append(&event, &mut batch),
                    Message::End => open = false,
                }
                let more = open && batch.len() < BATCH;
                next = if more { events.try_recv().ok() } else { None };
            }
            self.report_dropped(&mut batch);
            // Nobody reads any more: there is no better place to say so.
            let _ = self.sink.write_all(&batch).and_then(|()| self.sink.flush());
            batch.clear();
            if !open {
                return;
            }
        }
    }

    fn report_dropped(&self, batch: &mut Vec<u8>) {
        let count = self.shared.dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.append(&Event::Dropped { count }, batch);
        }
    }

    fn append(&self, event: &Event, batch: &mut Vec<u8>) {
        let line = match self.style {
            Style::Readable { colours } => terminal::line(event, colours),
            Style::Json => json::line(event, &rfc3339((self.now)())),
        };
        batch.extend_from_slice(line.as_bytes());
        batch.push(b'\n');
    }
}
