//! What the threads of a pool share: the loop that runs, who has which task of it, and where threads
//! wait for one another.
//!
//! `tests/loom` compiles this file as well and tries the orders in which its threads can meet, and
//! whether each ordering below is needed.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;

use super::sync::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Condvar, LOOKS_BEFORE_SLEEP, Mutex, Ordering,
    Thread, UnsafeCell, current, park, spin, spin_loop,
};

/// In place of the next task: the loop is over.
const CLOSED: u32 = u32::MAX;

/// The body of a loop, called with the index of a task.
pub(super) type Body<'a> = &'a (dyn Fn(usize) + Sync);

pub(super) struct Shared {
    /// Number of the last loop; on a line of its own, since waiting workers read it all the time.
    number: Line<AtomicU32>,
    /// For every thread: number of the loop in the high half, its next task in the low half.
    tickets: Box<[Line<AtomicU64>]>,
    /// Tasks that are finished.
    done: Line<AtomicUsize>,
    /// Number of tasks of the loop.
    tasks: AtomicUsize,
    /// The body of the loop, which lives as long as the call of [`Shared::run`]. The caller writes it
    /// when no task can be claimed; who has claimed a task of the loop may read it until the task is
    /// counted as done.
    body: UnsafeCell<Option<Body<'static>>>,
    /// The caller, while it sleeps until the last task is finished.
    waiter: Mutex<Option<Thread>>,
    /// Whether there may be a waiter.
    waiting: AtomicBool,
    /// How often there was one.
    stalls: Line<AtomicU32>,
    /// What a task panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
}

// SAFETY: all but `body` is `Sync`, and for `body` see there; it refers to what is `Sync` itself.
unsafe impl Sync for Shared {}

/// On cache lines that hold nothing else; processors fetch lines in pairs of 64 bytes.
#[repr(align(128))]
struct Line<T>(T);

impl Shared {
    /// For `threads` threads, the caller of loops among them.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            number: Line(AtomicU32::new(0)),
            tickets: (0..threads)
                .map(|_| Line(AtomicU64::new(ticket(0, CLOSED))))
                .collect(),
            done: Line(AtomicUsize::new(0)),
            tasks: AtomicUsize::new(0),
            body: UnsafeCell::new(None),
            waiter: Mutex::new(None),
            waiting: AtomicBool::new(false),
            stalls: Line(AtomicU32::new(0)),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
        }
    }

    /// How often a caller had to wait for some worker.
    pub(super) fn stalls(&self) -> u32 {
        self.stalls.0.load(Ordering::Relaxed)
    }

    /// Publishes a loop, works on it, and returns when all its tasks are finished. One caller at a time.
    pub(super) fn run(&self, tasks: usize, body: Body<'_>) {
        // SAFETY: only the lifetime changes. A worker uses the body only inside of a task that it
        // claimed, and this function returns only when every claimed task is finished.
        let body: Body<'static> = unsafe { std::mem::transmute(body) };
        let number = self.number.0.load(Ordering::Relaxed);
        // A late worker may still hold tickets of the loop before. Closing these first makes its
        // claims fail if it sees anything of what follows (release, acquire).
        for old in &self.tickets {
            old.0.store(ticket(number, CLOSED), Ordering::Relaxed);
        }
        self.done.0.store(0, Ordering::Relaxed);
        self.tasks.store(tasks, Ordering::Release);
        // SAFETY: every task of the loop before is done, and none of this one can be claimed yet.
        self.body.with_mut(|place| unsafe { *place = Some(body) });
        let number = number.wrapping_add(1);
        for (thread, new) in self.tickets.iter().enumerate() {
            let first = self.share(thread, tasks).start;
            new.0.store(ticket(number, first as u32), Ordering::Release);
        }
        // From here on workers may join in; SeqCst orders the store before the look at `sleepers`.
        self.number.0.store(number, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
        self.take_tasks(number, 0, || false);
        self.wait_for(tasks);
        // SAFETY: every task is done. A claim that came later would find nothing, and panic.
        self.body.with_mut(|place| unsafe { *place = None });
        let panic = self
            .panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Returns when `tasks` tasks are finished.
    fn wait_for(&self, tasks: usize) {
        for _ in 0..LOOKS_BEFORE_SLEEP {
            if self.done.0.load(Ordering::Acquire) >= tasks {
                return;
            }
            spin_loop();
        }
        self.stalls.0.fetch_add(1, Ordering::Relaxed);
        *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(current());
        self.waiting.store(true, Ordering::SeqCst);
        while self.done.0.load(Ordering::SeqCst) < tasks {
            park();
        }
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// The tasks that a thread does first.
    fn share(&self, thread: usize, tasks: usize) -> Range<usize> {
        let threads = self.tickets.len();
        thread * tasks / threads..(thread + 1) * tasks / threads
    }

    /// Does tasks of loop `number` until none is left or `leave`: those of the own share, then those
    /// that other threads have not come to.
    pub(super) fn take_tasks(&self, number: u32, thread: usize, mut leave: impl FnMut() -> bool) {
        let threads = self.tickets.len();
        let mut finished = 0;
        for i in 0..threads {
            finished += self.take_share(number, (thread + i) % threads, &mut leave);
        }
        if finished == 0 {
            return;
        }
        // SeqCst orders it before the look at `waiting`. As long as it is not added, the loop and
        // what belongs to it stay.
        let tasks = self.tasks.load(Ordering::Relaxed);
        let done = self.done.0.fetch_add(finished, Ordering::SeqCst) + finished;
        if done == tasks && self.waiting.load(Ordering::SeqCst) {
            // If the caller has gone on meanwhile, it wakes once for nothing.
            let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(waiter) = &*waiter {
                waiter.unpark();
            }
        }
    }

    /// Claims and does tasks of one thread's share; returns how many.
    fn take_share(&self, number: u32, thread: usize, leave: &mut impl FnMut() -> bool) -> usize {
        let next = &self.tickets[thread].0;
        let mut finished = 0;
        while !leave() {
            let ticket = next.load(Ordering::Acquire);
            let task = ticket as u32 as usize;
            let tasks = self.tasks.load(Ordering::Acquire);
            if (ticket >> 32) as u32 != number || task >= self.share(thread, tasks).end {
                break;
            }
            // If the claim succeeds, the ticket has not changed since it was read, nor was it closed
            // before `tasks` was: that is of this loop, which will wait for this task.
            let claim =
                next.compare_exchange_weak(ticket, ticket + 1, Ordering::AcqRel, Ordering::Relaxed);
            if claim.is_err() {
                continue;
            }
            // SAFETY: a task of the loop is claimed and not yet done.
            let body = self.body.with(|body| unsafe { *body });
            let body = body.expect("a loop has a body until its tasks are done");
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(task))) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            finished += 1;
        }
        finished
    }

    /// Waits for a loop other than `seen`; `None` when the pool ends.
    pub(super) fn next_loop(&self, seen: u32) -> Option<u32> {
        let published = || {
            let number = self.number.0.load(Ordering::SeqCst);
            (number != seen).then_some(number)
        };
        if let Some(number) = spin(published) {
            return Some(number);
        }
        let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let number = loop {
            if self.stop.load(Ordering::Relaxed) {
                break None;
            }
            if let Some(number) = published() {
                break Some(number);
            }
            sleep = self
                .wake
                .wait(sleep)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        number
    }

    /// Ends the waiting of all workers.
    pub(super) fn end(&self) {
        // Who looked before the lock is taken sleeps when it is, and is woken.
        self.stop.store(true, Ordering::Relaxed);
        let sleep = self.sleep.lock();
        self.wake.notify_all();
        drop(sleep);
    }
}

/// One of [`Shared::tickets`]: a loop and the next task.
fn ticket(number: u32, task: u32) -> u64 {
    u64::from(number) << 32 | u64::from(task)
}
