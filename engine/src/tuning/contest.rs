//! Which of several candidates is fastest: pure statistics over costs that somebody else measures.
//!
//! The first candidate is the usual one, and stays unless another is better beyond doubt. Candidates
//! are timed in turns, and compared within a round: what slows the machine down for a while slows all
//! of them. Runs that were disturbed by themselves say nothing, and are left out: other work only ever
//! makes a run longer.

/// Rounds of all candidates.
const FIRST_ROUNDS: usize = 8;
/// Further rounds of those that are ahead, and of the usual one.
const FINAL_ROUNDS: usize = 24;
/// Those that are ahead.
const FINALISTS: usize = 2;
/// Rounds without which nothing is decided.
const ROUNDS_MIN: usize = 4;
/// How many times as fast as the usual candidate another has to be.
const GAIN_MIN: f64 = 1.03;
/// The part of the rounds in which it has to be faster.
const WINS_MIN: f64 = 0.7;
/// A run that takes so many times what the candidate takes at its best was disturbed.
const DISTURBED: f64 = 1.25;

/// Candidates by their number, the usual one first.
pub(super) struct Contest {
    candidates: usize,
    /// Costs of the rounds, by candidate; a round that is not over lacks some.
    rounds: Vec<Vec<Option<f64>>>,
    /// Who takes part in the round.
    entrants: Vec<usize>,
}

/// What is known of a contest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) best: usize,
    /// How many times as fast it is as the usual one.
    pub(super) gain: f64,
}

impl Contest {
    pub(super) fn new(candidates: usize) -> Self {
        Self {
            candidates,
            rounds: vec![vec![None; candidates]],
            entrants: (0..candidates).collect(),
        }
    }

    /// The candidate to time next; nothing when it is decided.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.candidates < 2 {
            return None;
        }
        if self.in_turn().is_none() {
            let over = self.rounds.len();
            if over >= FIRST_ROUNDS + FINAL_ROUNDS {
                return None;
            }
            if over == FIRST_ROUNDS {
                self.entrants = self.finalists();
                if self.entrants.len() < 2 {
                    return None;
                }
            }
            self.rounds.push(vec![None; self.candidates]);
        }
        self.in_turn()
    }

    /// Takes in what the candidate whose turn it is costs, in any unit.
    pub(super) fn record(&mut self, cost: f64) {
        if let (Some(candidate), Some(round)) = (self.in_turn(), self.rounds.last_mut()) {
            round[candidate] = Some(cost);
        }
    }

    /// What is best, as far as it is known.
    pub(super) fn verdict(&self) -> Verdict {
        let usual = Verdict { best: 0, gain: 1.0 };
        let others = self.entrants.iter().copied().filter(|&it| it != 0);
        let sure = others.filter_map(|best| {
            let gain = self.gain(best)?;
            (gain >= GAIN_MIN).then_some(Verdict { best, gain })
        });
        sure.max_by(|a, b| a.gain.total_cmp(&b.gain))
            .unwrap_or(usual)
    }

    /// How many times as fast as the usual one a candidate is, if that is beyond doubt: by what it takes at
    /// its best, and round by round.
    fn gain(&self, candidate: usize) -> Option<f64> {
        let (usual, own) = self.costs(candidate);
        let gains = gains(&usual, &own);
        let wins = gains.iter().filter(|&&gain| gain > 1.0).count();
        let is_sure = gains.len() >= ROUNDS_MIN && wins as f64 >= WINS_MIN * gains.len() as f64;
        let by_rounds = median(&gains).filter(|_| is_sure)?;
        Some(by_rounds.min(low(&usual)? / low(&own)?))
    }

    /// Every round begins with another candidate.
    fn in_turn(&self) -> Option<usize> {
        let begun = self.rounds.len() - 1;
        let order =
            (0..self.entrants.len()).map(|i| self.entrants[(i + begun) % self.entrants.len()]);
        let round = self.rounds.last()?;
        order
            .into_iter()
            .find(|&candidate| round[candidate].is_none())
    }

    /// The usual candidate, and those that are ahead of it.
    fn finalists(&self) -> Vec<usize> {
        let mut ahead: Vec<(usize, f64)> = (1..self.candidates)
            .filter_map(|candidate| {
                let (usual, own) = self.costs(candidate);
                Some((candidate, least(&usual)? / least(&own)?))
            })
            .filter(|(_, gain)| *gain > 1.0)
            .collect();
        ahead.sort_by(|a, b| b.1.total_cmp(&a.1));
        ahead.truncate(FINALISTS);
        [0].into_iter()
            .chain(ahead.into_iter().map(|(candidate, _)| candidate))
            .collect()
    }

    /// What the usual candidate and another took in the rounds that have both.
    fn costs(&self, candidate: usize) -> (Vec<f64>, Vec<f64>) {
        let pairs = self.rounds.iter();
        pairs
            .filter_map(|round| Some((round[0]?, round[candidate]?)))
            .collect()
    }
}

/// How many times as fast another was in each round in which neither was disturbed.
fn gains(usual: &[f64], own: &[f64]) -> Vec<f64> {
    let most = |costs: &[f64]| low(costs).map_or(0.0, |low| low * DISTURBED);
    let (most_usual, most_own) = (most(usual), most(own));
    let pairs = usual.iter().zip(own);
    pairs
        .filter(|&(&usual, &own)| usual <= most_usual && own <= most_own)
        .map(|(usual, own)| usual / own)
        .collect()
}

/// Of a few runs, that which was disturbed least.
fn least(costs: &[f64]) -> Option<f64> {
    costs.iter().copied().min_by(f64::total_cmp)
}

/// What a quarter of the runs stay below: the candidate at its best, but for luck.
fn low(costs: &[f64]) -> Option<f64> {
    quantile(costs, 0.25)
}

/// The value that a part of the others stay below; between two, their mean by distance.
fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;

    /// Runs a contest of candidates with these true costs on a machine that disturbs them.
    fn run(costs: &[f64], mut disturb: impl FnMut(f64) -> f64) -> (Verdict, usize) {
        let (mut contest, mut runs) = (Contest::new(costs.len()), 0);
        while let Some(candidate) = contest.next() {
            contest.record(disturb(costs[candidate]));
            runs += 1;
        }
        (contest.verdict(), runs)
    }

    #[test]
    fn the_fastest_wins_and_equals_change_nothing() {
        assert_eq!(
            run(&[1.0, 0.9, 0.8, 1.1], |cost| cost).0,
            Verdict {
                best: 2,
                gain: 1.25
            }
        );
        let usual = Verdict { best: 0, gain: 1.0 };
        assert_eq!(run(&[1.0, 1.0, 1.0], |cost| cost).0, usual);
        assert_eq!(run(&[1.0, 0.99, 1.2], |cost| cost).0, usual, "too little");
        assert_eq!(run(&[1.0], |cost| cost), (usual, 0));
    }

    #[test]
    fn who_is_behind_is_not_timed_for_long() {
        let (_, runs) = run(&[1.0, 1.1, 1.1, 1.1, 1.2, 1.2], |cost| cost);
        assert_eq!(runs, 6 * FIRST_ROUNDS);
        let (_, runs) = run(&[1.0, 0.9, 1.1, 1.1, 1.2, 1.2], |cost| cost);
        assert_eq!(runs, 6 * FIRST_ROUNDS + 2 * FINAL_ROUNDS);
    }

    #[test]
    fn nothing_is_decided_by_few_rounds() {
        let mut contest = Contest::new(2);
        for _ in 0..2 * (ROUNDS_MIN - 1) {
            let candidate = contest.next().expect("a turn");
            contest.record([1.0, 0.5][candidate]);
        }
        assert_eq!(contest.verdict().best, 0);
    }

    /// The machine is slowed down for several rounds, some runs take three times as long, and every one
    /// varies by a few percent: what is chosen is within 3% of the best, or all but.
    #[test]
    fn a_busy_machine_does_not_mislead() {
        let costs = [1.0, 0.93, 1.03, 0.97, 1.1, 1.2];
        let best = 0.93;
        let (mut within, contests) = (0, 200);
        for seed in 1..=contests {
            let mut random = Random(seed);
            let mut runs = 0;
            let (verdict, _) = run(&costs, |cost| {
                runs += 1;
                let noise = 1.0 + (random.next() % 400) as f64 / 10_000.0;
                let spike = if random.next().is_multiple_of(10) {
                    3.0
                } else {
                    1.0
                };
                let slow = if (20..32).contains(&runs) { 2.0 } else { 1.0 };
                cost * noise * spike * slow
            });
            assert!(
                costs[verdict.best] <= 1.05 * best,
                "{verdict:?}, seed {seed}"
            );
            within += u64::from(costs[verdict.best] <= 1.03 * best);
        }
        assert!(within * 100 >= 95 * contests, "{within} of {contests}");
    }

    /// Somebody else computes for half of the time, for a while each time, and takes up to 60% of the
    /// speed: nothing is chosen that is slower than the usual one, and mostly what is best.
    #[test]
    fn a_neighbor_does_not_mislead() {
        let contests = 200;
        for costs in [
            [1.0, 1.0, 1.03, 1.05, 1.1, 1.0],
            [1.0, 0.85, 1.03, 0.97, 1.1, 1.2],
        ] {
            let best = costs.iter().copied().fold(f64::INFINITY, f64::min);
            let mut within = 0;
            for seed in 1..=contests {
                let mut random = Random(seed);
                let (mut is_there, mut left) = (false, 0);
                let (verdict, _) = run(&costs, |cost| {
                    if left == 0 {
                        is_there = !is_there;
                        left = 1 + random.next() % 20;
                    }
                    left -= 1;
                    let part = |n: u64| (random.next() % n) as f64 / 100.0;
                    let mut part = part;
                    let other = if is_there { 1.0 + part(150) } else { 1.0 };
                    cost * (1.0 + part(4)) * other
                });
                assert!(costs[verdict.best] <= 1.0, "{verdict:?}, seed {seed}");
                within += u64::from(costs[verdict.best] <= 1.03 * best);
            }
            assert!(within * 100 >= 80 * contests, "{within} of {contests}");
        }
    }
}
