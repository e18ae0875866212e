//! The formats whose numbers come in groups from a grid: IQ1, IQ2 and IQ3.
//!
//! Eight neighbouring weights (in IQ3 four) are one point of a grid that belongs to the format, and the
//! file has the point's index. IQ2 and IQ3 have positive points and a bit of sign for each weight; IQ1 has
//! points of -1, 0 and 1, which it shifts by an eighth to either side. A block has 256 weights and one
//! scale, of which groups of 16 or 32 weights take an odd multiple.
//!
//! Source of the layouts: `ggml-common.h` and `ggml-quants.c` of ggml, and the package `gguf`, from which
//! `testdata/make_grids.py` writes the grids.

use super::{BlockFormat, half_to_f32};

/// The points of all grids: words of 16 bits, each with the numbers of a point's values in 2 bits (of eight
/// values) or 4 bits (of four), from the lowest bits on.
const FILE: &[u8; 2 * 4608] = include_bytes!("grids.bin");

/// Stands for a weight of 0 in IQ2 and IQ3, whose magnitudes are below.
const MIDDLE: u8 = 64;

/// Values of points.
const OF_IQ2: [u8; 3] = [0x08, 0x19, 0x2b];
const OF_IQ3_XXS: [u8; 8] = [0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3e];
const OF_IQ3_S: [u8; 8] = [1, 3, 5, 7, 9, 11, 13, 15];

/// The numbers that stand for `values`.
const fn above_middle<const N: usize>(mut values: [u8; N]) -> [u8; N] {
    let mut n = 0;
    while n < N {
        values[n] += MIDDLE;
        n += 1;
    }
    values
}

/// The point of `weights` values that a word of the file stands for, in the order of its bytes.
const fn point(word: usize, weights: u32, values: &[u8]) -> u64 {
    let bits = 16 / weights;
    let word = FILE[2 * word] as u32 | (FILE[2 * word + 1] as u32) << 8;
    let (mut point, mut i) = (0, 0);
    while i < weights {
        let number = (word >> (bits * i)) & ((1 << bits) - 1);
        point |= (values[number as usize] as u64) << (8 * i);
        i += 1;
    }
    point
}

/// The grid of eights that begins at a word of the file.
const fn eights<const N: usize>(first: usize, values: &[u8]) -> [u64; N] {
    let (mut grid, mut n) = ([0; N], 0);
    while n < N {
        grid[n] = point(first + n, 8, values);
        n += 1;
    }
    grid
}

/// The grid of fours that begins at a word of the file.
const fn fours<const N: usize>(first: usize, values: &[u8]) -> [u32; N] {
    let (mut grid, mut n) = ([0; N], 0);
    while n < N {
        grid[n] = point(first + n, 4, values) as u32;
        n += 1;
    }
    grid
}

/// Grids for registers that hold a good part of them.
#[cfg(target_arch = "x86_64")]
pub(crate) mod spread {
    use super::{FILE, OF_IQ2, OF_IQ3_S, OF_IQ3_XXS, above_middle};

    pub(crate) static IQ2_XXS: [u16; 256] = spread(0, 8);
    pub(crate) static IQ2_XS: [u16; 512] = spread(256, 8);
    pub(crate) static IQ2_S: [u16; 1024] = spread(768, 8);
    pub(crate) static IQ3_XXS: [u16; 256] = spread(1792, 4);
    pub(crate) static IQ3_S: [u16; 512] = spread(2048, 4);

    pub(crate) const VALUES_IQ2: [u8; 16] = values(OF_IQ2);
    pub(crate) const VALUES_IQ3_XXS: [u8; 16] = values(OF_IQ3_XXS);
    pub(crate) const VALUES_IQ3_S: [u8; 16] = values(OF_IQ3_S);

    /// The points from word `first` of the file on, in the order of registers: numbers with an even place in
    /// the low byte, the others in the high one.
    ///
    /// A word that is copied to neighbouring lanes, each shifted by 2 bits (of fours by 4) more than the one
    /// before, has the point's values in its bytes, in the lowest bits.
    const fn spread<const N: usize>(first: usize, weights: usize) -> [u16; N] {
        let bits = 16 / weights;
        let (mut words, mut n) = ([0; N], 0);
        while n < N {
            let at = 2 * (first + n);
            let word = FILE[at] as u16 | (FILE[at + 1] as u16) << 8;
            let mut i = 0;
            while i < weights {
                let number = (word >> (bits * i)) & ((1 << bits) - 1);
                words[n] |= number << (bits * (i / 2) + 8 * (i % 2));
                i += 1;
            }
            n += 1;
        }
        words
    }

    /// The values of numbers of a spread word, to be looked up 16 at a time.
    const fn values<const N: usize>(of: [u8; N]) -> [u8; 16] {
        let (of, mut values, mut n) = (above_middle(of), [0; 16], 0);
        while n < N {
            values[n] = of[n];
            n += 1;
        }
        values
    }
}

static IQ2_XXS: [u64; 256] = eights(0, &above_middle(OF_IQ2));
static IQ2_XS: [u64; 512] = eights(256, &above_middle(OF_IQ2));
static IQ2_S: [u64; 1024] = eights(768, &above_middle(OF_IQ2));
static IQ3_XXS: [u32; 256] = fours(1792, &above_middle(OF_IQ3_XXS));
static IQ3_S: [u32; 512] = fours(2048, &above_middle(OF_IQ3_S));
/// In eighths, plus 8: room for the shift.
static IQ1: [u64; 2048] = eights(2560, &[0, 8, 16]);

/// A format in blocks of 256 weights whose numbers come from a grid.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "some constants are for kernels of x86-64")
)]
pub(crate) trait Grid {
    /// Bytes of a block.
    const BLOCK_BYTES: usize;
    /// Weights that share a scale: 16 or 32.
    const SHARING: usize;
    /// The number that stands for a weight of 0.
    const MIDDLE: u8 = MIDDLE;
    /// Every number is below: a power of two, for sums are added up in twos, fours and eights.
    const ABOVE: usize = 128;
    /// Whether there are bits of sign.
    const SIGNED: bool = true;

    /// The numbers of the weights `64 * quarter..` in the order of their bytes, before the signs.
    fn numbers(block: &[u8], quarter: usize) -> [u64; 8];

    /// A bit for each of these weights whose number is to be mirrored at [`Grid::MIDDLE`].
    fn signs(_block: &[u8], _quarter: usize) -> u64 {
        0
    }

    /// Where the scales are the highest 4 bits of eight words of 32 bits: the first word's place in the
    /// block, and the bytes from one to the next, 4 or 8.
    const SCALE_WORDS: Option<(usize, usize)> = None;

    /// By what the unit is multiplied in the groups `8 * half..`, a byte each: odd, below 32.
    fn multiples(block: &[u8], half: usize) -> u64;

    /// The f16 scale of the block, in bits.
    #[inline(always)]
    fn half(block: &[u8]) -> u16 {
        u16_at(block, 0)
    }

    /// Of the block's scale, what all scales are multiples of.
    const UNIT: f32 = 0.125;
}

impl<G: Grid> BlockFormat for G {
    const LEN: usize = 256;
    const BYTES: usize = G::BLOCK_BYTES;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        for (quarter, u) in u[..256].chunks_exact_mut(64).enumerate() {
            let (numbers, signs) = (G::numbers(block, quarter), G::signs(block, quarter));
            for (u, numbers) in u.chunks_exact_mut(8).zip(numbers) {
                u.copy_from_slice(&numbers.to_le_bytes());
            }
            for (i, u) in u.iter_mut().enumerate() {
                if (signs >> i) & 1 == 1 {
                    *u = 2 * G::MIDDLE - *u;
                }
            }
        }
        let unit = G::UNIT * half_to_f32(G::half(block));
        for group in 0..16 {
            let shared = group * 16 / G::SHARING;
            let multiple = G::multiples(block, shared / 8).to_le_bytes()[shared % 8];
            scale[group] = unit * f32::from(multiple);
            offset[group] = -f32::from(G::MIDDLE) * scale[group];
        }
    }
}

#[inline(always)]
fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

#[inline(always)]
fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from(u16_at(block, at)) | u32::from(u16_at(block, at + 2)) << 16
}

#[inline(always)]
fn u64_at(block: &[u8], at: usize) -> u64 {
    u64::from(u32_at(block, at)) | u64::from(u32_at(block, at + 4)) << 32
}

/// `2 * nibble + 1` of eight nibbles, a byte each.
#[inline(always)]
fn odd_of_nibbles(nibbles: u32) -> u64 {
    let x = u64::from(nibbles);
    let x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    let x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    let x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    odd(x)
}

/// `2 * byte + 1` of eight bytes.
#[inline(always)]
fn odd(bytes: u64) -> u64 {
    bytes << 1 | 0x0101_0101_0101_0101
}

/// The high nibbles of eight bytes that lie `step` apart, a byte each.
#[inline(always)]
fn high_nibbles(block: &[u8], first: usize, step: usize) -> u64 {
    (0..8).fold(0, |all, group| {
        all | u64::from(block[first + group * step] >> 4) << (8 * group)
    })
}

/// Bytes of seven signs with the eighth, by which the number of minuses is even.
#[inline(always)]
fn with_eighth(sevens: u64) -> u64 {
    // The parity of a byte in its lowest bit; what comes from the byte above stays in the bits above.
    let x = sevens ^ sevens >> 4;
    let x = x ^ x >> 2;
    let x = x ^ x >> 1;
    sevens | (x & 0x0101_0101_0101_0101) << 7
}

/// The signs of 64 weights in two words: four times seven bits each.
#[inline(always)]
fn signs_of_words(low: u32, high: u32) -> u64 {
    const SEVEN: u64 = 0x7f_0000_007f;
    let x = u64::from(low) | u64::from(high) << 32;
    let sevens =
        x & SEVEN | (x & SEVEN << 7) << 1 | (x & SEVEN << 14) << 2 | (x & SEVEN << 21) << 3;
    with_eighth(sevens)
}

/// The low bytes of four words of 16 bits.
#[inline(always)]
fn low_bytes(words: u64) -> u64 {
    let x = words & 0x00ff_00ff_00ff_00ff;
    let x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) & 0xffff_ffff
}

/// An entry of a grid, read on its own: a compiler that knows AVX-512 would make gathers of such reads,
/// which take some processors (Zen 4) twice as long.
#[inline(always)]
fn alone<T: Copy>(entry: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { std::ptr::from_ref(entry).read_volatile() }
}

/// Eight pairs of fours.
#[inline(always)]
fn pairs(four: impl Fn(usize) -> u32) -> [u64; 8] {
    std::array::from_fn(|i| u64::from(four(2 * i)) | u64::from(four(2 * i + 1)) << 32)
}

/// 2.06 bits a weight: f16 d; for each 32 weights four indices, then four times seven signs and 4 bits of
/// scale.
pub(crate) struct Iq2Xxs;
impl Grid for Iq2Xxs {
    const BLOCK_BYTES: usize = 66;
    const SHARING: usize = 32;
    const SCALE_WORDS: Option<(usize, usize)> = Some((2 + 4, 8));
    #[inline(always)]
    fn numbers(block: &[u8], quarter: usize) -> [u64; 8] {
        let first = 2 + 16 * quarter;
        let index = |i: usize| usize::from(block[first + i + i / 4 * 4]);
        std::array::from_fn(|i| alone(&IQ2_XXS[index(i)]))
    }
    #[inline(always)]
    fn signs(block: &[u8], quarter: usize) -> u64 {
        let first = 2 + 16 * quarter;
        signs_of_words(u32_at(block, first + 4), u32_at(block, first + 12))
    }
    #[inline(always)]
    fn multiples(block: &[u8], _half: usize) -> u64 {
        odd(high_nibbles(block, 2 + 7, 8))
    }
}

/// 2.31 bits a weight: f16 d, 32 words of an index of 9 bits and seven signs, 4 bits of scale for each 16
/// weights.
pub(crate) struct Iq2Xs;
impl Grid for Iq2Xs {
    const BLOCK_BYTES: usize = 74;
    const SHARING: usize = 16;
    #[inline(always)]
    fn numbers(block: &[u8], quarter: usize) -> [u64; 8] {
        let first = 2 + 16 * quarter;
        std::array::from_fn(|i| alone(&IQ2_XS[usize::from(u16_at(block, first + 2 * i) & 511)]))
    }
    #[inline(always)]
    fn signs(block: &[u8], quarter: usize) -> u64 {
        let first = 2 + 16 * quarter;
        let sevens = |at: usize| low_bytes((u64_at(block, at) >> 9) & 0x007f_007f_007f_007f);
        with_eighth(sevens(first) | sevens(first + 8) << 32)
    }
    #[inline(always)]
    fn multiples(block: &[u8], half: usize) -> u64 {
        odd_of_nibbles(u32_at(block, 66 + 4 * half))
    }
}

/// 2.56 bits a weight: f16 d, 32 low bytes of indices, 32 bytes of signs, the indices' high pairs of bits,
/// 4 bits of scale for each 16 weights.
pub(crate) struct Iq2S;
impl Grid for Iq2S {
    const BLOCK_BYTES: usize = 82;
    const SHARING: usize = 16;
    #[inline(always)]
    fn numbers(block: &[u8], quarter: usize) -> [u64; 8] {
        let high = usize::from(u16_at(block, 66 + 2 * quarter));
        let index =
            |i: usize| usize::from(block[2 + 8 * quarter + i]) | ((high >> (2 * i)) & 3) << 8;
        std::array::from_fn(|i| alone(&IQ2_S[index(i)]))
    }
    #[inline(always)]
    fn signs(block: &[u8], quarter: usize) -> u64 {
        u64_at(block, 34 + 8 * quarter)
    }
    #[inline(always)]
    fn multiples(block: &[u8], half: usize) -> u64 {
        odd_of_nibbles(u32_at(block, 74 + 4 * half))
    }
}

/// 3.06 bits a weight: f16 d, 64 indices, then for each 32 weights four times seven signs and 4 bits of
/// scale.
pub(crate) struct Iq3Xxs;
impl Grid for Iq3Xxs {
    const BLOCK_BYTES: usize = 98;
    const SHARING: usize = 32;
    const SCALE_WORDS: Option<(usize, usize)> = Some((66, 4));
    #[inline(always)]
    fn numbers(block: &[u8], quarter: usize) -> [u64; 8] {
        pairs(|i| alone(&IQ3_XXS[usize::from(block[2 + 16 * quarter + i])]))
    }
    #[inline(always)]
    fn signs(block: &[u8], quarter: usize) -> u64 {
        let words = 66 + 8 * quarter;
        signs_of_words(u32_at(block, words), u32_at(block, words + 4))
    }
    #[inline(always)]
    fn multiples(block: &[u8], _half: usize) -> u64 {
        odd(high_nibbles(block, 66 + 3, 4))
    }
    const UNIT: f32 = 0.25;
}

/// 3.44 bits a weight: f16 d, 64 low bytes of indices, their ninth bits, 32 bytes of signs, 4 bits of scale
/// for each 32 weights.
pub(crate) struct Iq3S;
impl Grid for Iq3S {
    const BLOCK_BYTES: usize = 110;
    const SHARING: usize = 32;
    #[inline(always)]
    fn numbers(block: &[u8], quarter: usize) -> [u64; 8] {
        let high = usize::from(u16_at(block, 66 + 2 * quarter));
        let index = |i: usize| usize::from(block[2 + 16 * quarter + i]) | ((high >> i) & 1) << 8;
        pairs(|i| alone(&IQ3_S[index(i)]))
    }
    #[inline(always)]
    fn signs(block: &[u8], quarter: usize) -> u64 {
        u64_at(block, 74 + 8 * quarter)
    }
    #[inline(always)]
    fn multiples(block: &[u8], _half: usize) -> u64 {
        odd_of_nibbles(u32_at(block, 106))
    }
    const UNIT: f32 = 1.0;
}

/// Two eighths in every byte where the bit `down` is not set: the way from a shift down to one up.
#[inline(always)]
fn up(down: usize) -> u64 {
    (down as u64).wrapping_sub(1) & 0x0202_0202_0202_0202
}

/// 1.56 bits a weight: f16 d, 32 low bytes of indices, then a word for each 32 weights: four times three
/// high bits, 3 bits of scale, and whether points are shifted down.
pub(crate) struct Iq1S;
impl Grid for Iq1S {
    const BLOCK_BYTES: usize = 50;
    const SHARING: usize = 32;
    const MIDDLE: u8 = 9;
    const ABOVE: usize = 32;
    const SIGNED: bool = false;
    #[inline(always)]
    fn numbers(block: &[u8], quarter: usize) -> [u64; 8] {
        let words = [0, 2].map(|at| usize::from(u16_at(block, 34 + 4 * quarter + at)));
        let number = |i: usize| {
            let word = words[i / 4];
            let index =
                usize::from(block[2 + 8 * quarter + i]) | ((word >> (3 * (i % 4))) & 7) << 8;
            alone(&IQ1[index]) + up(word >> 15)
        };
        std::array::from_fn(number)
    }
    #[inline(always)]
    fn multiples(block: &[u8], _half: usize) -> u64 {
        odd(high_nibbles(block, 34 + 1, 2) & 0x0707_0707_0707_0707)
    }
}

/// 1.75 bits a weight: 32 low bytes of indices, a nibble for each 8 weights of three high bits and whether
/// the point is shifted down, and four words of four times 3 bits of scale, for each 16 weights, and of 4
/// bits of the f16 d.
pub(crate) struct Iq1M;
impl Grid for Iq1M {
    const BLOCK_BYTES: usize = 56;
    const SHARING: usize = 16;
    const MIDDLE: u8 = 9;
    const ABOVE: usize = 32;
    const SIGNED: bool = false;
    #[inline(always)]
    fn numbers(block: &[u8], quarter: usize) -> [u64; 8] {
        let nibbles = u32_at(block, 32 + 4 * quarter) as usize;
        let number = |i: usize| {
            let nibble = nibbles >> (4 * i);
            let index = usize::from(block[8 * quarter + i]) | (nibble & 7) << 8;
            alone(&IQ1[index]) + up((nibble >> 3) & 1)
        };
        std::array::from_fn(number)
    }
    #[inline(always)]
    fn multiples(block: &[u8], half: usize) -> u64 {
        let words = u32_at(block, 48 + 4 * half);
        odd((0..8).fold(0, |all, group| {
            let bits = (words >> (16 * (group / 4) + 3 * (group % 4))) & 7;
            all | u64::from(bits) << (8 * group)
        }))
    }
    #[inline(always)]
    fn half(block: &[u8]) -> u16 {
        (0..4).fold(0, |bits, i| {
            bits | u16_at(block, 48 + 2 * i) >> 12 << (4 * i)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a of signed values.
    fn digest(values: impl IntoIterator<Item = u8>) -> u64 {
        values
            .into_iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, value| {
                (hash ^ u64::from(value)).wrapping_mul(0x0100_0000_01b3)
            })
    }

    fn magnitudes_of_eights(grid: &[u64]) -> u64 {
        digest(
            grid.iter()
                .flat_map(|x| x.to_le_bytes())
                .map(|x| x - MIDDLE),
        )
    }

    fn magnitudes_of_fours(grid: &[u32]) -> u64 {
        digest(
            grid.iter()
                .flat_map(|x| x.to_le_bytes())
                .map(|x| x - MIDDLE),
        )
    }

    #[test]
    fn grids_are_those_of_the_reference_package() {
        assert_eq!(magnitudes_of_eights(&IQ2_XXS), 0xbb4e_e025_b5ac_6e8e);
        assert_eq!(magnitudes_of_eights(&IQ2_XS), 0xc9b1_ee61_e799_09bd);
        assert_eq!(magnitudes_of_eights(&IQ2_S), 0x123e_dd38_a3b6_2b90);
        assert_eq!(magnitudes_of_fours(&IQ3_XXS), 0xdfa5_dc83_d6a1_55d5);
        assert_eq!(magnitudes_of_fours(&IQ3_S), 0xfa37_020c_25b4_4829);
        let ones = IQ1.iter().flat_map(|x| x.to_le_bytes());
        let ones = ones.map(|x| (x / 8).wrapping_sub(1));
        assert_eq!(digest(ones), 0x6703_ed86_3501_ae2e);
    }

    #[test]
    fn no_point_is_twice_in_a_grid() {
        fn distinct<T: Ord + Copy>(grid: &[T]) -> bool {
            let mut sorted = grid.to_vec();
            sorted.sort_unstable();
            sorted.windows(2).all(|pair| pair[0] != pair[1])
        }
        assert!(distinct(&IQ2_XXS) && distinct(&IQ2_XS) && distinct(&IQ2_S));
        assert!(distinct(&IQ3_XXS) && distinct(&IQ3_S) && distinct(&IQ1));
    }

    #[test]
    fn the_number_of_minuses_is_even() {
        for seven in 0..128u64 {
            for byte in 0..8 {
                // Other bytes are full of ones, which must not matter.
                let others = 0x7f7f_7f7f_7f7f_7f7f & !(0x7f << (8 * byte));
                let signs = with_eighth(others | seven << (8 * byte)) >> (8 * byte) & 0xff;
                assert_eq!(signs & 0x7f, seven);
                assert_eq!(signs.count_ones() % 2, 0);
            }
        }
        let (low, high) = (0x0fed_cba9, 0x0765_4321);
        let seven = |i: u32| (if i < 4 { low } else { high } >> (7 * (i % 4))) & 0x7f;
        let signs = signs_of_words(low, high | 0xf000_0000);
        for i in 0..8 {
            assert_eq!((signs >> (8 * i)) as u32 & 0x7f, seven(i));
        }
    }
}
