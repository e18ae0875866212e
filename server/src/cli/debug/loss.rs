//! `carat debug loss`: how well a model predicts texts; to compare the files of one model.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use carat_engine::{CancelToken, KvType, SessionOptions, TokenId};
use clap::Args;
use serde_json::json;

use crate::cli::{Kv, output};

#[derive(Debug, Args)]
pub(super) struct LossArgs {
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// The files with the texts, in UTF-8
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    text_file: Vec<PathBuf>,
    /// Tokens that are predicted in one piece, each from those before it in the piece
    #[arg(long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(2..=4096))]
    window: u32,
    /// Read control tokens that are spelled in the text as control tokens
    #[arg(long)]
    parse_special: bool,
    /// How keys and values are stored
    #[arg(long, value_enum, default_value = "f16")]
    kv: Kv,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LossArgs) -> anyhow::Result<()> {
    let model = super::load(args.model.as_deref())?;
    let (tokenizer, window) = (model.tokenizer(), args.window as usize);
    let kv: KvType = args.kv.into();
    let options = SessionOptions {
        context_tokens: window + 1,
        chunk_tokens: window + 1,
        kv,
        layer_time: None,
        ..SessionOptions::default()
    };
    let mut session = model.new_session(&options)?;
    let (mut nats, mut count, mut bytes) = (0.0, 0, 0);
    for file in &args.text_file {
        let text = std::fs::read_to_string(file).with_context(|| {
            format!(
                "{} cannot be read; give a text file in UTF-8",
                file.display()
            )
        })?;
        let tokens = if args.parse_special {
            tokenizer.encode_special(&text)
        } else {
            tokenizer.encode(&text)
        };
        bytes += text.len();
        for piece in tokens.chunks(window) {
            session.clear();
            let input: Vec<TokenId> = tokenizer
                .bos()
                .into_iter()
                .chain(piece[..piece.len() - 1].iter().copied())
                .collect();
            if input.is_empty() {
                continue;
            }
            let rows = session.evaluate_rows(&input, input.len(), &CancelToken::new())?;
            let vocabulary = rows.len() / input.len();
            // Without a token that begins texts, nothing predicts the first one.
            let predicted = &piece[piece.len() - input.len()..];
            for (row, &token) in rows.chunks_exact(vocabulary).zip(predicted) {
                nats += loss(row, token);
            }
            count += predicted.len();
        }
    }
    ensure!(count > 0, "the files are empty; give text");
    let (mean, bits) = (
        nats / count as f64,
        nats / std::f64::consts::LN_2 / bytes as f64,
    );
    if args.json {
        return output::print_json(&json!({
            "nats_per_token": mean, "bits_per_byte": bits, "tokens": count, "bytes": bytes,
        }));
    }
    output::print(&format!(
        "{mean:.4} nats per token, {bits:.4} bits per byte ({count} tokens, {bytes} bytes)"
    ))
}

/// Negative logarithm of the probability of `token` under `logits`.
fn loss(logits: &[f32], token: TokenId) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - most).exp()).sum();
    sum.ln() - f64::from(logits[token as usize] - most)
}

#[cfg(test)]
mod tests {
    use super::loss;

    #[test]
    fn loss_of_equal_logits_is_the_logarithm_of_their_number() {
        assert!((loss(&[3.0; 8], 5) - 8_f64.ln()).abs() < 1e-12);
        assert!(loss(&[0.0, 50.0], 1) < 1e-12);
    }
}
