//! `carat model info`: what is in a model, and what it costs.

use std::fmt::Write as _;

use carat_engine::{LoadOptions, Model, Session, SessionOptions};
use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::models::catalogue::Catalogue;
use crate::models::{ModelError, ModelSource};
use crate::prompt::PromptForm;

#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    /// Name or GGUF file of the model
    #[arg(value_name = "NAME|PATH")]
    model: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InfoArgs) -> anyhow::Result<()> {
    let source = match ModelSource::find(Some(&args.model)) {
        Err(ModelError::NotPulled { name } | ModelError::Incomplete { name }) => {
            return not_pulled(&name, args.json);
        }
        source => source?,
    };
    let model = source.load(&LoadOptions::default())?;
    let form = source.prompt_form(&model);
    let info = model.info();
    if !args.json {
        return output::print(&for_readers(&model, form));
    }
    let types: serde_json::Map<_, _> = info
        .tensor_types
        .iter()
        .map(|(name, count)| (name.clone(), json!(count)))
        .collect();
    output::print_json(&json!({
        "name": info.name,
        "architecture": info.architecture,
        "file_bytes": info.file_bytes,
        "parameters": info.parameters,
        "active_parameters": info.active_parameters,
        "context_length": info.context_length,
        "layers": info.layers,
        "experts": info.experts,
        "experts_used": info.experts_used,
        "vocabulary": info.vocabulary,
        "weight_bytes_per_token": info.weight_bytes_per_token,
        "tensor_types": types,
        "prompt_form": form.name(),
        "chat_template": model.tokenizer().chat_template().is_some(),
        "fill_in_the_middle": model.tokenizer().fim().is_some(),
        "cache_bytes": Session::cache_bytes(&model, &SessionOptions::default()),
    }))
}

/// What the catalogue tells of a model that is not here.
fn not_pulled(name: &str, json: bool) -> anyhow::Result<()> {
    let catalogue = Catalogue::of_user()?;
    let entry = super::entry(&catalogue, name)?;
    if json {
        return output::print_json(&json!({
            "name": entry.name,
            "title": entry.title,
            "state": "absent",
            "page": entry.page(),
            "file_bytes": entry.size_bytes,
            "sha256": entry.sha256,
            "memory_bytes": entry.memory_bytes,
            "weight_bytes_per_token": entry.token_bytes,
            "prompt_form": entry.prompt_form,
            "license": entry.license,
            "license_url": entry.license_url,
        }));
    }
    let known = |bytes: Option<u64>| bytes.map_or("told by the server".to_owned(), output::bytes);
    output::print(&format!(
        "name          {}\nmodel         {}\nstate         not on this machine: carat model pull {}\nfile          {}\nmemory        about {}\na token reads about {}\nSHA-256       {}\nlicence       {} {}\nfrom          {}",
        entry.name,
        entry.title,
        entry.name,
        known(entry.size_bytes),
        output::bytes(entry.memory_bytes),
        output::bytes(entry.token_bytes),
        entry.sha256.as_deref().unwrap_or("told by the server"),
        entry.license,
        entry.license_url.as_deref().unwrap_or_default(),
        entry.page(),
    ))
}

fn for_readers(model: &Model, form: PromptForm) -> String {
    let info = model.info();
    let experts = if info.experts > 0 {
        format!(
            ", {} of {} experts a token",
            info.experts_used, info.experts
        )
    } else {
        String::new()
    };
    let types: Vec<String> = info
        .tensor_types
        .iter()
        .map(|(name, count)| format!("{name} × {count}"))
        .collect();
    let options = SessionOptions::default();
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<13} {value}");
    };
    row("name", info.name.clone());
    row(
        "architecture",
        format!("{}, {} layers{experts}", info.architecture, info.layers),
    );
    row(
        "parameters",
        format!(
            "{}, {} active",
            output::count(info.parameters),
            output::count(info.active_parameters)
        ),
    );
    row("file", output::bytes(info.file_bytes));
    row("a token reads", output::bytes(info.weight_bytes_per_token));
    row("tensors", types.join(", "));
    row("vocabulary", info.vocabulary.to_string());
    row("context", format!("{} tokens", info.context_length));
    let cache = output::bytes(Session::cache_bytes(model, &options) as u64);
    row(
        "cache",
        format!(
            "{cache} for {} tokens ({})",
            options.context_tokens,
            options.kv.name()
        ),
    );
    row("prompts", form.name().to_owned());
    text
}
