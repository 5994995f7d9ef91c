//! Fills the memory tier with small responses and prints what each takes: by the store's own
//! figure, and by the growth of the process. Run it with `--release`; the arguments are the number
//! of responses (1,000,000), the length of their bodies (1,024) and a Vary (none).

use std::process::ExitCode;

#[path = "../tests/memory/measure.rs"]
mod measure;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or| arguments.next().map_or(Some(or), |text| text.parse().ok());
    let (Some(objects), Some(length)) = (number(1_000_000), number(1024)) else {
        return ExitCode::FAILURE;
    };
    let Some(each) = measure::fill(objects, length, arguments.next().as_deref()) else {
        return ExitCode::FAILURE;
    };
    println!("{objects} objects, each with {:.0} bytes of head and body", each.content);
    for (name, bytes) in [("own figure", each.own), ("resident", each.grown)] {
        println!(
            "{name:<10} {bytes:>7.0} bytes, {:>5.0} beside head and body",
            bytes - each.content
        );
    }
    println!("own figure / resident: {:.3}", each.own / each.grown);
    ExitCode::SUCCESS
}
