//! Softmax attention over the cache, exact in the window.
//!
//! Keys are visited in blocks with a running maximum and sum (Milakov and Gimelshein, "Online
//! normalizer calculation for softmax", 2018). For few queries the positions are split into segments
//! besides, so that all threads have work where there are few key/value heads; what the segments come to
//! is merged in their order. Blocks and segments end at the same positions for every query, so
//! that what a query gets depends neither on the other rows nor on threads: drafts that are verified
//! together have the numbers that they would have one by one.

use std::ops::Range;

use crate::decoder::branches::Branches;
use crate::decoder::config::LayerConfig;
use crate::decoder::ops::Compute;
use crate::kernels::{self, BLOCK_KEYS, Buffer, CpuLevel, FEW_TOKENS, List, OutTile};
use crate::kv_cache::KvCache;

/// Rows of queries, and the keys and values that they look at.
pub(crate) struct CachedAttention<'a> {
    pub(crate) cache: &'a KvCache,
    /// The cache's store of the layer whose keys and values are used.
    pub(crate) store: usize,
    pub(crate) layer: &'a LayerConfig,
    /// Position of the first row, unless they are branches.
    pub(crate) first_position: usize,
    /// What the rows see, if they are not consecutive tokens.
    pub(crate) branches: Option<Branches<'a>>,
    /// Factor on the scores.
    pub(crate) scale: f32,
    pub(crate) compute: Compute<'a>,
}

/// Query rows of one task, at least: enough to pay for the conversion of keys and values.
const BLOCK_ROWS: usize = 16;
/// Queries of one task, if they are not more rows than that.
const BLOCK_QUERIES: usize = 128;
/// Query rows up to which keys and values are read as they are stored: one token, and drafts that are
/// verified.
const IN_PLACE_ROWS: usize = FEW_TOKENS;
/// Positions of a segment, whole blocks: long enough that merging it costs nothing beside it, short
/// enough that a sliding window has several.
pub(super) const SEGMENT: usize = 4 * BLOCK_KEYS;
/// Key/value heads from which on there are tasks enough without segments, which cost a fifth where heads
/// are short (16 heads of 128 behind 8,192 positions, Zen 4).
const MANY_HEADS: usize = 8;
/// Tasks of few rows for each thread: more than one, for threads that were disturbed.
const TASKS_PER_THREAD: usize = 4;

impl CachedAttention<'_> {
    /// `out` becomes what the rows find, `[rows, n_heads * head_dim]`; rows of `queries` begin with their
    /// heads and are `stride` apart.
    pub(super) fn attend(&self, queries: &[f32], stride: usize, out: &mut [f32]) {
        // The model decides, not the threads: the numbers are the same everywhere.
        let segment = if self.layer.n_kv_heads < MANY_HEADS {
            SEGMENT
        } else {
            usize::MAX
        };
        self.attend_in(segment, queries, stride, out);
    }

    /// As [`Self::attend`], with segments of so many positions.
    pub(super) fn attend_in(
        &self,
        segment: usize,
        queries: &[f32],
        stride: usize,
        out: &mut [f32],
    ) {
        let LayerConfig {
            n_heads,
            n_kv_heads,
            head_dim,
            ..
        } = *self.layer;
        let width = n_heads * head_dim;
        let n_rows = out.len() / width;
        // Each branch sees other keys.
        let block_rows = match self.branches {
            Some(_) => 1,
            None => (BLOCK_QUERIES / (n_heads / n_kv_heads)).max(BLOCK_ROWS),
        };
        let blocks = Blocks {
            queries,
            stride,
            n_rows,
            rows: block_rows.min(n_rows),
        };
        let is_few = n_rows <= IN_PLACE_ROWS || self.branches.is_some();
        let segments =
            (is_few && kernels::fits_stored(head_dim)).then(|| self.segments(segment, n_rows));
        if let Some(segments) = &segments {
            let units = n_rows.div_ceil(blocks.rows) * n_kv_heads;
            let wanted = (TASKS_PER_THREAD * self.compute.pool.threads()).div_ceil(units);
            let per_task = segments.n.div_ceil(wanted.clamp(1, segments.n));
            if per_task < segments.n {
                return self.attend_split(&blocks, segments, per_task, out);
            }
        }
        let outs = out.chunks_mut(block_rows * width);
        let outs: List<_> = outs.map(|block| OutTile::new(block, width)).collect();
        let group_width = width / n_kv_heads;
        // A task is a key/value head and a block of rows.
        let pool = self.compute.pool;
        pool.for_each_columns(&outs, group_width, |block, first_column, out| {
            let kv_head = first_column / group_width;
            self.block(&blocks, block, kv_head, segments.as_ref(), out);
        });
    }

    /// The segments that any of the rows sees.
    fn segments(&self, len: usize, n_rows: usize) -> Segments {
        let (lowest, end) = match self.branches {
            Some(branches) => {
                let lowest = self.lowest_visible(branches.position());
                let ends = (0..n_rows).filter_map(|row| {
                    let visible = branches.visible(row, lowest);
                    visible.last().map(|last| last.end)
                });
                (lowest, ends.max().unwrap_or(lowest))
            }
            None => (
                self.lowest_visible(self.first_position),
                self.first_position + n_rows,
            ),
        };
        let first = lowest / len;
        Segments {
            len,
            first,
            n: end.div_ceil(len).saturating_sub(first),
        }
    }

    /// A task is a key/value head, a block of rows, and so many segments; what they come to is merged
    /// here.
    fn attend_split(
        &self,
        blocks: &Blocks<'_>,
        segments: &Segments,
        per_task: usize,
        out: &mut [f32],
    ) {
        let Compute { level, pool } = self.compute;
        let (d, n_kv_heads) = (self.layer.head_dim, self.layer.n_kv_heads);
        let group = self.layer.n_heads / n_kv_heads;
        let n_queries = blocks.rows * group;
        let units = blocks.n_rows.div_ceil(blocks.rows) * n_kv_heads;
        let tasks = segments.n.div_ceil(per_task);
        // Of each unit and segment, and of each query in it: the sums, and what they are relative to.
        let record = n_queries * (d + RUNNING);
        // As much as the longest text needs, so that memory is set aside once.
        let seen = self
            .cache
            .context()
            .min(self.layer.window.unwrap_or(usize::MAX));
        let most = (seen / segments.len + 2).max(segments.n) + TASKS_PER_THREAD * pool.threads();
        let mut partials = Buffer::new(units * most * record);
        let partials = &mut partials[..units * tasks * per_task * record];
        pool.for_each_chunk(partials, per_task * record, |task, records| {
            let (unit, first) = (task / tasks, task % tasks * per_task);
            let (block, kv_head) = (unit / n_kv_heads, unit % n_kv_heads);
            let rows = self.rows(blocks, block * blocks.rows, blocks.rows, kv_head);
            let records = records.chunks_exact_mut(record);
            for (segment, record) in (first..segments.n).zip(records) {
                let (sums, ends) = record.split_at_mut(n_queries * d);
                let mut running: List<Running> = smallvec::smallvec![Running::default(); n_queries];
                sums.fill(0.0);
                self.visit(
                    &rows,
                    rows.visited_in(segments, segment),
                    true,
                    sums,
                    &mut running,
                );
                for (end, running) in ends.chunks_exact_mut(RUNNING).zip(&running) {
                    end.copy_from_slice(&[running.max, running.sum]);
                }
            }
        });
        for (unit, records) in partials.chunks_exact(tasks * per_task * record).enumerate() {
            let (block, kv_head) = (unit / n_kv_heads, unit % n_kv_heads);
            for i in 0..n_queries {
                let (row, head) = (block * blocks.rows + i / group, kv_head * group + i % group);
                let out = &mut out[(row * self.layer.n_heads + head) * d..][..d];
                let mut whole = Running::default();
                for record in records.chunks_exact(record).take(segments.n) {
                    let (sums, ends) = record.split_at(n_queries * d);
                    let part = Running {
                        max: ends[i * RUNNING],
                        sum: ends[i * RUNNING + 1],
                    };
                    whole.merge(out, part, &sums[i * d..][..d], level);
                }
                let inverse = whole.sum.recip();
                for out in out {
                    *out *= inverse;
                }
            }
        }
    }

    /// One key/value head and a block of query rows, `[rows, group, d]`; few rows look at one segment
    /// after the other.
    fn block(
        &self,
        blocks: &Blocks<'_>,
        block: usize,
        kv_head: usize,
        segments: Option<&Segments>,
        mut out: OutTile<'_>,
    ) {
        let level = self.compute.level;
        let d = self.layer.head_dim;
        let group = self.layer.n_heads / self.layer.n_kv_heads;
        let n_rows = out.rows();
        let n_queries = n_rows * group;
        let rows = self.rows(blocks, block * blocks.rows, n_rows, kv_head);
        let mut sums = Buffer::new(n_queries * d);
        sums.fill(0.0);
        // A cache in f32 is there to be exact.
        let stored = |positions| self.cache.stored(self.store, kv_head, positions);
        if segments.is_none()
            && !self.cache.is_exact()
            && kernels::attend(level, &rows.scaled, d, &rows.visible, stored, &mut sums)
        {
            for (i, sums) in sums.chunks_exact(group * d).enumerate() {
                out.row(i).copy_from_slice(sums);
            }
            return;
        }
        let mut running: List<Running> = smallvec::smallvec![Running::default(); n_queries];
        if let Some(segments) = segments {
            let mut part_sums = Buffer::new(n_queries * d);
            for segment in 0..segments.n {
                let mut part: List<Running> = smallvec::smallvec![Running::default(); n_queries];
                part_sums.fill(0.0);
                let visited = rows.visited_in(segments, segment);
                self.visit(&rows, visited, true, &mut part_sums, &mut part);
                let parts = part_sums.chunks_exact(d).zip(&part);
                for ((sums, whole), (part_sums, part)) in
                    sums.chunks_exact_mut(d).zip(&mut running).zip(parts)
                {
                    whole.merge(sums, *part, part_sums, level);
                }
            }
        } else {
            // Few queries do not pay for converted keys and values.
            let in_place = n_rows <= IN_PLACE_ROWS && kernels::fits_stored(d);
            let visited = rows.visited.iter().cloned();
            self.visit(&rows, visited, in_place, &mut sums, &mut running);
        }
        let found = sums
            .chunks_exact(group * d)
            .zip(running.chunks_exact(group));
        for (i, (sums, running)) in found.enumerate() {
            let heads = out.row(i).chunks_exact_mut(d).zip(sums.chunks_exact(d));
            for ((out, sums), running) in heads.zip(running) {
                let inverse = running.sum.recip();
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum * inverse;
                }
            }
        }
    }

    /// Adds what some rows find at the positions `visited`, one range after the other: weighted values to
    /// `sums`, and weights to `running`.
    fn visit(
        &self,
        rows: &RowQueries,
        visited: impl Iterator<Item = Range<usize>>,
        in_place: bool,
        sums: &mut [f32],
        running: &mut [Running],
    ) {
        let (kv_head, scaled, visible) = (rows.kv_head, &rows.scaled[..], &rows.visible[..]);
        let (level, d) = (self.compute.level, self.layer.head_dim);
        let mut scores = Buffer::new(running.len() * BLOCK_KEYS);
        let converted = if in_place { 0 } else { BLOCK_KEYS * d };
        let (mut keys, mut values) = (Buffer::new(converted), Buffer::new(converted));
        let blocks = visited.flat_map(|Range { start, end }| {
            let begins = (start / BLOCK_KEYS * BLOCK_KEYS..end).step_by(BLOCK_KEYS);
            begins.map(move |begin| (begin.max(start), end.min(begin + BLOCK_KEYS)))
        });
        for (start, stop) in blocks {
            let n = (stop - start) * d;
            if in_place {
                for (offset, keys, _) in self.cache.stored(self.store, kv_head, start..stop) {
                    let scores = &mut scores[offset..];
                    kernels::stored_dots(level, scaled, keys, d, scores, BLOCK_KEYS);
                }
            } else {
                let keys = &mut keys[..n];
                self.cache.read_keys(self.store, kv_head, start..stop, keys);
                kernels::scores(level, scaled, keys, d, &mut scores);
            }
            let rows = sums.chunks_exact_mut(d).zip(&mut *running);
            for (i, (sums, running)) in rows.enumerate() {
                let from = visible[i].start.clamp(start, stop) - start;
                let to = visible[i].end.clamp(start, stop) - start;
                let scores = &mut scores[i * BLOCK_KEYS..][..stop - start];
                // What the query does not see has no weight.
                scores[..from.min(to)].fill(0.0);
                scores[to..].fill(0.0);
                if from < to {
                    let scores = &mut scores[from..to];
                    running.rescale(scores, sums, level);
                    running.sum += kernels::exp_minus(level, scores, running.max);
                }
            }
            if in_place {
                for (offset, _, values) in self.cache.stored(self.store, kv_head, start..stop) {
                    let scores = &scores[offset..];
                    kernels::add_weighted_stored(level, sums, scores, BLOCK_KEYS, values, d);
                }
            } else {
                let values = &mut values[..n];
                self.cache
                    .read_values(self.store, kv_head, start..stop, values);
                kernels::add_weighted_rows(level, sums, &scores, BLOCK_KEYS, values, d);
            }
        }
    }

    /// The queries of some rows to a head, and what they see.
    fn rows(
        &self,
        blocks: &Blocks<'_>,
        first_row: usize,
        n_rows: usize,
        kv_head: usize,
    ) -> RowQueries {
        let group = self.layer.n_heads / self.layer.n_kv_heads;
        let group_width = group * self.layer.head_dim;
        let mut scaled = Buffer::new(n_rows * group_width);
        let queries = &blocks.queries[first_row * blocks.stride + kv_head * group_width..];
        let rows = scaled.chunks_exact_mut(group_width);
        for (scaled, heads) in rows.zip(queries.chunks(blocks.stride)) {
            for (scaled, q) in scaled.iter_mut().zip(heads) {
                *scaled = q * self.scale;
            }
        }
        let first = self.first_position + first_row;
        let (visible, visited) = if let Some(branches) = self.branches {
            let lowest = self.lowest_visible(branches.position());
            (
                smallvec::smallvec![0..usize::MAX; n_rows * group],
                branches.visible(first_row, lowest),
            )
        } else {
            let positions = (0..n_rows * group).map(|i| first + i / group);
            (
                positions
                    .map(|position| self.lowest_visible(position)..position + 1)
                    .collect(),
                smallvec::smallvec![self.lowest_visible(first)..first + n_rows],
            )
        };
        RowQueries {
            kv_head,
            scaled,
            visible,
            visited,
        }
    }

    /// The first position that a query at `position` sees.
    fn lowest_visible(&self, position: usize) -> usize {
        self.layer
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Rows with queries, in blocks of so many.
struct Blocks<'a> {
    queries: &'a [f32],
    /// Distance of two rows of queries.
    stride: usize,
    n_rows: usize,
    rows: usize,
}

/// The queries of some rows to one key/value head.
struct RowQueries {
    kv_head: usize,
    /// Side by side, with the factor on the scores: `[rows, group, d]`.
    scaled: Buffer,
    /// What each query sees; a branch sees all that is visited.
    visible: List<Range<usize>>,
    /// What the rows see together.
    visited: List<Range<usize>>,
}

impl RowQueries {
    /// What the rows see of a segment.
    fn visited_in(
        &self,
        segments: &Segments,
        segment: usize,
    ) -> impl Iterator<Item = Range<usize>> {
        let begin = (segments.first + segment).saturating_mul(segments.len);
        let end = begin.saturating_add(segments.len);
        let visited = self.visited.iter();
        visited.map(move |range| range.start.max(begin)..range.end.min(end))
    }
}

/// Parts of the positions, equally long: `first..first + n` times `len`.
struct Segments {
    len: usize,
    first: usize,
    n: usize,
}

/// Numbers of a [`Running`].
const RUNNING: usize = 2;

/// Maximum of the scores so far, and the sum of their exponentials relative to it.
#[derive(Clone, Copy)]
struct Running {
    max: f32,
    sum: f32,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            max: f32::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl Running {
    /// Takes the maximum of new scores in, and brings what was summed to the new maximum.
    fn rescale(&mut self, scores: &[f32], out: &mut [f32], level: CpuLevel) {
        let max = kernels::largest(level, scores).max(self.max);
        if max > self.max {
            let factor = (self.max - max).exp();
            self.sum *= factor;
            for x in out {
                *x *= factor;
            }
            self.max = max;
        }
    }

    /// Takes in what another part of the positions came to: `sums` is relative to `part`, as `out` is to
    /// this.
    fn merge(&mut self, out: &mut [f32], part: Self, sums: &[f32], level: CpuLevel) {
        if part.max == f32::NEG_INFINITY {
            // Nothing of it is seen.
            return;
        }
        if self.max == f32::NEG_INFINITY {
            out.copy_from_slice(sums);
            *self = part;
            return;
        }
        let max = self.max.max(part.max);
        let (factor, part_factor) = ((self.max - max).exp(), (part.max - max).exp());
        if factor < 1.0 {
            for x in &mut *out {
                *x *= factor;
            }
        }
        kernels::add_scaled(level, out, part_factor, sums);
        self.sum = self.sum * factor + part.sum * part_factor;
        self.max = max;
    }
}
