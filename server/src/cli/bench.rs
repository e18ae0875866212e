//! `carat bench`: how fast a model loads, reads prompts and writes.

mod batches;
mod drafts;

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::ensure;
use carat_engine::{
    CancelToken, GenerationRequest, KvType, LoadOptions, Model, Piece, Session, SessionOptions,
    StopReason, TokenId,
};
use clap::Args;
use serde_json::{Value, json};

use super::{Kv, output};
use crate::machine;
use crate::models::ModelSource;
use crate::tuning::Kept;

/// Fewer runs have no median that means anything.
const REPEATS_MIN: u32 = 3;

/// What `--help` says below the options.
pub(super) const HELP: &str = "\
Examples:
  carat bench                                   the embedded model
  carat bench --model 26b --generate-tokens 32 --depth 2048 --json
  carat bench --model 26b --batch 1,2,4 --drafts 0.7x12,0

Close other programs first: memory is shared. docs/performance.md explains the numbers.";

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Tokens to generate
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    generate_tokens: u32,
    /// Threads that compute [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Measure also behind this many tokens that are in the cache already
    #[arg(long, value_name = "N", default_value_t = 0)]
    depth: u32,
    /// Measure also so many tokens at once behind the prompt, in turns, relative to the first number
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64))]
    batch: Vec<u32>,
    /// Measure also writing with drafts of which such shares fit, in runs of so many tokens, in turns
    /// with writing without
    #[arg(long, value_name = "SHARE[xRUN],...", value_delimiter = ',', value_parser = drafts::Fit::parse)]
    drafts: Vec<drafts::Fit>,
    /// How keys and values are stored
    #[arg(long, value_enum, default_value = "f16")]
    kv: Kv,
    /// Runs of which the median is shown
    #[arg(long, value_name = "N", default_value_t = REPEATS_MIN, value_parser = clap::value_parser!(u32).range(REPEATS_MIN as i64..))]
    repeat: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Rounds of batches for every repeat: a batch takes as long as one token.
const BATCH_ROUNDS: u32 = 10;

/// The medians of one depth.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    depth: usize,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
}

/// Everything that was measured.
struct Report {
    name: String,
    threads: usize,
    kv: KvType,
    load_ms: f64,
    bandwidth: f64,
    weight_bytes_per_token: u64,
    runs: Vec<Run>,
    batches: Vec<batches::Batch>,
    drafted: Vec<drafts::Drafted>,
}

pub(super) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let source = ModelSource::find(args.model.as_deref())?;
    let options = LoadOptions {
        threads: args.threads.map(|threads| threads as usize),
    };
    let begin = Instant::now();
    let model = source.load(&options)?;
    Kept::of_user().apply(&model);
    let load_ms = begin.elapsed().as_secs_f64() * 1000.0;
    let depths = if args.depth == 0 {
        vec![0]
    } else {
        vec![0, args.depth as usize]
    };
    let mut runs = Vec::new();
    for depth in depths {
        runs.push(measure(args, &model, depth)?);
    }
    let (batches, drafted) = measure_several(args, &model)?;
    let peak_rss_bytes = machine::peak_rss_bytes();
    let info = model.info();
    let report = Report {
        name: source.name(),
        threads: info.threads,
        kv: args.kv.into(),
        load_ms,
        // Last: its buffer must not count as memory of the model.
        bandwidth: carat_engine::measure_bandwidth(info.threads),
        weight_bytes_per_token: info.weight_bytes_per_token,
        runs,
        batches,
        drafted,
    };
    if args.json {
        output::print_json(&as_json(&report, args, peak_rss_bytes))
    } else {
        output::print(&for_readers(&report, args, peak_rss_bytes))
    }
}

/// Reads and writes behind `depth` tokens, several times.
fn measure(args: &BenchArgs, model: &Model, depth: usize) -> anyhow::Result<Run> {
    let (prompt_tokens, generate_tokens) =
        (args.prompt_tokens as usize, args.generate_tokens as usize);
    let needed = depth + prompt_tokens + generate_tokens;
    let context = model.info().context_length;
    ensure!(
        needed <= context,
        "the run needs {needed} tokens, the model has {context}; give smaller numbers"
    );
    // After each repeat the cache goes back to `depth`, over all that the repeat has added.
    let rollback_tokens = prompt_tokens + generate_tokens;
    let options = SessionOptions {
        context_tokens: needed,
        kv: args.kv.into(),
        rollback_tokens,
        layer_time: None,
        ..SessionOptions::default()
    };
    let mut session = model.new_session(&options)?;
    let prompt = sample_tokens(model, depth + prompt_tokens);
    let mut runs = Vec::new();
    // The first repeat also brings the weights into memory; it does not count.
    for repeat in 0..=args.repeat {
        restore(&mut session, &prompt[..depth])?;
        let run = measure_once(&mut session, &prompt, generate_tokens, &CancelToken::new())?;
        if repeat > 0 {
            runs.push(run);
        }
    }
    Ok(Run {
        depth,
        prefill_tokens_per_s: median(runs.iter().map(|run| run.0)),
        decode_tokens_per_s: median(runs.iter().map(|run| run.1)),
    })
}

/// Batches and drafts behind the prompt, as far as they are asked for.
fn measure_several(
    args: &BenchArgs,
    model: &Model,
) -> anyhow::Result<(Vec<batches::Batch>, Vec<drafts::Drafted>)> {
    let longest = args.batch.iter().max().map_or(0, |&n| n as usize);
    let (prompt, generate) = (args.prompt_tokens as usize, args.generate_tokens as usize);
    let rounds = BATCH_ROUNDS * args.repeat;
    let text = sample_tokens(model, prompt + longest * (rounds as usize + 1));
    let most = longest.max(generate);
    let options = SessionOptions {
        context_tokens: prompt + most,
        kv: args.kv.into(),
        rollback_tokens: most,
        layer_time: None,
        ..SessionOptions::default()
    };
    ensure!(
        prompt + most <= model.info().context_length,
        "the run needs {} tokens, the model has {}; give smaller numbers",
        prompt + most,
        model.info().context_length
    );
    let mut session = model.new_session(&options)?;
    let batches = if args.batch.is_empty() {
        Vec::new()
    } else {
        batches::measure(&mut session, &text, prompt, &args.batch, rounds)?
    };
    let drafted = if args.drafts.is_empty() {
        Vec::new()
    } else {
        let prompt = &text[..prompt];
        drafts::measure(&mut session, prompt, generate, &args.drafts, args.repeat)?
    };
    Ok((batches, drafted))
}

/// Brings the cache to exactly `tokens`.
fn restore(session: &mut Session, tokens: &[TokenId]) -> anyhow::Result<()> {
    let held = session.truncate(tokens.len().min(session.tokens().len()));
    if held < tokens.len() {
        session.evaluate(&tokens[held..], &CancelToken::new())?;
    }
    Ok(())
}

/// Tokens per second of reading the rest of `prompt`, and of writing.
/// Reads a prompt and writes so many tokens; tokens a second of both. It is an error if it is cancelled.
pub(super) fn measure_once(
    session: &mut Session,
    prompt: &[TokenId],
    generate_tokens: usize,
    cancel: &CancelToken,
) -> anyhow::Result<(f64, f64)> {
    let request = GenerationRequest {
        max_tokens: generate_tokens,
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    let mut on_piece = |_: Piece<'_>| ControlFlow::Continue(());
    let summary = session.generate(prompt, &request, cancel, &mut on_piece)?;
    ensure!(summary.stop != StopReason::Cancelled, "it was cancelled");
    let read = summary.prompt_tokens - summary.reused_tokens;
    // The first token comes from the prompt's own logits: decoding evaluates one less than it writes.
    let evaluated = summary.tokens.len().saturating_sub(1).max(1);
    let per_second =
        |tokens: usize, time: std::time::Duration| tokens as f64 / time.as_secs_f64().max(1e-9);
    Ok((
        per_second(read, summary.prefill),
        per_second(evaluated, summary.decode),
    ))
}

/// Tokens of real source code: where experts are chosen by the token, random ones cost more.
pub(super) fn sample_tokens(model: &Model, count: usize) -> Vec<TokenId> {
    let tokenizer = model.tokenizer();
    let code = tokenizer.encode(include_str!("bench.rs"));
    // A vocabulary of a test model may have no token for any of it.
    let code = if code.is_empty() {
        Vec::from_iter(tokenizer.bos())
    } else {
        code
    };
    tokenizer
        .bos()
        .into_iter()
        .chain(code.into_iter().cycle())
        .take(count)
        .collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn as_json(report: &Report, args: &BenchArgs, peak_rss_bytes: Option<u64>) -> Value {
    let runs: Vec<Value> = report
        .runs
        .iter()
        .map(|run| {
            json!({
                "depth": run.depth,
                "prompt_tokens": args.prompt_tokens,
                "generate_tokens": args.generate_tokens,
                "prefill_tokens_per_s": run.prefill_tokens_per_s,
                "decode_tokens_per_s": run.decode_tokens_per_s,
                "decode_bytes_per_s": run.decode_tokens_per_s * report.weight_bytes_per_token as f64,
            })
        })
        .collect();
    json!({
        "model": report.name,
        "cpu_level": carat_engine::cpu_level(),
        "threads": report.threads,
        "kv": report.kv.name(),
        "load_ms": report.load_ms,
        "peak_rss_bytes": peak_rss_bytes,
        "weight_bytes_per_token": report.weight_bytes_per_token,
        "measured_bandwidth_bytes_per_s": report.bandwidth,
        "repeats": args.repeat,
        "runs": runs,
        "batches": report.batches.iter().map(batches::Batch::as_json).collect::<Vec<_>>(),
        "drafts": report.drafted.iter().map(drafts::Drafted::as_json).collect::<Vec<_>>(),
    })
}

fn for_readers(report: &Report, args: &BenchArgs, peak_rss_bytes: Option<u64>) -> String {
    let peak = peak_rss_bytes.map_or("not known".to_owned(), output::bytes);
    let mut lines = vec![
        format!(
            "{}: {} threads, {} kernels, {} cache, loaded in {:.0} ms, peak memory {peak}",
            report.name,
            report.threads,
            carat_engine::cpu_level(),
            report.kv.name(),
            report.load_ms
        ),
        format!(
            "a token reads {}; memory gives {}/s",
            output::bytes(report.weight_bytes_per_token),
            output::bytes(report.bandwidth as u64)
        ),
        String::new(),
        format!(
            "{:>7} {:>7} {:>9} {:>14} {:>14} {:>14}",
            "depth", "prompt", "generate", "prefill tok/s", "decode tok/s", "decode"
        ),
    ];
    for run in &report.runs {
        let bytes = run.decode_tokens_per_s * report.weight_bytes_per_token as f64;
        lines.push(format!(
            "{:>7} {:>7} {:>9} {:>14.1} {:>14.1} {:>12}/s",
            run.depth,
            args.prompt_tokens,
            args.generate_tokens,
            run.prefill_tokens_per_s,
            run.decode_tokens_per_s,
            output::bytes(bytes as u64)
        ));
    }
    lines.extend(report.batches.iter().map(batches::Batch::for_readers));
    lines.extend(report.drafted.iter().map(drafts::Drafted::for_readers));
    lines.push(format!("medians of {}", args.repeat));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0].into_iter()) - 2.5).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).abs() < f64::EPSILON);
    }
}
