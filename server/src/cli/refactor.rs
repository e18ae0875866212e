//! `carat refactor FILE:LINE[-LINE] --instruction TEXT`: a unified diff, and with `--write` the file changed.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::json;
use similar::TextDiff;

use super::code_action::act;
use super::lines::Lines;
use super::output;
use crate::actions::{Action, Outcome};

/// Lines around each difference, as diff and git have it.
const CONTEXT_LINES: usize = 3;

pub(super) const HELP: &str = "\
Examples:
  carat refactor src/main.rs:10 --instruction 'return an error instead of panicking' --model 26b
  carat refactor src/main.rs:10 --instruction 'split it into two functions' --model 26b --write
  carat refactor src/main.rs:10 --instruction 'use early returns' --model 26b | git apply";

#[derive(Debug, Args)]
pub(super) struct RefactorArgs {
    /// The code; a single line, with a column or without, stands for the function or type around it
    #[arg(value_name = "FILE:LINE[-LINE]")]
    lines: Lines,
    /// What to do with it, in your own words
    #[arg(long, value_name = "TEXT")]
    instruction: String,
    /// Change the file, in one step
    #[arg(long)]
    write: bool,
    /// Name or GGUF file of the model; it must take instructions
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Print diff, model and whether the file was written as one JSON object
    #[arg(long)]
    json: bool,
    /// Print what the model is shown, on standard error
    #[arg(long)]
    show_prompt: bool,
}

pub(super) fn run(args: &RefactorArgs) -> anyhow::Result<()> {
    ensure!(
        !args.instruction.trim().is_empty(),
        "the instruction is empty; say what to do, for example --instruction 'return an error instead of panicking'"
    );
    let action = Action::Refactor {
        instruction: Some(args.instruction.clone()),
    };
    let acted = act(
        action,
        &args.lines,
        args.model.as_deref(),
        args.show_prompt,
        &mut |_| {},
    )?;
    let old = acted.text.to_string();
    let new = match acted.outcome {
        Outcome::Change(change) => {
            let mut new = old.clone();
            new.replace_range(change.range, &change.text);
            new
        }
        Outcome::Unchanged => old.clone(),
        Outcome::Prose(_) | Outcome::NewFile { .. } => bail!("the model gave no new code"),
    };
    let diff = unified(&old, &new, &args.lines.file);
    let writes = args.write && new != old;
    if writes {
        replace(&args.lines.file, &old, &new)?;
    }
    if args.json {
        return output::print_json(
            &json!({ "diff": diff, "changed": new != old, "written": writes, "model": acted.model }),
        );
    }
    if new == old {
        eprintln!("the model left the code as it is");
        return Ok(());
    }
    output::print(&diff)
}

fn unified(old: &str, new: &str, file: &Path) -> String {
    let name = file.display().to_string().replace('\\', "/");
    let name = name.trim_start_matches("./").trim_start_matches('/');
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    TextDiff::configure()
        .newline_terminated(true)
        .diff_slices(&old, &new)
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(&format!("a/{name}"), &format!("b/{name}"))
        .to_string()
}

/// Replaces a file in one step: it is the old one or the new one at every moment, with the
/// permissions that it had. One that somebody else has changed meanwhile stays.
fn replace(file: &Path, old: &str, new: &str) -> anyhow::Result<()> {
    let shown = file.display();
    // A link stays a link; what it points to is replaced.
    let file = file
        .canonicalize()
        .with_context(|| format!("{shown} is gone; nothing was written"))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let failed = || format!("{shown} cannot be written; nothing was changed");
    let mut next = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    next.write_all(new.as_bytes()).with_context(failed)?;
    let permissions = file.metadata().with_context(failed)?.permissions();
    next.as_file()
        .set_permissions(permissions)
        .with_context(failed)?;
    next.as_file().sync_all().with_context(failed)?;
    let now = std::fs::read(&file).with_context(failed)?;
    ensure!(
        now == old.as_bytes(),
        "{shown} was changed by another program meanwhile; nothing was written, run the command again"
    );
    next.persist(&file).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diffs_are_what_patch_reads() {
        let diff = unified("a\r\nb\r\nc", "a\r\nB\r\nc", Path::new("./src/a.txt"));
        assert_eq!(
            diff,
            "--- a/src/a.txt\n+++ b/src/a.txt\n@@ -1,3 +1,3 @@\n a\r\n-b\r\n+B\r\n c\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.rs");
        std::fs::write(&file, "old").expect("a file");
        replace(&file, "old", "new").expect("a replaced file");
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), "new");
        let error = replace(&file, "old", "newer").expect_err("it has changed");
        assert!(error.to_string().contains("another program"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), "new");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1
        );
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("a.sh"), folder.path().join("link"));
        std::fs::write(&file, "old").expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o750)).expect("a mode");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        replace(&link, "old", "new").expect("a replaced file");
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), "new");
        let mode = file.metadata().expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
    }
}
