//! The commands that clients may execute: their names, and what their arguments mean.

use std::time::Duration;

use serde_json::Value;

use super::{actions, from_lsp};
use crate::session::Request;

/// A day has not more.
const MINUTES_MAX: f64 = 24.0 * 60.0;

/// Identifiers of languages are words.
const LANGUAGE_BYTES_MAX: usize = 100;

/// Tells what the last completion was asked and answered.
pub(super) const LAST_PROMPT: &str = "carat.lastPrompt";
/// Pauses completion, or resumes it.
pub(super) const TOGGLE: &str = "carat.toggle";
/// Pauses completion for some minutes.
pub(super) const SNOOZE: &str = "carat.snooze";
/// Switches a language on or off until the server ends.
pub(super) const SET_LANGUAGE: &str = "carat.setLanguage";
/// Tells why nothing comes at a caret, or something.
pub(super) const WHY: &str = "carat.why";
/// What stands at the caret is not wanted there.
pub(super) const DISMISS: &str = "carat.dismiss";

pub(super) const EXPLAIN: &str = "carat.explain";
pub(super) const REFACTOR: &str = "carat.refactor";
pub(super) const DOCUMENT: &str = "carat.document";
pub(super) const WRITE_TESTS: &str = "carat.writeTests";
pub(super) const FIX: &str = "carat.fix";
pub(super) const CUSTOM: &str = "carat.custom";

/// All of them, as `initialize` announces them.
pub(super) const ALL: [&str; 12] = [
    LAST_PROMPT,
    TOGGLE,
    SNOOZE,
    SET_LANGUAGE,
    WHY,
    DISMISS,
    EXPLAIN,
    REFACTOR,
    DOCUMENT,
    WRITE_TESTS,
    FIX,
    CUSTOM,
];

/// The command by which tests see what the scripted generator is doing.
#[cfg(feature = "testing")]
pub(super) const ACTIVITY: &str = "carat.testing.activity";

/// Reads `workspace/executeCommand`; the error is for the client's author.
pub(super) fn request(params: Option<&Value>) -> Result<Request, String> {
    let name = params.and_then(|params| params.get("command")?.as_str());
    let name = name.ok_or("the command has no name")?;
    let argument = |number: usize| params.and_then(|params| params["arguments"].get(number));
    match name {
        LAST_PROMPT => Ok(Request::LastRecord),
        TOGGLE => Ok(Request::Toggle),
        DISMISS => Ok(Request::Dismiss),
        SNOOZE => {
            let minutes = argument(0).and_then(Value::as_f64);
            let minutes = minutes.filter(|minutes| (0.0..=MINUTES_MAX).contains(minutes));
            let minutes = minutes.ok_or_else(|| format!("`{SNOOZE}` takes a number of minutes"))?;
            Ok(Request::Snooze(Duration::from_secs_f64(minutes * 60.0)))
        }
        SET_LANGUAGE => {
            let language = argument(0).and_then(Value::as_str);
            let language = language.filter(|id| !id.is_empty() && id.len() <= LANGUAGE_BYTES_MAX);
            match (language, argument(1).and_then(Value::as_bool)) {
                (Some(language), Some(enabled)) => {
                    Ok(Request::SetLanguage(language.to_owned(), enabled))
                }
                _ => Err(format!(
                    "`{SET_LANGUAGE}` takes the identifier of a language and a boolean"
                )),
            }
        }
        WHY => {
            let place = argument(0).filter(|place| !place.is_null());
            let wish = place.map(|place| from_lsp::wish(Some(place), false));
            Ok(Request::Why(wish.transpose()?))
        }
        name => actions::order(name, params).map(Request::Act),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_read_and_nonsense_is_named() {
        let read = |command: &str, arguments: Value| {
            request(Some(&json!({ "command": command, "arguments": arguments })))
        };
        let minutes = |minutes: u64| Ok(Request::Snooze(Duration::from_secs(60 * minutes)));
        assert_eq!(read(SNOOZE, json!([10])), minutes(10));
        assert_eq!(read(SNOOZE, json!([0])), minutes(0));
        for nonsense in [
            json!([]),
            json!(null),
            json!([-1]),
            json!(["x"]),
            json!([1e300]),
        ] {
            assert!(read(SNOOZE, nonsense.clone()).is_err(), "{nonsense}");
        }
        assert_eq!(
            read(SET_LANGUAGE, json!(["go", false])),
            Ok(Request::SetLanguage("go".to_owned(), false))
        );
        assert!(read(SET_LANGUAGE, json!(["go"])).is_err());
        assert!(read(SET_LANGUAGE, json!(["", true])).is_err());
        assert_eq!(read(WHY, json!([])), Ok(Request::Why(None)));
        let place =
            json!({ "textDocument": { "uri": "u" }, "position": { "line": 1, "character": 2 } });
        match read(WHY, json!([place])) {
            Ok(Request::Why(Some(wish))) => assert_eq!((wish.uri.as_str(), wish.at.line), ("u", 1)),
            other => panic!("{other:?}"),
        }
        assert!(read(WHY, json!([{}])).is_err());
        assert!(read("carat.nothing", json!([])).is_err());
        assert!(request(None).is_err());
    }
}
