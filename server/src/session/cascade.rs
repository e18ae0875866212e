//! When the model for rests is asked: once the caret rests. What is typed meanwhile is the quick model's.

use std::time::{Duration, Instant};

use super::query::Query;

/// How long the caret rests before that model is asked, as long as its speed is not known.
const REST: Duration = Duration::from_millis(300);

/// Bounds of that: sooner, it would begin between two keys; later, nobody would see its line.
const REST_MIN: Duration = Duration::from_millis(200);
const REST_MAX: Duration = Duration::from_millis(600);

/// Tokens for whose time the caret rests: a model that writes them before the next key loses nothing.
const REST_TOKENS: f64 = 2.0;

/// The last request, until the model for rests is asked or the text is another one.
#[derive(Debug, Default)]
pub(super) struct Cascade {
    planned: Option<(Query, Instant)>,
    /// What was answered, by how sure its source was on average; nothing if it was nothing.
    answered: Option<(Query, Option<f64>)>,
    tokens_per_second: Option<f64>,
}

impl Cascade {
    /// The caret is at `query` now.
    pub(super) fn plan(&mut self, query: &Query, now: Instant) {
        self.planned = Some((query.clone(), now + self.rest()));
    }

    /// Another place counts from now on.
    pub(super) fn forget(&mut self) {
        self.planned = None;
        self.answered = None;
    }

    /// A document is another one than it was.
    pub(super) fn changed(&mut self, uri: &str) {
        let of_document = |query: &Query| *query.snapshot.uri == *uri;
        self.planned.take_if(|(query, _)| of_document(query));
        self.answered.take_if(|(query, _)| of_document(query));
    }

    /// The last request is answered, with text of which its source was so sure on average, or without.
    pub(super) fn answered(&mut self, query: &Query, mean: Option<f64>) {
        if query.rest.is_some() && !query.menu {
            self.answered = Some((query.clone(), mean));
        }
    }

    /// The last request and how sure its answer was, as long as the text is the same.
    pub(super) fn last(&self) -> Option<(&Query, Option<f64>)> {
        let answered = self.answered.as_ref();
        answered.map(|(query, mean)| (query, *mean))
    }

    /// When [`Self::take`] has something.
    pub(super) fn due(&self) -> Option<Instant> {
        self.planned.as_ref().map(|(_, at)| *at)
    }

    /// What that model is to be asked now, once.
    pub(super) fn take(&mut self, now: Instant) -> Option<Query> {
        let (query, _) = self.planned.take_if(|(_, at)| *at <= now)?;
        Some(query)
    }

    /// It has written so many tokens in this time.
    pub(super) fn wrote(&mut self, tokens: usize, time: Duration) {
        if tokens > 1 && !time.is_zero() {
            self.tokens_per_second = Some(tokens as f64 / time.as_secs_f64());
        }
    }

    fn rest(&self) -> Duration {
        self.tokens_per_second.map_or(REST, |speed| {
            Duration::from_secs_f64(REST_TOKENS / speed).clamp(REST_MIN, REST_MAX)
        })
    }
}
