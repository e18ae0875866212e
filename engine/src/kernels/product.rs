//! Products of weight matrices with rows of activations: many in one parallel loop.

#[cfg(test)]
use super::activations::Activations;
use super::activations::Input;
use super::matrix::{MatrixRef, tile};
use super::repacked;
#[cfg(target_arch = "x86_64")]
use super::x86_64::amx;
use super::{Buffer, CpuLevel, FEW_TOKENS, OutTile, Pool, gelu_times, silu_times, softcap};

/// A matrix times an input: `[rows of the input, rows of the matrix]`.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) weights: MatrixRef<'a>,
    /// Index of the input.
    pub(crate) input: usize,
    pub(crate) epilogue: Epilogue<'a>,
}

/// What becomes of a product while it is still in the cache.
#[derive(Clone, Copy)]
pub(crate) enum Epilogue<'a> {
    /// It stays as it is.
    Plain,
    /// `gate(product with this matrix) * product`
    GatedBy(MatrixRef<'a>, Gate),
    /// `cap * tanh(product / cap)`
    Softcap(f32),
}

/// The function of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// GELU in its tanh form.
    Gelu,
    /// `x / (1 + e^-x)`
    Silu,
}

/// Rows of a matrix that one task computes: enough work to be worth a task, few enough to balance.
const TASK_ROWS: usize = 64;
/// Multiplications below which products are not worth a second thread.
const MIN_PARALLEL: usize = 1 << 16;

/// `outs[i]` becomes product `i`.
pub(crate) fn products(
    level: CpuLevel,
    pool: &Pool,
    inputs: &[Input<'_>],
    products: &[Product<'_>],
    outs: &[OutTile<'_>],
) {
    assert_eq!(products.len(), outs.len(), "an output for every product");
    for (product, out) in products.iter().zip(outs) {
        assert_eq!(
            (out.rows(), out.columns()),
            (inputs[product.input].rows.len(), product.weights.rows),
            "an output for every row and token"
        );
    }
    let loop_over = Loop {
        level,
        inputs,
        #[cfg(target_arch = "x86_64")]
        packed: amx::Packed::new(pool, inputs, |input| {
            products.iter().any(|product| {
                product.input == input
                    && uses_tiles(level, product.weights, inputs[input].rows.len())
            })
        }),
    };
    let width = task_rows(pool, inputs, products);
    pool.for_each_columns(outs, width, |i, first, mut out| {
        loop_over.part(&products[i], first, &mut out);
    });
}

/// What the tasks of a loop share.
struct Loop<'a> {
    level: CpuLevel,
    inputs: &'a [Input<'a>],
    #[cfg(target_arch = "x86_64")]
    packed: amx::Packed,
}

impl Loop<'_> {
    /// The columns of a product from `first` on that `out` has.
    fn part(&self, product: &Product<'_>, first: usize, out: &mut OutTile<'_>) {
        let (rows, columns) = (out.rows(), out.columns());
        let weights = product.weights.slice(first, columns);
        match product.epilogue {
            Epilogue::Plain => self.multiply(weights, product.input, out),
            Epilogue::GatedBy(gate, function) => {
                self.multiply(gate.slice(first, columns), product.input, out);
                let mut up = Buffer::new(rows * columns);
                self.multiply(weights, product.input, &mut OutTile::new(&mut up, columns));
                for (row, up) in up.chunks_exact(columns).enumerate() {
                    match function {
                        Gate::Gelu => gelu_times(self.level, out.row(row), up),
                        Gate::Silu => silu_times(self.level, out.row(row), up),
                    }
                }
            }
            Epilogue::Softcap(cap) => {
                self.multiply(weights, product.input, out);
                for row in 0..rows {
                    softcap(self.level, out.row(row), cap);
                }
            }
        }
    }

    fn multiply(&self, weights: MatrixRef<'_>, input: usize, out: &mut OutTile<'_>) {
        let Input { activations, rows } = self.inputs[input];
        #[cfg(target_arch = "x86_64")]
        if uses_tiles(self.level, weights, rows.len()) {
            let tiles = self.packed.tiles(input);
            // SAFETY: the level is available (header of `kernels`).
            unsafe { amx::quantized_tile(weights.tensor_type, weights.bytes, &tiles, out) };
            return;
        }
        tile(self.level, weights, activations, rows, out);
    }
}

/// Whether a product of `weights` with `rows` rows of activations goes through tiles.
#[cfg(target_arch = "x86_64")]
fn uses_tiles(level: CpuLevel, weights: MatrixRef<'_>, rows: usize) -> bool {
    level.instructions() == super::InstructionSet::AmxBf16
        && !weights.is_float()
        && rows >= amx::MIN_TOKENS
}

/// Whether a product of `weights` with `rows` rows of activations reads them in 8 bits.
pub(crate) fn reads_quants(level: CpuLevel, weights: MatrixRef<'_>, rows: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    if uses_tiles(level, weights, rows) {
        return false;
    }
    let _ = (level, rows);
    !weights.is_float()
}

/// `out[row, weight row]` for one matrix and all rows of the activations.
#[cfg(test)]
pub(crate) fn matmul(
    level: CpuLevel,
    pool: &Pool,
    weights: MatrixRef<'_>,
    activations: &Activations<'_>,
    out: &mut [f32],
) {
    let rows = Buffer::counting(activations.rows);
    let input = Input {
        activations,
        rows: &rows,
    };
    let product = Product {
        weights,
        input: 0,
        epilogue: Epilogue::Plain,
    };
    products(
        level,
        pool,
        &[input],
        &[product],
        &[OutTile::new(out, weights.rows)],
    );
}

/// Rows of a task.
fn task_rows(pool: &Pool, inputs: &[Input<'_>], products: &[Product<'_>]) -> usize {
    let rows: usize = products.iter().map(|p| p.weights.rows).sum();
    let multiplications: usize = products
        .iter()
        .map(|p| p.weights.rows * p.weights.columns * inputs[p.input].rows.len())
        .sum();
    if multiplications < MIN_PARALLEL && products.len() == 1 {
        rows
    } else if inputs.iter().all(|input| input.rows.len() <= FEW_TOKENS) {
        // Long runs of memory; more tasks than threads, for threads that were disturbed.
        let width = rows.div_ceil(4 * pool.threads()).max(TASK_ROWS);
        width.next_multiple_of(repacked::ROWS)
    } else if inputs.iter().any(|input| input.rows.len() >= 128) {
        // Tokens stream by: the more rows meet them, the better, as long as all threads have some.
        (2 * TASK_ROWS).min(rows.div_ceil(2 * pool.threads()))
    } else {
        TASK_ROWS
    }
}
