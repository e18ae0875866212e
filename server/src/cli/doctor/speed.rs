//! How fast a loaded model reads and writes, measured in seconds rather than minutes.

use std::sync::mpsc;
use std::time::Duration;

use carat_engine::{CancelToken, Model, SessionOptions};

use crate::cli::bench::{measure_once, sample_tokens};

/// A prompt that is long enough for the kernels of many tokens.
const PROMPT_TOKENS: usize = 64;
const WRITTEN_TOKENS: usize = 8;

/// A model whose file has to come from the disk first takes minutes: nobody waits so long for a report.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tokens a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    /// Of prompts.
    pub(super) reads: f64,
    /// Of answers.
    pub(super) writes: f64,
}

/// Lets the model read and write a little, twice, since the first time fetches its weights into memory;
/// `None` if it is not done in time.
pub(super) fn measure(model: &Model) -> Option<Speed> {
    let cancel = CancelToken::new();
    let watched = cancel.clone();
    let (done, waiting) = mpsc::channel::<()>();
    // It ends with `done` at the latest.
    std::thread::spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            watched.cancel();
        }
    });
    let prompt = sample_tokens(model, PROMPT_TOKENS);
    let options = SessionOptions {
        context_tokens: PROMPT_TOKENS + WRITTEN_TOKENS + 1,
        layer_time: None,
        ..SessionOptions::default()
    };
    let mut speed = None;
    for _ in 0..2 {
        let measured = model
            .new_session(&options)
            .map_err(anyhow::Error::from)
            .and_then(|mut session| measure_once(&mut session, &prompt, WRITTEN_TOKENS, &cancel));
        match measured {
            Ok((reads, writes)) => speed = Some(Speed { reads, writes }),
            Err(error) => {
                tracing::debug!(%error, "the speed was not measured");
                break;
            }
        }
    }
    drop(done);
    speed
}
