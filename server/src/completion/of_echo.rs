//! What the user's own lines propose at a caret, without a model: in less than a millisecond, and in
//! every language.

use carat_engine::{GenerationRequest, TokenScore};

use super::show::{self, Knowledge, MASK};
use super::{FinishOptions, Mode, Plan, Query, Scores, Suggestion};
use crate::echo::{EchoWeights, Evidence, Here, Known, LineEcho, line_echoes};
use crate::prompt::Prompt;

/// Lines that are less likely than this are not proposed, in any case.
const PROBABILITY_MIN: f32 = 0.02;

/// Parts of a line have at least so many bytes: a letter or two that agree tell little of the rest.
const PART_BYTES_MIN: usize = 3;

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
        let rules = plan.stop_while_decoding();
        proposal = in_order(&lines, plan.filter.threshold)
            .into_iter()
            .find_map(|(line, parts)| {
                let mut scores = Scores::default();
                for (end, score) in parts {
                    scores.push(end, &[score]);
                }
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

/// The lines that are sure enough, the most likely first; behind them those that may become so while their
/// beginning is typed, the most likely beginning first. Each with its parts.
fn in_order(lines: &[LineEcho], threshold: f64) -> Vec<(&LineEcho, Vec<(usize, TokenScore)>)> {
    let is_sure = |line: &LineEcho| f64::from(line.probability) >= threshold;
    let all = lines.iter().map(|line| (line, by_part(line, lines)));
    let (sure, mut others): (Vec<_>, Vec<_>) = all.partition(|(line, _)| is_sure(line));
    let beginning =
        |parts: &[(usize, TokenScore)]| parts.first().map_or(f32::MIN, |(_, first)| first.log_prob);
    others.sort_by(|(_, a), (_, b)| beginning(b).total_cmp(&beginning(a)));
    sure.into_iter().chain(others).collect()
}

/// How likely each part of a line is behind the ones before it, with the byte where it ends. What several
/// lines begin with is as likely as these lines together: as more is typed, the rest becomes surer.
fn by_part(line: &LineEcho, lines: &[LineEcho]) -> Vec<(usize, TokenScore)> {
    let (text, whole) = (line.text.as_str(), line.probability);
    let mut before = 0.0;
    let part = |end| {
        let likely = if end == text.len() {
            whole
        } else {
            let begins_so = |other: &&LineEcho| other.text.starts_with(&text[..end]);
            let alike = lines.iter().filter(begins_so);
            alike
                .map(|line| line.probability)
                .sum::<f32>()
                .clamp(whole, 1.0)
        };
        let log_prob = (likely.ln() - before).min(0.0);
        before = likely.ln();
        (end, of_user(log_prob))
    };
    part_ends(text).map(part).collect()
}

/// Where words end that are not inside of brackets or quotes which the text opens, and where it ends.
fn part_ends(text: &str) -> impl Iterator<Item = usize> {
    let (mut open, mut quoted, mut in_word) = (0, false, false);
    let ends = text.char_indices().filter_map(move |(at, c)| {
        let is_word = c.is_alphanumeric() || c == '_';
        let ends_word = std::mem::replace(&mut in_word, is_word) && !is_word;
        let outside = open == 0 && !quoted && at >= PART_BYTES_MIN;
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open -= 1,
            '"' | '\'' | '`' => quoted = !quoted,
            _ => {}
        }
        (ends_word && outside).then_some(at)
    });
    ends.chain([text.len()])
}

/// The score of a piece of the user's own text.
pub(super) fn of_user(log_prob: f32) -> TokenScore {
    TokenScore {
        log_prob,
        mixed_log_prob: log_prob,
        source_weight: 1.0,
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

    fn line(text: &str, probability: f32) -> LineEcho {
        let mut index = Index::default();
        index.set("a.lua", "one(1)\ntwo(2)\none(1)\ntwo(2)\n");
        let here = Here {
            path: "b.lua",
            prefix: "one(1)\n",
            suffix: "",
        };
        let known = line_echoes(&index, here, EchoWeights::default());
        LineEcho {
            text: text.to_owned(),
            probability,
            evidence: known[0].evidence,
        }
    }

    #[test]
    fn the_rest_of_a_line_is_surer_when_its_beginning_is_typed() {
        let lines = [
            line("close(all)", 0.05),
            line("logger.info(\"begun\")", 0.04),
            line("logger.info(\"ended\")", 0.02),
            line("logger.warn(\"ended\")", 0.02),
        ];
        let found = by_part(&lines[1], &lines);
        let parts = found
            .iter()
            .map(|(end, score)| (&lines[1].text[..*end], score.log_prob.exp()));
        for ((text, likely), expected) in parts.zip([
            ("logger", 0.08),
            ("logger.info", 0.06 / 0.08),
            ("logger.info(\"begun\")", 0.04 / 0.06),
        ]) {
            assert_eq!(text, expected.0);
            assert!((likely - expected.1).abs() < 1e-5, "{text}: {likely}");
        }
        assert_eq!(found.len(), 3);
        let order = |threshold| {
            let lines = in_order(&lines, threshold).into_iter();
            lines
                .map(|(line, _)| line.text.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(order(0.05)[0], "close(all)");
        assert_eq!(order(0.1)[0], "logger.info(\"begun\")");
    }
}
