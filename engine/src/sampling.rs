//! The choice of the next token from logits.

use rand::SeedableRng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;

use crate::kernels::{self, CpuLevel};
use crate::mixing::SparseDistribution;
use crate::tokenizer::Tokenizer;
use crate::{GenerationRequest, Sampling, TokenId, TokenScore};

/// Chooses tokens; the same seed and logits give the same tokens.
pub(crate) struct Sampler {
    sampling: Sampling,
    random: StdRng,
    banned: Vec<TokenId>,
    level: CpuLevel,
    mixed: Mixed,
}

/// What is known of logits into which a source was mixed.
#[derive(Debug, Default)]
pub(crate) struct Mixed {
    /// The most probable token and its logit.
    best: usize,
    highest: f32,
    /// Logarithm of the sum of the exponentials of the model's logits.
    log_sum: f32,
    /// Of the source.
    weight: f32,
    /// Logits of the model that the source has raised.
    unmixed: Vec<(usize, f32)>,
}

impl Mixed {
    /// How probable a token is; `logits` are the mixed ones.
    pub(crate) fn score(&self, logits: &[f32], token: usize) -> TokenScore {
        let logit = logits.get(token).copied().unwrap_or(f32::NEG_INFINITY);
        let unmixed = self.unmixed.iter().find(|(index, _)| *index == token);
        TokenScore {
            log_prob: unmixed.map_or(logit, |(_, logit)| *logit) - self.log_sum,
            mixed_log_prob: logit - self.log_sum + (1.0 - self.weight).ln(),
            source_weight: self.weight,
        }
    }
}

impl Sampler {
    /// A sampler that never chooses the tokens that the model or the request bans.
    pub(crate) fn new(tokenizer: &Tokenizer, request: &GenerationRequest) -> Self {
        let mut banned = tokenizer.banned().to_vec();
        banned.extend_from_slice(&request.banned_tokens);
        Self::with_banned(&request.sampling, banned)
    }

    fn with_banned(sampling: &Sampling, banned: Vec<TokenId>) -> Self {
        Self {
            sampling: sampling.clone(),
            random: StdRng::seed_from_u64(sampling.seed),
            banned,
            level: CpuLevel::current(),
            mixed: Mixed::default(),
        }
    }

    /// Takes out the tokens that are never chosen.
    pub(crate) fn ban(&self, logits: &mut [f32]) {
        for &token in &self.banned {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// The next token, from the logits that are left mixed with what a source says. The logits are
    /// of no more use then.
    pub(crate) fn choose(
        &mut self,
        logits: &mut [f32],
        source: &SparseDistribution,
    ) -> (TokenId, TokenScore) {
        let temperature = self.sampling.temperature;
        let mixed = self.mix(logits, source);
        let (best, highest) = (mixed.best, mixed.highest);
        let drawn = if temperature > 0.0 {
            self.draw(logits, highest)
        } else {
            None
        };
        let token = drawn.unwrap_or(best);
        (token as TokenId, self.mixed.score(logits, token))
    }

    /// Raises the logits of tokens of which the source speaks.
    pub(crate) fn mix(&mut self, logits: &mut [f32], source: &SparseDistribution) -> &Mixed {
        let mixed = &mut self.mixed;
        let max = kernels::largest(self.level, logits);
        let log_sum = max + kernels::sum_exp_minus(self.level, logits, max).ln() as f32;
        // The first of equals; nothing is larger than the first if nothing is a number.
        mixed.best = logits.iter().position(|&l| l >= max).unwrap_or(0);
        (mixed.highest, mixed.log_sum, mixed.weight) = (max, log_sum, source.weight);
        mixed.unmixed.clear();
        // Against a model whose weight stays 1, so that all other logits stay as they are.
        let against = source.weight / (1.0 - source.weight);
        for &(token, p) in &source.tokens {
            let index = token as usize;
            let Some(logit) = logits.get_mut(index) else {
                continue;
            };
            mixed.unmixed.push((index, *logit));
            *logit = log_sum + ((*logit - log_sum).exp() + against * p).ln();
            if *logit > mixed.highest {
                (mixed.best, mixed.highest) = (index, *logit);
            }
        }
        mixed
    }

    /// Draws from the tokens that the filters leave; `None` if their weights make no distribution.
    fn draw(&mut self, logits: &[f32], max: f32) -> Option<usize> {
        let Sampling {
            temperature,
            top_k,
            top_p,
            min_p,
            ..
        } = self.sampling;
        let mut kept: Vec<(usize, f32)> = logits
            .iter()
            .enumerate()
            .map(|(token, logit)| (token, ((logit - max) / temperature).exp()))
            .filter(|&(_, weight)| weight > 0.0 && weight >= min_p)
            .collect();
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if top_k > 0 {
            kept.truncate(top_k);
        }
        let total: f32 = kept.iter().map(|(_, weight)| weight).sum();
        let mut before = 0.0;
        let n = kept.iter().take_while(|(_, weight)| {
            let take = before < top_p * total;
            before += weight;
            take
        });
        let n = n.count().max(1);
        kept.truncate(n);
        let weights = WeightedIndex::new(kept.iter().map(|(_, weight)| *weight)).ok()?;
        Some(kept[weights.sample(&mut self.random)].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(sampling: &Sampling, banned: &[TokenId], n: usize) -> Vec<TokenId> {
        let mut sampler = Sampler::with_banned(sampling, banned.to_vec());
        (0..n)
            .map(|_| {
                let mut logits = [0.0, 3.0, 2.0, 2.5, -4.0];
                sampler.ban(&mut logits);
                sampler
                    .choose(&mut logits, &SparseDistribution::default())
                    .0
            })
            .collect()
    }

    #[test]
    fn greedy_takes_the_best_that_is_not_banned() {
        assert_eq!(draws(&Sampling::default(), &[], 1), [1]);
        assert_eq!(draws(&Sampling::default(), &[1], 1), [3]);
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        let sampling = Sampling {
            temperature: 1.0,
            seed: 7,
            ..Sampling::default()
        };
        assert_eq!(draws(&sampling, &[], 50), draws(&sampling, &[], 50));
        let other = Sampling {
            seed: 8,
            ..sampling.clone()
        };
        assert_ne!(draws(&sampling, &[], 50), draws(&other, &[], 50));
    }

    #[test]
    fn filters_leave_only_probable_tokens() {
        let top_k = Sampling {
            temperature: 2.0,
            top_k: 2,
            ..Sampling::default()
        };
        assert!(draws(&top_k, &[], 200).iter().all(|t| [1, 3].contains(t)));
        let min_p = Sampling {
            temperature: 2.0,
            min_p: 0.7,
            ..Sampling::default()
        };
        assert!(draws(&min_p, &[], 200).iter().all(|t| [1, 3].contains(t)));
        let top_p = Sampling {
            temperature: 1.0,
            top_p: 0.3,
            ..Sampling::default()
        };
        assert!(draws(&top_p, &[], 200).iter().all(|&t| t == 1));
    }

    #[test]
    fn the_probability_is_the_models() {
        let mut sampler = Sampler::with_banned(&Sampling::default(), Vec::new());
        let (_, score) = sampler.choose(&mut [0.0, 0.0], &SparseDistribution::default());
        assert!((score.log_prob - 0.5f32.ln()).abs() < 1e-6);
        assert_eq!(score, TokenScore::of_model(score.log_prob));
    }

    #[test]
    fn a_source_is_mixed_in_by_its_weight() {
        let logits = [0.0f32, 1.0, 2.0, f32::NEG_INFINITY];
        let sum: f32 = logits.iter().map(|l| l.exp()).sum();
        for (weight, tokens) in [
            (0.8, vec![(0, 0.75), (1, 0.25)]),
            (0.3, vec![(1, 1.0)]),
            (0.1, vec![(2, 1.0)]),
        ] {
            let source = SparseDistribution { tokens, weight };
            let mixed: Vec<f32> = (0..4)
                .map(|token| {
                    let of_source = source.tokens.iter().find(|(other, _)| *other == token);
                    let of_source = of_source.map_or(0.0, |(_, p)| *p);
                    (1.0 - weight) * logits[token as usize].exp() / sum + weight * of_source
                })
                .collect();
            let best = (0..4)
                .max_by(|&a, &b| mixed[a].total_cmp(&mixed[b]))
                .unwrap_or(0);
            let mut sampler = Sampler::with_banned(&Sampling::default(), Vec::new());
            let (token, score) = sampler.choose(&mut logits.clone(), &source);
            assert_eq!(token as usize, best);
            assert!((score.mixed_log_prob.exp() - mixed[best]).abs() < 1e-5);
            assert!((score.log_prob.exp() - logits[best].exp() / sum).abs() < 1e-5);
            // Drawn tokens come as often as the mixture says.
            let warm = Sampling {
                temperature: 1.0,
                ..Sampling::default()
            };
            let mut sampler = Sampler::with_banned(&warm, Vec::new());
            let mut counts = [0.0f32; 4];
            for _ in 0..4000 {
                counts[sampler.choose(&mut logits.clone(), &source).0 as usize] += 1.0 / 4000.0;
            }
            for (count, p) in counts.iter().zip(&mixed) {
                assert!((count - p).abs() < 0.05, "{counts:?} {mixed:?}");
            }
        }
    }
}
