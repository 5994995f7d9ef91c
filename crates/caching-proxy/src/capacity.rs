//! How many connections of clients this machine has room for.

use std::fs;
use std::path::Path;

/// Of the files that the process may have open, so many parts in a hundred may be connections.
const PART_OF_FILES: u64 = 80;
/// Files for all else: connections to the origin, the cache, the control socket.
const OTHER_FILES: u64 = 64;
/// Of the memory, one in so many parts is for connections.
const SHARE_OF_MEMORY: u64 = 4;
/// What a connection may take while it is slow: one by HTTP/2 inside TLS with an upload on its way.
const CONNECTION: u64 = 136 << 10;

/// Connections that files and memory allow; `None` if neither is limited.
pub(crate) fn connections(files: Option<u64>) -> Option<usize> {
    let most = allowed(files, memory());
    most.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
}

fn allowed(files: Option<u64>, memory: Option<u64>) -> Option<u64> {
    let files = files.map(|files| {
        let others = OTHER_FILES.min(files / 2);
        (files / 100 * PART_OF_FILES + files % 100 * PART_OF_FILES / 100).min(files - others)
    });
    let memory = memory.map(|memory| memory / SHARE_OF_MEMORY / CONNECTION);
    files.into_iter().chain(memory).min().map(|most| most.max(1))
}

/// The memory that there is for this process: the machine's, or less if its control group says so.
fn memory() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    let group = read(Path::new("/proc/self/cgroup")).and_then(|text| group(&text));
    let group = group.unwrap_or_default();
    // The limits of the groups around it hold too.
    let groups = Path::new(&group).ancestors().map(|group| {
        let root = Path::new("/sys/fs/cgroup");
        read(&root.join(group.strip_prefix("/").unwrap_or(group)).join("memory.max"))
    });
    let limits = groups.flatten().filter_map(|text| text.trim().parse().ok());
    machine.into_iter().chain(limits).min()
}

/// The bytes of memory that a machine has.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The control group of a process, in the one hierarchy that there is.
fn group(cgroup: &str) -> Option<String> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::")).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_or_memory_are_the_limit_whichever_is_less() {
        let gib = Some(1 << 30);
        for (files, memory, connections) in [
            (Some(1024), gib, Some(819)),
            (Some(128), gib, Some(64)),
            (Some(200), gib, Some(136)),
            (Some(65_536), gib, Some(1927)),
            (Some(16), gib, Some(8)),
            (Some(1), gib, Some(1)),
            (None, gib, Some(1927)),
            (Some(1024), None, Some(819)),
            (Some(u64::MAX), None, Some(u64::MAX / 100 * 80 + 15 * 80 / 100)),
            (None, None, None),
        ] {
            assert_eq!(allowed(files, memory), connections, "{files:?} {memory:?}");
        }
    }

    #[test]
    fn what_the_system_says_is_understood() {
        let meminfo = "MemTotal:       8043668 kB\nMemFree:         512 kB\n";
        assert_eq!(total(meminfo), Some(8_043_668 * 1024));
        assert_eq!(total("MemFree: 512 kB\n"), None);
        assert_eq!(group("0::/system.slice/a.service\n"), Some("/system.slice/a.service".into()));
        assert_eq!(group("1:memory:/a\n"), None);
    }
}
