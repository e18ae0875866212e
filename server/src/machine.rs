//! Facts about this machine and this process. Linux tells them in files, other systems through `sysinfo`.

#[cfg_attr(target_os = "linux", path = "machine/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "machine/others.rs")]
mod system;

use std::time::Duration;

/// The memory that this process holds.
pub fn rss_bytes() -> Option<u64> {
    system::rss_bytes()
}

/// The largest amount of memory that this process held so far.
pub fn peak_rss_bytes() -> Option<u64> {
    system::peak_rss_bytes()
}

/// Memory that programs can have without making the machine swap.
pub fn available_memory_bytes() -> Option<u64> {
    system::available_memory_bytes()
}

/// Memory of the machine.
pub fn total_memory_bytes() -> Option<u64> {
    system::total_memory_bytes()
}

/// The processor's name.
pub fn processor() -> Option<String> {
    system::processor()
}

/// Threads that can run at the same time.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Processor time that this process has taken so far.
pub fn cpu_time() -> Option<Duration> {
    system::cpu_time()
}

/// The same of this thread alone.
pub fn cpu_time_of_thread() -> Option<Duration> {
    system::cpu_time_of_thread()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_tells_of_its_memory_and_of_this_process() {
        let total = total_memory_bytes().expect("the machine's memory");
        let available = available_memory_bytes().expect("what is available of it");
        let held = rss_bytes().expect("the memory of this process");
        assert!(available <= total && held <= total);
        assert!(held > 1 << 20, "{held} bytes hold no program");
        assert!(cpu_time().is_some());
    }
}
