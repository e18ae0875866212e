//! Several continuations of one text, evaluated side by side.

use std::ops::Range;

use crate::kernels::List;

/// One token of each of some continuations, all equally long, behind a trunk that they share.
///
/// The cache holds the trunk in its first slots. Behind it a slot is a token of some continuation, in
/// the order in which they were evaluated, so slots say nothing of positions there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branches<'a> {
    /// Slots and positions of the trunk: `0..trunk`.
    pub(crate) trunk: usize,
    /// Tokens of every continuation, those that are evaluated now included.
    pub(crate) depth: usize,
    /// `[rows, depth]`, the slots of the continuations' tokens, first to last.
    pub(crate) slots: &'a [usize],
}

impl Branches<'_> {
    /// Where all the rows stand in their texts.
    pub(crate) fn position(&self) -> usize {
        self.trunk + self.depth - 1
    }

    /// The slots that a row sees if it sees no position before `lowest`.
    pub(crate) fn visible(&self, row: usize, lowest: usize) -> List<Range<usize>> {
        let mut visible = List::new();
        if lowest < self.trunk {
            visible.push(lowest..self.trunk);
        }
        let own = &self.slots[row * self.depth..][..self.depth];
        for &slot in &own[lowest.saturating_sub(self.trunk).min(self.depth)..] {
            match visible.last_mut() {
                Some(last) if last.end == slot => last.end += 1,
                _ => visible.push(slot..slot + 1),
            }
        }
        visible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_see_the_trunk_and_their_own_tokens() {
        let branches = Branches {
            trunk: 10,
            depth: 3,
            slots: &[10, 12, 14, 10, 11, 12],
        };
        assert_eq!(branches.position(), 12);
        assert_eq!(branches.visible(0, 0).to_vec(), [0..11, 12..13, 14..15]);
        let one = branches.visible(1, 4);
        assert_eq!((one.len(), one.first()), (1, Some(&(4..13))));
        assert_eq!(branches.visible(0, 11).to_vec(), [12..13, 14..15]);
    }
}
