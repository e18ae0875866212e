//! What became of what was shown: taken whole or in part, undone, dismissed. The protocol does not
//! tell, so all of it but a dismissal is inferred from edits.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::query::{Query, Shown};
use crate::documents::{Changed, Edit};
use crate::mailbox::GenerationKey;
use crate::statistics::Tally;

/// Places at which something is not offered again.
const DISMISSED_MAX: usize = 64;

/// Answers that have been counted as shown: older ones do not come back.
const COUNTED_MAX: usize = 16;

/// Of a line before a caret, this much tells one place from another.
const BEGUN_BYTES_MAX: usize = 256;

/// A single character is typed, not taken.
const TAKEN_CHARS_MIN: usize = 2;

/// What stands on the screen, what was taken last, and what is not to be offered again.
#[derive(Debug, Default)]
pub(super) struct Uptake {
    stands: Option<Stands>,
    taken: Option<Taken>,
    dismissed: VecDeque<Dismissed>,
    counted: VecDeque<GenerationKey>,
    /// Until there is one without text; known to be typed on once something was.
    last: Option<Last>,
    typed_on: bool,
    contradicted: Option<Contradicted>,
}

/// A line in which the user has typed against what stood there.
#[derive(Clone, Debug)]
struct Contradicted {
    uri: Arc<str>,
    line_start: usize,
    times: u32,
}

/// What the client shows.
#[derive(Clone, Debug)]
struct Stands {
    key: GenerationKey,
    uri: Arc<str>,
    language: Arc<str>,
    /// One, or several where the user asked: no editor tells which of them it shows.
    texts: Vec<Text>,
    /// A part of one was taken already.
    in_part: bool,
}

/// One text that the client shows or has ready.
#[derive(Clone, Debug)]
struct Text {
    /// What taking all of it changes, and what stands in the place of that.
    edit: Edit,
    replaced: String,
    place: Dismissed,
}

/// What an edit does to a text that stands there.
enum Step {
    /// Takes all of it.
    Whole,
    /// Takes or types its beginning; the rest.
    Begins(Text),
}

impl Text {
    /// The text of an answer; `None` if taking it would change nothing, or nothing in reach.
    fn of(query: &Query, replace: &Range<usize>, text: &str) -> Option<Self> {
        let document = &query.snapshot.text;
        let edit = Edit::trimmed(document, replace.clone(), text)?;
        Some(Self {
            replaced: edit.inverse(document).text,
            edit,
            place: Dismissed::of(query, text)?,
        })
    }

    /// What is left of it behind an edit; `None` if that does something else.
    fn after(&self, edit: &Edit) -> Option<Step> {
        if *edit == self.edit {
            return Some(Step::Whole);
        }
        let begins = edit.range.is_empty() && edit.range.start == self.edit.range.start;
        let left = self.edit.text.strip_prefix(edit.text.as_str());
        let left = left.filter(|_| begins)?;
        let length = edit.text.len();
        let Range { start, end } = self.edit.range;
        Some(Step::Begins(Self {
            edit: Edit {
                range: start + length..end + length,
                text: left.to_owned(),
            },
            ..self.clone()
        }))
    }
}

/// The last answer with text.
#[derive(Clone, Debug)]
struct Last {
    key: GenerationKey,
    uri: Arc<str>,
    caret: usize,
}

/// What was taken last.
#[derive(Clone, Debug)]
struct Taken {
    uri: Arc<str>,
    /// What takes it back.
    undo: Edit,
    /// Where the caret was left, until anything else happens.
    caret: Option<usize>,
    tally: Tally,
    /// Of all answers that it may have been of.
    places: Vec<Dismissed>,
    /// Which answer, if it was taken whole, at once.
    whole: Option<GenerationKey>,
}

/// A line that is not to be offered again at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dismissed {
    uri: Arc<str>,
    /// Where the caret's line begins.
    line_start: usize,
    /// How long it was when this was offered.
    begun: usize,
    /// The line as it would have become.
    whole: String,
}

impl Contradicted {
    /// Follows an edit; false if the line is gone.
    fn moved(&mut self, edit: &Edit) -> bool {
        follow_line(&mut self.line_start, edit)
    }
}

impl Dismissed {
    /// The place of an answer, and what the line would become with it.
    fn of(query: &Query, text: &str) -> Option<Self> {
        let document = &query.snapshot.text;
        let line_start = document.line_to_byte(document.byte_to_line(query.caret));
        let begun = query.caret - line_start;
        if begun > BEGUN_BYTES_MAX {
            return None;
        }
        let first = text.lines().find(|line| !line.trim().is_empty())?;
        Some(Self {
            uri: Arc::clone(&query.snapshot.uri),
            line_start,
            begun,
            whole: format!("{}{first}", document.byte_slice(line_start..query.caret)),
        })
    }

    /// Follows an edit; false if the place is gone.
    fn moved(&mut self, edit: &Edit) -> bool {
        follow_line(&mut self.line_start, edit)
    }
}

/// Follows the beginning of a line through an edit; false if it is gone.
fn follow_line(line_start: &mut usize, edit: &Edit) -> bool {
    if edit.range == (*line_start..*line_start) {
        // What is typed at the beginning belongs to the line; whole lines push it down.
        *line_start += edit.text.rfind('\n').map_or(0, |at| at + 1);
        return true;
    }
    if edit.range.end <= *line_start {
        *line_start = *line_start - edit.range.len() + edit.text.len();
        return true;
    }
    edit.range.start >= *line_start
}

impl Uptake {
    /// The client was answered with text; what is to be counted.
    pub(super) fn shown(
        &mut self,
        key: GenerationKey,
        query: &Query,
        shown: &Shown,
    ) -> Option<Tally> {
        let before = self.stands.take();
        self.last = None;
        if query.menu {
            return None;
        }
        let snapshot = &query.snapshot;
        self.last = Some(Last {
            key,
            uri: Arc::clone(&snapshot.uri),
            caret: query.caret,
        });
        self.typed_on = false;
        let language = Arc::clone(&snapshot.language_id);
        let is_new = !self.counted.contains(&key);
        // The rest of what was taken in part is no other text.
        let in_part = before.is_some_and(|before| before.key == key && before.in_part);
        let texts = std::iter::once((&shown.replace, &shown.text))
            .chain(shown.others.iter().map(|(replace, text)| (replace, text)));
        let texts = texts.filter_map(|(replace, text)| Text::of(query, replace, text));
        self.stands = Some(Stands {
            key,
            uri: Arc::clone(&snapshot.uri),
            language: Arc::clone(&language),
            texts: texts.collect(),
            in_part,
        });
        if is_new {
            if self.counted.len() == COUNTED_MAX {
                self.counted.pop_front();
            }
            self.counted.push_back(key);
        }
        is_new.then_some(Tally {
            language,
            shown: 1,
            taken: 0,
            saved: 0,
        })
    }

    /// The client was answered with nothing.
    pub(super) fn nothing_shown(&mut self) {
        self.stands = None;
        self.last = None;
    }

    /// A document changed; what is to be counted.
    pub(super) fn edited(&mut self, changed: &Changed) -> Vec<Tally> {
        let uri = &changed.now.uri;
        self.typed_on |= !changed.edits.is_empty();
        let mut tallies = Vec::new();
        for edit in &changed.edits {
            if let Some(taken) = self.taken.take_if(|taken| taken.uri == *uri) {
                tallies.extend(self.after_taken(taken, edit));
            }
            self.contradicted
                .take_if(|line| line.uri == *uri && !line.moved(edit));
            if let Some(stands) = self.stands.take_if(|stands| stands.uri == *uri) {
                self.note_contradiction(&stands, edit);
                tallies.extend(self.typed_or_taken(stands, edit));
            }
            self.dismissed
                .retain_mut(|place| place.uri != *uri || place.moved(edit));
        }
        tallies
    }

    /// Counts a text that stood there if something else was typed.
    fn note_contradiction(&mut self, stands: &Stands, edit: &Edit) {
        let Some(typed) = edit
            .text
            .chars()
            .next()
            .filter(|c| !['\n', '\r'].contains(c))
        else {
            return;
        };
        let mut texts = stands.texts.iter();
        let Some(first) = texts.clone().next() else {
            return;
        };
        let there =
            |text: &Text| edit.range.is_empty() && edit.range.start == text.edit.range.start;
        // The first character tells: editors add closers behind it.
        if !there(first) || texts.any(|text| there(text) && text.edit.text.starts_with(typed)) {
            return;
        }
        let line_start = first.place.line_start;
        let before = self.contradicted.take();
        let before = before.filter(|it| it.uri == stands.uri && it.line_start == line_start);
        self.contradicted = Some(Contradicted {
            uri: Arc::clone(&stands.uri),
            line_start,
            times: before.map_or(0, |it| it.times) + 1,
        });
    }

    /// How many texts the user has typed against in the caret's line.
    pub(super) fn contradicted(&self, query: &Query) -> u32 {
        let document = &query.snapshot.text;
        let line_start = || document.line_to_byte(document.byte_to_line(query.caret));
        let line = self.contradicted.as_ref();
        let line = line.filter(|it| it.uri == query.snapshot.uri && it.line_start == line_start());
        line.map_or(0, |it| it.times)
    }

    /// Which answer stands in the document of `query`, in which something was typed since, as far as is
    /// known. Typing over what the editor has closed changes no text: it moves the caret.
    pub(super) fn last_shown(&self, query: &Query) -> Option<GenerationKey> {
        let last = self.last.as_ref();
        let last = last.filter(|last| {
            last.uri == query.snapshot.uri && (self.typed_on || last.caret != query.caret)
        });
        last.map(|last| last.key)
    }

    /// Something was taken, and then this happened.
    fn after_taken(&mut self, mut taken: Taken, edit: &Edit) -> Option<Tally> {
        if *edit == taken.undo {
            for place in taken.places {
                self.dismiss_at(place);
            }
            let Tally {
                taken: count,
                saved,
                ..
            } = taken.tally;
            return Some(Tally {
                taken: -count,
                saved: -saved,
                ..taken.tally
            });
        }
        taken.caret = None;
        let there = &mut taken.undo.range;
        if edit.range.end <= there.start {
            let moved = |at: usize| at - edit.range.len() + edit.text.len();
            *there = moved(there.start)..moved(there.end);
        } else if edit.range.start < there.end {
            // What was changed itself cannot be told from other text any more.
            return None;
        }
        taken.places.retain_mut(|place| place.moved(edit));
        if !taken.places.is_empty() {
            self.taken = Some(taken);
        }
        None
    }

    /// Text stood there, and then this happened.
    fn typed_or_taken(&mut self, stands: Stands, edit: &Edit) -> Option<Tally> {
        let mut left = Vec::new();
        let mut whole = None;
        let mut places = Vec::new();
        for text in &stands.texts {
            match text.after(edit) {
                Some(Step::Whole) => whole = Some(text),
                Some(Step::Begins(rest)) => left.push(rest),
                None => continue,
            }
            places.push(text.place.clone());
        }
        if places.is_empty() {
            return None;
        }
        let is_taken = edit.text.chars().count() >= TAKEN_CHARS_MIN && !edit.text.trim().is_empty();
        let tally = Tally {
            language: Arc::clone(&stands.language),
            shown: 0,
            taken: i64::from(!stands.in_part),
            // The key that takes it is one as well.
            saved: keystrokes(&edit.text).saturating_sub(1) as i64,
        };
        if is_taken {
            self.taken = Some(Taken {
                uri: Arc::clone(&stands.uri),
                undo: Edit {
                    range: edit.new_range(),
                    text: whole.map_or_else(String::new, |text| text.replaced.clone()),
                },
                caret: Some(edit.new_range().end),
                tally: tally.clone(),
                places,
                whole: (whole.is_some() && !stands.in_part).then_some(stands.key),
            });
        }
        // A part of one may be the whole of another; but what is taken at once was meant as it stood.
        let is_meant = whole.is_some() && is_taken && !stands.in_part;
        if !left.is_empty() && !is_meant {
            self.stands = Some(Stands {
                texts: left,
                in_part: stands.in_part || is_taken,
                ..stands
            });
        }
        is_taken.then_some(tally)
    }

    /// The answer of which a part was taken and the rest still stands, and where that begins.
    pub(super) fn taken_in_part(&self) -> Option<(GenerationKey, usize)> {
        let stands = self.stands.as_ref().filter(|stands| stands.in_part)?;
        let rest = stands.texts.first()?;
        Some((stands.key, rest.edit.range.start))
    }

    /// The answer that was taken whole and at once, just now, and where it ends.
    pub(super) fn taken_whole(&self) -> Option<(GenerationKey, usize)> {
        let taken = self.taken.as_ref()?;
        Some((taken.whole?, taken.caret?))
    }

    /// The user wants nothing of what stands there.
    pub(super) fn dismiss(&mut self) {
        for text in self.stands.take().into_iter().flat_map(|it| it.texts) {
            self.dismiss_at(text.place);
        }
    }

    fn dismiss_at(&mut self, place: Dismissed) {
        if self.dismissed.len() == DISMISSED_MAX {
            self.dismissed.pop_front();
        }
        self.dismissed.push_back(place);
    }

    /// Whether the user did not want this text at this place.
    pub(super) fn is_dismissed(&self, query: &Query, text: &str) -> bool {
        if self.dismissed.is_empty() || query.explicit {
            return false;
        }
        let Some(place) = Dismissed::of(query, text) else {
            return false;
        };
        self.dismissed.iter().any(|dismissed| {
            dismissed.uri == place.uri
                && dismissed.line_start == place.line_start
                && dismissed.whole == place.whole
                && dismissed.begun <= place.begun
        })
    }

    /// Whether a request follows upon text that was taken, and nothing else.
    pub(super) fn follows(&self, query: &Query) -> bool {
        let taken = self.taken.as_ref();
        taken.is_some_and(|taken| {
            taken.uri == query.snapshot.uri && taken.caret == Some(query.caret)
        })
    }

    /// A document was closed.
    pub(super) fn closed(&mut self, uri: &str) {
        self.stands.take_if(|stands| *stands.uri == *uri);
        self.taken.take_if(|taken| *taken.uri == *uri);
        self.dismissed.retain(|place| *place.uri != *uri);
        self.contradicted.take_if(|line| *line.uri == *uri);
        self.last.take_if(|last| *last.uri == *uri);
    }
}

/// Keys that a text costs who types it: editors indent by themselves.
fn keystrokes(text: &str) -> usize {
    let lines = text.split('\n').enumerate();
    let of_line = |(number, line): (usize, &str)| match number {
        0 => line.chars().count(),
        _ => 1 + line.trim_start().chars().count(),
    };
    lines.map(of_line).sum()
}
