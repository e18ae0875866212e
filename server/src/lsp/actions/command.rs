//! Orders for code actions on the wire.

use serde::Deserialize;
use serde_json::Value;

use crate::actions::Action;
use crate::lsp::commands::{CUSTOM, DOCUMENT, EXPLAIN, FIX, REFACTOR, WRITE_TESTS};
use crate::lsp::from_lsp::WireRange;
use crate::session::{ActionChoice, ActionCommand};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderParams {
    #[serde(default)]
    arguments: Vec<Value>,
}

#[derive(Deserialize)]
struct Argument {
    uri: String,
    range: WireRange,
    #[serde(default)]
    version: Option<i32>,
    #[serde(default)]
    instruction: Option<String>,
    #[serde(default)]
    diagnostic: Option<DiagnosticArgument>,
    #[serde(default)]
    title: Option<String>,
}

#[derive(Deserialize)]
struct DiagnosticArgument {
    message: String,
    #[serde(default)]
    range: Option<WireRange>,
}

/// Reads `workspace/executeCommand` for the command `name`; the error is for the client's author.
pub(in crate::lsp) fn order(name: &str, params: Option<&Value>) -> Result<ActionCommand, String> {
    if ![EXPLAIN, REFACTOR, DOCUMENT, WRITE_TESTS, FIX, CUSTOM].contains(&name) {
        return Err(format!("there is no command `{name}`"));
    }
    let malformed = |error: serde_json::Error| error.to_string();
    let params = OrderParams::deserialize(params.unwrap_or(&Value::Null)).map_err(malformed)?;
    let argument = params.arguments.first().unwrap_or(&Value::Null);
    let argument = Argument::deserialize(argument).map_err(malformed)?;
    let choice = match name {
        EXPLAIN => ActionChoice::Action(Action::Explain),
        DOCUMENT => ActionChoice::Action(Action::Document),
        WRITE_TESTS => ActionChoice::Action(Action::WriteTests),
        REFACTOR => ActionChoice::Action(Action::Refactor {
            instruction: argument.instruction,
        }),
        FIX => {
            let diagnostic = argument.diagnostic;
            let diagnostic = diagnostic.ok_or_else(|| "there is no `diagnostic`".to_owned())?;
            ActionChoice::Fix(diagnostic.message, diagnostic.range.map(Into::into))
        }
        _ => ActionChoice::Custom(argument.title.unwrap_or_default()),
    };
    Ok(ActionCommand {
        uri: argument.uri,
        version: argument.version,
        range: argument.range.into(),
        choice,
    })
}
