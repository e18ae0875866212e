//! How long the benchmarks measure: all of them together take less than three minutes.

use std::time::Duration;

use criterion::Criterion;

/// Few and short samples; criterion's options on the command line override them.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .nresamples(2_000)
        .without_plots()
}
