//! The tile registers: detection, configuration, and the instructions in use.
//!
//! Registers 0 to 3 hold sums (two tiles of weight rows by two tiles of tokens), 4 and 5 weights,
//! 6 and 7 tokens. The compiler never touches tile registers, so they keep their contents from one
//! block of assembly to the next. Intel, "Intel 64 and IA-32 Architectures Software Developer's
//! Manual", volume 1, chapter 18.

use std::arch::asm;
use std::marker::PhantomData;

/// Rows of a tile, and 32-bit lanes of a row.
pub(super) const SIDE: usize = 16;
/// BF16 numbers of a row of a tile: the weights that one instruction multiplies.
pub(super) const STEP: usize = 32;
/// Steps of a strip: of 16 groups of 32 weights.
pub(super) const STRIP_STEPS: usize = 16;
/// Bytes of a row of a tile.
const ROW_BYTES: usize = 64;

/// The memory of one tile register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile([[u32; SIDE]; SIDE]);

impl Tile {
    pub(super) const ZERO: Self = Self([[0; SIDE]; SIDE]);

    /// A row.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[u32; SIDE] {
        &self.0[row]
    }

    /// A row, to be filled.
    #[inline(always)]
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [u32; SIDE] {
        &mut self.0[row]
    }
}

/// Numbers of one step of a row of weights.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Step(pub(super) [u32; SIDE]);

/// A strip of one row of weights. One step more than a strip has: 16 rows a power of two apart would
/// fight for few places of the first-level cache.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct WeightRow(pub(super) [Step; STRIP_STEPS + 1]);

impl WeightRow {
    pub(super) const ZERO: Self = Self([Step([0; SIDE]); STRIP_STEPS + 1]);
}

/// Whether the processor has tiles of BF16, which is not among the features that Rust knows, and the system
/// lets this process use them.
///
/// # Safety
/// The processor has `xsave`.
pub(super) unsafe fn are_available() -> bool {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
    if features & BF16_AND_TILES != BF16_AND_TILES {
        return false;
    }
    // SAFETY: passed on.
    let saved = unsafe { enabled_state() };
    saved & TILE_STATE == TILE_STATE && permission()
}

#[target_feature(enable = "xsave")]
fn enabled_state() -> u64 {
    // SAFETY: register 0 exists wherever the instruction does.
    unsafe { std::arch::x86_64::_xgetbv(0) }
}

/// Asks Linux for the large register state, once for all threads of the process
/// (Documentation/arch/x86/xstate.rst).
#[cfg(target_os = "linux")]
fn permission() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: the call changes no memory of this program.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn permission() -> bool {
    false
}

/// The tile registers of this thread, 16 rows of 64 bytes each, until it is dropped.
pub(super) struct Configured(PhantomData<*mut ()>);

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

#[expect(
    clippy::unused_self,
    reason = "the value stands for configured registers"
)]
impl Configured {
    /// # Safety
    /// [`is_available`] was true.
    pub(super) unsafe fn new() -> Self {
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        configuration.row_bytes[..8].fill(ROW_BYTES as u16);
        configuration.rows[..8].fill(SIDE as u8);
        // SAFETY: the operand is a valid configuration.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, preserves_flags, readonly));
        }
        Self(PhantomData)
    }

    /// Clears the sums.
    pub(super) fn clear(&mut self) {
        // SAFETY: the registers are configured.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, preserves_flags, nomem)
            );
        }
    }

    /// Loads the sums.
    ///
    /// # Safety
    /// Two neighbouring tiles, one for each tile of rows, lie at each pointer.
    #[inline(always)]
    pub(super) unsafe fn load(&mut self, sums: [*const Tile; 2]) {
        // SAFETY: passed on; the registers are configured.
        unsafe {
            asm!(
                "tileloadd tmm0, [{first} + {row}]",
                "tileloadd tmm1, [{second} + {row}]",
                "tileloadd tmm2, [{first} + {row} + 1024]",
                "tileloadd tmm3, [{second} + {row} + 1024]",
                first = in(reg) sums[0],
                second = in(reg) sums[1],
                row = in(reg) ROW_BYTES,
                options(nostack, preserves_flags, readonly),
            );
        }
    }

    /// Stores the sums.
    ///
    /// # Safety
    /// As [`Self::load`].
    #[inline(always)]
    pub(super) unsafe fn store(&mut self, sums: [*mut Tile; 2]) {
        // SAFETY: as for loading.
        unsafe {
            asm!(
                "tilestored [{first} + {row}], tmm0",
                "tilestored [{second} + {row}], tmm1",
                "tilestored [{first} + {row} + 1024], tmm2",
                "tilestored [{second} + {row} + 1024], tmm3",
                first = in(reg) sums[0],
                second = in(reg) sums[1],
                row = in(reg) ROW_BYTES,
                options(nostack, preserves_flags),
            );
        }
    }

    /// Adds the products of `R` tiles of rows and two tiles of tokens.
    ///
    /// # Safety
    /// `steps` tiles lie behind every pointer.
    #[inline(always)]
    pub(super) unsafe fn multiply<const R: usize>(
        &mut self,
        weights: *const WeightRow,
        tokens: [*const Tile; 2],
        steps: usize,
    ) {
        for step in 0..steps {
            // SAFETY: passed on; the registers are configured.
            unsafe {
                if R == 1 {
                    asm!(
                        "tileloadd tmm4, [{w0} + {weight_row}]",
                        "tileloadd tmm6, [{t0} + {row}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm7, [{t1} + {row}]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        w0 = in(reg) weights.cast::<Step>().add(step),
                        t0 = in(reg) tokens[0].add(step),
                        t1 = in(reg) tokens[1].add(step),
                        row = in(reg) ROW_BYTES,
                        weight_row = in(reg) size_of::<WeightRow>(),
                        options(nostack, preserves_flags, readonly),
                    );
                } else {
                    asm!(
                        "tileloadd tmm4, [{w0} + {weight_row}]",
                        "tileloadd tmm6, [{t0} + {row}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm7, [{t1} + {row}]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tileloadd tmm5, [{w1} + {weight_row}]",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        w0 = in(reg) weights.cast::<Step>().add(step),
                        w1 = in(reg) weights.add(SIDE).cast::<Step>().add(step),
                        t0 = in(reg) tokens[0].add(step),
                        t1 = in(reg) tokens[1].add(step),
                        row = in(reg) ROW_BYTES,
                        weight_row = in(reg) size_of::<WeightRow>(),
                        options(nostack, preserves_flags, readonly),
                    );
                }
            }
        }
    }

    /// Adds the products of two tiles of rows and one tile of tokens.
    ///
    /// A product is added 52 cycles after it began, and one begins every 16: odd steps go to the
    /// sums of a second tile of tokens, so that four sums take turns.
    ///
    /// # Safety
    /// As [`Self::multiply`]; the second tile of rows may hold anything if its sums are not used.
    #[inline(always)]
    pub(super) unsafe fn multiply_one(
        &mut self,
        weights: *const WeightRow,
        tokens: *const Tile,
        steps: usize,
    ) {
        for step in 0..steps {
            // SAFETY: passed on; the registers are configured.
            unsafe {
                let w0 = weights.cast::<Step>().add(step);
                let w1 = weights.add(SIDE).cast::<Step>().add(step);
                let t = tokens.add(step);
                if step % 2 == 0 {
                    asm!(
                        "tileloadd tmm4, [{w0} + {weight_row}]",
                        "tileloadd tmm6, [{t} + {row}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm5, [{w1} + {weight_row}]",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        w0 = in(reg) w0,
                        w1 = in(reg) w1,
                        t = in(reg) t,
                        row = in(reg) ROW_BYTES,
                        weight_row = in(reg) size_of::<WeightRow>(),
                        options(nostack, preserves_flags, readonly),
                    );
                } else {
                    asm!(
                        "tileloadd tmm4, [{w0} + {weight_row}]",
                        "tileloadd tmm7, [{t} + {row}]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tileloadd tmm5, [{w1} + {weight_row}]",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        w0 = in(reg) w0,
                        w1 = in(reg) w1,
                        t = in(reg) t,
                        row = in(reg) ROW_BYTES,
                        weight_row = in(reg) size_of::<WeightRow>(),
                        options(nostack, preserves_flags, readonly),
                    );
                }
            }
        }
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: the processor has tiles. Released ones cost nothing when threads are switched.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }
}
