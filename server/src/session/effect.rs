//! Everything that a session can want done.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::query::Answer;
use super::record::Record;
use crate::actions::CustomAction;
use crate::documents::Snapshot;
use crate::mailbox::{ActionJob, ActionKey, Job, Source, WarmJob};
use crate::settings::KvCache;
use crate::statistics::Tally;
use crate::status::Status;
use crate::workspace::Folder;

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey(pub u64);

/// Something to do. Effects are performed in their order.
#[derive(Debug)]
pub enum Effect {
    /// Reply to a request.
    Respond(RequestKey, Reply),
    /// Find the files that these names of models mean.
    FindModels(Vec<String>),
    /// Load a model, and tell what comes of it.
    LoadModel(LoadModel),
    /// Ask a source for text.
    Complete(Job),
    /// Let the client ask again in a document of this version: there is a better line now.
    AskAgain(Arc<str>, i32),
    /// Read a text at a caret while nothing else is to be done.
    ReadAhead(WarmJob),
    /// Read nothing ahead any more.
    StopReading,
    /// Run an action.
    Act(ActionJob),
    /// End an action whose token is set.
    CancelAction(ActionKey),
    /// Let no engine work any more.
    StopEngines,
    /// Read the projects' own settings in these folders.
    ReadProjects(Vec<PathBuf>),
    /// Read a workspace, for the echo, into at most so many bytes: the reading's number, the folders.
    ReadWorkspace(u64, Vec<Folder>, u64),
    /// Look at a file of the workspace, or a folder, that may have changed.
    LookAt(PathBuf),
    /// Ask the client for its configuration.
    PullConfiguration,
    /// Ask the client to tell of changes of files that match these patterns.
    WatchFiles(Vec<String>),
    /// Show the client the status, if it wants to know.
    Status(Status),
    /// Count what was shown and taken.
    Count(Tally),
    /// Tell the user something in a sentence.
    Say(Severity, String),
    /// Show how far an action is.
    Progress(ActionKey, Progress),
    /// Bring the user what an action made.
    Deliver(Box<Delivery>),
}

/// A model to load.
#[derive(Clone, Debug)]
pub struct LoadModel {
    /// Whose it is.
    pub source: Source,
    /// Its name; `None` is the embedded one.
    pub model: Option<String>,
    /// Threads; `None` is one for each core.
    pub threads: Option<usize>,
    /// How it keeps what it has read.
    pub kv_cache: KvCache,
    /// How long it is kept without work; `None` is for ever.
    pub unload_after: Option<Duration>,
    /// Whether nobody waits for it at every key, so that others go first.
    pub patient: bool,
}

/// A reply to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The document is not open.
    NotOpen,
    /// What is shown at a caret.
    Completion(Answer),
    /// What a menu of actions is made from, and whether the model can act at all.
    Menu(Snapshot, Vec<CustomAction>, bool),
    /// The order was taken; what comes of it follows.
    Ordered,
    /// The last completion, if there was one.
    Record(Option<Box<Record>>),
    /// Whether completion is paused now.
    Paused(bool),
    /// A language, and whether it is on now.
    Language(String, bool),
    /// It will not be offered again here.
    Dismissed,
}

/// How much a message weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something was not done.
    Warning,
    /// Good to know.
    Info,
}

/// A step of a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Ask the client for a bar.
    Create,
    /// Show it, with a title and a message.
    Begin(String, String),
    /// Change its message.
    Report(String),
    /// Take it away, with a last message.
    End(Option<&'static str>),
}

/// What an action made.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Markdown to read.
    Show {
        /// Its title.
        title: String,
        /// The text.
        markdown: String,
        /// The document that it is about, and where.
        about: (Snapshot, Range<usize>),
    },
    /// Replacements in a document.
    Edit {
        /// What was done.
        title: String,
        /// The document that they are for.
        document: Snapshot,
        /// Each in bytes of that document.
        edits: Vec<(Range<usize>, String)>,
    },
    /// A file beside a document; if it cannot be made, its text is shown.
    NewFile {
        /// What was done.
        title: String,
        /// The file's name.
        name: String,
        /// Its text.
        text: String,
        /// The document, and what it was made from.
        about: (Snapshot, Range<usize>),
    },
}
