//! The primitives that `shared.rs` is built from, as the standard library has them. `tests/loom`
//! compiles `shared.rs` with loom's in their place.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(super) use std::sync::{Condvar, Mutex};
pub(super) use std::thread::{Thread, current, park};
use std::time::{Duration, Instant};

/// How long a worker spins before it sleeps. Waking it takes the system tens of microseconds.
pub(super) const SPIN: Duration = Duration::from_micros(150);
/// How often the waiting caller looks before it sleeps. A worker that takes longer has lost its
/// processor to another program, and gets the caller's.
pub(super) const LOOKS_BEFORE_SLEEP: u32 = 4096;

/// Looks again and again for [`SPIN`].
pub(super) fn spin<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    while begin.elapsed() < SPIN {
        for _ in 0..32 {
            let found = look();
            if found.is_some() {
                return found;
            }
            spin_loop();
        }
    }
    None
}

/// A value that threads agree by other means when to touch.
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Lets `read` look at the value, which nobody may change meanwhile.
    pub(super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Lets `write` change the value, which nobody else may touch meanwhile.
    pub(super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
