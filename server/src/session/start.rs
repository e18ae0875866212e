//! How the models are started: as soon as it is known which, each file once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Session;
use super::effect::{Effect, LoadModel};
use super::roles::Roles;
use crate::mailbox::Source;

/// How long the model waits for the configuration of a client that is asked for it. Clients answer in
/// milliseconds; one that does not is served with what it said at first.
pub(super) const FIRST_CONFIGURATION: Duration = Duration::from_secs(1);

/// How the models are started: once, when it is known which.
#[derive(Debug)]
pub(super) enum Start {
    /// The client has not said anything; the command line may have named a model.
    Unknown(Option<String>),
    /// The client is asked for its configuration, and has this long.
    Awaited(Option<String>, Instant),
    /// It is found out whether several names mean one file; the first model is on its way.
    Looking,
    Done,
}

impl Session {
    pub(super) fn first_start(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let Start::Unknown(model) = &mut self.start {
            self.start = Start::Awaited(model.take(), now + FIRST_CONFIGURATION);
            if !self.client.pulls {
                self.start_model(effects);
            }
        }
    }

    pub(super) fn start_model(&mut self, effects: &mut Vec<Effect>) {
        if let Start::Awaited(model, _) = &mut self.start {
            let (named, settings) = (model.take(), self.settings.start());
            self.roles = Roles::new(&settings, named, cfg!(feature = "embedded-model"));
            if let Some(names) = self.roles.doubtful() {
                self.start = Start::Looking;
                self.load_models(0..1, effects);
                return effects.push(Effect::FindModels(names));
            }
            self.start = Start::Done;
            self.load_models(0..usize::MAX, effects);
            self.remember_workspace(effects);
        }
    }

    /// It is known which names mean one file.
    pub(super) fn models_found(
        &mut self,
        files: &BTreeMap<String, PathBuf>,
        effects: &mut Vec<Effect>,
    ) {
        if matches!(self.start, Start::Looking) {
            self.roles.merge(files);
            self.start = Start::Done;
            self.load_models(1..usize::MAX, effects);
            self.remember_workspace(effects);
        }
    }

    /// Loads some of the models, by their places.
    fn load_models(&mut self, which: Range<usize>, effects: &mut Vec<Effect>) {
        let settings = self.settings.start();
        let models = self.roles.models.clone().into_iter();
        for (source, model) in models.skip(which.start).take(which.len()) {
            if source != Source::ACTIONS {
                self.requests.add_source(source);
            }
            let answers_keys = self.roles.answers_keys(source);
            effects.push(Effect::LoadModel(LoadModel {
                source,
                model,
                threads: settings.threads,
                kv_cache: settings.kv_cache,
                unload_after: settings.unload_after.filter(|_| !answers_keys),
                patient: !answers_keys,
            }));
        }
        self.tell_models();
    }
}
