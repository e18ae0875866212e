//! Model files that cannot be used: one clear message, a server that stays up, exit code 1 on the command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carat_tests::{Client, Launch, Server};
use serde_json::{Value, json};

use crate::{URI, program};

/// A model file that works.
const GOOD: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/fixtures/parity/moe-thin.q8_0.gguf"
);

fn good() -> Vec<u8> {
    std::fs::read(GOOD).unwrap_or_else(|error| panic!("{GOOD}: {error}"))
}

/// Starts the server with a model and checks that it says once what is wrong, and lives.
#[track_caller]
fn assert_refused_by_server(model: &Path) {
    let mut server = Launch::new(program())
        .argument("lsp")
        .argument("--model")
        .argument(&model.to_string_lossy())
        .start();
    server.initialize(&Client::inline());
    let message = server.notification("window/showMessage");
    assert_eq!(message["params"]["type"], 1);
    let text = message["params"]["message"]
        .as_str()
        .expect("text")
        .to_owned();
    let name = model.file_name().expect("a file").to_string_lossy();
    assert!(text.contains(&*name), "it names the file: {text}");
    assert!(
        text.lines().count() == 1 && text.len() < 1000,
        "one line: {text}"
    );
    for version in 1..3 {
        server.open(URI, "rust", "let a = ");
        server.change(URI, version, Some((0, 0)..(0, 0)), " ");
        let id = server.inline_completion(URI, (0, 9));
        assert_eq!(server.response(id).result(), &json!([]));
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Runs `carat complete` with a model and checks that it fails as documented.
#[track_caller]
fn assert_refused_by_command_line(model: &Path) -> String {
    let output = Command::new(program())
        .args([
            "complete",
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/main.rs:1:1"),
            "--model",
        ])
        .arg(model)
        .stdin(Stdio::null())
        .output()
        .expect("a program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "nothing on standard output");
    let name = model.file_name().expect("a file").to_string_lossy();
    assert!(said.contains(&*name), "it names the file: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said.into_owned()
}

#[track_caller]
fn assert_refused(model: &Path) {
    assert_refused_by_command_line(model);
    assert_refused_by_server(model);
}

/// A directory for one test's files, removed at its end.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a place for temporary files")
}

fn write(directory: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).expect("a writable directory");
    path
}

#[test]
fn a_missing_file() {
    assert_refused(Path::new("/nonexistent/missing.gguf"));
}

#[test]
fn files_that_are_no_models() {
    let directory = directory();
    let header = |counts: [u64; 2]| {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        for count in counts {
            bytes.extend(count.to_le_bytes());
        }
        bytes
    };
    let hostile = header([u64::MAX, u64::MAX]);
    let many = [header([1, 1 << 40]), vec![0xFF; 64]].concat();
    for (name, bytes) in [
        ("empty.gguf", Vec::new()),
        ("text.gguf", b"this is not a model".to_vec()),
        ("version.gguf", b"GGUF\x63\0\0\0aaaaaaaaaaaaaaaa".to_vec()),
        ("hostile.gguf", hostile),
        ("many.gguf", many),
        ("nothing.gguf", header([0, 0])),
    ] {
        assert_refused(&write(&directory, name, &bytes));
    }
    assert_refused(directory.path());
}

#[test]
fn a_file_truncated_at_every_fiftieth() {
    let good = good();
    let directory = directory();
    for part in 0..50 {
        let path = write(
            &directory,
            &format!("part-{part}.gguf"),
            &good[..good.len() * part / 50],
        );
        assert_refused(&path);
    }
}

/// Where a tensor's description stands: its count of dimensions, the dimensions, the type.
fn description(file: &[u8], tensor: &str) -> usize {
    let name = [&(tensor.len() as u64).to_le_bytes()[..], tensor.as_bytes()].concat();
    let at = file.windows(name.len()).position(|window| window == name);
    at.unwrap_or_else(|| panic!("no tensor {tensor}")) + name.len()
}

#[test]
fn tensors_of_another_shape_or_type() {
    const TENSOR: &str = "blk.0.attn_q.weight";
    let directory = directory();
    let at = description(&good(), TENSOR);
    for (name, offset, value) in [
        ("type.gguf", 4 + 2 * 8, 200u8),
        ("rows.gguf", 4 + 8, 1),
        ("columns.gguf", 4, 32),
        ("huge.gguf", 4 + 8 + 6, 0x40),
        ("dimensions.gguf", 0, 3),
    ] {
        let mut bytes = good();
        bytes[at + offset] = value;
        let path = write(&directory, name, &bytes);
        assert_refused(&path);
        let output = Command::new(program())
            .args(["model", "info"])
            .arg(&path)
            .output()
            .expect("a program");
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("panicked"),
            "{name}"
        );
    }
    let mut bytes = good();
    bytes[at + 4 + 2 * 8] = 200;
    let said = assert_refused_by_command_line(&write(&directory, "named.gguf", &bytes));
    assert!(
        said.contains(TENSOR) && said.contains("200"),
        "it names tensor and type: {said}"
    );
}

#[test]
fn doctor_tells_the_last_error() {
    let state = directory();
    let folder = state.path().to_string_lossy().into_owned();
    let mut server = Launch::new(program())
        .argument("lsp")
        .argument("--model")
        .argument("/nonexistent/lost.gguf")
        .environment("XDG_STATE_HOME", &folder)
        .start();
    server.initialize(&Client::inline());
    server.notification("window/showMessage");
    drop(server);
    let output = Command::new(program())
        .args(["doctor", "--json"])
        .env("XDG_STATE_HOME", &folder)
        .env("CARAT_MODELS", state.path())
        .output()
        .expect("a program");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let last = report["last_error"]["message"].as_str().expect("an error");
    assert!(last.contains("lost.gguf"), "{last}");
    assert_eq!(report["model"]["name"], "default");
    let writes = report["speed"]["decode_tokens_per_s"].as_f64();
    assert!(writes.expect("the embedded model is quick") > 0.0);
    let models = report["models"].as_array().expect("models");
    assert!(models.iter().all(|model| model["answers"].is_string()));
    let speed = |name: &str| {
        let model = models.iter().find(|model| model["name"] == name);
        model.expect(name)["tokens_per_s_max"].as_f64().expect(name)
    };
    assert!(
        speed("gemma-4-26b-a4b") > speed("gemma-4-31b"),
        "fewer bytes a token"
    );
}

#[test]
#[cfg(unix)]
fn a_file_that_is_cut_off_while_it_is_used() {
    let directory = directory();
    let model = write(&directory, "model.gguf", &good());
    let mut server = Launch::new(program())
        .argument("lsp")
        .argument("--model")
        .argument(&model.to_string_lossy())
        .start();
    let mut client = Client::inline();
    client.params["capabilities"]["experimental"] = json!({ "carat": { "status": true } });
    server.initialize(&client);
    server.open(URI, "rust", "let a = ");
    let wait_for = |server: &mut Server, state: &str| {
        while server.notification("carat/status")["params"]["state"] != state {}
    };
    wait_for(&mut server, "ready");
    let id = server.inline_completion(URI, (0, 8));
    assert!(server.response(id).is_ok());

    let file = std::fs::OpenOptions::new().write(true).open(&model);
    let file = file.expect("the model is there");
    file.set_len(200_000).expect("it can be cut off");
    server.change(URI, 2, Some((0, 0)..(0, 0)), " ");
    let id = server.inline_completion(URI, (0, 9));
    assert_eq!(server.response(id).result(), &json!([]));
    let message = server.notification("window/showMessage");
    let text = message["params"]["message"].as_str().expect("text");
    assert!(
        text.contains("changed on the disk") && text.contains("model.gguf"),
        "{text}"
    );
    for version in 3..6 {
        server.change(URI, version, Some((0, 0)..(0, 0)), " ");
        let id = server.inline_completion(URI, (0, 7 + version as u32));
        assert_eq!(server.response(id).result(), &json!([]));
    }
    // Once it is whole, it is used again.
    std::fs::write(&model, good()).expect("the model is writable");
    // Not by its status: there are older ones that nobody has read.
    server.until("the model is used again", |server| {
        server.log().contains("whole again").then_some(())
    });
    wait_for(&mut server, "ready");
    let id = server.inline_completion(URI, (0, 9));
    assert!(server.response(id).is_ok());
    let said_again = |message: &Value| message["method"] == "window/showMessage";
    assert!(!server.unread().iter().any(said_again));
    let log = server.log();
    assert!(
        log.contains("whole again") && !log.contains("panicked"),
        "{log}"
    );
}
