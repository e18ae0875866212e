//! Levels of x86-64 processors.

/// Whether the processor has all features of a list. `cargo xtask tidy` compares these lists with those
/// that functions enable.
macro_rules! detects {
    ($($feature:tt),*) => {
        $(is_x86_feature_detected!($feature))&&*
    };
}

pub(crate) mod amx;
pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod avx_vnni;
