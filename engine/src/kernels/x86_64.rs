//! Levels of x86-64 processors.

pub(crate) mod amx;
pub(crate) mod avx2;
pub(crate) mod avx512;
