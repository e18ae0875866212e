//! Zig's C compiler as build scripts call one: `cargo xtask zig-cc TARGET ARGUMENTS`.

use std::process::ExitCode;

use crate::package::python;

/// Runs `zig cc` or `zig ar` with the arguments of another compiler.
pub(crate) fn compile(tool: &str, target: &str, arguments: &[&str]) -> ExitCode {
    let mut zig = python();
    zig.args(["-m", "ziglang", tool]);
    if tool == "cc" {
        zig.args(["-target", target]);
    }
    zig.args(understood(arguments));
    match zig.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: cannot start python3: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Without what names the target in another way.
fn understood<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(&argument) = rest.next() {
        match argument {
            "-target" | "-arch" | "-isysroot" => {
                rest.next();
            }
            _ if argument.starts_with("--target=")
                || argument.starts_with("-mmacosx-version-min=") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_named_once() {
        let arguments = [
            "-O3",
            "--target=arm64-apple-macosx",
            "-arch",
            "arm64",
            "-c",
            "a.c",
        ];
        assert_eq!(understood(&arguments), ["-O3", "-c", "a.c"]);
    }
}
