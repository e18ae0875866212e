//! What an engine thread reads ahead: the prompt that a completion would need, and the longer one when
//! the user pauses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use carat_engine::{CancelToken, GenerateError, TokenId};

use crate::completion::{Caret, Query};
use crate::echo::Known;
use crate::generator::Generator;
use crate::mailbox::WarmJob;

/// Evaluates a prompt for later; false if it was interrupted.
pub(super) fn warm(generator: &mut dyn Generator, job: &WarmJob, interrupt: &CancelToken) -> bool {
    let result = catch_unwind(AssertUnwindSafe(|| {
        if !job.is_guess {
            generator.arrive(&job.uri, &job.caret.around().prefix);
        }
        let mut is_whole = look_around(generator, job, &job.uri, interrupt);
        if is_whole {
            let prompt = needed(generator, job, &job.uri);
            is_whole = prompt.is_empty() || generator.read(&job.uri, &prompt, interrupt)?;
        }
        if is_whole && job.is_longer {
            is_whole = read_longer(generator, job, interrupt)?;
        }
        Ok(is_whole)
    }));
    match result {
        Ok(Ok(is_whole)) => is_whole,
        Ok(Err(GenerateError::Cancelled)) => false,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a prompt was not evaluated ahead");
            true
        }
        Err(_) => {
            tracing::error!("evaluating a prompt ahead panicked; its session is discarded");
            generator.discard_sessions();
            true
        }
    }
}

/// Reads a prompt as long as the measured speed allows, where that is worth reading everything anew;
/// false if it was interrupted.
fn read_longer(
    generator: &mut dyn Generator,
    job: &WarmJob,
    interrupt: &CancelToken,
) -> Result<bool, GenerateError> {
    let before = needed(generator, job, &job.uri);
    let Some(name) = generator.begin_longer(&job.uri) else {
        return Ok(true);
    };
    if !look_around(generator, job, &name, interrupt) {
        return Ok(false);
    }
    let prompt = needed(generator, job, &name);
    let is_worth_it = 2 * prompt.len() >= 3 * before.len();
    if is_worth_it && !generator.read(&name, &prompt, interrupt)? {
        return Ok(false);
    }
    generator.end_longer(&job.uri, is_worth_it);
    Ok(true)
}

/// Lets the generator look at other files for what it is to be told of them in prompts of that name;
/// false if it was interrupted.
fn look_around(
    generator: &mut dyn Generator,
    job: &WarmJob,
    name: &str,
    interrupt: &CancelToken,
) -> bool {
    let around = job.caret.around();
    let known = job.texts.as_ref().map(|index| Known {
        index,
        path: &job.remembered_as,
    });
    generator.look_around(name, &job.caret.query(&around), known, interrupt)
}

/// What a job is to read, in prompts of that name.
fn needed(generator: &dyn Generator, job: &WarmJob, name: &str) -> Vec<TokenId> {
    let context = generator.context(name);
    let prompt_at = |caret: &Caret| {
        let around = caret.around();
        let query = Query {
            context: &context,
            ..caret.query(&around)
        };
        generator.plan(name, &query).prompt.tokens
    };
    let mut prompt = prompt_at(&job.caret);
    if job.is_guess {
        let end = Caret {
            at: job.caret.text.len_bytes(),
            ..job.caret.clone()
        };
        let other = prompt_at(&end);
        let pairs = prompt.iter().zip(&other);
        let shared = pairs.take_while(|(a, b)| a == b).count();
        prompt.truncate(shared);
    }
    prompt
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FILE, job};
    use super::*;
    use crate::generator::EngineGenerator;
    use crate::settings::KvCache;

    #[test]
    fn a_longer_prompt_is_read_beside_the_one_that_answers_and_takes_its_place() {
        let mut generator =
            EngineGenerator::load(Some(FILE), Some(1), KvCache::Auto).expect("a model");
        let text = "let the_next_line = of(code);\n".repeat(400);
        let job = job(&text, text.len() / 2);
        let longer = WarmJob {
            is_longer: true,
            ..job.clone()
        };
        let tokens = |generator: &EngineGenerator| needed(generator, &job, &job.uri).len();
        let go_on = CancelToken::new();
        assert!(warm(&mut generator, &job, &go_on));
        let first = tokens(&generator);
        assert!(generator.is_to_read(&job.uri), "a tiny model reads fast");
        let cancelled = CancelToken::new();
        cancelled.cancel();
        assert!(!warm(&mut generator, &longer, &cancelled));
        assert_eq!(tokens(&generator), first);
        assert!(warm(&mut generator, &longer, &go_on));
        assert!(
            2 * tokens(&generator) >= 3 * first,
            "{}",
            tokens(&generator)
        );
        assert!(!generator.is_to_read(&job.uri));
        let whole = tokens(&generator);
        assert!(warm(&mut generator, &longer, &go_on));
        assert_eq!(tokens(&generator), whole);
    }
}
