//! Memory for intermediate results, kept by the thread for the next time.
//!
//! What a layer needs, the next one needs as well: memory from the system would be cleared, mapped
//! and unmapped for each of them.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Memory of one thread that is not in use: lists by [`size_class`].
pub(crate) type Free<T> = RefCell<Vec<Vec<Vec<T>>>>;

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
        let (class, size) = size_class(len);
        let kept = T::with_free(|free| free.borrow_mut().get_mut(class).and_then(Vec::pop));
        let values = kept.flatten();
        Self {
            values: values.unwrap_or_else(|| vec![T::default(); size]),
            len,
        }
    }
}

/// The class of buffers that `len` numbers fit, and the size of these: eight steps for each power of
/// two, so that at most a quarter is left over.
fn size_class(len: usize) -> (usize, usize) {
    let bits = usize::BITS - len.saturating_sub(1).leading_zeros();
    let shift = bits.saturating_sub(3);
    let steps = len.div_ceil(1 << shift);
    (8 * shift as usize + steps, steps << shift)
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
        if values.is_empty() {
            return;
        }
        let (class, _) = size_class(values.len());
        T::with_free(|free| {
            let mut free = free.borrow_mut();
            if free.len() <= class {
                free.resize_with(class + 1, Vec::new);
            }
            free[class].push(values);
        });
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

/// Gives the system what a model left behind and the allocator keeps: after it was dropped, when nothing
/// else is asked for soon. Does nothing where the allocator is not glibc's.
pub fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it only takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
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
        let (small, same) = (Buffer::<f32>::new(10), Buffer::<f32>::new(999));
        assert_eq!((small.len(), same.len()), (10, 999));
        assert_eq!(same.as_ptr(), place);
        assert_ne!(small.as_ptr(), place);
    }

    #[test]
    fn buffers_of_a_class_are_equally_long() {
        assert_eq!(size_class(0).1, 0);
        for len in 1..5000 {
            let (class, size) = size_class(len);
            assert!(size >= len && 4 * size <= 5 * len + 4, "{len}: {size}");
            assert_eq!(size_class(size), (class, size), "{len}");
        }
    }
}
