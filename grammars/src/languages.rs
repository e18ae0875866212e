//! The languages that Carat knows, one row each.

use std::path::Path;

use crate::item_syntax::{self, ItemSyntax};

/// How one kind of string literal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringSyntax {
    /// What opens it.
    pub open: &'static str,
    /// What closes it.
    pub close: &'static str,
    /// Whether it may go on after the end of a line.
    pub spans_lines: bool,
    /// Whether a backslash takes the meaning from the character after it.
    pub escapes: bool,
}

/// What the rest of Carat needs to know of a language.
#[derive(Debug)]
pub struct Language {
    /// The identifier that LSP clients send.
    pub id: &'static str,
    /// The name that a reader, or a model, knows it by; also the tag of a Markdown fence.
    pub name: &'static str,
    /// The name that its users write.
    pub title: &'static str,
    /// Extensions of its files, without the dot.
    pub extensions: &'static [&'static str],
    /// What starts a comment that ends with the line.
    pub line_comment: &'static str,
    /// What starts and what ends a comment that may span lines.
    pub block_comment: Option<(&'static str, &'static str)>,
    /// Its string literals; a longer opener stands before a shorter one that it begins with.
    pub strings: &'static [StringSyntax],
    /// Whether `'x'` is a character (and a lone `'` something else, such as a lifetime).
    pub character_literals: bool,
    /// Whether blocks are told by indentation rather than by brackets.
    pub blocks_by_indentation: bool,
    /// How its grammar names items.
    pub items: &'static ItemSyntax,
    /// A query that finds what is defined: `@function`, `@type` or `@value`, and in it the `@name`.
    pub(crate) tags: &'static str,
    grammar: fn() -> tree_sitter::Language,
}

impl Language {
    /// The grammar that parses this language.
    pub fn grammar(&self) -> tree_sitter::Language {
        (self.grammar)()
    }
}

impl Eq for Language {}

impl PartialEq for Language {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

const fn plain(quote: &'static str) -> StringSyntax {
    StringSyntax {
        open: quote,
        close: quote,
        spans_lines: false,
        escapes: true,
    }
}

const fn spanning(quote: &'static str) -> StringSyntax {
    StringSyntax {
        open: quote,
        close: quote,
        spans_lines: true,
        escapes: true,
    }
}

const fn raw(open: &'static str, close: &'static str) -> StringSyntax {
    StringSyntax {
        open,
        close,
        spans_lines: true,
        escapes: false,
    }
}

const SLASHES: &str = "//";
const SLASH_STAR: Option<(&str, &str)> = Some(("/*", "*/"));
const RUST_STRINGS: &[StringSyntax] = &[
    raw("r\"", "\""),
    raw("r#\"", "\"#"),
    raw("r##\"", "\"##"),
    raw("r###\"", "\"###"),
    spanning("\""),
];
const SCRIPT_STRINGS: &[StringSyntax] = &[plain("\""), plain("'"), spanning("`")];

/// Every language, in no particular order; the feature `all-languages` brings the rarer ones.
pub const ALL: &[Language] = &[
    Language {
        id: "rust",
        name: "rust",
        title: "Rust",
        extensions: &["rs"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: RUST_STRINGS,
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::RUST,
        tags: include_str!("../queries/rust.scm"),
        grammar: || tree_sitter_rust::LANGUAGE.into(),
    },
    Language {
        id: "python",
        name: "python",
        title: "Python",
        extensions: &["py", "pyi"],
        line_comment: "#",
        block_comment: None,
        strings: &[spanning("\"\"\""), spanning("'''"), plain("\""), plain("'")],
        character_literals: false,
        blocks_by_indentation: true,
        items: &item_syntax::PYTHON,
        tags: include_str!("../queries/python.scm"),
        grammar: || tree_sitter_python::LANGUAGE.into(),
    },
    Language {
        id: "javascript",
        name: "javascript",
        title: "JavaScript",
        extensions: &["js", "mjs", "cjs"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: SCRIPT_STRINGS,
        character_literals: false,
        blocks_by_indentation: false,
        items: &item_syntax::SCRIPT,
        tags: include_str!("../queries/javascript.scm"),
        grammar: || tree_sitter_javascript::LANGUAGE.into(),
    },
    Language {
        id: "javascriptreact",
        name: "jsx",
        title: "JSX",
        extensions: &["jsx"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: SCRIPT_STRINGS,
        character_literals: false,
        blocks_by_indentation: false,
        items: &item_syntax::SCRIPT,
        tags: include_str!("../queries/javascript.scm"),
        grammar: || tree_sitter_javascript::LANGUAGE.into(),
    },
    Language {
        id: "typescript",
        name: "typescript",
        title: "TypeScript",
        extensions: &["ts", "mts", "cts"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: SCRIPT_STRINGS,
        character_literals: false,
        blocks_by_indentation: false,
        items: &item_syntax::SCRIPT,
        tags: include_str!("../queries/typescript.scm"),
        grammar: || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
    },
    Language {
        id: "typescriptreact",
        name: "tsx",
        title: "TSX",
        extensions: &["tsx"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: SCRIPT_STRINGS,
        character_literals: false,
        blocks_by_indentation: false,
        items: &item_syntax::SCRIPT,
        tags: include_str!("../queries/typescript.scm"),
        grammar: || tree_sitter_typescript::LANGUAGE_TSX.into(),
    },
    Language {
        id: "go",
        name: "go",
        title: "Go",
        extensions: &["go"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[plain("\""), raw("`", "`")],
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::GO,
        tags: include_str!("../queries/go.scm"),
        grammar: || tree_sitter_go::LANGUAGE.into(),
    },
    Language {
        id: "c",
        name: "c",
        title: "C",
        extensions: &["c", "h"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[plain("\"")],
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::C,
        tags: include_str!("../queries/c.scm"),
        grammar: || tree_sitter_c::LANGUAGE.into(),
    },
    Language {
        id: "cpp",
        name: "cpp",
        title: "C++",
        extensions: &["cpp", "cc", "cxx", "hpp", "hh", "hxx"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[raw("R\"(", ")\""), plain("\"")],
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::C,
        tags: include_str!("../queries/cpp.scm"),
        grammar: || tree_sitter_cpp::LANGUAGE.into(),
    },
    Language {
        id: "java",
        name: "java",
        title: "Java",
        extensions: &["java"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[spanning("\"\"\""), plain("\"")],
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::JAVA,
        tags: include_str!("../queries/java.scm"),
        grammar: || tree_sitter_java::LANGUAGE.into(),
    },
    Language {
        id: "lua",
        name: "lua",
        title: "Lua",
        extensions: &["lua"],
        line_comment: "--",
        block_comment: Some(("--[[", "]]")),
        strings: &[raw("[[", "]]"), plain("\""), plain("'")],
        character_literals: false,
        blocks_by_indentation: false,
        items: &item_syntax::LUA,
        tags: include_str!("../queries/lua.scm"),
        grammar: || tree_sitter_lua::LANGUAGE.into(),
    },
    Language {
        id: "zig",
        name: "zig",
        title: "Zig",
        extensions: &["zig"],
        line_comment: SLASHES,
        block_comment: None,
        strings: &[plain("\"")],
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::ZIG,
        tags: include_str!("../queries/zig.scm"),
        grammar: || tree_sitter_zig::LANGUAGE.into(),
    },
    #[cfg(feature = "all-languages")]
    Language {
        id: "csharp",
        name: "csharp",
        title: "C#",
        extensions: &["cs"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[spanning("\"\"\""), raw("@\"", "\""), plain("\"")],
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::C_SHARP,
        tags: include_str!("../queries/c_sharp.scm"),
        grammar: || tree_sitter_c_sharp::LANGUAGE.into(),
    },
    #[cfg(feature = "all-languages")]
    Language {
        id: "ruby",
        name: "ruby",
        title: "Ruby",
        extensions: &["rb", "rake"],
        line_comment: "#",
        block_comment: None,
        strings: &[spanning("\""), spanning("'")],
        character_literals: false,
        blocks_by_indentation: false,
        items: &item_syntax::RUBY,
        tags: include_str!("../queries/ruby.scm"),
        grammar: || tree_sitter_ruby::LANGUAGE.into(),
    },
    #[cfg(feature = "all-languages")]
    Language {
        id: "php",
        name: "php",
        title: "PHP",
        extensions: &["php"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[spanning("\""), spanning("'")],
        character_literals: false,
        blocks_by_indentation: false,
        items: &item_syntax::PHP,
        tags: include_str!("../queries/php.scm"),
        grammar: || tree_sitter_php::LANGUAGE_PHP.into(),
    },
    #[cfg(feature = "all-languages")]
    Language {
        id: "kotlin",
        name: "kotlin",
        title: "Kotlin",
        extensions: &["kt", "kts"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[raw("\"\"\"", "\"\"\""), plain("\"")],
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::KOTLIN,
        tags: include_str!("../queries/kotlin.scm"),
        grammar: || tree_sitter_kotlin_ng::LANGUAGE.into(),
    },
    #[cfg(feature = "all-languages")]
    Language {
        id: "swift",
        name: "swift",
        title: "Swift",
        extensions: &["swift"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[spanning("\"\"\""), plain("\"")],
        character_literals: false,
        blocks_by_indentation: false,
        items: &item_syntax::SWIFT,
        tags: include_str!("../queries/swift.scm"),
        grammar: || tree_sitter_swift::LANGUAGE.into(),
    },
    #[cfg(feature = "all-languages")]
    Language {
        id: "scala",
        name: "scala",
        title: "Scala",
        extensions: &["scala", "sc"],
        line_comment: SLASHES,
        block_comment: SLASH_STAR,
        strings: &[raw("\"\"\"", "\"\"\""), plain("\"")],
        character_literals: true,
        blocks_by_indentation: false,
        items: &item_syntax::SCALA,
        tags: include_str!("../queries/scala.scm"),
        grammar: || tree_sitter_scala::LANGUAGE.into(),
    },
];

/// The language of a document: what the client calls `id`, or else what its path tells.
pub fn of_document(id: &str, path: &Path) -> Option<&'static Language> {
    by_id(id).or_else(|| by_path(path))
}

/// The language that an LSP client calls `id`.
pub fn by_id(id: &str) -> Option<&'static Language> {
    ALL.iter().find(|language| language.id == id)
}

/// The language of the file at `path`, by its extension.
pub fn by_path(path: &Path) -> Option<&'static Language> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    ALL.iter()
        .find(|language| language.extensions.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grammar_loads_and_every_key_is_unique() {
        let mut keys = Vec::new();
        for language in ALL {
            let mut parser = tree_sitter::Parser::new();
            parser
                .set_language(&language.grammar())
                .unwrap_or_else(|error| panic!("{}: {error}", language.id));
            keys.push(language.id);
            keys.extend(
                language
                    .extensions
                    .iter()
                    .filter(|extension| **extension != language.id),
            );
        }
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn sixteen_languages_are_known() {
        let mut titles: Vec<_> = ALL.iter().map(|language| language.title).collect();
        titles.retain(|title| !["JSX", "TSX"].contains(title));
        let expected = if cfg!(feature = "all-languages") {
            16
        } else {
            10
        };
        assert_eq!(titles.len(), expected, "{titles:?}");
    }

    #[test]
    fn looks_up_by_id_and_by_path() {
        assert_eq!(by_id("cpp").map(|l| l.name), Some("cpp"));
        assert_eq!(
            by_path(Path::new("src/App.TSX")).map(|l| l.id),
            Some("typescriptreact")
        );
        assert_eq!(by_path(Path::new("Makefile")), None);
        assert_eq!(by_id("brainfuck"), None);
        let of = |id, path: &str| of_document(id, Path::new(path)).map(|l| l.id);
        assert_eq!(of("plaintext", "a.rs"), Some("rust"));
        assert_eq!(of("python", "a.rs"), Some("python"));
    }
}
