//! What a caller asks of a generation, and what it gets back.

use std::time::Duration;

use crate::TokenId;

/// How the next token is chosen from the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the most probable token (greedy); above 0, logits are divided by it.
    pub temperature: f32,
    /// Only the `top_k` most probable tokens take part; 0 lets all take part.
    pub top_k: usize,
    /// Only the smallest set of tokens whose probabilities sum to `top_p` takes part; 1 lets all take part.
    pub top_p: f32,
    /// Only tokens at least `min_p` times as probable as the best take part; 0 lets all take part.
    pub min_p: f32,
    /// The same seed and prompt give the same text.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
        }
    }
}

/// One generation: limits, choice of tokens, reasons to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationRequest {
    /// Upper bound of generated tokens.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens that end the text besides the model's own end-of-generation tokens.
    pub stop_tokens: Vec<TokenId>,
    /// Texts that end the generation; they and what follows are not part of the text.
    pub stop_strings: Vec<String>,
    /// Tokens that are never chosen, besides those that the model file bans.
    pub banned_tokens: Vec<TokenId>,
    /// What the answer begins with, because it stands before the caret and was left out of the
    /// prompt: only tokens that agree with it are chosen until it is complete. It is no part of the
    /// text that the caller gets, and probabilities are those among texts that begin so.
    ///
    /// A caret within a word splits what the model knows as one token. So the prompt is cut back to
    /// a place where tokens begin, and the model writes the token at the caret anew, whole: the
    /// tokens are healed.
    pub begins_with: String,
    /// Only the text up to the first line end is wanted: where a [`crate::ContinuationSource`] says
    /// that the line ends, the answer does.
    pub single_line: bool,
    /// Go on after stop tokens; for comparisons with other engines.
    pub ignore_stop_tokens: bool,
}

impl Default for GenerationRequest {
    fn default() -> Self {
        Self {
            max_tokens: 64,
            sampling: Sampling::default(),
            stop_tokens: Vec::new(),
            stop_strings: Vec::new(),
            banned_tokens: Vec::new(),
            begins_with: String::new(),
            single_line: false,
            ignore_stop_tokens: false,
        }
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model chose an end-of-generation token.
    StopToken,
    /// A stop string appeared.
    StopString,
    /// `max_tokens` were generated.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// The cancel token was set.
    Cancelled,
    /// The callback returned `Break`.
    Callback,
    /// No token goes on with what the answer begins with: the vocabulary cannot spell it.
    Unspellable,
}

impl StopReason {
    /// The name used in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StopToken => "stop_token",
            Self::StopString => "stop_string",
            Self::MaxTokens => "max_tokens",
            Self::ContextFull => "context_full",
            Self::Cancelled => "cancelled",
            Self::Callback => "callback",
            Self::Unspellable => "unspellable",
        }
    }
}

/// How probable a generated token was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenScore {
    /// Natural logarithm of the model's probability of it, before temperature and filters. Of
    /// tokens that spell [`GenerationRequest::begins_with`], only those that agree with it count.
    pub log_prob: f32,
    /// The same of the distribution that it was chosen from: the model's mixed with that of a
    /// [`crate::ContinuationSource`]. Without a source it is `log_prob`.
    pub mixed_log_prob: f32,
    /// The weight of the source where the token was chosen, 0 to 1.
    pub source_weight: f32,
}

impl TokenScore {
    /// The score of a token that the model alone chose.
    pub const fn of_model(log_prob: f32) -> Self {
        Self {
            log_prob,
            mixed_log_prob: log_prob,
            source_weight: 0.0,
        }
    }
}

/// Text of an answer under way, as soon as it can be shown.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Whole characters, never empty.
    pub text: &'a str,
    /// The scores of the tokens that were generated since the last piece. All pieces together have
    /// those of all tokens that had a part in the text so far, including a token whose text ends in
    /// what is still held back.
    pub scores: &'a [TokenScore],
}

/// What a generation produced and what it cost.
#[derive(Clone, Debug)]
pub struct GenerationSummary {
    /// The generated tokens, without the stop token. They spell [`GenerationRequest::begins_with`]
    /// and then `text`.
    pub tokens: Vec<TokenId>,
    /// How probable each token in `tokens` was.
    pub scores: Vec<TokenScore>,
    /// Where in `text` the text of each token in `tokens` ends, in bytes; a token that completes no
    /// character ends where the one before it does.
    pub ends: Vec<usize>,
    /// The text that was streamed, in one piece.
    pub text: String,
    /// Length of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were still in the cache and cost nothing.
    pub reused_tokens: usize,
    /// Time to evaluate the prompt.
    pub prefill: Duration,
    /// Time to generate the tokens.
    pub decode: Duration,
    /// Why it ended.
    pub stop: StopReason,
}
