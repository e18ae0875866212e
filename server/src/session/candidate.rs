//! One candidate for an answer: who proposes it, from which text it started, which texts it can answer.

use std::sync::Arc;
use std::time::Instant;

use carat_engine::{CancelToken, StopReason};

use super::query::Query;
use super::typed::{Typed, Typing};
use crate::completion::{Caret, Plan, Silence, Suggestion, end_in_order};
use crate::documents::Edit;
use crate::mailbox::{GenerationKey, Proposal, Source};

/// A generation that waits, runs, or has finished and is kept for text that is typed through it.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) key: GenerationKey,
    pub(super) source: Source,
    /// Asked because the caret rests.
    pub(super) at_rest: bool,
    pub(super) uri: Arc<str>,
    pub(super) place: Caret,
    pub(super) cancel: CancelToken,
    /// Known once the source has begun.
    pub(super) plan: Option<Arc<Plan>>,
    /// The raw text so far.
    pub(super) output: String,
    /// What of it can be shown; only what ends at a safe place while it still runs.
    pub(super) proposal: Option<Proposal>,
    /// Other answers, if the user asked, the better first.
    pub(super) others: Vec<Proposal>,
    /// Why it ended; `None` while it runs.
    pub(super) stop: Option<StopReason>,
    /// What happened to the document around the caret since it began.
    typing: Typing,
    /// Whether anything did.
    pub(super) edited: bool,
    /// The part that was taken: the rest is wanted, however probable it is.
    taken: Option<String>,
    /// The one of several answers that was taken whole: what goes on behind it was not chosen.
    chosen: Option<String>,
    /// When it ends for lack of anybody who waits for it.
    pub(super) stop_at: Option<Instant>,
}

/// How a text relates to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreement {
    /// What was typed is what is proposed.
    Agrees,
    /// More was typed than there is so far.
    Undecided,
    /// The text is another one.
    Disagrees,
}

/// What a candidate has for a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offer {
    /// What to show of what is left of it behind the caret, or why nothing.
    pub(super) suggestion: Result<Suggestion, Silence>,
    /// What else to show where the user asked, the better first.
    pub(super) others: Vec<Suggestion>,
    /// Whether anything was typed since it began.
    pub(super) typed: bool,
    /// Whether the rest is wanted of which a part was taken.
    pub(super) taken: bool,
}

impl Candidate {
    /// A candidate for `query` that has not begun.
    pub(super) fn new(key: GenerationKey, source: Source, query: &Query) -> Self {
        let place = query.place();
        let typing = Typing::new(place.text.clone(), place.at);
        let typing = match query.acceptance() {
            // The document is still without what the source is shown.
            Some(acceptance) => typing.with(&acceptance.inverse(&query.snapshot.text)),
            None => typing,
        };
        Self {
            key,
            source,
            at_rest: query.rest == Some(source),
            uri: Arc::clone(&query.snapshot.uri),
            place,
            cancel: CancelToken::new(),
            plan: None,
            output: String::new(),
            proposal: None,
            others: Vec::new(),
            stop: None,
            typing,
            edited: false,
            taken: None,
            chosen: None,
            stop_at: None,
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.stop.is_none()
    }

    /// Its document was edited.
    pub(super) fn edited(&mut self, edits: &[Edit]) {
        for edit in edits {
            self.typing.edited(edit);
        }
        self.edited |= !edits.is_empty();
    }

    /// A part of it was taken, up to `caret`.
    pub(super) fn taken_until(&mut self, caret: usize) {
        let Some(Typed { text, .. }) = self.typing.until(caret) else {
            return;
        };
        let known = self.taken.take();
        self.taken = known.filter(|known| text.starts_with(known)).or(Some(text));
    }

    /// One of its answers was taken whole, up to `caret`.
    pub(super) fn chosen_until(&mut self, caret: usize) {
        if self.others.is_empty() {
            return;
        }
        self.chosen = self.typing.until(caret).map(|typed| typed.text);
    }

    /// What it has for `query`; `None` if the text is another one. What was asked for by the editor is
    /// too short for a user who asks. Of several answers, those stay that agree with what was typed; but
    /// who asks again asks for more than what is left of the lesser ones.
    pub(super) fn offer(&self, query: &Query) -> Option<Offer> {
        let typed = self.typed(query)?;
        if self.runs() && self.agreement(&typed) != Agreement::Agrees {
            return None;
        }
        let goes_on = |from: &Option<String>| {
            let from = from.as_ref();
            from.is_some_and(|from| typed.text.starts_with(from))
        };
        let taken = goes_on(&self.taken);
        let is_used_up = goes_on(&self.chosen);
        let show = |proposal: Option<&Proposal>| match &self.plan {
            Some(plan) => {
                let left = proposal.filter(|_| !is_used_up);
                let left = left.and_then(|proposal| self.remainder(proposal, &typed));
                plan.show(left, &typed.text, query.explicit || taken)
            }
            None => Err(Silence::Nothing),
        };
        let mut suggestion = show(self.proposal.as_ref());
        let others = self.others.iter();
        let mut others = others.filter_map(|other| show(Some(other)).ok());
        if suggestion == Err(Silence::Nothing) && !query.explicit {
            suggestion = others.next().ok_or(Silence::Nothing);
        }
        Some(Offer {
            suggestion,
            others: others.collect(),
            typed: typed != Typed::default(),
            taken,
        })
    }

    /// What the model was shown; empty before it has begun.
    pub(super) fn prompt(&self) -> Arc<str> {
        let plan = self.plan.as_ref();
        plan.map_or("", |plan| &plan.prompt.text).into()
    }

    /// Whose texts the model was told of.
    pub(super) fn context(&self) -> Vec<String> {
        let plan = self.plan.as_ref();
        plan.map_or_else(Vec::new, |plan| plan.prompt.told_of.clone())
    }

    /// What was typed of it up to the caret of `query`; `None` if the text is another one.
    fn typed(&self, query: &Query) -> Option<Typed> {
        if self.uri != query.snapshot.uri || (query.explicit && !self.place.explicit) {
            return None;
        }
        match (query.acceptance(), &query.selected) {
            (Some(acceptance), Some(selected)) => {
                let caret = selected.range.start + selected.text.len();
                self.typing.clone().with(&acceptance).until(caret)
            }
            _ => self.typing.until(query.caret),
        }
    }

    /// What it has at the caret of `query`, and which rule is against it; no number is asked.
    pub(super) fn left(&self, query: &Query) -> Option<(Suggestion, Option<Silence>)> {
        let typed = self.typed(query)?;
        let left = self.remainder(self.proposal.as_ref()?, &typed)?;
        let against = self.plan.as_ref()?.rule_against(&left, &typed.text);
        Some((left, against))
    }

    /// Where the caret is likely to be by now, whatever was typed since it began; `None` if that
    /// disagrees with what it has.
    pub(super) fn typed_on(&self) -> Option<usize> {
        let possible = self.typing.possible();
        let find = |wanted| {
            let agrees = |(_, typed): &&(usize, Typed)| self.agreement(typed) == wanted;
            possible.iter().find(agrees).map(|(caret, _)| *caret)
        };
        find(Agreement::Agrees).or_else(|| find(Agreement::Undecided))
    }

    fn agreement(&self, typed: &Typed) -> Agreement {
        let (raw, text) = (self.output.as_str(), typed.text.as_str());
        let shown = || {
            let proposal = self.proposal.as_ref();
            proposal.is_some_and(|proposal| proposal.text.starts_with(text))
        };
        if raw.starts_with(text) || shown() {
            Agreement::Agrees
        } else if self.runs() && text.starts_with(raw) {
            Agreement::Undecided
        } else {
            Agreement::Disagrees
        }
    }

    /// What is left to show of a proposal after `typed`.
    fn remainder(&self, suggestion: &Proposal, typed: &Typed) -> Option<Suggestion> {
        let text = suggestion.text.strip_prefix(typed.text.as_str())?;
        // What was typed over must have been replaced by the suggestion, and is.
        let behind = suggestion.replace_suffix_bytes.checked_sub(typed.over)?;
        let from = self.place.at + typed.over;
        let kept = self.place.text.get_byte_slice(from..from + behind)?;
        let replaced = if behind == 0 {
            closed_by(text, &typed.closers)?.to_owned()
        } else {
            format!("{}{kept}", typed.closers)
        };
        let rewritten_until = end_in_order(text, &replaced)?;
        (!text.is_empty()).then(|| Suggestion {
            replace_suffix_bytes: replaced.len(),
            rewritten_until,
            ..suggestion.rest(typed.text.len())
        })
    }
}

/// Which of the editor's closers a text brings itself. What it leaves open stays closed behind it; nothing
/// if it has those in another order.
fn closed_by<'a>(text: &str, closers: &'a str) -> Option<&'a str> {
    let ends = closers.char_indices().map(|(at, c)| at + c.len_utf8());
    let (end, behind) = std::iter::once(0)
        .chain(ends)
        .filter_map(|end| Some((end, end_in_order(text, &closers[..end])?)))
        .next_back()?;
    let (brought, left) = closers.split_at(end);
    (!text[behind..].contains(|c| left.contains(c))).then_some(brought)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closers_that_a_text_brings_are_replaced_and_others_stay() {
        for (text, closers, expected) in [
            ("x)", ")", Some(")")),
            ("x", ")", Some("")),
            (") => {", "))", Some(")")),
            ("x\")", "\")", Some("\")")),
            ("x\"", "\")", Some("\"")),
            // In another order: its own would stand beside the editor's.
            ("x)", "])", None),
            ("x)", "\")", None),
        ] {
            assert_eq!(closed_by(text, closers), expected, "{text} {closers}");
        }
    }
}
