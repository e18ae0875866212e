//! Cuts text where no merge can ever join, so that byte-pair encoding works on short, often repeated pieces.
//!
//! Encoding the pieces one by one gives the same tokens as encoding the whole text: a merge across a
//! cut would have to join exactly the two characters at the cut, and the table knows all pairs of
//! characters that some merge joins. In Gemma vocabularies that cuts before nearly every space and
//! between lines; only text in ASCII is cut, and only between characters that are tokens.

/// ASCII characters; the space mark takes the place of the space.
const N_CLASSES: usize = 128;

/// Which pairs of ASCII characters some merge joins, or may join.
pub(super) struct JoinTable {
    /// `rows[left]` has bit `right` set if a merge may join `left` and `right`.
    rows: Box<[u128; N_CLASSES]>,
}

impl Default for JoinTable {
    fn default() -> Self {
        Self {
            rows: Box::new([0; N_CLASSES]),
        }
    }
}

impl JoinTable {
    /// Takes note of a merge.
    pub(super) fn insert(&mut self, left: &str, right: &str) {
        let (last, first) = (left.chars().next_back(), right.chars().next());
        if let (Some(last), Some(first)) = (last.and_then(class), first.and_then(class)) {
            self.rows[last] |= 1 << first;
        }
    }

    /// Never cuts beside this character: it is no token, so merges are not found by its text.
    pub(super) fn keep(&mut self, character: char) {
        if let Some(class) = class(character) {
            self.rows[class] = u128::MAX;
            for row in self.rows.iter_mut() {
                *row |= 1 << class;
            }
        }
    }

    /// Adds the pairs of another table.
    pub(super) fn extend(&mut self, other: &Self) {
        for (row, more) in self.rows.iter_mut().zip(&*other.rows) {
            *row |= more;
        }
    }

    /// The pieces of `text`, none of them empty, in which a space is still a space.
    pub(super) fn pieces<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let end = self.first_cut(rest.as_bytes())?;
            let (piece, after) = rest.split_at(end);
            rest = after;
            Some(piece)
        })
    }

    /// Where the first piece ends; always between ASCII characters or at the end.
    fn first_cut(&self, text: &[u8]) -> Option<usize> {
        let joins =
            |pair: &[u8]| !pair.is_ascii() || self.rows[usize::from(pair[0])] >> pair[1] & 1 == 1;
        match text.windows(2).position(|pair| !joins(pair)) {
            Some(before) => Some(before + 1),
            None => Some(text.len()).filter(|&len| len > 0),
        }
    }
}

fn class(character: char) -> Option<usize> {
    match character {
        '\u{2581}' => Some(usize::from(b' ')),
        _ => Some(character as usize).filter(|&class| class < N_CLASSES),
    }
}
