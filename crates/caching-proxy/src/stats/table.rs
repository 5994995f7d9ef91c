//! The counters for a person, as the control socket has told them. What an instance does not tell,
//! because it is of an earlier version, is left out.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use proxy::Answered;
use serde_json::Value;

use crate::units::{Span, rough_bytes};

/// One line, most of them with a number.
struct Row {
    depth: usize,
    label: String,
    number: String,
    note: String,
}

/// The rows, as they come.
struct Table<'s> {
    stats: &'s Value,
    rows: Vec<Row>,
}

/// The whole text about the instance in a directory. `now` is in seconds since 1970.
pub(super) fn text(directory: &Path, stats: &Value, now: i64) -> String {
    let mut table = Table { stats, rows: Vec::new() };
    table.requests();
    table.connections();
    table.origin();
    table.store();
    table.troubles();
    let mut out = format!("{}\n", directory.display());
    if let Some(line) = process(stats, now) {
        let _ = writeln!(out, "{line}");
    }
    table.write(&mut out);
    certificates(stats, &mut out);
    out
}

fn process(stats: &Value, now: i64) -> Option<String> {
    let (pid, version) = (stats["pid"].as_u64()?, stats["version"].as_str()?);
    let ran = now.saturating_sub(stats["started_seconds"].as_i64()?);
    let ran = Span(Duration::from_secs(u64::try_from(ran).unwrap_or(0)));
    Some(format!("process {pid}, version {version}, running for {ran}"))
}

impl Table<'_> {
    /// A number that is told under this path, such as `/store/events`.
    fn told(&self, path: &str) -> Option<u64> {
        self.stats.pointer(path).and_then(Value::as_u64)
    }

    fn put(&mut self, depth: usize, label: impl Into<String>, number: String, note: String) {
        self.rows.push(Row { depth, label: label.into(), number, note });
    }

    fn count(&mut self, depth: usize, label: &str, path: &str) {
        if let Some(number) = self.told(path) {
            self.put(depth, label, grouped(number), String::new());
        }
    }

    /// The same where it is worth a line only if there is something.
    fn count_any(&mut self, depth: usize, label: &str, path: &str) {
        if self.told(path).is_some_and(|number| number > 0) {
            self.count(depth, label, path);
        }
    }

    fn bytes(&mut self, depth: usize, label: &str, path: &str) {
        if let Some(number) = self.told(path) {
            self.put(depth, label, rough_bytes(number), String::new());
        }
    }

    /// Each code under this path that came up, the most frequent first.
    fn codes(&mut self, depth: usize, path: &str) {
        let Some(Value::Object(codes)) = self.stats.pointer(path) else { return };
        let numbers = codes.iter().filter_map(|(code, number)| Some((code, number.as_u64()?)));
        let mut seen: Vec<_> = numbers.filter(|(_, number)| *number > 0).collect();
        seen.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        for (code, number) in seen {
            self.put(depth, code, grouped(number), String::new());
        }
    }

    fn requests(&mut self) {
        let all = self.told("/requests").unwrap_or(0);
        self.count(0, "requests", "/requests");
        for answered in Answered::ALL {
            let label = match answered {
                Answered::Hit => "answered from the cache",
                Answered::Stale => "from the cache, stale",
                Answered::Miss => "asked the origin",
                Answered::Pass => "passed on for one client",
                Answered::Failed => "failed",
                Answered::Refused => "answered by the proxy itself",
            };
            let path = format!("/outcomes/{}", answered.word());
            let Some(Value::Object(codes)) = self.stats.pointer(&path) else { continue };
            let sum: u64 = codes.values().filter_map(Value::as_u64).sum();
            if sum > 0 {
                self.put(1, label, grouped(sum), share(sum, all));
                self.codes(2, &path);
            }
        }
        self.count_any(1, "not sent to their end", "/cut");
        self.bytes(0, "sent to clients", "/bytes");
    }

    fn connections(&mut self) {
        self.count(0, "connections of clients", "/connections");
        let stats = self.stats;
        let listeners = stats["listeners"].as_array().map_or(0, Vec::len);
        for number in 0..listeners {
            let at = format!("/listeners/{number}");
            let Some(address) = stats["listeners"][number]["address"].as_str() else { continue };
            self.count(1, &format!("at {address}"), &format!("{at}/accepted"));
            self.count(2, "open now", &format!("{at}/open"));
            self.count_any(2, "refused", &format!("{at}/refused"));
            self.count_any(2, "closed without an answer", &format!("{at}/dropped"));
            self.count_any(2, "idle, made way", &format!("{at}/made_way"));
        }
        self.count_any(0, "tunnels", "/tunnels/begun");
        self.count_any(1, "open now", "/tunnels/open");
        self.count_any(0, "TLS handshakes", "/tls/handshakes");
        self.codes(1, "/tls/failures");
    }

    fn origin(&mut self) {
        self.count(0, "failures of the origin", "/origin_failures");
        self.codes(1, "/origin/failures");
        self.count_any(0, "requests sent to the origin twice", "/origin/retries");
        self.count(0, "requests at the origin now", "/origin/connections");
    }

    fn store(&mut self) {
        self.count(0, "stored in memory", "/store/memory_entries");
        self.bytes(1, "bytes", "/store/memory_bytes");
        self.count_any(1, "given up to make room", "/store/memory_evictions");
        self.count(0, "stored on disk", "/store/disk_entries");
        self.bytes(1, "bytes", "/store/disk_bytes");
        self.count_any(1, "given up to make room", "/store/disk_evictions");
        self.count_any(1, "failed writes", "/store/disk_write_failures");
        self.count_any(1, "failed reads", "/store/disk_read_errors");
        self.count_any(1, "reads that took too long", "/store/disk_timeouts");
        self.codes(1, "/store/damaged");
    }

    fn troubles(&mut self) {
        self.count_any(0, "takeovers", "/takeovers/done");
        self.count_any(0, "takeovers that failed", "/takeovers/failed");
        if let Some(Value::Object(codes)) = self.stats.get("troubles")
            && !codes.is_empty()
        {
            self.put(0, "warned of in the log", String::new(), String::new());
            self.codes(1, "/troubles");
        }
    }

    /// Labels to the left, numbers to the right.
    fn write(&self, out: &mut String) {
        let width = |row: &Row| 2 * row.depth + row.label.chars().count();
        let labels = self.rows.iter().map(width).max().unwrap_or(0);
        let numbers = self.rows.iter().map(|row| row.number.chars().count()).max().unwrap_or(0);
        for Row { depth, label, number, note } in &self.rows {
            let (indent, label_width) = (2 * depth, labels - 2 * depth);
            let line = format!("  {:indent$}{label:label_width$}  {number:>numbers$}  {note}", "");
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
}

fn certificates(stats: &Value, out: &mut String) {
    let served = stats["tls"]["certificates"].as_array().into_iter().flatten();
    let shown = Some(&stats["tls"]["origin_certificate"]).filter(|shown| shown.is_object());
    for certificate in served.chain(shown) {
        let names = certificate["names"].as_array().into_iter().flatten();
        let names: Vec<_> = names.filter_map(Value::as_str).collect();
        let (file, end) = (certificate["file"].as_str(), certificate["not_after"].as_str());
        if let (Some(file), Some(end)) = (file, end) {
            let names = names.join(", ");
            let _ = writeln!(out, "  certificate for {names}, in {file}: good until {end}");
        }
    }
}

/// 1234567 as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn share(part: u64, all: u64) -> String {
    if all == 0 {
        return String::new();
    }
    format!("{:.1} %", part as f64 * 100.0 / all as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_stand_left_numbers_right_and_what_is_nothing_is_left_out() {
        let stats = json!({
            "pid": 7, "version": "1.2.3", "started_seconds": 1000, "requests": 3_000_001,
            "outcomes": { "hit": { "fresh": 1_000_000, "validated": 0, "immutable": 2_000_000 },
                          "stale": {}, "miss": { "absent": 1 } },
            "cut": 0, "bytes": 5000, "connections": 3,
            "listeners": [{ "address": "127.0.0.1:80", "accepted": 3, "open": 1, "refused": 0 }],
            "tls": { "certificates": [
                { "file": "/a.pem", "names": ["a", "b"], "not_after": "2040-01-01T00:00:00Z" },
            ], "origin_certificate": null },
            "troubles": { "accept-failed": 2 },
        });
        let expected = "\
/d
process 7, version 1.2.3, running for 1h1s
  requests                   3,000,001
    answered from the cache  3,000,000  100.0 %
      immutable              2,000,000
      fresh                  1,000,000
    asked the origin                 1  0.0 %
      absent                         1
  sent to clients              4.9 KiB
  connections of clients             3
    at 127.0.0.1:80                  3
      open now                       1
  warned of in the log
    accept-failed                    2
  certificate for a, b, in /a.pem: good until 2040-01-01T00:00:00Z
";
        assert_eq!(text(Path::new("/d"), &stats, 4601), expected);
    }

    #[test]
    fn one_that_tells_less_is_shown_with_less() {
        let stats = json!({ "requests": 2, "bytes": 0, "store": { "memory_entries": 1 } });
        let shown = text(Path::new("/d"), &stats, 0);
        assert!(
            shown.starts_with("/d\n  requests ") && shown.contains("stored in memory"),
            "{shown}"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), shown);
        }
    }
}
