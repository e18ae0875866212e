//! Says how the benchmarks are started, to whom started them without their feature.

fn main() {
    if !cfg!(feature = "bench") {
        eprintln!(
            "the benchmarks need a feature: cargo bench -p carat-engine --features bench [--bench products] [-- FILTER]"
        );
    }
}
