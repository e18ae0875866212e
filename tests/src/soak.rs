//! A long session of someone who does everything at once, and what must hold during and after it: every
//! request is answered once, nothing panics, memory stays flat, and a paused server is idle.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{Client, Launch, Random, Server, cpu_time, resident_bytes};

/// Documents that are edited in turns.
const DOCUMENTS: usize = 3;
/// Lines of a document, after which it is written anew.
const LINES_MAX: usize = 300;
/// What is typed, as far as characters matter to editors and servers.
const KEYS: [&str; 14] = [
    "a", "le", "t x", " = ", "fn ", "(", ")", "{", "}", "\n", "\n    ", ";", "é", "\"",
];
/// Looks at the memory.
const SAMPLES: usize = 40;
/// No answer takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a pause the engine is idle within this, and for so long it is watched.
const IDLE_WITHIN: Duration = Duration::from_millis(200);
const WATCHED: Duration = Duration::from_millis(500);
/// What it may use meanwhile: two ticks of the clock that counts it.
const IDLE_USE: Duration = Duration::from_millis(20);
/// By how much the memory of the last quarter may exceed that of the one before: one part in so many.
const GROWTH: u64 = 20;

/// What a session came to.
#[derive(Clone, Debug, Default)]
pub struct Soaked {
    /// Requests for text, and those that were taken back.
    pub requests: usize,
    /// Of them.
    pub cancelled: usize,
    /// Answers with text.
    pub texts: usize,
    /// Orders of code actions.
    pub actions: usize,
    /// Edits.
    pub edits: usize,
    /// The process's memory in the course of time, in bytes; nothing where the system does not tell.
    pub memory: Vec<u64>,
    /// What the paused server used in half a second.
    pub idle_use: Option<Duration>,
}

impl Soaked {
    /// The largest memory of each quarter.
    pub fn quarters(&self) -> Vec<u64> {
        let quarter = self.memory.len().div_ceil(4).max(1);
        let quarters = self.memory.chunks(quarter);
        quarters
            .map(|part| part.iter().copied().max().unwrap_or(0))
            .collect()
    }
}

/// Works like that for `time`, the same for the same `seed`.
///
/// # Errors
///
/// What did not hold.
pub fn soak(launch: Launch, settings: Value, time: Duration, seed: u64) -> Result<Soaked> {
    let mut client = Client::inline().options(settings);
    let capabilities = &mut client.params["capabilities"];
    capabilities["window"] = json!({ "workDoneProgress": true });
    capabilities["workspace"] = json!({ "applyEdit": true });
    capabilities["experimental"] = json!({ "carat": { "status": true, "askAgain": true } });
    let mut server = launch.start();
    server.initialize(&client);
    let mut user = User {
        server,
        random: Random::new(seed),
        texts: vec![String::new(); DOCUMENTS],
        version: 0,
        waiting: BTreeSet::new(),
        commands: BTreeSet::new(),
        soaked: Soaked::default(),
    };
    for document in 0..DOCUMENTS {
        user.server.open(&uri(document), "rust", "");
    }
    let begin = Instant::now();
    let mut samples = 0;
    while begin.elapsed() < time {
        user.step()?;
        if begin.elapsed() > time * samples / SAMPLES as u32 {
            samples += 1;
            let memory = resident_bytes(user.server.process_id());
            user.soaked.memory.extend(memory);
        }
    }
    user.end()
}

struct User {
    server: Server,
    random: Random,
    texts: Vec<String>,
    version: i32,
    /// Requests for text that have no answer yet, and others.
    waiting: BTreeSet<i64>,
    commands: BTreeSet<i64>,
    soaked: Soaked,
}

impl User {
    fn step(&mut self) -> Result<()> {
        let document = self.random.below(DOCUMENTS);
        match self.random.below(100) {
            0..60 => self.types(document),
            60..80 => self.asks(document),
            80..92 => {
                self.asks(document);
                if let Some(&id) = self.waiting.last() {
                    self.server.cancel(id);
                    self.soaked.cancelled += 1;
                }
            }
            92..94 => self.orders(document),
            94..95 => {
                // Paused, and resumed.
                self.command("carat.toggle", &json!([]));
                self.command("carat.toggle", &json!([]));
            }
            95..96 => {
                let uri = uri(document);
                let closed = json!({ "textDocument": { "uri": uri } });
                self.server.notify("textDocument/didClose", &closed);
                self.server.open(&uri, "rust", &self.texts[document]);
            }
            96..97 => self.command("carat.why", &json!([])),
            // The caret rests: the slow model is asked.
            97..98 => return self.wait(Duration::from_millis(600)),
            _ => {}
        }
        let pause = Duration::from_millis(self.random.below(60) as u64);
        self.wait(pause)
    }

    fn types(&mut self, document: usize) {
        self.version += 1;
        self.soaked.edits += 1;
        let (uri, version) = (uri(document), self.version);
        let text = &mut self.texts[document];
        if text.lines().count() > LINES_MAX {
            text.clear();
            return self.server.change(&uri, version, None, "");
        }
        let at = end(text);
        let key = *self.random.pick(&KEYS);
        text.push_str(key);
        self.server.change(&uri, version, Some(at..at), key);
        // An editor asks behind every key.
        self.asks(document);
    }

    fn asks(&mut self, document: usize) {
        let at = end(&self.texts[document]);
        let id = self.server.inline_completion(&uri(document), at);
        self.waiting.insert(id);
        self.soaked.requests += 1;
    }

    fn orders(&mut self, document: usize) {
        let (line, character) = end(&self.texts[document]);
        let at = json!({ "line": line, "character": character });
        let range = json!({ "start": { "line": 0, "character": 0 }, "end": at });
        let action = *self.random.pick(&["carat.explain", "carat.refactor"]);
        let arguments = json!([{ "uri": uri(document), "range": range }]);
        self.command(action, &arguments);
        self.soaked.actions += 1;
    }

    fn command(&mut self, name: &str, arguments: &Value) {
        let params = json!({ "command": name, "arguments": arguments });
        let id = self.server.request("workspace/executeCommand", &params);
        self.commands.insert(id);
    }

    /// Takes what comes meanwhile.
    fn wait(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(received) = self.server.receive_within(left, |_| true) else {
                return Ok(());
            };
            self.take(&received.message)?;
        }
    }

    fn take(&mut self, message: &Value) -> Result<()> {
        match (message.get("method"), message.get("id")) {
            (Some(method), Some(id)) => {
                // The server asks: whatever it is, it may.
                let result = if method == "workspace/applyEdit" {
                    json!({ "applied": false })
                } else {
                    Value::Null
                };
                let reply = json!({ "jsonrpc": "2.0", "id": id, "result": result });
                self.server.send(&reply);
                Ok(())
            }
            (None, Some(id)) => {
                let id = id.as_i64().unwrap_or(-1);
                let is_known = self.waiting.remove(&id) || self.commands.remove(&id);
                ensure!(is_known, "answered twice, or never asked: {message}");
                let text = message.pointer("/result/0/insertText");
                self.soaked.texts += usize::from(text.is_some());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(mut self) -> Result<Soaked> {
        for id in self.waiting.clone() {
            self.server.cancel(id);
        }
        // Who pauses is left alone at once.
        self.command("carat.toggle", &json!([]));
        let begin = Instant::now();
        while !(self.waiting.is_empty() && self.commands.is_empty()) {
            ensure!(
                begin.elapsed() < PATIENCE,
                "{} requests were never answered",
                self.waiting.len() + self.commands.len()
            );
            self.wait(Duration::from_millis(10))?;
        }
        self.wait(IDLE_WITHIN)?;
        let process = self.server.process_id();
        if let Some(before) = cpu_time(process) {
            self.wait(WATCHED)?;
            let after = cpu_time(process).unwrap_or(before);
            self.soaked.idle_use = Some(after.saturating_sub(before));
        }
        self.server.unread();
        let log = self.server.log();
        ensure!(!log.contains("panick"), "it panicked:\n{log}");
        let used = self.soaked.idle_use.unwrap_or_default();
        ensure!(used <= IDLE_USE, "paused, it used {used:?} in {WATCHED:?}");
        if let [_, _, third, fourth] = self.soaked.quarters()[..] {
            ensure!(
                fourth <= third + third / GROWTH,
                "memory grew from {third} to {fourth} bytes in the last quarter"
            );
        }
        Ok(self.soaked.clone())
    }
}

fn uri(document: usize) -> String {
    format!("file:///soak/{document}.rs")
}

/// The end of a text, in UTF-16 units.
fn end(text: &str) -> (u32, u32) {
    let line = text.rsplit('\n').next().unwrap_or("");
    let lines = text.matches('\n').count();
    (lines as u32, line.encode_utf16().count() as u32)
}
