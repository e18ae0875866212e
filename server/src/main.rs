//! The `carat` binary.
fn main() -> std::process::ExitCode {
    carat::cli::main()
}
