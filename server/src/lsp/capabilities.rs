//! What the server says it can do.

use tower_lsp::gen_lsp_types::{
    CodeActionKind, CodeActionOptions, CompletionOptions, ExecuteCommandOptions, InitializeResult,
    PositionEncodingKind, ServerCapabilities, ServerInfo, TextDocumentSyncKind,
    TextDocumentSyncOptions, WorkspaceFoldersServerCapabilities, WorkspaceOptions,
};

use super::{actions, commands};
use crate::positions::Encoding;
use crate::session::ClientFacts;

/// Characters after which a menu is asked for. Space and line end would open it all the time.
const TRIGGER_CHARACTERS: [&str; 5] = [".", ":", "(", ",", "="];

/// The answer to `initialize`. Ghost text or menu entries, never both to one client.
pub(super) fn initialize_result(client: &ClientFacts) -> serde_json::Value {
    let menu = CompletionOptions {
        trigger_characters: Some(TRIGGER_CHARACTERS.map(str::to_owned).to_vec()),
        ..CompletionOptions::default()
    };
    let capabilities = ServerCapabilities {
        position_encoding: Some(match client.encoding {
            Encoding::Utf8 => PositionEncodingKind::UTF8,
            Encoding::Utf16 => PositionEncodingKind::UTF16,
            Encoding::Utf32 => PositionEncodingKind::UTF32,
        }),
        text_document_sync: Some(
            TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::Incremental),
                // A project's settings are read again when they are saved.
                save: Some(true.into()),
                ..TextDocumentSyncOptions::default()
            }
            .into(),
        ),
        inline_completion_provider: client.inline_completion.then(|| true.into()),
        completion_provider: (!client.inline_completion).then_some(menu),
        code_action_provider: Some(
            CodeActionOptions {
                code_action_kinds: Some(
                    actions::kinds()
                        .map(|kind| CodeActionKind::from(kind.to_owned()))
                        .collect(),
                ),
                ..CodeActionOptions::default()
            }
            .into(),
        ),
        execute_command_provider: Some(ExecuteCommandOptions {
            commands: commands::ALL.map(str::to_owned).to_vec(),
            ..ExecuteCommandOptions::default()
        }),
        workspace: Some(WorkspaceOptions {
            workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: Some(true.into()),
            }),
            ..WorkspaceOptions::default()
        }),
        ..ServerCapabilities::default()
    };
    let result = InitializeResult {
        capabilities,
        server_info: Some(ServerInfo {
            name: "carat".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }),
    };
    // Types of the protocol have no maps whose keys are no text.
    serde_json::to_value(result).unwrap_or_default()
}
