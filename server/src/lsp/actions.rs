//! Code actions over the protocol: a menu of commands, orders, and what comes of them.
//!
//! `textDocument/codeAction` offers commands and never runs the model. `workspace/executeCommand`
//! orders an action, which is answered at once; what it makes is delivered later.

mod command;
mod deliver;
mod menu;
mod view;

use serde_json::Value;

pub(super) use command::order;
pub(super) use deliver::deliver;
pub(super) use menu::{Menu, kinds};
pub(super) use view::Views;

use crate::mailbox::ActionKey;

/// How tokens of progress begin; the key follows.
const TOKEN: &str = "carat/action/";

/// The progress token of an action.
pub(super) fn token(key: ActionKey) -> String {
    format!("{TOKEN}{}", key.0)
}

/// The action of a progress token.
pub(super) fn key_of(token: Option<&Value>) -> Option<ActionKey> {
    let key = token?.as_str()?.strip_prefix(TOKEN)?;
    key.parse().ok().map(ActionKey)
}
