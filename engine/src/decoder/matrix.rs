//! Weight matrices where they lie in the file.

use std::sync::Arc;

use crate::gguf::{TensorData, TensorType};
use crate::kernels::{CpuLevel, MatrixRef, Order, Readings, Repacked};

/// A matrix `[rows, columns]` in the map, in the type of the file.
#[derive(Clone)]
pub(crate) struct Matrix {
    pub(super) tensor_type: TensorType,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) data: TensorData,
    /// The tensor's row that is this matrix's first.
    pub(super) first_row: usize,
    /// A second copy for decoding, of small models only.
    pub(super) repacked: Option<Arc<Repacked>>,
    /// How the model's matrices are read.
    pub(super) readings: Arc<Readings>,
}

impl Matrix {
    /// What the kernels work on.
    pub(crate) fn view(&self) -> MatrixRef<'_> {
        let row_bytes = self.tensor_type.row_bytes(self.columns);
        let bytes = &self.data[self.first_row * row_bytes..][..self.rows * row_bytes];
        MatrixRef {
            tensor_type: self.tensor_type,
            rows: self.rows,
            columns: self.columns,
            bytes,
            panels: self.repacked.as_deref().map(Repacked::panels),
            reading: self.readings.get(self.tensor_type, self.order()),
        }
    }

    /// Makes the copy that decoding reads, if there is a kernel for it.
    pub(super) fn interleave(&mut self, level: CpuLevel) {
        self.repacked = Repacked::new(level, self.view()).map(Arc::new);
    }

    /// The order that decoding reads.
    pub(crate) fn order(&self) -> Order {
        match self.repacked {
            Some(_) => Order::Panels,
            None => Order::Rows,
        }
    }

    /// Number of weights.
    pub(super) fn elements(&self) -> u64 {
        (self.rows * self.columns) as u64
    }

    /// Size in the file.
    pub(super) fn bytes(&self) -> u64 {
        self.view().bytes.len() as u64
    }

    /// The first `rows` rows, and the rest.
    pub(super) fn split(self, rows: usize) -> (Self, Self) {
        let rest = Self {
            rows: self.rows - rows,
            first_row: self.first_row + rows,
            ..self.clone()
        };
        (Self { rows, ..self }, rest)
    }
}

/// The experts of a layer: `count` matrices `[rows, columns]`, one after the other.
#[derive(Clone)]
pub(crate) struct ExpertMatrices {
    pub(super) all: Matrix,
    pub(super) rows: usize,
}

impl ExpertMatrices {
    /// The matrix of one expert.
    pub(crate) fn expert(&self, index: usize) -> MatrixRef<'_> {
        self.all.view().slice(index * self.rows, self.rows)
    }
}
