//! What kernels enable and what detection asks for: the same features, level by level.
//!
//! A function that enables a feature which nobody asked for is an illegal instruction on some processor; a
//! feature that is asked for and not used keeps a level from processors that could have it.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding};

/// The folders with a file and a folder for each level.
const LEVELS: [&str; 2] = ["engine/src/kernels/x86_64/", "engine/src/kernels/aarch64/"];

/// Levels that also run functions of another one (`at_level!` in `kernels.rs`).
const BORROW: [(&str, &str); 2] = [("amx", "avx512"), ("avx_vnni", "avx2")];

type Features = BTreeSet<String>;
type Lists = Vec<(String, usize, Features)>;

/// What one level enables, with the places, and what it detects.
#[derive(Default)]
struct Level {
    enabled: Lists,
    detected: Lists,
}

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut levels: BTreeMap<&str, Level> = BTreeMap::new();
    for file in files {
        let inside = LEVELS
            .iter()
            .find_map(|folder| file.path.strip_prefix(folder));
        let (Some(inside), Some(text)) = (inside, &file.text) else {
            continue;
        };
        let name = inside.split(['/', '.']).next().unwrap_or(inside);
        let level = levels.entry(name).or_default();
        let found = |(line, list): (usize, Features)| (file.path.clone(), line, list);
        for opening in ["target_feature(enable =", "instantiate!("] {
            level.enabled.extend(lists(text, opening, ')').map(found));
        }
        level
            .detected
            .extend(lists(text, "detects!(", ')').map(found));
        // One list for both: functions in this macro enable what it detects.
        for (line, list) in lists(text, "level! {", ']') {
            level.enabled.push(found((line, list.clone())));
            level.detected.push(found((line, list)));
        }
    }
    let mut findings: Vec<Finding> = levels.values().flat_map(Level::findings).collect();
    for (level, other) in BORROW {
        if let (Some(level), Some(other)) = (levels.get(level), levels.get(other)) {
            findings.extend(level.misses(other));
        }
    }
    findings
}

impl Level {
    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, line, enabled) in &self.enabled {
            if !self.detected.iter().any(|(.., all)| enabled.is_subset(all)) {
                let what = "enables features that its level does not detect";
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

    /// Lists that lack what a level asks for whose functions this one runs, too.
    fn misses(&self, other: &Self) -> Vec<Finding> {
        let needed = || other.detected.iter().flat_map(|(.., list)| list);
        let lacks = |list: &Features| needed().find(|&feature| !list.contains(feature)).cloned();
        let of = |(path, line, list): &(String, usize, Features)| {
            let feature = lacks(list)?;
            let what = format!("runs functions of another level that need `{feature}`");
            Some(Finding::new(path, *line, what))
        };
        self.detected.iter().filter_map(of).collect()
    }
}

/// The features in the string literals between `opening` and the next `closing`, with the line of each list.
fn lists(text: &str, opening: &str, closing: char) -> impl Iterator<Item = (usize, Features)> {
    text.match_indices(opening).map(move |(at, _)| {
        let line = text[..at].matches('\n').count() + 1;
        let inside = &text[at + opening.len()..];
        let inside = inside.split(closing).next().unwrap_or(inside);
        let literals = inside.split('"').skip(1).step_by(2);
        let features = literals.flat_map(|literal| literal.split(','));
        (line, features.map(str::to_owned).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found_in(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files
            .iter()
            .map(|(path, code)| File {
                path: format!("engine/src/kernels/{path}"),
                text: Some((*code).to_owned()),
            })
            .collect();
        let findings = check(&files).into_iter();
        findings.map(|finding| finding.message).collect()
    }

    #[track_caller]
    fn found(code: &str) -> Vec<String> {
        found_in(&[("x86_64/avx9/gemv.rs", code)])
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

    #[test]
    fn a_macro_that_detects_what_it_enables_is_read() {
        let macros = "level! { sve, [\"neon\", \"sve\"],\n    pub(crate) fn tile() {}\n}\n";
        let found = |more: &str| {
            let more = format!("#[target_feature(enable = \"{more}\")]\n");
            found_in(&[("aarch64/neon.rs", macros), ("aarch64/neon/rows.rs", &more)])
        };
        assert!(found("sve").is_empty());
        assert_eq!(found("sve2").len(), 1);
    }

    #[test]
    fn a_level_asks_for_all_that_the_functions_of_another_need() {
        let level =
            |list: &str| format!("detects!(\"{list}\")\n#[target_feature(enable = \"{list}\")]\n");
        let found = |vnni: &str| {
            found_in(&[
                ("x86_64/avx2.rs", &level("avx2,fma")),
                ("x86_64/avx_vnni.rs", &level(vnni)),
            ])
        };
        assert!(found("avx2,fma,avxvnni").is_empty());
        assert_eq!(found("avx2,avxvnni").len(), 1);
    }
}
