//! Where a computation waits for a more urgent one: the models of a process share its cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The right of way among the models of a process: two on all cores at once are both slow.
///
/// Whoever computes takes it with an urgency; computations whose tokens give way stand still as long as
/// somebody who is more urgent has it.
#[derive(Clone, Debug, Default)]
pub struct RightOfWay(Arc<Way>);

#[derive(Debug, Default)]
struct Way {
    /// The urgencies of those who compute or stand still.
    taken: Mutex<Vec<u8>>,
    changed: Condvar,
}

/// Gives way, and counts for how long.
#[derive(Debug)]
pub(crate) struct GivenWay {
    to: RightOfWay,
    urgency: u8,
    waited_ns: AtomicU64,
}

/// How often a computation that stands still looks at its flag.
const LOOK: Duration = Duration::from_millis(5);

impl RightOfWay {
    /// Nobody has it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes it, until what is returned is dropped.
    pub fn take(&self, urgency: u8) -> WayTaken {
        self.taken().push(urgency);
        WayTaken {
            way: self.clone(),
            urgency,
        }
    }

    /// Whether nobody has it.
    pub fn is_free(&self) -> bool {
        self.taken().is_empty()
    }

    fn taken(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody has the right of way.
#[derive(Debug)]
pub struct WayTaken {
    way: RightOfWay,
    urgency: u8,
}

impl Drop for WayTaken {
    fn drop(&mut self) {
        let mut taken = self.way.taken();
        if let Some(at) = taken.iter().position(|urgency| *urgency == self.urgency) {
            taken.swap_remove(at);
        }
        drop(taken);
        self.way.0.changed.notify_all();
    }
}

impl GivenWay {
    pub(crate) fn new(to: RightOfWay, urgency: u8) -> Self {
        Self {
            to,
            urgency,
            waited_ns: AtomicU64::new(0),
        }
    }

    /// How long it has stood still.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_ns.load(Ordering::Relaxed))
    }

    /// Waits until nobody who is more urgent has the right of way, or the flag is set.
    pub(crate) fn wait(&self, cancelled: &AtomicBool) {
        let must_wait = |taken: &[u8]| taken.iter().any(|other| *other > self.urgency);
        let mut taken = self.to.taken();
        if !must_wait(&taken) {
            return;
        }
        let begun = Instant::now();
        while must_wait(&taken) && !cancelled.load(Ordering::Acquire) {
            let changed = &self.to.0.changed;
            (taken, _) = changed
                .wait_timeout(taken, LOOK)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let waited = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waited_ns.fetch_add(waited, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CancelToken;

    #[test]
    fn who_is_less_urgent_stands_still_until_the_way_is_free_or_it_is_cancelled() {
        let way = RightOfWay::new();
        let token = CancelToken::new();
        let giving = token.giving_way(&way, 1);
        assert!(!giving.is_cancelled(), "nobody has it");
        let _own = way.take(1);
        let _less = way.take(0);
        assert!(!giving.is_cancelled(), "nobody else is more urgent");
        assert_eq!(giving.waited(), Duration::ZERO);

        let taken = way.take(2);
        let second = way.take(3);
        assert!(!token.is_cancelled(), "others need not wait");
        let other = std::thread::spawn({
            let giving = giving.clone();
            move || giving.is_cancelled()
        });
        std::thread::sleep(Duration::from_millis(30));
        drop(second);
        std::thread::sleep(Duration::from_millis(10));
        assert!(!other.is_finished(), "one still has it");
        drop(taken);
        assert!(!other.join().expect("no panic"));
        assert!(giving.waited() >= Duration::from_millis(30));

        let _taken = way.take(2);
        token.cancel();
        assert!(
            giving.is_cancelled(),
            "a cancelled computation need not wait"
        );
    }
}
