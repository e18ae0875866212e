//! Markdown around code.

/// A fence that nothing in `texts` closes: more backticks than stand in a row anywhere.
pub(crate) fn fence_for(texts: &[&str]) -> String {
    let longest = texts
        .iter()
        .flat_map(|text| text.split(|c| c != '`'))
        .map(str::len)
        .max()
        .unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_with_fences_gets_a_longer_one() {
        assert_eq!(fence_for(&["a ``` b", "c"]), "````");
        assert_eq!(fence_for(&["`", "````"]), "`````");
        assert_eq!(fence_for(&[]), "```");
    }
}
