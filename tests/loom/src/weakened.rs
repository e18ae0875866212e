//! What is taken from the pool's code to see that loom notices: name, what stands there, and what
//! instead. `build.rs` makes a copy with each of them, and refuses what does not stand there once.
//!
//! Five orderings of the pool are not here. Those of tickets and claims would be needed if a worker could
//! know the number of a loop without having acquired it. `Release` and `Acquire` of `tasks` keep a late
//! claim from being ordered before the closing of its ticket, but for loom stores to one place are
//! always in the order in which they are executed.

pub const WEAKENED: &[(&str, &str, &str)] = &[
    (
        "tickets_stay_open",
        "old.0.store(ticket(number, CLOSED), Ordering::Relaxed);",
        "let _ = old;",
    ),
    (
        "done_counted_relaxed",
        "fetch_add(finished, Ordering::SeqCst)",
        "fetch_add(finished, Ordering::Relaxed)",
    ),
    (
        "done_read_relaxed",
        "self.done.0.load(Ordering::Acquire)",
        "self.done.0.load(Ordering::Relaxed)",
    ),
    (
        "done_before_sleep_acquire",
        "self.done.0.load(Ordering::SeqCst)",
        "self.done.0.load(Ordering::Acquire)",
    ),
    (
        "waiting_said_release",
        "self.waiting.store(true, Ordering::SeqCst)",
        "self.waiting.store(true, Ordering::Release)",
    ),
    (
        "waiting_read_acquire",
        "self.waiting.load(Ordering::SeqCst)",
        "self.waiting.load(Ordering::Acquire)",
    ),
    (
        "number_published_release",
        "self.number.0.store(number, Ordering::SeqCst)",
        "self.number.0.store(number, Ordering::Release)",
    ),
    (
        "number_read_acquire",
        "self.number.0.load(Ordering::SeqCst)",
        "self.number.0.load(Ordering::Acquire)",
    ),
    (
        "number_read_relaxed",
        "self.number.0.load(Ordering::SeqCst)",
        "self.number.0.load(Ordering::Relaxed)",
    ),
    (
        "sleepers_counted_relaxed",
        "self.sleepers.fetch_add(1, Ordering::SeqCst)",
        "self.sleepers.fetch_add(1, Ordering::Relaxed)",
    ),
    (
        "sleepers_read_acquire",
        "self.sleepers.load(Ordering::SeqCst)",
        "self.sleepers.load(Ordering::Acquire)",
    ),
];
