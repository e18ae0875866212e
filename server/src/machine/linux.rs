//! What Linux tells in its files. The functions are described in `machine`.

use std::path::Path;
use std::time::Duration;

pub(super) fn rss_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmRSS:")
}

pub(super) fn peak_rss_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmHWM:")
}

pub(super) fn available_memory_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemAvailable:")
}

pub(super) fn total_memory_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemTotal:")
}

pub(super) fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

pub(super) fn cpu_time() -> Option<Duration> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?.flatten();
    let times = threads.filter_map(|thread| run_time(&thread.path().join("schedstat")));
    Some(times.sum())
}

pub(super) fn cpu_time_of_thread() -> Option<Duration> {
    run_time(Path::new("/proc/thread-self/schedstat"))
}

/// The first number of a scheduler's statistics.
fn run_time(file: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(file).ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// A line such as `VmHWM:   1234 kB`.
fn kibibytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kibibytes| kibibytes * 1024)
}
