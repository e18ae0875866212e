//! The one worker pool of a model: parallel loops that begin and end in about a microsecond.
//!
//! A token runs through some hundred parallel loops of a few microseconds each, which is too short
//! for a general scheduler. Here the calling thread publishes a loop, works on it itself, and waits
//! for the workers that joined in. Every thread begins with a share of its own, claims its tasks one
//! by one, and then helps the others: a thread that the system took away delays the loop by its one
//! task and not by its share.
//!
//! Workers that find nothing to do spin for a short while, since the next loop of a token follows
//! at once, then sleep: an idle model uses no processor time. One that shares its processor with
//! another program takes turns with it (`turns.rs`).

use std::any::Any;
use std::hint::spin_loop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use super::time_slice::TimeSlice;
use super::{List, OutTile};

/// How long a worker spins before it sleeps. Waking it takes the system tens of microseconds.
const SPIN: Duration = Duration::from_micros(150);
/// How often the waiting caller looks before it sleeps. A worker that takes longer has lost its
/// processor to another program, and gets the caller's.
const LOOKS_BEFORE_SLEEP: u32 = 4096;

/// In place of the next task: the loop is over.
const CLOSED: u32 = u32::MAX;

/// The body of a loop, called with the index of a task.
type Body<'a> = &'a (dyn Fn(usize) + Sync);

/// Threads that share the work of every matrix product and attention block.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the thread whose loop runs.
    caller: Mutex<()>,
}

struct Shared {
    /// Number of the last loop; on a line of its own, since waiting workers read it all the time.
    number: Line<AtomicU32>,
    /// For every thread: number of the loop in the high half, its next task in the low half.
    tickets: Box<[Line<AtomicU64>]>,
    /// Tasks that are finished.
    done: Line<AtomicUsize>,
    /// Number of tasks of the loop.
    tasks: AtomicUsize,
    /// Points to the [`Body`] of the loop, which lives on the caller's stack.
    body: AtomicPtr<Body<'static>>,
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

/// On cache lines that hold nothing else; processors fetch lines in pairs of 64 bytes.
#[repr(align(128))]
struct Line<T>(T);

impl Pool {
    /// A pool of `threads` threads, at least one, of which the caller of a loop is the first.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            number: Line(AtomicU32::new(0)),
            tickets: (0..threads.max(1))
                .map(|_| Line(AtomicU64::new(ticket(0, CLOSED))))
                .collect(),
            done: Line(AtomicUsize::new(0)),
            tasks: AtomicUsize::new(0),
            body: AtomicPtr::new(std::ptr::null_mut()),
            waiter: Mutex::new(None),
            waiting: AtomicBool::new(false),
            stalls: Line(AtomicU32::new(0)),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        // Built first: if a thread cannot be started, dropping it ends those that were.
        let mut pool = Self {
            shared,
            workers: Vec::new(),
            caller: Mutex::new(()),
        };
        for i in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new().name(format!("carat-engine-{i}"));
            pool.workers.push(worker.spawn(move || shared.work(i))?);
        }
        Ok(pool)
    }

    /// Number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body` with `0..tasks`, each once, on all threads. A panic of a task is passed on.
    pub(crate) fn for_each(&self, tasks: usize, body: impl Fn(usize) + Sync) {
        if tasks <= 1 || self.workers.is_empty() {
            (0..tasks).for_each(body);
            return;
        }
        let _caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.run(tasks, &body);
    }

    /// Calls `body(index, chunk)` for consecutive chunks of `data`.
    pub(crate) fn for_each_chunk<T: Send>(
        &self,
        data: &mut [T],
        chunk_len: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let (len, start) = (data.len(), Shareable(data.as_mut_ptr()));
        self.for_each(len.div_ceil(chunk_len.max(1)), |i| {
            let first = i * chunk_len.max(1);
            let n = chunk_len.min(len - first);
            // SAFETY: chunks are disjoint parts of `data`, which is borrowed until the loop ends,
            // and every index is given to one task.
            let chunk = unsafe { std::slice::from_raw_parts_mut(start.get().add(first), n) };
            body(i, chunk);
        });
    }

    /// Calls `body(index, first_column, tile)` for neighbouring parts of every matrix of `outs`,
    /// `width` columns each.
    pub(crate) fn for_each_columns(
        &self,
        outs: &[OutTile<'_>],
        width: usize,
        body: impl Fn(usize, usize, OutTile<'_>) + Sync,
    ) {
        let mut tasks = 0;
        // The number of the first task of every matrix.
        let begins: List<usize> = outs
            .iter()
            .map(|out| {
                let begin = tasks;
                tasks += out.columns().div_ceil(width);
                begin
            })
            .collect();
        self.for_each(tasks, |task| {
            // The last matrix that begins here or before: of equals all but the last are empty.
            let index = begins.partition_point(|&begin| begin <= task) - 1;
            let (out, first) = (&outs[index], (task - begins[index]) * width);
            // SAFETY: matrices are disjoint, and every part of one is given to one task.
            let part = unsafe { out.part(first, width.min(out.columns() - first)) };
            body(index, first, part);
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let sleep = self.shared.sleep.lock();
        self.shared.wake.notify_all();
        drop(sleep);
        for worker in self.workers.drain(..) {
            // A worker has no way to panic outside of a task, where panics are caught.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Publishes a loop, works on it, and returns when all its tasks are finished.
    fn run(&self, tasks: usize, body: Body<'_>) {
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
        self.body
            .store((&raw const body).cast_mut(), Ordering::Release);
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
        *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
        self.waiting.store(true, Ordering::SeqCst);
        while self.done.0.load(Ordering::SeqCst) < tasks {
            thread::park();
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
    fn take_tasks(&self, number: u32, thread: usize, mut leave: impl FnMut() -> bool) {
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
            let (tasks, body) = (
                self.tasks.load(Ordering::Acquire),
                self.body.load(Ordering::Acquire),
            );
            if (ticket >> 32) as u32 != number || task >= self.share(thread, tasks).end {
                break;
            }
            // If the claim succeeds, the ticket has not changed since it was read, nor was it closed
            // before `tasks` and `body` were: they are of this loop, which will wait for this task.
            let claim =
                next.compare_exchange_weak(ticket, ticket + 1, Ordering::AcqRel, Ordering::Relaxed);
            if claim.is_err() {
                continue;
            }
            // SAFETY: the body lives until the loop's caller has seen this task finished.
            let body = unsafe { *body };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(task))) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            finished += 1;
        }
        finished
    }

    /// The life of a worker.
    fn work(&self, thread: usize) {
        let mut seen = 0;
        let mut slice = TimeSlice::new();
        while let Some(number) = self.next_loop(seen) {
            let mut is_over = || slice.is_over(self.stalls.0.load(Ordering::Relaxed));
            self.take_tasks(number, thread, &mut is_over);
            if is_over() {
                // It comes back to this loop if there is still something to do.
                slice.pause();
            } else {
                seen = number;
            }
        }
    }

    /// Waits for a loop other than `seen`; `None` when the pool ends.
    fn next_loop(&self, seen: u32) -> Option<u32> {
        let published = || {
            let number = self.number.0.load(Ordering::SeqCst);
            (number != seen).then_some(number)
        };
        let begin = Instant::now();
        while begin.elapsed() < SPIN {
            for _ in 0..32 {
                if let Some(number) = published() {
                    return Some(number);
                }
                spin_loop();
            }
        }
        let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let number = loop {
            if self.stop.load(Ordering::SeqCst) {
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
}

/// One of [`Shared::tickets`]: a loop and the next task.
fn ticket(number: u32, task: u32) -> u64 {
    u64::from(number) << 32 | u64::from(task)
}

/// A pointer that tasks of a loop share; each uses a part of its own.
struct Shareable<T>(*mut T);

// SAFETY: see where it is used; the parts are disjoint.
unsafe impl<T: Send> Sync for Shareable<T> {}

impl<T> Shareable<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).expect("threads start");
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                for _ in 0..200 {
                    pool.for_each(tasks, |i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                }
                assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 200));
            }
        }
    }

    #[test]
    fn loops_in_quick_succession_do_not_mix() {
        // More threads than processors, so that some are stopped in the middle of a claim.
        let pool = Pool::new(6).expect("threads start");
        let counts: Vec<_> = (0..64).map(|_| AtomicUsize::new(0)).collect();
        for round in 0..100_000 {
            let tasks = 2 + round * 7 % 63;
            pool.for_each(tasks, |i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
            for (i, count) in counts.iter().enumerate() {
                let runs = count.swap(0, Ordering::Relaxed);
                assert_eq!(
                    runs,
                    usize::from(i < tasks),
                    "task {i} of {tasks}, round {round}"
                );
            }
        }
    }

    #[test]
    fn chunks_cover_the_data() {
        let pool = Pool::new(3).expect("threads start");
        let mut data = vec![0; 103];
        pool.for_each_chunk(&mut data, 10, |i, chunk| chunk.fill(i));
        assert!(data.iter().enumerate().all(|(at, &i)| i == at / 10));
    }

    #[test]
    fn columns_cover_the_matrix() {
        let pool = Pool::new(3).expect("threads start");
        let mut data = vec![0.0; 3 * 25];
        pool.for_each_columns(&[OutTile::new(&mut data, 25)], 8, |_, first, mut tile| {
            for row in 0..tile.rows() {
                tile.row(row).fill((100 * row + first) as f32);
            }
        });
        for (at, &value) in data.iter().enumerate() {
            assert_eq!(value as usize, at / 25 * 100 + at % 25 / 8 * 8);
        }
    }

    #[test]
    fn sleeping_workers_are_woken() {
        let pool = Pool::new(4).expect("threads start");
        for _ in 0..3 {
            thread::sleep(10 * SPIN);
            let threads = Mutex::new(std::collections::HashSet::new());
            pool.for_each(64, |_| {
                thread::sleep(Duration::from_millis(1));
                threads
                    .lock()
                    .expect("no panic")
                    .insert(thread::current().id());
            });
            assert!(threads.into_inner().expect("no panic").len() > 1);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        let pool = Pool::new(2).expect("threads start");
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each(8, |i| assert!(i != 5, "task five"));
        }));
        assert!(caught.is_err());
        let sum = AtomicUsize::new(0);
        pool.for_each(8, |i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 28);
    }

    #[test]
    fn loops_of_several_callers_take_turns() {
        let pool = Pool::new(2).expect("threads start");
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        pool.for_each(16, |i| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 4 * 100 * 120);
    }
}
