//! Plays scenes to a real session, with a clock that goes when told and an engine that answers at once.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use carat_engine::{CancelToken, GenerateError, GenerationSummary, Piece, TokenId};
use ropey::Rope;
use serde_json::{Value, json};

use super::oracle::{Counts, Ghost, Moment, Place, Verdict, expected, flickers};
use super::scenes::Scene;
use super::typist::{How, Passage, Step};
use crate::actions::{Instruct, Turn};
use crate::completion::{Generated, Plan, Query, Silence};
use crate::documents::{Change, Opened};
use crate::echo::{Index, Known};
use crate::generator::{Generator, ModelFacts};
use crate::mailbox::{Job, Report, Source};
use crate::memory::Recalled;
use crate::positions::{self, Encoding, LineColumn};
use crate::session::{
    Answer, ClientFacts, Effect, Event, Reply, Request, RequestKey, Session, Wish,
};
use crate::workspace::Folder;
use crate::{engine_thread, file_uri};

/// From one key to the next. The engine answers in between, as one does that is fast enough, so that
/// what is shown does not depend on the machine.
const KEY_INTERVAL: Duration = Duration::from_millis(120);

/// What the engine did.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// From a request to its answer, of those for which the engine ran.
    pub times: Vec<Duration>,
    /// Requests.
    pub requests: usize,
    /// Prompt tokens that were evaluated.
    pub prompt_tokens: usize,
    /// Tokens that were written.
    pub written_tokens: usize,
}

/// What came of a scene.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// What was shown and what it was worth.
    pub counts: Counts,
    /// What it cost.
    pub work: Work,
    /// What was wrong with what was shown, for readers: a line each.
    pub faults: Vec<String>,
    /// What every source had after each key, a JSON object each, where that is wanted.
    pub offers: Vec<Value>,
}

/// Lets a generator answer for sessions, scene by scene.
pub struct Player {
    generator: Metered,
    /// The settings of the sessions, as a client sends them.
    options: Value,
    /// Whether what every source had is wanted.
    tells_offers: bool,
}

impl Player {
    /// A player.
    pub fn new(generator: Box<dyn Generator>, options: Value) -> Self {
        Self {
            generator: Metered {
                inner: generator,
                work: Work::default(),
            },
            options,
            tells_offers: false,
        }
    }

    /// Lets [`Played::offers`] be told.
    pub fn tell_offers(&mut self) {
        self.tells_offers = true;
    }

    /// Plays a scene to a session of its own.
    pub fn play(&mut self, scene: &Scene) -> Played {
        // What is computed anew and what is remembered may differ in a last bit.
        self.generator.discard_sessions();
        let mut stage = Stage::new(&mut self.generator, scene, &self.options);
        let (mut counts, mut faults) = (Counts::default(), Vec::new());
        let mut offers = Vec::new();
        for passage in &scene.passages {
            stage.set_document(&passage.before, &passage.after);
            let mut moments: Vec<Moment> = Vec::new();
            for step in passage.steps(scene.language) {
                if step.begins {
                    counts.add(&Counts::of(&moments, &passage.text));
                    moments.clear();
                }
                let shown = stage.happen(passage, &step);
                if self.tells_offers {
                    offers.push(stage.offers(passage, &step, shown.as_ref()));
                }
                let stood = moments.last().filter(|_| step.how != How::Silent);
                let stood = stood.and_then(|last| last.shown.as_ref());
                let typed = &passage.text[step.adds.clone()];
                let expected = expected(stood.map(|(ghost, _)| ghost), typed);
                if flickers(expected, shown.as_ref(), &step.closers) {
                    let is = shown.clone().unwrap_or_default();
                    let what = format!("flicker from {:?}", expected.unwrap_or_default());
                    faults.push(stage.fault(&is, &what));
                }
                let shown = shown.map(|ghost| {
                    let verdict = stage.judge(&ghost, passage, &step);
                    if verdict.doubles_bracket {
                        faults.push(stage.fault(&ghost, "doubled bracket"));
                    }
                    if verdict.repeats_suffix {
                        faults.push(stage.fault(&ghost, "repeated suffix"));
                    }
                    (ghost, verdict)
                });
                moments.push(Moment { step, shown });
            }
            counts.add(&Counts::of(&moments, &passage.text));
        }
        Played {
            counts,
            faults,
            offers,
            work: std::mem::take(&mut self.generator.work),
        }
    }
}

/// A session with one document.
struct Stage<'a> {
    generator: &'a mut Metered,
    scene: &'a Scene,
    session: Session,
    uri: String,
    version: i32,
    requests: u64,
    now: Instant,
    text: Rope,
    /// The caret, in bytes.
    at: usize,
    /// What the editor has put behind it.
    closers: String,
}

impl<'a> Stage<'a> {
    fn new(generator: &'a mut Metered, scene: &'a Scene, options: &Value) -> Self {
        let session = Session::new(None);
        let facts = generator.facts();
        let mut stage = Self {
            generator,
            scene,
            session,
            uri: file_uri::uri(&scene.root.join(&scene.path)),
            version: 0,
            requests: 0,
            now: Instant::now(),
            text: Rope::new(),
            at: 0,
            closers: String::new(),
        };
        let client = ClientFacts {
            encoding: Encoding::Utf8,
            inline_completion: true,
            ..ClientFacts::default()
        };
        let folders = vec![scene.root.clone()];
        stage.take(Event::Introduced(
            Box::new(client),
            options.clone(),
            folders,
        ));
        stage.take(Event::Listening);
        stage.take(Event::Engine(Report::Ready(Source::MODEL, Some(facts))));
        let opened = Opened {
            uri: stage.uri.clone(),
            language_id: scene.language_id.clone(),
            version: 0,
            text: String::new(),
        };
        stage.take(Event::Opened(opened));
        stage
    }

    /// The document is another one.
    fn set_document(&mut self, before: &str, after: &str) {
        let text = format!("{before}{after}");
        self.text = Rope::from_str(&text);
        self.at = before.len();
        self.closers.clear();
        self.change(None, text);
    }

    /// Performs a step; what stands at the caret then.
    fn happen(&mut self, passage: &Passage, step: &Step) -> Option<Ghost> {
        self.now += KEY_INTERVAL;
        while let Some(due) = self.session.due().filter(|due| *due <= self.now) {
            let now = std::mem::replace(&mut self.now, due);
            self.take(Event::Tick);
            self.now = now;
        }
        let added = &passage.text[step.adds.clone()];
        let new = format!("{added}{}", step.closers);
        let same = common_end(&self.closers, &new);
        let replaced = self.at..self.at + self.closers.len() - same;
        let range = self.line_column(replaced.start)..self.line_column(replaced.end);
        let inserted = &new[..new.len() - same];
        let chars = self.text.byte_to_char(replaced.start)..self.text.byte_to_char(replaced.end);
        self.text.remove(chars.clone());
        self.text.insert(chars.start, inserted);
        self.change(Some(range), inserted.to_owned());
        self.at += added.len();
        self.closers.clone_from(&step.closers);
        if step.how == How::Silent {
            None
        } else {
            self.ask()
        }
    }

    fn change(&mut self, range: Option<std::ops::Range<LineColumn>>, text: String) {
        self.version += 1;
        let change = Change { range, text };
        let version = Some(self.version);
        self.take(Event::Changed(self.uri.clone(), version, vec![change]));
    }

    fn ask(&mut self) -> Option<Ghost> {
        self.requests += 1;
        let key = RequestKey(self.requests);
        let wish = self.wish();
        let begun = Instant::now();
        let (replies, ran) = self.take(Event::Requested(key, Request::Complete(wish)));
        self.generator.work.requests += 1;
        if ran {
            self.generator.work.times.push(begun.elapsed());
        }
        replies.into_iter().find_map(|(of, reply)| match reply {
            Reply::Completion(Answer::Shown(shown)) if of == key => Some(Ghost {
                replaces: shown.replace.end.saturating_sub(self.at),
                text: shown.text,
            }),
            _ => None,
        })
    }

    fn wish(&self) -> Wish {
        Wish {
            uri: self.uri.clone(),
            at: self.line_column(self.at),
            menu: false,
            invoked: false,
            selected: None,
        }
    }

    /// What every source has now, how probable and how right it is, and what was shown of it.
    fn offers(&self, passage: &Passage, step: &Step, shown: Option<&Ghost>) -> Value {
        let left = match step.how {
            How::Silent => Vec::new(),
            _ => self.session.left(&self.wish(), self.now),
        };
        let offers = left.iter().map(|left| {
            let ghost = Ghost {
                text: left.suggestion.text.clone(),
                replaces: left.suggestion.replace_suffix_bytes,
            };
            let verdict = self.judge(&ghost, passage, step);
            let confidence = left.suggestion.scores.confidence();
            // How probable the first line is, the first two and so on.
            let ends = ghost.text.match_indices('\n').map(|(at, _)| at);
            let products = ends.chain([ghost.text.len()]).map(|end| {
                let lines = left.suggestion.first(end);
                lines.scores.confidence().product
            });
            json!({
                "source": left.source,
                "text": ghost.text,
                "products": products.collect::<Vec<_>>(),
                "minimum": confidence.minimum,
                "mean": confidence.mean,
                "first": confidence.first,
                "echo": confidence.echo,
                "against": left.against.as_ref().map(Silence::code),
                "right": verdict.right,
                "lines": verdict.lines,
                "words": verdict.words.0,
            })
        });
        let (before, _) = self.around();
        json!({
            "path": self.scene.path,
            "language": self.scene.language_id,
            "at": step.adds.end,
            "adds": &passage.text[step.adds.clone()],
            "how": format!("{:?}", step.how).to_lowercase(),
            "begins": step.begins,
            "code": step.is_code,
            "line": before.rsplit('\n').next(),
            "shown": shown.map(|ghost| &ghost.text),
            "offers": offers.collect::<Vec<_>>(),
        })
    }

    fn line_column(&self, at: usize) -> LineColumn {
        positions::line_column(&self.text, Encoding::Utf8, at)
    }

    /// Lets the session take an event and does what it wants; the replies, and whether the engine ran.
    fn take(&mut self, event: Event) -> (Vec<(RequestKey, Reply)>, bool) {
        let (mut replies, mut ran) = (Vec::new(), false);
        let mut effects = VecDeque::from(self.session.handle(event, self.now));
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Respond(key, reply) => replies.push((key, reply)),
                Effect::Complete(job) => {
                    ran |= job.source == Source::MODEL;
                    for report in self.generator.complete(&job) {
                        let more = self.session.handle(Event::Engine(report), self.now);
                        effects.extend(more);
                    }
                }
                Effect::ReadWorkspace(number, folders, bytes_max) => {
                    let recalled = self.recall(number, &folders, bytes_max);
                    let more = self
                        .session
                        .handle(Event::Recalled(Box::new(recalled)), self.now);
                    effects.extend(more);
                }
                // Nobody looks at the status, and no project has settings.
                _ => {}
            }
        }
        (replies, ran)
    }

    /// The project as its disk has it before the scene is typed.
    fn recall(&self, number: u64, folders: &[Folder], bytes_max: u64) -> Recalled {
        let scene = self.scene;
        let last = scene.passages.last();
        let text = last.map_or_else(String::new, |last| {
            format!("{}{}{}", last.before, last.text, last.after)
        });
        let index = scene
            .disk
            .remembered(folders, bytes_max, (&scene.path, &text));
        let index = index.unwrap_or_else(|error| {
            tracing::error!("{}: its project cannot be read: {error:#}", scene.path);
            Index::default()
        });
        Recalled {
            number,
            files: index.paths().count(),
            bytes: index.bytes(),
            index,
            no_room: 0,
            is_whole: true,
        }
    }

    fn judge(&self, ghost: &Ghost, passage: &Passage, step: &Step) -> Verdict {
        let (before, after) = self.around();
        let place = Place {
            before: &before,
            after: &after,
            wanted: &passage.text[step.adds.end..],
            language: self.scene.language,
        };
        Verdict::of(ghost, &place)
    }

    fn around(&self) -> (String, String) {
        let at = self.text.byte_to_char(self.at);
        (
            self.text.slice(..at).to_string(),
            self.text.slice(at..).to_string(),
        )
    }

    /// What was wrong, with the line and the next ones.
    fn fault(&self, ghost: &Ghost, what: &str) -> String {
        let (before, after) = self.around();
        let line = before.lines().count();
        let after: Vec<&str> = after.split('\n').take(4).collect();
        format!(
            "{}:{line}: {what}: {:?} then {:?} for {} bytes of {:?}",
            self.scene.path,
            before.rsplit('\n').next().unwrap_or(""),
            ghost.text,
            ghost.replaces,
            after.join("\n"),
        )
    }
}

/// Bytes that both texts end with.
fn common_end(a: &str, b: &str) -> usize {
    let same = a.chars().rev().zip(b.chars().rev());
    let same = same.take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// A generator that counts what it does.
struct Metered {
    inner: Box<dyn Generator>,
    work: Work,
}

impl Metered {
    /// A job from its beginning to its end.
    fn complete(&mut self, job: &Job) -> Vec<Report> {
        let (sender, reports) = mpsc::channel();
        // Its receiver lives as long.
        let report = move |report| drop(sender.send(report));
        if job.source == Source::ECHO {
            engine_thread::echo(job, &report);
        } else {
            engine_thread::complete(self, job, &report);
        }
        drop(report);
        reports.into_iter().collect()
    }
}

impl Generator for Metered {
    fn facts(&self) -> ModelFacts {
        self.inner.facts()
    }

    fn plan(&self, document: &str, query: &Query<'_>) -> Plan {
        self.inner.plan(document, query)
    }

    fn generate(
        &mut self,
        document: &str,
        plan: &Plan,
        known: Known<'_>,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        let generated = self
            .inner
            .generate(document, plan, known, cancel, on_piece)?;
        let summary = &generated.summary;
        self.work.prompt_tokens += summary.prompt_tokens - summary.reused_tokens;
        self.work.written_tokens += summary.tokens.len();
        Ok(generated)
    }

    fn read(
        &mut self,
        document: &str,
        prompt: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<bool, GenerateError> {
        self.inner.read(document, prompt, cancel)
    }

    fn instruct(&self) -> Option<Instruct<'_>> {
        self.inner.instruct()
    }

    fn act(
        &mut self,
        turn: &Turn<'_>,
        cancel: &CancelToken,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError> {
        self.inner.act(turn, cancel, on_text)
    }

    fn release_actions(&mut self) {
        self.inner.release_actions();
    }

    fn discard_sessions(&mut self) {
        self.inner.discard_sessions();
    }
}
