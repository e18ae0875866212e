//! How much sooner a text is written with drafts that fit so often.

use std::ops::ControlFlow;

use anyhow::ensure;
use carat_engine::{CancelToken, Drafts, GenerationRequest, Piece, Session, TokenId};
use serde_json::{Value, json};

use super::median;

/// Writing with drafts of which a share fits, beside writing without.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drafted {
    /// How probable it was that a drafted token fits.
    share: f64,
    tokens_per_s: f64,
    /// The same in speeds without drafts.
    relative: f64,
}

/// The tokens that follow are known; which of them are drafted wrongly is fixed as well.
struct Scripted<'a> {
    text: &'a [TokenId],
    share: f64,
    vocabulary: TokenId,
}

impl Drafts for Scripted<'_> {
    fn draft(&mut self, text: &[TokenId], most: usize, out: &mut Vec<TokenId>) {
        for at in (text.len()..self.text.len()).take(most) {
            let right = self.text[at];
            let fits = drawn(at) < self.share;
            out.push(if fits {
                right
            } else {
                (right + 1) % self.vocabulary
            });
        }
    }
}

/// A number below 1 for every place (the finalizer of splitmix64).
fn drawn(at: usize) -> f64 {
    let mut x = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Writes `n` tokens behind `prompt` without drafts and with those of every share, in turns, and
/// checks that the same is written.
pub(super) fn measure(
    session: &mut Session,
    prompt: &[TokenId],
    n: usize,
    shares: &[f64],
    rounds: u32,
) -> anyhow::Result<Vec<Drafted>> {
    let mut text = prompt.to_vec();
    let (mut plain, mut speeds) = (Vec::new(), vec![Vec::new(); shares.len()]);
    // The first round does not count, but tells the text.
    for round in 0..=rounds {
        let (tokens, speed) = write(session, prompt, n, None)?;
        if round == 0 {
            text.extend(&tokens);
        } else {
            plain.push(speed);
        }
        for (&share, speeds) in shares.iter().zip(&mut speeds) {
            let mut drafts = Scripted {
                text: &text,
                share,
                vocabulary: session.model().info().vocabulary as TokenId,
            };
            let (tokens, speed) = write(session, prompt, n, Some(&mut drafts))?;
            ensure!(
                tokens == text[prompt.len()..],
                "with drafts another text was written; please report it"
            );
            if round > 0 {
                speeds.push(speed);
            }
        }
    }
    let plain = median(plain.into_iter());
    let drafted = shares.iter().zip(speeds).map(|(&share, speeds)| {
        let tokens_per_s = median(speeds.into_iter());
        Drafted {
            share,
            tokens_per_s,
            relative: tokens_per_s / plain,
        }
    });
    Ok(drafted.collect())
}

/// The tokens that the model writes, and how many a second.
fn write(
    session: &mut Session,
    prompt: &[TokenId],
    n: usize,
    drafts: Option<&mut dyn Drafts>,
) -> anyhow::Result<(Vec<TokenId>, f64)> {
    let request = GenerationRequest {
        max_tokens: n,
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    let on_piece = &mut |_: Piece<'_>| ControlFlow::Continue(());
    let cancel = CancelToken::new();
    let summary = session.generate_aided(prompt, &request, (None, drafts), &cancel, on_piece)?;
    let evaluated = summary.tokens.len().saturating_sub(1).max(1);
    let speed = evaluated as f64 / summary.decode.as_secs_f64().max(1e-9);
    Ok((summary.tokens, speed))
}

impl Drafted {
    pub(super) fn as_json(&self) -> Value {
        json!({
            "share": self.share,
            "tokens_per_s": self.tokens_per_s,
            "relative": self.relative,
        })
    }

    pub(super) fn for_readers(&self) -> String {
        format!(
            "drafts of which {:.0}% fit: {:.1} tokens/s, {:.2} times the speed without",
            100.0 * self.share,
            self.tokens_per_s,
            self.relative
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_drafts_fit_as_was_asked_for() {
        let fits = (0..10_000).filter(|&at| drawn(at) < 0.7).count();
        assert!((6_800..7_200).contains(&fits), "{fits}");
        let mut scripted = Scripted {
            text: &[5, 6, 7],
            share: 0.0,
            vocabulary: 8,
        };
        let mut out = Vec::new();
        scripted.draft(&[5], 4, &mut out);
        assert_eq!(out, [7, 0], "never the right token, never an unknown one");
    }
}
