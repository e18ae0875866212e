//! What the model sees around the unit: the headers of what it stands in, the signatures that it uses.

use carat_grammars::SyntaxTree;

use super::unit::Unit;

/// About 400 tokens: enough for a handful of signatures, little to read before the answer begins.
const BYTES_MAX: usize = 1600;

/// Signatures in the order of the file; empty if nothing is worth showing.
pub(super) fn around(text: &str, tree: &SyntaxTree, unit: &Unit) -> String {
    let range = unit.item.as_ref().map_or(&unit.range, |item| &item.range);
    let piece = &text[range.clone()];
    let own = unit.name(text);
    let mut lines: Vec<String> = Vec::new();
    let mut bytes = 0;
    for item in tree.items() {
        let around = item.code.start < range.start && range.end <= item.code.end;
        let outside = item.range.end <= range.start || range.end <= item.range.start;
        let used = || {
            item.name.clone().is_some_and(|name| {
                let name = &text[name];
                Some(name) != own && has_word(piece, name)
            })
        };
        let shown = around || (outside && used());
        if !shown {
            continue;
        }
        let end = item.body.as_ref().map_or(item.code.end, |body| body.start);
        let Some(signature) = text.get(item.code.start..end) else {
            continue;
        };
        let signature = one_line(signature);
        let line = if item.body.is_some() {
            format!("{signature} …")
        } else {
            signature
        };
        if bytes + line.len() > BYTES_MAX || lines.contains(&line) {
            continue;
        }
        bytes += line.len();
        lines.push(line);
    }
    lines.join("\n")
}

/// Signatures are shown on one line, whatever their layout.
fn one_line(signature: &str) -> String {
    let words: Vec<&str> = signature.split_whitespace().collect();
    words
        .join(" ")
        .trim_end_matches(['{', ':'])
        .trim_end()
        .to_owned()
}

fn has_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
        })
}
