//! The platforms, what each needs to be built, and what runs it here: rows of a table.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// A platform that `carat` is built for.
#[derive(Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    pub(crate) work: Work,
    /// Compiles the C code of grammars and of TLS.
    compiler: Compiler,
    /// Links, where cargo's own choice would not.
    linker: Option<&'static str>,
}

/// How far a target is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Work {
    Build,
    /// Compiled, not linked.
    Check,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compiler {
    /// A program of a Debian package.
    Installed(&'static str, &'static str),
    /// `zig cc` for this target, from the Python package index.
    Zig(&'static str),
}

/// What runs binaries of a target on this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Runner {
    Native,
    Qemu,
    Wine,
}

pub(crate) const TARGETS: &[Target] = &[
    Target {
        triple: "x86_64-unknown-linux-musl",
        work: Work::Build,
        compiler: Compiler::Installed("musl-gcc", "musl-tools"),
        linker: None,
    },
    Target {
        triple: "aarch64-unknown-linux-musl",
        work: Work::Build,
        // Debian has no compiler for this pair; Rust brings the library and a linker.
        compiler: Compiler::Zig("aarch64-linux-musl"),
        linker: Some("rust-lld"),
    },
    Target {
        triple: "x86_64-pc-windows-gnu",
        work: Work::Build,
        compiler: Compiler::Installed("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"),
        linker: None,
    },
    Target {
        triple: "aarch64-apple-darwin",
        // Zig has the headers of C, but not the frameworks that a program is linked with.
        work: Work::Check,
        compiler: Compiler::Zig("aarch64-macos"),
        linker: None,
    },
];

impl Target {
    /// What has to be installed first, a sentence each.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        missing.extend(missing_library(self.triple));
        match self.compiler {
            Compiler::Installed(program, package) => {
                missing.extend(missing_program(program, package));
            }
            Compiler::Zig(_) => {
                if !answers("python3", &["-m", "ziglang", "version"]) {
                    missing.push("python3 has no module ziglang: python3 -m pip install ziglang (in a virtual environment)".to_owned());
                }
            }
        }
        missing
    }

    /// Tells cargo and the build scripts of C code what to use.
    pub(crate) fn prepare(&self, cargo: &mut Command) -> Result<()> {
        let underscored = self.triple.replace('-', "_");
        match self.compiler {
            Compiler::Installed(program, _) => {
                cargo.env(format!("CC_{underscored}"), program);
            }
            Compiler::Zig(name) => {
                let this = std::env::current_exe().context("the path of xtask")?;
                cargo.env(
                    format!("CC_{underscored}"),
                    format!("{} zig-cc {name}", this.display()),
                );
                cargo.env(
                    format!("AR_{underscored}"),
                    format!("{} zig-ar {name}", this.display()),
                );
                // Asked for on macOS alone; Zig brings its own.
                cargo.env("SDKROOT", "/");
            }
        }
        if let Some(linker) = self.linker {
            cargo.env(
                format!("CARGO_TARGET_{}_LINKER", underscored.to_uppercase()),
                linker,
            );
        }
        Ok(())
    }

    /// Where cargo puts the binary; nothing to run comes of a check.
    pub(crate) fn binary(&self, root: &Path) -> Option<PathBuf> {
        let name = match self.work {
            Work::Check => return None,
            Work::Build if self.triple.contains("windows") => "carat.exe",
            Work::Build => "carat",
        };
        let folder = std::env::var_os("CARGO_TARGET_DIR");
        let folder = folder.map_or_else(|| root.join("target"), PathBuf::from);
        Some(folder.join(self.triple).join("release").join(name))
    }

    /// What runs its binaries here, if anything does.
    pub(crate) fn runner(&self) -> Option<Runner> {
        let (architecture, system) = self.triple.split_once('-')?;
        let is_native = architecture == std::env::consts::ARCH;
        match system {
            "unknown-linux-musl" if cfg!(target_os = "linux") && is_native => Some(Runner::Native),
            "unknown-linux-musl" if architecture == "aarch64" => Some(Runner::Qemu),
            "pc-windows-gnu" => Some(Runner::Wine),
            _ => None,
        }
    }
}

impl Runner {
    /// Its words in front of a program.
    pub(crate) fn words(self) -> Vec<String> {
        match self {
            Self::Native => vec![],
            // A processor with all that kernels are written for.
            Self::Qemu => ["qemu-aarch64", "-cpu", "max"].map(str::to_owned).to_vec(),
            Self::Wine => vec!["wine".to_owned()],
        }
    }

    /// What has to be installed for it.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Native => None,
            Self::Qemu => missing_program("qemu-aarch64", "qemu-user"),
            Self::Wine => missing_program("wine", "wine wine64"),
        }
    }
}

/// A sentence if a program is not there.
pub(super) fn missing_program(program: &str, package: &str) -> Option<String> {
    on_path(program)
        .is_none()
        .then(|| format!("{program} is not installed: apt-get install {package} (Debian)"))
}

/// A sentence if the standard library of a target is not there.
pub(super) fn missing_library(triple: &str) -> Option<String> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", triple])
        .output();
    let folder = output.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let exists = folder.is_ok_and(|folder| folder.is_dir());
    (!exists).then(|| {
        format!("Rust's library for {triple} is not installed: rustup target add {triple}")
    })
}

fn on_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn answers(program: &str, arguments: &[&str]) -> bool {
    let probe = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_install() {
        let missing = missing_program("carat-no-such-program", "carat-no-such-package").unwrap();
        assert!(
            missing.contains("apt-get install carat-no-such-package"),
            "{missing}"
        );
        assert_eq!(missing_program("cargo", "cargo"), None);
        let missing = missing_library("no-such-target").unwrap();
        assert!(
            missing.contains("rustup target add no-such-target"),
            "{missing}"
        );
    }

    #[test]
    fn every_target_is_named_once() {
        for (i, target) in TARGETS.iter().enumerate() {
            assert!(
                TARGETS[..i]
                    .iter()
                    .all(|other| other.triple != target.triple)
            );
        }
    }
}
