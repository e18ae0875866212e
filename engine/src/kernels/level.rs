//! Which instructions the kernels use: detected once, forceable by `CARAT_CPU_LEVEL`.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::x86_64;

/// Instruction sets that kernels are written for, from the plainest to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstructionSet {
    /// Plain Rust: the definition of right.
    Scalar,
    /// candle's own dot products: what processors run that have none of the following. On ARM it needs
    /// what [`Self::NeonDotprod`] needs.
    Candle,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-VNNI, besides the above.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, VL and VNNI, besides the above.
    Avx512Vnni,
    /// x86-64 with AMX tiles and BF16, besides the above.
    AmxBf16,
    /// 64-bit ARM with integer dot products.
    NeonDotprod,
    /// 64-bit ARM with products of integer matrices, besides the above.
    NeonI8mm,
}

impl InstructionSet {
    /// All of them, slowest first among those of one kind of processor.
    pub const ALL: [Self; 8] = [
        Self::Scalar,
        Self::Candle,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512Vnni,
        Self::AmxBf16,
        Self::NeonDotprod,
        Self::NeonI8mm,
    ];

    /// The name that `CARAT_CPU_LEVEL` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Candle => "candle",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx_vnni",
            Self::Avx512Vnni => "avx512_vnni",
            Self::AmxBf16 => "amx_bf16",
            Self::NeonDotprod => "neon_dotprod",
            Self::NeonI8mm => "neon_i8mm",
        }
    }

    /// The level, if this processor can run it.
    ///
    /// Each asks for exactly the features that its kernels enable; tidy compares the lists.
    pub fn detect(self) -> Option<CpuLevel> {
        let is_available = match self {
            Self::Scalar => true,
            #[cfg(not(target_arch = "aarch64"))]
            Self::Candle => true,
            // On ARM, candle's code has integer dot products whether the processor has them or not.
            #[cfg(target_arch = "aarch64")]
            Self::Candle => super::aarch64::neon::dotprod::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86_64::avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => x86_64::avx_vnni::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => x86_64::avx512::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::AmxBf16 => x86_64::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni | Self::AmxBf16 => false,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotprod => super::aarch64::neon::dotprod::is_available(),
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm => super::aarch64::neon::i8mm::is_available(),
            #[cfg(not(target_arch = "aarch64"))]
            Self::NeonDotprod | Self::NeonI8mm => false,
        };
        is_available.then_some(CpuLevel(self))
    }
}

/// An instruction set that this processor has.
///
/// [`InstructionSet::detect`] alone makes one, so that whoever holds a level may run its kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuLevel(InstructionSet);

impl CpuLevel {
    /// The level that every processor has.
    pub const SCALAR: Self = Self(InstructionSet::Scalar);

    /// The levels of this processor, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        InstructionSet::ALL
            .into_iter()
            .filter_map(InstructionSet::detect)
    }

    /// What its kernels are made of.
    pub fn instructions(self) -> InstructionSet {
        self.0
    }

    /// The name that `CARAT_CPU_LEVEL` takes.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The level in use: the one that `CARAT_CPU_LEVEL` names, else the fastest.
    pub fn current() -> Self {
        static CURRENT: OnceLock<CpuLevel> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let fastest = Self::available().last().unwrap_or(Self::SCALAR);
            let level = match std::env::var("CARAT_CPU_LEVEL") {
                Ok(name) => forced(&name).unwrap_or_else(|what| {
                    tracing::warn!(%name, used = fastest.name(), "CARAT_CPU_LEVEL ignored: {what}");
                    fastest
                }),
                Err(_) => fastest,
            };
            tracing::debug!(level = level.name(), "kernels chosen");
            level
        })
    }
}

/// The level called `name`, if it exists and this processor has it.
fn forced(name: &str) -> Result<CpuLevel, &'static str> {
    let known = InstructionSet::ALL
        .into_iter()
        .find(|known| known.name() == name)
        .ok_or(
            "the levels are scalar, candle, avx2, avx_vnni, avx512_vnni and amx_bf16 on x86-64, neon_dotprod \
             and neon_i8mm on ARM",
        )?;
    known.detect().ok_or("this processor lacks it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_level_is_refused() {
        assert!(forced("sse9").is_err());
        assert_eq!(forced("scalar"), Ok(CpuLevel::SCALAR));
    }

    /// `cargo xtask ci` and `cargo xtask cross --test` read what is printed.
    #[test]
    fn the_fastest_level_is_chosen() {
        let level = CpuLevel::current();
        println!("level in use: {}", level.name());
        let all: Vec<&str> = CpuLevel::available().map(CpuLevel::name).collect();
        println!("levels here: {}", all.join(" "));
        if std::env::var_os("CARAT_CPU_LEVEL").is_none() {
            assert_eq!(CpuLevel::available().last(), Some(level));
        }
    }

    #[test]
    fn no_processor_has_the_levels_of_another_kind() {
        let is_arm = |level: &InstructionSet| level.name().starts_with("neon");
        let other = InstructionSet::ALL.into_iter().filter(|level| {
            let general = matches!(level, InstructionSet::Scalar | InstructionSet::Candle);
            !general && is_arm(level) != cfg!(target_arch = "aarch64")
        });
        assert_eq!(other.filter_map(InstructionSet::detect).count(), 0);
    }

    #[test]
    fn scalar_runs_everywhere() {
        assert_eq!(CpuLevel::available().next(), Some(CpuLevel::SCALAR));
    }
}
