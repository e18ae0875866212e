//! How much sooner a text is written with drafts that fit so often.

use std::ops::ControlFlow;

use anyhow::ensure;
use carat_engine::{CancelToken, Drafts, GenerationRequest, Piece, Session, TokenId};
use serde_json::{Value, json};

use super::median;

/// Which drafted tokens fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    /// How probable it is that one does.
    share: f64,
    /// So many in a row do, or do not: edits repeat some lines and change others.
    run: usize,
}

impl Fit {
    /// A share between 0 and 1, and the length of runs behind an `x`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (share, run) = text.split_once('x').unwrap_or((text, "1"));
        let share: f64 = share.parse().map_err(|_| "not a number".to_owned())?;
        let run = run.parse().map_err(|_| "runs have a length".to_owned())?;
        match (share, run) {
            (0.0..=1.0, 1..) => Ok(Self { share, run }),
            (0.0..=1.0, _) => Err("a run has a token at least".to_owned()),
            _ => Err("a share is between 0 and 1".to_owned()),
        }
    }

    fn fits(self, at: usize) -> bool {
        drawn(at / self.run) < self.share
    }
}

/// Writing with drafts of which a share fits, beside writing without.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drafted {
    fit: Fit,
    tokens_per_s: f64,
    /// The same in speeds without drafts.
    relative: f64,
}

/// The tokens that follow are known; which of them are drafted wrongly is fixed as well.
struct Scripted<'a> {
    text: &'a [TokenId],
    fit: Fit,
    vocabulary: TokenId,
}

impl Drafts for Scripted<'_> {
    fn draft(&mut self, text: &[TokenId], most: usize, out: &mut Vec<TokenId>) {
        for at in (text.len()..self.text.len()).take(most) {
            let right = self.text[at];
            out.push(if self.fit.fits(at) {
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

/// Writes `n` tokens behind `prompt` without drafts and with those of every kind, in turns, and
/// checks that the same is written.
pub(super) fn measure(
    session: &mut Session,
    prompt: &[TokenId],
    n: usize,
    fits: &[Fit],
    rounds: u32,
) -> anyhow::Result<Vec<Drafted>> {
    let mut text = prompt.to_vec();
    let (mut plain, mut speeds) = (Vec::new(), vec![Vec::new(); fits.len()]);
    // The first round does not count, but tells the text.
    for round in 0..=rounds {
        let (tokens, speed) = write(session, prompt, n, None)?;
        if round == 0 {
            text.extend(&tokens);
        } else {
            plain.push(speed);
        }
        for (&fit, speeds) in fits.iter().zip(&mut speeds) {
            let mut drafts = Scripted {
                text: &text,
                fit,
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
    let drafted = fits.iter().zip(speeds).map(|(&fit, speeds)| {
        let tokens_per_s = median(speeds.into_iter());
        Drafted {
            fit,
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
            "share": self.fit.share,
            "run": self.fit.run,
            "tokens_per_s": self.tokens_per_s,
            "relative": self.relative,
        })
    }

    pub(super) fn for_readers(&self) -> String {
        format!(
            "drafts of which {:.0}% fit, {} in a row alike: {:.1} tokens/s, {:.2} times the speed without",
            100.0 * self.fit.share,
            self.fit.run,
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
        for text in ["0.7", "0.7x12"] {
            let fit = Fit::parse(text).expect("a share");
            let fits = (0..100_000).filter(|&at| fit.fits(at)).count();
            assert!((68_000..72_000).contains(&fits), "{text}: {fits}");
        }
        let lines = Fit::parse("0.7x12").expect("a share");
        assert!((0..1000).all(|at| lines.fits(12 * at) == lines.fits(12 * at + 11)));
        for wrong in ["", "2", "0.5x0", "0.5x", "x3"] {
            assert!(Fit::parse(wrong).is_err(), "{wrong}");
        }
        let mut scripted = Scripted {
            text: &[5, 6, 7],
            fit: Fit { share: 0.0, run: 1 },
            vocabulary: 8,
        };
        let mut out = Vec::new();
        scripted.draft(&[5], 4, &mut out);
        assert_eq!(out, [7, 0], "never the right token, never an unknown one");
    }
}
