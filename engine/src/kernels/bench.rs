//! What the benchmarks in `engine/benches` call, behind the feature `bench`: not an interface.
//!
//! The functions do what a layer does, through the same entry points; data is random.

use half::f16;

use super::activations::Input;
use super::product::{Epilogue, Product, products};
use super::random::{Random, floats, random_rows};
use super::{
    Activations, BLOCK_KEYS, Buffer, CpuLevel, MatrixRef, Order, OutTile, Pool, Reading, Repacked,
    StoredRows, candidates,
};
use crate::gguf::TensorType;

/// Values of a `q8_0` cache that share a scale.
const Q8_BLOCK: usize = 32;

/// A pool of threads.
pub struct Threads(Pool);

impl Threads {
    /// A pool of `threads` threads, of which the caller is the first.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        Pool::new(threads).map(Self)
    }

    /// A parallel loop over `tasks` tasks that do nothing.
    pub fn empty_loop(&self, tasks: usize) {
        self.0.for_each(tasks, |task| {
            std::hint::black_box(task);
        });
    }
}

/// A matrix of random weights.
pub struct Matrix {
    tensor_type: TensorType,
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
    repacked: Option<Repacked>,
    /// Instead of the usual one.
    reading: Option<Reading>,
}

impl Matrix {
    /// A matrix as a model file holds it; `columns` is a multiple of the type's block.
    pub fn random(tensor_type: TensorType, rows: usize, columns: usize) -> Self {
        Self {
            tensor_type,
            rows,
            columns,
            bytes: random_rows(&mut Random(7), tensor_type, rows, columns),
            repacked: None,
            reading: None,
        }
    }

    /// The same with panels beside it, as small models keep them, if the level has a kernel for them.
    pub fn repacked(mut self, level: CpuLevel) -> Option<Self> {
        self.repacked = Some(Repacked::new(level, self.view())?);
        Some(self)
    }

    /// The readings among which is chosen at a level, the usual one first.
    pub fn readings(&self, level: CpuLevel) -> Vec<Reading> {
        candidates(level, self.tensor_type, self.order())
    }

    /// From here on read in this way.
    pub fn read_as(&mut self, reading: Reading) {
        self.reading = Some(reading);
    }

    fn order(&self) -> Order {
        match self.repacked {
            Some(_) => Order::Panels,
            None => Order::Rows,
        }
    }

    /// Bytes of the weights, which a product reads once.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Weights, each of which is multiplied once for every token.
    pub fn weights(&self) -> u64 {
        (self.rows * self.columns) as u64
    }

    /// Random activations of `tokens` tokens, in the form that this matrix multiplies.
    pub fn random_tokens(&self, tokens: usize) -> Tokens {
        Tokens {
            values: floats(&mut Random(8), tokens * self.columns),
            rows: Buffer::counting(tokens),
            out: vec![0.0; tokens * self.rows],
        }
    }

    fn view(&self) -> MatrixRef<'_> {
        MatrixRef {
            tensor_type: self.tensor_type,
            rows: self.rows,
            columns: self.columns,
            bytes: &self.bytes,
            panels: self.repacked.as_ref().map(Repacked::panels),
            reading: Reading::ROWS,
        }
    }
}

/// Activations, and room for what a matrix makes of them.
pub struct Tokens {
    values: Vec<f32>,
    rows: Buffer<u32>,
    out: Vec<f32>,
}

impl Tokens {
    /// Calls `measured` with a function that multiplies `matrix` by the tokens. They are rounded
    /// before, once, as for all the matrices that read them.
    pub fn prepare(
        &mut self,
        level: CpuLevel,
        threads: &Threads,
        matrix: &Matrix,
        measured: impl FnOnce(&mut dyn FnMut()),
    ) {
        let mut weights = matrix.view();
        weights.reading = matrix
            .reading
            .unwrap_or_else(|| Reading::usual(level, matrix.tensor_type, matrix.order()));
        let activations = if weights.is_float() {
            Activations::plain(&self.values, matrix.columns)
        } else {
            Activations::quantized(level, &threads.0, &self.values, matrix.columns)
        };
        let input = Input {
            activations: &activations,
            rows: &self.rows,
        };
        let product = Product {
            weights,
            input: 0,
            epilogue: Epilogue::Plain,
        };
        let out = &mut self.out;
        measured(&mut || {
            let out = OutTile::new(out, matrix.rows);
            products(level, &threads.0, &[input], &[product], &[out]);
        });
    }
}

/// How a cache holds keys and values.
#[derive(Clone, Copy, Debug)]
pub enum Stored {
    F32,
    F16,
    Q8,
}

/// Random keys, or values, of one head.
pub struct Rows {
    dim: usize,
    len: usize,
    held: Held,
}

enum Held {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Q8(Vec<i8>, Vec<f16>),
}

impl Rows {
    /// `len` rows of `dim` values, which is a multiple of 32.
    pub fn random(stored: Stored, len: usize, dim: usize) -> Self {
        let random = &mut Random(9);
        let n = len * dim;
        let halves = |values: Vec<f32>| values.into_iter().map(f16::from_f32).collect();
        let held = match stored {
            Stored::F32 => Held::F32(floats(random, n)),
            Stored::F16 => Held::F16(halves(floats(random, n))),
            Stored::Q8 => {
                let quants = (0..n).map(|_| random.next() as i8).collect();
                Held::Q8(quants, halves(floats(random, n / Q8_BLOCK)))
            }
        };
        Self { dim, len, held }
    }

    /// Bytes of all rows, which either function below reads once.
    pub fn bytes(&self) -> u64 {
        let bytes = match &self.held {
            Held::F32(values) => size_of_val(&values[..]),
            Held::F16(values) => size_of_val(&values[..]),
            Held::Q8(quants, scales) => size_of_val(&quants[..]) + size_of_val(&scales[..]),
        };
        bytes as u64
    }

    /// Products of all rows, as keys, with `queries`; `scores` has 64 for every query.
    pub fn dots(&self, level: CpuLevel, queries: &[f32], scores: &mut [f32]) {
        for start in (0..self.len).step_by(BLOCK_KEYS) {
            let keys = self.block(start);
            super::stored_dots(level, queries, keys, self.dim, scores, BLOCK_KEYS);
        }
    }

    /// Sums of all rows, as values, by weights; `weights` has 64 for every row of `sums`.
    pub fn add_weighted(&self, level: CpuLevel, sums: &mut [f32], weights: &[f32]) {
        for start in (0..self.len).step_by(BLOCK_KEYS) {
            let values = self.block(start);
            super::add_weighted_stored(level, sums, weights, BLOCK_KEYS, values, self.dim);
        }
    }

    /// The rows of the block that begins at `start`.
    fn block(&self, start: usize) -> StoredRows<'_> {
        let end = self.len.min(start + BLOCK_KEYS);
        let part = start * self.dim..end * self.dim;
        match &self.held {
            Held::F32(values) => StoredRows::F32(&values[part]),
            Held::F16(values) => StoredRows::F16(&values[part]),
            Held::Q8(quants, scales) => StoredRows::Q8 {
                block: Q8_BLOCK,
                scales: &scales[part.start / Q8_BLOCK..part.end / Q8_BLOCK],
                quants: &quants[part],
            },
        }
    }
}

/// Queries, sums or weights: `n` random numbers.
pub fn random_floats(n: usize) -> Vec<f32> {
    floats(&mut Random(10), n)
}

/// Scores or weights of a query in [`Rows::dots`] and [`Rows::add_weighted`].
pub const SCORES: usize = BLOCK_KEYS;
