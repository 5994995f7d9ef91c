//! What many objects cost, and how long it takes until they are found again.

use std::path::Path;
use std::time::Duration;

use crate::child::{self, Many, Told};
use crate::item::{HEAD, KEY};
use crate::table::{Table, bytes};
use crate::{Failure, heading};

/// Objects that are held in memory alone: more would need a machine of their own.
const IN_MEMORY: u64 = 1_000_000;

pub(crate) fn measure(directory: &Path, objects: u64, body: usize) -> Result<(), Failure> {
    heading(format!("{objects} objects of {}", bytes(body as u64)));
    let mut table = Table::new(&["", "figure", "each"]);
    in_memory(objects.min(IN_MEMORY), body, &mut table)?;
    let place = directory.join("objects");
    let many = Many { directory: Some(place.clone()), objects, body };
    on_disk(&many, &mut table)?;
    recovery(&many, &mut table)?;
    table.print();
    std::fs::remove_dir_all(&place)?;
    Ok(())
}

/// A figure, and its share of one object.
struct Figures<'a> {
    table: &'a mut Table,
    objects: u64,
}

impl Figures<'_> {
    fn time(&mut self, name: &str, micros: u64) {
        let each = micros as f64 / self.objects as f64;
        let seconds = micros as f64 / 1e6;
        self.table.row(vec![name.to_owned(), format!("{seconds:.3} s"), format!("{each:.2} µs")]);
    }

    fn bytes(&mut self, name: &str, count: u64) {
        let each = count as f64 / self.objects as f64;
        self.table.row(vec![name.to_owned(), bytes(count), format!("{each:.0} B")]);
    }

    fn count(&mut self, name: &str, count: u64) {
        self.table.row(vec![name.to_owned(), count.to_string(), String::new()]);
    }
}

fn figure(told: &Told, name: &str) -> u64 {
    told.get(name).copied().unwrap_or(0)
}

fn in_memory(objects: u64, body: usize, table: &mut Table) -> Result<(), Failure> {
    let told = child::tell("fill", &Many { directory: None, objects, body })?;
    let mut figures = Figures { table, objects };
    let payload = objects * (body + HEAD + KEY) as u64;
    let own = figure(&told, "memory_bytes");
    figures.count("memory alone: objects kept", figure(&told, "memory_entries"));
    figures.time("put", figure(&told, "micros"));
    figures.bytes("by the store's own figure", own);
    figures.bytes("of that beside key, head and body", own.saturating_sub(payload));
    figures.bytes("resident memory", figure(&told, "resident"));
    Ok(())
}

fn on_disk(many: &Many, table: &mut Table) -> Result<(), Failure> {
    let told = child::tell("fill", many)?;
    let mut figures = Figures { table, objects: many.objects };
    figures.count("disk: objects kept", figure(&told, "disk_entries"));
    figures.time("put until written", figure(&told, "micros"));
    figures.time("of that CPU time", figure(&told, "cpu"));
    figures.bytes("on disk", figure(&told, "disk_bytes"));
    figures.bytes("resident memory, 8 MiB of memory tier included", figure(&told, "resident"));
    figures.time("stop", figure(&told, "stop"));
    Ok(())
}

fn recovery(many: &Many, table: &mut Table) -> Result<(), Failure> {
    let told = child::tell("reopen", many)?;
    let mut figures = Figures { table, objects: many.objects };
    started("after a stop", &told, &mut figures);
    child::kill("put", many, Duration::from_millis(300))?;
    let told = child::tell("reopen", many)?;
    started("after a kill", &told, &mut figures);
    Ok(())
}

fn started(when: &str, told: &Told, figures: &mut Figures<'_>) {
    figures.time(&format!("{when}: open"), figure(told, "open"));
    figures.time(&format!("{when}: all are found"), figure(told, "all"));
    figures.bytes(&format!("{when}: resident memory"), figure(told, "resident"));
    figures.count(&format!("{when}: lost, of 2000 looked for"), figure(told, "lost"));
}
