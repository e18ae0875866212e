//! `carat completions` and `carat man`: what is generated from the definition of the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, output};

/// What `--help` says below the options of `completions`.
pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  carat completions bash > ~/.local/share/bash-completion/completions/carat
  carat completions zsh > ~/.zfunc/_carat        (with ~/.zfunc in fpath)
  carat completions fish > ~/.config/fish/completions/carat.fish";

/// What `--help` says below the options of `man`.
pub(super) const MAN_HELP: &str = "\
Examples:
  carat man > ~/.local/share/man/man1/carat.1
  carat man model pull > ~/.local/share/man/man1/carat-model-pull.1";

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The page of a subcommand [default: that of `carat`]
    #[arg(value_name = "SUBCOMMAND")]
    path: Vec<String>,
}

/// Prints a completion script.
pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "carat", &mut script);
    output::print(&String::from_utf8(script)?)
}

/// Prints a page of the manual, in roff.
pub(super) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    let mut name = "carat".to_owned();
    for part in &args.path {
        let found = command.find_subcommand(part);
        command = found.ok_or_else(|| anyhow::anyhow!("`{name}` has no subcommand `{part}`"))?;
        name += &format!("-{part}");
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    output::print(&String::from_utf8(page)?)
}
