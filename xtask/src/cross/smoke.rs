//! What a binary of another platform has to do before it is called working.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use carat_tests::{Client, Launch};
use serde_json::{Value, json};

use super::targets::Runner;
use super::wine;

/// How long a command may take: emulators start slowly.
const DEADLINE: Duration = Duration::from_mins(2);

/// Completes code with the embedded model, on the command line and as a language server, and lists the
/// models; says so.
pub(super) fn test(root: &Path, runner: Runner, binary: &Path) -> Result<String> {
    let folder = root.join("target/cross");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let program = Program::new(&folder, runner, binary)?;
    let version = program.run(&["--version"])?;
    ensure!(
        version.starts_with("carat "),
        "`carat --version` says {version}"
    );
    let models = program.json(&["model", "list", "--json"])?;
    ensure!(!models.is_null(), "`carat model list` lists nothing");
    let file = folder.join("smoke.rs");
    let text = "fn main() {\n    let count = 1;\n    let sum = count + \n}\n";
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    // A relative path means the same to every system.
    let answer = program.json(&["complete", "target/cross/smoke.rs:3:23", "--json"])?;
    let shown = answer["text"].as_str().unwrap_or_default();
    ensure!(!shown.is_empty(), "`carat complete` answers {answer}");
    let level = program.json(&["doctor", "--json"])?["kernels"].clone();
    let tokens = program.serve()?;
    Ok(format!(
        "complete (`{shown}`), model list, lsp over stdio (`{tokens}`), kernels {level}"
    ))
}

/// A binary, and how it is started here.
struct Program {
    words: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Program {
    fn new(folder: &Path, runner: Runner, binary: &Path) -> Result<Self> {
        let mut words = runner.words();
        let mut environment = Vec::new();
        if runner == Runner::Wine {
            let folder = folder.join("wine");
            words.push(wine::prepare(&folder, binary)?.display().to_string());
            // Not the user's own Wine, and nothing on standard error but what the program says.
            environment.push(("WINEPREFIX", folder.join("prefix").display().to_string()));
            environment.push(("WINEDEBUG", "-all".to_owned()));
        } else {
            words.push(binary.display().to_string());
        }
        Ok(Self { words, environment })
    }

    /// Runs a command and returns what it prints.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let said = || format!("`carat {}`", arguments.join(" "));
        let words = &self.words;
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", words[0]))?;
        let begin = Instant::now();
        // What is printed is shorter than the buffer of a pipe.
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begin.elapsed() > DEADLINE {
                child.kill()?;
                bail!("{} takes longer than {} s", said(), DEADLINE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let output = child.wait_with_output()?;
        ensure!(status.success(), "{}: {status}", said());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(arguments)?;
        serde_json::from_str(&text)
            .with_context(|| format!("`carat {}` printed {text}", arguments.join(" ")))
    }

    /// Starts the server, opens a document, waits for ghost text and shuts it down.
    fn serve(&self) -> Result<String> {
        let mut launch = Launch::new(self.words[0].as_ref());
        for word in &self.words[1..] {
            launch = launch.argument(word);
        }
        for (name, value) in &self.environment {
            launch = launch.environment(name, value);
        }
        let session = move || {
            let mut server = launch.argument("lsp").start();
            server.initialize(&Client::inline());
            let uri = "file:///project/smoke.rs";
            server.open(uri, "rust", "let ready = count + ");
            server.until("ghost text of the model", |server| {
                let params = json!({
                    "textDocument": { "uri": uri },
                    "position": { "line": 0, "character": 20 },
                    "context": { "triggerKind": 1 },
                });
                let items = server.ask("textDocument/inlineCompletion", &params);
                let text = items[0]["insertText"].as_str()?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            })
        };
        // The harness panics where a test would fail.
        std::thread::spawn(session).join().map_err(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            anyhow::anyhow!("lsp: {}", said.unwrap_or_default())
        })
    }
}
