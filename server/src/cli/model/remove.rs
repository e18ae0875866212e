//! `carat model remove`: frees the disk of a pulled model.

use anyhow::{Context as _, bail};
use clap::Args;

use crate::cli::output;
use crate::models::catalogue::Catalogue;
use crate::models::store::{State, Store};

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Name or alias of the catalogue
    #[arg(value_name = "NAME")]
    model: String,
}

pub(super) fn run(args: &RemoveArgs) -> anyhow::Result<()> {
    let catalogue = Catalogue::of_user()?;
    let name = &super::entry(&catalogue, &args.model)?.name;
    let store = Store::of_user()?;
    if store.state(name) == State::Absent {
        bail!("the model `{name}` is not on this machine");
    }
    let wait = || eprintln!("{name}: another process is pulling it; waiting");
    let cannot = || {
        format!(
            "`{name}` cannot be removed from {}",
            store.folder().display()
        )
    };
    let _lock = store.lock(name, wait).with_context(cannot)?;
    let freed = store.remove(name).with_context(cannot)?;
    output::print(&format!(
        "{name} is removed; {} are free again",
        output::bytes(freed)
    ))
}
