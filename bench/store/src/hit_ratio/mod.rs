//! The memory tier against LRU, S3-FIFO and the optimum, on traces of objects of one size.

use store::{Options, Store};

use crate::item;
use crate::table::{Table, percent};
use crate::{Failure, heading};

mod lru;
mod optimum;
mod s3_fifo;
mod trace;

use lru::Lru;
use s3_fifo::S3Fifo;
use trace::Trace;

/// Bytes of each body, in turn: how many objects are expected makes a difference to the store.
const BODIES: [usize; 2] = [1 << 10, 8 << 10];
/// Memory that holds more objects than any cache here.
const ROOMY: u64 = 4 << 30;

/// Measures hit ratios on traces of `objects` objects, each requested ten times on average.
pub(crate) fn measure(objects: u32) -> Result<(), Failure> {
    heading("Hit ratios");
    println!(
        "Hits in per cent of {} requests for {objects} objects of one size; the cache holds a share of\nthese. With scans, a third of the requests are for objects that are never asked for again.\n",
        objects * 10
    );
    let head = ["trace", "cache", "store, 1 KiB", "store, 8 KiB", "LRU", "S3-FIFO", "optimum"];
    let mut table = Table::new(&head);
    for (skew, scans) in [0.8, 1.0, 1.2].into_iter().flat_map(|skew| [(skew, false), (skew, true)])
    {
        let trace = Trace::new(objects, skew, scans);
        for share in [1, 10] {
            let room = trace.footprint * share / 100;
            let ours = |body| of_store(&trace.requests, memory_for(room, body)?, body);
            let [small, large] = [ours(BODIES[0])?, ours(BODIES[1])?];
            let lru = Lru::new(room as usize);
            let s3_fifo = S3Fifo::new(room as usize);
            let requests = trace.requests.len() as u64;
            let hits = |hits: u64| percent(hits, requests);
            table.row(vec![
                format!("Zipf {skew:.1}{}", if scans { ", scans" } else { "" }),
                format!("{share} %"),
                hits(small),
                hits(large),
                hits(count(&trace.requests, lru, Lru::request)),
                hits(count(&trace.requests, s3_fifo, S3Fifo::request)),
                hits(optimum::hits(&trace.requests, room as usize)),
            ]);
        }
    }
    table.print();
    Ok(())
}

/// Hits that a policy has with these requests.
fn count<P>(requests: &[u32], mut policy: P, request: impl Fn(&mut P, u32) -> bool) -> u64 {
    requests.iter().map(|&object| u64::from(request(&mut policy, object))).sum()
}

/// Memory of a store that holds just so many objects, its index included. Beside that the store sets
/// an eighth aside for bodies under way.
fn memory_for(objects: u32, body: usize) -> Result<u64, Failure> {
    let store = Store::open(Options { memory: ROOMY, ..Options::default() })?;
    let runtime = runtime()?;
    for number in 0..u64::from(objects) {
        runtime.block_on(item::put(&store, number, item::body(number, body)))?;
    }
    Ok(store.stats().memory_bytes * 8 / 7)
}

/// Hits that the memory tier has with these requests.
fn of_store(requests: &[u32], memory: u64, body: usize) -> Result<u64, Failure> {
    let store = Store::open(Options { memory, ..Options::default() })?;
    runtime()?.block_on(async {
        let mut hits = 0;
        for &object in requests {
            let number = u64::from(object);
            if item::peek(&store, number)? {
                hits += 1;
            } else {
                item::put(&store, number, item::body(number, body)).await?;
            }
        }
        Ok(hits)
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
