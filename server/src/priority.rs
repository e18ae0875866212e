//! How urgent a thread is to the system, beside the threads that answer keys.

use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};

/// What a thread works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Answers that may come late, such as those of a large model: a thread that answers keys gets its
    /// processor at once.
    Patient,
    /// What nobody waits for.
    Background,
}

impl Priority {
    /// Of 0 to 99, where what is usual is 50: on Linux nice 4 and 9. With the lowest, a machine that
    /// compiles all day would never let it work.
    fn value(self) -> u8 {
        match self {
            Self::Patient => 38,
            Self::Background => 25,
        }
    }

    /// Gives it to the calling thread, and on Linux to those that it starts.
    pub fn take(self) {
        let low = ThreadPriorityValue::try_from(self.value())
            .map_or(ThreadPriority::Min, ThreadPriority::Crossplatform);
        if let Err(error) = set_current_thread_priority(low) {
            tracing::debug!(?error, "a thread keeps the usual priority");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The nice value: the 19th field of `stat` (`proc_pid_stat(5)`).
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux tells");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let field = fields.split_whitespace().nth(16).expect("19 fields");
        field.parse().expect("a number")
    }

    #[test]
    fn threads_that_are_started_are_as_patient() {
        let usual = nice();
        if usual != 0 {
            return; // The tests were started with another priority.
        }
        let started = std::thread::spawn(|| {
            Priority::Patient.take();
            let inner = std::thread::spawn(nice).join().expect("it ends");
            (nice(), inner)
        });
        let (patient, inner) = started.join().expect("it ends");
        assert_eq!((patient, inner), (4, 4));
        assert_eq!(nice(), usual, "nobody else is");
    }
}
