//! From the server's own types to answers of the protocol.

use tower_lsp::gen_lsp_types::{
    CompletionItem, CompletionItemKind, CompletionItemLabelDetails, CompletionList, Documentation,
    InlineCompletionItem, InsertText, InsertTextMode, MarkupContent, MarkupKind, Position, Range,
    TextEdit,
};

use crate::arbiter::Shown;
use crate::positions::{self, Encoding};

/// Labels of a menu are cut here; wider ones are cut by editors anyway.
const LABEL_CHARS_MAX: usize = 60;

/// A completion as ghost text. The range is always there: editors differ in what they do without.
pub(super) fn inline_item(shown: &Shown, encoding: Encoding) -> InlineCompletionItem {
    InlineCompletionItem {
        insert_text: InsertText::String(shown.text.clone()),
        filter_text: None,
        range: Some(range(shown, encoding, shown.replace.start)),
        command: None,
    }
}

/// A completion as an entry of a menu, made to stand out, to stay put and to replace the begun word.
pub(super) fn menu_item(shown: &Shown, encoding: Encoding) -> CompletionItem {
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
        insert_text_mode: Some(InsertTextMode::AsIs),
        documentation: Some(Documentation::MarkupContent(MarkupContent {
            kind: MarkupKind::Markdown,
            value: format!("```{}\n{new_text}\n```", shown.snapshot.language_id),
        })),
        text_edit: Some(
            TextEdit {
                range: range(shown, encoding, start),
                new_text,
            }
            .into(),
        ),
        ..CompletionItem::default()
    }
}

/// A menu's entries. "Incomplete" makes the editor ask again when the user types on.
pub(super) fn menu(items: Vec<CompletionItem>) -> CompletionList {
    CompletionList {
        is_incomplete: true,
        items,
        ..CompletionList::default()
    }
}

fn range(shown: &Shown, encoding: Encoding, start: usize) -> Range {
    let position = |byte| {
        let at = positions::line_column(&shown.snapshot.text, encoding, byte);
        Position {
            line: at.line,
            character: at.column,
        }
    };
    Range {
        start: position(start),
        end: position(shown.replace.end),
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
    use crate::documents::Snapshot;

    fn shown(text: &str, completion: &str, swallow: usize) -> Shown {
        let caret = text.find('|').expect("a caret");
        let snapshot = Snapshot {
            uri: Arc::from("file:///a.rs"),
            version: 1,
            language_id: Arc::from("rust"),
            text: Rope::from_str(&text.replace('|', "")),
        };
        Shown {
            snapshot,
            caret,
            replace: caret..caret + swallow,
            text: completion.to_owned(),
        }
    }

    #[test]
    fn ghost_text_always_has_a_range() {
        let json = serde_json::to_value(inline_item(&shown("é(|)\n", "x)", 1), Encoding::Utf16))
            .expect("json");
        let expected = serde_json::json!({
            "insertText": "x)",
            "range": { "start": { "line": 0, "character": 2 }, "end": { "line": 0, "character": 3 } },
        });
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
        assert_eq!(json["insertTextMode"], 1);
    }
}
