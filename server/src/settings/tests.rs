//! What is sent, and what follows from it.

use serde_json::{Value, json};

use super::*;
use crate::completion::{Eagerness, TextPolicy};

/// The settings of a document in `language` in a folder with this project file.
fn resolved(user: &Value, project: &str, language: &str) -> (Settings, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(PROJECT_FILE), project).expect("a file");
    let mut store = Store::default();
    let mut complaints = store.initialize(user);
    complaints.extend(store.projects(vec![ProjectFile::read(folder.path())]));
    let path = folder.path().join("src/a.rs");
    (store.of_document(Some(&path), language), complaints)
}

#[test]
fn bad_keys_fall_back_and_are_named_once() {
    let options = json!({
        "model": "x.gguf", "deadlineMs": "soon", "menuDeadlineMs": 999_999_999, "colour": 1,
        "trigger": "sometimes", "maxTokens": 0, "languages": { "rust": "yes" },
    });
    let mut store = Store::default();
    let complaints = store.initialize(&options);
    let settings = store.user().clone();
    let defaults = Settings::default();
    assert_eq!(settings.model.as_deref(), Some("x.gguf"));
    assert_eq!(settings.deadline, defaults.deadline);
    assert_eq!(settings.trigger, defaults.trigger);
    assert_eq!(settings.languages, defaults.languages);
    assert_eq!(settings.max_tokens, Some(1));
    assert_eq!(
        settings.menu_deadline,
        Duration::from_millis(DEADLINE_MS_MAX)
    );
    assert_eq!(complaints.len(), 4, "{complaints:?}");
    let again = store.configure(&options);
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn nothing_sent_is_all_defaults() {
    for options in [json!(null), json!([]), json!({}), json!({ "model": null })] {
        let mut store = Store::default();
        assert_eq!(store.initialize(&options), Vec::<String>::new());
        assert_eq!(store.user(), &Settings::default());
    }
    let mut store = Store::default();
    assert_eq!(store.initialize(&json!("x")).len(), 1);
    assert_eq!(store.user(), &Settings::default());
}

#[test]
fn the_configuration_wins_over_the_first_options_and_can_be_taken_back() {
    let mut store = Store::default();
    store.initialize(&json!({ "deadlineMs": 1, "menuDeadlineMs": 2 }));
    store.configure(&json!({ "deadlineMs": 3 }));
    let ms = |store: &Store| {
        (
            store.user().deadline.as_millis(),
            store.user().menu_deadline.as_millis(),
        )
    };
    assert_eq!(ms(&store), (3, 2));
    store.configure(&Value::Null);
    assert_eq!(ms(&store), (1, 2));
}

#[test]
fn a_model_that_is_configured_too_late_is_named() {
    let mut store = Store::default();
    store.initialize(&json!(null));
    let told = store.configure(&json!({ "model": "first.gguf" }));
    assert_eq!(told.len(), 0, "{told:?}");
    assert_eq!(store.start().model.as_deref(), Some("first.gguf"));
    let told = store.configure(&json!({ "model": "other.gguf" }));
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn languages_are_on_unless_named_or_all_are_off() {
    let settings = |languages: Value| {
        let mut store = Store::default();
        store.initialize(&json!({ "languages": languages }));
        store.user().clone()
    };
    assert!(settings(json!({})).completes("rust"));
    assert!(!settings(json!({ "rust": false })).completes("rust"));
    let rust_alone = settings(json!({ "*": false, "rust": true }));
    assert!(rust_alone.completes("rust") && !rust_alone.completes("python"));
}

#[test]
fn a_project_switches_off_and_never_on() {
    let completes =
        |user: Value, project: &str| resolved(&user, project, "rust").0.completes("rust");
    assert!(completes(json!({}), ""));
    assert!(!completes(json!({}), "enable = false"));
    assert!(!completes(json!({}), "[languages]\nrust = false"));
    assert!(!completes(json!({}), "[languages]\n\"*\" = false"));
    assert!(!completes(json!({ "enable": false }), "enable = true"));
    assert!(!completes(
        json!({ "languages": { "rust": false } }),
        "[languages]\nrust = true"
    ));
    let why = |project: &str| resolved(&json!({}), project, "rust").0.silence("rust");
    assert_eq!(why("enable = false"), Some(Silence::Off));
    let language = "rust".to_owned();
    assert_eq!(
        why("[languages]\nrust = false"),
        Some(Silence::LanguageOff { language })
    );
    let manual = resolved(
        &json!({ "trigger": "manual" }),
        "trigger = \"automatic\"",
        "rust",
    )
    .0;
    assert_eq!(manual.trigger, Trigger::Manual);
}

#[test]
fn a_project_sets_limits_but_no_model() {
    let (settings, complaints) = resolved(
        &json!({ "deadlineMs": 100 }),
        "deadlineMs = 20\nmenuDeadlineMs = 60000\nmaxTokens = 9\nmodel = \"/dev/zero\"\n",
        "rust",
    );
    assert_eq!(settings.deadline, Duration::from_millis(20));
    assert_eq!(settings.menu_deadline, Settings::default().menu_deadline);
    assert_eq!((settings.max_tokens, settings.model), (Some(9), None));
    assert_eq!(complaints.len(), 1, "{complaints:?}");
}

#[test]
fn the_innermost_folder_counts_and_documents_outside_have_no_project() {
    let outer = tempfile::tempdir().expect("a folder");
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    std::fs::write(outer.path().join(PROJECT_FILE), "enable = false").expect("a file");
    std::fs::write(inner.join(PROJECT_FILE), "deadlineMs = 5").expect("a file");
    let mut store = Store::default();
    let read = |store: &mut Store, folders: &[&std::path::Path]| {
        store.projects(
            folders
                .iter()
                .map(|folder| ProjectFile::read(folder))
                .collect(),
        )
    };
    read(&mut store, &[outer.path(), &inner]);
    let completes =
        |store: &Store, path: Option<&std::path::Path>| store.of_document(path, "c").completes("c");
    assert!(completes(&store, Some(&inner.join("a.c"))));
    assert!(!completes(&store, Some(&outer.path().join("a.c"))));
    assert!(completes(&store, None));
    read(&mut store, &[outer.path()]);
    assert!(!completes(&store, Some(&inner.join("a.c"))));
    std::fs::write(outer.path().join(PROJECT_FILE), "enable = true").expect("a file");
    read(&mut store, &[outer.path()]);
    assert!(completes(&store, Some(&inner.join("a.c"))));
}

#[test]
fn a_projects_limits_cannot_exceed_the_users() {
    let project = "deadlineMs = 60000\nexplicitDeadlineMs = 60000\nmaxTokens = 1024\n";
    let (settings, _) = resolved(&json!({}), project, "rust");
    let defaults = Settings::default();
    assert_eq!(settings.deadline, defaults.deadline);
    assert_eq!(settings.explicit_deadline, defaults.explicit_deadline);
    assert_eq!(settings.max_tokens, Some(Mode::MultiLine.tokens_max()));
    let (settings, _) = resolved(&json!({ "maxTokens": 500 }), project, "rust");
    assert_eq!(settings.max_tokens, Some(500));
}

#[test]
fn a_project_makes_quieter_and_never_louder() {
    let of = |user: Value, project: &str| resolved(&user, project, "rust").0.manners;
    let louder = "comments = \"on\"\nstrings = \"on\"\neagerness = \"all\"\nshortest = 1\n";
    let user = json!({ "comments": "off", "strings": "off", "eagerness": "quiet", "shortest": 9 });
    assert_eq!(of(user.clone(), louder), of(user, ""));
    let quieter = of(
        json!({ "eagerness": "all" }),
        "comments = \"off\"\neagerness = \"quiet\"\n",
    );
    assert_eq!(quieter.comments, TextPolicy::Off);
    assert_eq!(quieter.eagerness, Eagerness::Quiet);
}

#[test]
fn a_hostile_project_makes_a_short_message_of_plain_text() {
    let mut project: String = (0..5000).map(|n| format!("key{n} = 1\n")).collect();
    project += "\"\\u001b[31m\\nred\" = 1\n";
    let (_, complaints) = resolved(&json!({}), &project, "rust");
    let text = complaints.join("; ");
    assert!(text.len() < 4096, "{} bytes", text.len());
    assert!(text.contains("more like these"), "{text}");
    let (_, complaints) = resolved(&json!({}), "\"\\u001b[31m\\nred\" = 1\n", "rust");
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(!complaints[0].contains(char::is_control), "{complaints:?}");
}

#[test]
fn a_language_that_was_switched_for_now_wins_over_the_settings_and_not_over_a_project() {
    let mut store = Store::default();
    store.initialize(&json!({ "languages": { "go": false } }));
    store.set_language("rust", false);
    store.set_language("go", true);
    let completes = |store: &Store, language| store.of_document(None, language).completes(language);
    assert!(!completes(&store, "rust") && completes(&store, "go"));
    store.configure(&json!({ "deadlineMs": 9 }));
    assert!(!completes(&store, "rust") && completes(&store, "go"));

    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(PROJECT_FILE), "languages.go = false").expect("a file");
    store.projects(vec![ProjectFile::read(folder.path())]);
    let path = folder.path().join("a.go");
    assert!(!store.of_document(Some(&path), "go").completes("go"));
}

#[test]
fn a_delay_is_the_longer_one_and_patterns_are_the_users_alone() {
    let user = json!({ "delayMs": 100, "disabledGlobs": ["*.tex", "["] });
    let (settings, complaints) = resolved(&user, "delayMs = 300\ndisabledGlobs = [\"*\"]", "rust");
    assert_eq!(settings.delay, Duration::from_millis(300));
    assert_eq!(settings.disabled.find("/w/a.tex"), Some("*.tex"));
    assert_eq!(settings.disabled.find("/w/a.rs"), None);
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    let (settings, _) = resolved(&user, "delayMs = 0", "rust");
    assert_eq!(settings.delay, Duration::from_millis(100));
}

#[test]
fn the_schema_names_defaults_and_scopes() {
    let schema = schema();
    assert_eq!(schema["properties"]["deadlineMs"]["default"], 700);
    assert_eq!(
        schema["properties"]["deadlineMs"]["maximum"],
        DEADLINE_MS_MAX
    );
    for (name, property) in schema["properties"].as_object().expect("an object") {
        assert!(property["description"].is_string(), "{name}");
        let scope = if USER_ONLY.contains(&name.as_str()) {
            "user"
        } else {
            "project"
        };
        assert_eq!(property["x-scope"], scope, "{name}");
    }
}
