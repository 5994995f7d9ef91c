//! The whole benchmark with tiny numbers, so that it keeps working.

use std::process::Command;

#[test]
fn every_part_of_the_benchmark_runs_and_prints_its_table() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench-store"))
        .args(["--quick", "--objects", "40", "--millis", "5", "--trace", "500", "--directory"])
        .arg(directory.path())
        .output()
        .unwrap();
    let (printed, wrong) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{printed}{wrong}");
    for expected in ["machine ", "## Rates", "40 objects of 1 KiB", "four times", "## Hit ratios"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    // Nothing that was written before the kill is lost.
    for when in ["stop", "kill"] {
        let lost = format!("after a {when}: lost, of 2000 looked for");
        let line = printed.lines().find(|line| line.contains(&lost)).unwrap();
        assert!(line.contains(" 0 |"), "{line}");
    }
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}
