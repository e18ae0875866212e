//! What other files of the workspace say, which nobody has opened, as an editor sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carat_tests::{Client, Launch, Server};
use serde_json::{Value, json};

use crate::program;

/// A workspace on the disk, and the folder in which it is remembered.
struct Workspace {
    _folder: tempfile::TempDir,
    root: PathBuf,
    memory: PathBuf,
}

const STORE: &str = "
/// Keeps records by their keys.
pub struct LedgerStore { records: Vec<Record> }

impl LedgerStore {
    /// Puts a record where its key belongs.
    pub fn insert_ledger_record(&mut self, key: RecordKey, record: Record, durability: Durability) -> Result<(), LedgerError> {
        self.records.push(record);
        Ok(())
    }
}
";

/// A line that stands in each file, as people write.
const USUAL: &str = "let _guard = self.ledger_span.enter();";

impl Workspace {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("a folder");
        let workspace = Self {
            root: path.join("project"),
            memory: path.join("memory"),
            _folder: folder,
        };
        workspace.write("src/store.rs", STORE);
        for name in ["append", "compact", "verify"] {
            let text = format!(
                "impl Ledger {{\n    pub fn {name}(&mut self) {{\n        {USUAL}\n        self.{name}_all()\n    }}\n}}\n"
            );
            workspace.write(&format!("src/{name}.rs"), &text);
        }
        workspace.write("src/caller.rs", &format!("{CALLS}}}\n"));
        workspace
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    fn uri(&self, path: &str) -> String {
        uri(&self.root.join(path))
    }

    /// A server of which the client wants to know the status, or not.
    fn start(&self, options: &Value, status: bool) -> Server {
        let memory = self.memory.to_str().expect("a path");
        let mut server = Launch::new(program())
            .environment("CARAT_MEMORY", memory)
            .start();
        let mut client = Client::inline().options(options.clone());
        client.params["capabilities"]["experimental"] = json!({ "carat": { "status": status } });
        client.params["workspaceFolders"] = json!([{ "uri": uri(&self.root), "name": "project" }]);
        server.initialize(&client);
        server
    }
}

/// Settings for a busy machine.
fn patient() -> Value {
    json!({ "deadlineMs": 20_000 })
}

const CALLS: &str = "fn calls(store: &mut LedgerStore) {\n    store.insert_ledger_record(RecordKey::fresh(), Record::default(), Durability::Synced)?;\n";

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Waits until the status tells of so many files, and of a model that can answer.
fn remembers(server: &mut Server, files: u64) -> Value {
    server.until("the workspace is read", |server| {
        let status = server.notification("carat/status")["params"].clone();
        let workspace = &status["workspace"];
        let is_read = workspace["reading"] == false && workspace["files"] == files;
        (is_read && status["model"].is_string()).then(|| workspace.clone())
    })
}

/// What is shown at the end of a text, in a document of its own.
fn shown(server: &mut Server, uri: &str, text: &str) -> String {
    shown_in(server, "rust", uri, text)
}

/// The same in another language.
fn shown_in(server: &mut Server, language: &str, uri: &str, text: &str) -> String {
    server.open(uri, language, text);
    let line = text.matches('\n').count() as u32;
    let column = text.len() - text.rfind('\n').map_or(0, |at| at + 1);
    let id = server.inline_completion(uri, (line, column as u32));
    let items = server.response(id).result().clone();
    let document = json!({ "textDocument": { "uri": uri } });
    server.notify("textDocument/didClose", &document);
    items[0]["insertText"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn what_files_that_nobody_opened_say_is_offered() {
    let workspace = Workspace::new();
    let mut server = workspace.start(&patient(), true);
    let status = remembers(&mut server, 5);
    assert!(
        status["bytes"].as_u64().is_some_and(|bytes| bytes > 500),
        "{status}"
    );
    assert_eq!(status["filesWithoutRoom"], 0);

    // A function that another file defines, at its call.
    let text = "fn saves(store: &mut LedgerStore) {\n    store.insert_le";
    let call = shown(&mut server, &workspace.uri("src/new_caller.rs"), text);
    assert!(call.starts_with("dger_record("), "{call:?}");

    // A line as it is always written, in a new file.
    let text = "impl Ledger {\n    pub fn rotate(&mut self) {\n        let _gu";
    let line = shown(&mut server, &workspace.uri("src/rotate.rs"), text);
    assert_eq!(format!("let _gu{line}"), USUAL);

    // What changes on the disk counts, as soon as the client says so.
    let of_other = CALLS
        .replace("ledger", "journal")
        .replace("Ledger", "Journal");
    workspace.write("src/journal.rs", &of_other);
    let changed = json!({ "changes": [{ "uri": workspace.uri("src/journal.rs"), "type": 1 }] });
    server.notify("workspace/didChangeWatchedFiles", &changed);
    remembers(&mut server, 6);
    let text = "fn saves(store: &mut JournalStore) {\n    store.insert_jo";
    let call = shown(&mut server, &workspace.uri("src/journals.rs"), text);
    assert!(call.starts_with("urnal_record("), "{call:?}");
    ready_and_gone(server);
}

#[test]
fn the_users_own_lines_come_back_in_languages_that_the_model_does_not_know() {
    let workspace = Workspace::new();
    for name in ["refresh", "rename", "remove"] {
        let text = format!(
            "local function {name}(view)\n  local lock = acquire_lock(view.name)\n  view:reload_entries(lock)\n  lock:{name}()\nend\n"
        );
        workspace.write(&format!("lua/{name}.lua"), &text);
    }
    let mut server = workspace.start(&patient(), true);
    remembers(&mut server, 8);
    let text = "local function reopen(view)\n  local lock = acquire_lock(view.name)\n  ";
    let uri = workspace.uri("lua/reopen.lua");
    let line = shown_in(&mut server, "lua", &uri, text);
    assert_eq!(line, "view:reload_entries(lock)");
    let record = server.command("carat.lastPrompt");
    assert_eq!(record["source"], "echo", "{record}");
    assert_eq!(record["prompt"], "", "no model was asked");
    ready_and_gone(server);
}

/// Ends a server, whatever it has told of its status.
fn ready_and_gone(mut server: Server) {
    server.close_input();
    server.wait_for_exit();
    server.unread();
}

#[test]
fn a_workspace_is_remembered_until_the_next_start_and_only_if_the_user_wants_it() {
    let workspace = Workspace::new();
    let mut server = workspace.start(&patient(), true);
    remembers(&mut server, 5);
    ready_and_gone(server);
    let kept = fs::read_dir(&workspace.memory).expect("a folder").count();
    assert_eq!(kept, 1);
    let mut server = workspace.start(&patient(), true);
    remembers(&mut server, 5);
    ready_and_gone(server);

    fs::remove_dir_all(&workspace.memory).expect("removed");
    let mut server = workspace.start(
        &json!({ "workspaceMemoryMb": 0, "deadlineMs": 20_000 }),
        false,
    );
    let text = "fn saves(store: &mut LedgerStore) {\n    store.insert_le";
    let call = server.until("the model is there", |server| {
        let call = shown(server, &workspace.uri("src/new_caller.rs"), text);
        let status = server.command("carat.lastPrompt");
        (!status["model"].is_null()).then_some(call)
    });
    assert!(!call.starts_with("dger_record("), "{call:?}");
    std::thread::sleep(Duration::from_millis(200));
    assert!(!workspace.memory.exists());
}
