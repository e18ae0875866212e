//! What the request that waits is answered: the best of what its candidates have, or why nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::{BACKGROUND, Requests, SURE, SourceState, Waiting, Wants};
use crate::completion::{Silence, Suggestion};
use crate::mailbox::{GenerationKey, Source};
use crate::session::candidate::Offer;
use crate::session::effect::{Effect, Reply};
use crate::session::query::{Answer, Query, Shown};

/// What a source has for the request that waits.
enum Standing {
    /// Something to show.
    Has(Box<Best>),
    /// Nothing, and nothing is to come; why, if there was something to judge.
    Nothing(Option<Silence>),
    /// Something may come.
    Waits,
}

/// For what a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// For the best.
    Best,
    /// For anything.
    Any,
    /// For nothing.
    Over,
}

/// What a source has at a caret, shown or not.
#[derive(Clone, Debug)]
pub struct Left {
    /// Its name.
    pub source: &'static str,
    /// What it has.
    pub suggestion: Suggestion,
    /// The rule that is against it, whatever its probability.
    pub against: Option<Silence>,
}

/// What is to be shown.
struct Best {
    key: GenerationKey,
    suggestion: Suggestion,
    others: Vec<Suggestion>,
    prompt: Arc<str>,
    context: Vec<String>,
}

impl Requests {
    /// Answers the request that waits as soon as no better answer can be expected; from the deadline on,
    /// with the best that there is.
    pub(super) fn settle(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let waiting = self.waiting.as_ref();
        let Some(waiting) = waiting.filter(|waiting| waiting.held.is_none()) else {
            return;
        };
        let patience = match waiting {
            waiting if waiting.over <= now => Patience::Over,
            waiting if waiting.is_due => Patience::Any,
            _ => Patience::Best,
        };
        let query = &waiting.query;
        let mut best: Option<(Source, Box<Best>)> = self.still_stands(query);
        let stands = best.is_some();
        let mut must_wait = false;
        // The model for rests is waited for where the user asked, or where there is nothing else.
        let mut rest_waits = self.cascade.due().is_some() && patience != Patience::Over;
        let mut silence = None;
        let sources = query.sources.iter().copied();
        for source in sources.filter(|_| !stands) {
            let at_rest = query.waits_for_rest(source);
            match self.standing(source, query, must_wait, patience) {
                Standing::Has(found) => {
                    let mean = |best: &Best| best.suggestion.scores.confidence().mean;
                    let known = best.as_ref();
                    if known.is_none_or(|(_, best)| mean(&found) >= mean(best)) {
                        best = Some((source, found));
                    }
                    must_wait = false;
                    // What comes of a rest replaces a line only if it is surer.
                    if !at_rest {
                        break;
                    }
                }
                Standing::Waits if at_rest => rest_waits = true,
                Standing::Waits => must_wait |= best.is_none(),
                Standing::Nothing(why) => silence = silence.or(why),
            }
        }
        // A menu shows nothing of anyone before all have answered.
        if must_wait || (rest_waits && best.is_none() && !query.menu) {
            return;
        }
        self.cascade.answered(
            query,
            best.as_ref()
                .map(|(_, best)| best.suggestion.scores.confidence().mean),
        );
        if let Some((source, best)) = best {
            let shown = shown(&waiting.query, &best);
            if waiting.wants == Wants::Text {
                let tally = self.uptake.shown(best.key, &waiting.query, &shown);
                effects.extend(tally.map(Effect::Count));
            }
            if let Some(last) = &mut self.last {
                last.record.prompt = best.prompt.to_string();
                last.record.context = best.context;
                let confidence = best.suggestion.scores.confidence();
                last.record.probability = Some(confidence.product);
                last.record.source = Some(source.name);
                last.record.model = self.sources.iter().find_map(|(of, state)| match state {
                    SourceState::Ready(facts) if *of == source => facts.clone(),
                    _ => None,
                });
                last.record.echo = confidence.echo;
            }
            self.answer(Answer::Shown(shown), None, now, effects);
        } else {
            let silence = silence.unwrap_or_else(|| self.why_not_yet(waiting));
            self.fall_silent(silence, now, effects);
        }
        self.leave(BACKGROUND, now);
    }

    /// A generation for a resting caret has ended: if it is surer of its text than what was answered there,
    /// and nothing was typed since, the client may ask again.
    pub(super) fn offer_again(&self, key: GenerationKey, effects: &mut Vec<Effect>) {
        let found = self.candidates.iter().find(|it| it.key == key);
        let Some(candidate) = found.filter(|it| it.at_rest && !it.edited) else {
            return;
        };
        let Some((query, mean)) = self.cascade.last() else {
            return;
        };
        let offer = candidate.offer(query).and_then(|it| it.suggestion.ok());
        let is_better = offer.is_some_and(|it| {
            !self.uptake.is_dismissed(query, &it.text)
                && mean.is_none_or(|mean| it.scores.confidence().mean > mean)
        });
        if is_better && self.waiting.is_none() {
            let document = &query.snapshot;
            let uri = Arc::clone(&document.uri);
            effects.push(Effect::AskAgain(uri, document.version));
        }
    }

    /// What is left of the text that stands there, while the user types it: nothing takes its place.
    fn still_stands(&self, query: &Query) -> Option<(Source, Box<Best>)> {
        let key = self.uptake.last_shown(query)?;
        let candidate = self.candidates.iter().find(|it| it.key == key)?;
        let offer = candidate.offer(query)?;
        let suggestion = offer.suggestion.ok()?;
        let goes_on = offer.typed && !query.explicit && !query.menu;
        if !goes_on || self.uptake.is_dismissed(query, &suggestion.text) {
            return None;
        }
        let others = offer.others.into_iter();
        let others = others.filter(|other| !self.uptake.is_dismissed(query, &other.text));
        let best = Best {
            key,
            suggestion,
            others: others.collect(),
            prompt: candidate.prompt(),
            context: candidate.context(),
        };
        Some((candidate.source, Box::new(best)))
    }

    /// What every source has at the caret of `query`, and which rule is against it.
    pub(in crate::session) fn left(&self, query: &Query) -> Vec<Left> {
        let sources = self.sources.iter();
        let left = sources.filter_map(|(source, _)| {
            let of_source = self.candidates.iter().rev();
            let mut of_source = of_source.filter(|candidate| candidate.source == *source);
            let (suggestion, against) = of_source.find_map(|candidate| candidate.left(query))?;
            Some(Left {
                source: source.name,
                suggestion,
                against,
            })
        });
        left.collect()
    }

    /// Why no source has anything, not even something that was judged.
    fn why_not_yet(&self, waiting: &Waiting) -> Silence {
        let typing = waiting.query.typing();
        match typing.and_then(|source| self.state(source)) {
            Some(SourceState::Failed) => return Silence::NoModel,
            Some(SourceState::Loading) => return Silence::Loading,
            _ => {}
        }
        match (waiting.is_due, waiting.follows) {
            (true, true) => Silence::AfterAcceptance,
            (true, false) => Silence::Slow {
                ms: waiting.query.deadline.as_millis() as u64,
            },
            (false, _) => Silence::Nothing,
        }
    }

    /// What a source has for a request; if a better one is still waited for, only what is sure counts.
    fn standing(
        &self,
        source: Source,
        query: &Query,
        better: bool,
        patience: Patience,
    ) -> Standing {
        let is_due = patience != Patience::Best;
        let mut runs = false;
        let mut silence = None;
        for candidate in self.candidates.iter().rev() {
            if candidate.source != source {
                continue;
            }
            let Some(offer) = candidate.offer(query) else {
                runs |= candidate.runs();
                continue;
            };
            let Offer {
                suggestion,
                others,
                typed,
                taken,
            } = offer;
            let judge = |suggestion: Suggestion| {
                let asked = query.explicit || query.menu || taken;
                let contradicted = if asked {
                    0
                } else {
                    self.uptake.contradicted(query)
                };
                let suggestion = match &candidate.plan {
                    Some(plan) => plan.show_again(suggestion, typed, contradicted)?,
                    None => suggestion,
                };
                if self.uptake.is_dismissed(query, &suggestion.text) {
                    Err(Silence::Dismissed)
                } else {
                    Ok(suggestion)
                }
            };
            let suggestion = suggestion.and_then(judge);
            // Who asked wants to choose, and the better source has more to choose from.
            let is_sure = !query.explicit
                && suggestion
                    .as_ref()
                    .is_ok_and(|suggestion| suggestion.scores.confidence().mean >= SURE);
            let counts = if candidate.runs() {
                // While it runs, it is asked for what it has at the deadline, or once typed through.
                runs = true;
                is_due || (typed && !better) || (typed && is_sure)
            } else {
                is_due || !better || is_sure
            };
            match suggestion {
                Ok(suggestion) if counts => {
                    return Standing::Has(Box::new(Best {
                        key: candidate.key,
                        suggestion,
                        others: others.into_iter().filter_map(|it| judge(it).ok()).collect(),
                        prompt: candidate.prompt(),
                        context: candidate.context(),
                    }));
                }
                // Of an answer that was judged there is more to say than of one that is used up.
                Err(why)
                    if !candidate.runs()
                        && !silence.as_ref().is_some_and(Silence::judges_answer) =>
                {
                    silence = Some(why);
                }
                _ => {}
            }
        }
        if runs && patience != Patience::Over {
            Standing::Waits
        } else {
            // What still runs may yet have something.
            Standing::Nothing(silence.filter(|_| !runs))
        }
    }

    /// Answers the request that waits with nothing, and keeps why.
    pub(super) fn fall_silent(
        &mut self,
        silence: Silence,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        self.answer(Answer::Empty, Some(silence), now, effects);
    }

    pub(super) fn answer(
        &mut self,
        answer: Answer,
        silence: Option<Silence>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        let typing = waiting.query.typing();
        let model = match typing.and_then(|source| self.state(source)) {
            Some(SourceState::Ready(facts)) => facts.clone(),
            _ => None,
        };
        let prompt = self.candidates.iter().rev();
        let prompt = prompt
            .filter(|it| it.runs())
            .find_map(|it| it.plan.as_ref());
        // Whoever went on sees what stood there, until there is another answer.
        if waiting.wants == Wants::Text && silence != Some(Silence::Superseded) {
            if silence.is_some() {
                self.uptake.nothing_shown();
            }
            if !waiting.query.explicit {
                self.quiet = silence.clone().filter(Silence::is_of_document);
            }
        }
        let mut readers = Vec::new();
        let mut asked = None;
        if let Some(last) = self.last.as_mut().filter(|last| last.key == waiting.key) {
            last.record.close(&answer, silence, now);
            if last.record.model.is_none() {
                last.record.model = model;
            }
            if let (Some(plan), true) = (prompt, last.record.prompt.is_empty()) {
                last.record.prompt.clone_from(&plan.prompt.text);
                last.record.context.clone_from(&plan.prompt.told_of);
            }
            let record = || Reply::Record(Some(Box::new(last.record.clone())));
            if waiting.wants == Wants::Record {
                asked = Some(record());
            }
            let waited = last.readers.drain(..);
            readers.extend(waited.map(|reader| Effect::Respond(reader, record())));
        }
        let reply = asked.unwrap_or(Reply::Completion(answer));
        effects.push(Effect::Respond(waiting.key, reply));
        effects.append(&mut readers);
    }
}

/// What is to be shown as an answer in the document of `query`.
fn shown(query: &Query, best: &Best) -> Shown {
    let (start, end, lead) = match &query.selected {
        Some(selected) => (
            selected.range.start,
            selected.range.end,
            selected.text.as_str(),
        ),
        None => (query.caret, query.caret, ""),
    };
    let insertion = |suggestion: &Suggestion| -> (Range<usize>, String) {
        let end = (end + suggestion.replace_suffix_bytes).min(query.snapshot.text.len_bytes());
        (start..end, format!("{lead}{}", suggestion.text))
    };
    let (replace, text) = insertion(&best.suggestion);
    Shown {
        snapshot: query.snapshot.clone(),
        caret: query.caret,
        replace,
        text,
        others: best.others.iter().map(insertion).collect(),
    }
}
