//! Cooperative cancellation: a shared flag that the engine reads between layers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(test)]
use std::sync::atomic::AtomicUsize;

use crate::right_of_way::{GivenWay, RightOfWay};

/// A flag shared by whoever waits for a generation and the thread that computes it.
///
/// The engine reads it before every layer of every chunk and before every decoded token, so a
/// cancelled call returns within one layer.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
    /// Whom it lets go first.
    way: Option<Arc<GivenWay>>,
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
        if let Some(way) = &self.way {
            way.wait(&self.cancelled);
        }
        self.cancelled.load(Ordering::Acquire)
    }

    /// The same flag, for a computation that stands still between two layers as long as somebody who is
    /// more urgent has the right of way.
    #[must_use]
    pub fn giving_way(&self, to: &RightOfWay, urgency: u8) -> Self {
        Self {
            way: Some(Arc::new(GivenWay::new(to.clone(), urgency))),
            ..self.clone()
        }
    }

    /// How long the computation has stood still.
    pub(crate) fn waited(&self) -> Duration {
        self.way.as_ref().map_or(Duration::ZERO, |way| way.waited())
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
