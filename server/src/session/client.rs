//! What a client can do.

use crate::positions::Encoding;

/// What the server keeps of the client's introduction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an ability of its own"
)]
pub struct ClientFacts {
    /// The unit of its positions.
    pub encoding: Encoding,
    /// Whether it shows ghost text.
    pub inline_completion: bool,
    /// Its process.
    pub process_id: Option<u32>,
    /// Whether it wants to know the status.
    pub status: bool,
    /// Whether it asks for ghost text again when told that there is a better line.
    pub asks_again: bool,
    /// Whether it answers when asked for its configuration.
    pub pulls: bool,
    /// Whether it watches files when asked to.
    pub watches: bool,
    /// Whether it takes `\n` alone for the end of a line in ghost text, also where the document has `\r\n`.
    pub line_feeds: bool,
    /// What it can do with the outcome of code actions.
    pub actions: ActionFacts,
}

impl Default for ClientFacts {
    fn default() -> Self {
        Self {
            encoding: Encoding::Utf16,
            inline_completion: false,
            process_id: None,
            status: false,
            asks_again: false,
            pulls: false,
            watches: false,
            line_feeds: false,
            actions: ActionFacts::default(),
        }
    }
}

/// The abilities that code actions depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an ability of its own"
)]
pub struct ActionFacts {
    /// Menus may hold code actions, not only commands.
    pub literals: bool,
    /// Entries may say that a model writes the change.
    pub tags: bool,
    /// Menus may hold entries that cannot be chosen and say why.
    pub disabled_entries: bool,
    /// Servers may edit.
    pub apply_edit: bool,
    /// Edits may name the version that they are for.
    pub document_changes: bool,
    /// Edits may ask to be confirmed.
    pub annotations: bool,
    /// Edits may create files.
    pub create_files: bool,
    /// Servers may open documents.
    pub show_document: bool,
    /// There are progress bars.
    pub progress: bool,
    /// It has a view of its own for explanations.
    pub explanation_view: bool,
}
