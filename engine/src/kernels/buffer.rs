//! Memory for intermediate results, kept by the thread for the next time.
//!
//! What a layer needs, the next one needs as well: memory from the system would be cleared, mapped
//! and unmapped for each of them.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Memory of one thread that is not in use.
pub(crate) type Free<T> = RefCell<Vec<Vec<T>>>;

/// Numbers whose memory threads keep.
pub(crate) trait Kept: Copy + Default + 'static {
    /// Calls `body` with the thread's free memory; a thread that ends has none any more.
    fn with_free<R>(body: impl FnOnce(&Free<Self>) -> R) -> Option<R>;
}

/// Lets threads keep memory for numbers of a type.
macro_rules! keep {
    ($($number:ty),*) => {
        $(impl $crate::kernels::Kept for $number {
            fn with_free<R>(body: impl FnOnce(&$crate::kernels::Free<Self>) -> R) -> Option<R> {
                thread_local! {
                    static FREE: $crate::kernels::Free<$number> = const { std::cell::RefCell::new(Vec::new()) };
                }
                FREE.try_with(body).ok()
            }
        })*
    };
}
pub(crate) use keep;

keep!(f32, i8, u32);

/// A slice of numbers that hold anything at first.
pub(crate) struct Buffer<T: Kept = f32> {
    values: Vec<T>,
    len: usize,
}

impl<T: Kept> Buffer<T> {
    /// No numbers, and no memory.
    pub(crate) fn empty() -> Self {
        Self {
            values: Vec::new(),
            len: 0,
        }
    }

    /// `len` numbers of any value.
    pub(crate) fn new(len: usize) -> Self {
        let kept = T::with_free(|free| {
            let mut free = free.borrow_mut();
            let fits = |values: &Vec<T>| values.len() >= len;
            // The smallest that is large enough, else the largest, which will grow.
            let best =
                (0..free.len()).min_by_key(|&i| (!fits(&free[i]), free[i].len().abs_diff(len)));
            best.map(|i| free.swap_remove(i))
        });
        let mut values = kept.flatten().unwrap_or_default();
        if values.len() < len {
            values.resize(len, T::default());
        }
        Self { values, len }
    }
}

impl Buffer<u32> {
    /// The numbers `0..len`.
    pub(crate) fn counting(len: usize) -> Self {
        let mut this = Self::new(len);
        for (i, value) in (0..).zip(this.iter_mut()) {
            *value = i;
        }
        this
    }
}

impl<T: Kept> Drop for Buffer<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if values.capacity() > 0 {
            T::with_free(|free| free.borrow_mut().push(values));
        }
    }
}

impl<T: Kept> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[..self.len]
    }
}

impl<T: Kept> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let first = Buffer::<f32>::new(1000);
        let place = first.as_ptr();
        drop(first);
        let (small, large) = (Buffer::<f32>::new(10), Buffer::<f32>::new(500));
        assert_eq!(small.as_ptr(), place);
        assert_eq!((small.len(), large.len()), (10, 500));
        assert_ne!(large.as_ptr(), place);
    }
}
