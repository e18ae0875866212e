//! Walls: names that may occur in some folders and nowhere else. ARCHITECTURE.md gives the reasons.

use super::source::{has_word, product_lines, split};
use super::{File, Finding};

struct Wall {
    what: &'static str,
    /// Words of code, not of comments or literals.
    words: &'static [&'static str],
    /// Only files under one of these are looked at; empty: all Rust files.
    scope: &'static [&'static str],
    /// Files under one of these may use the words.
    allowed: &'static [&'static str],
    /// Unit tests may do what the product may not.
    tests_too: bool,
}

const WALLS: &[Wall] = &[
    Wall {
        what: "LSP types stop in server/src/lsp",
        words: &["tower_lsp", "tower_lsp_server", "lsp_types", "ls_types"],
        scope: &[],
        allowed: &["server/src/lsp/", "server/src/lsp.rs"],
        tests_too: true,
    },
    Wall {
        what: "tokio stops in server",
        words: &["tokio"],
        scope: &[],
        allowed: &["server/"],
        tests_too: true,
    },
    Wall {
        what: "unsafe code and processor intrinsics live in engine/src/kernels and engine/src/gguf/mapping.rs",
        words: &["unsafe", "core::arch", "std::arch"],
        scope: &[],
        allowed: &[
            "engine/src/kernels/",
            "engine/src/kernels.rs",
            "engine/src/gguf/mapping.rs",
            "engine/tests/gguf_allocations/", // an allocator that counts
            "engine/tests/decoding_allocations.rs", // another one
        ],
        tests_too: true,
    },
    Wall {
        what: "candle stops in engine",
        words: &["candle_core", "candle_nn", "candle_transformers"],
        scope: &[],
        allowed: &["engine/"],
        tests_too: true,
    },
    Wall {
        what: "kernels see plain slices; only the path for processors without kernels of ours calls candle",
        words: &["candle_core", "candle_nn", "candle_transformers"],
        scope: &["engine/src/kernels"],
        allowed: &["engine/src/kernels/candle.rs"],
        tests_too: false,
    },
    Wall {
        what: "the engine's crate root exports no candle type",
        words: &["candle_core", "candle_nn", "candle_transformers"],
        scope: &["engine/src/lib.rs"],
        allowed: &[],
        tests_too: true,
    },
    Wall {
        what: "HTTP is for `carat model pull` and lives in server/src/models/http.rs",
        words: &["ureq", "rustls", "rustls_native_certs"],
        scope: &[],
        allowed: &["server/src/models/http.rs"],
        tests_too: true,
    },
    Wall {
        what: "the server downloads nothing: only the command line calls the modules that do",
        words: &["download", "http"],
        scope: &["server/src/"],
        allowed: &[
            "server/src/models.rs",
            "server/src/models/",
            "server/src/cli/model/",
        ],
        tests_too: false,
    },
    Wall {
        what: "no source file opens a socket; HTTP is in server/src/models/http.rs, over a library",
        words: &[
            "std::net",
            "tokio::net",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
        ],
        scope: &["engine/src/", "grammars/src/", "server/src/"],
        allowed: &[],
        tests_too: false,
    },
    Wall {
        what: "the session owns the server's state; only the shell, the mailbox and logging share cells between threads",
        words: &[
            "Mutex",
            "RwLock",
            "Condvar",
            "OnceLock",
            "AtomicBool",
            "AtomicUsize",
            "AtomicU64",
        ],
        scope: &["server/src/"],
        allowed: &[
            "server/src/lsp/shell.rs",
            "server/src/lsp/parent.rs", // the first parent that was seen, on systems without /proc
            "server/src/mailbox.rs",
            "server/src/logging",
            "server/src/generator/scripted.rs", // for tests of the binary
        ],
        tests_too: false,
    },
    Wall {
        what: "the session and what it owns know no clock, file or channel",
        words: &[
            "std::fs",
            "std::env",
            "std::io",
            "Instant::now",
            "SystemTime",
            "tokio",
            "mpsc",
        ],
        scope: &[
            "server/src/session",
            "server/src/documents",
            "server/src/workspace",
            "server/src/settings/store",
        ],
        allowed: &[],
        tests_too: false,
    },
    Wall {
        what: "grammars does no input or output and reads no clock",
        words: &[
            "std::fs",
            "std::env",
            "std::net",
            "std::process",
            "std::io",
            "Instant",
            "SystemTime",
        ],
        scope: &["grammars/src/"],
        allowed: &[],
        tests_too: false,
    },
    Wall {
        what: "prompts, completions and code actions are pure functions of data",
        words: &[
            "std::fs",
            "std::env",
            "std::net",
            "std::process",
            "std::io",
            "Instant",
            "SystemTime",
        ],
        scope: &[
            "server/src/prompt",
            "server/src/completion",
            "server/src/actions",
            "server/src/echo",
            "server/src/context",
        ],
        allowed: &[],
        tests_too: false,
    },
];

/// The only places that know how a GGUF file names things.
const GGUF_PLACES: &[&str] = &[
    "engine/src/gguf/",
    "engine/src/gguf.rs",
    "engine/src/tokenizer/",
    "engine/src/tokenizer.rs",
    "engine/src/decoder/names.rs",
    "engine/src/families/",
    "engine/src/decoder/weights.rs",
    "engine/src/testing", // writes tiny files
];

/// Parts of metadata keys and of tensor names.
const GGUF_NAMES: &[&str] = &[
    "tokenizer.ggml.",
    "tokenizer.chat_template",
    "general.architecture",
    "general.file_type",
    "token_embd.",
    "output_norm.",
    "attention.head_count",
    "attention.key_length",
    "attention.sliding_window",
    "attention.layer_norm_rms",
    "attention.shared_kv_layers",
    "rope.freq_base",
    "feed_forward_length",
    "embedding_length",
    "block_count",
    "expert_used_count",
    "final_logit_softcapping",
];

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.has_extension("rs") && !file.is_fixture())
    {
        let Some(text) = &file.text else { continue };
        if file.path.starts_with("xtask/src/tidy/") {
            continue; // these files spell the words out
        }
        for wall in WALLS {
            check_wall(wall, &file.path, text, &mut findings);
        }
        check_gguf_names(&file.path, text, &mut findings);
    }
    findings
}

fn under(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn check_wall(wall: &Wall, path: &str, text: &str, findings: &mut Vec<Finding>) {
    if (!wall.scope.is_empty() && !under(path, wall.scope)) || under(path, wall.allowed) {
        return;
    }
    if !wall.tests_too && is_test(path) {
        return;
    }
    let lines = product_lines(text).chain(
        wall.tests_too
            .then(|| unit_test_lines(text))
            .into_iter()
            .flatten(),
    );
    for (number, line) in lines {
        let code = split(line).code;
        for word in wall.words.iter().filter(|word| has_word(&code, word)) {
            findings.push(Finding::new(
                path,
                number,
                format!("`{word}`: {}", wall.what),
            ));
        }
    }
}

/// The numbered lines that [`product_lines`] leaves out.
fn unit_test_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).skip(product_lines(text).count())
}

fn check_gguf_names(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let scope = ["engine/src/", "server/src/", "grammars/src/"];
    if !under(path, &scope) || under(path, GGUF_PLACES) || is_test(path) {
        return;
    }
    for (number, line) in product_lines(text) {
        for literal in split(line).literals {
            let named = literal.starts_with("blk.")
                || literal.ends_with(".weight")
                || GGUF_NAMES.iter().any(|name| literal.contains(name));
            if named {
                let what = "names of GGUF keys and tensors stop in engine/src/{gguf,tokenizer} and engine/src/decoder/{names,weights}.rs and engine/src/families";
                findings.push(Finding::new(path, number, format!("\"{literal}\": {what}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    /// Lines on which the rules find something.
    #[track_caller]
    fn check_lines(path: &str, text: &str, expected: &[usize]) {
        let mut lines: Vec<_> = check(&[file(path, text)])
            .iter()
            .map(|finding| finding.line)
            .collect();
        lines.dedup();
        assert_eq!(lines, expected, "{path}");
    }

    #[test]
    fn lsp_types_stop_in_their_folder() {
        let text = "use tower_lsp::ls_types::Range;\n// tower_lsp in a comment\n";
        check_lines("server/src/lsp/backend.rs", text, &[]);
        check_lines("server/src/documents.rs", text, &[1]);
        check_lines("server/src/lsp_like.rs", text, &[1]);
    }

    #[test]
    fn tokio_stops_in_server() {
        check_lines(
            "server/src/engine_thread.rs",
            "use tokio::sync::oneshot;",
            &[],
        );
        check_lines("engine/src/lib.rs", "use tokio::sync::oneshot;", &[1]);
        check_lines(
            "engine/src/lib.rs",
            "#[cfg(test)]\nmod tests {\n    use tokio::sync;\n}",
            &[3],
        );
    }

    #[test]
    fn unsafe_lives_in_two_places() {
        check_lines(
            "engine/src/kernels/x86_64/avx2.rs",
            "use core::arch::x86_64::*;\nunsafe { f() }",
            &[],
        );
        check_lines(
            "engine/src/gguf/mapping.rs",
            "unsafe { Mmap::map(&file) }",
            &[],
        );
        check_lines(
            "engine/src/gguf/reader.rs",
            "#![deny(unsafe_code)]\nunsafe { f() }",
            &[2],
        );
    }

    #[test]
    fn candle_stops_in_the_engine_and_outside_of_kernels() {
        let text = "use candle_core::Tensor;";
        check_lines("engine/src/decoder/forward.rs", text, &[]);
        check_lines("engine/src/kernels/scalar.rs", text, &[1]);
        check_lines("engine/src/kernels/candle.rs", text, &[]);
        check_lines("engine/src/kernels/tests.rs", text, &[]);
        check_lines("engine/src/lib.rs", "pub use candle_core::Tensor;", &[1]);
        check_lines("server/src/cli.rs", text, &[1]);
    }

    #[test]
    fn only_tests_may_open_sockets() {
        check_lines("server/src/cli.rs", "use std::net::TcpStream;", &[1]);
        check_lines("tests/src/lib.rs", "use std::net::TcpListener;", &[]);
    }

    #[test]
    fn only_the_command_line_downloads() {
        check_lines("server/src/models/http.rs", "use ureq::Agent;", &[]);
        check_lines("server/src/models/download.rs", "use ureq::Agent;", &[1]);
        check_lines("engine/src/lib.rs", "use rustls::ClientConfig;", &[1]);
        let text = "use crate::models::download;\nuse crate::models::http::Client;\n";
        check_lines("server/src/cli/model/pull.rs", text, &[]);
        check_lines("server/src/cli/doctor.rs", text, &[1, 2]);
        check_lines("server/src/lsp/backend.rs", text, &[1, 2]);
        check_lines(
            "server/src/models/http.rs",
            "use std::net::TcpStream;",
            &[1],
        );
    }

    #[test]
    fn pure_modules_do_no_input_or_output() {
        check_lines(
            "grammars/src/scope.rs",
            "let start = Instant::now();\nstd::fs::read(p)",
            &[1, 2],
        );
        check_lines(
            "grammars/src/scope.rs",
            "#[cfg(test)]\nmod tests { use std::fs; }",
            &[],
        );
        check_lines("server/src/prompt/fim.rs", "std::env::var(\"X\")", &[1]);
    }

    #[test]
    fn gguf_names_stop_in_the_reader() {
        let text = "let q = weights.get(\"blk.0.attn_q.weight\")?;\nlet n = meta.get(\"gemma4.block_count\");\n";
        check_lines("engine/src/decoder/weights.rs", text, &[]);
        check_lines("engine/src/decoder/forward.rs", text, &[1, 2]);
        check_lines("server/src/cli/model.rs", text, &[1, 2]);
        check_lines(
            "engine/src/decoder/forward.rs",
            "let block_count = 3; // blk.0",
            &[],
        );
    }
}
