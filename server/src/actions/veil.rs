//! Secrets in the code that a model works on: it sees a name in the place of each, and what it writes
//! has them again.

use crate::completion::secrets;

/// Names have a number behind this.
const NAME: &str = "HIDDEN_VALUE_";

/// The secrets of a text, and the names that stand for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Veil {
    /// The longest first: one may be a part of another.
    hidden: Vec<(String, String)>,
}

impl Veil {
    /// For these texts: what is a secret in one of them is none of the model's business in any.
    pub(super) fn of(texts: &[&str]) -> Self {
        let mut found: Vec<&str> = texts
            .iter()
            .flat_map(|text| secrets(text).into_iter().map(|secret| &text[secret]))
            .collect();
        found.sort_unstable_by_key(|secret| (std::cmp::Reverse(secret.len()), *secret));
        found.dedup();
        let mut name = NAME.to_owned();
        while texts.iter().any(|text| text.contains(&name)) {
            name.push('_');
        }
        let named = found.into_iter().enumerate();
        Self {
            // The sign at the end tells 1 from 10.
            hidden: named
                .map(|(number, secret)| (secret.to_owned(), format!("{name}{}_", number + 1)))
                .collect(),
        }
    }

    /// The text with names for the secrets.
    pub(super) fn hide(&self, text: &str) -> String {
        let hidden = self.hidden.iter();
        hidden.fold(text.to_owned(), |text, (secret, name)| {
            text.replace(secret, name)
        })
    }

    /// The text with the secrets for the names.
    pub(super) fn reveal(&self, text: &str) -> String {
        let hidden = self.hidden.iter();
        hidden.fold(text.to_owned(), |text, (secret, name)| {
            text.replace(name, secret)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "ghp_a8Kd93kfLs0Qm2Zx7Vb1Nc5Hj6Tg4RwEy9uP";

    #[test]
    fn what_is_hidden_comes_back() {
        let text = format!("let token = \"{TOKEN}\";\nlet password = \"hunter2hunter2\";\n");
        let veil = Veil::of(&[&text]);
        let hidden = veil.hide(&text);
        assert!(
            !hidden.contains(TOKEN) && !hidden.contains("hunter2hunter2"),
            "{hidden}"
        );
        assert_eq!(veil.reveal(&hidden), text);
        // The other way round, in another text.
        assert_eq!(
            veil.reveal(&format!("f(\"{NAME}1_\")")),
            format!("f(\"{TOKEN}\")")
        );
    }

    #[test]
    fn a_text_with_such_a_name_keeps_it() {
        let text = format!("let token = \"{TOKEN}\"; // {NAME}1_\n");
        let veil = Veil::of(&[&text]);
        let hidden = veil.hide(&text);
        assert!(!hidden.contains(TOKEN));
        assert_eq!(veil.reveal(&hidden), text);
        assert_eq!(Veil::of(&["fn f() {}"]).hide("fn f() {}"), "fn f() {}");
    }
}
