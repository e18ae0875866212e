//! `carat model pull` as a user has it: killed, run twice, behind a proxy; and what the name means afterwards.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use carat_tests::{HttpReply, HttpServer, Random};
use serde_json::{Value, json};

use crate::program;

/// A model file that works.
const MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/fixtures/parity/moe-thin.q8_0.gguf"
);

fn model() -> Vec<u8> {
    std::fs::read(MODEL).unwrap_or_else(|error| panic!("{MODEL}: {error}"))
}

/// A user with a catalogue of one model, `tiny`, which `server` has.
struct User {
    folder: tempfile::TempDir,
    endpoint: String,
}

impl User {
    fn of(server: &HttpServer, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let catalogue = format!(
            "[[model]]\nname = \"tiny\"\naliases = [\"t\"]\ntitle = \"A tiny model\"\nrepository = \"example/tiny\"\nfile = \"tiny.gguf\"\nmemory_bytes = 1\ntoken_bytes = 1\nlicense = \"MIT\"\n{more}"
        );
        std::fs::write(folder.path().join("catalogue.toml"), catalogue).expect("written");
        Self {
            folder,
            endpoint: server.url(),
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(line.split(' '))
            .current_dir(self.folder.path())
            .env("CARAT_CATALOGUE", self.folder.path().join("catalogue.toml"))
            .env("CARAT_MODELS", self.folder.path().join("models"))
            .env("HF_ENDPOINT", &self.endpoint)
            .env("CARAT_HTTP_TIMEOUT", "5")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
            command.env_remove(proxy).env_remove(proxy.to_lowercase());
        }
        command.env_remove("HF_TOKEN");
        command
    }

    fn start(&self, line: &str) -> Child {
        self.command(line).spawn().expect("the program starts")
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("the program starts")
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }

    #[track_caller]
    fn fails(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}: {}", said(&output));
        assert!(
            output.stdout.is_empty(),
            "{line}: nothing on standard output"
        );
        said(&output)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("models/tiny.gguf")
    }

    /// Bytes of a download that has not come to its end.
    fn written(&self) -> u64 {
        let part = self.folder.path().join("models/tiny.gguf.part");
        std::fs::metadata(part).map_or(0, |part| part.len())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// States the digest as Hugging Face does.
fn stating(reply: HttpReply, sha256: &str) -> HttpReply {
    reply.header("x-linked-etag", format!("\"{sha256}\""))
}

/// What `carat model verify` says of a file that it knows nothing of: its digest.
fn digest_of(user: &User, path: &Path) -> String {
    let said = user.fails(&format!("model verify {}", path.display()));
    let digest = said.trim().rsplit(' ').next().expect("a digest");
    assert_eq!(digest.len(), 64, "{said}");
    digest.to_owned()
}

/// A good server of the model, and its digest.
fn good_server() -> (HttpServer, String) {
    let nobody = HttpServer::start(|_, _| HttpReply::status(404));
    let sha256 = digest_of(&User::of(&nobody, ""), Path::new(MODEL));
    let (file, stated) = (model(), sha256.clone());
    let server = HttpServer::start(move |request, _| {
        stating(HttpReply::file(&file, "\"1\"", request), &stated)
    });
    (server, sha256)
}

#[test]
fn a_pulled_model_is_used_by_its_names_and_removed() {
    let (server, sha256) = good_server();
    let user = User::of(&server, "");
    let said = user.fails("complete x.rs:1:1 --model t");
    assert!(said.contains("x.rs"), "the caret first: {said}");
    std::fs::write(user.folder.path().join("x.rs"), "fn main() {}\n").expect("written");
    let said = user.fails("complete x.rs:1:1 --model t");
    assert!(said.contains("carat model pull tiny"), "{said}");
    assert_eq!(user.json("model info t --json")["state"], "absent");

    let pulled = user.json("model pull t --json");
    assert_eq!(pulled["sha256"], json!(sha256));
    assert_eq!(std::fs::read(user.file()).ok(), Some(model()));
    assert_eq!(user.json("model pull tiny --json")["was_here"], true);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(
        server.requests()[0].path,
        "/example/tiny/resolve/main/tiny.gguf"
    );

    let answer = user.json("complete x.rs:1:13 --model t --json");
    assert_eq!(answer["model"], "tiny");
    assert_eq!(user.json("model verify t --json")["sha256"], json!(sha256));
    let list = user.json("model list --json");
    let models = list["models"].as_array().expect("models");
    assert!(models.iter().any(|model| model["name"] == "default"));
    let tiny = models.iter().find(|model| model["name"] == "tiny");
    assert_eq!(tiny.expect("tiny")["state"], "pulled");

    let mut damaged = model();
    damaged[1000] ^= 1;
    std::fs::write(user.file(), damaged).expect("written");
    assert!(user.fails("model verify tiny").contains("is damaged"));
    assert!(user.run("model remove t").status.success());
    assert!(!user.file().exists());
    assert!(user.fails("model remove t").contains("not on this machine"));
}

#[test]
fn killed_at_any_byte_the_file_is_right_or_absent() {
    const KILLS: usize = 20;
    const PATIENCE: Duration = Duration::from_secs(2);
    let (good, sha256) = good_server();
    drop(good);
    let file = model();
    let mut random = Random::new(7);
    // Where the connections stall, in bytes of their bodies; beyond the end means never.
    let step = file.len() / KILLS;
    let stalls: Vec<usize> = (0..KILLS).map(|_| random.below(2 * step)).collect();
    let (content, stated, plan) = (file.clone(), sha256, stalls.clone());
    let server = HttpServer::start(move |request, number| HttpReply {
        stall_after: plan.get(number).copied(),
        ..stating(HttpReply::file(&content, "\"1\"", request), &stated)
    });
    let user = User::of(&server, "");
    let mut resumed = 0;
    for kill in 0..KILLS {
        if user.file().exists() {
            assert_eq!(
                std::fs::read(user.file()).ok(),
                Some(model()),
                "it is right"
            );
            assert!(user.run("model remove tiny").status.success());
        }
        let mut child = user.start("model pull tiny");
        // What was sent may be on its way, in the file, or followed by the end of the program.
        server.wait_for_stalls(kill + 1);
        let soon = Instant::now() + Duration::from_millis(random.below(8) as u64);
        // However busy the machine is, most attempts have written something.
        let until = if kill % 4 == 0 { soon } else { soon + PATIENCE };
        while Instant::now() < until && (Instant::now() < soon || user.written() == 0) {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        assert_eq!(server.requests().len(), kill + 1);
        resumed += usize::from(server.requests()[kill].range_start().is_some());
        let found = std::fs::read(user.file()).ok();
        assert!(
            found.is_none_or(|found| found == file),
            "kill {kill} left half a file"
        );
    }
    assert!(resumed > KILLS / 2, "only {resumed} attempts went on");
    assert!(user.run("model pull tiny").status.success());
    assert_eq!(std::fs::read(user.file()).ok(), Some(file));
}

#[test]
fn two_at_once_bring_one_file() {
    let (good, sha256) = good_server();
    drop(good);
    let file = model();
    let content = file.clone();
    let server = HttpServer::start(move |request, _| HttpReply {
        pause: Duration::from_millis(3),
        ..stating(HttpReply::file(&content, "\"1\"", request), &sha256)
    });
    let user = User::of(&server, "");
    let both = [user.start("model pull tiny"), user.start("model pull tiny")];
    for child in both {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(std::fs::read(user.file()).ok(), Some(file));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_does_not_fit_is_said_before_anything_is_sent() {
    let server = HttpServer::start(|_, _| HttpReply::status(500));
    let user = User::of(
        &server,
        "[[model]]\nname = \"huge\"\ntitle = \"x\"\nurl = \"http://127.0.0.1:1/x\"\nmemory_bytes = 1_000_000_000_000_000\ntoken_bytes = 1\nlicense = \"MIT\"\n",
    );
    if cfg!(target_os = "linux") {
        let said = user.fails("model pull huge");
        assert!(
            said.contains("carat model pull") && said.contains("--force"),
            "{said}"
        );
    }
    assert_eq!(server.requests().len(), 0);
    let said = user.fails("model pull default");
    assert!(said.contains("part of the carat program"), "{said}");
    let said = user.fails("model pull nothing");
    assert!(
        said.contains("tiny") && said.contains("gemma-4-26b-a4b"),
        "{said}"
    );
}

#[test]
fn a_proxy_of_the_environment_is_used_and_the_token_is_not_shown() {
    let (server, _) = good_server();
    let mut user = User::of(&server, "");
    let proxy = server.url();
    // Nobody has this name: only the proxy can lead there.
    user.endpoint = "http://models.invalid".to_owned();
    let mut command = user.command("model pull tiny");
    command
        .env("HTTPS_PROXY", proxy)
        .env("HF_TOKEN", "hf_secret")
        .env("CARAT_LOG", "trace");
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("hf_secret"), "{}", said(&output));
    let requests = server.requests();
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("CONNECT", "models.invalid:80")
    );
    // The address is not protected, so the token stayed here.
    assert_eq!(requests[1].header("authorization"), None);
}

#[test]
fn a_catalogue_with_a_mistake_is_named() {
    let server = HttpServer::start(|_, _| HttpReply::status(500));
    let user = User::of(&server, "colour = 1\n");
    for line in ["model list", "model pull tiny", "model info tiny"] {
        let said = user.fails(line);
        assert!(
            said.contains("catalogue.toml") && said.contains("colour"),
            "{said}"
        );
    }
}
