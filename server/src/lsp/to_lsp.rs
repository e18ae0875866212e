//! From the server's own types to answers of the protocol.

use serde_json::{Value, json};
use tower_lsp::gen_lsp_types::{
    CompletionItem, CompletionItemKind, CompletionItemLabelDetails, CompletionList, Documentation,
    InlineCompletionItem, InsertText, InsertTextFormat, InsertTextMode, MarkupContent, MarkupKind,
    Position, Range, TextEdit,
};
use tower_lsp::jsonrpc::{Error, Result};

use crate::completion::Silence;
use crate::documents::Snapshot;
use crate::positions::{self, Encoding};
use crate::session::{Answer, ClientFacts, Record, Reply, Shown};

/// Labels of a menu are cut here; wider ones are cut by editors anyway.
const LABEL_CHARS_MAX: usize = 60;

/// The answer to a request for text: null for a document that is not open, else at most one entry.
pub(super) fn completion(reply: Reply, menu: bool, client: &ClientFacts) -> Result<Value> {
    let encoding = client.encoding;
    let shown = match reply {
        Reply::Completion(Answer::Shown(shown)) => Some(shown),
        Reply::Completion(Answer::Empty) => None,
        Reply::Completion(Answer::Cancelled) => return Err(Error::request_cancelled()),
        _ => return Ok(Value::Null),
    };
    let answer = if menu {
        let entries = shown.iter().map(|shown| menu_item(shown, encoding));
        serde_json::to_value(self::menu(entries.collect()))
    } else {
        let items = shown.iter().flat_map(|shown| inline_items(shown, encoding));
        let mut items: Vec<_> = items.collect();
        for item in items.iter_mut().filter(|_| client.line_feeds) {
            if let InsertText::String(text) = &mut item.insert_text {
                *text = text.replace("\r\n", "\n");
            }
        }
        serde_json::to_value(items)
    };
    answer.map_err(|_| Error::internal_error())
}

/// The answer to a command.
pub(super) fn command(reply: Reply) -> Value {
    match reply {
        Reply::Record(record) => record.map_or(Value::Null, |record| last_prompt(&record)),
        Reply::Paused(paused) => json!({ "paused": paused }),
        Reply::Language(language, enabled) => json!({ "language": language, "enabled": enabled }),
        // What an action makes is delivered later.
        _ => Value::Null,
    }
}

/// A record as JSON; `caret` is a byte offset in `document`, which is UTF-8.
fn last_prompt(record: &Record) -> Value {
    json!({
        "uri": &*record.snapshot.uri,
        "version": record.snapshot.version,
        "document": record.snapshot.text.to_string(),
        "caret": record.caret,
        "prompt": record.prompt,
        "completion": record.completion,
        "context": record.context,
        "source": record.source,
        "echo": record.echo,
        "tier": record.model.as_ref().map(|model| model.tier),
        "model": record.model.as_ref().map(|model| &model.name),
        "ms": record.took.as_secs_f64() * 1e3,
        "silence": record.silence.as_ref().map(Silence::code),
        "why": why(record),
        "probability": record.probability,
    })
}

/// One sentence: what decided whether there was text.
fn why(record: &Record) -> String {
    match (&record.silence, record.probability) {
        (Some(silence), _) => format!("Nothing is shown: {silence}."),
        (None, Some(probability)) => format!(
            "Text is shown: its probability by the model's own account is {:.0}%.",
            probability * 100.0
        ),
        (None, None) => "There is no answer yet.".to_owned(),
    }
}

/// What the scripted generator is doing.
#[cfg(feature = "testing")]
pub(super) fn activity() -> Value {
    use std::sync::atomic::Ordering::{Acquire, Relaxed};

    use crate::generator::scripted::ACTIVITY;
    json!({
        "busy": ACTIVITY.busy.load(Acquire),
        "generations": ACTIVITY.generations.load(Relaxed),
        "tokens": ACTIVITY.tokens.load(Relaxed),
    })
}

/// A range of bytes on the wire.
pub(super) fn wire_range(
    document: &Snapshot,
    encoding: Encoding,
    range: &std::ops::Range<usize>,
) -> Value {
    let position = |byte| {
        let at = positions::line_column(&document.text, encoding, byte);
        json!({ "line": at.line, "character": at.column })
    };
    json!({ "start": position(range.start), "end": position(range.end) })
}

/// A completion as ghost text, and what may stand there instead. The range is always there: editors
/// differ in what they do without.
fn inline_items(
    shown: &Shown,
    encoding: Encoding,
) -> impl Iterator<Item = InlineCompletionItem> + use<'_> {
    let first = (&shown.replace, &shown.text);
    let others = shown.others.iter().map(|(replace, text)| (replace, text));
    std::iter::once(first)
        .chain(others)
        .map(move |(replace, text)| InlineCompletionItem {
            insert_text: InsertText::String(text.clone()),
            filter_text: None,
            range: Some(range(&shown.snapshot, encoding, replace.clone())),
            command: None,
        })
}

/// A completion as an entry of a menu, made to stand out, to stay put and to replace the begun word.
fn menu_item(shown: &Shown, encoding: Encoding) -> CompletionItem {
    let start = word_start(shown);
    let word = shown
        .snapshot
        .text
        .byte_slice(start..shown.caret)
        .to_string();
    let first_line = shown
        .text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let label: String = format!("{word}{first_line}")
        .trim()
        .chars()
        .take(LABEL_CHARS_MAX)
        .collect();
    let new_text = format!("{word}{}", shown.text);
    CompletionItem {
        label,
        label_details: Some(CompletionItemLabelDetails {
            detail: None,
            description: Some("carat".to_owned()),
        }),
        kind: Some(CompletionItemKind::Text),
        preselect: Some(true),
        // Sorts before everything that can be typed.
        sort_text: Some("\u{0}".to_owned()),
        filter_text: Some(format!("{word}{first_line}")),
        // The default of the protocol, and said nevertheless: Neovim 0.10 takes what says nothing for a snippet.
        insert_text_format: Some(InsertTextFormat::PlainText),
        insert_text_mode: Some(InsertTextMode::AsIs),
        documentation: Some(Documentation::MarkupContent(MarkupContent {
            kind: MarkupKind::Markdown,
            value: format!("```{}\n{new_text}\n```", shown.snapshot.language_id),
        })),
        text_edit: Some(
            TextEdit {
                range: range(&shown.snapshot, encoding, start..shown.replace.end),
                new_text,
            }
            .into(),
        ),
        ..CompletionItem::default()
    }
}

/// A menu's entries. "Incomplete" makes the editor ask again when the user types on.
fn menu(items: Vec<CompletionItem>) -> CompletionList {
    CompletionList {
        is_incomplete: true,
        items,
        ..CompletionList::default()
    }
}

fn range(document: &Snapshot, encoding: Encoding, bytes: std::ops::Range<usize>) -> Range {
    let position = |byte| {
        let at = positions::line_column(&document.text, encoding, byte);
        Position {
            line: at.line,
            character: at.column,
        }
    };
    Range {
        start: position(bytes.start),
        end: position(bytes.end),
    }
}

/// Start of the word that ends at the caret.
fn word_start(shown: &Shown) -> usize {
    let text = &shown.snapshot.text;
    let caret = text.byte_to_char(shown.caret);
    let word = text
        .chars_at(caret)
        .reversed()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .count();
    text.char_to_byte(caret - word)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ropey::Rope;

    use super::*;

    fn shown(text: &str, completion: &str, swallow: usize) -> Shown {
        let caret = text.find('|').expect("a caret");
        let snapshot = Snapshot {
            uri: Arc::from("file:///a.rs"),
            version: 1,
            language_id: Arc::from("rust"),
            language: None,
            path: Arc::from("a.rs"),
            text: Rope::from_str(&text.replace('|', "")),
        };
        Shown {
            snapshot,
            caret,
            replace: caret..caret + swallow,
            text: completion.to_owned(),
            others: vec![(caret..caret, "another".to_owned())],
        }
    }

    #[test]
    fn line_ends_are_those_that_the_client_takes() {
        for (line_feeds, expected) in [(false, "x;\r\ny;"), (true, "x;\ny;")] {
            let client = ClientFacts {
                line_feeds,
                ..ClientFacts::default()
            };
            let reply = Reply::Completion(Answer::Shown(shown("(|)\r\n", "x;\r\ny;", 0)));
            let json = completion(reply, false, &client).expect("an answer");
            assert_eq!(json[0]["insertText"], expected);
        }
    }

    #[test]
    fn ghost_text_always_has_a_range() {
        let shown = shown("é(|)\n", "x)", 1);
        let items: Vec<_> = inline_items(&shown, Encoding::Utf16).collect();
        let json = serde_json::to_value(items).expect("json");
        let expected = serde_json::json!([
            {
                "insertText": "x)",
                "range": { "start": { "line": 0, "character": 2 }, "end": { "line": 0, "character": 3 } },
            },
            {
                "insertText": "another",
                "range": { "start": { "line": 0, "character": 2 }, "end": { "line": 0, "character": 2 } },
            },
        ]);
        assert_eq!(json, expected);
    }

    #[test]
    fn a_menu_entry_replaces_the_begun_word() {
        let item = menu_item(&shown("let a = fo|;", "o(1)", 0), Encoding::Utf8);
        assert_eq!(
            (item.label.as_str(), item.filter_text.as_deref()),
            ("foo(1)", Some("foo(1)"))
        );
        let json = serde_json::to_value(&item).expect("json");
        assert_eq!(json["textEdit"]["newText"], "foo(1)");
        assert_eq!(json["textEdit"]["range"]["start"]["character"], 8);
        assert_eq!(json["textEdit"]["range"]["end"]["character"], 10);
        assert_eq!(json["kind"], 1);
        assert_eq!(json["insertTextFormat"], 1);
        assert_eq!(json["insertTextMode"], 1);
    }
}
