//! Writes of a disk tier whose working set is larger than it is.

use std::path::Path;

use store::{DiskOptions, Options, Store};

use crate::item::{self, HEAD, KEY};
use crate::machine::{Stopwatch, written};
use crate::random::{Random, Zipf};
use crate::table::{Table, bytes, percent};
use crate::{Failure, heading};

/// How many times the tier's capacity all objects are.
const OVER: u64 = 4;
/// Bytes after which the queue to the disk is waited for: what is evicted while it waits is never
/// written.
const BATCH: u64 = 512 << 10;

pub(crate) fn measure(directory: &Path, capacity: u64) -> Result<(), Failure> {
    heading(format!("A working set four times as large as a disk tier of {}", bytes(capacity)));
    println!(
        "Reads with Zipf 0.9; what is not found is put. Memory tier: a sixteenth of the disk's.\n"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::new(&[
        "size",
        "requests",
        "hits %",
        "puts",
        "evictions",
        "put",
        "written / put",
        "to device / put",
        "CPU µs",
    ]);
    for length in [1 << 10, 16 << 10] {
        let place = directory.join(format!("churn-{length}"));
        table.row(runtime.block_on(churn(&place, capacity, length))?);
        std::fs::remove_dir_all(&place)?;
    }
    table.print();
    Ok(())
}

async fn churn(directory: &Path, capacity: u64, length: usize) -> Result<Vec<String>, Failure> {
    let disk = Some(DiskOptions { directory: directory.to_owned(), capacity });
    let memory = capacity / 16;
    let store = Store::open(Options { memory, disk, ..Options::default() })?;
    let each = (length + HEAD + KEY) as u64;
    let objects = OVER * capacity / each;
    let (zipf, mut random) = (Zipf::new(objects as u32, 0.9), Random::new(4));
    let (mut hits, mut puts, requests) = (0, 0, 2 * objects);
    let before = written();
    let stopwatch = Stopwatch::start();
    for _ in 0..requests {
        let number = u64::from(zipf.next(&mut random));
        if item::get(&store, number).await? {
            hits += 1;
            continue;
        }
        item::put(&store, number, item::body(number, length)).await?;
        puts += 1;
        if puts % (BATCH / each) == 0 {
            store.flush().await;
        }
    }
    store.flush().await;
    let (after, stats) = (written(), store.stats());
    let put = puts * each;
    let times = |bytes: u64| format!("{:.2}", bytes as f64 / put as f64);
    Ok(vec![
        bytes(length as u64),
        requests.to_string(),
        percent(hits, requests),
        puts.to_string(),
        stats.disk_evictions.to_string(),
        bytes(put),
        times(after.given - before.given),
        times(after.to_device - before.to_device),
        format!("{:.1}", stopwatch.cpu().as_secs_f64() * 1e6 / requests as f64),
    ])
}
