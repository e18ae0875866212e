//! Which models there are, and what each does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::mailbox::Source;
use crate::models::DEFAULT_NAME;
use crate::settings::Settings;

/// The models of a session, by what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    /// Each model once: whose it is, and its name, where nothing is the embedded one.
    pub(super) models: Vec<(Source, Option<String>)>,
    /// Whose model runs code actions.
    pub(super) actions: Source,
    /// Whose model is asked when the caret rests.
    rest: Source,
    /// Whose model answers at every key, where it is not the usual one.
    languages: BTreeMap<String, Source>,
}

impl Default for Roles {
    /// One model does everything.
    fn default() -> Self {
        Self::alone(None)
    }
}

impl Roles {
    /// Those of the settings, in a program with or without a model of its own. A model that the command
    /// line has `named` does everything.
    pub(super) fn new(settings: &Settings, named: Option<String>, has_embedded: bool) -> Self {
        if named.is_some() {
            return Self::alone(named);
        }
        let roles = settings.models.clone();
        let large = roles.rest.or_else(|| settings.model.clone());
        let embedded = has_embedded.then(|| DEFAULT_NAME.to_owned());
        let typing = roles.typing.or(embedded).or_else(|| large.clone());
        let rest = large.or_else(|| typing.clone());
        let actions = roles.actions.or_else(|| rest.clone());
        let mut this = Self::alone(typing);
        this.rest = this.add(Source::REST, rest);
        this.actions = this.add(Source::ACTIONS, actions);
        for (number, (language, name)) in (0..).zip(roles.languages) {
            let source = this.add(Source::of_languages(number), Some(name));
            this.languages.insert(language, source);
        }
        this
    }

    fn alone(model: Option<String>) -> Self {
        Self {
            models: vec![(Source::MODEL, name(model))],
            actions: Source::MODEL,
            rest: Source::MODEL,
            languages: BTreeMap::new(),
        }
    }

    /// Whose model answers at every key in documents of a language.
    pub(super) fn typing(&self, language_id: &str) -> Source {
        let found = self.languages.get(language_id);
        found.copied().unwrap_or(Source::MODEL)
    }

    /// Whether the model of a source answers at every key somewhere.
    pub(super) fn answers_keys(&self, source: Source) -> bool {
        source == Source::MODEL || self.languages.values().any(|of| *of == source)
    }

    /// Whose model is asked when the caret rests in such a document, if it is another one.
    pub(super) fn rest(&self, language_id: &str) -> Option<Source> {
        Some(self.rest).filter(|rest| *rest != self.typing(language_id))
    }

    /// What the model of a source is for.
    pub(super) fn of(&self, source: Source) -> Vec<String> {
        let roles = [
            ("typing", Source::MODEL),
            ("rest", self.rest),
            ("actions", self.actions),
        ];
        let roles = roles.into_iter().filter(|(_, of)| *of == source);
        let languages = self.languages.iter().filter(|(_, of)| **of == source);
        roles
            .map(|(role, _)| role.to_owned())
            .chain(languages.map(|(language, _)| language.clone()))
            .collect()
    }

    /// Names that may mean one file: two or more.
    pub(super) fn doubtful(&self) -> Option<Vec<String>> {
        let names = self.models.iter().filter_map(|(_, name)| name.clone());
        let names: Vec<String> = names.collect();
        (names.len() > 1).then_some(names)
    }

    /// Lets one file be loaded once, where several names mean it; `files` are those of the names.
    pub(super) fn merge(&mut self, files: &BTreeMap<String, PathBuf>) {
        let mut kept: Vec<(Source, Option<String>)> = Vec::new();
        for (source, name) in std::mem::take(&mut self.models) {
            let file = |name: &Option<String>| files.get(name.as_ref()?);
            let same = |known: &&(Source, Option<String>)| {
                file(&name).is_some_and(|it| file(&known.1) == Some(it))
            };
            let Some((first, _)) = kept.iter().find(same) else {
                kept.push((source, name));
                continue;
            };
            let roles = [&mut self.rest, &mut self.actions];
            let roles = roles.into_iter().chain(self.languages.values_mut());
            for role in roles.filter(|role| **role == source) {
                *role = *first;
            }
        }
        self.models = kept;
    }

    /// Whose model this is: one file is loaded once, whatever it does.
    fn add(&mut self, source: Source, model: Option<String>) -> Source {
        let model = name(model);
        if let Some((of, _)) = self.models.iter().find(|(_, known)| *known == model) {
            return *of;
        }
        self.models.push((source, model));
        source
    }
}

/// The embedded model has a name as well.
fn name(model: Option<String>) -> Option<String> {
    model.filter(|name| !name.is_empty() && name != DEFAULT_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Models;

    const MODEL: Source = Source::MODEL;
    const REST: Source = Source::REST;
    const ACTIONS: Source = Source::ACTIONS;

    fn settings(model: Option<&str>, roles: &[(&str, &str)]) -> Settings {
        let find = |role: &str| {
            let found = roles.iter().find(|(name, _)| *name == role);
            found.map(|(_, model)| (*model).to_owned())
        };
        let languages = roles.iter().filter(|(name, _)| *name == "go");
        Settings {
            model: model.map(str::to_owned),
            models: Models {
                typing: find("typing"),
                rest: find("rest"),
                actions: find("actions"),
                languages: languages
                    .map(|(name, model)| ((*name).to_owned(), (*model).to_owned()))
                    .collect(),
            },
            ..Settings::default()
        }
    }

    #[track_caller]
    fn check(
        model: Option<&str>,
        roles: &[(&str, &str)],
        expected: &[(Source, &str)],
        rest: Option<Source>,
        actions: Source,
    ) {
        let roles = Roles::new(&settings(model, roles), None, true);
        let models = roles.models.iter();
        let found: Vec<_> = models
            .map(|(of, name)| (*of, name.as_deref().unwrap_or("")))
            .collect();
        assert_eq!(
            (&found[..], roles.rest("rust"), roles.actions),
            (expected, rest, actions)
        );
    }

    #[test]
    fn every_model_is_loaded_once() {
        check(None, &[], &[(MODEL, "")], None, MODEL);
        let both = [(MODEL, ""), (REST, "b")];
        check(Some("b"), &[], &both, Some(REST), REST);
        check(None, &[("rest", "b")], &both, Some(REST), REST);
        check(
            Some("c"),
            &[("rest", "b"), ("actions", "default")],
            &both,
            Some(REST),
            MODEL,
        );
        check(None, &[("typing", "b")], &[(MODEL, "b")], None, MODEL);
        check(Some("b"), &[("typing", "b")], &[(MODEL, "b")], None, MODEL);
        check(
            None,
            &[("actions", "c")],
            &[(MODEL, ""), (ACTIONS, "c")],
            None,
            ACTIONS,
        );
        check(
            None,
            &[("typing", "a"), ("rest", "b"), ("actions", "c")],
            &[(MODEL, "a"), (REST, "b"), (ACTIONS, "c")],
            Some(REST),
            ACTIONS,
        );
    }

    #[test]
    fn a_file_with_two_names_is_loaded_once() {
        let named = [
            ("typing", "a"),
            ("rest", "b"),
            ("actions", "c"),
            ("go", "d"),
        ];
        let mut roles = Roles::new(&settings(None, &named), None, true);
        let names = roles.doubtful().expect("four names");
        assert_eq!(names, ["a", "b", "c", "d"]);
        let files = [("a", "/x"), ("b", "/y"), ("c", "/y"), ("d", "/x")];
        let files = files.map(|(name, file)| (name.to_owned(), PathBuf::from(file)));
        roles.merge(&BTreeMap::from(files));
        let models = [(MODEL, "a"), (REST, "b")];
        let models = models.map(|(source, name)| (source, Some(name.to_owned())));
        assert_eq!(roles.models, models);
        assert_eq!((roles.actions, roles.rest("rust")), (REST, Some(REST)));
        assert_eq!(roles.typing("go"), MODEL);
        // What is not found is said when it is loaded.
        let before = roles.clone();
        roles.merge(&BTreeMap::new());
        assert_eq!(roles, before);
        let one = Roles::new(&settings(Some("b"), &[]), None, true);
        assert_eq!(one.doubtful(), None, "the embedded model has no file");
    }

    #[test]
    fn a_language_can_have_its_own() {
        let roles = [("rest", "b"), ("go", "q")];
        let roles = Roles::new(&settings(None, &roles), None, true);
        let go = roles.typing("go");
        assert_eq!(roles.models.last(), Some(&(go, Some("q".to_owned()))));
        assert_eq!(
            (roles.typing("rust"), roles.rest("go")),
            (MODEL, Some(REST))
        );
        let same = [("rest", "b"), ("go", "b")];
        let same = Roles::new(&settings(None, &same), None, true);
        assert_eq!(same.models.len(), 2);
        assert_eq!((same.typing("go"), same.rest("go")), (REST, None));
    }

    #[test]
    fn the_command_line_names_one_for_everything() {
        let settings = settings(Some("a"), &[("typing", "c")]);
        let roles = Roles::new(&settings, Some("b".to_owned()), true);
        assert_eq!(roles, Roles::alone(Some("b".to_owned())));
    }

    #[test]
    fn without_an_embedded_model_the_large_one_does_everything() {
        let roles = Roles::new(&settings(Some("b"), &[]), None, false);
        assert_eq!(roles, Roles::alone(Some("b".to_owned())));
    }
}
