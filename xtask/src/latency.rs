//! `cargo xtask latency`: types real files in front of the real server, and tells what a key costs.
//!
//! Pieces of this repository's own files are taken out and typed again at a steady pace, as VS Code
//! does it (pairs are closed by themselves and typed over, requests come 50 ms after a key and are
//! cancelled by the next) and as Neovim does it (a request for every key, nothing is cancelled). The
//! answers are not accepted. What the engine reads is taken from the server's log.

mod answers;
mod editor;
mod log;
mod options;
mod report;
mod session;

use std::path::Path;

use anyhow::{Result, ensure};

pub(crate) use options::{HELP, Options};

use editor::Manner;
use session::Session;

/// Plays every pace in every manner, one server after the other, and prints a table.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let carat = options
        .carat
        .clone()
        .unwrap_or_else(|| root.join("target/release/carat"));
    ensure!(
        carat.is_file(),
        "{} is not there: `cargo build --release -p carat` makes it",
        carat.display()
    );
    if let Some(carets) = options.carets {
        return answers::run(root, &carat, options.model.as_deref(), carets);
    }
    let mut rows = Vec::new();
    for &pace in &options.paces {
        for manner in [Manner::Pairs, Manner::Plain] {
            if options.manner.is_some_and(|only| only != manner) {
                continue;
            }
            eprintln!("{}, {pace} keys a second", manner.name());
            let figures = Session::start(&carat, root, options, manner)?.play(pace)?;
            rows.push((manner, pace, figures));
        }
    }
    report::print(&rows)?;
    if options.alone {
        report::check(&rows)?;
    }
    Ok(())
}
