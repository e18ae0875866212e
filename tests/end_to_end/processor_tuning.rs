//! What is measured of the processor, as a user finds it in the cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use carat_tests::{Client, Launch, Server};

use crate::{URI, program};

/// Longer than the server waits for a pause before it measures, and than that takes.
const LONG: Duration = Duration::from_secs(4);

/// A server with the embedded model.
fn start(cache: &Path, tune: &str) -> Server {
    let mut server = Launch::new(program())
        .argument("lsp")
        .environment("XDG_CACHE_HOME", cache.to_str().expect("a path"))
        .environment("CARAT_TUNE", tune)
        .environment("CARAT_LOG", "info")
        .start();
    server.initialize(&Client::inline());
    server.open(URI, "rust", "fn main() {\n    let a = \n}\n");
    let id = server.inline_completion(URI, (1, 12));
    assert!(server.response(id).is_ok(), "nothing stands in its way");
    server
}

fn file(cache: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(cache.join("carat/tuning")).ok()?;
    let path = files.next()?.ok()?.path();
    (path.extension()? == "txt").then_some(path)
}

/// What is kept, once it is whole.
fn measured(server: &mut Server, cache: &Path) -> String {
    // On a busy machine the server gives up at first, and tries again after half a minute.
    server.until_within(Duration::from_secs(100), "the measurement is kept", |_| {
        std::thread::sleep(Duration::from_millis(50));
        let text = fs::read_to_string(file(cache)?).ok()?;
        text.contains("\nend ").then_some(text)
    })
}

/// Whether the kernels of this processor leave a choice.
fn has_choice() -> bool {
    let output = Command::new(program())
        .args(["debug", "tune"])
        .env("CARAT_TUNE", "off")
        .output()
        .expect("it runs");
    assert!(output.status.success());
    !String::from_utf8_lossy(&output.stdout).contains("\nend 0\n")
}

#[test]
fn the_processor_is_measured_once() {
    if !has_choice() {
        eprintln!("skipped: the kernels of this processor have no choice");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path();
    let first = measured(&mut start(cache, ""), cache);
    assert!(first.starts_with("carat tuning 1\nprocessor "), "{first}");
    let written = || {
        let file = file(cache).expect("it is kept");
        fs::metadata(file)
            .and_then(|it| it.modified())
            .expect("it is there")
    };
    let before = written();
    let server = start(cache, "");
    std::thread::sleep(LONG);
    assert_eq!(written(), before, "the second start measures nothing");
    assert!(!server.log().contains("was measured"), "{}", server.log());
    drop(server);
    // A damaged file is said, and measured anew.
    fs::write(file(cache).expect("it is kept"), &first[..first.len() / 2]).expect("it is written");
    let mut server = start(cache, "");
    let again = measured(&mut server, cache);
    assert!(again.starts_with("carat tuning 1\nprocessor "), "{again}");
    let log = server.log();
    assert!(log.contains("choices of kernels are not used"), "{log}");
    assert!(log.contains("was measured"), "{log}");
}

#[test]
fn off_measures_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), "off");
    std::thread::sleep(LONG);
    assert_eq!(file(folder.path()), None);
    assert!(!server.log().contains("was measured"), "{}", server.log());
}
