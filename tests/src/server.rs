//! One running server: messages out, messages in, deadlines, and a clean end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::naive::Units;

/// The longest that a test waits for anything: far beyond what a busy machine needs.
const WAIT: Duration = Duration::from_secs(30);

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// The server at `program`, as editors start it.
    pub fn new(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it.
    pub fn start(self) -> Server {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            // Errors that tests provoke are none of the user's.
            .env("XDG_STATE_HOME", std::env::temp_dir().join("carat-tests"))
            .env(
                "CARAT_MEMORY",
                std::env::temp_dir().join("carat-tests/memory"),
            )
            // What a test measures beside others is nothing to keep.
            .env("CARAT_TUNE", "off")
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{} cannot be started: {error}", self.program.display())
            });
        let stdout = child.stdout.take().expect("a piped stdout");
        let mut stderr = child.stderr.take().expect("a piped stderr");
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Some(message) = read_message(&mut stdout) {
                if sender.send((Instant::now(), message)).is_err() {
                    return;
                }
            }
        });
        let log = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut chunk) {
                copy.lock()
                    .expect("no panic under this lock")
                    .extend_from_slice(&chunk[..count]);
            }
        });
        let stdin = child.stdin.take();
        Server {
            child,
            stdin,
            messages,
            unread: VecDeque::new(),
            log,
            ids: 0,
            ended: false,
        }
    }
}

/// What a client says of itself.
#[derive(Clone, Debug)]
pub struct Client {
    /// The parameters of `initialize`.
    pub params: Value,
}

impl Client {
    /// An editor with ghost text.
    pub fn inline() -> Self {
        let capabilities = json!({ "textDocument": { "inlineCompletion": {} } });
        Self {
            params: json!({ "processId": null, "rootUri": null, "capabilities": capabilities }),
        }
    }

    /// An editor that has menus only.
    pub fn menu() -> Self {
        Self {
            params: json!({ "processId": null, "rootUri": null, "capabilities": {} }),
        }
    }

    /// The same, offering position encodings.
    #[must_use]
    pub fn offering(mut self, units: &[Units]) -> Self {
        let names: Vec<&str> = units.iter().map(|units| units.name()).collect();
        self.params["capabilities"]["general"] = json!({ "positionEncodings": names });
        self
    }

    /// The same, with settings.
    #[must_use]
    pub fn options(mut self, options: Value) -> Self {
        self.params["initializationOptions"] = options;
        self
    }
}

/// A message of the server, and when it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it was read.
    pub at: Instant,
    /// What it says.
    pub message: Value,
}

impl Received {
    /// Whether it is a result rather than an error.
    pub fn is_ok(&self) -> bool {
        self.message.get("result").is_some()
    }

    /// The result; panics if it is an error.
    #[track_caller]
    pub fn result(&self) -> &Value {
        self.message
            .get("result")
            .unwrap_or_else(|| panic!("no result: {}", self.message))
    }

    /// The code of the error, if it is one.
    pub fn error_code(&self) -> Option<i64> {
        self.message.pointer("/error/code")?.as_i64()
    }
}

/// How a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard error.
    pub log: String,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<(Instant, Value)>,
    unread: VecDeque<Received>,
    log: Arc<Mutex<Vec<u8>>>,
    ids: i64,
    ended: bool,
}

impl Server {
    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("an open input");
        stdin
            .write_all(bytes)
            .and_then(|()| stdin.flush())
            .expect("a server that reads");
    }

    /// Frames a message and sends it.
    pub fn send(&mut self, message: &Value) {
        let body = message.to_string();
        self.send_raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }

    /// Sends a request; the answer is read with [`Self::response`].
    pub fn request(&mut self, method: &str, params: &Value) -> i64 {
        self.ids += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": self.ids, "method": method, "params": params }));
        self.ids
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// The next message that `wanted` accepts; others are kept for later. `None` after `wait`.
    pub fn receive_within(
        &mut self,
        wait: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Option<Received> {
        if let Some(at) = self
            .unread
            .iter()
            .position(|received| wanted(&received.message))
        {
            return self.unread.remove(at);
        }
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (at, message) = match self.messages.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            let received = Received { at, message };
            if wanted(&received.message) {
                return Some(received);
            }
            self.unread.push_back(received);
        }
    }

    /// The answer to a request.
    #[track_caller]
    pub fn response(&mut self, id: i64) -> Received {
        let answers = |message: &Value| message.get("method").is_none() && message["id"] == id;
        self.receive_within(WAIT, answers)
            .unwrap_or_else(|| panic!("request {id} got no answer"))
    }

    /// Sends a request and waits for its result.
    #[track_caller]
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        self.response(id).result().clone()
    }

    /// The next notification or request of the server by that name.
    #[track_caller]
    pub fn notification(&mut self, method: &str) -> Value {
        self.receive_within(WAIT, |message| message["method"] == method)
            .unwrap_or_else(|| panic!("no {method} came"))
            .message
    }

    /// Introduces the client and returns the answer.
    #[track_caller]
    pub fn initialize(&mut self, client: &Client) -> Value {
        let result = self.ask("initialize", &client.params);
        self.notify("initialized", &json!({}));
        result
    }

    /// Opens a document with version 0.
    pub fn open(&mut self, uri: &str, language: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": language, "version": 0, "text": text });
        self.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    }

    /// Edits a document; no range is the whole of it.
    pub fn change(
        &mut self,
        uri: &str,
        version: i32,
        range: Option<Range<(u32, u32)>>,
        text: &str,
    ) {
        let mut change = json!({ "text": text });
        if let Some(range) = range {
            change["range"] = json!({ "start": position(range.start), "end": position(range.end) });
        }
        let document = json!({ "uri": uri, "version": version });
        self.notify(
            "textDocument/didChange",
            &json!({ "textDocument": document, "contentChanges": [change] }),
        );
    }

    /// Asks for ghost text as an editor does on its own.
    pub fn inline_completion(&mut self, uri: &str, at: (u32, u32)) -> i64 {
        let context = json!({ "triggerKind": 2 });
        self.request(
            "textDocument/inlineCompletion",
            &json!({ "textDocument": { "uri": uri }, "position": position(at), "context": context }),
        )
    }

    /// Takes a request back.
    pub fn cancel(&mut self, id: i64) {
        self.notify("$/cancelRequest", &json!({ "id": id }));
    }

    /// Runs a command of the server.
    #[track_caller]
    pub fn command(&mut self, name: &str) -> Value {
        self.ask(
            "workspace/executeCommand",
            &json!({ "command": name, "arguments": [] }),
        )
    }

    /// Asks until `accept`ed; panics when that takes too long.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, accept: impl FnMut(&mut Self) -> Option<T>) -> T {
        self.until_within(WAIT, what, accept)
    }

    /// As [`Self::until`], for something that may take longer.
    #[track_caller]
    pub fn until_within<T>(
        &mut self,
        time: Duration,
        what: &str,
        mut accept: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if let Some(value) = accept(self) {
                return value;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{what} did not happen in time");
    }

    /// Its process id.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().expect("no panic under this lock")).into_owned()
    }

    /// Messages that nobody has asked for, those under way included.
    pub fn unread(&mut self) -> Vec<Value> {
        while let Ok((at, message)) = self.messages.try_recv() {
            self.unread.push_back(Received { at, message });
        }
        self.unread
            .drain(..)
            .map(|received| received.message)
            .collect()
    }

    /// Waits for its end. The server is not checked again when it is dropped.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> Exit {
        self.ended = true;
        let end = Instant::now() + WAIT;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return Exit {
                    code: status.code(),
                    log: self.log(),
                };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        panic!("the server did not end");
    }

    fn leave(&mut self) {
        let id = self.request("shutdown", &Value::Null);
        assert!(self.response(id).is_ok(), "shutdown failed");
        self.notify("exit", &Value::Null);
        let exit = self.wait_for_exit();
        assert_eq!(
            exit.code,
            Some(0),
            "exit after shutdown; it said:\n{}",
            exit.log
        );
        let unread = self.unread();
        assert!(unread.is_empty(), "messages that nobody read: {unread:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            eprintln!("the server said:\n{}", self.log());
        } else if !self.ended {
            self.leave();
        }
    }
}

fn position((line, character): (u32, u32)) -> Value {
    json!({ "line": line, "character": character })
}

/// Reads one frame; `None` at the end. Panics on anything else: standard output is the protocol.
fn read_message(stdout: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line
            .strip_suffix("\r\n")
            .expect("header lines end with CRLF");
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(": ")
            .unwrap_or_else(|| panic!("not a header: {line:?}"));
        if name == "Content-Length" {
            length = value.parse().ok();
        }
    }
    let mut body = vec![0; length.expect("a length")];
    stdout.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("JSON"))
}
