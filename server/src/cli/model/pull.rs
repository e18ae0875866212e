//! `carat model pull`: brings a model of the catalogue to this machine.

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::progress::Display;
use crate::cli::output;
use crate::machine;
use crate::models::catalogue::{Catalogue, Entry};
use crate::models::download::{self, Request};
use crate::models::http::{Client, Settings};
use crate::models::store::Store;

/// What `--help` says below the options.
pub(super) const HELP: &str = "\
Examples:
  carat model pull gemma-4-26b-a4b    the large model; needs a machine with 17.5 GB of memory
  carat model pull e4b                for machines with 16 GB
  carat model pull 26b --json         one JSON object at the end, for scripts

A download that was interrupted, by whatever, goes on with the same command.
The file is used only after its SHA-256 digest was found right.

Environment:
  CARAT_MODELS         the folder for models
  HF_ENDPOINT          a mirror in the place of https://huggingface.co
  HF_TOKEN             for models whose licence has to be accepted; sent to that host alone
  HTTPS_PROXY, ALL_PROXY, NO_PROXY
  SSL_CERT_FILE        certificates to trust, in the place of the system's
  CARAT_HTTP_TIMEOUT   seconds without a byte after which a connection is given up [default: 30]";

#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// Name or alias of the catalogue; `carat model list` shows them
    #[arg(value_name = "NAME")]
    model: String,
    /// Pull although this machine has too little memory to run it well
    #[arg(long)]
    force: bool,
    /// Another commit or branch of the repository; then the server's own digest counts
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Print one JSON object when it is there
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PullArgs) -> anyhow::Result<()> {
    let catalogue = Catalogue::of_user()?;
    let entry = super::entry(&catalogue, &args.model)?;
    let store = Store::of_user()?;
    if !args.force {
        check_memory(&catalogue, entry, machine::total_memory_bytes())?;
    }
    let settings = Settings::of_user()?;
    let revision = args.revision.as_deref();
    let request = Request {
        name: entry.name.clone(),
        url: entry.url(&settings.endpoint, revision),
        page: entry.page(),
        // They are of the catalogue's revision.
        sha256: entry.sha256.clone().filter(|_| revision.is_none()),
        size_bytes: entry.size_bytes.filter(|_| revision.is_none()),
    };
    let client = Client::new(settings)?;
    let mut display = Display::new(&entry.name);
    let pulled = download::pull(&request, &store, &client, &mut |progress| {
        display.show(&progress);
    });
    display.finish();
    let pulled = pulled.with_context(|| format!("cannot pull `{}`", entry.name))?;
    if args.json {
        return output::print_json(&json!({
            "name": entry.name,
            "path": pulled.path,
            "size_bytes": pulled.size_bytes,
            "sha256": pulled.sha256,
            "was_here": pulled.was_here,
        }));
    }
    let state = if pulled.was_here {
        "was here already"
    } else {
        "is here, and its digest is right"
    };
    output::print(&format!(
        "{} {state}: {} ({})\nUse it with `--model {}`, or with the setting `model` of your editor.\nIts licence: {} {}",
        entry.name,
        output::path(&pulled.path),
        output::bytes(pulled.size_bytes),
        entry.name,
        entry.license,
        entry.license_url.as_deref().unwrap_or_default(),
    ))
}

/// Refuses a model that would make the machine swap, and names one that does not.
fn check_memory(
    catalogue: &Catalogue,
    entry: &Entry,
    total_bytes: Option<u64>,
) -> anyhow::Result<()> {
    let Some(total) = total_bytes.filter(|total| !entry.fits(*total)) else {
        return Ok(());
    };
    let advice =
        catalogue
            .suggestion(total)
            .map_or("stay with the embedded model".to_owned(), |other| {
                format!(
                    "choose {0} ({1}): carat model pull {0}",
                    other.name,
                    output::bytes(other.memory_bytes)
                )
            });
    bail!(
        "{} holds {} of memory while it runs, too much beside the system and an editor on this machine with {}; {advice}. (--force pulls it all the same)",
        entry.name,
        output::bytes(entry.memory_bytes),
        output::bytes(total)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_too_small_is_told_what_fits() {
        let catalogue = Catalogue::of_user().expect("a catalogue");
        let check = |name: &str, gib: u64| {
            let entry = catalogue.find(name).expect(name);
            check_memory(&catalogue, entry, Some(gib << 30)).map_err(|error| error.to_string())
        };
        assert_eq!(check("26b", 24), Ok(()));
        let said = check("26b", 16).expect_err("too small");
        assert!(said.contains("carat model pull gemma-4-e4b"), "{said}");
        let said = check("e2b", 2).expect_err("too small");
        assert!(said.contains("the embedded model"), "{said}");
        let entry = catalogue.find("31b").expect("31b");
        assert!(
            check_memory(&catalogue, entry, None).is_ok(),
            "not known: not refused"
        );
    }
}
