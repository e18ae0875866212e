//! What the user's own lines propose at a caret, without a model: in less than a millisecond, and in
//! every language.

use carat_engine::{GenerationRequest, TokenScore};

use super::show::{self, Knowledge, MASK};
use super::{FinishOptions, Mode, Plan, Query, Scores, Suggestion};
use crate::echo::{EchoWeights, Evidence, Here, Known, LineEcho, line_echoes};
use crate::prompt::Prompt;

/// Lines that are less likely than this are not proposed, in any case.
const PROBABILITY_MIN: f32 = 0.02;

/// A plan without a model and what comes of it.
#[derive(Clone, Debug)]
pub struct OfEcho {
    /// Decides what is shown of it.
    pub plan: Plan,
    /// The most likely line.
    pub suggestion: Option<Suggestion>,
    /// What speaks for it.
    pub evidence: Option<Evidence>,
}

/// The line that is most likely to stand at the caret.
pub fn of_echo(query: &Query<'_>, known: Known<'_>, knowledge: &Knowledge) -> OfEcho {
    let (place, silence) = match show::gate(query, knowledge) {
        Ok(place) => (place, None),
        Err(silence) => (carat_grammars::Place::default(), Some(silence)),
    };
    let plan = Plan {
        prompt: Prompt::default(),
        request: GenerationRequest::default(),
        beam: 1,
        alternatives: 0,
        finish: FinishOptions {
            mode: Mode::SingleLine,
            language: query.language,
            fenced: false,
            ended: true,
        },
        prefix: query.prefix.to_owned(),
        suffix: query.suffix.to_owned(),
        filter: show::filter(query, knowledge, place),
        explicit: query.explicit,
        silence,
    };
    let mut proposal = None;
    if plan.silence.is_none() {
        let here = Here {
            path: known.path,
            prefix: query.prefix,
            suffix: query.suffix,
        };
        let lines = lines(known, here, EchoWeights::default());
        proposal = lines.into_iter().find_map(|line| {
            let rules = plan.stop_while_decoding();
            let mut scores = Scores::default();
            let log_prob = line.probability.ln();
            scores.push(
                line.text.len(),
                &[TokenScore {
                    log_prob,
                    mixed_log_prob: log_prob,
                    source_weight: 1.0,
                }],
            );
            let suggestion = rules.finish(&line.text, &scores, true)?;
            Some((suggestion, line.evidence))
        });
    }
    let (suggestion, evidence) = proposal.unzip();
    OfEcho {
        plan,
        suggestion,
        evidence,
    }
}

/// The lines of the user's that may stand at a caret, the most likely first. Those that had a secret in
/// them are none.
pub(crate) fn lines(known: Known<'_>, here: Here<'_>, weights: EchoWeights) -> Vec<LineEcho> {
    let mut lines = line_echoes(known.index, here, weights);
    lines.retain(|line| line.probability >= PROBABILITY_MIN && !line.text.contains(MASK));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::mask;
    use crate::echo::Index;

    fn proposed(text: &str, before: &str) -> Option<String> {
        let mut index = Index::default();
        for path in ["a.lua", "b.lua", "c.lua"] {
            index.set(path, &mask(text));
        }
        let known = Known {
            index: &index,
            path: "d.lua",
        };
        let query = Query {
            path: "d.lua",
            language_id: "lua",
            prefix: before,
            texts: Some(&index),
            ..Query::default()
        };
        let of_echo = of_echo(&query, known, &Knowledge::of_echo());
        let shown = of_echo.plan.show(of_echo.suggestion, "", false);
        shown.ok().map(|suggestion| suggestion.text)
    }

    #[test]
    fn a_line_comes_back_behind_the_same_line_and_a_secret_never_does() {
        let text = "local link = open_link(host)\nlink:send_hello(1)\n";
        let before = "local link = open_link(host)\n";
        assert_eq!(
            proposed(text, before).as_deref(),
            Some("link:send_hello(1)")
        );
        let typed = format!("{before}link:se");
        assert_eq!(proposed(text, &typed).as_deref(), Some("nd_hello(1)"));
        assert_eq!(proposed(text, "nothing_like_it()\n"), None);
        let secret = "local link = open_link(host)\nlocal token = \"ghp_a8Kd93kfLs0Qm2Zx7Vb1Nc5Hj6Tg4RwEy9uP\"\n";
        assert_eq!(proposed(secret, before), None);
        assert_eq!(proposed(secret, &format!("{before}local tok")), None);
    }

    #[test]
    fn every_proposal_goes_on_from_what_is_typed() {
        let line = "link:send_hello(first_of(all), 2)";
        let text = format!("local link = open_link(host)\n{line}\n");
        for typed in 0..line.len() {
            let before = format!("local link = open_link(host)\n{}", &line[..typed]);
            if let Some(proposed) = proposed(&text, &before) {
                assert_eq!(format!("{}{proposed}", &line[..typed]), line);
            }
        }
    }
}
