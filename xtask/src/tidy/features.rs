//! What kernels enable and what detection asks for: the same features, level by level.
//!
//! A function that enables a feature which nobody asked for is an illegal instruction on some processor; a
//! feature that is asked for and not used keeps a level from processors that could have it.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding};

/// The folder with a file and a folder for each level.
const LEVELS: &str = "engine/src/kernels/x86_64/";

type Features = BTreeSet<String>;

/// What one level enables, with the places, and what it detects.
#[derive(Default)]
struct Level {
    enabled: Vec<(String, usize, Features)>,
    detected: Vec<(String, usize, Features)>,
}

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut levels: BTreeMap<&str, Level> = BTreeMap::new();
    for file in files {
        let (Some(inside), Some(text)) = (file.path.strip_prefix(LEVELS), &file.text) else {
            continue;
        };
        let name = inside.split(['/', '.']).next().unwrap_or(inside);
        let level = levels.entry(name).or_default();
        for opening in ["target_feature(enable =", "instantiate!("] {
            for (line, list) in lists(text, opening) {
                let list = list.first().into_iter().flat_map(|list| list.split(','));
                let list = list.map(str::to_owned).collect();
                level.enabled.push((file.path.clone(), line, list));
            }
        }
        for (line, list) in lists(text, "detects!(") {
            let list = list.into_iter().map(str::to_owned).collect();
            level.detected.push((file.path.clone(), line, list));
        }
    }
    levels.values().flat_map(Level::findings).collect()
}

impl Level {
    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, line, enabled) in &self.enabled {
            if !self.detected.iter().any(|(.., all)| enabled.is_subset(all)) {
                let what = "enables features that no `detects!` of its level asks for";
                findings.push(Finding::new(path, *line, what));
            }
        }
        let used: Features = self
            .enabled
            .iter()
            .flat_map(|(.., list)| list.clone())
            .collect();
        for (path, line, detected) in &self.detected {
            for unused in detected.difference(&used) {
                let what = format!("asks for `{unused}`, which no function of its level enables");
                findings.push(Finding::new(path, *line, what));
            }
        }
        findings
    }
}

/// The string literals between `opening` and the next closing parenthesis, with the line of each.
fn lists<'t>(text: &'t str, opening: &str) -> Vec<(usize, Vec<&'t str>)> {
    text.match_indices(opening)
        .map(|(at, _)| {
            let line = text[..at].matches('\n').count() + 1;
            let inside = &text[at + opening.len()..];
            let inside = inside.split(')').next().unwrap_or(inside);
            (line, inside.split('"').skip(1).step_by(2).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(code: &str) -> Vec<String> {
        let file = File {
            path: format!("{LEVELS}avx9/gemv.rs"),
            text: Some(code.to_owned()),
        };
        let findings = check(&[file]).into_iter();
        findings.map(|finding| finding.message).collect()
    }

    #[test]
    fn both_ways_are_looked_at() {
        let asks = "detects!(\n    \"avx9\",\n    \"fma\"\n)\n";
        let enables = "#[target_feature(enable = \"avx9,fma\")]\n";
        let part = "vector::instantiate!(\"fma\", Convert);\n";
        assert!(found(&[asks, enables, part].concat()).is_empty());
        assert_eq!(found(enables).len(), 1, "nobody asks");
        assert_eq!(found(&[asks, part].concat()).len(), 1, "avx9 is not used");
        let more = "#[target_feature(enable = \"avx9,fma,bmi\")]\n";
        assert_eq!(found(&[asks, more].concat()).len(), 1);
    }
}
