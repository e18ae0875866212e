//! Where a computation waits for a more urgent one: the models of a process share its cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The right of way of one model before another: two models on all cores at once are both slow.
///
/// Whoever takes it computes; computations whose tokens give way stand still until nobody has it.
#[derive(Clone, Debug, Default)]
pub struct RightOfWay(Arc<Way>);

#[derive(Debug, Default)]
struct Way {
    taken: Mutex<usize>,
    free: Condvar,
}

/// Gives way, and counts for how long.
#[derive(Debug)]
pub(crate) struct GivenWay {
    to: RightOfWay,
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
    pub fn take(&self) -> WayTaken {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        WayTaken(self.clone())
    }
}

/// Somebody has the right of way.
#[derive(Debug)]
pub struct WayTaken(RightOfWay);

impl Drop for WayTaken {
    fn drop(&mut self) {
        let way = &self.0.0;
        *way.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        way.free.notify_all();
    }
}

impl GivenWay {
    pub(crate) fn new(to: RightOfWay) -> Self {
        Self {
            to,
            waited_ns: AtomicU64::new(0),
        }
    }

    /// How long it has stood still.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_ns.load(Ordering::Relaxed))
    }

    /// Waits until nobody has the right of way, or the flag is set.
    pub(crate) fn wait(&self, cancelled: &AtomicBool) {
        let way = &self.to.0;
        let mut taken = way.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken == 0 {
            return;
        }
        let begun = Instant::now();
        while *taken > 0 && !cancelled.load(Ordering::Acquire) {
            (taken, _) = way
                .free
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
    fn who_gives_way_stands_still_until_it_is_free_or_cancelled() {
        let way = RightOfWay::new();
        let token = CancelToken::new();
        let giving = token.giving_way(&way);
        assert!(!giving.is_cancelled(), "nobody has it");
        assert_eq!(giving.waited(), Duration::ZERO);

        let taken = way.take();
        let second = way.take();
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

        let _taken = way.take();
        token.cancel();
        assert!(
            giving.is_cancelled(),
            "a cancelled computation need not wait"
        );
    }
}
