//! Memory for intermediate results, kept by the thread for the next time.
//!
//! What a layer needs, the next one needs as well: memory from the system would be cleared, mapped
//! and unmapped for each of them.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    /// Memory of this thread that is not in use.
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A slice of numbers that hold anything at first.
pub(crate) struct Buffer {
    values: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// `len` numbers of any value.
    pub(crate) fn new(len: usize) -> Self {
        let mut values = FREE.with_borrow_mut(|free| {
            let fits = |values: &Vec<f32>| values.len() >= len;
            // The smallest that is large enough, else the largest, which will grow.
            let best =
                (0..free.len()).min_by_key(|&i| (!fits(&free[i]), free[i].len().abs_diff(len)));
            best.map_or_else(Vec::new, |i| free.swap_remove(i))
        });
        if values.len() < len {
            values.resize(len, 0.0);
        }
        Self { values, len }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        // A thread that ends has no list any more.
        let _ = FREE.try_with(|free| free.borrow_mut().push(values));
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let first = Buffer::new(1000);
        let place = first.as_ptr();
        drop(first);
        let (small, large) = (Buffer::new(10), Buffer::new(500));
        assert_eq!(small.as_ptr(), place);
        assert_eq!((small.len(), large.len()), (10, 500));
        assert_ne!(large.as_ptr(), place);
    }
}
