//! Times the candidates on slices of a model's own weights, a few milliseconds at a time.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use super::contest::Contest;
use super::file::{Choice, Subject, Tuning};
use crate::Model;
use crate::decoder::Matrix;
use crate::kernels::{
    Activations, Buffer, CpuLevel, Epilogue, Input, MatrixRef, OutTile, Pool, Product, Reading,
    candidates, products,
};

/// What a model may cost in all, less the last steps.
const BUDGET: Duration = Duration::from_millis(250);
/// How long a step measures before it returns; its last run comes on top.
const STEP: Duration = Duration::from_millis(4);
/// Weights of this size or less are timed all at once: caches have them again, as in decoding.
const ONE_SET_BYTES: usize = 16 << 20;
/// Bytes of a set of weights, of which runs take one after the other, so that none is in a cache still.
const SET_BYTES: usize = 6 << 20;
/// Sets of a subject.
const SETS: usize = 8;
/// Bytes of the weights of one product: a large matrix is cut.
const PIECE_BYTES: usize = 3 << 20;
/// Rows of a piece are a multiple of this, so that panels stay whole.
const PIECE_ROWS: usize = 64;
/// A run of weights in the caches is repeated until it takes as long.
const RUN: Duration = Duration::from_micros(300);
/// The most repetitions.
const REPETITIONS_MAX: u32 = 64;
/// Weights whose part in a model is smaller are not worth a measurement.
const PART_MIN: f64 = 0.02;
/// How long a try to have a subject's weights in memory may take: more, and they come from the disk.
const TOUCH_MAX: Duration = Duration::from_millis(25);
/// How often it is tried for a model.
const TRIES: u32 = 4;
const PAGE: usize = 4096;
/// Bytes whose pages are looked at before the clock is.
const TOUCHED_BYTES: usize = 1 << 20;

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another step.
    More,
    /// Nothing.
    Done,
    /// The file is not in memory yet: there will be a better time.
    Later,
}

/// Finds the fastest readings of a model that nothing is known of, and lets the model use them.
pub struct Tuner {
    model: Model,
    contests: VecDeque<Measured>,
    choices: Vec<Choice>,
    /// By what is measured, and by tries for nothing.
    spent: Duration,
    tries: u32,
}

/// A subject under measurement.
struct Measured {
    subject: Subject,
    candidates: Vec<Reading>,
    contest: Contest,
    sets: Vec<Vec<Piece>>,
    /// The set of the next run.
    set: usize,
    repetitions: u32,
    /// Pieces whose pages were looked at.
    touched: usize,
    /// Whether all were, and one run was made.
    is_ready: bool,
    spent: Duration,
}

/// Some rows of a matrix.
#[derive(Clone)]
struct Piece {
    matrix: Matrix,
    first: usize,
    rows: usize,
}

impl Model {
    /// What measures how to read this model's weights, as far as it is not `known`.
    pub fn tuner(&self, known: Option<&Tuning>) -> Tuner {
        Tuner::new(self.clone(), known)
    }
}

impl Tuner {
    fn new(model: Model, known: Option<&Tuning>) -> Self {
        let level = model.level();
        let mut groups: Vec<(Subject, Vec<Piece>)> = Vec::new();
        let mut all_bytes = 0;
        for matrix in model.decoded() {
            let subject = Subject {
                size: model.size(),
                order: matrix.order(),
                tensor_type: matrix.view().tensor_type,
                threads: model.info().threads,
            };
            let pieces = Piece::cut(matrix);
            all_bytes += bytes(&pieces);
            match groups.iter_mut().find(|(known, _)| *known == subject) {
                Some((_, all)) => all.extend(pieces),
                None => groups.push((subject, pieces)),
            }
        }
        groups.retain(|(subject, pieces)| {
            let is_known = known.is_some_and(|known| known.choice(*subject).is_some());
            let has_choice = candidates(level, subject.tensor_type, subject.order).len() > 1;
            !is_known && has_choice && bytes(pieces) as f64 >= PART_MIN * all_bytes as f64
        });
        // What matters most comes first.
        groups.sort_by_key(|(_, pieces)| std::cmp::Reverse(bytes(pieces)));
        let contests = groups.into_iter().map(|(subject, pieces)| {
            let candidates = candidates(level, subject.tensor_type, subject.order);
            Measured {
                subject,
                contest: Contest::new(candidates.len()),
                candidates,
                sets: sets(&pieces),
                set: 0,
                repetitions: 1,
                touched: 0,
                is_ready: false,
                spent: Duration::ZERO,
            }
        });
        Self {
            contests: contests.collect(),
            model,
            choices: Vec::new(),
            spent: Duration::ZERO,
            tries: 0,
        }
    }

    /// Measures for a few milliseconds; `clock` is the time since any moment.
    pub fn step(&mut self, clock: &mut dyn FnMut() -> Duration) -> Step {
        let begin = clock();
        let left = self.contests.len() as u32;
        let Some(measured) = self.contests.front_mut() else {
            return Step::Done;
        };
        let share = BUDGET.saturating_sub(self.spent) / left;
        let (pool, level) = (self.model.pool(), self.model.level());
        let end = measured.go_on(level, pool, share, begin, clock);
        let taken = clock().saturating_sub(begin);
        measured.spent += taken;
        match end {
            Step::Later => {
                self.spent += std::mem::take(&mut measured.spent);
                self.tries += 1;
                if self.tries < TRIES {
                    return Step::Later;
                }
                // Memory has no room for it: the next start may have.
                self.contests.clear();
                return Step::Done;
            }
            Step::More => return Step::More,
            Step::Done => {}
        }
        self.spent += measured.spent;
        let choice = measured.choice();
        tracing::debug!(%choice, spent_ms = measured.spent.as_millis() as u64, "measured");
        self.model.read_as(&choice);
        self.choices.push(choice);
        self.contests.pop_front();
        if self.contests.is_empty() {
            Step::Done
        } else {
            Step::More
        }
    }

    /// Whether there is nothing to measure.
    pub fn is_done(&self) -> bool {
        self.contests.is_empty()
    }

    /// Whether it ended without a measurement because the file does not stay in memory.
    pub fn is_given_up(&self) -> bool {
        self.tries >= TRIES
    }

    /// What was chosen so far.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// The time that it took so far.
    pub fn spent(&self) -> Duration {
        let current = self.contests.front().map(|measured| measured.spent);
        self.spent + current.unwrap_or_default()
    }
}

impl Measured {
    /// Measures for a few milliseconds, and until `share` is spent.
    fn go_on(
        &mut self,
        level: CpuLevel,
        pool: &Pool,
        share: Duration,
        begin: Duration,
        clock: &mut dyn FnMut() -> Duration,
    ) -> Step {
        if !self.is_ready {
            match self.touch(begin, clock) {
                Step::Done => self.is_ready = true,
                unfinished => return unfinished,
            }
            // The first run wakes threads and fills caches; it says how long one takes.
            self.run(level, pool, self.candidates[0], clock);
            let took = self.run(level, pool, self.candidates[0], clock);
            if self.sets.len() == 1 {
                let times = RUN.as_nanos() / took.as_nanos().max(1);
                self.repetitions = (times as u32).clamp(1, REPETITIONS_MAX);
            }
        }
        loop {
            let Some(candidate) = self.contest.next() else {
                return Step::Done;
            };
            let bytes = bytes(&self.sets[self.set]);
            let took = self.run(level, pool, self.candidates[candidate], clock);
            let cost = took.as_secs_f64() / bytes as f64;
            self.contest.record(cost);
            let taken = clock().saturating_sub(begin);
            if self.spent + taken >= share {
                return Step::Done;
            }
            if taken >= STEP {
                return Step::More;
            }
        }
    }

    /// Reads a byte of every page, so that none is mapped or comes from the disk while it is timed.
    fn touch(&mut self, begin: Duration, clock: &mut dyn FnMut() -> Duration) -> Step {
        for piece in self.sets.iter().flatten().skip(self.touched) {
            for pages in piece.view(Reading::ROWS).bytes.chunks(TOUCHED_BYTES) {
                for page in pages.chunks(PAGE) {
                    black_box(page[0]);
                }
                let taken = clock().saturating_sub(begin);
                if self.spent + taken > TOUCH_MAX {
                    return Step::Later;
                }
                if taken >= STEP {
                    return Step::More;
                }
            }
            self.touched += 1;
        }
        Step::Done
    }

    /// Multiplies the next set with one token, and returns how long it took.
    fn run(
        &mut self,
        level: CpuLevel,
        pool: &Pool,
        reading: Reading,
        clock: &mut dyn FnMut() -> Duration,
    ) -> Duration {
        let set = &self.sets[self.set];
        self.set = (self.set + 1) % self.sets.len();
        let most = |length: fn(&MatrixRef<'_>) -> usize| {
            set.iter()
                .map(|piece| length(&piece.view(reading)))
                .max()
                .unwrap_or(0)
        };
        let values = token(most(|view| view.columns));
        let mut out = vec![0.0; most(|view| view.rows)];
        let mut inputs: Vec<Activations<'_>> = Vec::new();
        for piece in set {
            let columns = piece.view(reading).columns;
            if inputs.iter().all(|input| input.columns != columns) {
                inputs.push(Activations::quantized(
                    level,
                    pool,
                    &values[..columns],
                    columns,
                ));
            }
        }
        let rows = Buffer::counting(1);
        let begin = clock();
        for piece in (0..self.repetitions).flat_map(|_| set) {
            let weights = piece.view(reading);
            let Some(activations) = inputs.iter().find(|it| it.columns == weights.columns) else {
                continue;
            };
            let input = Input {
                activations,
                rows: &rows,
            };
            let product = Product {
                weights,
                input: 0,
                epilogue: Epilogue::Plain,
            };
            let tile = OutTile::new(&mut out[..weights.rows], weights.rows);
            products(level, pool, &[input], &[product], &[tile]);
        }
        black_box(&out);
        clock().saturating_sub(begin)
    }

    fn choice(&self) -> Choice {
        let verdict = self.contest.verdict();
        Choice {
            subject: self.subject,
            reading: self.candidates[verdict.best],
            gain: verdict.gain,
        }
    }
}

impl Piece {
    /// The pieces of a matrix.
    fn cut(matrix: &Matrix) -> Vec<Self> {
        let view = matrix.view();
        let row_bytes = view.tensor_type.row_bytes(view.columns).max(1);
        let step = (PIECE_BYTES / row_bytes / PIECE_ROWS).max(1) * PIECE_ROWS;
        let firsts = (0..view.rows).step_by(step);
        firsts
            .map(|first| Self {
                matrix: matrix.clone(),
                first,
                rows: step.min(view.rows - first),
            })
            .collect()
    }

    fn view(&self, reading: Reading) -> MatrixRef<'_> {
        MatrixRef {
            reading,
            ..self.matrix.view().slice(self.first, self.rows)
        }
    }

    fn bytes(&self) -> usize {
        let view = self.matrix.view();
        self.rows * view.tensor_type.row_bytes(view.columns)
    }
}

fn bytes(pieces: &[Piece]) -> usize {
    pieces.iter().map(Piece::bytes).sum()
}

/// Sets of about equal size, each of pieces from all over the model.
fn sets(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let total = bytes(pieces);
    if total <= ONE_SET_BYTES {
        return vec![pieces.to_vec()];
    }
    let n = (total / PIECE_BYTES).clamp(1, SETS);
    let wanted = (total / n).min(SET_BYTES);
    let mut sets: Vec<(usize, Vec<Piece>)> = vec![(0, Vec::new()); n];
    // However many are taken in this order, they are from everywhere.
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|i| i.reverse_bits());
    let mut pieces = order.into_iter().map(|i| &pieces[i]);
    while sets.iter().any(|(bytes, _)| *bytes < wanted) {
        for (bytes, set) in sets.iter_mut().filter(|(bytes, _)| *bytes < wanted) {
            let Some(piece) = pieces.next() else {
                return taken(sets);
            };
            *bytes += piece.bytes();
            set.push(piece.clone());
        }
    }
    taken(sets)
}

fn taken(sets: Vec<(usize, Vec<Piece>)>) -> Vec<Vec<Piece>> {
    let sets = sets.into_iter().map(|(_, set)| set);
    sets.filter(|set| !set.is_empty()).collect()
}

/// Activations of no meaning.
fn token(columns: usize) -> Vec<f32> {
    (0..columns)
        .map(|i| ((i * 7919) % 255) as f32 / 128.0 - 1.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LoadOptions;
    use crate::kernels::Order;

    fn model() -> Model {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-wide.q4_0_q6k.gguf"
        );
        let options = LoadOptions { threads: Some(2) };
        Model::load(file.as_ref(), &options).expect("a fixture")
    }

    /// Steps until the end; the clock goes on by `tick` whenever it is read.
    fn run(tuner: &mut Tuner, tick: Duration) -> Duration {
        let mut now = Duration::ZERO;
        let mut clock = || {
            now += tick;
            now
        };
        for _ in 0..10_000 {
            if tuner.step(&mut clock) == Step::Done {
                return now;
            }
        }
        panic!("it has no end");
    }

    #[test]
    fn everything_is_chosen_within_the_budget() {
        let model = model();
        for tick in [100, 1000] {
            let tick = Duration::from_micros(tick);
            let mut tuner = Tuner::new(model.clone(), None);
            let subjects = tuner.contests.len();
            let took = run(&mut tuner, tick);
            assert_eq!(tuner.choices().len(), subjects);
            // The run during which the time was over, and what every subject begins with.
            let more = (STEP + 12 * tick) * subjects as u32;
            assert!(tuner.spent() <= BUDGET + more, "{:?}", tuner.spent());
            assert!(tuner.spent() <= took);
        }
    }

    #[test]
    fn what_is_known_is_not_measured_again() {
        let model = model();
        let mut tuner = Tuner::new(model.clone(), None);
        run(&mut tuner, Duration::from_micros(100));
        let mut known = Tuning::default();
        known.update(tuner.choices());
        assert!(Tuner::new(model.clone(), Some(&known)).is_done());
        // With another number of threads it is another subject.
        for choice in &mut known.choices {
            choice.subject.threads += 1;
        }
        assert_eq!(
            Tuner::new(model, Some(&known)).contests.len(),
            tuner.choices().len()
        );
    }

    #[test]
    fn a_file_that_comes_from_the_disk_is_left_for_later() {
        let mut tuner = Tuner::new(model(), None);
        if tuner.is_done() {
            return; // These kernels have no choice.
        }
        let mut now = Duration::ZERO;
        let mut slow = || {
            now += TOUCH_MAX + Duration::from_millis(1);
            now
        };
        assert_eq!(tuner.step(&mut slow), Step::Later);
        assert!(tuner.choices().is_empty());
        for _ in 2..TRIES {
            assert_eq!(tuner.step(&mut slow), Step::Later);
        }
        let mut again = Tuner::new(model(), None);
        assert_eq!(again.step(&mut slow), Step::Later);
        run(&mut again, Duration::from_micros(100));
        assert!(!again.choices().is_empty());
        assert_eq!(tuner.step(&mut slow), Step::Done, "it is given up");
        assert!(tuner.choices().is_empty());
    }

    #[test]
    fn sets_are_alike_and_from_everywhere() {
        let model = model();
        let all: Vec<Piece> = model.decoded().flat_map(Piece::cut).collect();
        let small = sets(&all);
        assert_eq!((small.len(), small[0].len()), (1, all.len()));
        // As if the model were larger.
        let many: Vec<Piece> = all.iter().cycle().take(300_000).cloned().collect();
        let large = sets(&many);
        assert_eq!(large.len(), SETS);
        for set in &large {
            assert!((SET_BYTES..SET_BYTES + PIECE_BYTES).contains(&bytes(set)));
        }
    }

    #[test]
    fn a_choice_is_used_at_once() {
        let model = model();
        let mut tuner = Tuner::new(model.clone(), None);
        run(&mut tuner, Duration::from_micros(100));
        for choice in tuner.choices() {
            for matrix in model.decoded().filter(|matrix| {
                let subject = &choice.subject;
                matrix.view().tensor_type == subject.tensor_type && matrix.order() == subject.order
            }) {
                assert_eq!(matrix.view().reading, choice.reading);
                assert!(matches!(matrix.order(), Order::Rows | Order::Panels));
            }
        }
    }
}
