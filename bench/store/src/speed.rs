//! Operations a second, and the CPU time that one takes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store::{DiskOptions, Options, Store};

use crate::item::{self, Head};
use crate::machine::Stopwatch;
use crate::random::Random;
use crate::table::{Table, bytes};
use crate::{Failure, heading};

const MIB: u64 = 1 << 20;
/// Memory of a store that has all objects there, with room to spare in each of its shards.
const MEMORY: u64 = 1024 * MIB;
/// Memory of a store that has next to none there; bodies up to a sixteenth of it are read whole.
const LITTLE: u64 = MIB;
/// Bytes of all objects together.
const OBJECTS: u64 = 64 * MIB;
/// Look-ups at once where each waits for the disk.
const AT_ONCE: u64 = 16;
/// Puts after which the queue to the disk is waited for: fewer than it holds.
const BATCH: u64 = 2048;
/// Bytes after which it is.
const BATCH_BYTES: u64 = 16 * MIB;

/// A store and the objects that are measured with it.
struct Bench {
    store: Store<Head>,
    /// Different objects.
    objects: u64,
    length: usize,
    millis: u64,
}

/// Operations in some time.
struct Rate {
    operations: u64,
    wall: Duration,
    cpu: Duration,
}

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// Milliseconds for each rate.
    pub(crate) millis: u64,
    /// The most objects of one length.
    pub(crate) objects: u64,
}

/// Measures all rates and prints them.
pub(crate) fn measure(directory: &Path, extent: Extent) -> Result<(), Failure> {
    heading("Rates");
    println!(
        "One thread of callers; heads of {} bytes; files are in the page cache. CPU time is that of all\nthreads. A put to disk counts when its file is written.\n",
        item::HEAD
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::new(&["operation", "size", "tiers", "operations/s", "CPU µs"]);
    for length in [1 << 10, 64 << 10, 1 << 20] {
        runtime.block_on(in_memory(length, extent, &mut table))?;
        let on_disk = directory.join(format!("rates-{length}"));
        runtime.block_on(with_disk(&on_disk, length, extent, &mut table))?;
        std::fs::remove_dir_all(&on_disk)?;
    }
    table.print();
    Ok(())
}

async fn in_memory(length: usize, extent: Extent, table: &mut Table) -> Result<(), Failure> {
    let bench = Bench::open(None, MEMORY, length, extent)?;
    let mut add = |name, rate: Rate| table.row(rate.row(name, length, "memory"));
    add("put", bench.put().await?);
    bench.fill().await?;
    add("get", bench.peek()?);
    add("90 % get, 10 % put", bench.mixed().await?);
    Ok(())
}

async fn with_disk(
    directory: &Path,
    length: usize,
    extent: Extent,
    table: &mut Table,
) -> Result<(), Failure> {
    let bench = Bench::open(Some(directory), MEMORY, length, extent)?;
    let mut add = |name, tiers, rate: Rate| table.row(rate.row(name, length, tiers));
    add("put", "memory, disk", bench.put().await?);
    bench.fill().await?;
    add("get from memory", "memory, disk", bench.peek()?);
    add("90 % get, 10 % put", "memory, disk", bench.mixed().await?);
    drop(bench);
    let bench = Bench::open(Some(directory), LITTLE, length, extent)?;
    add("get from disk, one at once", "disk", bench.get(1).await?);
    add("get from disk, 16 at once", "disk", bench.get(AT_ONCE).await?);
    Ok(())
}

impl Bench {
    fn open(
        directory: Option<&Path>,
        memory: u64,
        length: usize,
        extent: Extent,
    ) -> Result<Self, Failure> {
        let directory = directory.map(Path::to_owned);
        let disk = directory.map(|directory| DiskOptions { directory, capacity: 16 * OBJECTS });
        let store = Store::open(Options { memory, disk, ..Options::default() })?;
        let objects = (OBJECTS / length as u64).clamp(16, extent.objects);
        Ok(Self { store, objects, length, millis: extent.millis })
    }

    fn goes_on(&self, stopwatch: &Stopwatch, operations: u64) -> bool {
        operations < 16 || stopwatch.wall().as_millis() < u128::from(self.millis)
    }

    /// Puts all objects in.
    async fn fill(&self) -> Result<(), Failure> {
        for number in 0..self.objects {
            self.put_one(number, number, &item::body(number, self.length)).await?;
        }
        self.store.flush().await;
        Ok(())
    }

    async fn put_one(&self, at: u64, number: u64, body: &Bytes) -> Result<(), Failure> {
        let batch = BATCH.min(BATCH_BYTES / self.length as u64);
        if at % batch == batch - 1 {
            self.store.flush().await;
        }
        if item::put(&self.store, number, body.clone()).await? {
            return Ok(());
        }
        Err(format!("object {number} of {} bytes was not kept", self.length).into())
    }

    async fn put(&self) -> Result<Rate, Failure> {
        let bodies: Vec<_> =
            (0..self.objects).map(|number| item::body(number, self.length)).collect();
        let (stopwatch, mut operations) = (Stopwatch::start(), 0);
        while self.goes_on(&stopwatch, operations) {
            let number = operations % self.objects;
            self.put_one(operations, number, &bodies[number as usize]).await?;
            operations += 1;
        }
        self.store.flush().await;
        Ok(Rate::of(operations, &stopwatch))
    }

    fn peek(&self) -> Result<Rate, Failure> {
        let (stopwatch, mut operations, mut random) = (Stopwatch::start(), 0, Random::new(1));
        while self.goes_on(&stopwatch, operations) {
            for _ in 0..16 {
                let number = random.below(self.objects);
                if !item::peek(&self.store, number)? {
                    return Err(format!("object {number} is not in memory").into());
                }
            }
            operations += 16;
        }
        Ok(Rate::of(operations, &stopwatch))
    }

    async fn mixed(&self) -> Result<Rate, Failure> {
        let (stopwatch, mut operations, mut random) = (Stopwatch::start(), 0, Random::new(2));
        while self.goes_on(&stopwatch, operations) {
            let number = random.below(self.objects);
            if operations % 10 == 0 {
                self.put_one(operations / 10, number, &item::body(number, self.length)).await?;
            } else if !item::peek(&self.store, number)? {
                return Err(format!("object {number} is not in memory").into());
            }
            operations += 1;
        }
        self.store.flush().await;
        Ok(Rate::of(operations, &stopwatch))
    }

    /// Look-ups of which so many are under way at once.
    async fn get(&self, at_once: u64) -> Result<Rate, Failure> {
        let stopwatch = Arc::new(Stopwatch::start());
        let (objects, millis) = (self.objects, self.millis);
        let tasks = (0..at_once).map(|seed| {
            let (store, stopwatch) = (self.store.clone(), Arc::clone(&stopwatch));
            tokio::spawn(async move {
                let (mut operations, mut random) = (0, Random::new(seed));
                while stopwatch.wall().as_millis() < u128::from(millis) {
                    let found = item::get(&store, random.below(objects)).await;
                    // The error of another crate may not cross threads.
                    if !found.map_err(|failure| failure.to_string())? {
                        return Err("an object on disk was not found".to_owned());
                    }
                    operations += 1;
                }
                Ok(operations)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut operations = 0;
        for task in tasks {
            operations += task.await??;
        }
        Ok(Rate::of(operations, &stopwatch))
    }
}

impl Rate {
    fn of(operations: u64, stopwatch: &Stopwatch) -> Self {
        Self { operations, wall: stopwatch.wall(), cpu: stopwatch.cpu() }
    }

    fn row(&self, name: &str, length: usize, tiers: &str) -> Vec<String> {
        let each = self.operations as f64 / self.wall.as_secs_f64();
        let cpu = self.cpu.as_secs_f64() * 1e6 / self.operations as f64;
        vec![
            name.to_owned(),
            bytes(length as u64),
            tiers.to_owned(),
            format!("{each:.0}"),
            format!("{cpu:.2}"),
        ]
    }
}
