//! What a binary of another platform has to do before it is called working.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use carat_tests::{Client, HttpReply, HttpServer, Launch};
use serde_json::{Value, json};

use super::targets::Runner;
use super::wine;

/// How long a command may take: emulators start slowly.
const DEADLINE: Duration = Duration::from_mins(2);

/// Where code is completed: a relative path means the same to every system.
const CARET: &str = "target/cross/smoke.rs:3:23";
/// A model file, and its digest as `sha256sum` says it.
const MODEL: &str = "models/default/carat-default.gguf";
const SHA256: &str = "dcf32a12420f02234e00598d20d8d17c65fae3583229406baa18a91a5e6ade7a";

/// Completes code with the embedded model, on the command line and as a language server, lists the
/// models, pulls one from a server and completes code with it; says so.
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
    let answer = program.json(&["complete", CARET, "--json"])?;
    let shown = answer["text"].as_str().unwrap_or_default();
    ensure!(!shown.is_empty(), "`carat complete` answers {answer}");
    let level = program.json(&["doctor", "--json"])?["kernels"].clone();
    let tokens = program.serve()?;
    program.pull(root)?;
    Ok(format!(
        "complete (`{shown}`), model list, lsp over stdio (`{tokens}`), model pull over HTTP and complete with \
         that model, kernels {level}"
    ))
}

/// A binary, and how it is started here.
#[derive(Clone)]
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
            environment = wine::environment(&folder);
        } else {
            words.push(binary.display().to_string());
        }
        Ok(Self { words, environment })
    }

    /// Runs a command and returns what it prints.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let said = || format!("`carat {}`", arguments.join(" "));
        let words = &self.words;
        let mut command = Command::new(&words[0]);
        // The server is on this machine.
        for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
            command.env_remove(proxy).env_remove(proxy.to_lowercase());
        }
        let mut child = command
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

    /// Pulls a model from a server on this machine, and completes code with it.
    fn pull(&self, root: &Path) -> Result<()> {
        let file =
            std::fs::read(root.join(MODEL)).with_context(|| format!("cannot read {MODEL}"))?;
        let content = file.clone();
        let server = HttpServer::start(move |request, _| {
            // As Hugging Face states a digest.
            HttpReply::file(&content, "\"1\"", request)
                .header("x-linked-etag", format!("\"{SHA256}\""))
        });
        let folder = "target/cross/pull";
        let here = root.join(folder);
        let _ = std::fs::remove_dir_all(&here);
        std::fs::create_dir_all(&here)
            .with_context(|| format!("cannot create {}", here.display()))?;
        let catalogue = "[[model]]\nname = \"tiny\"\ntitle = \"A tiny model\"\nrepository = \"example/tiny\"\n\
                         file = \"tiny.gguf\"\nmemory_bytes = 1\ntoken_bytes = 1\nlicense = \"MIT\"\n";
        std::fs::write(here.join("catalogue.toml"), catalogue)?;
        let mut user = self.clone();
        user.environment.extend([
            ("CARAT_CATALOGUE", format!("{folder}/catalogue.toml")),
            ("CARAT_MODELS", format!("{folder}/models")),
            ("HF_ENDPOINT", server.url()),
        ]);
        let pulled = user.json(&["model", "pull", "tiny", "--json"])?;
        ensure!(
            pulled["sha256"] == SHA256,
            "`carat model pull` says {pulled}"
        );
        let found = std::fs::read(here.join("models/tiny.gguf")).context("the pulled model")?;
        ensure!(found == file, "`carat model pull` wrote another file");
        let complete = ["complete", CARET, "--model", "tiny", "--json"];
        let answer = user.json(&complete)?;
        ensure!(
            answer["model"] == "tiny",
            "`carat complete` answers {answer}"
        );
        Ok(())
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
