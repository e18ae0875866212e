//! What macOS, Windows and others tell, through `sysinfo`. The functions are described in `machine`.

use std::time::Duration;

use sysinfo::{
    CpuRefreshKind, MemoryRefreshKind, Process, ProcessRefreshKind, ProcessesToUpdate, RefreshKind,
    System,
};

pub(super) fn rss_bytes() -> Option<u64> {
    of_this_process(ProcessRefreshKind::nothing().with_memory(), Process::memory)
}

/// Not known: `sysinfo` tells what a process holds, not what it held.
pub(super) fn peak_rss_bytes() -> Option<u64> {
    None
}

pub(super) fn available_memory_bytes() -> Option<u64> {
    Some(memory()?.available_memory()).filter(|&bytes| bytes > 0)
}

pub(super) fn total_memory_bytes() -> Option<u64> {
    Some(memory()?.total_memory()).filter(|&bytes| bytes > 0)
}

pub(super) fn processor() -> Option<String> {
    let kind = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(kind).ok()?;
    let name = system.cpus().first()?.brand().trim();
    (!name.is_empty()).then(|| name.to_owned())
}

pub(super) fn cpu_time() -> Option<Duration> {
    of_this_process(ProcessRefreshKind::nothing().with_cpu(), |process| {
        Duration::from_millis(process.accumulated_cpu_time())
    })
}

/// Not known: `sysinfo` tells of processes.
pub(super) fn cpu_time_of_thread() -> Option<Duration> {
    None
}

fn memory() -> Option<System> {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(kind).ok()
}

fn of_this_process<T>(kind: ProcessRefreshKind, read: impl FnOnce(&Process) -> T) -> Option<T> {
    let id = sysinfo::get_current_pid().ok()?;
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), true, kind);
    system.process(id).map(read)
}
