//! New metadata for what is stored, as after a 304: what it costs, and what reads cost after it.

use std::path::Path;

use store::{DiskOptions, Options, Store};

use crate::item::{self, Head};
use crate::machine::Stopwatch;
use crate::table::{Table, bytes};
use crate::{Failure, heading};

/// Bytes of all objects together.
const OBJECTS: u64 = 64 << 20;
/// Memory while they are put in, and that of a store that has next to none there.
const MEMORY: u64 = 256 << 20;
const LITTLE: u64 = 1 << 20;
/// New metadata after which the queue to the disk is waited for.
const BATCH: u64 = 64;

pub(crate) fn measure(directory: &Path, most: u64) -> Result<(), Failure> {
    heading("New metadata for small entries on disk");
    println!(
        "One thread of callers; heads of {} bytes; files are in the page cache. Each object is looked up\nand gets new metadata, then all are looked up again.\n",
        item::HEAD
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::new(&[
        "size",
        "written each",
        "look-up and change, /s",
        "CPU µs",
        "CPU µs of a get before",
        "after",
    ]);
    for length in [512, 1 << 10, 4 << 10, 30 << 10, 100 << 10] {
        let place = directory.join(format!("freshen-{length}"));
        table.row(runtime.block_on(freshen(&place, length, most))?);
        std::fs::remove_dir_all(&place)?;
    }
    table.print();
    Ok(())
}

async fn freshen(directory: &Path, length: usize, most: u64) -> Result<Vec<String>, Failure> {
    let open = |memory| {
        let disk = Some(DiskOptions { directory: directory.to_owned(), capacity: 16 * OBJECTS });
        Store::open(Options { memory, disk, ..Options::default() })
    };
    let store = open(MEMORY)?;
    let objects = (OBJECTS / length as u64).min(most);
    for number in 0..objects {
        item::put(&store, number, item::body(number, length)).await?;
        if number % BATCH == 0 {
            store.flush().await;
        }
    }
    drop(store);
    let store = open(LITTLE)?;
    let before = get_all(&store, objects).await?;
    let (stopwatch, before_it) = (Stopwatch::start(), store.stats().log_written_bytes);
    for number in 0..objects {
        let key = item::key(number);
        let found = store.look_up(&key).await.ok_or("an object is lost")?;
        let entry = found.iter().next().ok_or("an object is lost")?;
        store.replace_meta(&key, entry, Head::new()).ok_or("an object was not changed")?;
        if number % BATCH == 0 {
            store.flush().await;
        }
    }
    store.flush().await;
    let (wall, cpu) = (stopwatch.wall(), stopwatch.cpu());
    let written = store.stats().log_written_bytes - before_it;
    let after = get_all(&store, objects).await?;
    Ok(vec![
        bytes(length as u64),
        format!("{} B", written / objects),
        format!("{:.0}", objects as f64 / wall.as_secs_f64()),
        format!("{:.1}", cpu.as_secs_f64() * 1e6 / objects as f64),
        before,
        after,
    ])
}

/// CPU time of a look-up.
async fn get_all(store: &Store<Head>, objects: u64) -> Result<String, Failure> {
    let stopwatch = Stopwatch::start();
    for number in 0..objects {
        if !item::get(store, number).await? {
            return Err(format!("object {number} is lost").into());
        }
    }
    Ok(format!("{:.1}", stopwatch.cpu().as_secs_f64() * 1e6 / objects as f64))
}
