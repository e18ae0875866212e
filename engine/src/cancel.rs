//! Cooperative cancellation: a shared flag that the engine reads between layers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(test)]
use std::sync::atomic::AtomicUsize;

/// A flag shared by whoever waits for a generation and the thread that computes it.
///
/// The engine reads it before every layer of every chunk and before every decoded token, so a
/// cancelled call returns within one layer.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
    /// How often the flag is read before it sets itself.
    #[cfg(test)]
    countdown: Option<Arc<AtomicUsize>>,
}

impl CancelToken {
    /// A token that nobody has cancelled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the computation to stop; it cannot be taken back.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether someone asked the computation to stop.
    pub fn is_cancelled(&self) -> bool {
        #[cfg(test)]
        if let Some(countdown) = &self.countdown
            && countdown
                .try_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                    left.checked_sub(1)
                })
                .is_err()
        {
            self.cancel();
        }
        self.cancelled.load(Ordering::Acquire)
    }

    /// A token that is cancelled from its read number `reads` on, counted from 0: at a known layer.
    #[cfg(test)]
    pub(crate) fn after(reads: usize) -> Self {
        Self {
            countdown: Some(Arc::new(AtomicUsize::new(reads))),
            ..Self::default()
        }
    }
}
