//! The menus of code actions that were opened last: an order means the text that its menu was opened on,
//! also where keys came between. Editors fill their menus with requests of their own, so that whoever
//! orders and types on at once is faster than the order.

use std::collections::VecDeque;

use crate::actions::change::PositionMap;
use crate::documents::{Changed, Snapshot};

/// Editors also ask for menus that nobody opens, at every rest of the caret.
const MENUS_MAX: usize = 8;

/// A menu is not kept for longer: whoever edits so much has forgotten it.
const EDITS_MAX: usize = 200;

/// The last menus, oldest first.
#[derive(Debug, Default)]
pub(super) struct Menus {
    opened: VecDeque<Asked>,
}

/// A text that something was asked of, and what happened to it since.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The text when it was asked.
    pub(super) then: Snapshot,
    /// The edits since.
    pub(super) since: PositionMap,
    /// The text now.
    pub(super) now: Snapshot,
}

impl Asked {
    /// What is asked of a text as it is now.
    pub(super) fn of(now: Snapshot) -> Self {
        Self {
            then: now.clone(),
            since: PositionMap::default(),
            now,
        }
    }

    /// The document changed.
    pub(super) fn edited(&mut self, changed: &Changed) {
        for edit in &changed.edits {
            self.since.edited(edit);
        }
        self.now = changed.now.clone();
    }
}

impl Menus {
    /// A menu is opened on a text.
    pub(super) fn opened(&mut self, document: Snapshot) {
        let is_same = |menu: &Asked| is(&menu.then, &document.uri, document.version);
        self.opened.retain(|menu| !is_same(menu));
        if self.opened.len() == MENUS_MAX {
            self.opened.pop_front();
        }
        self.opened.push_back(Asked::of(document));
    }

    /// A document changed.
    pub(super) fn edited(&mut self, changed: &Changed) {
        for menu in &mut self.opened {
            if *menu.now.uri == *changed.now.uri {
                menu.edited(changed);
            }
        }
        self.opened.retain(|menu| menu.since.len() <= EDITS_MAX);
    }

    /// A document was closed, or opened anew.
    pub(super) fn closed(&mut self, uri: &str) {
        self.opened.retain(|menu| *menu.now.uri != *uri);
    }

    /// The text of this version, if a menu was opened on it.
    pub(super) fn of(&self, uri: &str, version: i32) -> Option<&Asked> {
        self.opened.iter().find(|menu| is(&menu.then, uri, version))
    }
}

fn is(document: &Snapshot, uri: &str, version: i32) -> bool {
    *document.uri == *uri && document.version == version
}
