//! One server, one client that types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carat_tests::{Client, Launch, Server, cpu_time};
use serde_json::{Value, json};

use super::Options;
use super::editor::{Document, Manner, position};
use super::log::{Work, between, now};

/// Files that are typed, of this repository.
const FILES: [&str; 4] = [
    "server/src/prompt/layout.rs",
    "server/src/completion/brackets.rs",
    "engine/src/sampling.rs",
    "server/src/session/typed.rs",
];
/// Lines that are typed in a row.
const LINES: usize = 24;
/// How long VS Code waits after a key before it asks.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Keys from one pause to the next.
const KEYS_TO_REST: usize = 15;
/// How long an answer may take that costs no work.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How long after the last key the processor is to be idle, and how long that is watched.
const SETTLED: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(1);

/// What a session came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) keys: usize,
    /// Line breaks among them.
    pub(super) breaks: usize,
    /// Prompt tokens that the engines evaluated for them.
    pub(super) tokens: f64,
    /// Those of the model for rests.
    pub(super) tokens_at_rest: f64,
    /// From the last key to a line of the model for rests, and the tokens of that line.
    pub(super) rest_lines: Vec<(Duration, usize)>,
    /// From a key to its answer, where there was text.
    pub(super) answers: Vec<Duration>,
    /// The same for keys that agreed with what was shown.
    pub(super) typed_through: Vec<Duration>,
    pub(super) rests: usize,
    /// Rests that got text before they were over.
    pub(super) answered: usize,
    /// Rests in which a generation came to its end.
    pub(super) generated: usize,
    /// Why the others got none, and how often.
    pub(super) silences: BTreeMap<String, usize>,
    /// From the key before a rest to its first text.
    pub(super) rest_answers: Vec<Duration>,
    /// Prompt tokens evaluated from one rest to the next, and the characters that were typed since.
    pub(super) rest_costs: Vec<(f64, usize)>,
    /// The share of a processor that is used two seconds after the last key.
    pub(super) idle: Option<f64>,
}

/// A server, with the documents that are typed.
pub(super) struct Session {
    server: Server,
    manner: Manner,
    files: Vec<(String, String)>,
    keys: usize,
    warm_up: Duration,
    /// A pause in typing.
    rest: Duration,
    /// The file of the model for rests.
    rest_model: Option<String>,
    log: Option<PathBuf>,
    /// What of the server's log was read.
    read: usize,
    version: i32,
    figures: Figures,
    /// The last request: when its key was typed, whether that agreed with the ghost text.
    asked: Option<(i64, Instant, bool)>,
    /// What is shown behind the caret.
    ghost: String,
    /// When the text of the last key came.
    came: Option<Instant>,
}

impl Session {
    pub(super) fn start(
        carat: &Path,
        root: &Path,
        options: &Options,
        manner: Manner,
    ) -> Result<Self> {
        let files = FILES.map(|file| {
            let text = std::fs::read_to_string(root.join(file)).with_context(|| file.to_owned());
            Ok((file.to_owned(), text?))
        });
        let mut launch = Launch::new(carat)
            .argument("lsp")
            .environment("CARAT_LOG", "carat=debug");
        if let Some(model) = &options.model {
            launch = launch.argument("--model").argument(model);
        }
        let mut server = launch.start();
        // Whether an answer is worth showing is another question.
        let mut settings =
            json!({ "eagerness": "all", "shortest": 0, "comments": "on", "strings": "on" });
        if let (Value::Object(all), Value::Object(more)) = (&mut settings, &options.settings) {
            all.extend(more.clone());
        }
        server.initialize(&Client::inline().options(settings));
        Ok(Self {
            server,
            manner,
            files: files.into_iter().collect::<Result<_>>()?,
            keys: options.keys,
            warm_up: Duration::from_secs_f64(options.warm_up),
            rest: Duration::from_secs_f64(options.rest),
            rest_model: options.rest_model(),
            log: options.log.clone(),
            read: 0,
            version: 0,
            figures: Figures::default(),
            asked: None,
            ghost: String::new(),
            came: None,
        })
    }

    /// Types, `pace` keys a second.
    pub(super) fn play(mut self, pace: f64) -> Result<Figures> {
        let gap = Duration::from_secs_f64(1.0 / pace);
        for number in 0.. {
            if self.figures.keys >= self.keys {
                break;
            }
            let (name, text) = self.files[number % self.files.len()].clone();
            let first = 30 + number / FILES.len() * 3 * LINES;
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let Some(piece) = lines.get(first..first + LINES) else {
                break;
            };
            let document = Document::new(
                lines[..first].concat(),
                format!("\n{}", lines[first + LINES..].concat()),
                self.manner,
            );
            let uri = format!("file:///carat/{number}/{name}");
            self.piece(&uri, document, &piece.concat(), gap);
        }
        let end = Instant::now() + SETTLED;
        self.watch(end);
        if let Some(before) = cpu_time(self.server.process_id()) {
            self.watch(Instant::now() + WATCHED);
            let after = cpu_time(self.server.process_id()).unwrap_or(before);
            let used = after.saturating_sub(before);
            self.figures.idle = Some(used.as_secs_f64() / WATCHED.as_secs_f64());
        }
        self.server.unread();
        if let Some(file) = &self.log {
            std::fs::write(file, self.server.log()).with_context(|| file.display().to_string())?;
        }
        Ok(self.figures)
    }

    /// Opens a document, looks at it for a while, and types into it.
    fn piece(&mut self, uri: &str, mut document: Document, piece: &str, gap: Duration) {
        self.version = 0;
        let text = format!("{}{}", document.before, document.after);
        self.server.open(uri, "rust", &text);
        self.ghost.clear();
        self.ask(uri, &document, Instant::now(), false);
        self.watch(Instant::now() + self.warm_up);
        self.worked();
        let mut rest = piece.trim_end();
        let mut since_rest = 0;
        while !rest.is_empty() && self.figures.keys < self.keys {
            let (at, at_of_day) = (Instant::now(), now());
            let before = document.clone();
            let key = document.key(rest);
            rest = &rest[key.typed.min(rest.len())..];
            self.change(uri, &before, &key);
            // Of what is typed to its end nothing is left to show.
            let shown = self.ghost.len() > key.before.len();
            let agrees = shown && self.ghost.starts_with(&key.before);
            let ghost = std::mem::take(&mut self.ghost);
            if agrees {
                ghost[key.before.len()..].clone_into(&mut self.ghost);
            }
            if self.manner == Manner::Pairs {
                if let Some((id, ..)) = self.asked {
                    self.server.cancel(id);
                }
                self.watch(at + DEBOUNCE.min(gap / 2));
            }
            self.came = None;
            self.ask(uri, &document, at, agrees);
            self.figures.keys += 1;
            self.figures.breaks += usize::from(key.before.starts_with('\n'));
            since_rest += key.before.len();
            let rests = gap >= self.rest || self.figures.keys.is_multiple_of(KEYS_TO_REST);
            self.watch(at + if rests { gap.max(self.rest) } else { gap });
            if rests {
                self.figures.rests += 1;
                if let Some(came) = self.came {
                    self.figures.answered += 1;
                    self.figures.rest_answers.push(came - at);
                } else {
                    let why = self.why_nothing();
                    *self.figures.silences.entry(why).or_default() += 1;
                }
                let work = self.worked();
                let ended = |came: &f64| between(at_of_day, *came) <= at.elapsed().as_secs_f64();
                self.figures.generated += usize::from(work.ends.iter().any(ended));
                self.figures.add(&work);
                self.figures.rest_costs.push((work.tokens, since_rest));
                let lines = work.lines.iter().map(|(came, tokens)| {
                    let took = between(at_of_day, *came);
                    (Duration::from_secs_f64(took), *tokens)
                });
                // What came before the last key was another line.
                let lines = lines.filter(|(took, _)| *took <= at.elapsed());
                self.figures.rest_lines.extend(lines);
                since_rest = 0;
            }
        }
        let work = self.worked();
        self.figures.add(&work);
    }

    /// Sends what a key has changed.
    fn change(&mut self, uri: &str, before: &Document, key: &super::editor::Key) {
        self.version += 1;
        let start = before.caret();
        let end = position(&format!(
            "{}{}",
            before.before,
            &before.after[..key.deleted]
        ));
        let text = format!("{}{}", key.before, key.behind);
        self.server
            .change(uri, self.version, Some(start..end), &text);
    }

    fn ask(&mut self, uri: &str, document: &Document, at: Instant, agrees: bool) {
        let id = self.server.inline_completion(uri, document.caret());
        self.asked = Some((id, at, agrees));
    }

    /// Takes what comes until then.
    fn watch(&mut self, end: Instant) {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(received) = self.server.receive_within(left, |_| true) else {
                return;
            };
            let Some((id, at, agrees)) = self.asked else {
                continue;
            };
            let text = first_text(&received.message);
            if received.message["id"] == id
                && let Some(text) = text
            {
                text.clone_into(&mut self.ghost);
                self.came.get_or_insert(received.at);
                let took = received.at.saturating_duration_since(at);
                if agrees {
                    self.figures.typed_through.push(took);
                }
                self.figures.answers.push(took);
                self.asked = None;
            }
        }
    }

    /// Why the last request got no text, in the server's words.
    fn why_nothing(&mut self) -> String {
        let params = json!({ "command": "carat.why", "arguments": [] });
        let id = self.server.request("workspace/executeCommand", &params);
        let reply = self
            .server
            .receive_within(AT_ONCE, |message| message["id"] == id);
        let reply = reply.map(|reply| reply.message["result"]["silence"].clone());
        match reply {
            None => "not answered".to_owned(),
            Some(Value::String(why)) => why,
            Some(_) => "text that was no longer asked for".to_owned(),
        }
    }

    /// What the log tells of since the last look.
    fn worked(&mut self) -> Work {
        let log = self.server.log();
        let new = &log[self.read..];
        let end = new.rfind('\n').map_or(0, |newline| newline + 1);
        self.read += end;
        Work::read(&new[..end], self.rest_model.as_deref())
    }
}

impl Figures {
    fn add(&mut self, work: &Work) {
        self.tokens += work.tokens;
        self.tokens_at_rest += work.tokens_at_rest;
    }
}

/// The text of an answer.
fn first_text(message: &Value) -> Option<&str> {
    let items = message.get("result")?;
    let items = items.get("items").unwrap_or(items);
    let text = items.get(0)?.get("insertText")?;
    text.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_answers() {
        let answer = json!({ "id": 1, "result": [{ "insertText": "x" }] });
        assert_eq!(first_text(&answer), Some("x"));
        assert_eq!(first_text(&json!({ "id": 1, "result": [] })), None);
    }
}
