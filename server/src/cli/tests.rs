//! The command line is stable: scripts rely on it.

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn documented_forms_are_accepted() {
    for line in [
        "carat",
        "carat lsp",
        "carat lsp --stdio",
        "carat --stdio",
        "carat why a.rs:1:2 --model m.gguf --eagerness quiet --json",
        "carat complete a.rs:1:2",
        "carat complete a.rs:1:2 --model m.gguf --max-tokens 8 --json --show-prompt --root .",
        "carat explain a.rs:1",
        "carat explain a.rs:1-20 --model m.gguf --json --show-prompt",
        "carat refactor a.rs:1-20 --instruction shorter",
        "carat refactor a.rs:1 --instruction shorter --write --model m.gguf --json",
        "carat model list",
        "carat model info default",
        "carat model path m.gguf",
        "carat model info 26b --json",
        "carat model list --json",
        "carat model pull 26b",
        "carat model pull 26b --force --revision main --json",
        "carat model verify 26b",
        "carat model verify m.gguf --json",
        "carat model remove 26b",
        "carat completions bash",
        "carat man",
        "carat man model pull",
        "carat bench",
        "carat bench --model M --prompt-tokens 512 --generate-tokens 64 --threads 2 --depth 1024 --json",
        "carat eval tests/quality/cases",
        "carat eval tests/quality/cases --model M --json",
        "carat eval tests/quality/cases --csv --answers answers.jsonl",
        "carat doctor",
        "carat doctor --model 26b --json",
        "carat debug logits --model M --tokens 1,2,3 --json",
        "carat debug logits --model M --tokens 1,2,3 --chunks 1,2 --kv f32 --json",
        "carat debug greedy --model M --tokens 1,2,3 --n 32 --kv q8_0 --json",
        "carat debug tokenize --model M --text-file F --parse-special --json",
        "carat debug loss --model M --text-file F G --window 256 --kv f32 --json",
        "carat debug tune --model M",
    ] {
        assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
    }
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "carat fly",
        "carat complete",
        "carat complete a.rs",
        "carat complete a.rs:1:2 --max-tokens 0",
        "carat explain a.rs",
        "carat explain a.rs:2-1",
        "carat refactor a.rs:1",
        "carat bench --repeat 1",
        "carat debug logits --tokens 1,x",
        "carat debug logits --tokens 1 --kv f64",
        "carat debug logits",
        "carat eval",
        "carat eval a --json --csv",
        "carat model pull",
        "carat completions",
        "carat completions cmd",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}
