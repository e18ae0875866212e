//! Facts about this machine and this process.

use std::path::Path;
use std::time::Duration;

/// The largest amount of memory that this process held so far.
pub fn peak_rss_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// Memory that programs can have without making the machine swap.
pub fn available_memory_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemAvailable:")
}

/// Memory of the machine.
pub fn total_memory_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemTotal:")
}

/// The processor's name.
pub fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Threads that can run at the same time.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Processor time that this process has taken so far.
pub fn cpu_time() -> Option<Duration> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?.flatten();
    let times = threads.filter_map(|thread| run_time(&thread.path().join("schedstat")));
    Some(times.sum())
}

/// The same of this thread alone.
pub fn cpu_time_of_thread() -> Option<Duration> {
    run_time(Path::new("/proc/thread-self/schedstat"))
}

/// The first number of a scheduler's statistics.
fn run_time(file: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(file).ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// A line such as `VmHWM:   1234 kB` of a file that only Linux has.
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
