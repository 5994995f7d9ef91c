//! Processes of their own: memory is measured from a clean start, and a kill is a real one.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use store::{DiskOptions, Options, Stats, Store};

use crate::Failure;
use crate::item::{self, Head};
use crate::machine::{Stopwatch, resident};
use crate::random::Random;

/// Memory of stores whose objects are on disk.
const LITTLE: u64 = 8 << 20;
/// Objects that are looked up after a start.
const SAMPLE: u64 = 2_000;
/// Puts after which the queue to the disk is waited for.
const BATCH: u64 = 4096;

/// What a child told, by name.
pub(crate) type Told = HashMap<String, u64>;

/// Many objects of one length, in memory or in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Many {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) objects: u64,
    pub(crate) body: usize,
}

/// Starts this program once more, to do one thing; says what it told before it ended.
pub(crate) fn tell(what: &str, many: &Many) -> Result<Told, Failure> {
    let (mut child, output) = start(what, many)?;
    let told = output.lines().map_while(Result::ok).filter_map(|line| pair(&line)).collect();
    let status = child.wait()?;
    if status.success() { Ok(told) } else { Err(format!("{what}: {status}").into()) }
}

/// Starts this program, and kills it a while after it has told that it is ready. Says what it had
/// told by then.
pub(crate) fn kill(what: &str, many: &Many, after: Duration) -> Result<Told, Failure> {
    let (mut child, output) = start(what, many)?;
    let mut lines = output.lines().map_while(Result::ok).filter_map(|line| pair(&line));
    let ready = lines.by_ref().take_while(|(name, _)| name != "ready").collect();
    std::thread::sleep(after);
    child.kill()?;
    child.wait()?;
    Ok(ready)
}

fn start(what: &str, many: &Many) -> Result<(Child, BufReader<ChildStdout>), Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--child", what, &many.objects.to_string(), &many.body.to_string()]);
    command.args(&many.directory);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("a child without output")?;
    Ok((child, BufReader::new(output)))
}

fn pair(line: &str) -> Option<(String, u64)> {
    let (name, number) = line.split_once(' ')?;
    Some((name.to_owned(), number.parse().ok()?))
}

/// What the child does.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [what, objects, body, directory @ ..] = arguments else {
        return Err("a child needs to be told what to do".into());
    };
    let directory = directory.first().map(PathBuf::from);
    let many = Many { directory, objects: objects.parse()?, body: body.parse()? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match what.as_str() {
            "fill" => many.fill().await,
            "put" => many.put_until_killed().await,
            "reopen" => many.reopen().await,
            _ => Err(format!("a child cannot {what}").into()),
        }
    })
}

fn say(name: &str, number: u64) {
    println!("{name} {number}");
    // What a killed process had not said is lost.
    let _ = std::io::stdout().flush();
}

impl Many {
    fn bytes(&self) -> u64 {
        (self.body + item::HEAD + item::KEY) as u64
    }

    fn open(&self) -> Result<Store<Head>, Failure> {
        // Room for what any way to keep them takes beside their bytes.
        let room = 2 * self.objects * (self.bytes() + 512);
        let disk = self.directory.as_ref().map(|directory: &PathBuf| DiskOptions {
            directory: Path::to_owned(directory),
            capacity: room.max(64 << 20),
        });
        let memory = if disk.is_some() { LITTLE } else { room.max(64 << 20) };
        Ok(Store::open(Options { memory, disk, ..Options::default() })?)
    }

    /// Stores all objects, and stops in order.
    async fn fill(&self) -> Result<(), Failure> {
        let before = resident();
        let store = self.open()?;
        let stopwatch = Stopwatch::start();
        self.put(&store, 0..self.objects).await?;
        say("micros", stopwatch.wall().as_micros() as u64);
        say("cpu", stopwatch.cpu().as_micros() as u64);
        say("resident", resident().saturating_sub(before));
        let stats = store.stats();
        say("memory_bytes", stats.memory_bytes);
        say("memory_entries", stats.memory_entries);
        say("disk_bytes", stats.disk_bytes);
        say("disk_entries", stats.disk_entries);
        let stopwatch = Stopwatch::start();
        drop(store);
        say("stop", stopwatch.wall().as_micros() as u64);
        Ok(())
    }

    async fn put(&self, store: &Store<Head>, numbers: std::ops::Range<u64>) -> Result<(), Failure> {
        for number in numbers {
            if number % BATCH == BATCH - 1 {
                store.flush().await;
            }
            if !item::put(store, number, item::body(number, self.body)).await? {
                return Err(format!("object {number} was not kept: {:?}", store.stats()).into());
            }
        }
        store.flush().await;
        Ok(())
    }

    /// Stores objects beyond those that are there for as long as it lives.
    async fn put_until_killed(&self) -> Result<(), Failure> {
        let store = self.open()?;
        let mut next = self.objects;
        loop {
            self.put(&store, next..next + 1000).await?;
            if next == self.objects {
                say("ready", 0);
            }
            // The same ones again, so that the disk never fills.
            next = self.objects + (next + 1000 - self.objects) % (10_000);
        }
    }

    /// Opens the store and waits until all objects are found.
    async fn reopen(&self) -> Result<(), Failure> {
        let before = resident();
        let stopwatch = Stopwatch::start();
        let store = self.open()?;
        say("open", stopwatch.wall().as_micros() as u64);
        let is_found =
            |stats: Stats| stats.segments_to_recover == 0 && stats.disk_entries >= self.objects;
        while !is_found(store.stats()) && stopwatch.wall().as_secs() < 600 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        say("all", stopwatch.wall().as_micros() as u64);
        say("cpu", stopwatch.cpu().as_micros() as u64);
        say("resident", resident().saturating_sub(before));
        say("disk_entries", store.stats().disk_entries);
        let (mut random, mut found) = (Random::new(3), 0);
        for _ in 0..SAMPLE {
            found += u64::from(item::get(&store, random.below(self.objects)).await?);
        }
        say("lost", SAMPLE - found);
        Ok(())
    }
}
