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

/// Bytes of each body.
const BODY: usize = 256;
/// Memory that holds more objects than any cache here.
const ROOMY: u64 = 1 << 30;

/// Measures hit ratios on traces of `objects` objects, each requested ten times on average.
pub(crate) fn measure(objects: u32) -> Result<(), Failure> {
    heading("Hit ratios");
    println!(
        "Hits in per cent of {} requests for {objects} objects of one size; the cache holds a share of\nthese. With scans, a third of the requests are for objects that are never asked for again.\n",
        objects * 10
    );
    let mut table =
        Table::new(&["trace", "cache", "this store", "LRU", "S3-FIFO", "optimum", "filled %"]);
    for (skew, scans) in [0.8, 1.0, 1.2].into_iter().flat_map(|skew| [(skew, false), (skew, true)])
    {
        let trace = Trace::new(objects, skew, scans);
        for share in [1, 10] {
            let room = trace.footprint * share / 100;
            let (ours, held) = of_store(&trace.requests, memory_for(room)?)?;
            let lru = Lru::new(room as usize);
            let s3_fifo = S3Fifo::new(room as usize);
            let requests = trace.requests.len() as u64;
            let hits = |hits: u64| percent(hits, requests);
            table.row(vec![
                format!("Zipf {skew:.1}{}", if scans { ", scans" } else { "" }),
                format!("{share} %"),
                hits(ours),
                hits(count(&trace.requests, lru, Lru::request)),
                hits(count(&trace.requests, s3_fifo, S3Fifo::request)),
                hits(optimum::hits(&trace.requests, room as usize)),
                percent(held, u64::from(room)),
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
fn memory_for(objects: u32) -> Result<u64, Failure> {
    let store = Store::open(Options { memory: ROOMY, ..Options::default() })?;
    let runtime = runtime()?;
    for number in 0..u64::from(objects) {
        runtime.block_on(item::put(&store, number, item::body(number, BODY)))?;
    }
    Ok(store.stats().memory_bytes * 8 / 7)
}

/// Hits that the memory tier has with these requests, and how many objects it holds in the end.
fn of_store(requests: &[u32], memory: u64) -> Result<(u64, u64), Failure> {
    let store = Store::open(Options { memory, ..Options::default() })?;
    let hits = runtime()?.block_on(async {
        let mut hits = 0;
        for &object in requests {
            let number = u64::from(object);
            if item::peek(&store, number)? {
                hits += 1;
            } else {
                item::put(&store, number, item::body(number, BODY)).await?;
            }
        }
        Ok::<_, Failure>(hits)
    })?;
    Ok((hits, store.stats().memory_entries))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
