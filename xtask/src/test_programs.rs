//! The test command, and the programs that cargo makes of it.

use std::path::{Path, PathBuf};

/// The test command of the README, word for word.
pub(crate) const TEST_COMMAND: [&str; 5] = [
    "cargo",
    "test",
    "--workspace",
    "--features",
    "carat/testing",
];

/// The test executables of the package with this manifest, from cargo's JSON messages.
pub(crate) fn test_binaries(messages: &str, manifest: &Path) -> Vec<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| {
            message["manifest_path"]
                .as_str()
                .is_some_and(|path| Path::new(path) == manifest)
                && message["profile"]["test"].as_bool() == Some(true)
        })
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect()
}

/// Whether this is the test `name` of the folder `tests`.
pub(crate) fn is_test(binary: &Path, name: &str) -> bool {
    let stem = binary.file_stem().unwrap_or_default().to_string_lossy();
    stem.rsplit_once('-').is_some_and(|(stem, _)| stem == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_tests_by_their_files() {
        let binary = Path::new("/r/target/debug/deps/real_weights-0a1b");
        assert!(is_test(binary, "real_weights") && !is_test(binary, "weights"));
    }

    #[test]
    fn finds_the_test_binaries_of_one_package() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/r/engine/Cargo.toml","profile":{"test":true},"executable":"/r/target/debug/deps/engine-1"}
{"reason":"compiler-artifact","manifest_path":"/r/engine/Cargo.toml","profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/r/server/Cargo.toml","profile":{"test":true},"executable":"/r/target/debug/deps/carat-1"}
{"reason":"build-finished","success":true}"#;
        let found = test_binaries(messages, Path::new("/r/engine/Cargo.toml"));
        assert_eq!(found, [PathBuf::from("/r/target/debug/deps/engine-1")]);
    }
}
