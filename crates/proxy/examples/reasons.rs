//! Writes `docs/reasons.md` from the tables in the code: `cargo run -p proxy --example reasons`.

use std::path::Path;
use std::{fs, io};

#[path = "../tests/reasons/document.rs"]
mod document;

fn main() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons.md");
    fs::write(path, document::text())
}
