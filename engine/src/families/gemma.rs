//! Gemma 1 (with CodeGemma), Gemma 3 and the text part of Gemma 4, dense or with experts.

use super::Family;
use super::reader::{Layers, MAX_CONTEXT, MAX_LAYERS, MAX_WIDTH, Reader};
use crate::LoadError;
use crate::decoder::{Config, ExpertNames, RopeConfig, RopePairs, TensorNames};
use crate::kernels::Gate;

pub(super) const FAMILIES: &[Family] = &[
    Family {
        architecture: "gemma",
        config: gemma1,
        tensors: TensorNames::PLAIN,
    },
    Family {
        architecture: "gemma3",
        config: gemma3,
        tensors: NORMED,
    },
    Family {
        architecture: "gemma4",
        config: gemma4,
        tensors: TensorNames {
            values_may_be_keys: true,
            experts: Some(ExpertNames {
                norm: "pre_ffw_norm_2.weight",
                post_norm: Some("post_ffw_norm_2.weight"),
                dense_post_norm: Some("post_ffw_norm_1.weight"),
                router_scale: Some("ffn_gate_inp.scale"),
                // The second name is that of files that Ollama has published.
                output_scale: &["ffn_down_exps.scale", "ffn_gate_inp.per_expert_scale"],
            }),
            ..NORMED
        },
    },
];

/// Norms of query and key heads and at the end of branches, which all but Gemma 1 have.
const NORMED: TensorNames = TensorNames {
    head_norms: Some(["attn_q_norm.weight", "attn_k_norm.weight"]),
    branch_norms: Some(["post_attention_norm.weight", "post_ffw_norm.weight"]),
    ..TensorNames::PLAIN
};

/// Every sixth layer of Gemma 3 is global.
const GEMMA3_PERIOD: usize = 6;
/// Gemma 3 27B, which divides attention scores by its hidden size per head instead of its head length.
const GEMMA3_LARGEST_LAYERS: usize = 62;

/// What all generations share; windows, scales and experts are added.
fn common(reader: &Reader<'_>, layers: &Layers) -> Result<Config, LoadError> {
    let hidden = reader.hidden()?;
    let rope = |theta, position_scale| RopeConfig {
        theta,
        position_scale,
        pairs: RopePairs::Halves,
        rotated: None,
        magnitude: 1.0,
        yarn: None,
        proportional: false,
    };
    Ok(Config {
        hidden,
        vocabulary: reader.vocabulary,
        context: reader.context()?,
        norm_epsilon: reader.norm_epsilon(1e-6),
        logit_scale: 1.0,
        final_softcap: reader
            .float("final_logit_softcapping")
            .filter(|&cap| cap > 0.0),
        per_layer_width: 0,
        experts: None,
        embedding_scale: (hidden as f32).sqrt(),
        gate: Gate::Gelu,
        norm_values: false,
        untrained_fim: false,
        rope_local: rope(reader.rope_theta("rope.freq_base_swa", 1e4)?, 1.0),
        rope_global: rope(
            reader.rope_theta("rope.freq_base", 1e6)?,
            reader.position_scale()?,
        ),
        layers: reader.layers(layers)?,
    })
}

fn gemma1(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let head_dim = reader.head_dim()?;
    let layers = Layers {
        is_local: vec![false; reader.n_layers()?],
        window: None,
        head_dims: (head_dim, head_dim),
        n_shared: 0,
        attention_scale: None,
    };
    let mut config = common(reader, &layers)?;
    config.rope_global.theta = reader.rope_theta("rope.freq_base", 1e4)?;
    // Converters write the keys into every file, but only CodeGemma was trained on the tokens.
    let name = reader.file.metadata().model_name().unwrap_or_default();
    config.untrained_fim = !name.to_lowercase().contains("codegemma");
    Ok(config)
}

fn gemma3(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let n_layers = reader.n_layers()?;
    let heads = reader.per_layer("attention.head_count", n_layers, MAX_WIDTH)?[0];
    let per_head = (reader.hidden()? / heads) as f32;
    let largest = (n_layers == GEMMA3_LARGEST_LAYERS).then(|| per_head.powf(-0.5));
    common(reader, &windowed(reader, Some(GEMMA3_PERIOD), largest)?)
}

fn gemma4(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let mut config = common(reader, &windowed(reader, None, Some(1.0))?)?;
    config.final_softcap = reader
        .float("final_logit_softcapping")
        .or(Some(30.0))
        .filter(|&cap| cap > 0.0);
    config.per_layer_width = reader
        .optional_count("embedding_length_per_layer_input", MAX_WIDTH)?
        .unwrap_or(0);
    config.experts = reader.experts(None)?;
    config.norm_values = true;
    config.rope_global.proportional = true;
    Ok(config)
}

/// Layers with windows: as the file says, or all but every `period`-th.
fn windowed(
    reader: &Reader<'_>,
    period: Option<usize>,
    attention_scale: Option<f32>,
) -> Result<Layers, LoadError> {
    let n_layers = reader.n_layers()?;
    let head_dim = reader.head_dim()?;
    let window = reader
        .optional_count("attention.sliding_window", MAX_CONTEXT)?
        .filter(|&w| w > 0);
    let n_shared = reader
        .optional_count("attention.shared_kv_layers", MAX_LAYERS)?
        .unwrap_or(0);
    if n_shared >= n_layers {
        return Err(reader.error(
            "attention.shared_kv_layers",
            format!(
                "{n_shared} of {n_layers} layers share keys and values, at least one must own them"
            ),
        ));
    }
    Ok(Layers {
        is_local: match window {
            None => vec![false; n_layers],
            Some(_) => sliding_pattern(reader, n_layers, period)?,
        },
        window,
        head_dims: (
            head_dim,
            reader
                .optional_count("attention.key_length_swa", MAX_WIDTH)?
                .unwrap_or(head_dim),
        ),
        n_shared,
        attention_scale,
    })
}

fn sliding_pattern(
    reader: &Reader<'_>,
    n_layers: usize,
    period: Option<usize>,
) -> Result<Vec<bool>, LoadError> {
    let key = "attention.sliding_window_pattern";
    match reader.file.metadata().bool_array(&reader.key(key)) {
        Some(pattern) if pattern.len() == n_layers => Ok(pattern),
        // One value would be a period, as some converters of Gemma 3 write it.
        Some(pattern) if pattern.len() > 1 => Err(reader.error(
            key,
            format!("{} entries for {n_layers} layers", pattern.len()),
        )),
        _ => match period {
            None => Err(reader.error(key, "missing".to_owned())),
            Some(period) => Ok((0..n_layers).map(|i| (i + 1) % period != 0).collect()),
        },
    }
}
