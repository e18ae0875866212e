//! The two programs: how they are started, and what they print.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Options, Round, Sample, Test};

/// Runs of a test in one process of llama-bench; `carat bench` takes the median of three.
const PEER_REPEATS: &str = "2";
/// Where the system's loader looks first; on Windows it is the folder of the program.
const LIBRARY_PATH: &str = if cfg!(target_os = "macos") {
    "DYLD_LIBRARY_PATH"
} else {
    "LD_LIBRARY_PATH"
};
/// A prompt that is read only because something has to stand before what is written.
const SHORT_PROMPT: u32 = 8;
/// Lines of a program's errors that are worth showing.
const LAST_LINES: usize = 5;

/// llama.cpp's benchmark.
pub(super) struct Peer {
    program: PathBuf,
    library_path: OsString,
}

impl Peer {
    /// The program that the options name.
    pub(super) fn find(options: &Options) -> Result<Self> {
        let program = existing(&options.peer, "llama-bench", "--peer takes its path")?;
        let folder = program.parent().map(Path::to_path_buf);
        let before = env::var_os(LIBRARY_PATH).unwrap_or_default();
        let folders = folder.into_iter().chain(env::split_paths(&before));
        let library_path =
            env::join_paths(folders).context("the folder of llama-bench has a `:` in its name")?;
        Ok(Self {
            program,
            library_path,
        })
    }

    /// All tests, in one process.
    pub(super) fn measure(&self, options: &Options) -> Result<Round> {
        let prompts: Vec<String> = options.prompts.iter().map(u32::to_string).collect();
        let mut command = Command::new(&self.program);
        command.env(LIBRARY_PATH, &self.library_path);
        command.arg("-m").arg(&options.model);
        command.args(["-t", &options.threads.to_string(), "-fa", "1"]);
        command.args([
            "-p",
            &prompts.join(","),
            "-n",
            &options.generate.to_string(),
        ]);
        command.args(["-d", &options.depth.to_string()]);
        command.args(["-ctk", &options.kv, "-ctv", &options.kv]);
        command.args(["-r", PEER_REPEATS, "-o", "json"]);
        read_peer(&output(&mut command)?).context("cannot read what llama-bench printed")
    }
}

/// Our binary.
pub(super) struct Carat {
    program: PathBuf,
}

impl Carat {
    /// The program that the options name, else the release build.
    pub(super) fn find(root: &Path, options: &Options) -> Result<Self> {
        existing(&options.model, "the model", "--model takes a GGUF file")?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let built = target.join(format!("release/carat{}", env::consts::EXE_SUFFIX));
        let path = options.carat.as_ref().unwrap_or(&built);
        let program = existing(path, "carat", "cargo build --release -p carat makes it")?;
        Ok(Self { program })
    }

    /// All tests, a process for each.
    pub(super) fn measure(&self, options: &Options) -> Result<Round> {
        let mut round: Option<Round> = None;
        for test in options.tests() {
            let (prompt, generate) = match test {
                Test::Prompt(tokens) => (tokens, 2),
                Test::Generate(tokens) => (SHORT_PROMPT, tokens),
            };
            let mut command = Command::new(&self.program);
            command.arg("bench").arg("--model").arg(&options.model);
            command.args(["--prompt-tokens", &prompt.to_string()]);
            command.args(["--generate-tokens", &generate.to_string()]);
            command.args(["--threads", &options.threads.to_string()]);
            command.args(["--depth", &options.depth.to_string()]);
            command.args(["--kv", &options.kv, "--json"]);
            let text = output(&mut command)?;
            let one = read_carat(&text, test, options.depth)
                .context("cannot read what carat bench printed")?;
            match &mut round {
                Some(round) => round.samples.extend(one.samples),
                None => round = Some(one),
            }
        }
        round.context("there is nothing to measure")
    }
}

/// The absolute path of a file.
fn existing(path: &Path, what: &str, remedy: &str) -> Result<PathBuf> {
    let found = path.canonicalize().ok().filter(|path| path.is_file());
    found.with_context(|| format!("{what} is no file at {}; {remedy}", path.display()))
}

/// What a program prints on its standard output.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = errors.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        bail!("{program}: {}\n{}", output.status, last.join("\n"));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed no text"))
}

/// Reads the array that `llama-bench -o json` prints: an object for every test.
fn read_peer(text: &str) -> Result<Round> {
    let results: Vec<Value> = serde_json::from_str(text).context("expected an array of results")?;
    let first = results.first().context("expected at least one result")?;
    let say = |key: &str| first[key].as_str().unwrap_or("unknown").to_owned();
    let engine = format!("{}, on {}", say("build_commit"), say("cpu_info"));
    let samples = results.iter().map(|result| {
        let test = match (tokens(result, "n_prompt")?, tokens(result, "n_gen")?) {
            (prompt, 0) => Test::Prompt(prompt),
            (0, generate) => Test::Generate(generate),
            _ => bail!("expected n_prompt or n_gen to be 0"),
        };
        sample(test, &result["avg_ts"]).context("avg_ts")
    });
    Ok(Round {
        samples: samples.collect::<Result<_>>()?,
        engine,
    })
}

/// Reads the object that `carat bench --json` prints, of which the run behind `depth` tokens counts.
fn read_carat(text: &str, test: Test, depth: u32) -> Result<Round> {
    let result: Value = serde_json::from_str(text).context("expected one object")?;
    let runs = result["runs"].as_array().into_iter().flatten();
    let run = runs
        .into_iter()
        .find(|run| run["depth"].as_u64() == Some(u64::from(depth)))
        .with_context(|| format!("expected a run with depth {depth}"))?;
    let key = match test {
        Test::Prompt(_) => "prefill_tokens_per_s",
        Test::Generate(_) => "decode_tokens_per_s",
    };
    let engine = result["cpu_level"].as_str().context("cpu_level")?;
    Ok(Round {
        samples: vec![sample(test, &run[key]).context(key)?],
        engine: format!("{engine} kernels"),
    })
}

fn tokens(result: &Value, key: &'static str) -> Result<u32> {
    let number = result[key].as_u64().and_then(|n| u32::try_from(n).ok());
    number.with_context(|| format!("expected {key}, a number of tokens"))
}

fn sample(test: Test, value: &Value) -> Result<Sample> {
    let tokens_per_s = value.as_f64().context("expected a number")?;
    ensure!(tokens_per_s > 0.0, "expected a speed, found {tokens_per_s}");
    Ok(Sample { test, tokens_per_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_results_of_llama_bench() {
        let text = r#"[
  { "build_commit": "0c1e570", "cpu_info": "Xeon", "n_prompt": 128, "n_gen": 0, "n_depth": 0, "avg_ts": 107.5 },
  { "build_commit": "0c1e570", "cpu_info": "Xeon", "n_prompt": 0, "n_gen": 64, "n_depth": 0, "avg_ts": 6 }
]"#;
        let round = read_peer(text).expect("results");
        assert_eq!(round.engine, "0c1e570, on Xeon");
        let found: Vec<_> = round
            .samples
            .iter()
            .map(|sample| (sample.test, sample.tokens_per_s))
            .collect();
        let expected = [(Test::Prompt(128), 107.5), (Test::Generate(64), 6.0)];
        assert_eq!(found, expected);
    }

    #[test]
    fn reads_the_run_behind_the_depth() {
        let text = r#"{ "cpu_level": "avx2", "runs": [
  { "depth": 0, "prefill_tokens_per_s": 50.0, "decode_tokens_per_s": 9.0 },
  { "depth": 2048, "prefill_tokens_per_s": 40.0, "decode_tokens_per_s": 8.0 }
]}"#;
        let speed = |test, depth| {
            let round = read_carat(text, test, depth)?;
            assert_eq!(round.engine, "avx2 kernels");
            anyhow::Ok(round.samples[0].tokens_per_s.to_string())
        };
        assert_eq!(speed(Test::Prompt(512), 0).expect("a run"), "50");
        assert_eq!(speed(Test::Generate(64), 2048).expect("a run"), "8");
        assert!(speed(Test::Generate(64), 7).is_err());
    }

    #[test]
    fn other_output_is_an_error() {
        for text in [
            "",
            "[]",
            "{}",
            r#"[{ "n_prompt": 8, "n_gen": 0 }]"#,
            r#"[{ "n_prompt": 8, "n_gen": 8, "avg_ts": 1 }]"#,
            r#"[{ "n_prompt": -1, "n_gen": 0, "avg_ts": 1 }]"#,
            r#"[{ "n_prompt": 8, "n_gen": 0, "avg_ts": 0 }]"#,
        ] {
            assert!(read_peer(text).is_err(), "{text}");
            assert!(read_carat(text, Test::Prompt(8), 0).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = existing(Path::new("no/such/llama-bench"), "llama-bench", "build it");
        let error = error.expect_err("no file").to_string();
        assert_eq!(
            error,
            "llama-bench is no file at no/such/llama-bench; build it"
        );
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let mut cargo = Command::new(env!("CARGO"));
        let error = output(cargo.arg("no-such-command")).expect_err("it fails");
        assert!(error.to_string().contains("no-such-command"), "{error}");
    }
}
