//! The storage formats of tensors: the ones that run, and the sizes and names of all that exist.

/// A storage format that Carat has kernels for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TensorType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of single precision.
    BF16,
    /// 4 bits and a scale for each 32 elements.
    Q4_0,
    /// 4 bits, a scale and a minimum for each 32 elements.
    Q4_1,
    /// 5 bits and a scale for each 32 elements.
    Q5_0,
    /// 5 bits, a scale and a minimum for each 32 elements.
    Q5_1,
    /// 8 bits and a scale for each 32 elements.
    Q8_0,
    /// 2 bits, in super-blocks of 256 elements.
    Q2K,
    /// 3 bits, in super-blocks of 256 elements.
    Q3K,
    /// 4 bits, in super-blocks of 256 elements.
    Q4K,
    /// 5 bits, in super-blocks of 256 elements.
    Q5K,
    /// 6 bits, in super-blocks of 256 elements.
    Q6K,
    /// 4 bits that index a table of 16 values, and a scale for each 32 elements.
    Iq4Nl,
    /// As [`TensorType::Iq4Nl`], in super-blocks of 256 elements.
    Iq4Xs,
    /// Floats of 4 bits in blocks of 32, with a power of two as their scale.
    Mxfp4,
    /// 2.06 bits: eight weights are a point of a grid of 256; super-blocks of 256 elements.
    Iq2Xxs,
    /// 2.31 bits: as [`TensorType::Iq2Xxs`] with a grid of 512.
    Iq2Xs,
    /// 2.56 bits: as [`TensorType::Iq2Xxs`] with a grid of 1024.
    Iq2S,
    /// 3.06 bits: four weights are a point of a grid of 256; super-blocks of 256 elements.
    Iq3Xxs,
    /// 3.44 bits: as [`TensorType::Iq3Xxs`] with a grid of 512.
    Iq3S,
    /// 1.56 bits: eight weights are a point of a grid of 2048; super-blocks of 256 elements.
    Iq1S,
    /// 1.75 bits: as [`TensorType::Iq1S`] with more scales.
    Iq1M,
}

impl TensorType {
    /// Elements that are stored together.
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0
            | Self::Q4_1
            | Self::Q5_0
            | Self::Q5_1
            | Self::Q8_0
            | Self::Iq4Nl
            | Self::Mxfp4 => 32,
            Self::Q2K
            | Self::Q3K
            | Self::Q4K
            | Self::Q5K
            | Self::Q6K
            | Self::Iq4Xs
            | Self::Iq2Xxs
            | Self::Iq2Xs
            | Self::Iq2S
            | Self::Iq3Xxs
            | Self::Iq3S
            | Self::Iq1S
            | Self::Iq1M => 256,
        }
    }

    /// Bytes of one block of [`TensorType::block_len`] elements.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::Mxfp4 => 17,
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Iq1S => 50,
            Self::Iq1M => 56,
            Self::Iq2Xxs => 66,
            Self::Iq2Xs => 74,
            Self::Iq2S => 82,
            Self::Q2K => 84,
            Self::Iq3Xxs => 98,
            Self::Q3K | Self::Iq3S => 110,
            Self::Iq4Xs => 136,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// The name that the GGUF community uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Iq4Nl => "IQ4_NL",
            Self::Iq4Xs => "IQ4_XS",
            Self::Mxfp4 => "MXFP4",
            Self::Iq2Xxs => "IQ2_XXS",
            Self::Iq2Xs => "IQ2_XS",
            Self::Iq2S => "IQ2_S",
            Self::Iq3Xxs => "IQ3_XXS",
            Self::Iq3S => "IQ3_S",
            Self::Iq1S => "IQ1_S",
            Self::Iq1M => "IQ1_M",
        }
    }

    /// The type with this [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|tensor_type| tensor_type.name() == name)
    }

    /// The types whose weights are packed in blocks with scales, by their numbers.
    pub fn quantized() -> impl Iterator<Item = Self> {
        Self::all().filter(|tensor_type| tensor_type.block_len() > 1)
    }

    /// All types, by their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).filter_map(|raw| Self::from_raw(raw.into()))
    }

    /// Bytes of a row of `columns` elements; `columns` is a multiple of [`TensorType::block_len`].
    pub fn row_bytes(self, columns: usize) -> usize {
        columns / self.block_len() * self.block_bytes()
    }

    /// The type with the number that GGUF files use, if Carat runs it.
    pub fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            16 => Self::Iq2Xxs,
            17 => Self::Iq2Xs,
            18 => Self::Iq3Xxs,
            19 => Self::Iq1S,
            20 => Self::Iq4Nl,
            21 => Self::Iq3S,
            22 => Self::Iq2S,
            23 => Self::Iq4Xs,
            29 => Self::Iq1M,
            30 => Self::BF16,
            39 => Self::Mxfp4,
            _ => return None,
        })
    }
}

/// What is known of a type number, whether Carat runs it or not.
pub(super) struct Layout {
    pub(super) name: &'static str,
    pub(super) block_len: usize,
    pub(super) block_bytes: usize,
}

/// Types that Carat does not run, as (number, name, elements of a block, bytes of a block).
///
/// Their sizes are needed to check the tensors around them. Source: the table `GGML_QUANT_SIZES` of
/// the package `gguf`; the interleaved types 31 to 33 and 36 to 38 no longer exist there and have the
/// sizes of `Q4_0` and `IQ4_NL`.
const NOT_RUN: &[(u32, &str, usize, usize)] = &[
    (9, "Q8_1", 32, 36),
    (15, "Q8_K", 256, 292),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (31, "Q4_0_4_4", 32, 18),
    (32, "Q4_0_4_8", 32, 18),
    (33, "Q4_0_8_8", 32, 18),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (36, "IQ4_NL_4_4", 32, 18),
    (37, "IQ4_NL_4_8", 32, 18),
    (38, "IQ4_NL_8_8", 32, 18),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

/// Name and block size of a type number; `None` if nobody here has heard of it.
pub(super) fn layout(raw: u32) -> Option<Layout> {
    if let Some(known) = TensorType::from_raw(raw) {
        return Some(Layout {
            name: known.name(),
            block_len: known.block_len(),
            block_bytes: known.block_bytes(),
        });
    }
    NOT_RUN
        .iter()
        .find(|row| row.0 == raw)
        .map(|&(_, name, block_len, block_bytes)| Layout {
            name,
            block_len,
            block_bytes,
        })
}
