//! Subcommands with the embedded model: what scripts read from standard output.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::program;

/// Runs `carat` at the repository's root and reads the one JSON object that it prints.
#[track_caller]
fn json_of(arguments: &[&str]) -> Value {
    let output = Command::new(program())
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("the program starts");
    let (out, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{arguments:?}: {log}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
}

fn keys(object: &Value) -> BTreeSet<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

/// The README's first command: what it prints, at its caret, makes a file that compiles.
#[test]
fn what_the_readme_shows_first_compiles() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("a README");
    let command = readme
        .lines()
        .find_map(|line| line.strip_prefix("carat "))
        .expect("a command");
    let arguments: Vec<&str> = command.split(' ').chain(["--json"]).collect();
    let answer = json_of(&arguments);
    let caret = arguments[1];
    let mut parts = caret.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (column, line): (usize, usize) = number().zip(number()).expect("a caret");
    let file = root.join(parts.next().expect("a file"));
    let source = std::fs::read_to_string(&file).expect("a file");
    let line_start: usize = source
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let (before, after) = source.split_at(line_start + column - 1);
    let text = answer["text"].as_str().expect("text");
    assert!(!text.trim().is_empty(), "{answer}");

    let folder = tempfile::tempdir().expect("a folder");
    let compiles = |name: &str, source: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, source).expect("written");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc)
            .args([
                "--edition",
                "2024",
                "--crate-type",
                "lib",
                "--emit",
                "metadata",
                "-o",
            ])
            .arg(folder.path().join("out.rmeta"))
            .arg(&path)
            .output()
            .expect("a compiler");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert!(
        !compiles("before.rs", source.clone()).0,
        "there is something to complete"
    );
    let (is_right, said) = compiles("after.rs", format!("{before}{text}{after}"));
    assert!(is_right, "{text}: {said}");
}

#[test]
fn complete_gives_text_and_what_it_cost() {
    let caret = "tests/fixtures/carets/severity.rs:18:34";
    let answer = json_of(&["complete", caret, "--json"]);
    let expected = [
        "generated_tokens",
        "model",
        "ms",
        "probability",
        "prompt_tokens",
        "range",
        "reused_tokens",
        "silence",
        "stop",
        "text",
        "tier",
    ];
    assert_eq!(keys(&answer), BTreeSet::from(expected));
    assert_eq!(
        keys(&answer["ms"]),
        BTreeSet::from(["context", "decode", "prefill", "total"])
    );
    let start = json!({ "line": 18, "column": 34 });
    assert_eq!(answer["range"]["start"], start);
    assert_eq!(
        (&answer["model"], &answer["tier"]),
        (&json!("default"), &json!("small"))
    );
    let text = answer["text"].as_str().expect("text");
    assert!(!text.trim().is_empty() && !text.contains('\n'), "{text:?}");
}

#[test]
fn bench_measures_every_depth() {
    let line = "bench --prompt-tokens 16 --generate-tokens 4 --depth 0 --json";
    let report = json_of(&line.split(' ').collect::<Vec<_>>());
    for key in [
        "cpu_level",
        "kv",
        "load_ms",
        "peak_rss_bytes",
        "threads",
        "weight_bytes_per_token",
    ] {
        assert!(!report[key].is_null(), "{key}: {report}");
    }
    let run = &report["runs"][0];
    for key in [
        "prefill_tokens_per_s",
        "decode_tokens_per_s",
        "decode_bytes_per_s",
    ] {
        assert!(
            run[key].as_f64().is_some_and(|value| value > 0.0),
            "{key}: {run}"
        );
    }
}

#[test]
fn eval_reports_by_language_and_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = |kind: &str| {
        json!({
            "path": "src/a.py", "language": "python", "kind": kind, "project": "a",
            "prefix": "import os\n\n\ndef size(path):\n    return os.path.",
            "middle": "getsize(path)", "suffix": "\n",
        })
        .to_string()
    };
    let write = |name: &str, text: String| {
        std::fs::write(Path::new(folder.path()).join(name), text).expect("written");
    };
    write(
        "cases.jsonl",
        case("line") + "\n" + &case("line-rest") + "\n",
    );
    write("one.json", case("line"));
    let folder = folder.path().to_string_lossy();
    let report = json_of(&["eval", &folder, "--json"]);
    assert_eq!(report["cases"], 3);
    let groups: Vec<_> = report["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|group| (group["kind"].as_str(), group["cases"].as_u64()))
        .collect();
    assert_eq!(
        groups,
        [(Some("line"), Some(2)), (Some("line-rest"), Some(1))]
    );
    assert!(
        report["groups"][0]["p50_ms"]
            .as_f64()
            .is_some_and(|ms| ms > 0.0)
    );
    let asked = &json_of(&["eval", &folder, "--asked", "--json"])["asked"];
    assert!(
        asked["others"].as_f64().is_some_and(|others| others > 0.0),
        "{asked}"
    );
}

#[test]
fn replay_gives_the_same_figures_twice() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/carets/severity.rs"
    );
    let replay = || {
        let mut report = json_of(&["replay", file, "--keys", "60", "--json"]);
        // What depends on the machine stands apart.
        report["seconds"] = Value::Null;
        for row in report["languages"].as_array_mut().expect("languages") {
            assert!(row["times"]["p50_ms"].is_number(), "{row}");
            row["times"] = Value::Null;
        }
        report
    };
    let report = replay();
    let rust = &report["languages"][0];
    assert_eq!(rust["language"], "rust");
    assert!(
        rust["keys"]
            .as_u64()
            .is_some_and(|keys| (40..200).contains(&keys)),
        "{rust}"
    );
    assert!(
        rust["asked"].as_f64().is_some_and(|asked| asked > 0.0),
        "{rust}"
    );
    assert_eq!(report, replay());
}

#[test]
fn completions_and_manual_follow_the_definition() {
    let printed = |line: &str| {
        let output = Command::new(program())
            .args(line.split(' '))
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).expect("text")
    };
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&format!("completions {shell}"));
        assert!(script.contains("verify"), "{shell}");
    }
    assert!(printed("man").contains(".TH carat 1"));
    let page = printed("man model pull");
    assert!(page.contains("carat\\-model\\-pull") && page.contains("HF_ENDPOINT"));
}
