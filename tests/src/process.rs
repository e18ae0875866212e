//! What the operating system knows of a process.

use std::time::Duration;

/// Linux counts CPU time in hundredths of a second, on all architectures that Carat runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time that process `id` has used; `None` where the system does not tell.
pub fn cpu_time(id: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name in brackets: state is field 3 of proc(5), utime 14, stime 15.
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?;
    Some(TICK * ticks)
}

/// Memory that process `id` holds, in bytes; `None` where the system does not tell.
pub fn resident_bytes(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
