//! Measures the store through its public interface: rates, memory per object, recovery, write
//! amplification, hit ratios. `cargo bench-store` runs it; `--quick` takes less than a minute.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tempfile::TempDir;

mod child;
mod churn;
mod freshen;
mod hit_ratio;
mod item;
mod machine;
mod many;
mod random;
mod speed;
mod table;

use speed::Extent;

/// Measures the store and prints tables.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench-store")]
struct Options {
    /// Directory for the stores' files: its file system is measured too.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Smaller numbers: done in less than a minute.
    #[arg(long)]
    quick: bool,
    /// Adds ten million objects to the million: needs some 15 GB and a good while.
    #[arg(long, conflicts_with_all = ["quick", "objects"])]
    full: bool,
    /// Objects on disk, instead of a million.
    #[arg(long, value_name = "N")]
    objects: Option<u64>,
    /// Bytes of their bodies.
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    body: usize,
    /// Milliseconds for which each rate is measured.
    #[arg(long, value_name = "N")]
    millis: Option<u64>,
    /// Objects and tenths of the requests of the traces that hit ratios are measured on.
    #[arg(long, value_name = "N")]
    trace: Option<u32>,
    /// Measures only these, separated by commas.
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    only: Vec<Part>,
    /// What a process that the benchmark starts does.
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    child: Vec<String>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Operations a second.
    Rates,
    /// Time and memory for many objects, and their recovery.
    Objects,
    /// Write amplification of a working set larger than the disk tier.
    Churn,
    /// What new metadata costs.
    Freshen,
    /// The memory tier against LRU, S3-FIFO and the optimum.
    HitRatio,
}

impl Options {
    fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn extent(&self) -> Extent {
        let (millis, objects) = if self.quick { (200, 2_000) } else { (1_000, 16_000) };
        Extent {
            millis: self.millis.unwrap_or(millis),
            objects: self.objects.unwrap_or(objects).clamp(16, objects),
        }
    }

    fn objects(&self) -> Vec<u64> {
        match self.objects {
            Some(objects) => vec![objects],
            None if self.quick => vec![20_000],
            None if self.full => vec![1_000_000, 10_000_000],
            None => vec![1_000_000],
        }
    }

    /// Bytes of the disk tier that is too small.
    fn capacity(&self) -> u64 {
        match self.objects {
            Some(objects) => (objects << 10).clamp(256 << 10, 256 << 20),
            None if self.quick => 8 << 20,
            None => 256 << 20,
        }
    }

    fn trace(&self) -> u32 {
        self.trace.unwrap_or(if self.quick { 10_000 } else { 200_000 })
    }
}

/// Why nothing, or no more, is measured.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.child[..] {
        [] => measure(&options),
        child => child::run(child),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-store: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    let directory = match &options.directory {
        Some(parent) => TempDir::new_in(parent)?,
        None => TempDir::new()?,
    };
    machine::print(directory.path());
    if options.measures(Part::Rates) {
        speed::measure(directory.path(), options.extent())?;
    }
    if options.measures(Part::Objects) {
        for objects in options.objects() {
            many::measure(directory.path(), objects, options.body)?;
        }
    }
    if options.measures(Part::Churn) {
        churn::measure(directory.path(), options.capacity())?;
    }
    if options.measures(Part::Freshen) {
        freshen::measure(directory.path(), options.extent().objects)?;
    }
    if options.measures(Part::HitRatio) {
        hit_ratio::measure(options.trace())?;
    }
    Ok(())
}

fn heading(text: impl Display) {
    println!("\n## {text}\n");
}
