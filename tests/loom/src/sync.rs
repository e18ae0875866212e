//! loom's primitives in place of those of `engine/src/kernels/pool/sync.rs`.
//!
//! loom takes `SeqCst` of an access for `AcqRel`, which would find lost wakeups that cannot happen, but
//! it knows `SeqCst` fences. So such an access becomes a weaker one beside a fence, in the two ways in
//! which processors do it: the fence before, or behind.

use std::cell::Cell;
use std::sync::Arc;

pub use loom::cell::UnsafeCell;
use loom::sync::atomic::fence;
pub use loom::sync::atomic::{AtomicU64, Ordering};
pub use loom::sync::{Condvar, Mutex};

/// A single look of each kind: more would be the same again.
pub const LOOKS_BEFORE_SLEEP: u32 = 1;

pub fn spin<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    look()
}

/// loom's would tell it that other threads have to go on first, which hides what a second look can find.
pub fn spin_loop() {}

/// Where the fence of a `SeqCst` access stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fences {
    Before,
    Behind,
}

thread_local! {
    /// loom runs the threads of a model as coroutines on one thread of the system.
    static FENCES: Cell<Fences> = const { Cell::new(Fences::Before) };
}

pub fn set_fences(fences: Fences) {
    FENCES.set(fences);
}

fn access<R>(order: Ordering, weaker: Ordering, access: impl FnOnce(Ordering) -> R) -> R {
    if order != Ordering::SeqCst {
        return access(order);
    }
    if FENCES.get() == Fences::Before {
        fence(Ordering::SeqCst);
    }
    let result = access(weaker);
    if FENCES.get() == Fences::Behind {
        fence(Ordering::SeqCst);
    }
    result
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        pub struct $name(loom::sync::atomic::$name);

        impl $name {
            pub fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub fn load(&self, order: Ordering) -> $value {
                access(order, Ordering::Acquire, |order| self.0.load(order))
            }

            pub fn store(&self, value: $value, order: Ordering) {
                access(order, Ordering::Release, |order| self.0.store(value, order));
            }
        }
    };
}

macro_rules! counter {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);

        impl $name {
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                access(order, Ordering::AcqRel, |order| {
                    self.0.fetch_add(value, order)
                })
            }

            #[allow(dead_code, reason = "one of the two counts down")]
            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                access(order, Ordering::AcqRel, |order| {
                    self.0.fetch_sub(value, order)
                })
            }
        }
    };
}

atomic!(AtomicBool, bool);
counter!(AtomicU32, u32);
counter!(AtomicUsize, usize);

/// A thread that can sleep in [`park`]. loom's own wakes a thread also where it waits for something else.
#[derive(Clone)]
pub struct Thread(Arc<(Mutex<bool>, Condvar)>);

loom::thread_local! {
    static THREAD: Thread = Thread(Arc::new((Mutex::new(false), Condvar::new())));
}

pub fn current() -> Thread {
    THREAD.with(Thread::clone)
}

pub fn park() {
    let Thread(own) = current();
    let mut woken = own.0.lock().expect("nothing panics");
    while !*woken {
        woken = own.1.wait(woken).expect("nothing panics");
    }
    *woken = false;
}

impl Thread {
    pub fn unpark(&self) {
        *self.0.0.lock().expect("nothing panics") = true;
        self.0.1.notify_one();
    }
}
