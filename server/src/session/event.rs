//! Everything that can happen to a session.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::client::ClientFacts;
use super::effect::RequestKey;
use crate::documents::{Change, Opened};
use crate::mailbox::{ActionKey, Report};
use crate::memory::Recalled;
use crate::positions::LineColumn;
use crate::settings::ProjectFile;

/// Something happened. Events of the client come in the order in which it sent them.
#[derive(Debug)]
pub enum Event {
    /// The client says who it is: its abilities, its first options, its folders.
    Introduced(Box<ClientFacts>, Value, Vec<PathBuf>),
    /// The client may be sent messages.
    Listening,
    /// A document was opened.
    Opened(Opened),
    /// A document was changed.
    Changed(String, Option<i32>, Vec<Change>),
    /// A document was closed, or a message about it cannot be read, so that its text is not known any more.
    Closed(String),
    /// The client's configuration has changed; nothing if it has to be asked for it.
    Configured(Value),
    /// The client's answer to the question for its configuration, if it has one.
    Pulled(Option<Value>),
    /// Folders were opened and closed.
    FoldersChanged(Vec<PathBuf>, Vec<PathBuf>),
    /// A file was saved, or changed on the disk.
    FileChanged(PathBuf),
    /// More is known of the workspace.
    Recalled(Box<Recalled>),
    /// The files of models, by their names; those that are not there are left out.
    ModelsFound(BTreeMap<String, PathBuf>),
    /// The projects' own settings were read.
    ProjectsRead(Vec<ProjectFile>),
    /// A request, which gets exactly one reply.
    Requested(RequestKey, Request),
    /// The client takes a request back.
    Cancelled(RequestKey),
    /// The user takes an action back.
    ActionCancelled(ActionKey),
    /// The client shows progress of an action, or will not.
    ProgressAllowed(ActionKey, bool),
    /// The client did not apply a change, for this reason.
    EditRefused(String),
    /// The machine runs on its battery from now on, or does not any more.
    OnBattery(bool),
    /// An engine reports.
    Engine(Report),
    /// The moment has come that [`super::Session::due`] gave.
    Tick,
    /// The client goes away.
    Left,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Text at a caret.
    Complete(Wish),
    /// What a menu of actions is made from: the document, the user's own actions.
    Menu(String),
    /// An action on a range of a document.
    Act(ActionCommand),
    /// The record of the last completion.
    LastRecord,
    /// Why nothing, or something, comes at a caret while typing; without one, of the last request.
    Why(Option<Wish>),
    /// Pause completion, or resume it.
    Toggle,
    /// Pause completion for this long; for no time at all, resume it.
    Snooze(Duration),
    /// Switch a language on or off until the server ends.
    SetLanguage(String, bool),
    /// Do not offer again here what stands at the caret.
    Dismiss,
}

/// A wish for text, as it was sent: only a document gives its positions a meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The document.
    pub uri: String,
    /// The caret.
    pub at: LineColumn,
    /// Whether it is for a menu of completions, rather than for ghost text.
    pub menu: bool,
    /// Whether the client says that the user asked for it.
    pub invoked: bool,
    /// The selected entry of a menu, with what it replaces.
    pub selected: Option<(Range<LineColumn>, String)>,
}

/// An order for an action, as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionCommand {
    /// The document.
    pub uri: String,
    /// The version that the user saw, if the client says it.
    pub version: Option<i32>,
    /// What is selected.
    pub range: Range<LineColumn>,
    /// What to do.
    pub choice: ActionChoice,
}

/// What an action is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionChoice {
    /// As it says.
    Action(crate::actions::Action),
    /// Repair what a diagnostic says, at a range of its own.
    Fix(String, Option<Range<LineColumn>>),
    /// The user's own action of this title.
    Custom(String),
}
