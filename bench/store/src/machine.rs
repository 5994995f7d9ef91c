//! The machine that the figures are from, and what this process takes of it.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Prints what the figures depend on.
pub(crate) fn print(directory: &Path) {
    let cpu = line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = line_of("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let build = if cfg!(debug_assertions) { "debug (figures mean nothing)" } else { "release" };
    println!("machine      {cpu}, {cores} cores, memory {memory}");
    println!("kernel       {} {}", std::env::consts::OS, release.trim());
    println!("file system  {}", file_system(directory).unwrap_or_else(|| "unknown".to_owned()));
    println!("build        {build}");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before  {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
}

fn line_of(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Type of the mounted file system that the directory is on: the longest mount point wins.
fn file_system(directory: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let around = fields.filter(|mount| mount.len() > 2 && directory.starts_with(mount[1]));
    around.max_by_key(|mount| mount[1].len()).map(|mount| mount[2].to_owned())
}

/// Bytes of resident memory; 0 where the system does not tell.
pub(crate) fn resident() -> u64 {
    let text = line_of("/proc/self/status", "VmRSS").unwrap_or_default();
    text.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What this process has written so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Bytes given to the system.
    pub(crate) given: u64,
    /// Bytes that the system wrote, or will write, to a device.
    pub(crate) to_device: u64,
}

pub(crate) fn written() -> Written {
    let number = |name| line_of("/proc/self/io", name)?.parse().ok();
    Written { given: number("wchar").unwrap_or(0), to_device: number("write_bytes").unwrap_or(0) }
}

/// Measures wall-clock time and the CPU time of all threads.
pub(crate) struct Stopwatch {
    began: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu_time() }
    }

    pub(crate) fn wall(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn cpu(&self) -> Duration {
        cpu_time().saturating_sub(self.cpu)
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
