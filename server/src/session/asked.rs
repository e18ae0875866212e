//! What a wish for text or an order for an action means in the documents and settings as they are now.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::menus::Asked;
use super::{ActionChoice, ActionCommand, BACKGROUND, Query, Selected, Session, Wish};
use crate::actions::Action;
use crate::completion::{Silence, is_secret_file};
use crate::documents::Snapshot;
use crate::mailbox::Source;
use crate::positions::{self, LineColumn};
use crate::settings::{Pause, Trigger};

/// Whether a document is a file that holds secrets: by its whole path, since the folder that makes it one
/// need not lie in the workspace.
pub(super) fn is_secret(uri: &str) -> bool {
    is_secret_file(&place(uri))
}

/// What patterns of files are compared with: the path, or the name of what is in no file.
fn place(uri: &str) -> String {
    crate::file_uri::file(uri).map_or_else(
        || crate::file_uri::name(uri),
        |path| path.to_string_lossy().into_owned(),
    )
}

impl Session {
    /// What a wish for text asks of the sources, and what keeps them from being asked; `None` for a
    /// document that is not open.
    pub(super) fn query(&self, wish: &Wish, now: Instant) -> Option<(Query, Option<Silence>)> {
        let snapshot = self.documents.snapshot(&wish.uri)?;
        // A menu's trigger kind 1 is any typing; only ghost text tells whether the user asked.
        let explicit = wish.invoked && !wish.menu;
        let path = crate::file_uri::file(&wish.uri);
        let settings = self
            .settings
            .of_document(path.as_deref(), &snapshot.language_id);
        let in_time = explicit || wish.menu || settings.trigger == Trigger::Automatic;
        let silence = self
            .is_paused(now)
            .then_some(Silence::Paused)
            .or_else(|| settings.silence(&snapshot.language_id))
            .or_else(|| self.left_out(&wish.uri))
            .or((!in_time).then_some(Silence::Manual));
        let deadline = match (wish.menu, explicit) {
            (true, _) => settings.menu_deadline,
            (false, true) => settings.explicit_deadline,
            (false, false) => settings.deadline,
        };
        let caret = self.offset(&snapshot, wish.at);
        let selected = wish.selected.as_ref().filter(|_| !wish.menu);
        let selected = selected.map(|(range, text)| Selected {
            range: self.offset(&snapshot, range.start)..self.offset(&snapshot, range.end),
            text: text.clone(),
        });
        // An entry that would replace anything else than what was begun on the caret's line is none.
        let begun = |selected: &Selected| {
            selected.range.start <= selected.range.end
                && selected.range.end == caret
                && snapshot.text.byte_to_line(selected.range.start)
                    == snapshot.text.byte_to_line(caret)
        };
        let language_id = &snapshot.language_id;
        let rest = self.roles.rest(language_id);
        let rest = rest.filter(|_| explicit || !self.spares_power());
        let sources = [
            rest,
            Some(self.roles.typing(language_id)),
            Some(Source::ECHO),
        ];
        let sources = sources.into_iter().flatten();
        let query = Query {
            caret,
            rest,
            sources: sources
                .filter(|source| self.requests.state(*source).is_some())
                .collect(),
            selected: selected.filter(begun),
            explicit,
            menu: wish.menu,
            delay: if explicit || wish.menu {
                Duration::ZERO
            } else {
                settings.delay
            },
            deadline,
            // A menu shows nothing of anyone before all have answered.
            patience: if wish.menu {
                Duration::ZERO
            } else {
                BACKGROUND
            },
            max_tokens: settings.max_tokens,
            manners: Arc::clone(&settings.manners),
            remembered_as: self.workspace.remembered_as(&wish.uri).into(),
            snapshot,
        };
        Some((query, silence))
    }

    /// Whether the user wants to be left alone.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        match self.settings.pause() {
            Pause::No => false,
            Pause::UntilResumed => true,
            Pause::Until(end) => now < end,
        }
    }

    /// Why a document is neither completed nor shown to a model, if it is not.
    pub(super) fn left_out(&self, uri: &str) -> Option<Silence> {
        if is_secret(uri) {
            return Some(Silence::SecretFile);
        }
        let pattern = self.disabled(uri)?;
        Some(Silence::DisabledFile {
            pattern: pattern.to_owned(),
        })
    }

    /// The pattern of the user's settings that leaves a document out.
    pub(super) fn disabled(&self, uri: &str) -> Option<&str> {
        self.settings.user().disabled.find(&place(uri))
    }

    /// The action that is ordered, or why there is none.
    pub(super) fn action(
        &self,
        order: &ActionCommand,
    ) -> Result<(Asked, Range<usize>, Action), String> {
        let now = self.documents.snapshot(&order.uri);
        let now = now.ok_or_else(|| "the document is not open in this editor".to_owned())?;
        let asked = match order.version {
            Some(version) if version != now.version => self.menus.of(&order.uri, version).cloned(),
            _ => Some(Asked::of(now)),
        };
        let asked = asked.ok_or_else(|| {
            "the document has changed since the menu was opened; open it again".to_owned()
        })?;
        let document = asked.then.clone();
        if let Some(silence) = self.left_out(&order.uri) {
            return Err(silence.to_string());
        }
        let selection = self.offsets(&document, &order.range);
        let action = match &order.choice {
            ActionChoice::Action(action) => action.clone(),
            ActionChoice::Fix(message, range) => Action::Fix {
                message: message.clone(),
                at: range
                    .as_ref()
                    .map_or_else(|| selection.clone(), |range| self.offsets(&document, range)),
            },
            ActionChoice::Custom(title) => {
                let known = &self.settings.user().actions;
                let known = known.iter().find(|action| action.title == *title);
                let known =
                    known.ok_or_else(|| format!("the settings have no action `{title}`"))?;
                Action::Custom(known.clone())
            }
        };
        Ok((asked, selection, action))
    }

    fn offset(&self, document: &Snapshot, at: LineColumn) -> usize {
        positions::offset(&document.text, self.client.encoding, at)
    }

    /// A range in bytes, its ends in order.
    fn offsets(&self, document: &Snapshot, range: &Range<LineColumn>) -> Range<usize> {
        let a = self.offset(document, range.start);
        let b = self.offset(document, range.end);
        a.min(b)..a.max(b)
    }
}
