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
//! another program takes turns with it (`time_slice.rs`).

mod shared;
mod sync;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use shared::Shared;

use super::time_slice::TimeSlice;
use super::{List, OutTile};

/// Threads that share the work of every matrix product and attention block.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the thread whose loop runs.
    caller: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads, at least one, of which the caller of a loop is the first.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(threads.max(1)));
        // Built first: if a thread cannot be started, dropping it ends those that were.
        let mut pool = Self {
            shared,
            workers: Vec::new(),
            caller: Mutex::new(()),
        };
        for i in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new().name(format!("carat-engine-{i}"));
            pool.workers.push(worker.spawn(move || work(&shared, i))?);
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
        self.shared.end();
        for worker in self.workers.drain(..) {
            // A worker has no way to panic outside of a task, where panics are caught.
            let _ = worker.join();
        }
    }
}

/// The life of a worker.
fn work(shared: &Shared, thread: usize) {
    let mut seen = 0;
    let mut slice = TimeSlice::new();
    while let Some(number) = shared.next_loop(seen) {
        let mut is_over = || slice.is_over(shared.stalls());
        shared.take_tasks(number, thread, &mut is_over);
        if is_over() {
            // It comes back to this loop if there is still something to do.
            slice.pause();
        } else {
            seen = number;
        }
    }
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
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// Repetitions, of which Miri does fewer: it is a thousand times slower, and looks closer.
    fn rounds(usual: usize) -> usize {
        if cfg!(miri) { usual.min(20) } else { usual }
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).expect("threads start");
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                for _ in 0..rounds(200) {
                    pool.for_each(tasks, |i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                }
                assert!(
                    counts
                        .iter()
                        .all(|n| n.load(Ordering::Relaxed) == rounds(200))
                );
            }
        }
    }

    #[test]
    fn loops_in_quick_succession_do_not_mix() {
        // More threads than processors, so that some are stopped in the middle of a claim.
        let pool = Pool::new(6).expect("threads start");
        let counts: Vec<_> = (0..64).map(|_| AtomicUsize::new(0)).collect();
        for round in 0..rounds(100_000) {
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
            thread::sleep(10 * sync::SPIN);
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
                    for _ in 0..rounds(100) {
                        pool.for_each(16, |i| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 4 * rounds(100) * 120);
    }
}
