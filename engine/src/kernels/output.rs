//! Where a task writes: a rectangle of a product that no other task touches.

use std::marker::PhantomData;

/// Some columns of all rows of a row-major matrix `[tokens, weight rows]`.
pub(crate) struct OutTile<'a> {
    start: *mut f32,
    /// Distance of two rows.
    stride: usize,
    rows: usize,
    columns: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a tile stands for exclusive access to its elements, as `&mut [f32]` does.
unsafe impl Send for OutTile<'_> {}
// SAFETY: a shared tile gives nothing but its shape; parts are unsafe to make.
unsafe impl Sync for OutTile<'_> {}

impl<'a> OutTile<'a> {
    /// The whole of a matrix whose rows have `columns` elements.
    pub(crate) fn new(matrix: &'a mut [f32], columns: usize) -> Self {
        assert!(
            columns > 0 && matrix.len().is_multiple_of(columns),
            "whole rows"
        );
        Self {
            start: matrix.as_mut_ptr(),
            stride: columns,
            rows: matrix.len() / columns,
            columns,
            matrix: PhantomData,
        }
    }

    /// The columns `first..first + columns` of the tile.
    ///
    /// # Safety
    /// As long as the part is used, no other part with one of its columns is, and neither is the
    /// tile itself.
    pub(super) unsafe fn part(&self, first: usize, columns: usize) -> Self {
        assert!(first + columns <= self.columns, "columns of the tile");
        Self {
            // SAFETY: `first` is a column of the matrix, so the pointer stays inside of it.
            start: unsafe { self.start.add(first) },
            columns,
            ..*self
        }
    }

    /// The first `columns` columns, and the rest.
    pub(crate) fn split(self, columns: usize) -> (Self, Self) {
        // SAFETY: the parts share no column, and the tile itself is gone.
        unsafe {
            let rest = self.columns - columns;
            (self.part(0, columns), self.part(columns, rest))
        }
    }

    /// The rows from `first` on.
    pub(crate) fn skip_rows(self, first: usize) -> Self {
        assert!(first <= self.rows, "rows of the tile");
        Self {
            // SAFETY: `first` is a row of the matrix or its end.
            start: unsafe { self.start.add(first * self.stride) },
            rows: self.rows - first,
            ..self
        }
    }

    /// Number of rows (tokens).
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns (weight rows).
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The tile's part of a row.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "a row of the tile");
        // SAFETY: tiles of one matrix are disjoint, and this one is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }
}
