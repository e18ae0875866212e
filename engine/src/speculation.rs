//! Drafts: tokens that probably follow are evaluated together with the last one, and each counts only
//! if it is the token that the loop chooses anyway. What is generated is the same, only sooner.
//!
//! A batch of a few tokens reads most weights once, so it costs less than its tokens one by one; how
//! much less is measured, and so is how often drafts are right. From both follows how long they are.

use std::time::{Duration, Instant};

use crate::kernels::FEW_TOKENS;
use crate::{CancelToken, GenerateError, Session, TokenId};

/// Something that guesses how a text goes on: a scripted one, the text itself, an index of other texts.
pub trait Drafts {
    /// Adds at most `most` tokens to `out` that may follow `text`, prompt and answer so far.
    fn draft(&mut self, text: &[TokenId], most: usize, out: &mut Vec<TokenId>);
}

/// Tokens of the longest draft: as many as are evaluated with the token before them by the same sums as
/// one alone. Longer batches have other kernels, whose rounding could choose another token.
pub(crate) const DRAFT_MAX: usize = FEW_TOKENS - 1;

/// Guesses that a text goes on as it did at the last place that ended in the same tokens. Edits of
/// code repeat most of what they were given.
#[derive(Clone, Copy, Debug, Default)]
pub struct PromptLookup;

/// Tokens that have to be the same: with fewer, most guesses are wrong.
const SAME_MIN: usize = 3;
/// Tokens beyond which a longer match does not tell more.
const SAME_MAX: usize = 16;

impl Drafts for PromptLookup {
    fn draft(&mut self, text: &[TokenId], most: usize, out: &mut Vec<TokenId>) {
        let Some((last, before)) = text.split_last() else {
            return;
        };
        let (mut longest, mut next) = (SAME_MIN - 1, text.len());
        for (at, token) in before.iter().enumerate().rev() {
            if token != last {
                continue;
            }
            let here = before[..at].iter().rev();
            let same = 1 + here
                .zip(before.iter().rev())
                .take(SAME_MAX - 1)
                .take_while(|(a, b)| a == b)
                .count();
            if same > longest {
                (longest, next) = (same, at + 1);
            }
            if longest == SAME_MAX {
                break;
            }
        }
        out.extend(text[next..].iter().take(most));
    }
}

/// The tokens of a generation that the session has evaluated ahead of the loop.
#[derive(Default)]
pub(crate) struct Ahead<'d> {
    drafts: Option<&'d mut dyn Drafts>,
    /// Prompt and answer; kept only with drafts.
    text: Vec<TokenId>,
    /// The last draft. The session holds it behind the token that it follows.
    draft: Vec<TokenId>,
    /// How many of its tokens were chosen.
    right: usize,
    batch: Vec<TokenId>,
    depth: Depth,
}

impl<'d> Ahead<'d> {
    /// Nothing is evaluated yet behind the prompt that the session holds.
    pub(crate) fn new(session: &Session, drafts: Option<&'d mut dyn Drafts>) -> Self {
        let text = match &drafts {
            Some(_) => session.tokens().to_vec(),
            None => Vec::new(),
        };
        Self {
            drafts,
            text,
            ..Self::default()
        }
    }

    /// Makes the session's logits those behind `token`, of which `left` more may follow.
    pub(crate) fn advance(
        &mut self,
        session: &mut Session,
        token: TokenId,
        left: usize,
        cancel: &CancelToken,
    ) -> Result<(), GenerateError> {
        if self.drafts.is_none() {
            return session.append(&[token], 1, cancel);
        }
        self.text.push(token);
        if self.draft.get(self.right) == Some(&token) {
            self.right += 1;
            session.look_at_row(self.right);
            return Ok(());
        }
        self.depth.verified(self.draft.len(), self.right);
        self.settle(session);
        let Some(drafts) = &mut self.drafts else {
            return Ok(());
        };
        let room = session.room().saturating_sub(1).min(left);
        let most = self.depth.tokens().min(room);
        if most > 0 {
            drafts.draft(&self.text, most, &mut self.draft);
            self.draft.truncate(most);
        }
        self.batch.clear();
        self.batch.push(token);
        self.batch.extend_from_slice(&self.draft);
        let begin = Instant::now();
        let appended = session.append(&self.batch, self.batch.len(), cancel);
        if appended.is_err() {
            self.draft.clear();
            return appended;
        }
        self.depth.measured(self.batch.len(), begin.elapsed());
        session.look_at_row(0);
        Ok(())
    }

    /// Whether nothing more fits into the session.
    pub(crate) fn is_full(&self, session: &Session) -> bool {
        session.room() + self.unchosen() == 0
    }

    /// Takes back what the session has evaluated and the loop has not chosen.
    pub(crate) fn settle(&mut self, session: &mut Session) {
        let n = session.tokens().len() - self.unchosen();
        if self.unchosen() > 0 {
            // A draft is shorter than a chunk, so that its windows are whole.
            let left = session.truncate(n);
            debug_assert_eq!(left, n, "a draft can be taken back");
        }
        self.draft.clear();
        self.right = 0;
    }

    fn unchosen(&self) -> usize {
        self.draft.len() - self.right
    }
}

/// What batches of one, two, ... tokens cost before it was measured, in batches of one.
const USUAL_COSTS: [f64; DRAFT_MAX + 1] = [1.0, 1.5, 1.9, 2.2, 2.7, 3.1, 3.5, 3.9];
/// The weight of the newest time, and the least of the newest token.
const NEWEST_COST: f64 = 0.2;
const NEWEST_DRAFT: f64 = 0.03;
/// How probable it is, before anything was seen, that a drafted token is right behind one that was
/// wrong, and behind one that was right; and as how many observations that counts.
const USUAL_RIGHT: [f64; 2] = [0.4, 0.8];
const USUAL_COUNT: u32 = 4;
/// Drafts have to promise this much, in tokens for the time of one.
const GAIN_MIN: f64 = 1.05;
/// Tokens without drafts after drafts did not pay, at first and at most.
const PAUSE_MIN: usize = 4;
const PAUSE_MAX: usize = 64;

/// How long drafts are.
#[derive(Debug)]
struct Depth {
    /// Seconds of a batch, by its length less one.
    seconds: [Option<f64>; DRAFT_MAX + 1],
    /// How probable it is that a drafted token is right, if the one before it was wrong, and if it was
    /// right. What is written anew and what is repeated come in runs.
    right: [f64; 2],
    /// How many observations each is made of.
    seen: [u32; 2],
    /// Whether the last drafted token was right.
    in_run: bool,
    /// Tokens until the next draft, and the length of the next pause.
    pause: usize,
    next_pause: usize,
}

impl Default for Depth {
    fn default() -> Self {
        Self {
            seconds: [None; DRAFT_MAX + 1],
            right: USUAL_RIGHT,
            seen: [USUAL_COUNT; 2],
            in_run: true,
            pause: 0,
            next_pause: PAUSE_MIN,
        }
    }
}

impl Depth {
    /// Tokens of the next draft; 0 while they do not pay.
    fn tokens(&mut self) -> usize {
        if self.pause > 0 {
            self.pause -= 1;
            // One token after the pause tells whether drafts are right again.
            return usize::from(self.pause == 0);
        }
        let gains = (1..=DRAFT_MAX).map(|n| (n, self.gain(n)));
        let best = gains.max_by(|(_, a), (_, b)| a.total_cmp(b));
        match best {
            Some((n, gain)) if gain >= GAIN_MIN => n,
            _ => {
                self.pause = self.next_pause;
                self.next_pause = (self.next_pause * 3 / 2).min(PAUSE_MAX);
                0
            }
        }
    }

    /// Tokens that a draft of `n` gives in the time of one.
    fn gain(&self, n: usize) -> f64 {
        let [_, next] = self.right;
        let first = self.right[usize::from(self.in_run)];
        let run: f64 = (0..n as i32).map(|i| next.powi(i)).sum();
        let expected = 1.0 + first * run;
        let cost = match (self.seconds[0], self.seconds[n]) {
            (Some(one), Some(batch)) => batch / one,
            _ => USUAL_COSTS[n],
        };
        expected / cost
    }

    fn measured(&mut self, batch: usize, elapsed: Duration) {
        let Some(seconds) = self.seconds.get_mut(batch - 1) else {
            return;
        };
        let now = elapsed.as_secs_f64();
        // A batch that other programs disturbed counts as a little slower, not as it was.
        *seconds = Some(seconds.map_or(now, |before| {
            before + NEWEST_COST * (now.min(2.0 * before) - before)
        }));
    }

    /// Takes in that the first `right` of `drafted` tokens were chosen.
    fn verified(&mut self, drafted: usize, right: usize) {
        for i in 0..drafted.min(right + 1) {
            let was = if i < right { 1.0 } else { 0.0 };
            let behind = usize::from(self.in_run);
            self.seen[behind] = self.seen[behind].saturating_add(1);
            let newest = NEWEST_DRAFT.max(1.0 / f64::from(self.seen[behind]));
            self.right[behind] += newest * (was - self.right[behind]);
            self.in_run = i < right;
        }
        if right > 1 {
            self.next_pause = PAUSE_MIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(text: &[TokenId], most: usize) -> Vec<TokenId> {
        let mut out = Vec::new();
        PromptLookup.draft(text, most, &mut out);
        out
    }

    #[test]
    fn the_longest_and_latest_match_is_taken() {
        assert_eq!(lookup(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 2), [4, 5]);
        assert_eq!(
            lookup(&[7, 1, 2, 3, 4, 0, 1, 2, 3, 5, 7, 1, 2, 3], 1),
            [4],
            "four tokens are the same there, three at the later place"
        );
        assert_eq!(lookup(&[1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], 1), [5]);
        assert!(
            lookup(&[8, 2, 3, 4, 1, 2, 3], 4).is_empty(),
            "two are too few"
        );
        assert_eq!(
            lookup(&[5, 5, 5, 5, 5], 3),
            [5],
            "up to the end of the text"
        );
        assert!(lookup(&[], 3).is_empty());
    }

    /// Tokens in the time of one, over `n` tokens of which drafts are right with `probability`, so many
    /// in a row alike.
    fn speed(probability: f64, run: usize, n: usize) -> f64 {
        let (mut depth, mut state) = (Depth::default(), 1u64);
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        let fits: Vec<bool> = (0..n.div_ceil(run))
            .flat_map(|_| std::iter::repeat_n(random() < probability, run))
            .collect();
        let (mut tokens, mut time) = (0, 0.0);
        while tokens < n {
            let drafted = depth.tokens();
            let ahead = fits.iter().skip(tokens + 1).take(drafted);
            let right = ahead.take_while(|fits| **fits).count();
            let cost = USUAL_COSTS[drafted];
            depth.measured(drafted + 1, Duration::from_secs_f64(cost));
            depth.verified(drafted, right);
            tokens += 1 + right;
            time += cost;
        }
        tokens as f64 / time
    }

    #[test]
    fn drafts_pay_where_they_are_right_and_cost_little_where_not() {
        let sure = speed(0.95, 1, 2000);
        assert!(sure > 1.5, "{sure}");
        let single = speed(0.7, 1, 2000);
        assert!(single > 1.03, "{single}");
        let lines = speed(0.7, 12, 2000);
        assert!(lines > 1.4, "{lines}");
        for (probability, run) in [(0.0, 1), (0.1, 1), (0.3, 1), (0.1, 12)] {
            let speed = speed(probability, run, 2000);
            assert!(speed > 0.95, "{probability} by {run}: {speed}");
        }
    }
}
