//! Whose turn a processor is: a worker's or another program's.
//!
//! A worker that loses its processor in the middle of a task makes the whole loop wait for a time
//! slice of the other program, several milliseconds or a thousand tasks. A worker that leaves by
//! itself, between two tasks and before its slice ends, makes nobody wait: the other threads do its
//! share. It still gets less than the other program does, so the system has no reason to interrupt it.

use std::time::{Duration, Instant};

/// How long a worker stays on a processor that it shares. The shortest time slice of Linux is about
/// 3 ms (`base_slice_ns`).
const TURN: Duration = Duration::from_millis(1);
/// How long it leaves the processor to the other program.
const PAUSE: Duration = Duration::from_millis(1);
/// How long the processor counts as shared before the system is asked again.
const TERM: Duration = Duration::from_millis(100);
/// How often a stall makes a worker ask at most.
const ASK: Duration = Duration::from_millis(10);
/// The part of its time that a thread waits for a processor that it shares, at least: one in so many.
const WAITING: u32 = 8;

/// What a worker knows about its processor.
pub(super) struct TimeSlice {
    stalls: u32,
    /// When the system was asked last, and what it said.
    asked: Instant,
    waited: Option<Duration>,
    /// If the processor is shared: the end of the term and of the turn.
    shared: Option<(Instant, Instant)>,
}

impl TimeSlice {
    /// For the calling thread.
    pub(super) fn new() -> Self {
        Self {
            stalls: 0,
            asked: Instant::now(),
            waited: time_waited(),
            shared: None,
        }
    }

    /// Whether the thread should [`pause`](Self::pause) now; to be asked when it holds no task.
    /// `stalls` counts the loops that had to wait for some worker.
    pub(super) fn is_over(&mut self, stalls: u32) -> bool {
        if self.shared.is_none() && stalls == self.stalls {
            return false;
        }
        self.stalls = stalls;
        let now = Instant::now();
        let ask = match self.shared {
            Some((end_of_term, _)) => now >= end_of_term,
            None => now.duration_since(self.asked) >= ASK,
        };
        if ask {
            self.ask(now);
        }
        self.shared
            .is_some_and(|(_, end_of_turn)| now >= end_of_turn)
    }

    /// Leaves the processor to other programs for a while.
    pub(super) fn pause(&mut self) {
        std::thread::sleep(PAUSE);
        if let Some((_, end_of_turn)) = &mut self.shared {
            *end_of_turn = Instant::now() + TURN;
        }
    }

    fn ask(&mut self, now: Instant) {
        let waited = time_waited();
        let is_shared = waited.zip(self.waited).is_some_and(|(waited, before)| {
            waited.saturating_sub(before) >= now.duration_since(self.asked) / WAITING
        });
        self.shared = is_shared.then_some((now + TERM, now));
        (self.asked, self.waited) = (now, waited);
    }
}

/// How long the calling thread was ready to run without a processor, in all: the second field of
/// `schedstat`, in nanoseconds (the kernel's sched-stats.rst). `None` where the system does not tell.
#[cfg(target_os = "linux")]
fn time_waited() -> Option<Duration> {
    use std::io::Read;

    // Three numbers of at most 20 digits; nothing is allocated.
    let mut text = [0; 64];
    let mut file = std::fs::File::open("/proc/thread-self/schedstat").ok()?;
    let len = file.read(&mut text).ok()?;
    let nanoseconds = std::str::from_utf8(&text[..len])
        .ok()?
        .split_whitespace()
        .nth(1)?;
    nanoseconds.parse().ok().map(Duration::from_nanos)
}

#[cfg(not(target_os = "linux"))]
fn time_waited() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_turn_ends_only_on_a_shared_processor() {
        let mut slice = TimeSlice::new();
        if slice.waited.is_none() {
            return; // This system does not tell.
        }
        assert!(!slice.is_over(0), "no loop had to wait");
        let done = AtomicBool::new(false);
        let is_over = std::thread::scope(|scope| {
            for _ in 0..4 * std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let begin = Instant::now();
            let (mut stalls, mut is_over) = (0, false);
            while !is_over && begin.elapsed() < Duration::from_secs(20) {
                stalls += 1;
                is_over = slice.is_over(stalls);
            }
            done.store(true, Ordering::Relaxed);
            is_over
        });
        assert!(is_over, "others use every processor");
        let begin = Instant::now();
        slice.pause();
        assert!(begin.elapsed() >= PAUSE);
        assert!(!slice.is_over(0) || begin.elapsed() >= PAUSE + TURN);
    }
}
