//! Code actions over the protocol: a menu of commands, and commands that work in the background.
//!
//! `textDocument/codeAction` offers commands and never runs the model. `workspace/executeCommand`
//! queues the action in wire order (`book`), replies at once, and a task of its own (`perform`) shows
//! progress and delivers what comes of it.

mod book;
mod deliver;
mod facts;
mod perform;
mod view;
mod wire;

pub(super) use book::{ActionBook, Begun};
pub(super) use facts::ActionFacts;
pub(super) use perform::Performer;
pub(super) use view::Views;
pub(super) use wire::{BadOrder, COMMANDS, MenuRequest, kinds, menu, menu_request, order};
