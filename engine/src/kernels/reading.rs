//! How the kernels of one token read weights: what is a guess about a processor until it is measured.
//!
//! No reading changes a number: each output is computed with the same operations in the same order.
//! So readings may differ from start to start and change while a model works.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{CpuLevel, InstructionSet};
use crate::gguf::TensorType;

/// The order in which the weights of a matrix lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// As in the file: row after row.
    Rows,
    /// 16 rows side by side, the second copy of small models.
    Panels,
}

/// How one token's kernel reads weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// Rows that are read side by side: 1, 2 or 4, and 16 in panels. More streams keep more of the
    /// memory busy and share a load of the activations; fewer leave registers for the scales.
    pub rows: u8,
    /// Bytes between what is multiplied and what is asked of memory.
    pub ahead: u16,
}

impl Reading {
    /// Of rows, where nothing speaks for another.
    pub(crate) const ROWS: Self = Self {
        rows: 4,
        ahead: 512,
    };
    /// Of panels.
    pub(crate) const PANELS: Self = Self {
        rows: 16,
        ahead: 4096,
    };

    /// What is used unless a measurement says otherwise.
    pub(crate) fn usual(level: CpuLevel, tensor_type: TensorType, order: Order) -> Self {
        let in_pairs = match level.instructions() {
            // With four, sums, scales and weights do not fit sixteen registers.
            InstructionSet::Avx2 | InstructionSet::AvxVnni => true,
            // Scales that are much work to unpack want the registers.
            InstructionSet::Avx512Vnni | InstructionSet::AmxBf16 => {
                matches!(tensor_type, TensorType::Q4K | TensorType::Q5_1)
            }
            _ => false,
        };
        match order {
            Order::Rows if in_pairs => Self {
                rows: 2,
                ..Self::ROWS
            },
            Order::Rows => Self::ROWS,
            Order::Panels => Self::PANELS,
        }
    }

    fn packed(self) -> u32 {
        u32::from(self.rows) << 16 | u32::from(self.ahead)
    }

    fn unpacked(packed: u32) -> Self {
        Self {
            rows: (packed >> 16) as u8,
            ahead: packed as u16,
        }
    }
}

/// The readings that are worth a measurement, of which the first is the usual one; no more where the
/// kernels of a level have no choice.
pub(crate) fn candidates(level: CpuLevel, tensor_type: TensorType, order: Order) -> Vec<Reading> {
    const fn rows(rows: u8, ahead: u16) -> Reading {
        Reading { rows, ahead }
    }
    const ROWS: [Reading; 6] = [
        rows(4, 512),
        rows(2, 512),
        rows(1, 512),
        rows(4, 1024),
        rows(2, 1024),
        rows(1, 1024),
    ];
    const PANELS: [Reading; 3] = [rows(16, 512), rows(16, 4096), rows(16, 8192)];
    let has_choice = matches!(
        level.instructions(),
        InstructionSet::Avx2
            | InstructionSet::AvxVnni
            | InstructionSet::Avx512Vnni
            | InstructionSet::AmxBf16
    );
    let is_float = matches!(
        tensor_type,
        TensorType::F32 | TensorType::F16 | TensorType::BF16
    );
    let all: &[Reading] = match order {
        Order::Rows if has_choice && !is_float => &ROWS,
        Order::Rows => &[],
        Order::Panels => &PANELS,
    };
    let usual = Reading::usual(level, tensor_type, order);
    let others = all.iter().copied().filter(|&reading| reading != usual);
    std::iter::once(usual).chain(others).collect()
}

/// The types that weights can have, each with a place of its own.
const TYPES: usize = TensorType::Iq1M as usize + 1;

/// The readings in use of a model, by order and type.
pub(crate) struct Readings {
    level: CpuLevel,
    /// What was measured, as [`Reading::packed`]; 0 is the usual reading.
    measured: [[AtomicU32; TYPES]; 2],
}

impl Readings {
    /// What is usual at a level.
    pub(crate) fn usual(level: CpuLevel) -> Self {
        let none = || std::array::from_fn(|_| AtomicU32::new(0));
        Self {
            level,
            measured: [none(), none()],
        }
    }

    pub(crate) fn get(&self, tensor_type: TensorType, order: Order) -> Reading {
        match self.place(tensor_type, order).load(Ordering::Relaxed) {
            0 => Reading::usual(self.level, tensor_type, order),
            packed => Reading::unpacked(packed),
        }
    }

    pub(crate) fn set(&self, tensor_type: TensorType, order: Order, reading: Reading) {
        self.place(tensor_type, order)
            .store(reading.packed(), Ordering::Relaxed);
    }

    fn place(&self, tensor_type: TensorType, order: Order) -> &AtomicU32 {
        &self.measured[order as usize][tensor_type as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Random, floats, random_rows};
    use crate::kernels::{Activations, MatrixRef, Pool, Repacked, matmul};

    #[test]
    fn a_reading_is_kept_for_its_type_and_order() {
        let level = CpuLevel::SCALAR;
        let readings = Readings::usual(level);
        let reading = Reading {
            rows: 1,
            ahead: 1024,
        };
        readings.set(TensorType::Q4K, Order::Rows, reading);
        assert_eq!(readings.get(TensorType::Q4K, Order::Rows), reading);
        for (tensor_type, order) in [
            (TensorType::Q4K, Order::Panels),
            (TensorType::Iq1M, Order::Rows),
        ] {
            let usual = Reading::usual(level, tensor_type, order);
            assert_eq!(readings.get(tensor_type, order), usual);
        }
    }

    /// The bound of a choice by measurement: to the last bit the same.
    #[test]
    fn no_reading_changes_a_number() {
        let random = &mut Random(12);
        for level in CpuLevel::available() {
            for tensor_type in TensorType::quantized() {
                // Fewer rows than are read side by side, and parts of unequal length.
                for (rows, blocks) in [(1, 3), (3, 37), (16, 16), (48, 37)] {
                    let columns = blocks * tensor_type.block_len();
                    let bytes = random_rows(random, tensor_type, rows, columns);
                    let plain = MatrixRef {
                        tensor_type,
                        rows,
                        columns,
                        bytes: &bytes,
                        panels: None,
                        reading: Reading::ROWS,
                    };
                    let values = floats(random, columns);
                    let product = |weights: MatrixRef<'_>| {
                        let pool = Pool::new(1).expect("no thread to start");
                        let activations = Activations::quantized(level, &pool, &values, columns);
                        let mut out = vec![f32::NAN; rows];
                        matmul(level, &pool, weights, &activations, &mut out);
                        out
                    };
                    let repacked = Repacked::new(level, plain);
                    let in_panels = repacked.as_ref().map(|repacked| MatrixRef {
                        panels: Some(repacked.panels()),
                        reading: Reading::PANELS,
                        ..plain
                    });
                    let both = [(Order::Rows, Some(plain)), (Order::Panels, in_panels)];
                    for (order, weights) in both {
                        let Some(weights) = weights else {
                            continue;
                        };
                        let usual = product(weights);
                        for reading in candidates(level, tensor_type, order) {
                            let found = product(MatrixRef { reading, ..weights });
                            let name = (level.name(), tensor_type.name(), rows, columns);
                            assert_eq!(found, usual, "{name:?}, {reading:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_candidate_is_the_usual_one_and_stands_there_once() {
        for level in CpuLevel::available() {
            for order in [Order::Rows, Order::Panels] {
                for tensor_type in [TensorType::F16, TensorType::Q4_0, TensorType::Q4K] {
                    let all = candidates(level, tensor_type, order);
                    let usual = Reading::usual(level, tensor_type, order);
                    assert_eq!(all[0], usual);
                    assert!(!all[1..].contains(&usual));
                }
            }
        }
    }
}
