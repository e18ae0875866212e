//! The one worker pool of a model.

use rayon::prelude::*;

/// Threads that share the work of every matrix product and attention block.
pub(crate) struct Pool {
    pool: rayon::ThreadPool,
}

impl Pool {
    /// Starts `threads` workers, at least one.
    pub(crate) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|i| format!("carat-engine-{i}"))
            .build()?;
        Ok(Self { pool })
    }

    /// Number of workers.
    pub(crate) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on a worker, so that the parallel loops inside it start without a hand-over.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// Calls `work(index, chunk)` for consecutive chunks of `data`, on all workers.
    pub(crate) fn for_each_chunk<T: Send>(
        &self,
        data: &mut [T],
        chunk_len: usize,
        work: impl Fn(usize, &mut [T]) + Sync + Send,
    ) {
        if data.len() <= chunk_len || self.threads() == 1 {
            data.chunks_mut(chunk_len.max(1))
                .enumerate()
                .for_each(|(i, chunk)| work(i, chunk));
            return;
        }
        self.pool.install(|| {
            data.par_chunks_mut(chunk_len.max(1))
                .enumerate()
                .for_each(|(i, chunk)| work(i, chunk));
        });
    }

    /// Calls `work(index, item)` for every item, on all workers.
    pub(crate) fn for_each<T: Send>(&self, items: Vec<T>, work: impl Fn(usize, T) + Sync + Send) {
        if items.len() <= 1 || self.threads() == 1 {
            items
                .into_iter()
                .enumerate()
                .for_each(|(i, item)| work(i, item));
            return;
        }
        self.pool.install(|| {
            items
                .into_par_iter()
                .enumerate()
                .for_each(|(i, item)| work(i, item));
        });
    }
}
