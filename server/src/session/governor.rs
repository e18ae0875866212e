//! Which models work, and what the status says of them.

use super::Session;
use crate::mailbox::Source;
use crate::settings::OnBattery;
use crate::status::{ModelState, ModelStatus};

impl Session {
    /// The machine runs on its battery, or does not any more.
    pub(super) fn powered(&mut self, on_battery: bool) {
        self.on_battery = on_battery;
        if self.spares_power() {
            self.requests.stop_at_rest();
        }
        self.tell_models();
    }

    /// Whether the model for rests is asked only by hand.
    pub(super) fn spares_power(&self) -> bool {
        self.on_battery && self.settings.user().on_battery == OnBattery::Quiet
    }

    /// What a model is doing has changed.
    pub(super) fn model_is(&mut self, source: Source, state: ModelState) {
        self.states.retain(|(other, _)| *other != source);
        self.states.push((source, state));
        self.tell_models();
    }

    /// What a model does that is loaded.
    pub(super) fn loaded(&self, source: Source) -> ModelState {
        if self.busy.contains(&source) {
            ModelState::Busy
        } else {
            ModelState::Ready
        }
    }

    pub(super) fn tell_models(&mut self) {
        let models = self.roles.models.iter().map(|(source, name)| {
            let roles = self.roles.of(*source);
            let state = self.states.iter().find(|(of, _)| of == source);
            let state = state.map_or(ModelState::Loading, |(_, state)| *state);
            let waits = matches!(state, ModelState::Ready | ModelState::Unloaded);
            let is_slow = !self.roles.answers_keys(*source) && roles.iter().any(|it| it == "rest");
            let rests = self.spares_power() && is_slow && waits;
            let name = name.clone();
            ModelStatus {
                name: name.unwrap_or_else(|| crate::models::DEFAULT_NAME.to_owned()),
                state: if rests { ModelState::OnBattery } else { state },
                roles,
            }
        });
        self.status.models = models.collect();
    }
}
