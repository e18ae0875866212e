//! A line of Rust, split into code and string literals, without comments.
//!
//! This is a scan of text, not a parser: literals that span lines are taken for code. That is
//! enough for rules about names, which do not occur there.

/// What one line of Rust says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Line {
    /// The code, with `""` in place of every string literal.
    pub(crate) code: String,
    /// The contents of the string literals.
    pub(crate) literals: Vec<String>,
}

/// Splits one line.
pub(crate) fn split(line: &str) -> Line {
    let mut found = Line::default();
    let mut rest = line.chars().peekable();
    let mut literal: Option<String> = None;
    while let Some(c) = rest.next() {
        if let Some(text) = &mut literal {
            match c {
                '\\' => {
                    text.push(c);
                    text.extend(rest.next());
                }
                '"' => {
                    found.literals.extend(literal.take());
                    found.code.push_str("\"\"");
                }
                _ => text.push(c),
            }
            continue;
        }
        match c {
            '/' if rest.peek() == Some(&'/') => break,
            '"' if found.code.ends_with('\'') => found.code.push(c), // the character literal '"'
            '"' if found.code.ends_with("'\\") => found.code.push(c),
            '"' => literal = Some(String::new()),
            _ => found.code.push(c),
        }
    }
    if let Some(text) = literal {
        found.code.push_str(&text);
    }
    found
}

/// Whether `word` occurs in `code` with no letter, digit or underscore beside it.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(joins)
            && !code[at + word.len()..].chars().next().is_some_and(joins)
    })
}

/// The numbered lines of a file up to its unit tests.
pub(crate) fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines())
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, code: &str, literals: &[&str]) {
        assert_eq!(
            split(line),
            Line {
                code: code.to_owned(),
                literals: literals.iter().map(|&l| l.to_owned()).collect()
            }
        );
    }

    #[test]
    fn separates_code_literals_and_comments() {
        check("let a = 1; // tokio", "let a = 1; ", &[]);
        check(
            r#"get("blk.0", "a\"b")?"#,
            r#"get("", "")?"#,
            &["blk.0", "a\\\"b"],
        );
        check(
            r#"let url = "https://x";"#,
            r#"let url = "";"#,
            &["https://x"],
        );
        check(r#"c == '"' || d == '"'"#, r#"c == '"' || d == '"'"#, &[]);
        check(r#"'\"' => "x","#, r#"'\"' => "","#, &["x"]);
    }

    #[test]
    fn words_have_borders() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("#![deny(unsafe_code)]", "unsafe"));
        assert!(has_word("use tokio::sync;", "tokio"));
        assert!(!has_word("mytokio", "tokio"));
        assert!(has_word("core::arch::x86_64", "core::arch"));
    }

    #[test]
    fn unit_tests_are_not_product_code() {
        let lines: Vec<_> = product_lines("fn a() {}\n#[cfg(test)]\nmod tests {}\n").collect();
        assert_eq!(lines, [(1, "fn a() {}")]);
    }
}
